"""What does every step of a night share? Settings, ledger, both sides, the counters, and what is to be told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from connector.config import Settings
from connector.decide.case import Policy
from connector.errors import ExitCode, LimitReached, PersonError
from connector.ledger.files import Backups, Spool
from connector.model import Clock, Progress, RequestCounters
from connector.photo import Recipe
from connector.report.from_ledger import ConflictPhotos
from connector.sources import SourceTraits
from connector.sources.open import source_traits


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Name what a restore takes back: what a run wrote, or else the newest write for a person."""

    run: int = 0
    person_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Hold what was asked for on the command line of this run."""

    dry_run: bool = False
    full: bool = False
    resend: bool = False
    only: tuple[str, ...] = ()
    overwrite: bool = False
    clear: bool = False
    force: bool = False
    undo: RestoreRequest | None = None

    @property
    def kind(self) -> str:
        """Return what kind of run this is."""
        return "sync" if self.undo is None else "restore"

    @property
    def is_chosen(self) -> bool:
        """Say whether the run is about named people only, or those of an earlier run, and tells of nobody else."""
        return bool(self.only) or self.undo is not None


@dataclass(slots=True, kw_only=True)
class RunContext:
    """Hold one run while it lasts. `db` is the ledger, in a dry run a copy of it.

    `conflicts` are those whose pictures the report can show, by target and account id.
    `refused` is what befell those whose look ended the run, by account id: next night they come last.
    `turn_away` ends the waits of all requests that are not on the wire, for good: the run is over.
    """

    settings: Settings
    options: Options
    db: sqlite3.Connection
    folder: Path
    run: int
    started: datetime
    clock: Clock
    traffic: RequestCounters
    progress: Progress
    spool: Spool
    backups: Backups
    notices: list[str] = field(default_factory=list)
    codes: set[ExitCode] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    modes: set[str] = field(default_factory=set)
    chosen_ids: tuple[str, ...] = ()
    conflicts: dict[tuple[str, str], ConflictPhotos] = field(default_factory=dict)
    refused: Mapping[str, PersonError] = field(default_factory=dict)
    uploads: int = 0
    cancel_waiting: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def trust(self) -> tuple[str, ...]:
        """Return the photo attributes in order of trust."""
        return self.source_traits.attribute_order

    @property
    def source_traits(self) -> SourceTraits:
        """Return what the source can do."""
        return source_traits(self.settings)

    @property
    def recipe(self) -> Recipe:
        """Return how pictures are made."""
        return Recipe(self.settings.photo_size, square=self.settings.photo_crop == "square")

    @property
    def policy(self) -> Policy:
        """Return what the administrator decided, by settings and by options."""
        return Policy(
            conflict=self.settings.sync_conflict,
            removed=self.settings.sync_removed,
            resend=self.options.resend,
            overwrite=self.options.overwrite,
            clear=self.options.clear,
        )

    @property
    def is_out_of_time(self) -> bool:
        """Return True if SYNC_MAX_MINUTES are over."""
        minutes = self.settings.sync_max_minutes
        return bool(minutes) and self.clock() - self.started >= timedelta(minutes=minutes)

    def stop_when_out_of_time(self) -> None:
        """Raise LimitReached if SYNC_MAX_MINUTES are over; for the phases before the first write."""
        if self.is_out_of_time:
            raise LimitReached(self.settings.sync_max_minutes)

    def add_notice(self, notice: str) -> None:
        """Add a sentence to the report, once."""
        if notice and notice not in self.notices:
            self.notices.append(notice)
