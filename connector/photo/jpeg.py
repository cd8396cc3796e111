"""Take a JPEG apart and cut away everything that is not needed to show it (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from connector.photo.jpeg_checks import (
    DAC,
    DHT,
    DQT,
    DRI,
    EOI,
    SOI,
    SOS,
    Segment,
    check_marker,
    check_restarts,
    holds_nothing_else,
)
from connector.photo.limits import damaged, not_an_image

# Encoders write some ten scans; each one costs a pass over the whole picture, so thousands are an attack.
MAX_SCANS = 100
MAX_SEGMENTS = 5_000

_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_STANDALONE = frozenset({0x01, SOI, *range(0xD0, 0xD8)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, DAC}
_COMMON_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
# luma samples for one of each colour, across and down: 4:4:4, 4:2:2, 4:4:0, 4:2:0 and 4:1:1
_COMMON_SAMPLINGS = (b"\x11", b"\x21", b"\x12", b"\x22", b"\x41")
# DNL is not among them: libjpeg skips it, so that anything could be in it.
_PICTURE = _FRAMES | {DHT, DQT, DRI, DAC, SOS}
_ICC = b"ICC_PROFILE\0"
# two bytes and no repetition: linear on any input
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Hold a JPEG without its metadata, and what the metadata said that matters.

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
    frames = [bytes([one.marker]) + one.payload for one in segments if one.marker in _FRAMES]
    markers = {one.marker for one in segments}
    is_whole = EOI in markers and len(frames) == 1 and DAC not in markers
    kept = (
        _kept(*one)
        for number, one in enumerate(segments)
        if one.marker not in (_APP0, _APP14) or headers.get(one.marker) == number
    )
    return Jpeg(
        clean_bytes=b"".join((b"\xff\xd8", *kept)),
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
    for one in _segments(content_bytes):
        scans += one.marker == SOS
        if scans > MAX_SCANS or len(segments) > MAX_SEGMENTS:
            raise not_an_image("The JPEG has more scans or segments than any camera or program writes.")
        segments.append(one)
    return segments


def _headers(segments: list[Segment]) -> dict[int, int]:
    """Return where the JFIF and the Adobe header are: the last of each before the pixels, as decoders go by it."""
    found: dict[int, int] = {}
    for number, one in enumerate(segments):
        if one.marker == SOS:
            break
        if one.marker in (_APP0, _APP14) and _kept(*one):
            found[one.marker] = number
    return found


def _first(segments: list[Segment], marker: int, start: bytes) -> bytes:
    return next((one.payload for one in segments if one.marker == marker and one.payload.startswith(start)), b"")


def _segments(content_bytes: bytes) -> Iterator[Segment]:
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
            frame = bytes([marker]) + payload if marker in _FRAMES else frame
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


def _kept(marker: int, payload: bytes, tail: bytes) -> bytes:
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
    """Say whether any viewer reads this frame header: marker, bits, height, width, then three bytes a component."""
    if frame[0] not in _COMMON_FRAMES or frame[1:2] != b"\x08" or len(frame) < 7:
        return False
    component_ids, samplings = frame[7::3], frame[8::3]
    if len(component_ids) == 1:
        return True
    is_common = samplings[:1] in _COMMON_SAMPLINGS and samplings[1:] == b"\x11\x11"
    return component_ids == b"\x01\x02\x03" and is_common and not adobe_rgb
