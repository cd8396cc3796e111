"""Wrap a target for a dry run: reads pass to the real target, writes do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.errors import PersonError
from connector.model import Account, CloudObservation, CloudPhoto
from connector.targets import Target


class DryRun:
    """Offer the reading half of a target.

    It stores the target's reading methods and not the target, so that no path of this class leads to a write.
    """

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.batch_size = target.batch_size
        self.features = target.features
        self._tags = target.tags
        self._photos = target.photos
        self._photo_in_backup = target.photo_in_backup

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudObservation | PersonError | None]:
        """Return the real target's tags."""
        return self._tags(accounts)

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Return the real target's photos."""
        return self._photos(accounts)

    def photo_in_backup(self, kept_bytes: bytes) -> bytes:
        """Return the picture of a backup, as the real target reads it."""
        return self._photo_in_backup(kept_bytes)

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write nothing."""

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write nothing back."""

    def remove(self, account: Account) -> None:
        """Remove nothing."""
