"""Where did the last night end? Cookies and links, each with whom they belong to and which settings shaped them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import NamedTuple


class Place(NamedTuple):
    """Hold a cookie or a link as it was given, and the server or tenant that gave it."""

    content_bytes: bytes
    server: str


def load_place(db: sqlite3.Connection, context: str, *, shape: str) -> Place | None:
    """Return where the last reading of a context ended; None when the settings that shaped it were others."""
    row = db.execute("SELECT * FROM cookies WHERE context = ? AND shape = ?", (context, shape)).fetchone()
    return None if row is None else Place(bytes(row["cookie"]), row["server"])


def has_place(db: sqlite3.Connection, context: str) -> bool:
    """Say whether any place is known for the context, of whatever settings."""
    return db.execute("SELECT 1 FROM cookies WHERE context = ?", (context,)).fetchone() is not None


def save_place(db: sqlite3.Connection, context: str, place: Place, *, shape: str, run: int) -> None:
    """Remember where this reading ended; belongs in the transaction that stores its rows."""
    values = (context, place.content_bytes, place.server, shape, run)
    db.execute("INSERT OR REPLACE INTO cookies VALUES (?, ?, ?, ?, ?)", values)


def drop_place(db: sqlite3.Connection, context: str) -> None:
    """Forget a place, so that the next reading is a full one."""
    db.execute("DELETE FROM cookies WHERE context = ?", (context,))


def dropped_contexts(db: sqlite3.Connection, contexts: Collection[str], *, shape: str) -> list[str]:
    """Name the contexts that somebody in scope was read in, or a place is known of, beside the ones named.

    Not those whose place was shaped by these very settings: without a base DN the first server that answers names the
    context, so another server answered tonight, and nobody decided anything.
    """
    named = f"({', '.join('?' * len(contexts))})"
    query = (
        f"SELECT DISTINCT context FROM people WHERE state = 'in-scope' AND context NOT IN {named} "
        "AND context NOT IN (SELECT context FROM cookies WHERE shape = ?) "
        f"UNION SELECT context FROM cookies WHERE context NOT IN {named} AND shape <> ? ORDER BY context"
    )
    return [row["context"] for row in db.execute(query, (*contexts, shape, *contexts, shape))]
