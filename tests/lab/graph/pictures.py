"""Store a picture as the cloud does: decoded, stripped, saved again, with a random tag."""

from __future__ import annotations

import hashlib
import io
import random
import warnings
from dataclasses import dataclass, field

from PIL import Image, ImageOps

from tests.lab.graph.answers import Refused
from tests.lab.graph.switches import Switches

SIZES = (48, 64, 96, 120, 240, 360, 432, 504, 648)
TOO_SMALL = "Exception of type 'Microsoft.Fast.Profile.Core.Exception.ProfileBadRequestException' was thrown."


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo as the cloud stores it; `sent_sha256` is of the bytes that came in."""

    content_bytes: bytes = field(repr=False)
    tag: str
    header_tag: str
    width: int
    height: int
    sent_sha256: str
    writer: str

    @property
    def sha256(self) -> str:
        """Return the hash of what a reader gets."""
        return hashlib.sha256(self.content_bytes).hexdigest()


def new_tag(dice: random.Random) -> str:
    """Return a fresh weak ETag, never a hash of anything (facts 1: new at every upload)."""
    return f'W/"{dice.randbytes(32).hex()}"'


def stored(sent_bytes: bytes, writer: str, *, switches: Switches, dice: random.Random) -> Photo:
    """Take a picture in as the switches say; raises Refused for what the service would not take."""
    if len(sent_bytes) > switches.max_bytes:
        raise Refused(switches.too_big_status, switches.too_big_code, "The request body is too large.")
    picture = _opened(sent_bytes, switches)
    if min(picture.size) < switches.min_edge:
        raise Refused(400, "ValidationWidthTooSmall", TOO_SMALL)
    content_bytes, (width, height) = _saved(picture, sent_bytes, switches=switches, dice=dice)
    return Photo(
        content_bytes=content_bytes,
        tag=new_tag(dice),
        header_tag=new_tag(dice),
        width=width,
        height=height,
        sent_sha256=hashlib.sha256(sent_bytes).hexdigest(),
        writer=writer,
    )


def _opened(sent_bytes: bytes, switches: Switches) -> Image.Image:
    formats = ("JPEG", "PNG") if switches.accept_png else ("JPEG",)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(sent_bytes), formats=formats)
    except Exception as broken:
        raise Refused(switches.not_image_status, switches.not_image_code, "The image could not be read.") from broken


def _saved(
    picture: Image.Image, sent_bytes: bytes, *, switches: Switches, dice: random.Random
) -> tuple[bytes, tuple[int, int]]:
    if switches.reencode == "none":
        return sent_bytes, picture.size
    if switches.reencode == "comment" and picture.format == "JPEG":
        return with_comment(sent_bytes, dice.randbytes(16).hex().encode()), picture.size
    try:
        plain = picture.convert("RGB")
    except Exception as broken:
        raise Refused(switches.not_image_status, switches.not_image_code, "The image could not be read.") from broken
    if switches.largest_edge:
        plain.thumbnail((switches.largest_edge, switches.largest_edge))
    quality = switches.jpeg_quality - (0 if switches.reencode_repeatable else dice.randrange(4))
    content_bytes = as_jpeg(plain, quality)
    if content_bytes == sent_bytes:  # a picture that is already the encoder's own output would come back unchanged
        content_bytes = as_jpeg(plain, quality - 5)
    return content_bytes, plain.size


def as_jpeg(picture: Image.Image, quality: int) -> bytes:
    """Save without any metadata."""
    out = io.BytesIO()
    picture.info.clear()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def with_comment(jpeg_bytes: bytes, comment: bytes) -> bytes:
    """Put a COM segment behind the SOI marker: other bytes, the same pixels, hardly any work."""
    return jpeg_bytes[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg_bytes[2:]


def served_sizes(photo: Photo) -> list[int]:
    """Return the edges that exist: none above the upload (facts 3)."""
    return [edge for edge in SIZES if edge <= max(photo.width, photo.height)]


def at_size(photo: Photo, edge: int, quality: int) -> bytes:
    """Return the square variant; what is not square gains a background."""
    with Image.open(io.BytesIO(photo.content_bytes)) as picture:
        return as_jpeg(ImageOps.pad(picture.convert("RGB"), (edge, edge), color="white"), quality)
