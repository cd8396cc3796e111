"""What does the cloud show? Photos are decoded in the lane that fetched them, so that nobody waits for a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connector.decide.compare import CloudObservation
from connector.errors import PersonError
from connector.model import Account, CloudPhoto, CloudTag, Reason
from connector.photo import PictureRefused, read_print
from connector.targets import Target


@dataclass(frozen=True, slots=True)
class FetchedPhoto:
    """Hold what the bytes of a cloud photo show, and the picture as it would be kept."""

    look: CloudObservation
    content_bytes: bytes = field(repr=False)


def is_no_picture(content_bytes: bytes) -> bool:
    """Return True if these bytes are no whole picture: a page, or a part of one, came in a photo's place."""
    try:
        read_print(content_bytes)
    except PictureRefused as refused:
        return refused.reason in (Reason.NOT_AN_IMAGE, Reason.DAMAGED)
    return False


def verified(answer: CloudPhoto | PersonError | None, account: Account) -> CloudPhoto | PersonError | None:
    """Return a photo that is about to be lost, or the failure of its person where its bytes are no picture to keep."""
    if isinstance(answer, CloudPhoto) and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return answer


def no_picture(account: Account) -> PersonError:
    """Return the failure of one person in whose photo's place something else came."""
    message = f"What came as the photo of {account.upn or account.id} is no picture; nothing was written over it."
    return PersonError(Reason.UNREADABLE_ANSWER, message, fix="The next run tries again.")


def look_at_photo(photo: CloudPhoto, tag: CloudTag | None) -> CloudObservation:
    """Say what the bytes of a cloud photo show; bytes that are no picture show nothing."""
    try:
        shown = read_print(photo.content_bytes)
    except PictureRefused:
        shown = None
    read_sha256 = hashlib.sha256(photo.content_bytes).hexdigest()
    return CloudObservation.at(tag or CloudTag(photo.tag)).with_bytes(read_sha256, shown)


def fetch_shown(
    target: Target, accounts: Sequence[Account], tags: Mapping[str, CloudTag]
) -> Mapping[str, FetchedPhoto | PersonError | None]:
    """Fetch a batch of photos and look at them, by account id; `tags` are those seen before. None: it went since."""
    answers = target.photos(accounts)
    return {account.id: _shown(answers[account.id], account, tags.get(account.id)) for account in accounts}


def _shown(
    answer: CloudPhoto | PersonError | None, account: Account, tag: CloudTag | None
) -> FetchedPhoto | PersonError | None:
    if not isinstance(answer, CloudPhoto):
        return answer
    look = look_at_photo(answer, tag)
    if look.read_print is None and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return FetchedPhoto(look, answer.to_keep)
