"""Store people and their source pictures, refreshed by full readings or by changes, and guests without a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from connector.ledger.codec import key, packed_print, save_print, save_row, unpack_print
from connector.model import Candidate, Person, PersonState, Picture, Reason
from connector.model.reasons import ADVICE, UNUSABLE

# As lists in SQL. The unread ones stand until the person is read completely again.
UNUSABLE_REASONS = f"({', '.join(repr(reason.value) for reason in sorted(UNUSABLE))})"
UNREAD_REASONS = f"({', '.join(repr(reason.value) for reason, advice in ADVICE.items() if advice.is_unread)})"
_COLUMNS = (
    "id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id, sid, anchor, is_contact"
)


def save_person(db: sqlite3.Connection, person: Person, *, context: str, run: int) -> None:
    """Insert or refresh a person who is in scope, as read in this run."""
    values = (
        *(person.id, context, person.name, person.upn, key(person.upn), person.mail, key(person.mail)),
        *(person.sam_account_name, key(person.sam_account_name), person.employee_id, person.sid, person.anchor),
        *(person.is_contact, PersonState.IN_SCOPE, run, run),
    )
    known = db.execute(f"SELECT {_COLUMNS}, state FROM people WHERE id = ?", (person.id,)).fetchone()
    if known is not None and tuple(known) == values[:-2]:  # so that the names' indexes are not written anew
        db.execute("UPDATE people SET seen_run = ? WHERE id = ?", (run, person.id))
        return
    db.execute(_SAVE, values)


_SAVE = (
    f"INSERT INTO people ({_COLUMNS}, state, seen_run, changed_run) "
    f"VALUES ({', '.join('?' * (len(_COLUMNS.split(', ')) + 3))}) ON CONFLICT (id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_COLUMNS.split(", ")[1:], "state", "seen_run", "changed_run"))
)


def save_photos(
    db: sqlite3.Connection, person_id: str, found: Iterable[tuple[str, str]], *, keep: Collection[str], run: int
) -> None:
    """Make (attribute, sha256) pairs the person's photos; those of attributes in `keep` stay as they were."""
    now = set(found)
    old = {
        (row["attribute"], row["source_sha256"]): row["gone_run"]
        for row in db.execute("SELECT attribute, source_sha256, gone_run FROM photos WHERE person_id = ?", (person_id,))
    }
    gone = [pair for pair, gone_run in old.items() if pair not in now and pair[0] not in keep and gone_run is None]
    back = [pair for pair in now if pair not in old or old[pair] is not None]
    if not (gone or back):
        return
    mark = "UPDATE photos SET gone_run = ? WHERE person_id = ? AND attribute = ? AND source_sha256 = ?"
    db.executemany(mark, [(run, person_id, *pair) for pair in gone])
    db.executemany(
        "INSERT INTO photos (person_id, attribute, source_sha256, gone_run) VALUES (?, ?, ?, NULL) "
        "ON CONFLICT (person_id, attribute, source_sha256) DO UPDATE SET gone_run = NULL",
        [(person_id, *pair) for pair in back],
    )
    db.execute("UPDATE people SET changed_run = ? WHERE id = ?", (run, person_id))


def mark_gone(db: sqlite3.Connection, person_id: str, state: PersonState, *, run: int) -> bool:
    """Record that a person no longer takes part; True when that is news. Photos and memory stay as they are."""
    change = "UPDATE people SET state = ?, seen_run = ?, changed_run = ? WHERE id = ? AND state = 'in-scope'"
    is_news = db.execute(change, (state, run, run, person_id)).rowcount > 0
    # who is deleted after having been disabled claims no account any more
    db.execute("UPDATE people SET state = ? WHERE id = ? AND state <> 'in-scope'", (state, person_id))
    return is_news


def unseen(db: sqlite3.Connection, context: str, *, run: int) -> Iterator[str]:
    """Yield who is in scope but was not met by this run's full reading; the caller puts each out of scope."""
    query = "SELECT id FROM people WHERE context = ? AND seen_run < ? AND state = 'in-scope' LIMIT 500"
    while ids := [row["id"] for row in db.execute(query, (context, run))]:
        yield from ids


def clear_photos(db: sqlite3.Connection, person_id: str, *, run: int) -> bool:
    """Record that a person whose photo is known, or was ours, has none any more; False for anybody else."""
    save_photos(db, person_id, (), keep=(), run=run)
    change = """
        UPDATE people SET seen_run = ? WHERE id = ? AND (changed_run = ? OR EXISTS (
          SELECT 1 FROM photo_state m WHERE m.person_id = people.id AND m.presence = 'ours'))"""
    return db.execute(change, (run, person_id, run)).rowcount > 0


def context_of(db: sqlite3.Connection, person_id: str) -> str:
    """Return the context in which the person was last read; empty for somebody unknown."""
    row = db.execute("SELECT context FROM people WHERE id = ?", (person_id,)).fetchone()
    return "" if row is None else str(row["context"])


def account_of(db: sqlite3.Connection, person_id: str) -> str:
    """Return the id of the account that was last found for the person; empty for none."""
    row = db.execute("SELECT account_id FROM people WHERE id = ?", (person_id,)).fetchone()
    return "" if row is None else str(row["account_id"])


def drop_other_attributes(db: sqlite3.Connection, context: str, *, attributes: Sequence[str]) -> None:
    """Forget the values of attributes that are no longer asked for: they did not vanish, nobody looks."""
    query = f"DELETE FROM photos WHERE attribute NOT IN ({', '.join('?' * len(attributes))})"
    db.execute(f"{query} AND person_id IN (SELECT id FROM people WHERE context = ?)", (*attributes, context))


def known_attributes(db: sqlite3.Connection, person_id: str) -> set[str]:
    """Name the photo attributes in which this person had a value when last read."""
    query = "SELECT DISTINCT attribute FROM photos WHERE person_id = ? AND gone_run IS NULL"
    return {row["attribute"] for row in db.execute(query, (person_id,))}


def save_picture(db: sqlite3.Connection, picture: Picture, *, run: int) -> None:
    """Remember what a usable source picture shows; whoever has it is marked as changed if it was refused before."""
    _mark_changed_refusal(db, picture.source_sha256, refused="", run=run)
    values = {
        "source_sha256": picture.source_sha256,
        "refused": "",
        "detail": "",
        "recipe": picture.recipe,
        "sent_sha256": picture.sent_sha256,
        "sent_print": save_print(db, picture.sent),
        "whole_print": save_print(db, picture.whole),
        "centre_print": save_print(db, picture.centre),
    }
    save_row(db, "pictures", values, key="source_sha256")


def save_refused_picture(
    db: sqlite3.Connection, source_sha256: str, reason: Reason, *, detail: str, recipe: str, run: int
) -> None:
    """Remember why a source picture is refused; whoever has it is marked as changed if that is news."""
    _mark_changed_refusal(db, source_sha256, refused=reason, run=run)
    values = {"source_sha256": source_sha256, "refused": reason, "detail": detail, "recipe": recipe, "sent_sha256": ""}
    prints = dict.fromkeys(("sent_print", "whole_print", "centre_print"))
    save_row(db, "pictures", values | prints, key="source_sha256")


def _mark_changed_refusal(db: sqlite3.Connection, source_sha256: str, *, refused: str, run: int) -> None:
    """Mark everybody who has a picture as changed if it is refused now, not any more, or for another reason."""
    query = "SELECT 1 FROM pictures WHERE source_sha256 = ? AND refused <> ?"
    if db.execute(query, (source_sha256, refused)).fetchone() is not None:
        change = "UPDATE people SET changed_run = ? WHERE id IN (SELECT person_id FROM photos WHERE source_sha256 = ?)"
        db.execute(change, (run, source_sha256))


def refused_under(db: sqlite3.Connection, source_sha256: str) -> str:
    """Return the recipe under which a picture was refused; empty for one that was not."""
    query = "SELECT recipe FROM pictures WHERE source_sha256 = ? AND refused <> ''"
    row = db.execute(query, (source_sha256,)).fetchone()
    return "" if row is None else str(row["recipe"])


def find_picture(db: sqlite3.Connection, source_sha256: str) -> Picture | None:
    """Return what is known of a source picture; None when it was never looked at, or is refused."""
    query = f"SELECT {PICTURE_COLUMNS} FROM pictures k WHERE source_sha256 = ?"
    row = db.execute(query, (source_sha256,)).fetchone()
    return None if row is None else to_picture(row)


# Of pictures as `k`.
PICTURE_COLUMNS = ", ".join(
    (
        *(f"k.{name} AS k_{name}" for name in ("source_sha256", "refused", "recipe", "sent_sha256")),
        *(f"{packed_print(f'k.{name}')} AS k_{name}" for name in ("sent_print", "whole_print", "centre_print")),
    )
)


def to_picture(row: sqlite3.Row) -> Picture | None:
    """Make a picture of a row with `PICTURE_COLUMNS`; None where there is none, or it is refused."""
    sent, whole = unpack_print(row["k_sent_print"]), unpack_print(row["k_whole_print"])
    if row["k_refused"] != "" or sent is None or whole is None:
        return None
    return Picture(
        row["k_source_sha256"],
        sent=sent,
        whole=whole,
        centre=unpack_print(row["k_centre_print"]),
        sent_sha256=row["k_sent_sha256"],
        recipe=row["k_recipe"],
    )


def other_pictures(db: sqlite3.Connection, person_id: str, *, than: str) -> list[Picture]:
    """Return what is known of the person's other photo values, than the one with this sha256."""
    query = f"""
        SELECT {PICTURE_COLUMNS} FROM photos JOIN pictures k ON k.source_sha256 = photos.source_sha256
        WHERE photos.person_id = ? AND photos.gone_run IS NULL AND photos.source_sha256 <> ? AND refused = ''"""
    found = map(to_picture, db.execute(query, (person_id, than)))
    return [picture for picture in found if picture is not None]


def photos_to_choose_from(db: sqlite3.Connection, *, run: int) -> Iterator[list[tuple[str, list[Candidate]]]]:
    """Yield in chunks who changed in this run, with the values to choose from; chunks may be written meanwhile."""
    last = ""
    while True:
        query = "SELECT id FROM people WHERE changed_run = ? AND state = 'in-scope' AND id > ? ORDER BY id LIMIT 500"
        ids = [row["id"] for row in db.execute(query, (run, last))]
        if not ids:
            return
        rows = db.execute(_VALUES, (run, last, ids[-1])).fetchall()
        last = ids[-1]
        yield [
            (person_id, [_candidate(row) for row in values if row["attribute"] is not None])
            for person_id, values in groupby(rows, key=lambda row: row["id"])
        ]


_VALUES = f"""
    SELECT people.id, photos.attribute, photos.source_sha256,
           CASE WHEN placeholders.source_sha256 IS NOT NULL AND pictures.refused = '' THEN 'placeholder'
                ELSE pictures.refused END AS refused,
           {packed_print("pictures.whole_print")} AS whole_print
    FROM people
    LEFT JOIN photos ON photos.person_id = people.id AND photos.gone_run IS NULL
    LEFT JOIN pictures ON pictures.source_sha256 = photos.source_sha256
    LEFT JOIN placeholders ON placeholders.source_sha256 = photos.source_sha256
    WHERE people.changed_run = ? AND people.state = 'in-scope' AND people.id > ? AND people.id <= ?
    ORDER BY people.id"""


def mark_context_changed(db: sqlite3.Connection, context: str, *, run: int) -> None:
    """Mark everybody of a context as changed: the settings may trust other attributes now, in another order."""
    db.execute("UPDATE people SET changed_run = ? WHERE context = ? AND state = 'in-scope'", (run, context))


def _candidate(row: sqlite3.Row) -> Candidate:
    shows = unpack_print(row["whole_print"])
    width, height = (shows.width, shows.height) if shows else (0, 0)
    refused = Reason(row["refused"]) if row["refused"] else None
    return Candidate(row["attribute"], row["source_sha256"], width, height, refused)


def set_chosen(db: sqlite3.Connection, chosen: Sequence[tuple[str, str, str]]) -> None:
    """Store the choice: rows of (source sha256 or empty, reason or empty, person id)."""
    change = f"""UPDATE people SET source_sha256 = ?, source_reason = ? WHERE id = ?
        AND source_reason NOT IN {UNREAD_REASONS} AND (source_sha256 <> ? OR source_reason <> ?)"""
    db.executemany(change, [(*row, *row[:2]) for row in chosen])


# Only of what many rows share it is asked whose they are: who was deleted is nobody, and an anchor is one person, who
# may have come with another id from another domain.
_SHARED = """
    SELECT f.source_sha256 FROM photos f JOIN people p ON p.id = f.person_id
    WHERE f.gone_run IS NULL AND p.state <> 'deleted' AND f.source_sha256 IN (
      SELECT source_sha256 FROM photos WHERE gone_run IS NULL
      GROUP BY source_sha256 HAVING COUNT(DISTINCT person_id) >= :people)
    GROUP BY f.source_sha256 HAVING COUNT(DISTINCT COALESCE(NULLIF(p.anchor, ''), p.id)) >= :people"""


def find_placeholders(db: sqlite3.Connection, *, people: int, run: int) -> int:
    """Find the pictures that at least `people` people share (0: none); returns how many are new or gone.

    Whoever has one that changed sides is marked as changed, so that the choice is made again.
    """
    db.execute("CREATE TEMP TABLE IF NOT EXISTS now_shared (source_sha256 TEXT PRIMARY KEY)")
    db.execute("DELETE FROM now_shared")
    if people:
        db.execute(f"INSERT INTO now_shared (source_sha256) {_SHARED}", {"people": people})
    differ = (
        "SELECT source_sha256 FROM now_shared WHERE source_sha256 NOT IN placeholders "
        "UNION SELECT source_sha256 FROM placeholders WHERE source_sha256 NOT IN now_shared"
    )
    count: int = db.execute(f"SELECT COUNT(*) FROM ({differ})").fetchone()[0]
    db.execute(
        "UPDATE people SET changed_run = ? WHERE id IN "
        f"(SELECT person_id FROM photos WHERE source_sha256 IN ({differ}))",
        (run,),
    )
    db.execute("DELETE FROM placeholders WHERE source_sha256 NOT IN now_shared")
    db.execute("INSERT OR IGNORE INTO placeholders (source_sha256) SELECT source_sha256 FROM now_shared")
    return count


def find_person(db: sqlite3.Connection, person_id: str) -> Person | None:
    """Return the person with this id, as last read."""
    row = db.execute("SELECT * FROM people WHERE id = ?", (person_id,)).fetchone()
    return None if row is None else to_person(row)


def to_person(row: sqlite3.Row) -> Person:
    """Make a person of a row of `people`."""
    return Person(
        id=row["id"],
        name=row["name"],
        upn=row["upn"],
        mail=row["mail"],
        sam_account_name=row["sam_account_name"],
        employee_id=row["employee_id"],
        sid=row["sid"],
        anchor=row["anchor"],
        is_contact=bool(row["is_contact"]),
    )


def search_people(db: sqlite3.Connection, name: str) -> list[Person]:
    """Find people, in scope or not, by UPN, mail, sAMAccountName, name in the source, or id."""
    query = "SELECT * FROM people WHERE ? IN (upn_key, mail_key, sam_key) OR ? IN (name, id) LIMIT 10"
    return [to_person(row) for row in db.execute(query, (key(name), name))]


GUESTS = "guests"

_LONE = """
    SELECT a.* FROM accounts a WHERE a.is_guest AND a.is_enabled AND NOT EXISTS (
      SELECT 1 FROM people p WHERE p.account_id = a.id AND p.account_id <> ''
      AND p.state = 'in-scope' AND p.context <> 'guests')"""


def save_guests(db: sqlite3.Connection, source_sha256: str, *, run: int) -> None:
    """Make every lone guest somebody with this picture; who is no longer one leaves the scope. Empty: nobody is one.

    No rule can match such a row: it has the account's name and nothing to compare.
    """
    lone = f"SELECT id FROM ({_LONE})"
    db.execute(
        f"""UPDATE people SET state = 'out-of-scope', changed_run = :run, account_id = ''
        WHERE context = 'guests' AND state = 'in-scope' AND (:sha = '' OR account_id NOT IN ({lone}))""",
        {"run": run, "sha": source_sha256},
    )
    if not source_sha256:
        return
    db.execute(
        f"""INSERT INTO people (id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id,
            sid, anchor, is_contact, state, seen_run, changed_run, source_sha256, account_id, match_rule,
            confirmed_account_id)
        SELECT 'guest:' || id, 'guests', upn, upn, '', mail, '', '', '', '', '', '', 0,
            'in-scope', :run, :run, :sha, id, 'guest', id FROM ({_LONE}) WHERE true
        ON CONFLICT (id) DO UPDATE SET state = 'in-scope', seen_run = :run, changed_run = :run,
            source_sha256 = :sha, account_id = excluded.account_id
        WHERE (people.state, people.source_sha256, people.account_id)
            IS NOT ('in-scope', :sha, excluded.account_id)""",
        {"run": run, "sha": source_sha256},
    )


def people_below(db: sqlite3.Connection, context: str) -> Iterator[tuple[str, str]]:
    """Yield (id, DN) of everybody who was read in a naming context."""
    yield from db.execute("SELECT id, name FROM people WHERE context = ? ORDER BY id", (context,))
