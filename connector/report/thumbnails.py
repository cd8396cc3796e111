"""Make the thumbnails of the HTML file: those that the settings allow, 96 or 160 pixels, for at most 500 people."""

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
PLAN_EDGE = 160  # faces are compared there
MOST_PEOPLE = 500
MOST_PIXELS = 50_000_000
NO_PHOTO, NOT_AT_HAND = "no photo", "not available"
_CHANGES = (Action.CREATE, Action.REPLACE, Action.REMOVE)

# Errors of Pillow's decoders on broken input, as documented and as observed.
_BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, OverflowError, MemoryError),
    *(struct.error, ZeroDivisionError, Image.DecompressionBombError),
)


@dataclass(frozen=True, slots=True)
class PhotoPair:
    """Represent the thumbnails of one person as data: addresses; empty if there is no picture.

    `labels` names the two: before and after, or, if nothing was changed, cloud and source. `missing` is the reason
    why one is empty: that side has no photo, or its photo is not available.
    """

    before: str
    after: str
    labels: tuple[str, str]
    missing: tuple[str, str]


class ThumbnailProvider:
    """Provide thumbnails as `REPORT_PICTURES` allows, for at most 500 people."""

    def __init__(self, report: RunReport, allowed: Pictures) -> None:
        self._report = report
        self._allowed = allowed
        self._remaining = MOST_PEOPLE
        self._edge = PLAN_EDGE if report.plan_size else EDGE
        self.refused = False

    def pair(self, outcome: Outcome) -> PhotoPair | None:
        """Return the pictures of one outcome; None if there are none or they are not allowed."""
        if not self._may_show(outcome):
            return None
        before, after = (thumbnail(photo_bytes, edge=self._edge) for photo_bytes in self._report.pictures(outcome))
        if not before and not after:
            return None
        if not self._remaining:
            self.refused = True
            return None
        self._remaining -= 1
        return PhotoPair(before, after, self._labels(outcome), _missing(outcome))

    def _may_show(self, outcome: Outcome) -> bool:
        # After the limit, one more look shows whether a person was left out; later ones are not needed.
        if self._allowed is Pictures.NONE or self.refused:
            return False
        return is_conflict(outcome) or (self._allowed is Pictures.CHANGES and outcome.action in _CHANGES)

    def _labels(self, outcome: Outcome) -> tuple[str, str]:
        if outcome.action not in _CHANGES:
            return "Cloud", "Source"
        return ("Now", "Would be") if only_planned(self._report) else ("Before", "After")


def _missing(outcome: Outcome) -> tuple[str, str]:
    """Return for each side why it is empty: no photo, if that is known."""
    nothing_before = outcome.action is Action.CREATE or outcome.reason is Reason.CLOUD_REMOVED
    nothing_after = outcome.action is Action.REMOVE or not outcome.source_sha256
    return NO_PHOTO if nothing_before else NOT_AT_HAND, NO_PHOTO if nothing_after else NOT_AT_HAND


def thumbnail(photo_bytes: bytes | None, *, edge: int = EDGE) -> str:
    """Return the picture as a data: address of a JPEG of at most `edge` pixels; empty if it cannot be read."""
    if not photo_bytes:
        return ""
    try:
        small = _scaled(photo_bytes, edge)
    except _BROKEN:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(small).decode("ascii")


def _scaled(photo_bytes: bytes, edge: int) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(photo_bytes), formats=[one.name for one in FORMATS if one.is_installed]) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError("too many pixels for a thumbnail")
            image.draft("RGB", (edge * 2, edge * 2))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((edge, edge), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            upright.save(stream, "JPEG", quality=80, optimize=True)
            return stream.getvalue()
