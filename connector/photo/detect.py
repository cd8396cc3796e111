"""Recognise what kind of picture bytes hold, by their first bytes; an attribute may hold them as base64 text."""

from __future__ import annotations

import base64
import binascii
import re

from connector.model.formats import foreign_title, recognise
from connector.photo.limits import check_bytes, not_an_image, not_installed

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")


def unwrap(content_bytes: bytes) -> tuple[str, bytes]:
    """Return the kind of picture (a name of the table of formats) and its bytes; raise PictureRefused for all else."""
    check_bytes(content_bytes)
    for picture_bytes in (content_bytes, _from_text(content_bytes)):
        if found := recognise(picture_bytes):
            if not found.is_installed:
                raise not_installed(found)
            return found.name, picture_bytes
    if title := foreign_title(content_bytes):
        raise not_an_image(f"The value is a {title}.")
    raise not_an_image("The value is not a JPEG, PNG, GIF, BMP, WebP, TIFF, AVIF or HEIC picture.")


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
