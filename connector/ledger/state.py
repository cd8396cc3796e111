"""Open the state folder of a run: lock, ledger, backups, spool; and a copy of the ledger for a dry run."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector.disk import ENDING, delete_each
from connector.ledger.files import Backups, Spool
from connector.ledger.store import copy_ledger, hold_lock, make_state_folder, noting_damage, open_ledger

log = logging.getLogger(__name__)

DRAFT = "dry-run.sqlite3"
# So many files that could not be deleted are named in a notice.
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class State:
    """Represent an open state folder; `notice` tells what was found to be wrong with the ledger, and mended."""

    folder: Path
    db: sqlite3.Connection
    backups: Backups
    spool: Spool
    notice: str


@contextmanager
def open_state(folder: Path) -> Iterator[State]:
    """Make, lock and open the state folder for a run; raises StateError or Locked."""
    make_state_folder(folder)
    with hold_lock(folder):
        left = _delete_leftovers(folder)
        db, notice = open_ledger(folder)
        spool = Spool(folder / "spool")
        try:
            stay = [*left, *spool.open()]
            notice = " ".join([notice, *stay[:MOST_NAMED]]).strip()
            with noting_damage(folder):
                yield State(folder, db, Backups(folder / "backups"), spool, notice)
        finally:
            spool.empty()
            db.close()


def _delete_leftovers(folder: Path) -> list[str]:
    """Delete what killed runs left: the copy of the ledger that a dry run works in, and files that were half written.

    Returns a sentence for each that stays. Belongs inside the lock: a run at work has such files, too.
    """
    endings = ("", "-wal", "-shm", "-journal")
    copies = (folder / f"{name}{ending}" for name in (DRAFT, "ledger.new") for ending in endings)
    halves = (path for place in (folder, folder / "reports", folder / "logs") for path in place.glob(f"*{ENDING}"))
    return delete_each(path for path in (*copies, *halves) if path.exists() or path.is_symlink())[1]


@contextmanager
def view_state(folder: Path) -> Iterator[State]:
    """Open the state folder to look at, without its lock: for reports and history; StateError for a damaged ledger."""
    make_state_folder(folder)
    db, notice = open_ledger(folder, mends=False)
    try:
        yield State(folder, db, Backups(folder / "backups"), Spool(folder / "spool"), notice)
    finally:
        db.close()


@contextmanager
def dry_run_copy(state: State) -> Iterator[sqlite3.Connection]:
    """Open a copy of the ledger, dropped at the end: what is written there is no memory."""
    path = state.folder / DRAFT
    db = copy_ledger(state.db, path)
    try:
        yield db
    finally:
        db.close()
        _, stay = delete_each(Path(f"{path}{ending}") for ending in ("", "-wal", "-shm"))
        for sentence in stay:
            log.warning("%s", sentence)
