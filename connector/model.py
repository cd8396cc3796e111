"""Which words does this house speak? People, accounts, photos, tags, memory, outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol


class Action(StrEnum):
    """Say what was done, or in a dry run would have been done, for one person."""

    CREATE = "create"
    REPLACE = "replace"
    REMOVE = "remove"
    KEEP = "keep"
    SKIP = "skip"
    FAIL = "fail"


class Reason(StrEnum):
    """Say why, in a stable code; each has its paragraph in docs/operations.md."""

    # the person
    OUT_OF_SCOPE = "out-of-scope"
    DISABLED = "disabled"
    DELETED = "deleted"
    SOURCE_UNREAD = "source-unread"
    NO_PHOTO = "no-photo"
    # the source picture
    NOT_AN_IMAGE = "not-an-image"
    TOO_SMALL = "too-small"
    TOO_LARGE = "too-large"
    PLACEHOLDER = "placeholder"
    # the match
    NO_ACCOUNT = "no-account"
    AMBIGUOUS_MATCH = "ambiguous-match"
    # the decision
    FIRST_UPLOAD = "first-upload"
    ADOPTED = "adopted"
    BETTER_QUALITY = "better-quality"
    CLOUD_DIFFERS = "cloud-differs"
    UNCHANGED = "unchanged"
    COMPETING_WRITER = "competing-writer"
    CLOUD_REMOVED = "cloud-removed"
    CLOUD_CHANGED = "cloud-changed"
    CONFLICT_STANDING = "conflict-standing"
    RESTORED = "restored"
    SOURCE_CHANGED = "source-changed"
    BOTH_CHANGED = "both-changed"
    SOURCE_REMOVED = "source-removed"
    SOURCE_REMOVED_CLOUD_DIFFERS = "source-removed-cloud-differs"
    AWAITING_CLOUD = "awaiting-cloud"
    GUEST_DEFAULT = "guest-default"
    # asked for by an administrator
    RESENT = "resent"
    OVERWRITTEN = "overwritten"
    CLEARED_BY_ADMIN = "cleared-by-admin"
    # the run
    POSTPONED = "postponed"
    INTERRUPTED = "interrupted"
    # restore
    CHANGED_SINCE = "changed-since"
    NO_BACKUP = "no-backup"
    # the cloud refused or failed
    ACCOUNT_GONE = "account-gone"
    ACCOUNT_PENDING = "account-pending"
    NO_MAILBOX = "no-mailbox"
    MAILBOX_ON_PREMISES = "mailbox-on-premises"
    GUEST_NOT_ALLOWED = "guest-not-allowed"
    PERSONAL_ACCOUNT = "personal-account"
    PICTURE_REFUSED = "picture-refused"
    ACCESS_DENIED = "access-denied"
    THROTTLED = "throttled"
    CLOUD_ERROR = "cloud-error"
    UNREADABLE_ANSWER = "unreadable-answer"
    NO_PROFILE = "no-profile"
    NAME_NOT_ALLOWED = "name-not-allowed"
    # our own side
    SOURCE_CHANGED_MEANWHILE = "source-changed-meanwhile"
    REMOVAL_NOT_CONFIRMED = "removal-not-confirmed"


class PersonState(StrEnum):
    """Say whether a person takes part in the night."""

    IN_SCOPE = "in-scope"
    DISABLED = "disabled"
    OUT_OF_SCOPE = "out-of-scope"
    DELETED = "deleted"


class MatchRule(StrEnum):
    """Name the property by which a person and an account were found to be the same."""

    ANCHOR = "anchor"
    SID = "sid"
    UPN = "upn"
    MAIL = "mail"
    EMPLOYEE_ID = "employee-id"
    SAM_ACCOUNT_NAME = "sam-account-name"


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


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """Hold one value of one photo attribute as the source gave it: hostile bytes."""

    attribute: str
    content_bytes: bytes = field(repr=False)


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
        return max(abs(mine - theirs) for mine, theirs in zip(self.cells, other.cells, strict=True))

    def shows_same(self, other: Fingerprint) -> bool:
        """Say whether both show one picture: no cell differs by more than 14 and the aspect by under 2 %.

        Re-encoding and rescaling stay within 8; another shot of the same person does not stay within 14.
        """
        mine, theirs = self.width * other.height, other.width * self.height
        if abs(mine - theirs) * 50 >= min(mine, theirs):
            return False
        return self.distance(other) <= SAME_PICTURE_CELLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Hold a picture ready to be sent, with what later nights need to recognise it.

    `whole` is the upright source before cropping, `sent` the picture as it will be sent.
    """

    source_sha256: str
    sent_sha256: str
    sent_bytes: bytes = field(repr=False)
    sent: Fingerprint
    whole: Fingerprint


class Presence(StrEnum):
    """Say what a memory row stands for."""

    OURS = "ours"
    THEIRS = "theirs"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Remember what this tool knows of one account's photo in one target."""

    person_id: str
    presence: Presence
    source_sha256: str = ""
    recipe: str = ""
    sent_sha256: str = ""
    sent_print: Fingerprint | None = None
    read_sha256: str = ""
    read_print: Fingerprint | None = None
    tag: str = ""
    policy: str = ""
    restored: bool = False
    improved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Remember a write that was about to happen; `accepted_at` is set when the cloud said yes.

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


@dataclass(frozen=True, slots=True)
class CloudTag:
    """Hold what a cheap look at a cloud photo tells: its tag and size in pixels (0 when not told)."""

    tag: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class CloudPhoto:
    """Hold the bytes of a cloud photo with the tag that came beside them, when one did."""

    content_bytes: bytes = field(repr=False)
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Tell what happened to one person, in the words of the report."""

    person: str
    upn: str
    account_id: str | None
    action: Action
    reason: Reason
    detail: str = ""
    source_sha256: str | None = None
    person_id: str = ""
    target: str = "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Hold all that a report tells of one run; outcomes are read as they are told, since there may be 300,000.

    `kind` is `sync` or `restore`; `message` is the sentence of what stopped the run, else empty; `notices` are
    sentences the administrator should read (a refused cookie, a brake that was passed, backups switched off).
    `pictures` gives the (before, after) thumbnails of an outcome as JPEG bytes, where there are any.
    """

    run: int
    kind: str
    started: datetime
    finished: datetime | None
    dry_run: bool
    mode: str
    exit_code: int | None
    totals: Mapping[str, int]
    requests: Mapping[str, int]
    outcomes: Callable[[], Iterator[Outcome]]
    pictures: Callable[[Outcome], tuple[bytes | None, bytes | None]]
    message: str = ""
    notices: tuple[str, ...] = ()
    pace: Mapping[str, float] = field(default_factory=dict)


class Traffic:
    """Count what went over the wires; safe to share between threads."""

    NAMES = (
        *("ldap_searches", "ldap_entries", "http", "http_retries"),
        *("bytes_up", "bytes_down", "token_requests", "waits"),
    )

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(self.NAMES, 0)

    def add(self, name: str, amount: int = 1) -> None:
        """Add to one of `NAMES`; an unknown name raises KeyError."""
        with self._lock:
            self._counts[name] += amount

    def counts(self) -> dict[str, int]:
        """Return a copy of all counts."""
        with self._lock:
            return dict(self._counts)


class Progress(Protocol):
    """Show how far a night is; the terminal has bars, a pipe has nothing."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase of `total` steps, or of unknown length."""

    def step(self, amount: int = 1) -> None:
        """Say that so many more of the phase are done."""


class Quiet:
    """Show no progress."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def step(self, amount: int = 1) -> None:
        """Show nothing."""


Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time now, with its zone (UTC)."""
    return datetime.now(UTC)
