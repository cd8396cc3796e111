"""Store the members of groups: whom the settings treat by themselves and since when, and who is in LDAP_GROUP."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from connector.decide.case import PersonRule
from connector.ledger.codec import key, pack_time
from connector.model import Action, MatchRule, Reason

# The trigger keeps the table free of people that are gone.
TABLES = """
-- Who is named by a setting, by a group or a file; `rule` is a PersonRule, and of several the lowest applies.
CREATE TABLE memberships (
  person_id TEXT NOT NULL,
  setting TEXT NOT NULL,
  rule INTEGER NOT NULL,
  since TEXT NOT NULL,
  PRIMARY KEY (person_id, setting)
) WITHOUT ROWID;

-- Backups of photos that were removed because the person opted out; they are kept until the next run ends.
CREATE TABLE expelled_backups (
  sha256 TEXT PRIMARY KEY,
  person_id TEXT NOT NULL,
  run INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER memberships_gone AFTER DELETE ON people BEGIN
  DELETE FROM memberships WHERE person_id = OLD.id;
END;
"""
_NAMED_RULE = "COALESCE((SELECT MIN(g.rule) FROM memberships g WHERE g.person_id = p.id), 0)"
# Of people as `p`: an opt-out comes before everything, an external account before the groups.
RULE = f"""(CASE WHEN p.match_rule <> '{MatchRule.EXTERNAL}' OR {_NAMED_RULE} = 1 THEN {_NAMED_RULE}
    ELSE {int(PersonRule.EXTERNAL)} END)"""
SETTINGS = {
    "OPT_OUT_GROUP": PersonRule.OPTED_OUT,
    "OPT_OUT_FILE": PersonRule.OPTED_OUT,
    "KEEP_CLOUD_GROUP": PersonRule.KEEP_CLOUD,
    "SOURCE_WINS_GROUP": PersonRule.SOURCE_WINS,
}
GROUP_SETTINGS = ("OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP")


class Membership(NamedTuple):
    """Represent one setting that names a person; `since` is a time as `pack_time` writes it."""

    setting: str
    since: str


def drop_unset(db: sqlite3.Connection, settings: Collection[str]) -> None:
    """Forget the members of settings that are not set any more."""
    marks = ", ".join("?" * len(settings))
    db.execute(f"DELETE FROM memberships WHERE setting NOT IN ({marks})", tuple(settings))


def save_members(
    db: sqlite3.Connection, setting: str, members: Iterable[str], *, now: datetime, context: str | None = None
) -> None:
    """Store today's members of a setting, of one context or (None) of all; who is none any more is dropped.

    In a context only people in scope are looked for, so that those out of scope stay what they were.
    """
    db.execute("CREATE TEMP TABLE IF NOT EXISTS members_now (id TEXT PRIMARY KEY)")
    db.execute("DELETE FROM members_now")
    db.executemany("INSERT OR IGNORE INTO members_now (id) VALUES (?)", ((member,) for member in members))
    within = (
        ""
        if context is None
        else " AND person_id IN (SELECT id FROM people WHERE context = :context AND state = 'in-scope')"
    )
    values = {"setting": setting, "rule": int(SETTINGS[setting]), "since": pack_time(now), "context": context}
    db.execute(
        f"DELETE FROM memberships WHERE setting = :setting AND person_id NOT IN (SELECT id FROM members_now){within}",
        values,
    )
    db.execute(
        "INSERT OR IGNORE INTO memberships (person_id, setting, rule, since) "
        "SELECT id, :setting, :rule, :since FROM members_now",
        values,
    )


def people_named(db: sqlite3.Connection, names: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the people who have one of these UPNs or mails, also by their account, and the names that fit nobody."""
    found: set[str] = set()
    unknown = []
    for name in names:
        ids = {row["id"] for row in db.execute(_NAMED, {"key": key(name)})}
        found |= ids
        if not ids:
            unknown.append(name)
    return found, unknown


def members_named_before(db: sqlite3.Connection, setting: str) -> dict[str, set[str]]:
    """Return the members of a setting that names people, by the UPNs under which earlier runs told of their opt-out."""
    told = f"""SELECT g.person_id AS id, o.upn FROM memberships g JOIN {{}} o ON o.person_id = g.person_id
        WHERE g.setting = :setting AND o.reason = '{Reason.OPTED_OUT}' AND o.upn <> ''"""
    found: dict[str, set[str]] = {}
    query = f"{told.format('outcomes')} UNION {told.format('standing_outcomes')}"
    for row in db.execute(query, {"setting": setting}):
        found.setdefault(key(row["upn"]), set()).add(row["id"])
    return found


class NamedPerson(NamedTuple):
    """Represent a person by id, with the name that the source has for them."""

    id: str
    name: str
    is_in_scope: bool


def people_among(db: sqlite3.Connection, context: str, person_ids: Iterable[str]) -> list[NamedPerson]:
    """Return the known people of a context among these ids, in scope or not."""
    query = "SELECT id, name, state = 'in-scope' AS is_in_scope FROM people WHERE id = ? AND context = ?"
    rows = (db.execute(query, (person_id, context)).fetchone() for person_id in sorted(person_ids))
    return [NamedPerson(row["id"], row["name"], bool(row["is_in_scope"])) for row in rows if row is not None]


def has_opted_out(db: sqlite3.Connection, person_id: str) -> bool:
    """Return True if a setting names the person as opted out."""
    query = "SELECT 1 FROM memberships WHERE person_id = ? AND rule = ?"
    return db.execute(query, (person_id, int(PersonRule.OPTED_OUT))).fetchone() is not None


_NAMED = """
    SELECT id FROM people WHERE upn_key = :key AND upn_key <> ''
    UNION SELECT id FROM people WHERE mail_key = :key AND mail_key <> ''
    UNION SELECT p.id FROM accounts a JOIN people p ON p.account_id = a.id AND p.account_id <> ''
      WHERE a.upn_key = :key AND a.upn_key <> ''
    UNION SELECT p.id FROM accounts a JOIN people p ON p.account_id = a.id AND p.account_id <> ''
      WHERE a.mail_key = :key AND a.mail_key <> ''"""


def memberships_of(db: sqlite3.Connection, person_id: str) -> Iterator[Membership]:
    """Yield the settings that name a person, with the time of the first run that found it."""
    query = "SELECT setting, since FROM memberships WHERE person_id = ? ORDER BY rule, since"
    for row in db.execute(query, (person_id,)):
        yield Membership(row["setting"], row["since"])


def note_expelled(db: sqlite3.Connection, sha256: str, *, person_id: str, run: int) -> None:
    """Store that a backup is of somebody who opted out."""
    if sha256:
        db.execute("INSERT OR REPLACE INTO expelled_backups VALUES (?, ?, ?)", (sha256, person_id, run))


def expelled_backups(db: sqlite3.Connection) -> list[str]:
    """Return the backups of people who opted out that an earlier run took, and that no other write needs.

    Several people may have had the same picture: the removal for another one's opt-out, if it is as old, needs none.
    """
    query = """SELECT sha256 FROM expelled_backups e WHERE run < :newest
        AND NOT EXISTS (SELECT 1 FROM writes w WHERE w.before_sha256 = e.sha256 AND w.before_sha256 <> ''
                        AND (w.run > e.run OR w.person_id <> e.person_id) AND NOT (w.run < :newest AND EXISTS (
                          SELECT 1 FROM outcomes o WHERE o.run = w.run AND o.target = w.target
                          AND o.person_id = w.person_id AND o.action = :action AND o.reason = :reason)))"""
    newest = db.execute("SELECT MAX(id) FROM runs WHERE NOT dry_run").fetchone()[0]
    values = {"newest": newest, "action": Action.REMOVE, "reason": Reason.OPTED_OUT}
    return [row["sha256"] for row in db.execute(query, values)]


CHUNK = 500
_JOINED = """
    SELECT id FROM roster WHERE id > :last AND id NOT IN (SELECT id FROM people WHERE state = 'in-scope')
    ORDER BY id LIMIT :chunk"""
_LEFT = """
    SELECT id FROM people WHERE context = :context AND state = 'in-scope' AND id > :last
    AND id NOT IN (SELECT id FROM roster) AND seen_run < :run ORDER BY id LIMIT :chunk"""


def note_roster(db: sqlite3.Connection, members: Iterable[str]) -> None:
    """Store the ids of this run's members in one context, for `joined` and `left`."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS roster (id TEXT PRIMARY KEY)")
    db.execute("DELETE FROM roster")
    db.executemany("INSERT OR IGNORE INTO roster (id) VALUES (?)", ((member,) for member in members))


def joined(db: sqlite3.Connection) -> Iterator[list[str]]:
    """Yield members who are not in scope yet; chunks may be written meanwhile."""
    return _chunks(db, _JOINED)


def left(db: sqlite3.Connection, context: str, *, run: int) -> Iterator[list[str]]:
    """Yield who is in scope in this context, no member any more and not met by this run; chunks may be written."""
    return _chunks(db, _LEFT, context=context, run=run)


def _chunks(db: sqlite3.Connection, query: str, **values: str | int) -> Iterator[list[str]]:
    last = ""
    while ids := [row["id"] for row in db.execute(query, {**values, "last": last, "chunk": CHUNK})]:
        last = ids[-1]
        yield ids
