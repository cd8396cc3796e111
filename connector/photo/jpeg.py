"""Check that a JPEG is whole, and cut away everything that is not needed to show it (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from connector.photo.limits import damaged, not_an_image

SOI, EOI, SOS, DHT, DQT, DRI, DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xCC
_DNL, _COM, _PROGRESSIVE = 0xDC, 0xFE, 0xC2
# What may follow once there were coded pixels: tables, another scan, application data, a comment, the end.
_AFTER_A_SCAN = frozenset({EOI, SOS, DHT, DQT, DRI, DAC, _DNL, _COM, *range(0xE0, 0xF0)})
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


class Segment(NamedTuple):
    """Contain a marker, its payload, and after a scan header the coded pixels."""

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


def holds_nothing_else(segments: Sequence[Segment], frame: bytes) -> bool:
    """Return True if every table and every scan is used, so that none of them can hide anything.

    Each quantisation table is defined once and belongs to a component; each Huffman table is used before it is
    defined anew; a sequential picture has one scan for each component.
    """
    try:
        tables = [
            identifier for segment in segments if segment.marker == DQT for identifier in _quantisation(segment.payload)
        ]
        is_lean = (
            len(tables) == len(set(tables))
            and set(tables) <= set(frame[9::3])
            and sum(segment.marker == DRI for segment in segments) <= 1
            and all(len(segment.payload) == 2 for segment in segments if segment.marker == DRI)
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
    if frame[0] == _PROGRESSIVE:  # libjpeg complains where a scan repeats another
        return True
    scanned = [component for segment in segments if segment.marker == SOS for component in _components(segment.payload)]
    return len(scanned) == len(set(scanned))


def _components(header: bytes) -> bytes:
    return header[1 : 1 + 2 * header[0] : 2]


def _all_used(segments: Sequence[Segment], frame: bytes) -> bool:
    waiting: set[int] = set()
    for segment in segments:
        if segment.marker == DHT:
            for table in _huffman(segment.payload):
                if table in waiting:
                    return False
                waiting.add(table)
        elif segment.marker == SOS:
            waiting -= _used(segment.payload, is_progressive=frame[0] == _PROGRESSIVE)
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


# Encoders write some ten scans; each one costs a pass over the whole picture, so thousands are an attack.
MAX_SCANS = 100
MAX_SEGMENTS = 5_000

_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_STANDALONE = frozenset({0x01, SOI, *range(0xD0, 0xD8)})
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
_COMMON_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# luma samples for one of each colour, across and down: 4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1
_COMMON_SAMPLINGS = (b"\x11", b"\x21", b"\x12", b"\x22", b"\x41")
# DNL is not among them: libjpeg skips it, so that anything could be in it.
_PICTURE = FRAMES | {DHT, DQT, DRI, DAC, SOS}
_ICC = b"ICC_PROFILE\0"
# two bytes and no repetition: linear on any input
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Contain a JPEG without its metadata, and what matters of the metadata.

    `clean_bytes` decode to the same pixels; they end at the first end-of-image. `plain` says that any
    viewer reads them: Huffman coded, 8 bit, grey or YCbCr, usually sampled, and whole, without a table or a scan
    that is not used.
    """

    clean_bytes: bytes = field(repr=False)
    exif_bytes: bytes = field(repr=False)
    xmp_bytes: bytes = field(repr=False)
    has_profile: bool
    plain: bool


def parse_jpeg(content_bytes: bytes) -> Jpeg:
    """Walk the segments of a JPEG and keep what the picture needs; refuse what is absurd or damaged."""
    segments = _counted(content_bytes)
    headers = _headers(segments)
    adobe = segments[headers[_APP14]].payload if _APP14 in headers else b""
    frames = [bytes([segment.marker]) + segment.payload for segment in segments if segment.marker in FRAMES]
    markers = {segment.marker for segment in segments}
    is_whole = EOI in markers and len(frames) == 1 and DAC not in markers
    needed = (
        needed_bytes(*segment)
        for number, segment in enumerate(segments)
        if segment.marker not in (_APP0, _APP14) or headers.get(segment.marker) == number
    )
    return Jpeg(
        clean_bytes=b"".join((b"\xff\xd8", *needed)),
        exif_bytes=_first(segments, _APP1, b"Exif\0"),
        xmp_bytes=_first(segments, _APP1, b"http://ns.adobe.com/xap/"),
        has_profile=bool(_first(segments, _APP2, _ICC)),
        plain=is_whole
        and _is_plain(frames[0], adobe_rgb=adobe[11:12] not in (b"", b"\x01"))
        and holds_nothing_else(segments, frames[0]),
    )


def _counted(content_bytes: bytes) -> list[Segment]:
    segments: list[Segment] = []
    scans = 0
    for segment in split_segments(content_bytes):
        scans += segment.marker == SOS
        if scans > MAX_SCANS or len(segments) > MAX_SEGMENTS:
            raise not_an_image("The JPEG has more scans or segments than any camera or program writes.")
        segments.append(segment)
    return segments


def _headers(segments: list[Segment]) -> dict[int, int]:
    """Return where the JFIF and the Adobe header are: the last of each before the pixels, as decoders go by it."""
    found: dict[int, int] = {}
    for number, segment in enumerate(segments):
        if segment.marker == SOS:
            break
        if segment.marker in (_APP0, _APP14) and needed_bytes(*segment):
            found[segment.marker] = number
    return found


def _first(segments: list[Segment], marker: int, start: bytes) -> bytes:
    return next(
        (segment.payload for segment in segments if segment.marker == marker and segment.payload.startswith(start)), b""
    )


def split_segments(content_bytes: bytes) -> Iterator[Segment]:
    """Yield the segments up to the first end-of-image; what lies between them is left out, before the first scan."""
    position, frame, is_scanned = 2, b"", False
    while found := _MARKER.search(content_bytes, position):
        marker = content_bytes[found.start() + 1]
        if is_scanned:
            check_marker(marker, content_bytes[position : found.start()])
        position = found.end()
        if marker == EOI:
            yield Segment(marker, b"")
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(content_bytes[position : position + 2], "big")
        payload, position = content_bytes[position + 2 : position + length], position + max(length, 2)
        if marker != SOS:
            frame = bytes([marker]) + payload if marker in FRAMES else frame
            yield Segment(marker, payload)
            continue
        is_scanned = True
        after = _SCAN_END.search(content_bytes, position)
        end = after.start() if after else len(content_bytes)
        coded, position = content_bytes[position:end], end
        check_restarts(coded, frame)
        yield Segment(marker, payload, coded)
    if is_scanned:
        raise damaged("The JPEG ends before its picture does: the end-of-image is missing.")


def needed_bytes(marker: int, payload: bytes, tail: bytes) -> bytes:
    """Return what stays of a segment, as bytes; a JFIF header stays without its thumbnail."""
    if marker == EOI:
        return b"\xff\xd9"
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        return _segment(marker, payload[:12] + b"\0\0")
    if marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
        return _segment(marker, payload[:12])
    if marker in _PICTURE or (marker == _APP2 and payload.startswith(_ICC)):
        return _segment(marker, payload) + tail
    return b""


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def _is_plain(frame: bytes, *, adobe_rgb: bool) -> bool:
    """Return True if any viewer reads this frame header: marker, bits, height, width, then three bytes a component."""
    if frame[0] not in _COMMON_FRAMES or frame[1:2] != b"\x08" or len(frame) < 7:
        return False
    component_ids, samplings = frame[7::3], frame[8::3]
    if len(component_ids) == 1:
        return True
    is_common = samplings[:1] in _COMMON_SAMPLINGS and samplings[1:] == b"\x11\x11"
    return component_ids == b"\x01\x02\x03" and is_common and not adobe_rgb
