"""Define people, accounts and pictures, and what is stored about them."""

from __future__ import annotations

import hashlib
import operator
from dataclasses import dataclass, field
from datetime import datetime

from connector.model.enums import Presence, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Describe somebody in the source; empty text means unknown.

    `id` never changes with a rename: objectGUID (or entryUUID) as lower-case text with hyphens, or the
    folder's key. `name` is today's DN or file. `anchor` is what Entra calls onPremisesImmutableId.
    """

    id: str
    name: str
    upn: str = ""
    mail: str = ""
    sam_account_name: str = ""
    employee_id: str = ""
    sid: str = ""
    anchor: str = ""
    is_contact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Describe a user object of the tenant; texts as Graph gives them, empty when null."""

    id: str
    upn: str = ""
    mail: str = ""
    sam_account_name: str = ""
    employee_id: str = ""
    immutable_id: str = ""
    sid: str = ""
    is_guest: bool = False
    is_enabled: bool = True
    is_synced: bool = False
    has_exchange: bool = False
    department: str = ""
    company: str = ""


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """Represent one value of one photo attribute as the source gave it: hostile bytes, and the sha256 of them."""

    attribute: str
    content_bytes: bytes = field(repr=False)
    source_sha256: str = field(init=False)

    def __post_init__(self) -> None:
        """Compute the sha256, by which the picture is known from here on."""
        object.__setattr__(self, "source_sha256", hashlib.sha256(self.content_bytes).hexdigest())


@dataclass(frozen=True, slots=True)
class Candidate:
    """Describe one value of one photo attribute; `refused` says why it cannot be used, 0 × 0 if unknown."""

    attribute: str
    source_sha256: str
    width: int = 0
    height: int = 0
    refused: Reason | None = None


SAME_PICTURE_CELLS = 14


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Describe what a picture shows: 24 × 24 luma cells (576 bytes, row by row), and its size in pixels."""

    cells: bytes = field(repr=False)
    width: int
    height: int

    @property
    def edge(self) -> int:
        """Return the longest edge in pixels."""
        return max(self.width, self.height)

    def distance(self, other: Fingerprint) -> int:
        """Return the largest difference of any cell, 0 to 255; 255 where the grids cannot be compared."""
        if not self.cells or len(self.cells) != len(other.cells):
            return 255
        if self.cells == other.cells:
            return 0
        differences = set(map(operator.sub, self.cells, other.cells))  # a set: most cells differ by as much as others
        largest: int = max(map(abs, differences))
        return largest

    def shows_same(self, other: Fingerprint) -> bool:
        """Return True if both show one picture: no cell differs by more than 14 and the aspect by under 2 %.

        Re-encoding and rescaling stay within 8; another shot of the same person does not stay within 14.
        """
        mine, theirs = self.width * other.height, other.width * self.height
        if abs(mine - theirs) * 50 >= min(mine, theirs):
            return False
        return self.distance(other) <= SAME_PICTURE_CELLS


@dataclass(frozen=True, slots=True)
class Picture:
    """Represent a usable picture of the source, with what later nights need to recognise it.

    `sent` is the picture as it will be sent, `whole` the upright source before cropping, `centre` the square about the
    centre of the whole, as other programs crop it (None where that is not known, or the whole is a square). `recipe`
    is by which it was prepared. `sent_bytes` is empty unless it was prepared just now: the database has no bytes.
    """

    source_sha256: str
    sent: Fingerprint
    whole: Fingerprint
    centre: Fingerprint | None = None
    sent_sha256: str = ""
    recipe: str = ""
    sent_bytes: bytes = field(default=b"", repr=False)

    @property
    def prints(self) -> tuple[Fingerprint, ...]:
        """Return all that is known of what it shows: as it would be sent, whole, or cropped at the centre."""
        return (self.sent, self.whole) if self.centre is None else (self.sent, self.whole, self.centre)

    def matches(self, shown: Fingerprint) -> bool:
        """Return True if a picture is this one, by any of its prints."""
        return any(shown.shows_same(known) for known in self.prints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Represent what is known of one account's photo in one target.

    `conflict_policy` is the SYNC_CONFLICT under which a conflict was kept first; empty for no conflict. `is_final`: no
    change of SYNC_CONFLICT touches the photo.
    """

    person_id: str
    presence: Presence
    source_sha256: str = ""
    recipe: str = ""
    sent_sha256: str = ""
    sent_print: Fingerprint | None = None
    read_sha256: str = ""
    read_print: Fingerprint | None = None
    tag: str = ""
    conflict_policy: str = ""
    is_final: bool = False
    restored: bool = False
    improved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Represent a write of a run that was about to happen; `accepted_at` is set when the cloud accepted it.

    `sent_sha256` empty means a removal. `tag_before` empty means that there was no photo.
    """

    person_id: str
    source_sha256: str
    sent_sha256: str
    sent_print: Fingerprint | None
    tag_before: str
    started_at: datetime
    accepted_at: datetime | None = None
    restores: bool = False
    reason: str = ""
    recipe: str = ""
    run: int = 0


@dataclass(frozen=True, slots=True)
class CloudObservation:
    """Contain what was seen of one cloud photo: nothing asked, no photo, its tag, or its tag and what its bytes show.

    A cheap look tells the tag and the size in pixels (0 when not told); a target answers with no more than that.
    `read_sha256` is empty while no bytes were fetched; `read_print` is None then, and where they are no picture.
    `to_keep` is the photo as a backup would keep it, empty while no bytes were fetched.
    """

    tag: str = ""
    width: int = 0
    height: int = 0
    read_sha256: str = ""
    read_print: Fingerprint | None = None
    to_keep: bytes = field(default=b"", repr=False)
    asked: bool = True
    present: bool = True

    @classmethod
    def not_asked(cls) -> CloudObservation:
        """Return the observation of a photo that was not asked for."""
        return cls(asked=False, present=False)

    @classmethod
    def at(cls, seen: CloudObservation | None) -> CloudObservation:
        """Return a target's answer to a cheap look as an observation; None is no photo."""
        return cls(present=False) if seen is None else seen

    @property
    def has_bytes(self) -> bool:
        """Return True if the bytes were fetched."""
        return bool(self.read_sha256)

    def with_bytes(
        self, read_sha256: str, read_print: Fingerprint | None, *, tag: str = "", to_keep: bytes = b""
    ) -> CloudObservation:
        """Add what the fetched bytes show; a tag that came beside them stands in where none was seen before."""
        return CloudObservation(
            tag=self.tag or tag,
            width=read_print.width if read_print else self.width,
            height=read_print.height if read_print else self.height,
            read_sha256=read_sha256,
            read_print=read_print,
            to_keep=to_keep,
        )


@dataclass(frozen=True, slots=True)
class CloudPhoto:
    """Represent the bytes of a cloud photo with the tag that came beside them, when one did.

    `kept_bytes` is the picture with all else that a write would lose, where the target keeps more than the picture.
    """

    content_bytes: bytes = field(repr=False)
    tag: str = ""
    kept_bytes: bytes = field(default=b"", repr=False)

    @property
    def to_keep(self) -> bytes:
        """Return what belongs in the backups."""
        return self.kept_bytes or self.content_bytes
