"""Define what a target of photos is: its contract, what it can do, and the registry that the runs open targets from.

A new target is one module with a function `open_target`, a row in `MODULES`, its name in TARGETS (`config/values.py`),
and its settings (`config/settings.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

from connector.cloud import Cloud
from connector.config import Settings
from connector.errors import PersonError
from connector.model import Account, Clock, CloudObservation, CloudPhoto, RequestCounters

# The module of each target, by the name it has in the setting TARGETS; it is imported when a run opens the target.
MODULES = {
    "graph": "connector.targets.graph",
    "sharepoint": "connector.targets.sharepoint.target",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Describe what a target can do; the steps of a run ask these fields, never the target's name.

    `accepted_text` is said of every accepted write. `width` is the width in pixels that a wider picture is reduced to;
    None keeps the size. `takes_guests`: guests without a person get GUEST_PHOTO there. `rotates_all`: the nightly
    rotating share (SYNC_VERIFY_PERCENT) covers everybody; False covers only people whom the service refused, where a
    look costs too much. `completes_others`: beside another target it serves only accounts without Exchange Online.
    """

    accepted_text: str
    width: int | None = None
    takes_guests: bool = True
    rotates_all: bool = True
    completes_others: bool = False


class Target(Protocol):
    """State what every target does; `tests/contracts` tests each target against it.

    All methods are safe to call from several threads. `tags` and `photos` take at most `batch_size` accounts and return
    one entry for each: the value, None for "no photo", or the PersonError of this account. Writes raise PersonError for
    what concerns one account. Every method raises Unreachable for what concerns everybody.
    """

    name: str
    batch_size: int
    features: Features

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudObservation | PersonError | None]:
        """Return the photos' tags by account id; no bytes are moved."""

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Return the photos' bytes by account id; `CloudPhoto.to_keep` is what a backup stores."""

    def photo_in_backup(self, kept_bytes: bytes) -> bytes:
        """Return the picture that a backup of this target (`CloudPhoto.to_keep`) shows."""

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write one photo (JPEG) and return when the service accepted it."""

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write again what a backup stored of this account, as `put` does."""

    def remove(self, account: Account) -> None:
        """Remove one photo; a photo that is already gone is a success."""


@runtime_checkable
class ReportsWrittenPhoto(Protocol):
    """Offered by a target that knows the stored photo from its write responses, so that no read-back is needed."""

    def written_photo(self, account: Account) -> CloudPhoto | None:
        """Return, once, the photo with its tag after the last write for this account; None after a removal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetContext:
    """Carry what a target may be opened with.

    `failing` holds ids of accounts that failed in the run before. `shrink` makes a JPEG of at most so many bytes,
    `thumbnails` one JPEG for each width. `shared_names` yields the names that two accounts or more would have, by a
    function from UPN to name. `tags_in_use` yields (UPN of today, remembered tag) of a target's accounts.
    """

    settings: Settings
    cloud: Cloud
    traffic: RequestCounters
    clock: Clock
    failing: Collection[str]
    shrink: Callable[[bytes, int], bytes]
    thumbnails: Callable[[bytes, Sequence[int]], Sequence[bytes]]
    shared_names: Callable[[Callable[[str], str]], Iterator[str]]
    tags_in_use: Callable[[], Iterator[tuple[str, str]]]


def open_target(name: str, context: TargetContext) -> Target:
    """Open the target of this name; it contacts nobody yet."""
    return cast(Target, import_module(MODULES[name]).open_target(context))
