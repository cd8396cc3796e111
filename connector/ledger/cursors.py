"""Store where the last reading ended: cookies and links, with their server and the fingerprint of the settings."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from connector.ledger.codec import pack_time, unpack_time


class SyncCursor(NamedTuple):
    """Represent a cookie or a link as it was given, and the server or tenant that gave it."""

    content_bytes: bytes
    server: str


def load_cursor(db: sqlite3.Connection, context: str, *, shape: str) -> SyncCursor | None:
    """Return where the last reading of a context ended; None when the settings that shaped it were others."""
    row = db.execute(
        "SELECT * FROM cookies WHERE context = ? AND settings_fingerprint = ?", (context, shape)
    ).fetchone()
    return None if row is None else SyncCursor(bytes(row["cookie"]), row["server"])


def load_any_cursor(db: sqlite3.Connection, context: str) -> tuple[SyncCursor, str] | None:
    """Return where the last reading of a context ended, with the shape of its settings; None before the first."""
    row = db.execute("SELECT * FROM cookies WHERE context = ?", (context,)).fetchone()
    return None if row is None else (SyncCursor(bytes(row["cookie"]), row["server"]), str(row["settings_fingerprint"]))


def has_cursor(db: sqlite3.Connection, context: str) -> bool:
    """Return True if any cursor is known for the context, of whatever settings."""
    return db.execute("SELECT 1 FROM cookies WHERE context = ?", (context,)).fetchone() is not None


def save_cursor(db: sqlite3.Connection, context: str, cursor: SyncCursor, *, shape: str, run: int) -> None:
    """Remember where this reading ended; belongs in the transaction that stores its rows."""
    values = (context, cursor.content_bytes, cursor.server, shape, run)
    names = "context, cookie, server, settings_fingerprint, run"
    db.execute(f"INSERT OR REPLACE INTO cookies ({names}) VALUES (?, ?, ?, ?, ?)", values)


def save_full_reading(db: sqlite3.Connection, context: str, *, now: datetime) -> None:
    """Store when a context was last read in full; belongs in the transaction that stores its rows."""
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_full_key(context), pack_time(now)))


def is_full_reading_due(db: sqlite3.Connection, context: str, *, days: int, now: datetime) -> bool:
    """Return True if the last full reading is so many calendar days old; 0 is never.

    Where it is not known, as in an older ledger, or lies in the future, the days are counted from now on.
    """
    row = db.execute("SELECT value FROM meta WHERE key = ?", (_full_key(context),)).fetchone()
    read_at = unpack_time(row["value"]) if row is not None else None
    if read_at is None or read_at > now:
        save_full_reading(db, context, now=now)
        return False
    return bool(days) and (now.date() - read_at.date()).days >= days


def _full_key(context: str) -> str:
    return f"full-reading:{context}"


def drop_cursor(db: sqlite3.Connection, context: str) -> None:
    """Forget a cursor, so that the next reading is a full one."""
    db.execute("DELETE FROM cookies WHERE context = ?", (context,))


def dropped_contexts(db: sqlite3.Connection, contexts: Collection[str], *, shape: str) -> list[str]:
    """Name the contexts that somebody in scope was read in, or a cursor is known of, beside the ones named.

    Not those whose cursor was shaped by these very settings: without a base DN the first server that answers names the
    context, so another server answered tonight, and nobody decided anything.
    """
    named = f"({', '.join('?' * len(contexts))})"
    query = (
        f"SELECT DISTINCT context FROM people WHERE state = 'in-scope' AND context NOT IN {named} "
        "AND context NOT IN (SELECT context FROM cookies WHERE settings_fingerprint = ?) "
        f"UNION SELECT context FROM cookies WHERE context NOT IN {named} AND settings_fingerprint <> ? ORDER BY context"
    )
    return [row["context"] for row in db.execute(query, (*contexts, shape, *contexts, shape))]
