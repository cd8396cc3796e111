"""What does the cloud show? Photos are decoded in the lane that fetched them, so that nobody waits for a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connector.decide.compare import Look
from connector.errors import PersonError
from connector.model import Account, CloudPhoto, CloudTag
from connector.photo import PictureRefused, read_print
from connector.targets import Target


@dataclass(frozen=True, slots=True)
class Shown:
    """Hold what the bytes of a cloud photo show, and the picture as it would be kept."""

    look: Look
    content_bytes: bytes = field(repr=False)


def look_at_photo(photo: CloudPhoto, tag: CloudTag | None) -> Look:
    """Say what the bytes of a cloud photo show; bytes that are no picture show nothing."""
    try:
        shown = read_print(photo.content_bytes)
    except PictureRefused:
        shown = None
    read_sha256 = hashlib.sha256(photo.content_bytes).hexdigest()
    return Look.at(tag or CloudTag(photo.tag)).with_bytes(read_sha256, shown)


def fetch_shown(
    target: Target, accounts: Sequence[Account], tags: Mapping[str, CloudTag]
) -> Mapping[str, Shown | PersonError | None]:
    """Fetch a batch of photos and look at them, by account id; `tags` are those seen before. None: it went since."""
    answers = target.photos(accounts)
    return {account_id: _shown(answer, tags.get(account_id)) for account_id, answer in answers.items()}


def _shown(answer: CloudPhoto | PersonError | None, tag: CloudTag | None) -> Shown | PersonError | None:
    return Shown(look_at_photo(answer, tag), answer.to_keep) if isinstance(answer, CloudPhoto) else answer
