"""What do we send? A picture of this size and shape, made by this version of the recipe."""

from __future__ import annotations

from dataclasses import dataclass

RECIPE = 1
SMALLEST_EDGE = 48


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how a picture is made: longest edge in pixels, and whether it is cropped to a square."""

    size: int = 648
    square: bool = True

    @property
    def key(self) -> str:
        """Return the text that memory keeps, e.g. `1:648:square`; another text means other pictures."""
        return f"{RECIPE}:{self.size}:{'square' if self.square else 'none'}"


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
