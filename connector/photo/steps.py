"""Find a step in brightness or colour that runs along the blocks of a JPEG, as damaged coded pixels leave it.

A block's mean is coded as its difference from the block before. After damage that leaves the decoder in step again, all
that follows is lighter, darker or of another colour: from some place on below the upper edge of a row of blocks, and
left of that place below its lower edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The picture is looked at four times smaller, with 16 and with 32 of its own pixels side by side taken together: fewer
# show details, and more show a step that noise hides.
SMALLER = 4
_TOGETHER = (16 // SMALLER, 32 // SMALLER)
# A step of so many of 255 is seen. Coarsely coded gradients have steps of their own, of one divisor each.
_LEAST_STEP = 4.0
_LEAST_MULTIPLE = 2.5
# A step must be so many times what is usual at such an edge: mosaics and dithered pages have steps everywhere.
_LEAST_TO_USUAL = 5.0
# Nearer to the left or right edge than so many columns, a step could be part of the picture.
_MARGIN = 3
# Of 18,924 JPEGs made of 950 pictures one, cut off itself, is below 0.44; of 24 with a visible step 21 are below 0.40.
_MOST_ERROR = 0.40
LEAST_WIDTH = 4 * _MARGIN * 16


def has_step(small: NDArray[np.uint8], *, rows: int, coarseness: int) -> bool:
    """Return True if a picture of rows, columns and one or three colours has such a step.

    `rows` are those of a row of coded units; `coarseness` is the largest divisor by which a block's mean was coded.
    """
    import numpy as np

    least = max(_LEAST_STEP, _LEAST_MULTIPLE * coarseness / 8)
    lower = small[rows::rows]
    across = lower.astype(np.float32) - small[rows - 1 :: rows][: len(lower)]
    if across.shape[2] == 3:  # as they are coded: brightness and two differences of colours (ITU-T T.871)
        across = across @ np.array([[0.299, -0.169, 0.5], [0.587, -0.331, -0.419], [0.114, 0.5, -0.081]], np.float32)
    for together in _TOGETHER:
        columns = across.shape[1] // together
        if len(across) < 2 or columns < 4 * _MARGIN:
            return False
        means = across[:, : columns * together].reshape(len(across), columns, together, -1).mean(axis=2)
        if any(_is_stepped(means[:, :, channel], least) for channel in range(means.shape[2])):
            return True
    return False


def _is_stepped(across: NDArray[np.float32], least: float) -> bool:
    """Return True if two neighbouring edges of rows together have one step along the whole picture."""
    import numpy as np

    steps = np.median(across[:-1] + across[1:], axis=1)
    least = max(least, _LEAST_TO_USUAL * float(np.median(np.abs(across))))
    return any(
        _error(across[row], across[row + 1], float(steps[row])) <= _MOST_ERROR
        for row in np.flatnonzero(np.abs(steps) >= least)
    )


def _error(above: NDArray[np.float32], below: NDArray[np.float32], step: float) -> float:
    """Return how badly a step fits: right of its place across the edge above, left of it across the one below."""
    import numpy as np

    def apart(differences: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.minimum(np.abs(differences) / abs(step), 1)

    left = apart(above) + apart(below - step)
    right = apart(above - step) + apart(below)
    totals = np.append(0, np.cumsum(left)) + np.append(np.cumsum(right[::-1])[::-1], 0)
    place = int(totals.argmin())
    if not _MARGIN <= place <= len(above) - _MARGIN:
        return 1.0
    parts = (above[:place], below[:place] - step, above[place:] - step, below[place:])
    return max(float(left[:place].mean()), float(right[place:].mean())) / 2 + max(
        abs(float(np.median(part))) / abs(step) for part in parts
    )
