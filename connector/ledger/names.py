"""Whose UPNs are whose, for a target that names files by them? Those of the accounts, and the tags remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator


def upns(db: sqlite3.Connection) -> Iterator[str]:
    """Yield the UPN of every account of the tenant."""
    for row in db.execute("SELECT upn FROM accounts WHERE upn <> ''"):
        yield row["upn"]


def tags_in_use(db: sqlite3.Connection, target: str) -> Iterator[tuple[str, str]]:
    """Yield (UPN of today, tag) of every account whose photo in a target is remembered."""
    query = (
        "SELECT a.upn, m.tag FROM memory m JOIN accounts a ON a.id = m.account_id WHERE m.target = ? AND m.tag <> ''"
    )
    for row in db.execute(query, (target,)):
        yield row["upn"], row["tag"]
