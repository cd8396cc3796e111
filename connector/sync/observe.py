"""Fetch cloud photos in batches and describe what they show; decoding runs in the worker thread that fetched them."""

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
    """Contain what the bytes of a cloud photo show, and the picture as a backup would keep it."""

    observation: CloudObservation
    content_bytes: bytes = field(repr=False)


def is_no_picture(content_bytes: bytes) -> bool:
    """Return True if these bytes are not a whole picture, for example an HTML page or a truncated file."""
    try:
        read_print(content_bytes)
    except PictureRefused as refused:
        return refused.reason in (Reason.NOT_AN_IMAGE, Reason.DAMAGED)
    return False


def verified(answer: CloudPhoto | PersonError | None, account: Account) -> CloudPhoto | PersonError | None:
    """Return the photo that a write will replace, or the person's error if its bytes are not a picture."""
    if isinstance(answer, CloudPhoto) and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return answer


def no_picture(account: Account) -> PersonError:
    """Return the error of a person for whose photo the service returned something else."""
    message = f"What came as the photo of {account.upn or account.id} is no picture; nothing was written over it."
    return PersonError(Reason.UNREADABLE_ANSWER, message, fix="The next run tries again.")


def observe_photo(photo: CloudPhoto, tag: CloudTag | None) -> CloudObservation:
    """Describe the bytes of a cloud photo; the fingerprint is None if they are not a picture."""
    try:
        shown = read_print(photo.content_bytes)
    except PictureRefused:
        shown = None
    read_sha256 = hashlib.sha256(photo.content_bytes).hexdigest()
    return CloudObservation.at(tag or CloudTag(photo.tag)).with_bytes(read_sha256, shown)


def fetch_observations(
    target: Target, accounts: Sequence[Account], tags: Mapping[str, CloudTag]
) -> Mapping[str, FetchedPhoto | PersonError | None]:
    """Fetch and describe a batch of photos, by account id; None if a photo was removed since its tag was read."""
    answers = target.photos(accounts)
    return {account.id: _observe(answers[account.id], account, tags.get(account.id)) for account in accounts}


def _observe(
    answer: CloudPhoto | PersonError | None, account: Account, tag: CloudTag | None
) -> FetchedPhoto | PersonError | None:
    if not isinstance(answer, CloudPhoto):
        return answer
    observation = observe_photo(answer, tag)
    if observation.read_print is None and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return FetchedPhoto(observation, answer.to_keep)
