"""Compute fingerprints: two pictures show the same if no cell of their 24 × 24 luma averages differs by much."""

from __future__ import annotations

from PIL import Image

from connector.model import Fingerprint
from connector.photo.decode import Box, decode_luma, in_grey, open_image

CELLS = 24
# An edge of so many pixels is enough for 24 cells: more is averaged down to it first.
FINGERPRINT_EDGE = 288


def fingerprint(image: Image.Image, *, size: tuple[int, int] | None = None, box: Box | None = None) -> Fingerprint:
    """Return what an upright picture shows; `size` is its true size in pixels where it was decoded smaller.

    `box` is the part of it that is picture (JPEG decodes whole blocks).
    """
    luma = in_grey(image)
    fits = box is None and luma.width % CELLS == luma.height % CELLS == 0
    across, down = (1, 1) if fits else (max(1, luma.width // FINGERPRINT_EDGE), max(1, luma.height // FINGERPRINT_EDGE))
    left, top, right, bottom = box or (0, 0, *luma.size)
    small = luma if (across, down) == (1, 1) else luma.reduce((across, down))
    columns = _narrowed(small, left / across, right / across).transpose(Image.Transpose.TRANSPOSE)
    cells = _narrowed(columns, top / down, bottom / down).transpose(Image.Transpose.TRANSPOSE)
    return Fingerprint(cells.tobytes(), *(size or image.size))


def centre_print(image: Image.Image, *, size: tuple[int, int], box: Box | None = None) -> Fingerprint | None:
    """Return what the square about the centre of an upright picture shows; None for a picture that is a square.

    Programs that crop without looking for a face take this square. `size` and `box` are those of `fingerprint`.
    """
    if size[0] == size[1]:
        return None
    left, top, right, bottom = box or (0.0, 0.0, float(image.width), float(image.height))
    across, down = right - left, bottom - top
    edge = min(across, down)
    left, top = left + (across - edge) / 2, top + (down - edge) / 2
    return fingerprint(image, size=(min(size), min(size)), box=(left, top, left + edge, top + edge))


def _narrowed(luma: Image.Image, left: float, right: float) -> Image.Image:
    """Average what lies between left and right into 24 columns.

    The box filter takes whole pixels only, so that pixels are divided first where 24 cells do not fall between them:
    into at least 72 to a cell. Plain division of whole pixels is wrong by up to 36 levels at 100 pixels.
    """
    if (left, right) != (0, luma.width) or luma.width % CELLS:
        parts = 24 if luma.width < FINGERPRINT_EDGE // 2 else 12 if luma.width < FINGERPRINT_EDGE else 6
        smoothly = Image.Resampling.BICUBIC if luma.width < FINGERPRINT_EDGE else Image.Resampling.NEAREST
        luma = luma.resize((luma.width * parts, luma.height), smoothly)
        left, right = left * parts, right * parts
    return luma.resize((CELLS, luma.height), Image.Resampling.BOX, box=(left, 0, right, luma.height))


def read_print(content_bytes: bytes) -> Fingerprint:
    """Return what these bytes show, e.g. a cloud photo's; raise PictureRefused when they are no whole picture."""
    with open_image(content_bytes, FINGERPRINT_EDGE) as opened:
        luma, box = decode_luma(opened, FINGERPRINT_EDGE)
        return fingerprint(luma, size=(opened.width, opened.height), box=box)
