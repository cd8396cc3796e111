"""Store every write to the cloud with what it replaced and what it left, so that it can be undone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from connector.ledger.codec import packed_print, save_print, save_row, unpack_print
from connector.model import Action, Fingerprint


class Write(NamedTuple):
    """Represent one write: the photo it took the place of (a backup's sha256, or empty) and what it left."""

    run: int
    target: str
    account_id: str
    person_id: str
    action: Action
    written_at: str
    before_sha256: str
    before_presence: str
    sent_sha256: str
    sent_print: Fingerprint | None
    left_tag: str = ""
    left_sha256: str = ""


_COLUMNS = ", ".join(
    f"{packed_print('w.sent_print')} AS sent_print" if name == "sent_print" else f"w.{name}" for name in Write._fields
)


def save_write(db: sqlite3.Connection, write: Write) -> None:
    """Keep a write that is about to happen."""
    values = {**write._asdict(), "sent_print": save_print(db, write.sent_print)}
    save_row(db, "writes", values, key="run, target, account_id")


def drop_write(db: sqlite3.Connection, run: int, target: str, *, account_id: str) -> None:
    """Forget a write that the cloud refused."""
    db.execute("DELETE FROM writes WHERE run = ? AND target = ? AND account_id = ?", (run, target, account_id))


def save_written_photo(
    db: sqlite3.Connection, target: str, account_id: str, *, run: int, tag: str, read_sha256: str
) -> None:
    """Store what a write of `run` left in the cloud, as seen by the read-back of that run or a later one."""
    change = "UPDATE writes SET left_tag = ?, left_sha256 = ? WHERE target = ? AND account_id = ? AND run = ?"
    db.execute(change, (tag, read_sha256, target, account_id, run))


def find_write(db: sqlite3.Connection, run: int, target: str, *, account_id: str) -> Write | None:
    """Return what a run wrote for one account."""
    query = f"SELECT {_COLUMNS} FROM writes w WHERE run = ? AND target = ? AND account_id = ?"
    row = db.execute(query, (run, target, account_id)).fetchone()
    return None if row is None else _write(row)


def writes_of_run(db: sqlite3.Connection, run: int, target: str, *, chunk: int) -> Iterator[list[Write]]:
    """Yield in chunks what a run wrote to a target; the ledger may be written meanwhile."""
    last = ""
    while True:
        chosen = "run = ? AND target = ? AND account_id > ? ORDER BY account_id LIMIT ?"
        query = f"SELECT {_COLUMNS} FROM writes w WHERE {chosen}"
        rows = db.execute(query, (run, target, last, chunk)).fetchall()
        if not rows:
            return
        last = rows[-1]["account_id"]
        yield [_write(row) for row in rows]


def count_writes(db: sqlite3.Connection, run: int) -> dict[str, int]:
    """Count what a run wrote, by target."""
    query = "SELECT target, COUNT(*) AS n FROM writes WHERE run = ? GROUP BY target"
    return {row["target"]: row["n"] for row in db.execute(query, (run,))}


def last_writes_of(db: sqlite3.Connection, person_id: str) -> list[Write]:
    """Return the newest write for a person in each target."""
    query = f"""
        SELECT {_COLUMNS} FROM writes w WHERE person_id = ? AND NOT EXISTS (
          SELECT 1 FROM writes later WHERE later.person_id = w.person_id AND later.target = w.target
          AND later.run > w.run) ORDER BY target"""
    return [_write(row) for row in db.execute(query, (person_id,))]


def is_backup_wanted(db: sqlite3.Connection, content_sha256: str, *, since: str = "") -> bool:
    """Return True if a kept write, at or after a time as `pack_time` writes it, refers to this backup.

    The backup of a proof that was cut short is wanted whatever its age.
    """
    # said again that it is not empty: only then does SQLite take the index
    query = (
        "SELECT 1 FROM writes WHERE before_sha256 = ? AND before_sha256 <> '' AND (written_at >= ?"
        " OR run IN (SELECT id FROM runs WHERE kind = 'prove' AND finished = '')) LIMIT 1"
    )
    return db.execute(query, (content_sha256, since)).fetchone() is not None


def _write(row: sqlite3.Row) -> Write:
    values = dict(row)
    values["action"] = Action(values["action"])
    values["sent_print"] = unpack_print(values["sent_print"])
    return Write(**values)
