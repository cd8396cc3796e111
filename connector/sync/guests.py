"""What of guests whom nobody in the source has? Each gets GUEST_PHOTO where there is none; their own photo stays."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from connector.decide.case import Decision, Policy
from connector.errors import SettingsError
from connector.ledger.guests import save_guests
from connector.ledger.store import transaction
from connector.ledger.work import WorkItem
from connector.model import Action, Conflict, Memory, Presence, Reason
from connector.photo import PictureRefused
from connector.sync.night import Night
from connector.sync.pictures import make, remember_picture

# Under this policy a photo that is not ours is never taken for ours, whatever SYNC_CONFLICT says of people.
STANDS = Conflict.SOURCE.value


def read_guest_photo(night: Night, *, in_hand: bool = False) -> str:
    """Prepare GUEST_PHOTO before anybody is contacted and return its sha256; empty when none is set."""
    path = night.settings.guest_photo
    if path is None:
        return ""
    try:
        content_bytes = path.read_bytes()
    except OSError as error:
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be read: {error.strerror}."]) from error
    made = make(content_bytes, night.recipe)
    if isinstance(made, PictureRefused):
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be used: {made}"])
    source_sha256 = hashlib.sha256(content_bytes).hexdigest()
    with transaction(night.db):
        remember_picture(night, source_sha256, made, in_hand=in_hand)
    return source_sha256


def hold_guest_photo(night: Night) -> None:
    """Prepare GUEST_PHOTO again, to be sent next: it found no room in the spool."""
    read_guest_photo(night, in_hand=True)


def list_guests(night: Night, source_sha256: str) -> None:
    """Make the guests without a person take part, or leave them when there is no picture for them."""
    with transaction(night.db):
        save_guests(night.db, source_sha256, run=night.run)


def is_guest(item: WorkItem) -> bool:
    """Say whether this is a guest without a person."""
    return item.person.id.startswith("guest:")


def policy_for(night: Night, item: WorkItem) -> Policy:
    """Return the policy for somebody on the work list: a guest's own photo always wins."""
    return replace(night.policy, conflict=Conflict.CLOUD) if is_guest(item) else night.policy


def as_guest(item: WorkItem, decision: Decision) -> Decision:
    """Tell a decision about a guest in its own words: given by us, or simply the guest's own affair."""
    if not is_guest(item):
        return decision
    if decision.writes:
        return replace(decision, reason=Reason.GUEST_DEFAULT, conflict=False, over_foreign=False)
    if decision.action is Action.KEEP and decision.reason is not Reason.AWAITING_CLOUD:
        return replace(decision, reason=Reason.UNCHANGED, conflict=False)
    return decision


def memory_of_guest(item: WorkItem, memory: Memory | None) -> Memory | None:
    """Let what is left alone stand for good: no change of SYNC_CONFLICT lifts it."""
    if memory is None or not is_guest(item) or memory.presence is Presence.OURS:
        return memory
    return replace(memory, policy=STANDS)
