"""Check that a JPEG is whole and holds nothing else: markers, restarts, tables, coded pixels (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from connector.photo.limits import damaged

SOI, EOI, SOS, DHT, DQT, DRI, DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xCC
_DNL, _COM, _PROGRESSIVE = 0xDC, 0xFE, 0xC2
# What may follow once there were coded pixels: tables, another scan, application data, a comment, the end.
_AFTER_A_SCAN = frozenset({EOI, SOS, DHT, DQT, DRI, DAC, _DNL, _COM, *range(0xE0, 0xF0)})
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
# libjpeg's warnings of changed or missing data; others (an unknown Adobe code, odd parameters of a scan) are harmless,
# and what its interface cannot read at all (unusual sampling) is left to Pillow.
_COMPLAINTS = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")


class Segment(NamedTuple):
    """Hold a marker, its payload, and after a scan header the coded pixels."""

    marker: int
    payload: bytes
    tail: bytes = b""


def check_marker(marker: int, before: bytes) -> None:
    """Refuse a marker that cannot follow coded pixels, or bytes of no segment before it; 0xFF may fill."""
    if marker not in _AFTER_A_SCAN or before.strip(b"\xff"):
        raise damaged(f"The JPEG has a marker among its coded pixels that none may hold (0x{marker:02x}).")


def check_restarts(coded: bytes, frame: bytes) -> None:
    """Refuse restart markers of one scan that are out of their order, or more than the frame has blocks."""
    height, width = (int.from_bytes(frame[at : at + 2], "big") for at in (2, 4))
    most = (-(-height // 8) or 8192) * -(-width // 8)
    for count, found in enumerate(_RESTART.finditer(coded)):
        if found[0][1] != 0xD0 + count % 8 or count > most:
            raise damaged("The JPEG's restart markers are out of order: some of its coded pixels are missing.")


def check_coded_pixels(jpeg_bytes: bytes) -> None:
    """Decode as small as possible by libjpeg-turbo, and refuse what it complains of; Pillow hears no complaint."""
    # Only here: it brings numpy, which a night without a new picture need not load.
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(jpeg_bytes, "GRAY", min_height=1, min_width=1, fastdct=True)
    except ValueError as error:
        if str(error).startswith(_COMPLAINTS):
            raise damaged(f"The JPEG's coded pixels are damaged ({error}).") from error


def holds_nothing_else(segments: Sequence[Segment], frame: bytes) -> bool:
    """Return True if every table and every scan is used, so that none of them can hide anything.

    Each quantisation table is defined once and belongs to a component; each Huffman table is used before it is
    defined anew; a sequential picture has one scan for each component.
    """
    try:
        tables = [identifier for one in segments if one.marker == DQT for identifier in _quantisation(one.payload)]
        is_lean = (
            len(tables) == len(set(tables))
            and set(tables) <= set(frame[9::3])
            and sum(one.marker == DRI for one in segments) <= 1
            and all(len(one.payload) == 2 for one in segments if one.marker == DRI)
        )
        return is_lean and _scans_once(segments, frame) and _all_used(segments, frame)
    except IndexError:  # a table that is cut short
        return False


def _quantisation(payload: bytes) -> Iterator[int]:
    position = 0
    while position < len(payload):
        yield payload[position] & 0x0F
        position += 1 + (128 if payload[position] >> 4 else 64)


def _huffman(payload: bytes) -> Iterator[int]:
    position = 0
    while position < len(payload):
        yield payload[position]
        position += 17 + sum(payload[position + 1 : position + 17])


def _scans_once(segments: Sequence[Segment], frame: bytes) -> bool:
    if frame[0] == _PROGRESSIVE:  # libjpeg complains where a scan tells again what another told
        return True
    scanned = [component for one in segments if one.marker == SOS for component in _components(one.payload)]
    return len(scanned) == len(set(scanned))


def _components(header: bytes) -> bytes:
    return header[1 : 1 + 2 * header[0] : 2]


def _all_used(segments: Sequence[Segment], frame: bytes) -> bool:
    waiting: set[int] = set()
    for one in segments:
        if one.marker == DHT:
            for table in _huffman(one.payload):
                if table in waiting:
                    return False
                waiting.add(table)
        elif one.marker == SOS:
            waiting -= _used(one.payload, is_progressive=frame[0] == _PROGRESSIVE)
    return not waiting


def _used(header: bytes, *, is_progressive: bool) -> set[int]:
    """Return the Huffman tables that a scan uses, numbered as where they are defined: 0x10 and more for AC."""
    selected = header[2 : 2 + 2 * header[0] : 2]
    first, refined = header[1 + 2 * header[0]], header[3 + 2 * header[0]] >> 4
    direct = {byte >> 4 for byte in selected}
    others = {0x10 | byte & 0x0F for byte in selected}
    if not is_progressive:
        return direct | others
    if first:
        return others
    return set() if refined else direct
