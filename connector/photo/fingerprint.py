"""Do two pictures show the same? They do when no cell of their 24 × 24 luma averages differs by much."""

from __future__ import annotations

from PIL import Image

from connector.model import Fingerprint
from connector.photo.decode import Box, decode_luma, open_picture

CELLS = 24
THRESHOLD = 14
ASPECT_TOLERANCE = 0.02
# A shorter edge of so many pixels is enough for 24 cells: more is averaged down to it first.
ENOUGH = 288


def fingerprint(image: Image.Image, *, size: tuple[int, int] | None = None, box: Box | None = None) -> Fingerprint:
    """Return what an upright picture shows; `size` is its true size in pixels where it was decoded smaller.

    `box` is the part of it that is picture (JPEG decodes whole blocks).
    """
    luma = image.convert("L")
    fewer = max(1, min(luma.size) // ENOUGH)
    left, top, right, bottom = (edge / fewer for edge in box or (0, 0, *luma.size))
    luma = luma.reduce(fewer)
    parts = _parts(luma.width)
    luma = luma.resize((luma.width * parts, luma.height), Image.Resampling.NEAREST)
    luma = luma.resize((CELLS, luma.height), Image.Resampling.BOX, box=(left * parts, 0, right * parts, luma.height))
    parts = _parts(luma.height)
    luma = luma.resize((CELLS, luma.height * parts), Image.Resampling.NEAREST)
    luma = luma.resize((CELLS, CELLS), Image.Resampling.BOX, box=(0, top * parts, CELLS, bottom * parts))
    return Fingerprint(luma.tobytes(), *(size or image.size))


def _parts(pixels: int) -> int:
    """Return in how many parts to cut each pixel, since the box filter takes whole ones: at least 72 to a cell."""
    return 24 if pixels < ENOUGH // 2 else 12 if pixels < ENOUGH else 6


def read_print(content_bytes: bytes) -> Fingerprint:
    """Return what these bytes show, e.g. a cloud photo's; raise PictureRefused when they are no whole picture."""
    opened = open_picture(content_bytes)
    luma, box = decode_luma(opened, ENOUGH)
    return fingerprint(luma, size=(opened.width, opened.height), box=box)


def distance(a: Fingerprint, b: Fingerprint) -> int:
    """Return the largest difference between two cells in the same place, 0 to 255."""
    return max((abs(x - y) for x, y in zip(a.cells, b.cells, strict=True)), default=0)


def same_aspect(a: Fingerprint, b: Fingerprint) -> bool:
    """Say whether width ÷ height agrees within 2 %."""
    crossed, straight = a.width * b.height, b.width * a.height
    return abs(crossed - straight) <= ASPECT_TOLERANCE * max(crossed, straight)


def same_picture(a: Fingerprint, b: Fingerprint) -> bool:
    """Say whether both show the same: re-encoded or rescaled, but not shifted, turned or retouched."""
    return same_aspect(a, b) and distance(a, b) <= THRESHOLD
