"""Check that a WebP is whole, and read its size before it is decoded (RFC 9649)."""

from __future__ import annotations

from collections.abc import Iterator

from connector.photo.limits import damaged

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
    for kind, payload, chunk_end in _chunks(content_bytes[: max(end, 0)]):
        if chunk_end > end + 1:
            raise damaged("The WebP is damaged: one of its chunks is longer than the file.")
        if kind in _CODED and payload.endswith(bytes(_ZEROS)):
            raise damaged("The WebP's coded pixels end in zeros: the file was not copied to its end.")


def _chunks(content_bytes: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    position = 12
    while position + 8 <= len(content_bytes):
        length = int.from_bytes(content_bytes[position + 4 : position + 8], "little")
        end = position + 8 + length
        yield content_bytes[position : position + 4], content_bytes[position + 8 : end], end
        position = end + length % 2
