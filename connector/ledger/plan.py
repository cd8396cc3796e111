"""Store the plan of a run, row by row, and the writes that a safety limit held; count what it would do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from connector.decide.case import Decision, MemoryChange
from connector.ledger.codec import save_row
from connector.ledger.worklist import WorkItem, items_where
from connector.model import Action, Outcome, Reason


class Step(NamedTuple):
    """Represent one write to come: with the cloud's tag when it was decided, and the backup taken with that look."""

    item: WorkItem
    decision: Decision
    tag_before: str
    backup_sha256: str = ""


class PlanTotals(NamedTuple):
    """Count what a plan would do."""

    creations: int
    replacements: int
    removals: int
    overwrites: int


def begin_plan(db: sqlite3.Connection) -> None:
    """Begin an empty plan."""
    db.execute("DROP TABLE IF EXISTS temp.plan")
    db.execute(
        "CREATE TEMP TABLE plan (position INTEGER PRIMARY KEY, target TEXT, person_id TEXT, action TEXT, reason TEXT,"
        " becomes TEXT, conflict INTEGER, over_foreign INTEGER, detail TEXT, tag_before TEXT, backup_sha256 TEXT)"
    )
    db.execute("CREATE INDEX temp.plan_person ON plan (person_id)")


def add_step(db: sqlite3.Connection, target: str, step: Step) -> None:
    """Add one write."""
    decision = step.decision
    values = (
        *(target, step.item.person.id, decision.action, decision.reason, decision.becomes, int(decision.conflict)),
        *(int(decision.over_foreign), decision.detail, step.tag_before, step.backup_sha256),
    )
    names = "target, person_id, action, reason, becomes, conflict, over_foreign, detail, tag_before, backup_sha256"
    db.execute(f"INSERT INTO plan ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def count_plan(db: sqlite3.Connection) -> PlanTotals:
    """Count the plan of all targets."""
    row = db.execute(
        "SELECT COALESCE(SUM(action = 'create'), 0), COALESCE(SUM(action = 'replace'), 0),"
        " COALESCE(SUM(action = 'remove'), 0), COALESCE(SUM(over_foreign), 0) FROM plan"
    ).fetchone()
    return PlanTotals(*row)


def steps(db: sqlite3.Connection, target: str, *, chunk: int) -> Iterator[list[Step]]:
    """Yield a target's steps in chunks, in the order in which they were decided."""
    position = 0
    while True:
        query = "SELECT * FROM plan WHERE target = ? AND position > ? ORDER BY position LIMIT ?"
        rows = db.execute(query, (target, position, chunk)).fetchall()
        if not rows:
            return
        position = rows[-1]["position"]
        marks = ", ".join("?" * len(rows))
        items = {
            item.person.id: item
            for item in items_where(db, target, f"w.person_id IN ({marks})", [row["person_id"] for row in rows])
        }
        yield [_step(row, items[row["person_id"]]) for row in rows]


def _step(row: sqlite3.Row, item: WorkItem) -> Step:
    decision = Decision(
        Action(row["action"]),
        Reason(row["reason"]),
        MemoryChange(row["becomes"]),
        conflict=bool(row["conflict"]),
        over_foreign=bool(row["over_foreign"]),
        detail=row["detail"],
    )
    return Step(item, decision, row["tag_before"], row["backup_sha256"])


def count_with_photo(db: sqlite3.Connection) -> int:
    """Count the matched people who have a cloud photo, as remembered or as just seen by the plan."""
    query = """
        SELECT COUNT(*) FROM people p WHERE p.state = 'in-scope' AND p.account_id <> '' AND (
          EXISTS (SELECT 1 FROM photo_state m WHERE m.account_id = p.account_id AND m.presence <> 'cleared')
          OR EXISTS (SELECT 1 FROM plan s WHERE s.person_id = p.id AND s.action <> 'create'))"""
    count: int = db.execute(query).fetchone()[0]
    return count


# By what matters most: a person with several targets counts once.
RANK = "fail create replace remove keep skip"
COUNTED_AS = {
    Action.CREATE: "created",
    Action.REPLACE: "replaced",
    Action.REMOVE: "removed",
    Action.KEEP: "unchanged",
    Action.SKIP: "skipped",
    Action.FAIL: "failed",
}
JOIN_HELD = f"""LEFT JOIN plans h ON h.run = o.run AND h.target = o.target AND h.person_id = o.person_id
    AND o.reason = '{Reason.SAFETY_LIMIT.value}'"""


def save_held(db: sqlite3.Connection, run: int, outcome: Outcome) -> None:
    """Store what would have been written for one person."""
    key = {"run": run, "target": outcome.target, "person_id": outcome.person_id}
    values = {**key, "action": outcome.planned, "reason": outcome.planned_reason}
    save_row(db, "plans", values, key="run, target, person_id")


def planned_totals(db: sqlite3.Connection, run: int, totals: Mapping[str, int]) -> dict[str, int]:
    """Return the totals as they would be if nobody had been held by a safety limit; empty if nobody was."""
    query = f"""
        SELECT told, meant, COUNT(*) AS n FROM (
          SELECT MIN(instr('{RANK}', o.action)) AS told, MIN(instr('{RANK}', COALESCE(h.action, o.action))) AS meant
          FROM outcomes o {JOIN_HELD} WHERE o.run = ? GROUP BY o.person_id HAVING COUNT(h.action) > 0)
        GROUP BY told, meant"""
    places = {RANK.index(action) + 1: name for action, name in COUNTED_AS.items()}
    planned = dict(totals)
    rows = db.execute(query, (run,)).fetchall()
    for row in rows:
        planned[places[row["told"]]] -= row["n"]
        planned[places[row["meant"]]] += row["n"]
    return planned if rows else {}
