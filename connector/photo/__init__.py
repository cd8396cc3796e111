"""What is a picture, what of it is sent, and do two of them show the same? Bytes in, bytes and fingerprints out."""

from connector.photo.choose import Candidate, choose, worst_reason
from connector.photo.fingerprint import fingerprint, read_print
from connector.photo.prepare import inspect, prepare, shrink, thumbnails
from connector.photo.recipe import RECIPE, Recipe, sent_size
from connector.photo.refusal import PictureRefused

__all__ = [
    "RECIPE",
    "Candidate",
    "PictureRefused",
    "Recipe",
    "choose",
    "fingerprint",
    "inspect",
    "prepare",
    "read_print",
    "sent_size",
    "shrink",
    "thumbnails",
    "worst_reason",
]
