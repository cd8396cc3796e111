"""Check, prepare and compare pictures: bytes in, bytes and fingerprints out."""

from connector.photo.fingerprint import fingerprint, read_print
from connector.photo.limits import PictureRefused
from connector.photo.prepare import (
    RECIPE,
    Recipe,
    best_refusal_reason,
    choose,
    inspect,
    prepare,
    sent_size,
    shrink,
    thumbnails,
)

__all__ = [
    "RECIPE",
    "PictureRefused",
    "Recipe",
    "best_refusal_reason",
    "choose",
    "fingerprint",
    "inspect",
    "prepare",
    "read_print",
    "sent_size",
    "shrink",
    "thumbnails",
]
