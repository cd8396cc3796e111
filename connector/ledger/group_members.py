"""Compare the members of LDAP_GROUP with the people in scope, in chunks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

CHUNK = 500
_JOINED = """
    SELECT id FROM roster WHERE id > :last AND id NOT IN (SELECT id FROM people WHERE state = 'in-scope')
    ORDER BY id LIMIT :chunk"""
_LEFT = """
    SELECT id FROM people WHERE context = :context AND state = 'in-scope' AND id > :last
    AND id NOT IN (SELECT id FROM roster) ORDER BY id LIMIT :chunk"""


def note_roster(db: sqlite3.Connection, members: Iterable[str]) -> None:
    """Store the ids of this run's members in one context, for `joined` and `left`."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS roster (id TEXT PRIMARY KEY)")
    db.execute("DELETE FROM roster")
    db.executemany("INSERT OR IGNORE INTO roster (id) VALUES (?)", ((member,) for member in members))


def joined(db: sqlite3.Connection) -> Iterator[list[str]]:
    """Yield members who are not in scope yet; chunks may be written meanwhile."""
    return _chunks(db, _JOINED)


def left(db: sqlite3.Connection, context: str) -> Iterator[list[str]]:
    """Yield who is in scope in this context and no member any more; chunks may be written meanwhile."""
    return _chunks(db, _LEFT, context=context)


def _chunks(db: sqlite3.Connection, query: str, **values: str) -> Iterator[list[str]]:
    last = ""
    while ids := [row["id"] for row in db.execute(query, {**values, "last": last, "chunk": CHUNK})]:
        last = ids[-1]
        yield ids
