"""Check that a PNG or WebP is whole, keep what its picture needs, read its size (W3C PNG third edition, RFC 9649)."""

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
# Keywords of texts that may contain the orientation.
_ORIENTATION_KEYWORDS = (b"XML:com.adobe.xmp", b"Raw profile type exif", b"Raw profile type APP1")


@dataclass(frozen=True, slots=True)
class Png:
    """Contain a PNG without what its picture does not need; its profile apart, since Pillow reads no large one."""

    clean_bytes: bytes = field(repr=False)
    profile_bytes: bytes = field(repr=False)


def take_apart_png(content_bytes: bytes) -> Png:
    """Return the pixels with their orientation and colours; raise PictureRefused where it is damaged."""
    kept, profile_bytes, kinds = [_HEADER], b"", set[bytes]()
    for kind, payload, is_right in _png_chunks(content_bytes):
        kinds.add(kind)
        if kind in _PICTURE and not is_right:
            raise damaged(f"The PNG is damaged: the checksum of its {kind.decode()} chunk is wrong.")
        if kind == b"iCCP" and is_right:
            profile_bytes = profile_bytes or _inflated(payload.partition(b"\0")[2][1:], MAX_PROFILE)
        elif kind in _PICTURE or (is_right and _has_orientation(kind, payload)):
            kept.append(_chunk(kind, payload))
    if b"IDAT" in kinds and b"IEND" not in kinds:
        raise damaged("The PNG ends before its picture does: the end chunk is missing.")
    return Png(b"".join(kept), profile_bytes)


def _png_chunks(content_bytes: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
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


def _has_orientation(kind: bytes, payload: bytes) -> bool:
    """Return True for EXIF, and for texts with EXIF or XMP in them that Pillow would read."""
    if kind == b"eXIf":
        return len(payload) <= _MAX_EXIF
    keyword, _, rest = payload.partition(b"\0")
    if keyword not in _ORIENTATION_KEYWORDS:
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


_CODED = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANMF"})
# Coded pixels never end in so many zeros; a file whose copying broke off does.
_ZEROS = 64


def webp_size(content_bytes: bytes) -> tuple[int, int]:
    """Return the canvas of a WebP, which its decoder would allocate on opening."""
    little = int.from_bytes
    if content_bytes[12:16] == b"VP8X":
        return little(content_bytes[24:27], "little") + 1, little(content_bytes[27:30], "little") + 1
    if content_bytes[12:16] == b"VP8L":
        bits = little(content_bytes[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return little(content_bytes[26:28], "little") & 0x3FFF, little(content_bytes[28:30], "little") & 0x3FFF


def check_webp(content_bytes: bytes) -> None:
    """Refuse a WebP that is shorter than it says, whose chunks do not fill it, or whose pixels end in zeros."""
    end = 8 + int.from_bytes(content_bytes[4:8], "little")
    if end > len(content_bytes) + 1:  # some programs leave out the last byte that makes the length even
        raise damaged("The WebP ends before its picture does.")
    for kind, payload, chunk_end in _webp_chunks(content_bytes[: max(end, 0)]):
        if chunk_end > end + 1:
            raise damaged("The WebP is damaged: one of its chunks is longer than the file.")
        if kind in _CODED and payload.endswith(bytes(_ZEROS)):
            raise damaged("The WebP's coded pixels end in zeros: the file was not copied to its end.")


def _webp_chunks(content_bytes: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    position = 12
    while position + 8 <= len(content_bytes):
        length = int.from_bytes(content_bytes[position + 4 : position + 8], "little")
        end = position + 8 + length
        yield content_bytes[position : position + 4], content_bytes[position + 8 : end], end
        position = end + length % 2
