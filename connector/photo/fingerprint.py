"""Do two pictures show the same? They do when no cell of their 24 × 24 luma averages differs by much."""

from __future__ import annotations

from PIL import Image

from connector.model import Fingerprint
from connector.photo.decode import Box, decode_luma, open_picture

CELLS = 24
THRESHOLD = 14
ASPECT_TOLERANCE = 0.02
# A decoded edge of so many pixels is enough for 24 cells.
_ENOUGH = 192
# From so many pixels a cell on, the box filter's whole pixels are as good as their exact shares.
_EXACT_BELOW = CELLS * 16


def fingerprint(image: Image.Image, *, size: tuple[int, int] | None = None, box: Box | None = None) -> Fingerprint:
    """Return what an upright picture shows; `size` is its true size in pixels where it was decoded smaller.

    `box` is the part of it that is picture (JPEG decodes whole blocks).
    """
    luma = image.convert("L")
    width, height = size or image.size
    left, top, right, bottom = box or (0.0, 0.0, float(luma.width), float(luma.height))
    if luma.width < _EXACT_BELOW:
        luma = luma.resize((luma.width * CELLS, luma.height), Image.Resampling.NEAREST)
        left, right = left * CELLS, right * CELLS
    luma = luma.resize((CELLS, luma.height), Image.Resampling.BOX, box=(left, 0, right, luma.height))
    if luma.height < _EXACT_BELOW:
        luma = luma.resize((CELLS, luma.height * CELLS), Image.Resampling.NEAREST)
        top, bottom = top * CELLS, bottom * CELLS
    cells = luma.resize((CELLS, CELLS), Image.Resampling.BOX, box=(0, top, CELLS, bottom))
    return Fingerprint(cells.tobytes(), width, height)


def read_print(content_bytes: bytes) -> Fingerprint:
    """Return what these bytes show, e.g. a cloud photo's; raise PictureRefused when they are no whole picture."""
    opened = open_picture(content_bytes)
    luma, box = decode_luma(opened, _ENOUGH)
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
