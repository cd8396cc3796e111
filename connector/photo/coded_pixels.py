"""Check a JPEG's coded pixels: what libjpeg-turbo complains of, block means that no picture has, and steps.

A block's mean is coded as its difference from the block before (ITU-T T.81 F.1.2.1). After damage that leaves the
decoder in step, all that follows has another brightness or colour: lighter than white or darker than black, where the
picture is light or dark. Decoders cut such means off at 0 and 255; they show once quantisation tables divide them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from connector.errors import StopRun
from connector.photo.jpeg import DQT, FRAMES, SOI, SOS, Segment, needed_bytes
from connector.photo.limits import damaged
from connector.photo.steps import LEAST_WIDTH, MOST_PIXELS, has_step, times_smaller

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# libjpeg's warnings of changed or missing data; others (an unknown Adobe code, odd parameters of a scan) are harmless,
# and what its interface cannot read at all (unusual sampling) is left to Pillow.
_COMPLAINTS = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression")
# Means are divided by about so much; those of a table whose first divisor is 1 cannot be.
_DIVISOR = 3
# A mean of 8-bit samples lies within 0 and 255, but for half a step of its coding and the rounding here; of 5,500 sound
# JPEGs none was further out.
_MOST_OUTSIDE = 8.0
# Colours that no RGB has are written by cameras and programs that change YCbCr itself: 27 outside in a public photo.
_MOST_OUTSIDE_RGB = 96.0


class Coding(NamedTuple):
    """Contain how the means of a grey or YCbCr JPEG are coded.

    `steps` are the divisors of each component, `factors` by how much they were made smaller; `across` and `down` are
    how many blocks of brightness share one of colour; `unit_height` is the height of what is coded from left to right,
    and `size` height and width, in pixels.
    """

    steps: tuple[int, ...]
    factors: tuple[float, ...]
    across: int
    down: int
    unit_height: int
    size: tuple[int, int]


def check_coded_pixels(jpeg_bytes: bytes, segments: Iterable[Segment], *, in_full: bool) -> Image.Image | None:
    """Decode a JPEG without metadata as small as possible; refuse what libjpeg complains of, and impossible means.

    Pillow hears no complaint. Steps are looked for in the luma: with `in_full` that of all pixels is decoded for it,
    and returned; None where no steps are looked for.
    """
    # Only here: it brings numpy, which a run without a new picture need not load.
    try:
        import simplejpeg
    except ImportError as error:
        raise StopRun(
            f"the picture decoder simplejpeg cannot be loaded ({error}), so no picture can be examined.",
            "Install photo-connector again, e.g. with `pip install --force-reinstall photo-connector`.",
        ) from error
    divided_bytes, coding = _with_divided_means(jpeg_bytes, segments)
    smallest = {"min_height": 1, "min_width": 1, "fastdct": True, "fastupsample": True}
    try:
        is_colour = simplejpeg.decode_jpeg_header(divided_bytes, strict=False)[2] == "YCbCr"
        small = simplejpeg.decode_jpeg(divided_bytes, "RGB" if coding and is_colour else "GRAY", **smallest)
    except ValueError as error:
        if str(error).startswith(_COMPLAINTS):
            raise damaged(f"The JPEG's coded pixels are damaged ({error}).") from error
        return None
    if coding is None or small.shape[2] != len(coding.steps):
        return None
    if _is_impossible(small, coding):
        raise damaged("The JPEG's coded pixels are damaged (blocks are lighter than white or darker than black).")
    return _luma_without_steps(jpeg_bytes, coding, in_full=in_full)


def _luma_without_steps(jpeg_bytes: bytes, coding: Coding, *, in_full: bool) -> Image.Image | None:
    """Refuse a picture with a step along its units; return its luma if that was decoded in full."""
    import numpy as np
    import simplejpeg

    height, width = coding.size
    if width < LEAST_WIDTH or width * height > MOST_PIXELS:
        return None
    smaller = times_smaller(width)
    least = {} if in_full else {"min_height": -(-height // smaller), "min_width": -(-width // smaller)}
    luma = Image.fromarray(simplejpeg.decode_jpeg(jpeg_bytes, "GRAY", **least)[:, :, 0])
    grey = luma.reduce(smaller) if in_full else luma
    if has_step(np.asarray(grey), unit_height=coding.unit_height, smaller=smaller):
        raise damaged("The JPEG's coded pixels are damaged (a step of brightness runs along its blocks).")
    return luma if in_full else None


def _with_divided_means(jpeg_bytes: bytes, segments: Iterable[Segment]) -> tuple[bytes, Coding | None]:
    """Return the JPEG with smaller divisors of its means, and how they are coded; nothing if that is unusual."""
    parts = [bytes((0xFF, SOI))]
    tables: dict[int, tuple[int, float]] = {}
    frame, first_scan, is_usual = b"", b"", True
    for marker, payload, tail in segments:
        divided = payload
        if marker == DQT:
            divided = _divided(payload, tables)
            is_usual = is_usual and not first_scan
        elif marker in FRAMES:
            frame = payload
        elif marker == SOS:
            first_scan = first_scan or payload
        parts.append(needed_bytes(marker, divided, tail))
    coding = _coding(frame, tables, together=first_scan[:1] != b"\x01") if is_usual else None
    return (b"".join(parts), coding) if coding else (jpeg_bytes, None)


def _divided(payload: bytes, tables: dict[int, tuple[int, float]]) -> bytes:
    """Return a segment of quantisation tables with smaller divisors of means; note those, and by how much."""
    divided = bytearray(payload)
    position = 0
    while position + 2 < len(payload):
        width = 1 + (payload[position] >> 4 > 0)
        first = slice(position + 1, position + 1 + width)
        step = int.from_bytes(payload[first], "big")
        smaller = max(1, round(step / _DIVISOR))
        divided[first] = smaller.to_bytes(width, "big")
        tables[payload[position] & 15] = step, step / smaller
        position += 1 + 64 * width
    return bytes(divided)


def _coding(frame: bytes, tables: dict[int, tuple[int, float]], *, together: bool) -> Coding | None:
    """Return how means are coded, the components `together` or each in a scan of its own; nothing if unusual."""
    samplings, numbers = frame[7::3], frame[8::3]
    is_usual = frame[:1] == b"\x08" and len(numbers) in (1, 3) and samplings[1:] in (b"", b"\x11\x11")
    if not is_usual or any(number not in tables for number in numbers):
        return None
    steps, factors = zip(*(tables[number] for number in numbers), strict=True)
    size = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    across, down = (samplings[0] >> 4, samplings[0] & 15) if len(numbers) == 3 else (1, 1)
    return Coding(steps, factors, across, down, 8 * down if together else 8, size)


def _is_impossible(small: NDArray[np.uint8], coding: Coding) -> bool:
    """Return True if a mean is outside what 8-bit samples have, or a colour far outside RGB's."""
    import numpy as np

    steps, factors = (np.array(values, np.float32) for values in (coding.steps, coding.factors))
    spare = steps / 16 + factors
    means = small.astype(np.float32) - 128
    if len(steps) == 3:  # as they are coded: brightness and two differences of colours (ITU-T T.871)
        means = means @ np.array([[0.299, -0.1687, 0.5], [0.587, -0.3313, -0.4187], [0.114, 0.5, -0.0813]], np.float32)
    means *= factors
    if _outside(means[:, :, 0], spare[0]) > _MOST_OUTSIDE:
        return True
    rows, columns = means.shape[0] // coding.down, means.shape[1] // coding.across
    if len(steps) == 1 or not rows or not columns:
        return False
    # Colours are whole only over what one block of them covers.
    units = means[: rows * coding.down, : columns * coding.across]
    units = units.reshape(rows, coding.down, columns, coding.across, 3).mean(axis=(1, 3))
    rgb = units @ np.array([[1, 1, 1], [0, -0.3441, 1.772], [1.402, -0.7141, 0]], np.float32)
    return (
        _outside(units[:, :, 1:], spare[1:].max()) > _MOST_OUTSIDE
        or _outside(rgb, spare[0] + 1.772 * spare[1:].max()) > _MOST_OUTSIDE_RGB
    )


def _outside(means: NDArray[np.float32], spare: float) -> float:
    """Return by how much the worst of means around 0 is outside what 8 bits have, beyond what rounding explains."""
    return max(float(means.max()) - 127, -128 - float(means.min())) - float(spare)
