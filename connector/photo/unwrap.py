"""What kind of picture do these bytes hold? The first bytes tell; an attribute may hold them as base64 text."""

from __future__ import annotations

import base64
import binascii
import re

from connector.photo.refusal import check_bytes, not_an_image

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")


def unwrap(content_bytes: bytes) -> tuple[str, bytes]:
    """Return the kind of picture (JPEG, PNG, GIF, BMP, WEBP, TIFF) and its bytes; raise PictureRefused for all else."""
    check_bytes(content_bytes)
    if kind := _kind(content_bytes):
        return kind, content_bytes
    decoded_bytes = _from_text(content_bytes)
    if kind := _kind(decoded_bytes):
        return kind, decoded_bytes
    raise not_an_image("The value is not a JPEG, PNG, GIF, BMP, WebP or TIFF picture.")


def _kind(content_bytes: bytes) -> str:
    if content_bytes[:4] == b"RIFF" and content_bytes[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for start, kind in _SIGNATURES if content_bytes.startswith(start)), "")


def _from_text(content_bytes: bytes) -> bytes:
    """Decode base64 in both alphabets, padded or not, also as a data: URL (RFC 4648, RFC 2397); else nothing."""
    text = content_bytes.strip()
    if text[:5].lower() == b"data:":
        text = text.partition(b",")[2]
    text = b"".join(text.split())
    if not _BASE64.fullmatch(text):
        return b""
    text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""
