"""Find a step of brightness along the coded units of a JPEG, which damage leaves and no picture has by itself.

A block's mean is coded as its difference from the block before (ITU-T T.81 F.1.2.1). After damage that leaves the
decoder in step, all that follows is lighter or darker by the same amount: right of some place below the upper edge of
a row of units, left of it below the lower edge. Nearly all along both parts the picture must go on but for that amount,
and must not show it at the other edge. What has no grain, or no shapes that go on across the step, may be drawn so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Levels = NDArray[np.float32]

# The picture is looked at smaller, so many of its own columns together: fewer show details, more outweigh noise.
_TOGETHER = (16, 32, 64)
# Fewer of these columns, in all or at one side of the place, are too few to tell a step from a part of the picture.
_FEWEST, _FEWEST_AT_A_SIDE = 12, 3
LEAST_WIDTH = _FEWEST * _TOGETHER[0]
# Of a larger picture only what is impossible is looked for.
MOST_PIXELS = 16_000_000
# A step of so many of 255 is looked for, and of so many times what is usual at the edges of rows.
_LEAST_STEP, _LEAST_TO_USUAL = 6.0, 4.0
# So much of the step may be missing or too much, at four of five columns of each part.
_MOST_ERROR, _SHARE = 0.45, 80
# Grain: pixels side by side differ by so much, more often than not, in each of the lines at the step.
_LEAST_GRAIN = 1
# What is above the step varies so many times as much along it as what changes across it: shapes go on, as they never
# do from one bar of a form to the next.
_LEAST_SHAPES = 3


class _Edges(NamedTuple):
    """Contain the lines of pixels above and below each edge between rows of units, and their differences."""

    above: NDArray[np.uint8]
    below: NDArray[np.uint8]
    across: Levels


def times_smaller(width: int) -> int:
    """Return how many times smaller a picture of this width is to be looked at."""
    return next(times for times in (2, 4, 8) if width <= 1024 * times or times == 8)


def has_step(grey: NDArray[np.uint8], *, unit_height: int, smaller: int) -> bool:
    """Return True if a picture that is so many times `smaller` has such a step; its coded units have this height."""
    import numpy as np

    rows = unit_height // smaller
    count = (len(grey) - 1) // rows
    above, below = grey[rows - 1 :: rows][:count], grey[rows::rows][:count]
    edges = _Edges(above, below, np.subtract(below, above, dtype=np.float32))
    return count > 2 and any(_is_stepped(edges, together // smaller) for together in _TOGETHER)


def _is_stepped(edges: _Edges, together: int) -> bool:
    import numpy as np

    count, width = edges.across.shape
    columns = width // together
    if columns < _FEWEST:
        return False
    across = edges.across[:, : columns * together].reshape(count, columns, together).mean(axis=2)
    steps = np.median(across[:-1] + across[1:], axis=1)
    least = max(_LEAST_STEP, _LEAST_TO_USUAL * float(np.median(np.abs(across))))
    for row in np.flatnonzero(np.abs(steps) >= least):
        place = _place(across[row], across[row + 1], float(steps[row]))
        if place and _goes_on(edges, int(row), place, together=together):
            return True
    return False


def _place(upper: Levels, lower: Levels, step: float) -> int:
    """Return the column from which on the step is at the upper edge, and before it at the lower one; 0 if at none."""
    import numpy as np

    def wrong(with_step: Levels, without: Levels) -> Levels:
        apart: Levels = np.maximum(np.abs(with_step - step), np.abs(without)) / abs(step)
        return np.minimum(apart, 1)

    left, right = wrong(lower, upper), wrong(upper, lower)
    totals = np.append(0, np.cumsum(left)) + np.append(np.cumsum(right[::-1])[::-1], 0)
    place = int(totals.argmin())
    if not _FEWEST_AT_A_SIDE <= place <= len(upper) - _FEWEST_AT_A_SIDE:
        return 0
    worst = max(float(np.percentile(part, _SHARE)) for part in (left[:place], right[place:]))
    return place if worst <= _MOST_ERROR else 0


def _goes_on(edges: _Edges, row: int, place: int, *, together: int) -> bool:
    """Return True if there is grain at both sides of the step, and the shapes above it go on below it."""
    import numpy as np

    shapes = changes = 0.0
    width = edges.across.shape[1] // together * together
    for line, part in ((row + 1, slice(0, place * together)), (row, slice(place * together, width))):
        sides = [side[line, part].astype(np.float32) for side in (edges.above, edges.below)]
        if any(float(np.median(np.abs(np.diff(side)))) < _LEAST_GRAIN for side in sides):
            return False
        above, below = (side.reshape(-1, together).mean(axis=1) for side in sides)
        shapes += _spread(above)
        changes += _spread(below - above)
    return shapes >= _LEAST_SHAPES * changes


def _spread(levels: Levels) -> float:
    import numpy as np

    return float(np.abs(levels - np.median(levels)).sum())
