"""Store the writes that a safety limit held, and compute the totals as they would have been without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from connector.ledger.codec import save_row
from connector.model import Action, Outcome, Reason

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
