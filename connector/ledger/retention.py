"""Delete old outcomes, runs and unseen people after LEDGER_DAYS, and replaced photos after BACKUP_DAYS."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from connector.ledger.codec import drop_unused_prints, pack_time, unpack_time
from connector.ledger.files import Backups
from connector.ledger.memberships import is_expelled
from connector.ledger.store import transaction
from connector.ledger.writes import is_backup_wanted

_DID_SOMETHING = "SELECT 1 FROM outcomes WHERE run = (SELECT MAX(id) FROM runs) LIMIT 1"
_OLD_RUNS = "SELECT id FROM runs WHERE started < ?"
# A backup that no run wrote down (a brake stopped it) is dropped after a day.
_UNWRITTEN = timedelta(days=1)
# So far a clock may have moved since the last run. A longer leap may be a clock that is wrong for one night, and what
# it made us forget could not be had back: it is believed by the run after.
_LEAP = timedelta(days=7)


def forget_old(
    db: sqlite3.Connection, backups: Backups, *, now: datetime, ledger_days: int, backup_days: int
) -> list[str]:
    """Drop what is older than the settings keep; a clock that leaps ahead is not believed at once.

    Returns a sentence for each backup that stays, since another program holds it.
    """
    now = min(now, _latest(db, now))
    old = pack_time(now - timedelta(days=ledger_days))
    with transaction(db):
        _forget_people(db, old)
        _forget_runs(db, old)
        if db.execute(_DID_SOMETHING).fetchone() is not None:  # a quiet run replaced no fingerprint
            drop_unused_prints(db)
    stale = pack_time(now - timedelta(days=backup_days))
    before = now - min(_UNWRITTEN, timedelta(days=backup_days))
    return backups.sweep(
        is_wanted=lambda one: is_backup_wanted(db, one, since=stale) and not is_expelled(db, one), before=before
    )[1]


def _latest(db: sqlite3.Connection, now: datetime) -> datetime:
    """Return how late it can be, by the run before this one; `now` where there was none."""
    row = db.execute("SELECT started FROM runs ORDER BY id DESC LIMIT 1 OFFSET 1").fetchone()
    started = unpack_time(row["started"]) if row is not None else None
    return now if started is None else started + _LEAP


def _forget_people(db: sqlite3.Connection, old: str) -> None:
    gone = f"SELECT id FROM people WHERE state <> 'in-scope' AND seen_run IN ({_OLD_RUNS})"
    for table in ("photos", "unread_values", "photo_state", "intents", "retries"):
        db.execute(f"DELETE FROM {table} WHERE person_id IN ({gone})", (old,))
    db.execute(f"DELETE FROM people WHERE id IN ({gone})", (old,))
    for table, moment in (("photo_state", "checked_at"), ("refusals", "checked_at"), ("intents", "started_at")):
        db.execute(f"DELETE FROM {table} WHERE {moment} < ? AND account_id NOT IN (SELECT id FROM accounts)", (old,))


def _forget_runs(db: sqlite3.Connection, old: str) -> None:
    for table in ("outcomes", "plans"):
        db.execute(f"DELETE FROM {table} WHERE run IN ({_OLD_RUNS})", (old,))
    db.execute(f"DELETE FROM standing_outcomes WHERE end_run IN ({_OLD_RUNS})", (old,))
    db.execute("DELETE FROM writes WHERE written_at < ?", (old,))
    db.execute("DELETE FROM expelled_backups WHERE sha256 NOT IN (SELECT before_sha256 FROM writes)")
    db.execute(
        f"DELETE FROM runs WHERE id IN ({_OLD_RUNS}) AND id NOT IN (SELECT first_run FROM standing_outcomes)"
        " AND id NOT IN (SELECT seen_run FROM people)",
        (old,),
    )
