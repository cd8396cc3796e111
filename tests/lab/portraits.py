"""Portraits drawn from a seed: another seed is another face, the same seed the same bytes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageOps

Colour = tuple[int, int, int]
Size = tuple[int, int]

_SKINS: tuple[Colour, ...] = ((244, 208, 177), (226, 172, 130), (189, 128, 88), (134, 85, 54), (92, 56, 38))
_HAIRS: tuple[Colour, ...] = (
    (24, 20, 18),
    (70, 44, 26),
    (134, 88, 42),
    (214, 178, 104),
    (150, 60, 30),
    (176, 176, 180),
)
_EYES: tuple[Colour, ...] = ((70, 110, 160), (80, 120, 70), (90, 60, 30), (60, 60, 64))
_SQUARE = (720, 720)


@dataclass(frozen=True, slots=True)
class _Head:
    """Place the head: its centre and, in pixels, half its width and height."""

    x: float
    y: float
    rx: float
    ry: float

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """Turn a box in head measures (the face spans -1 … 1) into pixels."""
        return self.x + left * self.rx, self.y + top * self.ry, self.x + right * self.rx, self.y + bottom * self.ry


def portrait(seed: object, size: Size = _SQUARE) -> Image.Image:
    """Draw a person, RGB, of this width and height in pixels; the head sits in the upper part of a tall one."""
    dice = random.Random(f"portrait {seed}")
    unit = min(size)
    head = _Head(
        x=size[0] * dice.uniform(0.46, 0.54),
        y=min(size[1] * 0.44, unit * dice.uniform(0.40, 0.46)),
        rx=unit * dice.uniform(0.17, 0.22),
        ry=unit * dice.uniform(0.24, 0.28),
    )
    picture = _background(dice, size)
    pen = ImageDraw.Draw(picture)
    skin, hair = _shaded(dice.choice(_SKINS), dice), _shaded(dice.choice(_HAIRS), dice)
    _clothes(pen, dice, head, size)
    _head(pen, dice, head, skin=skin, hair=hair)
    _face(pen, dice, head, skin=skin, hair=hair)
    return _grained(picture.filter(ImageFilter.GaussianBlur(unit / 400)), dice)


def silhouette(size: Size = (300, 300)) -> Image.Image:
    """Draw what directories hold for people without a photo: a grey head and shoulders, the same for everybody."""
    picture = Image.new("RGB", size, (214, 217, 221))
    pen, (width, height) = ImageDraw.Draw(picture), size
    grey = (150, 155, 162)
    pen.ellipse((width * 0.33, height * 0.18, width * 0.67, height * 0.60), fill=grey)
    pen.ellipse((width * 0.16, height * 0.64, width * 0.84, height * 1.40), fill=grey)
    return picture


def _background(dice: random.Random, size: Size) -> Image.Image:
    dark, light = sorted((dice.randrange(20, 250), dice.randrange(20, 250)))
    gradient = Image.linear_gradient("L").rotate(dice.choice((0, 90, 180, 270))).resize(size)
    return ImageOps.colorize(gradient, _tinted(dark, dice), _tinted(light, dice))


def _clothes(pen: ImageDraw.ImageDraw, dice: random.Random, head: _Head, size: Size) -> None:
    colour, trim = _any_colour(dice), _any_colour(dice)
    top, spread = head.y + 1.30 * head.ry, head.rx * dice.uniform(2.2, 3.0)
    pen.ellipse((head.x - spread, top, head.x + spread, top + 3.2 * head.ry), fill=colour)
    pen.rectangle((head.x - spread, top + 1.6 * head.ry, head.x + spread, 2 * size[1]), fill=colour)
    kind = dice.randrange(3)
    if kind == 0:
        pen.polygon([head.box(x, y, 0, 0)[:2] for x, y in ((-0.5, 1.2), (0.5, 1.2), (0, 2.2))], fill=(245, 245, 245))
        pen.polygon(
            [head.box(x, y, 0, 0)[:2] for x, y in ((-0.1, 1.5), (0.1, 1.5), (0.2, 2.6), (-0.2, 2.6))], fill=trim
        )
    if kind == 1:
        for stripe in range(4):
            pen.rectangle(head.box(-2.0, 1.9 + stripe * 0.35, 2.0, 2.05 + stripe * 0.35), fill=trim)


def _head(pen: ImageDraw.ImageDraw, dice: random.Random, head: _Head, *, skin: Colour, hair: Colour) -> None:
    length = dice.choice((0.2, 0.6, 1.5))
    pen.ellipse(head.box(-1.22, -1.25, 1.22, 0.6), fill=hair)
    if length > 0.2:
        pen.rectangle(head.box(-1.22, -0.3, 1.22, length), fill=hair)
    pen.rectangle(head.box(-0.42, 0.6, 0.42, 1.4), fill=_darker(skin, 24))
    pen.ellipse(head.box(-1.12, -0.2, -0.85, 0.25), fill=_darker(skin, 14))
    pen.ellipse(head.box(0.85, -0.2, 1.12, 0.25), fill=_darker(skin, 14))
    pen.ellipse(head.box(-1, -1, 1, 1), fill=skin)
    fringe = dice.uniform(-0.62, -0.35)
    pen.chord(
        head.box(-1.02, -1.08, 1.02, 2 * fringe + 1.5), 180 + dice.randrange(25), 360 - dice.randrange(25), fill=hair
    )


def _face(pen: ImageDraw.ImageDraw, dice: random.Random, head: _Head, *, skin: Colour, hair: Colour) -> None:
    line = max(1, round(head.rx / 22))
    gap, iris, glasses = dice.uniform(0.36, 0.46), dice.choice(_EYES), dice.random() < 0.3
    for side in (-gap, gap):
        pen.ellipse(head.box(side - 0.19, -0.16, side + 0.19, 0.06), fill=(250, 250, 250))
        pen.ellipse(head.box(side - 0.09, -0.15, side + 0.09, 0.05), fill=iris)
        pen.ellipse(head.box(side - 0.04, -0.09, side + 0.04, -0.01), fill=(10, 10, 10))
        pen.arc(head.box(side - 0.24, -0.36, side + 0.24, 0.0), 200, 340, fill=_darker(hair, 20), width=2 * line)
        if glasses:
            pen.ellipse(head.box(side - 0.30, -0.24, side + 0.30, 0.16), outline=(25, 25, 30), width=2 * line)
    pen.line((*head.box(0.02, -0.05, 0, 0)[:2], *head.box(0.10, 0.30, 0, 0)[:2]), fill=_darker(skin, 40), width=line)
    pen.arc(head.box(-0.12, 0.20, 0.12, 0.36), 10, 170, fill=_darker(skin, 46), width=line)
    if dice.random() < 0.3:
        pen.chord(head.box(-0.82, 0.2, 0.82, 1.02), 5, 175, fill=_darker(hair, -10))
    mouth, lips = dice.uniform(0.24, 0.40), (176, 70, 72)
    if dice.random() < 0.5:
        pen.chord(head.box(-mouth, 0.36, mouth, 0.66), 0, 180, fill=(248, 244, 240), outline=lips, width=line)
        return
    pen.arc(head.box(-mouth, 0.30, mouth, 0.62), 20, 160, fill=lips, width=3 * line)


def _grained(picture: Image.Image, dice: random.Random) -> Image.Image:
    # Without the grain of a camera a drawing shrinks to a tenth of what a photo of its size weighs.
    half = (max(1, picture.width // 2), max(1, picture.height // 2))
    grain = Image.frombytes("L", half, dice.randbytes(half[0] * half[1])).resize(picture.size, Image.Resampling.BICUBIC)
    return Image.blend(picture, Image.merge("RGB", (grain, grain, grain)), 0.06)


def _any_colour(dice: random.Random) -> Colour:
    return dice.randrange(15, 235), dice.randrange(15, 235), dice.randrange(15, 235)


def _tinted(level: int, dice: random.Random) -> Colour:
    return _clamped(*(level + dice.randrange(-22, 23) for _ in range(3)))


def _shaded(colour: Colour, dice: random.Random) -> Colour:
    return _darker(colour, dice.randrange(-12, 13))


def _darker(colour: Colour, amount: int) -> Colour:
    return _clamped(*(part - amount for part in colour))


def _clamped(red: int, green: int, blue: int) -> Colour:
    return max(0, min(255, red)), max(0, min(255, green)), max(0, min(255, blue))
