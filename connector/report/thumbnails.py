"""Which thumbnails may the HTML file show? Those that the settings allow, 96 pixels, of at most 500 people."""

from __future__ import annotations

import base64
import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps

from connector.config import Pictures
from connector.model import Action, Outcome, Reason, RunReport
from connector.model.formats import FORMATS
from connector.model.reasons import is_conflict
from connector.report.summary import only_planned

EDGE = 96
MOST_PEOPLE = 500
MOST_PIXELS = 50_000_000
NO_PHOTO, NOT_AT_HAND = "no photo", "not at hand"
_CHANGES = (Action.CREATE, Action.REPLACE, Action.REMOVE)

# What Pillow's decoders raise on broken input, by its own documentation and by experience.
_BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, OverflowError, MemoryError),
    *(struct.error, ZeroDivisionError, Image.DecompressionBombError),
)


@dataclass(frozen=True, slots=True)
class PhotoPair:
    """Hold the thumbnails of one person as data: addresses; empty where there is no picture.

    `labels` names the two: what was before and after, or where nothing was changed, cloud and source. `missing` says
    why one is empty: that side has no photo, or there is one that is not at hand.
    """

    before: str
    after: str
    labels: tuple[str, str]
    missing: tuple[str, str]


class ThumbnailProvider:
    """Hand out thumbnails as `REPORT_PICTURES` allows, until 500 people have theirs."""

    def __init__(self, report: RunReport, allowed: Pictures) -> None:
        self._report = report
        self._allowed = allowed
        self.left = MOST_PEOPLE
        self.refused = False

    def pair(self, outcome: Outcome) -> PhotoPair | None:
        """Return the pictures of one outcome; None where it has none or may not show them."""
        if not self._may_show(outcome):
            return None
        before, after = (thumbnail(photo_bytes) for photo_bytes in self._report.pictures(outcome))
        if not before and not after:
            return None
        if not self.left:
            self.refused = True
            return None
        self.left -= 1
        return PhotoPair(before, after, self._labels(outcome), _missing(outcome))

    def _may_show(self, outcome: Outcome) -> bool:
        # Once the album is full, one look more tells whether somebody missed out; later ones would be in vain.
        if self._allowed is Pictures.NONE or self.refused:
            return False
        return is_conflict(outcome) or (self._allowed is Pictures.CHANGES and outcome.action in _CHANGES)

    def _labels(self, outcome: Outcome) -> tuple[str, str]:
        if outcome.action not in _CHANGES:
            return "Cloud", "Source"
        return ("Now", "Would be") if only_planned(self._report) else ("Before", "After")


def _missing(outcome: Outcome) -> tuple[str, str]:
    """Say for each side that there is no photo, where that is known."""
    nothing_before = outcome.action is Action.CREATE or outcome.reason is Reason.CLOUD_REMOVED
    nothing_after = outcome.action is Action.REMOVE or not outcome.source_sha256
    return NO_PHOTO if nothing_before else NOT_AT_HAND, NO_PHOTO if nothing_after else NOT_AT_HAND


def thumbnail(photo_bytes: bytes | None) -> str:
    """Return the picture as a data: address of a JPEG of at most 96 pixels an edge; empty where it cannot be read."""
    if not photo_bytes:
        return ""
    try:
        small = _scaled(photo_bytes)
    except _BROKEN:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(small).decode("ascii")


def _scaled(photo_bytes: bytes) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(photo_bytes), formats=[one.name for one in FORMATS if one.is_installed]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError("too many pixels for a thumbnail")
            image.draft("RGB", (EDGE * 2, EDGE * 2))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((EDGE, EDGE), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            upright.save(stream, "JPEG", quality=80, optimize=True)
            return stream.getvalue()
