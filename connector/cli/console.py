"""Show progress bars and tables on a terminal, and write logs to standard error and to files."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table
from rich.text import Text

from connector.command import wrapped
from connector.model import NoProgress, safe
from connector.model import Progress as Shown

LOG_BYTES = 5_000_000
LOG_FILES = 5
# The widest line of a phase without its bar, as "300,000 of 300,000  1,200/s  about 2 h 59 min left".
BESIDE_BAR = 75
# As long as a line may be that is not measured before it is written.
LONGEST_RECORD = 64_000
# Optional fields of a record in the JSON log.
FIELDS = (
    *("run", "dry_run", "person", "account", "target", "action", "reason"),
    *("version", "mode", "settings", "exit_code", "totals", "seconds"),
)


class RateColumn(ProgressColumn):
    """Show the count of a phase, its rate, and the time left if the total is known."""

    def render(self, task: Task) -> Text:
        """Return the text, such as "1,200 of 20,000  85/s  about 4 min left"."""
        done = int(task.completed)
        words = [f"{done:,} of {int(task.total):,}" if task.total is not None else f"{done:,}"]
        speed = task.finished_speed or task.speed or (done / task.elapsed if done and task.elapsed else 0)
        if speed:
            words.append(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")
        if speed and task.total is not None and done < task.total:
            words.append(f"about {left((task.total - done) / speed)} left")
        return Text("  ".join(words))


def left(seconds: float) -> str:
    """Return a duration in words: "40 s", "4 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class ProgressBars:
    """Show each phase as a line with a bar, its count, its rate and the time left."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def phase(self, name: str, total: int | None = None) -> None:
        """Start a line; the line before is finished, and keeps its count and rate."""
        if self._task is not None:
            done = self._bars.tasks[self._bars.task_ids.index(self._task)].completed
            self._bars.update(self._task, total=done, completed=done)
            self._bars.stop_task(self._task)
        self._task = self._bars.add_task(name, total=total)

    def step(self, amount: int = 1) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def end(self) -> None:
        """Remove the lines, before the report is written in their place."""
        self._bars.stop()


def is_terminal(stream: TextIO) -> bool:
    """Return True if the stream is an interactive terminal; isatty is also true for NUL on Windows, which is not."""
    try:
        if not stream.isatty():
            return False
    except ValueError:  # closed
        return False
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt

    mode = ctypes.c_ulong()
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
    return bool(ctypes.windll.kernel32.GetConsoleMode(handle, ctypes.byref(mode)))


def is_one_file(first: int, second: int) -> bool:
    """Return True if two file descriptors lead to the same file or pipe; raises OSError for a closed one.

    Windows gives pipes no number. CompareObjectHandles, which knows them, is in Windows 10 and Server 2016:
    https://learn.microsoft.com/windows/win32/api/handleapi/nf-handleapi-compareobjecthandles
    """
    one, other = os.fstat(first), os.fstat(second)
    if one.st_ino or other.st_ino or sys.platform != "win32":
        return one.st_ino != 0 and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    import ctypes
    import msvcrt

    compare = getattr(ctypes.WinDLL("kernelbase"), "CompareObjectHandles", None)
    handles = (ctypes.c_void_p(msvcrt.get_osfhandle(descriptor)) for descriptor in (first, second))
    return compare is not None and bool(compare(*handles))


def progress_columns(width: int) -> tuple[ProgressColumn, ...]:
    """Return the columns of a phase; the bar is short where a line with large counts would not fit the terminal."""
    return (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=max(4, min(24, width - BESIDE_BAR))),
        RateColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(),
    )


@contextmanager
def progress() -> Iterator[Shown]:
    """Show progress on standard error while it is a terminal, and nothing otherwise."""
    console = Console(stderr=True)
    if is_quiet() or not (is_terminal(sys.stderr) and console.is_terminal):
        yield NoProgress()
        return
    with Progress(*progress_columns(console.width), console=console, transient=True) as bars:
        yield ProgressBars(bars)


def show_table(heading: Iterable[str], rows: Iterable[tuple[str, str, str, str]], endings: Sequence[str]) -> None:
    """Show (when, run, what, why) rows as a table on standard output, between lines of text.

    The run stands below its time, so that the reason has half of a narrow terminal.
    """
    console = Console()
    table = Table("when, run", "what", box=SIMPLE, pad_edge=False)
    table.add_column("why", overflow="fold")
    for when, run, what, why in rows:
        table.add_row(Text(f"{when}\n{run}"), Text(what), Text(why))
    for line in heading:
        indent = len(line) - len(line.lstrip())
        for number, part in enumerate(wrapped(line.strip(), console.width - indent - 2)):
            console.print(Text(" " * (indent + (2 if number else 0)) + part), soft_wrap=True)
    console.print(table)
    for line in ("Available actions", *endings) if endings else ():
        console.print(Text(line), soft_wrap=True)  # a command must stay in one piece


class SafeLines(logging.Formatter):
    """Write each record as one line without control characters; a traceback is indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines; the traceback is formatted again, since another handler may have cached its own."""
        own = copy(record)
        own.exc_text = None
        return super().format(own)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the line; a record of a run names it after the level."""
        run = getattr(record, "run", None)
        dry = ", dry run" if getattr(record, "dry_run", False) else ""
        record.of_run = "" if run is None else f"[run {run}{dry}] "
        return safe(super().formatMessage(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the local time with its offset from UTC."""
        return datetime.fromtimestamp(record.created).astimezone().isoformat(sep=" ", timespec="milliseconds")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the library's name
        """Return the traceback with each line indented, so that none looks like a record."""
        return "\n".join(f"    {safe(line)}" for line in super().formatException(ei).splitlines())


class JsonLines(logging.Formatter):
    """Write each record as one JSON object; our records never contain a body, a token or a picture."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": safe(record.getMessage()),
        }
        extra = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        line |= {name: safe(value) if isinstance(value, str) else value for name, value in extra.items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class PrivateLog(RotatingFileHandler):
    """Write a rotated log that only its owner can read.

    Windows cannot move a log that another program has open: writing continues in the same file, and the next attempt
    to rotate is a tenth of its size later.
    """

    _not_before = 0

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the library's name
        """Return True if the file is full and the size for the next attempt is reached."""
        size = os.fstat(self.stream.fileno()).st_size if self.stream else self._size()
        if size < self.maxBytes - LONGEST_RECORD:
            return False  # without formatting the record once more to know its length
        return size >= self._not_before and bool(super().shouldRollover(record))

    def doRollover(self) -> None:  # noqa: N802 - the library's name
        """Start a new file, or continue in this one if it cannot be moved; older files move only after this one."""
        if self.stream:
            self.stream.close()
        aside = Path(f"{self.baseFilename}.0")
        try:
            Path(self.baseFilename).replace(aside)
            super().doRollover()  # moves those before it, and opens a new one
            aside.replace(f"{self.baseFilename}.1")
            self._not_before = 0
        except OSError:
            self.stream = self._open()
            self._not_before = self._size() + self.maxBytes // 10

    def _size(self) -> int:
        try:
            return Path(self.baseFilename).stat().st_size
        except OSError:
            return 0

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).touch(mode=0o600)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Ignore errors of the log itself, such as a full disk."""


def begin_logs(*, verbose: bool, form: str) -> None:
    """Write our own log to standard error: warnings, or everything with `--verbose`; never that of other libraries."""
    root = logging.getLogger()
    if not root.handlers:  # else warnings of libraries reach standard error, MSAL's with a token in them
        root.addHandler(logging.NullHandler())
    ours = logging.getLogger("connector")
    for handler in list(ours.handlers):
        ours.removeHandler(handler)
        handler.close()
    shown = _formatted(logging.StreamHandler(sys.stderr), form)
    shown.setLevel(logging.DEBUG if verbose else logging.WARNING)
    ours.addHandler(shown)
    ours.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours.propagate = False


def log_to_file(folder: Path, *, form: str) -> Path:
    """Write our log to a rotated file in the state folder as well; returns its path."""
    path = folder / "photo-connector.log"
    file = PrivateLog(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    logging.getLogger("connector").addHandler(_formatted(file, form))
    return path


def _formatted(handler: logging.Handler, form: str) -> logging.Handler:
    text = SafeLines("%(asctime)s %(levelname)s %(of_run)s%(name)s: %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    return handler


_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Return True if the running command was given `--quiet`."""
    return _quiet.get()


def quiet_option(command: Any) -> Any:
    """Add `--quiet` to a command."""
    text = "Show warnings and errors only: no progress, no report on the screen."
    return click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=_remember, help=text)(command)


def _remember(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _quiet.set(value)
