"""Make a picture ready to be sent: upright, cropped, made smaller and freed of all but its pixels."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from connector.model import Candidate, Picture, Reason
from connector.model.formats import installed_extras
from connector.model.reasons import ADVICE
from connector.photo.decode import Box, OpenedImage, check_whole, decode, decode_luma, open_image
from connector.photo.fingerprint import FINGERPRINT_EDGE, centre_print, fingerprint
from connector.photo.limits import PictureRefused, too_large

RECIPE = 1
SMALLEST_EDGE = 48


@dataclass(frozen=True, slots=True)
class Recipe:
    """Define how a picture is made: longest edge in pixels, and whether it is cropped to a square."""

    size: int = 648
    square: bool = True

    @property
    def key(self) -> str:
        """Return the text that memory keeps, e.g. `1:648:square`; another text means other pictures."""
        return f"{RECIPE}:{self.size}:{'square' if self.square else 'none'}"

    @property
    def refusal_key(self) -> str:
        """Return the text under which a refusal is stored; under another one the picture is examined again.

        It covers the extras that are installed: a HEIC picture is readable after `heif` is.
        """
        return ":".join((self.key, *installed_extras()))


def sent_size(width: int, height: int, recipe: Recipe) -> tuple[int, int]:
    """Return width and height in pixels of what is sent for an upright picture of this size; never enlarged."""
    if recipe.square:
        edge = min(width, height, recipe.size)
        return edge, edge
    longest = max(width, height)
    if longest <= recipe.size:
        return width, height
    return max(1, round(width * recipe.size / longest)), max(1, round(height * recipe.size / longest))


def crop_box(width: int, height: int, recipe: Recipe) -> tuple[float, float, float, float]:
    """Return the part of an upright picture that is sent: left, top, right, bottom in its pixels.

    A portrait has its head in the upper part, so that only a fifth of the surplus height goes at the top;
    a landscape loses as much on either side.
    """
    if not recipe.square:
        return 0.0, 0.0, float(width), float(height)
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 5
    return left, top, left + edge, top + edge


def choose(candidates: Sequence[Candidate], attribute_order: Sequence[str]) -> Candidate | None:
    """Return the picture to use, or None where none is usable; the order of the candidates does not matter."""
    usable = [candidate for candidate in candidates if candidate.refused is None]
    for attribute in _folded(attribute_order):
        if values := [value for value in usable if value.attribute.casefold() == attribute]:
            return min(values, key=lambda value: (-value.width * value.height, value.source_sha256))
    return None


def best_refusal_reason(candidates: Sequence[Candidate], attribute_order: Sequence[str]) -> Reason:
    """Return the reason to report when no candidate is usable; `no-photo` when there is none in a trusted attribute."""
    trusted = set(_folded(attribute_order))
    refused = (value.refused for value in candidates if value.attribute.casefold() in trusted)
    reasons = [reason for reason in refused if reason and ADVICE[reason].nearness]
    return max(reasons, key=lambda reason: ADVICE[reason].nearness, default=Reason.NO_PHOTO)


def _folded(names: Sequence[str]) -> list[str]:
    return [name.casefold() for name in names]


MAX_SENT_BYTES = 4_000_000
_QUALITIES = (90, 80, 65, 50)
# Twice the size sent leaves the fine filter enough to work on.
_FINER = 2
_WHOLE = 1_000_000
# Not even noise at quality 100 takes more than some 4 bytes a pixel; the tables of many scans take some kilobytes.
_MOST_BYTES_A_PIXEL = 4
_MOST_TABLES = 16_384


def inspect(content_bytes: bytes, recipe: Recipe) -> tuple[int, int]:
    """Return the upright width and height of a picture from its header alone; raise PictureRefused."""
    with open_image(content_bytes, 1) as opened:
        _check_size(opened, recipe)
        return opened.width, opened.height


def prepare(content_bytes: bytes, recipe: Recipe) -> Picture:
    """Make a picture ready to be sent: a JPEG of at most 4 MB without metadata, and what it shows.

    Hostile bytes raise PictureRefused and nothing else. A JPEG that is already fit is sent as it stands.
    Thread-safe.
    """
    source_sha256 = hashlib.sha256(content_bytes).hexdigest()
    with open_image(content_bytes, _FINER * recipe.size) as opened:
        _check_size(opened, recipe)
        luma = check_whole(opened, FINGERPRINT_EDGE)
        if _is_fit(opened, recipe):
            return _as_it_stands(opened, luma, source_sha256, recipe=recipe)
        return _made(opened, source_sha256, recipe)


def shrink(jpeg_bytes: bytes, limit_bytes: int) -> bytes:
    """Return a JPEG of at most `limit_bytes`, as large and as good as they allow; raise PictureRefused."""
    if len(jpeg_bytes) <= limit_bytes:
        return jpeg_bytes
    return _encoded(_whole(jpeg_bytes), limit_bytes)[0]


def thumbnails(jpeg_bytes: bytes, widths: Sequence[int]) -> list[bytes]:
    """Return the picture as JPEGs of these widths in pixels, in their order; never enlarged."""
    image = _whole(jpeg_bytes)
    return [_encoded(_at_most(image, width), MAX_SENT_BYTES)[0] for width in widths]


def _check_size(opened: OpenedImage, recipe: Recipe) -> None:
    if min(sent_size(opened.width, opened.height, recipe)) < SMALLEST_EDGE:
        raise PictureRefused(
            Reason.TOO_SMALL,
            f"The picture has {opened.width} × {opened.height} pixels, of which too few are left "
            f"(at least {SMALLEST_EDGE} × {SMALLEST_EDGE}).",
        )


def _is_fit(opened: OpenedImage, recipe: Recipe) -> bool:
    """Return True if the JPEG may be sent as it stands; more bytes than its pixels can need are something else's."""
    size = (opened.width, opened.height)
    limit = min(MAX_SENT_BYTES, _MOST_BYTES_A_PIXEL * size[0] * size[1] + _MOST_TABLES)
    return opened.is_fit and len(opened.jpeg_bytes) <= limit and sent_size(*size, recipe) == size


def _as_it_stands(opened: OpenedImage, luma: Image.Image | None, source_sha256: str, *, recipe: Recipe) -> Picture:
    size = (opened.width, opened.height)
    box: Box = (0.0, 0.0, float(opened.width), float(opened.height))
    if luma is None:
        luma, box = decode_luma(opened, FINGERPRINT_EDGE)
    seen = fingerprint(luma, size=size, box=box)
    return Picture(
        source_sha256,
        sent=seen,
        whole=seen,
        centre=centre_print(luma, size=size, box=box),
        sent_sha256=hashlib.sha256(opened.jpeg_bytes).hexdigest(),
        recipe=recipe.key,
        sent_bytes=opened.jpeg_bytes,
    )


def _made(opened: OpenedImage, source_sha256: str, recipe: Recipe) -> Picture:
    size = sent_size(opened.width, opened.height, recipe)
    upright = decode(opened, _FINER * min(size))
    sent = upright.resize(size, Image.Resampling.LANCZOS, box=crop_box(*upright.size, recipe))
    sent_bytes, sent = _encoded(sent, MAX_SENT_BYTES)
    return Picture(
        source_sha256,
        sent=fingerprint(sent),
        whole=fingerprint(upright, size=(opened.width, opened.height)),
        centre=centre_print(upright, size=(opened.width, opened.height)),
        sent_sha256=hashlib.sha256(sent_bytes).hexdigest(),
        recipe=recipe.key,
        sent_bytes=sent_bytes,
    )


def _encoded(image: Image.Image, limit_bytes: int) -> tuple[bytes, Image.Image]:
    """Encode within the limit: lower quality first, then half the edge, and so on; also return what was encoded."""
    image.info = {}  # Pillow would write a comment that it finds here
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            if buffer.tell() <= limit_bytes:
                return buffer.getvalue(), image
        if min(image.size) < 2 * SMALLEST_EDGE:
            raise too_large(f"The picture cannot be encoded in {limit_bytes:,} bytes.")
        image = image.reduce(2)


def _whole(jpeg_bytes: bytes) -> Image.Image:
    with open_image(jpeg_bytes, _WHOLE) as opened:
        return decode(opened, min(opened.width, opened.height))


def _at_most(image: Image.Image, width: int) -> Image.Image:
    if width >= image.width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
