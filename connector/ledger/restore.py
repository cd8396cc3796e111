"""Store the plan of a restore: writes of an earlier run with what is known of their people today."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from connector.decide.case import Decision, MemoryChange
from connector.ledger.accounts import find_account
from connector.ledger.memory import find_intent, find_memory
from connector.ledger.people import find_person
from connector.ledger.plan import PlanTotals, Step
from connector.ledger.worklist import WorkItem
from connector.ledger.writes import Write, find_write
from connector.model import Account, Action, Person, Reason


class RestoreItem(NamedTuple):
    """Represent a write that may be taken back, and what is known today of the person and account it was for."""

    write: Write
    item: WorkItem


def undo_of(db: sqlite3.Connection, write: Write) -> RestoreItem:
    """Put a write beside what is known today; who is known no more goes by the account's name."""
    account = find_account(db, write.account_id) or Account(id=write.account_id)
    name = account.upn or account.id
    person = find_person(db, write.person_id) or Person(id=write.person_id, name=name, upn=account.upn)
    item = WorkItem(
        position=0,
        person=person,
        account=account,
        source_sha256=_source_sha256(db, write.person_id),
        picture=None,
        memory=find_memory(db, write.target, write.account_id),
        intent=find_intent(db, write.target, write.account_id),
        is_due=True,
    )
    return RestoreItem(write, item)


def _source_sha256(db: sqlite3.Connection, person_id: str) -> str:
    row = db.execute("SELECT source_sha256 FROM people WHERE id = ?", (person_id,)).fetchone()
    return "" if row is None else str(row["source_sha256"])


def is_somebody_elses(db: sqlite3.Connection, write: Write) -> bool:
    """Return True if the account belongs by now to another person than the one it was written for."""
    # said to be not empty, since the index on it leaves the empty ones out
    query = "SELECT 1 FROM people WHERE account_id = ? AND account_id <> '' AND id <> ? AND state = 'in-scope'"
    return db.execute(query, (write.account_id, write.person_id)).fetchone() is not None


def removed_for_opt_out(db: sqlite3.Connection, write: Write) -> bool:
    """Return True if a write removed a photo because its person had opted out."""
    query = "SELECT 1 FROM outcomes WHERE run = ? AND target = ? AND person_id = ? AND action = ? AND reason = ?"
    values = (write.run, write.target, write.person_id, Action.REMOVE, Reason.OPTED_OUT)
    return db.execute(query, values).fetchone() is not None


def begin_undo(db: sqlite3.Connection) -> None:
    """Begin with nothing to take back."""
    db.execute("DROP TABLE IF EXISTS temp.undo")
    db.execute(
        "CREATE TEMP TABLE undo (position INTEGER PRIMARY KEY, run INTEGER, target TEXT, account_id TEXT,"
        " person_id TEXT, action TEXT, tag_before TEXT)"
    )


def add_undo(db: sqlite3.Connection, write: Write, *, action: Action, tag_before: str) -> None:
    """Plan to take one write back by this action, over the photo with this tag."""
    values = (write.run, write.target, write.account_id, write.person_id, action, tag_before)
    names = "run, target, account_id, person_id, action, tag_before"
    db.execute(f"INSERT INTO undo ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)


def count_undo(db: sqlite3.Connection) -> PlanTotals:
    """Count what the plan would do; nothing of it goes over a state that we did not make."""
    sums = ", ".join(f"COALESCE(SUM(action = '{name}'), 0)" for name in ("create", "replace", "remove"))
    return PlanTotals(*db.execute(f"SELECT {sums}, 0 FROM undo").fetchone())


def undo_steps(db: sqlite3.Connection, target: str, *, chunk: int) -> Iterator[list[Step]]:
    """Yield a target's steps in chunks; `undone_write` gives the write that one of them takes back."""
    position = 0
    while True:
        query = "SELECT * FROM undo WHERE target = ? AND position > ? ORDER BY position LIMIT ?"
        rows = db.execute(query, (target, position, chunk)).fetchall()
        if not rows:
            return
        position = rows[-1]["position"]
        yield [_step(db, row) for row in rows]


def undone_write(db: sqlite3.Connection, step: Step) -> Write:
    """Return the write that a step takes back."""
    row = db.execute("SELECT * FROM undo WHERE position = ?", (step.item.position,)).fetchone()
    return _write(db, row)


def untold_steps(db: sqlite3.Connection, run: int, target: str) -> Iterator[list[Step]]:
    """Yield the steps whose people have no outcome in this run yet, because it was stopped."""
    query = """SELECT * FROM undo u WHERE target = ? AND NOT EXISTS (
        SELECT 1 FROM outcomes o WHERE o.run = ? AND o.target = u.target AND o.person_id = u.person_id) LIMIT 200"""
    while rows := db.execute(query, (target, run)).fetchall():
        yield [_step(db, row) for row in rows]


def _step(db: sqlite3.Connection, row: sqlite3.Row) -> Step:
    item = undo_of(db, _write(db, row)).item._replace(position=row["position"])
    action = Action(row["action"])
    becomes = MemoryChange.CLEARED if action is Action.REMOVE else MemoryChange.THEIRS
    return Step(item, Decision(action, Reason.RESTORED, becomes), row["tag_before"])


def _write(db: sqlite3.Connection, row: sqlite3.Row) -> Write:
    write = find_write(db, row["run"], row["target"], account_id=row["account_id"])
    if write is None:
        raise LookupError(f"run {row['run']} wrote nothing for {row['account_id']}")
    return write
