"""List whom a run processes: what differs from the stored state, is open, failed, or is due by rotation."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from connector.decide.case import PersonRule, Policy
from connector.decide.standing import StandingRow, standing_rows
from connector.ledger.memberships import RULE
from connector.ledger.memory import INTENT_COLUMNS, MEMORY_COLUMNS, to_intent, to_memory
from connector.ledger.people import PICTURE_COLUMNS, UNUSABLE_REASONS, to_person, to_picture
from connector.model import Account, Conflict, Intent, Memory, Person, Picture, Removed

_STATE = (
    "rule",
    "is_guest",
    "has_photo",
    "presence",
    "is_of_person",
    "is_same_source",
    "conflict_policy",
    "is_final",
    "restored",
)

# One row for each person `p` with the memory `m`, or none for a state that no rule knows.
JOIN_RULES = f"""LEFT JOIN temp.rules q ON q.rule = {RULE}
    AND q.is_guest = (p.context = 'guests') AND q.has_photo = (p.source_sha256 <> '')
    AND q.presence = COALESCE(m.presence, '') AND q.is_of_person = COALESCE(m.person_id = p.id, 0)
    AND q.is_same_source = COALESCE(m.source_sha256 = p.source_sha256, 0)
    AND q.conflict_policy = COALESCE(m.conflict_policy, '') AND q.is_final = COALESCE(m.is_final, 0)
    AND q.restored = COALESCE(m.restored, 0)"""


def fill_rules(db: sqlite3.Connection, policy: Policy) -> None:
    """Write the decisions under this policy into the temporary table `rules`."""
    names = ", ".join(StandingRow._fields)
    db.execute("DROP TABLE IF EXISTS temp.rules")
    db.execute(f"CREATE TEMP TABLE rules ({names}, PRIMARY KEY ({', '.join(_STATE)})) WITHOUT ROWID")
    marks = ", ".join("?" * len(StandingRow._fields))
    db.executemany(f"INSERT INTO temp.rules ({names}) VALUES ({marks})", standing_rows(policy))


# A person takes part where the read was whole, the account is certain, and the picture can be judged or is not needed.
_TAKES_PART = f"""p.state = 'in-scope' AND p.account_id <> '' AND p.match_problem = ''
    AND p.context NOT IN (SELECT name FROM unread)
    AND (p.source_sha256 <> '' OR p.source_reason = 'no-photo'
         OR (p.source_reason IN {UNUSABLE_REASONS} AND {RULE} = 1))
    AND NOT EXISTS (SELECT 1 FROM excluded_accounts o WHERE o.target = :target AND o.account_id = p.account_id)"""
_JOINED = """people p
    LEFT JOIN photo_state m ON m.target = :target AND m.account_id = p.account_id
    LEFT JOIN intents i ON i.target = :target AND i.account_id = p.account_id
    LEFT JOIN refusals r ON r.target = :target AND r.account_id = p.account_id AND r.source_sha256 = p.source_sha256
    LEFT JOIN retries t ON t.target = :target AND t.person_id = p.id"""
_ADD = "INSERT OR IGNORE INTO work (target, person_id, due)"
_DIFFERS = """(
    i.account_id IS NOT NULL
    OR (t.retry IS NOT NULL AND (m.account_id IS NOT NULL OR p.source_sha256 <> ''))
    OR (q.is_looked_at IS NOT 0 AND (r.account_id IS NULL OR p.source_sha256 = '' OR q.rule = 1)))"""


class WorkItem(NamedTuple):
    """Represent all that the ledger knows for one decision."""

    position: int
    person: Person
    account: Account
    source_sha256: str
    picture: Picture | None
    memory: Memory | None
    intent: Intent | None
    is_due: bool
    is_again: bool = False
    rule: PersonRule = PersonRule.NONE


def begin_work(db: sqlite3.Connection) -> None:
    """Begin a night: empty work lists, nobody left out."""
    work = "target TEXT, person_id TEXT, due INTEGER, done INTEGER NOT NULL DEFAULT 0, UNIQUE (person_id, target)"
    excluded = "target TEXT, account_id TEXT, PRIMARY KEY (target, account_id)"
    for name, columns in (("unread", "name TEXT PRIMARY KEY"), ("work", work), ("excluded_accounts", excluded)):
        db.execute(f"DROP TABLE IF EXISTS temp.{name}")
        db.execute(f"CREATE TEMP TABLE {name} ({columns})")


def exclude(db: sqlite3.Connection, target: str, *, unread: Collection[str], with_exchange: bool, guests: bool) -> None:
    """Exclude from a target's list contexts that were not read and, if asked, accounts with Exchange or guests."""
    db.executemany("INSERT OR IGNORE INTO unread (name) VALUES (?)", [(name,) for name in unread])
    insert = "INSERT OR IGNORE INTO excluded_accounts (target, account_id)"
    if with_exchange:
        db.execute(f"{insert} SELECT ?, id FROM accounts WHERE has_exchange", (target,))
    if guests:
        query = "SELECT ?, account_id FROM people WHERE context = 'guests' AND account_id <> ''"
        db.execute(f"{insert} {query}", (target,))


def list_different(db: sqlite3.Connection, target: str, *, source_wins: bool, removes: bool) -> int:
    """List everybody whose source, account or cloud is not as remembered; those who failed come last."""
    _fill_rules(db, source_wins=source_wins, removes=removes)
    query = (
        f"{_ADD} SELECT :target, p.id, 1 FROM {_JOINED} {JOIN_RULES} WHERE {_TAKES_PART} AND {_DIFFERS} "
        "ORDER BY i.account_id IS NULL, COALESCE(t.retry, 0) > 1, p.id"
    )
    return db.execute(query, {"target": target}).rowcount


def _fill_rules(db: sqlite3.Connection, *, source_wins: bool, removes: bool) -> None:
    conflict = Conflict.SOURCE if source_wins else Conflict.CLOUD
    fill_rules(db, Policy(conflict=conflict, removed=Removed.REMOVE if removes else Removed.KEEP))


def list_everybody(db: sqlite3.Connection, target: str) -> int:
    """List everybody who takes part and has a photo or a memory (`--full`, `--resend`).

    Whose photo was written longest ago comes first: several `--resend` with a limit then reach everybody.
    """
    last = "SELECT account_id, MAX(written_at) AS written_at FROM writes WHERE target = :target GROUP BY account_id"
    query = (
        f"{_ADD} SELECT :target, p.id, 1 FROM {_JOINED} LEFT JOIN ({last}) w ON w.account_id = p.account_id "
        f"WHERE {_TAKES_PART} AND (p.source_sha256 <> '' OR m.account_id IS NOT NULL) ORDER BY w.written_at, p.id"
    )
    return db.execute(query, {"target": target}).rowcount


def list_chosen(db: sqlite3.Connection, target: str, person_ids: Sequence[str]) -> int:
    """List these people, where they take part (`--only`)."""
    chosen = f"SELECT :target, p.id, 1 FROM {_JOINED} WHERE {_TAKES_PART} AND p.id = :person"
    query = f"{_ADD} {chosen}"
    return sum(db.execute(query, {"target": target, "person": one}).rowcount for one in person_ids)


def list_approved(db: sqlite3.Connection, target: str) -> None:
    """List the people of the approved plan who were not struck out, where they still take part (`--approve`)."""
    in_plan = "SELECT 1 FROM approved v WHERE v.person_id = p.id AND v.target = :target AND v.is_kept"
    query = f"{_ADD} SELECT :target, p.id, 1 FROM {_JOINED} WHERE {_TAKES_PART} AND EXISTS ({in_plan}) ORDER BY p.id"
    db.execute(query, {"target": target})


def unlisted(db: sqlite3.Connection, run: int, target: str, *, chunk: int = 200) -> Iterator[sqlite3.Row]:
    """Yield the people of the approved plan who are in scope and read, but not on the list and without an outcome.

    A row is one of `people`, with `is_kept`: 0 for a step that was struck out. Outcomes may be written meanwhile.
    """
    query = """SELECT p.*, v.is_kept FROM approved v JOIN people p ON p.id = v.person_id
        WHERE v.target = :target AND p.state = 'in-scope' AND p.context NOT IN (SELECT name FROM unread)
          AND NOT EXISTS (SELECT 1 FROM work w WHERE w.target = v.target AND w.person_id = p.id)
          AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.run = :run AND o.target = v.target AND o.person_id = p.id)
          AND p.id > :last ORDER BY p.id LIMIT :chunk"""
    last = ""
    while rows := db.execute(query, {"run": run, "target": target, "last": last, "chunk": chunk}).fetchall():
        yield from rows
        last = rows[-1]["id"]


def count_others(db: sqlite3.Connection, target: str, *, source_wins: bool, removes: bool) -> int:
    """Count the people who are due and not in the approved plan."""
    _fill_rules(db, source_wins=source_wins, removes=removes)
    in_plan = "SELECT 1 FROM approved v WHERE v.person_id = p.id AND v.target = :target"
    query = f"SELECT COUNT(*) FROM {_JOINED} {JOIN_RULES} WHERE {_TAKES_PART} AND {_DIFFERS} AND NOT EXISTS ({in_plan})"
    count: int = db.execute(query, {"target": target}).fetchone()[0]
    return count


def add_rotation(db: sqlite3.Connection, target: str, percent: float, *, refused_only: bool = False) -> int:
    """Add the share of the quiet people whose last look is the oldest; returns how many are added.

    People without a source photo have their turn, too: what the cloud shows of them is for `coverage`.
    `refused_only` adds just those whom the service refused: a look at anybody else's photo costs too much there.
    """
    known = "r.account_id IS NOT NULL"
    if not refused_only:
        known = f"({known} OR m.account_id IS NOT NULL OR p.source_sha256 = '')"
    quiet = (
        f"FROM {_JOINED} LEFT JOIN cloud_looks l ON l.target = :target AND l.account_id = p.account_id "
        f"WHERE {_TAKES_PART} AND {known} "
        "AND p.id NOT IN (SELECT person_id FROM work WHERE target = :target)"
    )
    total = db.execute(f"SELECT COUNT(*) {quiet}", {"target": target}).fetchone()[0]
    share = math.ceil(total * percent / 100)
    last_look = "COALESCE(m.checked_at, r.checked_at, l.checked_at)"
    oldest = f"SELECT :target, p.id, 0 {quiet} ORDER BY {last_look}, p.id LIMIT :share"
    query = f"{_ADD} {oldest}"
    return db.execute(query, {"target": target, "share": share}).rowcount if share else 0


def count_work(db: sqlite3.Connection, target: str) -> int:
    """Count the people on a target's list."""
    count: int = db.execute("SELECT COUNT(*) FROM work WHERE target = ?", (target,)).fetchone()[0]
    return count


def work_items(db: sqlite3.Connection, target: str, *, chunk: int = 200) -> Iterator[list[WorkItem]]:
    """Yield the work list in chunks, in its order; what happens to the ledger meanwhile does not disturb it."""
    position = 0
    while items := items_where(db, target, "w.rowid > ?", [position], limit=chunk):
        position = items[-1].position
        yield items


def items_where(
    db: sqlite3.Connection, target: str, condition: str, values: Sequence[object], *, limit: int = -1
) -> list[WorkItem]:
    """Return the people of the work list that a condition on `w` selects, with all that is known of them.

    The plus keeps SQLite from an index on the target, by which each chunk would sort the whole list anew.
    """
    query = f"""SELECT w.rowid AS position, w.due AS due, {_ITEM_COLUMNS}
        FROM work w CROSS JOIN people p ON p.id = w.person_id {_ITEM_JOINS}
        WHERE +w.target = ? AND {condition} ORDER BY w.rowid LIMIT ?"""
    return [_item(row) for row in db.execute(query, (target, target, target, target, *values, limit))]


def done(db: sqlite3.Connection, target: str, person_id: str) -> None:
    """Record that a person on the list has an outcome."""
    db.execute("UPDATE work SET done = 1 WHERE target = ? AND person_id = ?", (target, person_id))


def mark_due(db: sqlite3.Connection, target: str, person_id: str) -> None:
    """Record that somebody whose turn it merely was is to be written to: not to be forgotten if the run stops."""
    db.execute("UPDATE work SET due = 1 WHERE target = ? AND person_id = ?", (target, person_id))


def undone(db: sqlite3.Connection, target: str, *, chunk: int = 200) -> Iterator[list[WorkItem]]:
    """Yield the people who were due and have no outcome, since the run was stopped; the caller records one for each."""
    position = 0
    while items := items_where(db, target, "w.rowid > ? AND w.due AND NOT w.done", [position], limit=chunk):
        position = items[-1].position
        yield items


_ITEM_COLUMNS = f"""p.*,
    a.upn AS a_upn, a.mail AS a_mail, a.sam_account_name AS a_sam, a.employee_id AS a_employee,
    a.immutable_id AS a_immutable, a.sid AS a_sid, a.is_guest, a.is_enabled, a.is_synced, a.has_exchange,
    {PICTURE_COLUMNS}, {MEMORY_COLUMNS}, {INTENT_COLUMNS}, t.retry IS NOT NULL AS again, {RULE} AS rule"""
_ITEM_JOINS = """JOIN accounts a ON a.id = p.account_id
    LEFT JOIN pictures k ON k.source_sha256 = p.source_sha256
    LEFT JOIN photo_state m ON m.target = ? AND m.account_id = p.account_id
    LEFT JOIN intents i ON i.target = ? AND i.account_id = p.account_id
    LEFT JOIN retries t ON t.target = ? AND t.person_id = p.id"""


def _item(row: sqlite3.Row) -> WorkItem:
    return WorkItem(
        position=row["position"],
        person=to_person(row),
        account=_account(row),
        source_sha256=row["source_sha256"],
        picture=to_picture(row),
        memory=to_memory(row) if row["m_account_id"] is not None else None,
        intent=to_intent(row) if row["i_account_id"] is not None else None,
        is_due=bool(row["due"]),
        is_again=bool(row["again"]),
        rule=PersonRule(row["rule"]),
    )


def _account(row: sqlite3.Row) -> Account:
    return Account(
        id=row["account_id"],
        upn=row["a_upn"],
        mail=row["a_mail"],
        sam_account_name=row["a_sam"],
        employee_id=row["a_employee"],
        immutable_id=row["a_immutable"],
        sid=row["a_sid"],
        is_guest=bool(row["is_guest"]),
        is_enabled=bool(row["is_enabled"]),
        is_synced=bool(row["is_synced"]),
        has_exchange=bool(row["has_exchange"]),
    )
