"""What is in a JPEG besides the picture? Everything that is not needed to show it is cut away (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from connector.photo.refusal import not_an_image

# Encoders write some ten scans; each one costs a pass over the whole picture, so thousands are an attack.
MAX_SCANS = 100
MAX_SEGMENTS = 5_000

_SOI, _EOI, _SOS, _DHT, _DQT, _DRI, _DNL, _DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xDC, 0xCC
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_STANDALONE = frozenset({0x01, _SOI, *range(0xD0, 0xD8)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_COMMON_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_PICTURE = _FRAMES | {_DHT, _DQT, _DRI, _DNL, _DAC, _SOS}
# two bytes and no repetition: linear on any input
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Hold a JPEG without its metadata, and what the metadata said that matters.

    `clean_bytes` decode to the same pixels; they end at the first end-of-image. `plain` says that any
    viewer reads them: Huffman coded, 8 bit, grey or YCbCr, and whole.
    """

    clean_bytes: bytes = field(repr=False)
    exif_bytes: bytes = field(repr=False)
    xmp_bytes: bytes = field(repr=False)
    has_profile: bool
    plain: bool


def take_apart(content_bytes: bytes) -> Jpeg:
    """Walk the segments of a JPEG and keep what the picture needs; raise PictureRefused on absurd structure."""
    kept, frames, exif, xmp = [b"\xff\xd8"], [b""], b"", b""
    profile = ended = adobe_rgb = False
    scans = 0
    for number, (marker, payload, tail) in enumerate(_segments(content_bytes)):
        scans += marker == _SOS
        if scans > MAX_SCANS or number > MAX_SEGMENTS:
            raise not_an_image("The JPEG has more scans or segments than any camera or program writes.")
        ended = marker == _EOI
        if marker == _APP1 and payload.startswith(b"Exif\0") and not exif:
            exif = payload
        elif marker == _APP1 and payload.startswith(b"http://ns.adobe.com/xap/"):
            xmp = xmp or payload
        elif marker in _FRAMES:
            frames.append(bytes([marker]) + payload)
        elif marker == _APP14 and payload.startswith(b"Adobe"):
            adobe_rgb = payload[11:12] not in (b"", b"\x01")
        profile = profile or (marker == _APP2 and payload.startswith(b"ICC_PROFILE\0"))
        kept.append(_kept(marker, payload, tail=tail))
    plain = ended and len(frames) == 2 and _is_plain(frames[1], adobe_rgb=adobe_rgb)
    return Jpeg(b"".join(kept), exif, xmp, profile, plain)


def _segments(content_bytes: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, payload, and the coded data after a scan header; stop at the first end-of-image."""
    position = 2
    while found := _MARKER.search(content_bytes, position):
        marker, position = content_bytes[found.start() + 1], found.end()
        if marker == _EOI:
            yield marker, b"", b""
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(content_bytes[position : position + 2], "big")
        payload, position = content_bytes[position + 2 : position + length], position + max(length, 2)
        if marker != _SOS:
            yield marker, payload, b""
            continue
        after = _SCAN_END.search(content_bytes, position)
        end = after.start() if after else len(content_bytes)
        yield marker, payload, content_bytes[position:end]
        position = end


def _kept(marker: int, payload: bytes, *, tail: bytes) -> bytes:
    """Return what stays of a segment, as bytes; a JFIF header stays without its thumbnail."""
    if marker == _EOI:
        return b"\xff\xd9"
    if marker == _APP0 and payload.startswith(b"JFIF\0") and len(payload) >= 14:
        return _segment(marker, payload[:12] + b"\0\0")
    if marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= 12:
        return _segment(marker, payload[:12])
    if marker in _PICTURE or (marker == _APP2 and payload.startswith(b"ICC_PROFILE\0")):
        return _segment(marker, payload) + tail
    return b""


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2, "big") + payload


def _is_plain(frame: bytes, *, adobe_rgb: bool) -> bool:
    """Say whether any viewer reads this frame header: marker, bits, height, width, then three bytes a component."""
    if frame[0] not in _COMMON_FRAMES or frame[1:2] != b"\x08" or len(frame) < 7:
        return False
    component_ids = frame[7::3]
    return len(component_ids) == 1 or (component_ids == b"\x01\x02\x03" and not adobe_rgb)
