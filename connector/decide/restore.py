"""Does the cloud still show what a run left? Only then may that run be undone."""

from __future__ import annotations

from dataclasses import dataclass

from connector.decide.compare import CloudObservation
from connector.model import Action, CloudTag, Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPhoto:
    """Hold what a write left in the cloud: as sent, and as read back (empty where that was never seen).

    `sent_sha256` empty means that it removed the photo.
    """

    sent_sha256: str
    sent_print: Fingerprint | None
    tag: str = ""
    read_sha256: str = ""

    def is_decided_by_tag(self, tag: CloudTag | None) -> bool:
        """Say whether the tag alone tells if this is still shown, so that no bytes need be fetched."""
        return tag is None or not self.sent_sha256 or (bool(self.tag) and tag.tag == self.tag)

    def matches(self, look: CloudObservation) -> bool:
        """Say whether the cloud still shows it: by tag, by bytes, or as a picture."""
        if not self.sent_sha256 or not look.present:
            return look.asked and look.present == bool(self.sent_sha256)
        if look.tag and look.tag == self.tag:
            return True
        if look.read_sha256 and look.read_sha256 in (self.read_sha256, self.sent_sha256):
            return True
        known, shown = self.sent_print, look.read_print
        return known is not None and shown is not None and shown.shows_same(known)


def inverse_action(action: Action) -> Action:
    """Return what takes a write back: what was made is removed, what was removed is made again."""
    return {Action.CREATE: Action.REMOVE, Action.REMOVE: Action.CREATE}.get(action, Action.REPLACE)
