"""What of guests whom nobody in the source has? Each gets GUEST_PHOTO where there is none; their own photo stays."""

from __future__ import annotations

import hashlib

from connector.decide.case import Policy
from connector.decide.guests import guest_policy
from connector.errors import SettingsError
from connector.ledger.guests import save_guests
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.photo import PictureRefused
from connector.sync.context import RunContext
from connector.sync.pictures import make, remember_picture


def read_guest_photo(context: RunContext, *, in_hand: bool = False) -> str:
    """Prepare GUEST_PHOTO before anybody is contacted and return its sha256; empty when none is set."""
    path = context.settings.guest_photo
    if path is None:
        return ""
    try:
        content_bytes = path.read_bytes()
    except OSError as error:
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be read: {error.strerror}."]) from error
    made = make(content_bytes, context.recipe)
    if isinstance(made, PictureRefused):
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be used: {made}"])
    source_sha256 = hashlib.sha256(content_bytes).hexdigest()
    with transaction(context.db):
        remember_picture(context, source_sha256, made, in_hand=in_hand)
    return source_sha256


def prepare_guest_photo(context: RunContext) -> None:
    """Prepare GUEST_PHOTO again, to be sent next: it found no room in the spool."""
    read_guest_photo(context, in_hand=True)


def list_guests(context: RunContext, source_sha256: str) -> None:
    """Make the guests without a person take part, or leave them when there is no picture for them."""
    with transaction(context.db):
        save_guests(context.db, source_sha256, run=context.run)


def is_guest(item: WorkItem) -> bool:
    """Say whether this is a guest without a person."""
    return item.person.id.startswith("guest:")


def policy_for(context: RunContext, item: WorkItem) -> Policy:
    """Return the policy for somebody on the work list: a guest's own photo always wins."""
    return guest_policy(context.policy) if is_guest(item) else context.policy
