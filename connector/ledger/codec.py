"""Convert values to columns and back; store each fingerprint once."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Mapping
from datetime import datetime
from functools import cache

from connector.model import Fingerprint, fold

_SIZE = struct.Struct(">II")


def unpack_print(packed: bytes | None) -> Fingerprint | None:
    """Unpack what `pack_print` made."""
    if packed is None:
        return None
    width, height = _SIZE.unpack_from(packed)
    return Fingerprint(bytes(packed[_SIZE.size :]), width, height)


def print_hash(packed: bytes) -> bytes:
    """Return the key by which equal fingerprints are found: the first 16 bytes of their sha256."""
    return hashlib.sha256(packed).digest()[:16]


def save_print(db: sqlite3.Connection, value: Fingerprint | None) -> int | None:
    """Store a fingerprint unless an equal one is there; return its id, None for no fingerprint."""
    packed = None if value is None else _SIZE.pack(value.width, value.height) + value.cells
    if packed is None:
        return None
    digest = print_hash(packed)
    row = db.execute("SELECT id FROM fingerprints WHERE hash = ?", (digest,)).fetchone()
    if row is not None:
        return int(row["id"])
    return db.execute("INSERT INTO fingerprints (hash, packed) VALUES (?, ?)", (digest, packed)).lastrowid


def load_print(db: sqlite3.Connection, print_id: int) -> Fingerprint | None:
    """Return the fingerprint with this id."""
    row = db.execute("SELECT packed FROM fingerprints WHERE id = ?", (print_id,)).fetchone()
    return None if row is None else unpack_print(row["packed"])


def packed_print(column: str) -> str:
    """Return the SQL expression for the packed fingerprint whose id is in a column."""
    return f"(SELECT packed FROM fingerprints WHERE id = {column})"


_PRINT_COLUMNS = (
    *("pictures.sent_print", "pictures.whole_print", "pictures.centre_print"),
    *("photo_state.sent_print", "photo_state.read_print", "intents.sent_print", "writes.sent_print"),
)


def drop_unused_prints(db: sqlite3.Connection) -> None:
    """Delete the fingerprints to which no row refers."""
    used = " UNION ALL ".join(
        f"SELECT {column} FROM {column.partition('.')[0]} WHERE {column} IS NOT NULL" for column in _PRINT_COLUMNS
    )
    db.execute(f"DELETE FROM fingerprints WHERE id NOT IN ({used})")


def save_row(db: sqlite3.Connection, table: str, values: Mapping[str, object], *, key: str) -> None:
    """Insert a row, or update the row with the same key (its columns, separated by commas)."""
    db.execute(_upsert(table, tuple(values), key), tuple(values.values()))


@cache
def _upsert(table: str, names: tuple[str, ...], key: str) -> str:
    placeholders = ", ".join("?" * len(names))
    keys = key.split(", ")
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({placeholders})"
    return f"{insert} ON CONFLICT ({key}) DO UPDATE SET {updates}"


def pack_time(value: datetime | None) -> str:
    """Write a time as ISO 8601 with zone; empty for none."""
    return "" if value is None else value.isoformat()


def unpack_time(text: str) -> datetime | None:
    """Read a time that `pack_time` wrote."""
    return datetime.fromisoformat(text) if text else None


def key(text: str) -> str:
    """Fold a name for comparison: Unicode NFC, no letter case."""
    return fold(text)
