"""Define what every step of a run is given: settings, options, ledger, clock, counters and file stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from connector.config import Settings
from connector.decide.case import Policy
from connector.errors import LimitReached
from connector.ledger.files import Backups, Spool
from connector.model import Clock, Progress, RequestCounters
from connector.photo import Recipe
from connector.sources import SourceTraits
from connector.sources.open import source_traits


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """Name what a restore takes back: the writes of a run, or else the newest write for a person."""

    run: int = 0
    person_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Represent the options of the command line of this run."""

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
        """Return the kind of the run as stored in the ledger: `sync` or `restore`."""
        return "sync" if self.undo is None else "restore"

    @property
    def is_chosen(self) -> bool:
        """Return True if the run is about named people, or those of an earlier run, and reports nobody else."""
        return bool(self.only) or self.undo is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Contain what does not change during a run. `db` is the ledger; in a dry run it is a copy.

    `cancel_waiting` fails every request that was not sent yet; it is called when the run stops.
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
    cancel_waiting: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def attribute_order(self) -> tuple[str, ...]:
        """Return the photo attributes, the preferred one first."""
        return self.source_traits.attribute_order

    @property
    def source_traits(self) -> SourceTraits:
        """Return what the source can do."""
        return source_traits(self.settings)

    @property
    def recipe(self) -> Recipe:
        """Return the settings by which pictures are prepared."""
        return Recipe(self.settings.photo_size, square=self.settings.photo_crop == "square")

    @property
    def policy(self) -> Policy:
        """Return the rules that the settings and options give to the decisions."""
        return Policy(
            conflict=self.settings.sync_conflict,
            removed=self.settings.sync_removed,
            resend=self.options.resend,
            overwrite=self.options.overwrite,
            clear=self.options.clear,
        )

    @property
    def writes(self) -> bool:
        """Return True if this run may write to the cloud: no dry run, and no stand-by server (SYNC_STAGING)."""
        return not (self.options.dry_run or self.settings.sync_staging)

    @property
    def is_out_of_time(self) -> bool:
        """Return True if SYNC_MAX_MINUTES are over."""
        minutes = self.settings.sync_max_minutes
        return bool(minutes) and self.clock() - self.started >= timedelta(minutes=minutes)

    def stop_when_out_of_time(self) -> None:
        """Raise LimitReached if SYNC_MAX_MINUTES are over; for the phases before the first write."""
        if self.is_out_of_time:
            raise LimitReached(self.settings.sync_max_minutes)
