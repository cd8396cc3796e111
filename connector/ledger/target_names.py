"""Find file names that several accounts share, and the tags in use, for a target that names files by UPN."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator


def shared_names(db: sqlite3.Connection, name_of: Callable[[str], str]) -> Iterator[str]:
    """Yield the names that two accounts of the tenant or more would have, by their UPNs; SQLite does the sorting.

    Memory does not grow with the number of accounts.
    """
    db.create_function("name_of", 1, name_of, deterministic=True)
    query = "SELECT name_of(upn) AS name FROM accounts WHERE upn <> '' GROUP BY name HAVING COUNT(*) > 1"
    for row in db.execute(query):
        yield row["name"]


def tags_in_use(db: sqlite3.Connection, target: str) -> Iterator[tuple[str, str]]:
    """Yield (UPN of today, tag) of every account whose photo in a target is remembered."""
    query = """SELECT a.upn, m.tag FROM photo_state m JOIN accounts a ON a.id = m.account_id
        WHERE m.target = ? AND m.tag <> ''"""
    for row in db.execute(query, (target,)):
        yield row["upn"], row["tag"]
