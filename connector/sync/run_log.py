"""Mark each log record with its run, and log how a run starts and ends."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from connector import __version__
from connector.config import Settings
from connector.sync.context import RunContext

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
