"""Draw the test picture of `check --prove`: no face, and readable as a test."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

TEXT = "photo-connector test"
_EDGE = 648
_FIELD = 81


def draw_test_picture() -> bytes:
    """Return a square JPEG: eight by eight fields in two blues, and a white band with the text."""
    picture = Image.new("RGB", (_EDGE, _EDGE), (70, 110, 160))
    pen = ImageDraw.Draw(picture)
    for number in range(64):
        across, down = number % 8 * _FIELD, number // 8 * _FIELD
        if (number + number // 8) % 2:
            pen.rectangle((across, down, across + _FIELD - 1, down + _FIELD - 1), fill=(150, 190, 225))
    band = Image.new("RGB", (162, 30), "white")
    ImageDraw.Draw(band).text((22, 9), TEXT, fill="black")
    picture.paste(band.resize((_EDGE, 120), Image.Resampling.BICUBIC), (0, (_EDGE - 120) // 2))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()
