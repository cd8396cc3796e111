"""Store a proof (`check --prove`): a run of its own kind with one write; without an end it was cut short."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from connector.errors import ExitCode
from connector.ledger.runs import begin_run, finish_run
from connector.ledger.store import transaction
from connector.ledger.writes import Write, drop_write, find_write, save_write
from connector.model import Action, Fingerprint

KIND = "prove"
_NOTHING = ("people", "created", "replaced", "removed", "unchanged", "skipped", "failed")
_TOTALS = dict.fromkeys((*_NOTHING, "conflicts", "unmatched_accounts", "open_intents", "postponed"), 0)


def begin_proof(
    db: sqlite3.Connection,
    target: str,
    *,
    account_id: str,
    person_id: str,
    before_sha256: str,
    sent_sha256: str,
    sent_print: Fingerprint,
    now: datetime,
) -> Write:
    """Store, in one transaction and before the first write, what a proof will write and what was there."""
    with transaction(db):
        run = begin_run(db, kind=KIND, now=now, dry_run=False, chosen=True)
        write = Write(
            run=run,
            target=target,
            account_id=account_id,
            person_id=person_id,
            action=Action.REPLACE if before_sha256 else Action.CREATE,
            written_at=now.isoformat(),
            before_sha256=before_sha256,
            before_presence="",
            sent_sha256=sent_sha256,
            sent_print=sent_print,
        )
        save_write(db, write)
    return write


def open_proofs(db: sqlite3.Connection) -> list[Write]:
    """Return the write of each proof that was cut short, oldest first."""
    rows = db.execute(
        "SELECT w.run, w.target, w.account_id FROM writes w JOIN runs r ON r.id = w.run"
        f" WHERE r.kind = '{KIND}' AND r.finished = '' ORDER BY w.run"
    ).fetchall()
    found = [find_write(db, row["run"], row["target"], account_id=row["account_id"]) for row in rows]
    return [write for write in found if write is not None]


def close_proof(
    db: sqlite3.Connection,
    write: Write,
    *,
    now: datetime,
    exit_code: ExitCode = ExitCode.OK,
    message: str = "",
    notices: Sequence[str] = (),
) -> None:
    """Store that a proof is over and nothing of it has to be undone."""
    values = {"exit_code": int(exit_code), "message": message, "totals": _TOTALS, "notices": list(notices)}
    with transaction(db):
        drop_write(db, write.run, write.target, account_id=write.account_id)
        finish_run(db, write.run, now=now, values={"mode": "changes", **values})


def has_open_intent(db: sqlite3.Connection, account_id: str) -> bool:
    """Return True if a write to this account is not confirmed yet."""
    return db.execute("SELECT 1 FROM intents WHERE account_id = ? LIMIT 1", (account_id,)).fetchone() is not None
