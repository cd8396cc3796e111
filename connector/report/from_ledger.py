"""Build the report of a run from its row and its outcomes in the ledger, with the pictures that are still kept."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from connector.errors import ExitCode
from connector.ledger.accounts import commonest_domain
from connector.ledger.approval import count_planned, find_plan
from connector.ledger.codec import unpack_time
from connector.ledger.coverage import count_coverage, count_ruled
from connector.ledger.files import Backups, Spool
from connector.ledger.matching import unmatched_upns
from connector.ledger.plan import planned_totals
from connector.ledger.runs import RunRow, facts_of, last_success, outcomes_of
from connector.ledger.writes import find_write
from connector.model import Outcome, RunReport


@dataclass(frozen=True, slots=True)
class ConflictPhotos:
    """Identify two pictures for the report: the source's sha256, and the spool's key of the cloud's; empty: none."""

    person_id: str
    source_sha256: str
    held_as: str


def load_report(
    db: sqlite3.Connection,
    row: RunRow,
    *,
    backups: Backups,
    spool: Spool,
    conflicts: Mapping[tuple[str, str], ConflictPhotos] = MappingProxyType({}),
    tenant: str | None = None,
) -> RunReport:
    """Build a run's report; its outcomes and pictures are read when they are written.

    `conflicts` are those of the current run, whose pictures are in the spool until it ends, and those of its plan.
    `tenant` is AZURE_TENANT_ID.
    """
    return RunReport(
        run=row.id,
        kind=row.kind,
        started=_started(row),
        finished=_finished(row),
        dry_run=row.dry_run,
        chosen=row.chosen,
        mode=row.mode,
        exit_code=row.exit_code,
        totals=row.totals,
        requests=row.requests,
        outcomes=lambda: outcomes_of(db, row),
        facts=lambda outcome: facts_of(db, outcome),
        pictures=_pictures(db, row.id, backups, spool=spool, conflicts=conflicts),
        message=row.message,
        advice=row.advice,
        exceeded=row.exceeded,
        notices=tuple(row.notices),
        pace=row.pace,
        coverage=lambda: count_coverage(db),
        rules=lambda: count_ruled(db),
        last_success=_last_success(db, row),
        approves=row.approves,
        plan_size=count_planned(db, row.id) if find_plan(db, row.id) is not None else 0,
        planned=planned_totals(db, row.id, row.totals) if row.exit_code == ExitCode.BRAKE else {},
        tenant=tenant_name(db, tenant or ""),
        host=platform.node(),
        unmatched=lambda: unmatched_upns(db) if row.totals.get("unmatched_accounts") else iter(()),
    )


def _started(row: RunRow) -> datetime:
    started = unpack_time(row.started)
    if started is None:
        raise ValueError(f"run {row.id} has no start")
    return started


def _pictures(
    db: sqlite3.Connection,
    run: int,
    backups: Backups,
    *,
    spool: Spool,
    conflicts: Mapping[tuple[str, str], ConflictPhotos],
) -> Callable[[Outcome], tuple[bytes | None, bytes | None]]:
    def pictures(outcome: Outcome) -> tuple[bytes | None, bytes | None]:
        conflict = conflicts.get((outcome.target, outcome.account_id or ""))
        if conflict is not None and conflict.held_as and spool.has(conflict.held_as):
            return spool.load(conflict.held_as), _after(outcome, spool)
        return _before(db, run, outcome, backups), _after(outcome, spool)

    return pictures


def tenant_name(db: sqlite3.Connection, tenant: str) -> str:
    """Return the tenant as people know it: a domain. An id is replaced by the domain that most accounts have."""
    return tenant if "." in tenant else commonest_domain(db) or tenant


def _last_success(db: sqlite3.Connection, row: RunRow) -> tuple[int, datetime] | None:
    success = last_success(db, before=row.id)
    finished = None if success is None else _finished(success)
    return None if success is None or finished is None else (success.id, finished)


def _finished(row: RunRow) -> datetime | None:
    return unpack_time(row.finished)


def _before(db: sqlite3.Connection, run: int, outcome: Outcome, backups: Backups) -> bytes | None:
    """Load the backup of the cloud photo that was replaced or removed."""
    write = find_write(db, run, outcome.target, account_id=outcome.account_id or "")
    return backups.load(write.before_sha256) if write is not None and write.before_sha256 else None


def _after(outcome: Outcome, spool: Spool) -> bytes | None:
    source_sha256 = outcome.source_sha256 or ""
    return spool.load(source_sha256) if source_sha256 and spool.has(source_sha256) else None
