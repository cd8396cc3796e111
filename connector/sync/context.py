"""Define what every step of a run is given, mark its log records, and log how it starts and ends."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from connector import __version__
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
class Approval:
    """Name the plan that a run carries out, and nothing else of what it could do.

    `limits` are the safety limits that the plan's run named, with their counts: the approval passes these. `kept` are
    (person id, target) of the steps that `--except` left in the plan; None for all.
    """

    plan_run: int
    limits: Mapping[str, int] = field(default_factory=dict)
    kept: frozenset[tuple[str, str]] | None = None


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
    approval: Approval | None = None

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


log = logging.getLogger("connector.run")


@contextmanager
def marked_records(run: int, *, dry_run: bool) -> Iterator[None]:
    """Add `run` and `dry_run` to every record that our handlers write, from any thread, while the block lasts."""

    def mark(record: logging.LogRecord) -> bool:
        record.run, record.dry_run = run, dry_run
        return True

    handlers = list(logging.getLogger("connector").handlers)
    for handler in handlers:
        handler.addFilter(mark)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(mark)


def log_start(context: RunContext) -> None:
    """Log version, mode and the fingerprint of the settings."""
    mode = "staging" if context.settings.sync_staging else context.options.kind
    mode = f"{mode} (dry run)" if context.options.dry_run else mode
    values = {"version": __version__, "mode": mode, "settings": settings_fingerprint(context.settings)}
    log.info("started: %s, version %s, settings %s", mode, __version__, values["settings"], extra=values)


def log_end(context: RunContext, *, exit_code: object, totals: Mapping[str, int]) -> None:
    """Log exit code, totals and duration."""
    seconds = round((context.clock() - context.started).total_seconds(), 1)
    counts = ", ".join(f"{name} {count}" for name, count in totals.items() if count)
    values = {"exit_code": exit_code, "totals": dict(totals), "seconds": seconds}
    log.info("ended: exit code %s, %s s, %s", exit_code, seconds, counts or "nobody", extra=values)


def settings_fingerprint(settings: Settings) -> str:
    """Return a short hash of all settings in force; secrets take no part in it."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
