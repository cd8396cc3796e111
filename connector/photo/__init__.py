"""What is a picture, what of it is sent, and do two of them show the same? Bytes in, bytes and fingerprints out."""

from connector.photo.choose import Candidate, choose, worst_reason
from connector.photo.fingerprint import distance, fingerprint, read_print, same_aspect, same_picture
from connector.photo.prepare import inspect, prepare, shrink, thumbnails
from connector.photo.recipe import RECIPE, Recipe, sent_size
from connector.photo.refusal import PictureRefused

__all__ = [
    "RECIPE",
    "Candidate",
    "PictureRefused",
    "Recipe",
    "choose",
    "distance",
    "fingerprint",
    "inspect",
    "prepare",
    "read_print",
    "same_aspect",
    "same_picture",
    "sent_size",
    "shrink",
    "thumbnails",
    "worst_reason",
]
