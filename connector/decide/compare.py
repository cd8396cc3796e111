"""Compare a cloud photo with memory and source: none, ours, the source's picture, or another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from connector.model import CloudObservation, Fingerprint, Memory, Picture, Presence


class ViewKind(StrEnum):
    """Name what the cloud shows, seen from one person's source and memory."""

    NOT_ASKED = "not-asked"
    NONE = "none"
    OURS = "ours"
    SOURCE_PHOTO = "sources-picture"
    ANOTHER = "another"


class MatchLevel(StrEnum):
    """Name the level on which the cloud photo was recognised, cheapest first."""

    TAG = "tag"
    BYTES = "bytes"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class CloudView:
    """Represent what the cloud shows, how that is known, and whether it is a clearly smaller copy.

    `how` beside ANOTHER means that it is still the photo which the memory holds as theirs.
    `smaller`: the edge is under 75 % of what we read back, or, where the memory holds no photo of ours
    made from this source, of what we would send.
    """

    kind: ViewKind
    how: MatchLevel | None = None
    smaller: bool = False


def view(look: CloudObservation, *, source: Picture | None, memory: Memory | None) -> CloudView:
    """Compare a look with memory and source: by tag, then by bytes, then as a picture.

    `source` has the size in which the target would show it; it is None where the person has no photo. A photo with an
    unknown tag and unfetched bytes is NOT_ASKED, never ANOTHER: a tag alone is no edit.
    """
    if not look.asked:
        return CloudView(ViewKind.NOT_ASKED)
    if not look.present:
        return CloudView(ViewKind.NONE)
    known = known_by(look, memory)
    if known is None and not look.read_sha256:
        return CloudView(ViewKind.NOT_ASKED)
    if memory is not None and memory.presence is Presence.OURS:
        return _beside_ours(look, known, source=source, memory=memory)
    shown = look.read_print or (memory.read_print if memory and known else None)
    if source is not None and shown is not None and source.matches(shown):
        return CloudView(ViewKind.SOURCE_PHOTO, MatchLevel.PICTURE, is_smaller(shown, source.sent))
    return CloudView(ViewKind.ANOTHER, known)


def _beside_ours(
    look: CloudObservation, known: MatchLevel | None, *, source: Picture | None, memory: Memory
) -> CloudView:
    if known is not None:
        return CloudView(ViewKind.OURS, known)
    shown = look.read_print
    if shown is None:
        return CloudView(ViewKind.ANOTHER)
    is_same = source is not None and source.source_sha256 == memory.source_sha256
    is_sources = source is not None and source.matches(shown)
    if _is_remembered(shown, memory) or (is_same and is_sources):
        return CloudView(ViewKind.OURS, MatchLevel.PICTURE, is_smaller(shown, memory.read_print or memory.sent_print))
    if source is not None and is_sources:
        return CloudView(ViewKind.SOURCE_PHOTO, MatchLevel.PICTURE, is_smaller(shown, source.sent))
    return CloudView(ViewKind.ANOTHER)


def known_by(look: CloudObservation, memory: Memory | None) -> MatchLevel | None:
    """Return how the photo is known to be exactly the one in the memory; None if it is not."""
    if memory is None or not look.present:
        return None
    if look.tag and look.tag == memory.tag:
        return MatchLevel.TAG
    if look.read_sha256 and look.read_sha256 == memory.read_sha256:
        return MatchLevel.BYTES
    return None


def _is_remembered(shown: Fingerprint, memory: Memory) -> bool:
    """Compare with what was read back and what was sent: after a source change the old picture is not at hand."""
    prints = (memory.read_print, memory.sent_print)
    return any(known is not None and shown.shows_same(known) for known in prints)


def is_smaller(shown: Fingerprint, than: Fingerprint | None) -> bool:
    """Return True if the longest edge is under 75 % of the other's."""
    return than is not None and shown.edge * 4 < than.edge * 3


def shows_one_of(look: CloudObservation, prints: Iterable[Fingerprint]) -> bool:
    """Return True if the cloud shows one of these pictures, e.g. those of the person's other photo attributes."""
    shown = look.read_print
    return shown is not None and any(shown.shows_same(other) for other in prints)
