"""Read what is stored about one person: identity, events, and the present state."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import NamedTuple

from connector.errors import UsageError
from connector.ledger.codec import key, unpack_time
from connector.ledger.people import search_people
from connector.model import Action, Person, Reason


class Event(NamedTuple):
    """Represent one thing that was done for, or said of, a person; `until` is when something standing ended, if it did.

    `before_sha256` is the backup of the photo that a write took the place of. `planned` and `planned_reason` are the
    write that a safety limit held.
    """

    run: int
    kind: str
    at: str
    until: str
    dry_run: bool
    target: str
    action: Action
    reason: Reason
    detail: str
    before_sha256: str
    is_write: bool
    planned: Action | None
    planned_reason: Reason | None


class PersonStatus(NamedTuple):
    """Represent what is known of a person today, as in the rows of `people`."""

    state: str
    account_id: str
    account_upn: str
    match_rule: str
    match_problem: str
    source_sha256: str
    source_reason: str
    seen_run: int


def find_people(db: sqlite3.Connection, name: str) -> list[Person]:
    """Find people by UPN, mail, sAMAccountName, name or id; also who is known only from what was done."""
    found = {person.id: person for person in search_people(db, name)}
    query = "SELECT DISTINCT person_id, name, upn FROM outcomes WHERE upn = ? COLLATE NOCASE OR ? IN (name, person_id)"
    for row in db.execute(query, (key(name), name)):
        found.setdefault(row["person_id"], Person(id=row["person_id"], name=row["name"], upn=row["upn"]))
    return list(found.values())


def find_accounts(db: sqlite3.Connection, name: str) -> list[Person]:
    """Find accounts without a person, by UPN, mail, sAMAccountName or id; each stands as a person with its id."""
    query = """SELECT id, upn, mail, sam_account_name AS sam FROM accounts
        WHERE (:key IN (upn_key, mail_key, sam_key) OR id = :name)
          AND id NOT IN (SELECT account_id FROM people) LIMIT 10"""
    found = db.execute(query, {"key": key(name), "name": name})
    return [
        Person(id=row["id"], name=row["upn"], upn=row["upn"], mail=row["mail"], sam_account_name=row["sam"])
        for row in found
    ]


def find_one(db: sqlite3.Connection, name: str) -> Person | None:
    """Find the one person, or account without a person, of this name; UsageError where it fits several."""
    found = find_people(db, name) or find_accounts(db, name)
    if len(found) > 1:
        raise _ambiguous(name, found)
    return found[0] if found else None


def person_status(db: sqlite3.Connection, person_id: str) -> PersonStatus | None:
    """Return what is known of a person today; None for somebody who is only remembered."""
    query = """SELECT p.state, p.account_id, COALESCE(a.upn, '') AS account_upn, p.match_rule, p.match_problem,
        p.source_sha256, p.source_reason, p.seen_run FROM people p
        LEFT JOIN accounts a ON a.id = p.account_id WHERE p.id = ?"""
    row = db.execute(query, (person_id,)).fetchone()
    return None if row is None else PersonStatus(*row)


def person_events(db: sqlite3.Connection, person_id: str) -> list[Event]:
    """Return all that was done for, or stood about, a person, oldest first."""
    rows = db.execute(f"{_OUTCOMES} UNION ALL {_STANDING} ORDER BY 1, 3", {"person": person_id})
    return [_event(row) for row in rows]


def _event(row: sqlite3.Row) -> Event:
    values = dict(row)
    values["dry_run"], values["is_write"] = bool(values["dry_run"]), bool(values["is_write"])
    values["action"], values["reason"] = Action(values["action"]), Reason(values["reason"])
    values["planned"] = Action(values["planned"]) if values["planned"] else None
    values["planned_reason"] = Reason(values["planned_reason"]) if values["planned_reason"] else None
    return Event(**values)


_OUTCOMES = f"""
    SELECT o.run, COALESCE(r.kind, '') AS kind, COALESCE(r.started, '') AS at, '' AS until,
           COALESCE(r.dry_run OR r.kind = 'staging', 0) AS dry_run, o.target, o.action, o.reason, o.detail,
           COALESCE(w.before_sha256, '') AS before_sha256, w.run IS NOT NULL AS is_write, h.action AS planned,
           h.reason AS planned_reason
    FROM outcomes o LEFT JOIN runs r ON r.id = o.run
    LEFT JOIN writes w ON w.run = o.run AND w.target = o.target AND w.person_id = o.person_id
    LEFT JOIN plans h ON h.run = o.run AND h.target = o.target AND h.person_id = o.person_id
      AND o.reason = '{Reason.SAFETY_LIMIT}'
    WHERE o.person_id = :person AND NOT EXISTS (
      SELECT 1 FROM standing_outcomes s WHERE s.person_id = o.person_id AND s.target = o.target
        AND s.first_run = o.run AND s.action = o.action AND s.reason = o.reason)"""
# What began to stand in a run that then did something else was over at once.
_STANDING = """
    SELECT s.first_run, COALESCE(r.kind, ''), COALESCE(r.started, ''), COALESCE(u.started, ''), 0, s.target, s.action,
           s.reason, s.detail, '', 0, NULL, NULL
    FROM standing_outcomes s LEFT JOIN runs r ON r.id = s.first_run LEFT JOIN runs u ON u.id = s.end_run
    WHERE s.person_id = :person AND NOT EXISTS (
      SELECT 1 FROM outcomes o WHERE o.person_id = s.person_id AND o.target = s.target AND o.run = s.first_run
        AND (o.action, o.reason) <> (s.action, s.reason))"""


def run_time(db: sqlite3.Connection, run: int) -> datetime | None:
    """Return when a run started; None for a run that is no longer kept."""
    row = db.execute("SELECT started FROM runs WHERE id = ?", (run,)).fetchone()
    return None if row is None else unpack_time(row["started"])


def contexts_read(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """Return the naming contexts in which people in scope were seen, with the newest run that saw one."""
    query = (
        "SELECT context, MAX(seen_run) AS run FROM people WHERE context <> 'guests' GROUP BY context ORDER BY context"
    )
    return [(row["context"], row["run"]) for row in db.execute(query)]


def targets_of(db: sqlite3.Connection, account_id: str) -> list[str]:
    """Name the targets in which something is remembered, or open, of an account."""
    query = "SELECT target FROM photo_state WHERE account_id = ? UNION SELECT target FROM intents WHERE account_id = ?"
    return [row["target"] for row in db.execute(query, (account_id, account_id))]


def one_person(db: sqlite3.Connection, name: str) -> Person:
    """Find the one person of this name; UsageError where it fits nobody, or several."""
    found = find_people(db, name)
    if not found:
        fix = "Check the spelling (UPN, mail, sAMAccountName or DN); who was never in scope is not known."
        raise UsageError(f"{name}: no user in the database has this name.", fix)
    if len(found) > 1:
        raise _ambiguous(name, found)
    return found[0]


def _ambiguous(name: str, found: list[Person]) -> UsageError:
    listed = "; ".join(f"{person.name} ({person.upn or 'no UPN'}, {person.id})" for person in found)
    return UsageError(f"{name}: this fits {len(found)} people: {listed}.", "Name one by DN or by the id in brackets.")
