"""Where do pictures go? To a target, which looks at photos in batches and writes them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from connector.errors import PersonError
from connector.model import Account, CloudPhoto, CloudTag


class Target(Protocol):
    """What every target does; `tests/contracts` holds each to it.

    Thread-safe. Looks return an entry for each account asked: the value, None for "no photo", or the
    PersonError that befell this one. What concerns everybody is raised: Unreachable.
    """

    name: str
    batch_size: int

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudTag | PersonError | None]:
        """Look at up to `batch_size` photos' tags, by account id; no bytes are moved."""

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Fetch up to `batch_size` photos' bytes, by account id."""

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write one photo (JPEG); return when the cloud accepted it, raise PersonError when it did not."""

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write again what a backup kept of this account (`CloudPhoto.to_keep`), as `put` does."""

    def remove(self, account: Account) -> None:
        """Remove one photo; a photo that is already gone is a success."""


@runtime_checkable
class ReportsWrittenPhoto(Protocol):
    """What a target may do besides, where the answers to a write tell what hangs there, so that nobody need ask."""

    def left(self, account: Account) -> CloudPhoto | None:
        """Return, once, the photo with its tag that the last write for this account left; None after a removal."""
