"""What would be written? Nothing is: reads pass to the real target, writes end here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.errors import PersonError
from connector.model import Account, CloudPhoto, CloudTag
from connector.targets import Target


class DryRun:
    """Wrap a target for reading only.

    It keeps the target's two reading methods and not the target, so that no path of this class leads to a write.
    """

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.batch_size = target.batch_size
        self._tags = target.tags
        self._photos = target.photos

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudTag | PersonError | None]:
        """Look at the real target's tags."""
        return self._tags(accounts)

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Fetch the real target's photos."""
        return self._photos(accounts)

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write nothing."""

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write nothing back."""

    def remove(self, account: Account) -> None:
        """Remove nothing."""
