"""Store the plan of a run that did not carry it out, and list which of its steps a later run may carry out."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import NamedTuple

from connector.model import Action


class StoredPlan(NamedTuple):
    """Represent a plan that can be approved: the limits that it tripped, with their counts, and its run's options."""

    limits: dict[str, int]
    options: dict[str, object]


class SeenStep(NamedTuple):
    """Represent a step of a stored plan with what was seen when it was decided."""

    account_id: str
    source_sha256: str
    tag: str
    action: Action


def save_plan(db: sqlite3.Connection, run: int, *, limits: Mapping[str, int], options: Mapping[str, object]) -> None:
    """Keep the steps that were planned, what was seen of each, and what the plan tripped."""
    query = "INSERT OR REPLACE INTO run_plans (run, limits, options) VALUES (?, ?, ?)"
    db.execute(query, (run, json.dumps(dict(limits)), json.dumps(dict(options))))
    db.execute(
        "INSERT OR REPLACE INTO plans (run, target, person_id, action, reason, account_id, source_sha256, tag,"
        " over_foreign) SELECT ?, s.target, s.person_id, s.action, s.reason, p.account_id, p.source_sha256,"
        " s.tag_before, s.over_foreign FROM plan s JOIN people p ON p.id = s.person_id",
        (run,),
    )


def find_plan(db: sqlite3.Connection, run: int) -> StoredPlan | None:
    """Return the plan of a run; None where none is kept that can be approved."""
    row = db.execute("SELECT limits, options FROM run_plans WHERE run = ?", (run,)).fetchone()
    return None if row is None else StoredPlan(json.loads(row["limits"]), json.loads(row["options"]))


def count_planned(db: sqlite3.Connection, run: int) -> int:
    """Count the steps of a run's plan."""
    count: int = db.execute("SELECT COUNT(*) FROM plans WHERE run = ?", (run,)).fetchone()[0]
    return count


def begin_approved(
    db: sqlite3.Connection, run: int, *, plan_run: int, kept: Collection[tuple[str, str]] | None
) -> None:
    """Record that a run carries out a plan, and list its steps; those that are not `kept` were struck out."""
    db.execute("INSERT INTO approvals (run, plan_run) VALUES (?, ?)", (run, plan_run))
    db.execute("DROP TABLE IF EXISTS temp.approved")
    db.execute(
        "CREATE TEMP TABLE approved AS SELECT target, person_id, account_id, source_sha256, tag, action, ? AS is_kept"
        " FROM plans WHERE run = ?",
        (int(kept is None), plan_run),
    )
    db.execute("CREATE UNIQUE INDEX temp.approved_person ON approved (person_id, target)")
    db.executemany("UPDATE approved SET is_kept = 1 WHERE person_id = ? AND target = ?", kept or ())


def count_by_target(db: sqlite3.Connection) -> dict[str, int]:
    """Count the steps of the approved plan that were not struck out, by target."""
    rows = db.execute("SELECT target, COUNT(*) AS n FROM approved WHERE is_kept GROUP BY target ORDER BY target")
    return {row["target"]: row["n"] for row in rows}


def seen_step(db: sqlite3.Connection, target: str, person_id: str) -> SeenStep:
    """Return a step of the approved plan as it was seen; raises LookupError for somebody who is not in it."""
    query = "SELECT account_id, source_sha256, tag, action FROM approved WHERE target = ? AND person_id = ?"
    row = db.execute(query, (target, person_id)).fetchone()
    if row is None:
        raise LookupError(f"{person_id} is not in the approved plan")
    return SeenStep(row["account_id"], row["source_sha256"], row["tag"], Action(row["action"]))
