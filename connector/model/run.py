"""Define outcomes, the report of a run, request counters and progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from connector.model.enums import Action, Reason

# The kind of a run of a stand-by server (SYNC_STAGING).
STAGING = "staging"


# So long before its end a certificate or a secret is reported.
ENDS_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Represent what happened to one person, as reported; `conflict` counts and lists it as one.

    `planned` and `planned_reason` are set where a safety limit held a write. `over_foreign` is set where a planned
    write is over a photo, or the lack of one, that is not this tool's doing. `since` is when a conflict that was left,
    or a restored photo, began to stand as it is; None where this run decided.
    """

    person: str
    upn: str
    account_id: str | None
    action: Action
    reason: Reason
    detail: str = ""
    source_sha256: str | None = None
    person_id: str = ""
    target: str = "graph"
    conflict: bool = False
    planned: Action | None = None
    planned_reason: Reason | None = None
    since: datetime | None = None
    over_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFacts:
    """Describe what is known today about an outcome; empty text and None are not known."""

    source_pixels: str = ""
    source_attribute: str = ""
    matched_by: str = ""
    source_has_photo: bool | None = None
    cloud_has_photo: bool | None = None


@dataclass(frozen=True, slots=True)
class ExceededLimit:
    """Represent a safety limit that stopped a run: which one, how many there were, and how many it allows.

    `attribute` is the one that vanished; empty for the other limits.
    """

    limit: str
    count: int
    allowed: int
    attribute: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Represent all that a report tells of one run; outcomes are read as they are told, since there may be 300,000.

    `kind` is `sync`, `staging` (a stand-by server, which never writes) or `restore`; `message` is the sentence of what
    stopped the run, else empty; `notices` are sentences the administrator should read (a refused cookie, a brake that
    was passed, backups switched off). `exceeded` are the safety limits that stopped the run, and `advice` is the end of
    `message` that says what to do about them; both are empty for any other run, and where an older version stored it.
    `chosen` says that the run is about named people, or those of an earlier run.
    `unmatched` yields the UPNs of synced accounts that are nobody's in scope, as the ledger knows them now.
    `coverage` counts accounts and people by whose photo the cloud shows, as the ledger knows them now.
    `rules` counts the people in scope who are treated by a rule of their own, such as an opt-out, as known now.
    `planned` are the totals as they would have been if a safety limit had not stopped the run; else empty.
    `last_success` is the number and time of the last earlier sync that did everything that was due.
    `approves` is the number of the run whose plan this run carried out, else 0; `plan_size` counts the steps of
    the plan that this run left to be carried out by `sync --approve`.
    `tenant` is its domain, or its id where no account is known; `host` is the machine that has the ledger.
    `credential_ends` is when certificate or secret end, as far as it is known while the run is at work.
    `facts` gives what is known today about an outcome's picture and match.
    `pictures` gives the (before, after) thumbnails of an outcome as JPEG bytes, where there are any; `photos_note`
    says of an earlier run where they are from, or why there are none.
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
    facts: Callable[[Outcome], OutcomeFacts] = lambda _: OutcomeFacts()
    chosen: bool = False
    message: str = ""
    advice: str = ""
    exceeded: tuple[ExceededLimit, ...] = ()
    notices: tuple[str, ...] = ()
    pace: Mapping[str, float] = field(default_factory=dict)
    unmatched: Callable[[], Iterator[str]] = lambda: iter(())
    coverage: Callable[[], Mapping[str, Mapping[str, int]]] = dict
    rules: Callable[[], Mapping[str, int]] = dict
    planned: Mapping[str, int] = field(default_factory=dict)
    last_success: tuple[int, datetime] | None = None
    approves: int = 0
    plan_size: int = 0
    tenant: str = ""
    host: str = ""
    credential_ends: datetime | None = None
    photos_note: str = ""

    @property
    def is_preview(self) -> bool:
        """Return True for a dry run or a run for named people: no scheduled run, and no restore that wrote."""
        return self.dry_run or (self.chosen and self.kind != "restore")

    @property
    def ends_soon(self) -> bool:
        """Return True if the certificate or secret ends within 30 days of the run."""
        return self.credential_ends is not None and self.credential_ends - self.started < ENDS_SOON

    @property
    def is_staging(self) -> bool:
        """Return True if the run is one of a stand-by server (SYNC_STAGING)."""
        return self.kind == STAGING


class RequestCounters:
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
        """Add this many to what is done of the phase."""

    def end(self) -> None:
        """End the display; only text follows."""


class NoProgress:
    """Show no progress."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def step(self, amount: int = 1) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Have nothing to take away."""


Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time now, with its zone (UTC)."""
    return datetime.now(UTC)
