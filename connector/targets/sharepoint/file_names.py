"""Name a person's thumbnails in SharePoint by the UPN, as SharePoint itself once did.

Sources: PnP's profile picture uploader; https://support.microsoft.com/office/64883a5d-228e-48f5-b3d2-eb39e07630fa
(names that SharePoint does not accept).
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from connector.errors import PersonError
from connector.model import Account, Reason

SIZES = ("S", "M", "L")
FORBIDDEN = re.compile(r'["*:<>?/\\|\x00-\x1f]|_vti_|^~\$|^\s|\s$', re.IGNORECASE)
THUMB = re.compile(r"(.+)_[SML]Thumb\.jpg", re.IGNORECASE)
LONGEST_STEM = 240


def file_stem(upn: str) -> str:
    """Return the common beginning of a person's three file names."""
    return upn.replace("@", "_").replace(".", "_")


def file_key(upn: str) -> str:
    """Return the stem for comparison: SharePoint ignores letter case."""
    return file_stem(upn).lower()


def checked_stem(account: Account, taken: frozenset[str]) -> str:
    """Return the stem; raise PersonError if the name is forbidden or is used for another account's picture."""
    stem = file_stem(account.upn)
    if not stem or len(stem) > LONGEST_STEM or FORBIDDEN.search(stem):
        message = f"SharePoint takes no file name made from {account.upn or account.id}."
        raise PersonError(Reason.NAME_NOT_ALLOWED, message, skip=True)
    if file_key(account.upn) in taken:
        message = f"{account.upn} would share the file name {stem} with another account's picture."
        raise PersonError(Reason.NAME_NOT_ALLOWED, message, skip=True)
    return stem


def thumb_name(stem: str, size: str) -> str:
    """Return a thumbnail's file name; `size` is one of `SIZES`."""
    return f"{stem}_{size}Thumb.jpg"


def account_name(account: Account) -> str:
    """Return the claims name by which SharePoint knows an account."""
    return f"i:0#.f|membership|{account.upn.lower()}"


def plain_url(url: str) -> str:
    """Return an address in one form: host in lower case, no default port, path decoded, no query."""
    parts = urlsplit(url.strip())
    host = parts.netloc.lower().removesuffix(":443")
    return f"{parts.scheme.lower()}://{host}{unquote(parts.path)}" if parts.netloc else unquote(parts.path)


def tag_of(picture_url: str, timestamp: str) -> str:
    """Return the tag of a photo: both properties, since either may move alone."""
    return f"{plain_url(picture_url)}|{timestamp.strip()}"


def stem_in(tag: str) -> str:
    """Return the stem of the file that a tag points to; empty where that is no thumbnail."""
    found = THUMB.fullmatch(tag.rpartition("|")[0].rpartition("/")[2])
    return found.group(1) if found else ""
