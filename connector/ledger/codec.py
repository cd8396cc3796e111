"""How do values of our words become columns, and come back?"""

from __future__ import annotations

import struct
from datetime import datetime

from connector.model import Fingerprint, fold

_SIZE = struct.Struct(">II")


def pack_print(value: Fingerprint | None) -> bytes | None:
    """Pack a fingerprint: width and height as big-endian 32-bit integers, then 576 cells."""
    return None if value is None else _SIZE.pack(value.width, value.height) + value.cells


def unpack_print(packed: bytes | None) -> Fingerprint | None:
    """Unpack what `pack_print` made."""
    if packed is None:
        return None
    width, height = _SIZE.unpack_from(packed)
    return Fingerprint(bytes(packed[_SIZE.size :]), width, height)


def pack_time(value: datetime | None) -> str:
    """Write a time as ISO 8601 with zone; empty for none."""
    return "" if value is None else value.isoformat()


def unpack_time(text: str) -> datetime | None:
    """Read a time that `pack_time` wrote."""
    return datetime.fromisoformat(text) if text else None


def key(text: str) -> str:
    """Fold a name for comparison: Unicode NFC, no letter case."""
    return fold(text)
