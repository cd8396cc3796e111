"""Describe both pictures of a conflict: sizes, hashes, the cloud's tag, and when that was seen."""

from __future__ import annotations

import sqlite3
from datetime import UTC
from typing import NamedTuple

from connector.ledger.codec import unpack_print, unpack_time

_SHOWN = 12  # of the 64 letters of a sha256, as everywhere where people read it


class PhotoFacts(NamedTuple):
    """Describe one picture: 0 pixels and empty texts are unknown; `seen` is a time as `pack_time` writes it."""

    width: int = 0
    height: int = 0
    sha256: str = ""
    tag: str = ""
    seen: str = ""
    is_there: bool = True


def both_pictures(source: PhotoFacts, cloud: PhotoFacts) -> str:
    """Return the sentence that describes both, for a report; it contains no picture."""
    return f"Source: {_photo_text(source)}; cloud: {_photo_text(cloud)}."


def _photo_text(picture: PhotoFacts) -> str:
    size = f"{picture.width} × {picture.height} pixels" if picture.width and picture.height else "size unknown"
    when = unpack_time(picture.seen)
    parts = (
        size if picture.is_there else "no photo",
        f"sha256 {picture.sha256[:_SHOWN]}" if picture.sha256 else "",
        f"tag {picture.tag}" if picture.tag else "",
        f"seen {when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when else "",
    )
    return ", ".join(part for part in parts if part)


def register_sql_function(db: sqlite3.Connection) -> None:
    """Register SQL `both_pictures`: whole_print, source_sha256, presence, read_print, read_sha256, tag, checked_at."""
    db.create_function("both_pictures", 7, _of_columns, deterministic=True)


def _of_columns(
    whole: bytes | None, source_sha256: str, presence: str, read: bytes | None, read_sha256: str, tag: str, seen: str
) -> str:
    sent, shown = unpack_print(whole), unpack_print(read)
    source = PhotoFacts(*((sent.width, sent.height) if sent else (0, 0)), source_sha256)
    size = (shown.width, shown.height) if shown else (0, 0)
    return both_pictures(source, PhotoFacts(*size, read_sha256, tag, seen, is_there=presence != "cleared"))
