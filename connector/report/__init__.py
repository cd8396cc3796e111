"""Write a finished run as text, JSON, CSV or one HTML file; outcomes are streamed from the database."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from typing import TextIO

from connector.config import Pictures
from connector.disk import device_in, is_held, reason, written_whole
from connector.errors import ConnectorError, UsageError
from connector.model import RunReport
from connector.model.reasons import ADVICE, Advice, is_conflict, needs_attention, render_reasons_md
from connector.report.json_csv import write_csv, write_json
from connector.report.summary import headline
from connector.report.terminal import write_screen
from connector.report.text import write_text

__all__ = [
    "ADVICE",
    "FORMATS",
    "Advice",
    "format_of",
    "headline",
    "is_conflict",
    "needs_attention",
    "refuse_device",
    "render_reasons_md",
    "save_report",
    "write_report",
    "write_screen",
]

FORMATS = ("text", "json", "csv", "html")
_ENDINGS = {".txt": "text", ".json": "json", ".csv": "csv", ".html": "html"}


def format_of(path: str | Path, *, windows: bool = sys.platform == "win32") -> str:
    """Return the format of a file's ending; UsageError for another ending, or for a device name on Windows."""
    refuse_device(path, windows=windows)
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(
            f"The report file {str(path)!r} has no known ending.",
            "Use .html, .csv, .json or .txt.",
        )
    return _ENDINGS[ending]


def refuse_device(path: str | Path, *, windows: bool = sys.platform == "win32") -> None:
    """Raise UsageError for a device name on Windows, where everything that is written to it is lost."""
    if device_in(path, windows=windows):
        raise UsageError(f"The file {str(path)!r} is a device on Windows.", "Give the file another name.")


def write_report(
    report: RunReport,
    form: str,
    stream: TextIO,
    *,
    pictures: Pictures = Pictures.NONE,
    limit: int | None = None,
    verbose: bool = False,
) -> None:
    """Write the run in one of `FORMATS` to a UTF-8 text stream that does not translate newlines.

    `pictures` says which thumbnails HTML may show, `limit` caps each list of people in text, and `verbose` adds
    the identifiers of pictures and requests to it.
    An unknown format raises UsageError.
    """
    if form == "text":
        write_text(report, stream, limit=limit, verbose=verbose)
    elif form == "json":
        write_json(report, stream)
    elif form == "csv":
        write_csv(report, stream)
    elif form == "html":
        from connector.report.html import write_page  # loads Jinja2, which only this format needs

        write_page(report, stream, pictures=pictures)
    else:
        raise UsageError(f"There is no report format {form!r}.", f"Use one of: {', '.join(FORMATS)}.")


def save_report(report: RunReport, path: str | Path, *, form: str = "", pictures: Pictures = Pictures.NONE) -> None:
    """Write the run to a file atomically; the ending chooses the format unless `form` names one.

    It names people and may show them, so only the owner can read a new file. An existing file keeps its mode, unless
    another account owns it; it is never writable for all.
    Raises UsageError for an unknown ending and ConnectorError where the file cannot be written.
    """
    chosen, target = form or format_of(path), Path(path)
    try:
        if target.exists() and not target.is_file():
            _write(report, target, chosen, pictures)
        else:
            _write_whole(report, target, chosen, pictures)
    except OSError as error:
        fix = "Name a file in a folder that this account can write to, then run `photo-connector report`."
        if is_held(error):
            fix = "Close it in Excel or the browser, or name another file, then run `photo-connector report`."
        raise ConnectorError(f"The report {str(target)!r} could not be written: {reason(error)}.", fix) from error


def _write_whole(report: RunReport, target: Path, form: str, pictures: Pictures) -> None:
    with written_whole(target, mode=_mode(target)) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline=_newline(form))
        write_report(report, form, text, pictures=pictures)
        text.detach()  # flushes, and does not close the stream


def _mode(target: Path) -> int:
    """Return the mode for a file: that of our existing file, without write access for all; else 0600."""
    if os.name != "posix" or not target.exists():
        return 0o600
    status = target.stat()
    return stat.S_IMODE(status.st_mode) & 0o775 if status.st_uid == os.geteuid() else 0o600


def _newline(form: str) -> str:
    return "" if form == "csv" else "\n"


def _write(report: RunReport, path: Path, form: str, pictures: Pictures) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline=_newline(form)) as stream:
        write_report(report, form, stream, pictures=pictures)
