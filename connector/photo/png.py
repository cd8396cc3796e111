"""Take a PNG apart: check that it is whole, and keep the chunks that its picture needs (W3C PNG, third edition)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from connector.photo.limits import damaged, not_an_image

MAX_PROFILE = 4_000_000
# Pillow reads no larger text.
_MAX_TEXT = 1_000_000
_MAX_EXIF = 1_000_000
_MAX_CHUNKS = 500_000
_HEADER = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
# Keywords of texts that may tell which side is up.
_TELLING = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")


@dataclass(frozen=True, slots=True)
class Png:
    """Hold a PNG without what its picture does not need; its profile apart, since Pillow reads no large one."""

    clean_bytes: bytes = field(repr=False)
    profile_bytes: bytes = field(repr=False)


def take_apart_png(content_bytes: bytes) -> Png:
    """Keep the pixels and what tells their orientation and colours; raise PictureRefused where it is damaged."""
    kept, profile_bytes, kinds = [_HEADER], b"", set[bytes]()
    for kind, payload, is_right in _chunks(content_bytes):
        kinds.add(kind)
        if kind in _PICTURE and not is_right:
            raise damaged(f"The PNG is damaged: the checksum of its {kind.decode()} chunk is wrong.")
        if kind == b"iCCP" and is_right:
            profile_bytes = profile_bytes or _inflated(payload.partition(b"\0")[2][1:], MAX_PROFILE)
        elif kind in _PICTURE or (is_right and _tells_orientation(kind, payload)):
            kept.append(_chunk(kind, payload))
    if b"IDAT" in kinds and b"IEND" not in kinds:
        raise damaged("The PNG ends before its picture does: the end chunk is missing.")
    return Png(b"".join(kept), profile_bytes)


def _chunks(content_bytes: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield type and payload of each chunk up to the end chunk, and whether its checksum is right."""
    position, count = len(_HEADER), 0
    while position + 8 <= len(content_bytes):
        length = int.from_bytes(content_bytes[position : position + 4], "big")
        kind, start = content_bytes[position + 4 : position + 8], position + 8
        payload, position = content_bytes[start : start + length], start + length + 4
        if position > len(content_bytes):
            if kind == b"IDAT":
                raise damaged("The PNG ends before its picture does.")
            return
        expected = int.from_bytes(content_bytes[position - 4 : position], "big")
        yield kind, payload, zlib.crc32(payload, zlib.crc32(kind)) == expected
        count += 1
        if count > _MAX_CHUNKS:
            raise not_an_image("The PNG has more chunks than any program writes.")
        if kind == b"IEND":
            return


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(payload, zlib.crc32(kind)).to_bytes(4, "big")


def _tells_orientation(kind: bytes, payload: bytes) -> bool:
    """Return True for EXIF, and for texts with EXIF or XMP in them that Pillow would read."""
    if kind == b"eXIf":
        return len(payload) <= _MAX_EXIF
    keyword, _, rest = payload.partition(b"\0")
    if keyword not in _TELLING:
        return False
    if kind == b"zTXt":
        return bool(_inflated(rest[1:], _MAX_TEXT))
    if kind == b"iTXt":
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return len(text) <= _MAX_TEXT and (rest[:1] != b"\1" or bool(_inflated(text, _MAX_TEXT)))
    return kind == b"tEXt" and len(rest) <= _MAX_TEXT


def _inflated(packed: bytes, limit: int) -> bytes:
    """Return what a chunk holds; nothing where that is more than the limit, or cannot be read."""
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(packed, limit + 1)
    except zlib.error:
        return b""
    return unpacked if len(unpacked) <= limit and unpacking.eof else b""
