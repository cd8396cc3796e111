"""List guests that no person of the source is matched with, and prepare GUEST_PHOTO for them."""

from __future__ import annotations

import hashlib

from connector.errors import SettingsError
from connector.ledger.people import save_guests
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.model.reasons import ADVICE
from connector.photo import PictureRefused
from connector.sync.context import RunContext
from connector.sync.pictures import make, remember_picture


def read_guest_photo(context: RunContext, *, sent_next: bool = False) -> str:
    """Prepare GUEST_PHOTO and return its sha256, empty if not set; raise SettingsError if it cannot be used.

    `sent_next`: it is prepared again, since the spool had no space for it.
    """
    path = context.settings.guest_photo
    if path is None:
        return ""
    try:
        content_bytes = path.read_bytes()
    except OSError as error:
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be read: {error.strerror}."]) from error
    made = make(content_bytes, context.recipe)
    if isinstance(made, PictureRefused):
        raise SettingsError([f"GUEST_PHOTO: {path} cannot be used: {made} {ADVICE[made.reason].cure}"])
    source_sha256 = hashlib.sha256(content_bytes).hexdigest()
    with transaction(context.db):
        remember_picture(context, source_sha256, made, sent_next=sent_next)
    return source_sha256


def list_guests(context: RunContext, source_sha256: str) -> None:
    """Store the guests without a person as people, or remove them if there is no picture for them."""
    with transaction(context.db):
        save_guests(context.db, source_sha256, run=context.run)


def is_guest(item: WorkItem) -> bool:
    """Return True if the item is a guest without a person."""
    return item.person.id.startswith("guest:")
