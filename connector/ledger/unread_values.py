"""Store the values that a reading did not show although they were known, and count the photo attributes lost."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from connector.ledger.codec import key
from connector.ledger.people import UNREAD_REASONS
from connector.model import Reason

_CHUNK = 500
# What decides beside the photos, and the columns that hold it.
_COLUMNS = {"upn": ("upn", "upn_key"), "mail": ("mail", "mail_key"), "sid": ("sid",), "anchor": ("anchor",)}
# Of an entry whose id cannot be read nothing is known tonight.
IDENTITY = "objectGUID"
# By it LDAP_INCLUDE takes in mailboxes whose accounts are disabled.
RECIPIENT_TYPE = "msExchRecipientTypeDetails"


def note_unread(
    db: sqlite3.Connection,
    person_id: str,
    attributes: Collection[str],
    *,
    run: int,
    is_counted: bool,
    reason: Reason = Reason.SOURCE_UNREAD,
) -> None:
    """Make these the person's unread attributes; the brake counts those that a full reading missed, by its run.

    Whoever has one is left as they are; whoever has none any more was read whole.
    """
    old = {
        row["attribute"] for row in db.execute("SELECT attribute FROM unread_values WHERE person_id = ?", (person_id,))
    }
    if old or attributes:
        ended = [(person_id, name) for name in old.difference(attributes)]
        db.executemany("DELETE FROM unread_values WHERE person_id = ? AND attribute = ?", ended)
        renews = "DO UPDATE SET run = excluded.run" if is_counted else "DO NOTHING"
        insert = "INSERT INTO unread_values (person_id, attribute, run) VALUES (?, ?, ?) "
        insert += f"ON CONFLICT (person_id, attribute) {renews}"
        db.executemany(insert, [(person_id, name, run if is_counted else 0) for name in attributes])
    _leave_or_take_back(db, person_id, reason=reason if attributes else None, run=run)


def _leave_or_take_back(db: sqlite3.Connection, person_id: str, *, reason: Reason | None, run: int) -> None:
    if reason:
        leave = "UPDATE people SET source_sha256 = '', source_reason = ?, changed_run = ? WHERE id = ?"
        db.execute(leave, (reason, run, person_id))
        return
    change = f"UPDATE people SET source_reason = '', changed_run = ? WHERE id = ? AND source_reason IN {UNREAD_REASONS}"
    db.execute(change, (run, person_id))


def note_unidentified(db: sqlite3.Connection, context: str, name: str, *, run: int) -> None:
    """Keep the people known by this name in the source as they are, since the entry's id cannot be read in this run."""
    query = "SELECT id FROM people WHERE context = ? AND name = ? AND state = 'in-scope'"
    for row in db.execute(query, (context, name)).fetchall():
        db.execute("UPDATE people SET seen_run = ? WHERE id = ?", (run, row["id"]))
        note_unread(db, row["id"], [IDENTITY], run=run, is_counted=False)


def empty(db: sqlite3.Connection, person_id: str, attributes: Collection[str], *, run: int) -> None:
    """Record that the source said these are empty: photo attributes, and what decides beside them."""
    columns = [column for name in attributes for column in _COLUMNS.get(name, ())]
    sets = "".join(f"{column} = '', " for column in columns)
    db.execute(f"UPDATE people SET {sets} changed_run = ? WHERE id = ?", (run, person_id))
    gone = "UPDATE photos SET gone_run = ? WHERE person_id = ? AND attribute = ? AND gone_run IS NULL"
    db.executemany(gone, [(run, person_id, name) for name in attributes])
    db.executemany(
        "DELETE FROM unread_values WHERE person_id = ? AND attribute = ?", [(person_id, name) for name in attributes]
    )
    if RECIPIENT_TYPE in attributes:
        save_recipient_type(db, person_id, "")
    if db.execute("SELECT 1 FROM unread_values WHERE person_id = ?", (person_id,)).fetchone() is None:
        _leave_or_take_back(db, person_id, reason=None, run=run)


def save_recipient_type(db: sqlite3.Connection, person_id: str, recipient_type: str) -> None:
    """Store the recipient type that took a person in; empty for one that did not."""
    if recipient_type:
        db.execute(
            "INSERT OR REPLACE INTO recipient_types (person_id, type) VALUES (?, ?)", (person_id, recipient_type)
        )
    else:
        db.execute("DELETE FROM recipient_types WHERE person_id = ?", (person_id,))


def left_by_type(db: sqlite3.Connection, context: str, types: Collection[str], *, run: int) -> list[str]:
    """Return the people who were included by a recipient type and left the scope in this run."""
    query = f"""SELECT id FROM people JOIN recipient_types t ON t.person_id = id WHERE context = ? AND seen_run = ?
        AND state IN ('disabled', 'out-of-scope') AND t.type IN ({", ".join("?" * len(types))}) ORDER BY id"""
    return [row["id"] for row in db.execute(query, (context, run, *types))]


def keep_untyped(db: sqlite3.Connection, left: Collection[str], untyped: Collection[str], *, run: int) -> None:
    """Of the people who left, keep those in scope whose recipient type was not shown; of the others forget the type."""
    for person_id in left:
        if person_id in untyped:
            db.execute("UPDATE people SET state = 'in-scope' WHERE id = ?", (person_id,))
            note_unread(db, person_id, [RECIPIENT_TYPE], run=run, is_counted=False)
        else:
            save_recipient_type(db, person_id, "")


def drop_unasked(db: sqlite3.Connection, context: str, *, attributes: Sequence[str]) -> None:
    """Forget that photo attributes could not be read which are no longer asked for."""
    asked = (*attributes, *_COLUMNS, IDENTITY, RECIPIENT_TYPE)
    query = f"""SELECT person_id, attribute FROM unread_values JOIN people ON people.id = unread_values.person_id
        WHERE context = ? AND attribute NOT IN ({", ".join("?" * len(asked))})"""
    for row in db.execute(query, (context, *asked)).fetchall():
        db.execute("DELETE FROM unread_values WHERE person_id = ? AND attribute = ?", tuple(row))


def unread_attributes(db: sqlite3.Connection, context: str) -> list[str]:
    """Name the attributes that somebody in scope in a context could not be read in."""
    query = """SELECT DISTINCT attribute FROM unread_values JOIN people ON people.id = unread_values.person_id
        WHERE context = ? AND state = 'in-scope' ORDER BY attribute"""
    return [row["attribute"] for row in db.execute(query, (context,))]


def unread_in(db: sqlite3.Connection, context: str, *, attribute: str = "", unmet_in: int = 0) -> Iterator[list[str]]:
    """Yield in chunks the ids of people in scope with this unread attribute, or any; without those a run read (0: all).

    Chunks may be written meanwhile.
    """
    query = f"""SELECT DISTINCT people.id FROM unread_values JOIN people ON people.id = unread_values.person_id
        WHERE context = ? AND state = 'in-scope' AND ? IN (attribute, '') AND (? = 0 OR seen_run < ?)
        AND people.id > ? ORDER BY people.id LIMIT {_CHUNK}"""
    last = ""
    while ids := [row["id"] for row in db.execute(query, (context, attribute, unmet_in, unmet_in, last))]:
        last = ids[-1]
        yield ids


def missed_below(db: sqlite3.Connection, attribute: str, unit: str) -> list[str]:
    """Return the ids of people below a unit (empty: anywhere) whose attribute a full read missed."""
    query = """SELECT id, name FROM unread_values JOIN people ON people.id = unread_values.person_id
        WHERE attribute = ? AND run > 0 AND state = 'in-scope'"""
    ends = f",{unit}" if unit else ""
    return [row["id"] for row in db.execute(query, (attribute,)) if row["name"].endswith(ends)]


def count_unread(db: sqlite3.Connection, *, chosen: Sequence[str] | None = None) -> tuple[int, dict[str, int]]:
    """Count the people in scope (or those chosen) who are unread in something, in all and by attribute."""
    query = """SELECT id, attribute FROM unread_values JOIN people ON people.id = unread_values.person_id
        WHERE state = 'in-scope' ORDER BY id, attribute"""
    counts: Counter[str] = Counter()
    people, last = 0, ""
    for row in db.execute(query):
        if chosen is not None and row["id"] not in chosen:
            continue
        counts[row["attribute"]] += 1
        people += row["id"] != last
        last = row["id"]
    return people, dict(sorted(counts.items()))


def deciding_of(db: sqlite3.Connection, person_id: str) -> dict[str, str]:
    """Return what decides about a person beside the photos, as last known; nothing of somebody unknown."""
    row = db.execute("SELECT upn, mail, sid, anchor FROM people WHERE id = ?", (person_id,)).fetchone()
    return dict(row) if row is not None else {}


def anchor_setting(db: sqlite3.Connection, context: str) -> str | None:
    """Return which LDAP_ANCHOR the known anchors of a context are of; None where that was never noted."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (f"anchor {key(context)}",)).fetchone()
    return None if row is None else str(row["value"])


def note_anchor_setting(db: sqlite3.Connection, context: str, setting: str) -> None:
    """Remember which LDAP_ANCHOR the anchors of a context were read by."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (f"anchor {key(context)}", setting))


_FIRST_NAME = re.compile(r"(?:\\.|[^\\,])*,")  # up to the first comma that is none of the name's own, RFC 4514
# A known value that a full reading missed counts as lost, though it stands; others have run 0 in unread_values.
_HAD = """
    SELECT photos.person_id, photos.attribute, people.name, COALESCE(MAX(u.run), MAX(gone_run)) AS gone_run,
           CASE WHEN MAX(u.run) IS NULL THEN SUM(gone_run IS NULL) ELSE 0 END AS live
    FROM photos JOIN people ON people.id = photos.person_id AND people.state = 'in-scope'
    LEFT JOIN unread_values u ON u.person_id = photos.person_id AND u.attribute = photos.attribute AND u.run > 0
    {condition} GROUP BY photos.person_id, photos.attribute"""


def vanished(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Count by attribute: people in scope who had a value until the last night that passed, and who lost it."""
    query = f"""SELECT attribute, COUNT(*) AS had, SUM(live = 0) AS lost FROM ({_HAD.format(condition="")})
        GROUP BY attribute"""
    lost = "SELECT 1 FROM photos WHERE gone_run IS NOT NULL UNION SELECT 1 FROM unread_values WHERE run > 0 LIMIT 1"
    if db.execute(lost).fetchone() is None:
        return {}
    return {row["attribute"]: (row["had"], row["lost"]) for row in db.execute(query)}


def vanished_units(
    db: sqlite3.Connection, attribute: str, *, at_least: int, changes_run: int = 0, in_folders: bool = False
) -> dict[str, int]:
    """Count, by the highest unit that holds them, the people of units in which everybody lost the attribute.

    A right that is taken away on one unit looks as if all below it had cleared their photos. Only a full reading can be
    deceived so: what a run of changes (an earlier one, or `changes_run`) was told is cleared. `in_folders`: names are
    those of files, and a unit is a folder, which may be a share that is gone.
    """
    units_of = _folders if in_folders else _units
    had = f"SELECT name, live, gone_run FROM ({_HAD.format(condition='WHERE photos.attribute = ?')})"
    untold = "live = 0 AND gone_run <> ? AND gone_run NOT IN (SELECT id FROM runs WHERE mode = 'changes')"
    rows = db.execute(f"{had} WHERE {untold}", (attribute, changes_run))
    lost = Counter(unit for row in rows for unit in units_of(row["name"]))
    found = {unit: count for unit, count in lost.items() if count >= at_least}
    for row in db.execute(f"{had} WHERE live > 0", (attribute,)):
        if not found:
            break
        for unit in units_of(row["name"]):
            found.pop(unit, None)
    return {unit: count for unit, count in found.items() if not any(above in found for above in units_of(unit))}


def _units(name: str) -> Iterator[str]:
    """Yield the units above a DN, the nearest first."""
    while match := _FIRST_NAME.match(name):
        name = name[match.end() :]
        yield name


def _folders(name: str) -> Iterator[str]:
    """Yield the folders above a file, the nearest first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def settle_vanished(db: sqlite3.Connection, *, unread: Collection[str] = ()) -> None:
    """Forget the values that are gone, but for contexts in `unread`, and unused pictures; after the limits passed."""
    others = f"SELECT id FROM people WHERE context IN ({', '.join('?' * len(unread))})"
    gone = f"DELETE FROM photos WHERE gone_run IS NOT NULL AND person_id NOT IN ({others})"
    if db.execute(gone, tuple(unread)).rowcount:
        db.execute(
            "DELETE FROM pictures WHERE NOT EXISTS "
            "(SELECT 1 FROM photos WHERE photos.source_sha256 = pictures.source_sha256) "
            "AND source_sha256 NOT IN (SELECT source_sha256 FROM people WHERE context = 'guests')"
        )
