"""Report how far a run is: a line a minute where there is no terminal, and a file that names the holder of the lock."""

from __future__ import annotations

import getpass
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from connector.cli.console import ProgressBars, is_quiet, left, progress
from connector.cli.options import echo_error
from connector.disk import delete, write_whole
from connector.ledger.store import HOLDER_NAME
from connector.model import Progress

FILE_SECONDS = 5
LINES_EVERY = 12  # times FILE_SECONDS: a line a minute


class Heartbeat:
    """Count the steps of each phase, pass them on to the bars, and write the file and the line about them."""

    def __init__(self, shown: Progress, path: Path, command: str) -> None:
        self._shown, self._path = shown, path
        self._holder = {
            "process": os.getpid(),
            "account": _account(),
            "host": platform.node(),
            "command": command,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._phase, self._done, self._began = "starting", 0, time.monotonic()
        self._total: int | None = None

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        self._phase, self._total, self._done, self._began = name, total, 0, time.monotonic()
        self.write_file()
        self._shown.phase(name, total)

    def step(self, amount: int = 1) -> None:
        """Count steps."""
        self._done += amount
        self._shown.step(amount)

    def end(self) -> None:
        """End the bars."""
        self._shown.end()

    def line(self) -> str:
        """Return how far the run is, such as "uploading: 1,200 of 20,000, 85/s, about 4 min left"."""
        of = f" of {self._total:,}" if self._total is not None else ""
        speed = self._done / max(0.001, time.monotonic() - self._began)
        words = [f"{self._phase}: {self._done:,}{of}"]
        if self._done:
            words.append(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")
        if self._done and self._total is not None and self._done < self._total:
            words.append(f"about {left((self._total - self._done) / speed)} left")
        return ", ".join(words)

    def write_file(self) -> None:
        """Write who holds the lock and how far the run is; a file that cannot be written changes nothing."""
        told = {**self._holder, "phase": self._phase, "done": self._done, "total": self._total}
        with suppress(OSError):
            write_whole(self._path, json.dumps(told).encode())


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without an account
        return str(os.geteuid()) if os.name == "posix" else ""


def _beat(heartbeat: Heartbeat, stop: threading.Event, has_bars: bool) -> None:
    """Write the file every few seconds, and the line once a minute, until the run ends."""
    beats = 0
    while not stop.wait(FILE_SECONDS):
        beats += 1
        heartbeat.write_file()
        if beats % LINES_EVERY == 0 and not has_bars and not is_quiet():
            echo_error(heartbeat.line())


@contextmanager
def tracked_progress(folder: Path, command: str) -> Iterator[Progress]:
    """Show the progress of a run: bars on a terminal, else a line a minute; the file beside the lock in any case."""
    with progress() as shown:
        heartbeat = Heartbeat(shown, folder / HOLDER_NAME, command)
        heartbeat.write_file()
        stop = threading.Event()
        thread = threading.Thread(target=_beat, args=(heartbeat, stop, isinstance(shown, ProgressBars)), daemon=True)
        thread.start()
        try:
            yield heartbeat
        finally:
            stop.set()
            thread.join()
            with suppress(OSError):
                delete(folder / HOLDER_NAME)
