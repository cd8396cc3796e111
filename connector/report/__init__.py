"""How is a finished run told? As text, JSON, CSV or one HTML file; outcomes are read as they are written."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from pathlib import Path
from typing import TextIO

from connector.config import Pictures
from connector.disk import is_held, reason, written_whole
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
    "render_reasons_md",
    "save_report",
    "write_report",
    "write_screen",
]

FORMATS = ("text", "json", "csv", "html")
_ENDINGS = {".txt": "text", ".json": "json", ".csv": "csv", ".html": "html"}


# Devices, whatever stands behind the dot (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(\.|$)", re.IGNORECASE)


def format_of(path: str | Path, *, windows: bool = sys.platform == "win32") -> str:
    """Return the format that a file's ending chooses; another ending, or a device of Windows, raises UsageError."""
    name = re.split(r"[\\/]", str(path))[-1]
    if windows and _RESERVED.match(name):
        raise UsageError(f"The report file {str(path)!r} is a device on Windows.", "Give the file another name.")
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise UsageError(
            f"The report file {str(path)!r} has no ending that names a format.",
            "Use .html, .csv, .json or .txt.",
        )
    return _ENDINGS[ending]


def write_report(
    report: RunReport, form: str, stream: TextIO, *, pictures: Pictures = Pictures.NONE, limit: int | None = None
) -> None:
    """Write the run in one of `FORMATS` to a UTF-8 text stream that does not translate newlines.

    `pictures` says which thumbnails HTML may show, `limit` caps each list of people in text.
    An unknown format raises UsageError.
    """
    if form == "text":
        write_text(report, stream, limit=limit)
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
    """Write the run to a file, whole or not at all; the ending chooses the format unless `form` names one.

    It names people and may show them, so a new file is its owner's only. One that is there keeps its mode, unless it
    is another account's; everybody may write none.
    Raises UsageError for an unknown ending and ConnectorError where the file cannot be written.
    """
    chosen, target = form or format_of(path), Path(path)
    try:
        if target.exists() and not target.is_file():
            _write(report, target, chosen, pictures)
        else:
            _write_whole(report, target, chosen, pictures)
    except OSError as error:
        fix = "Name a file in a folder that this account may write, then run `photo-connector report`."
        if is_held(error):
            fix = "Close it there (Excel, a browser), or name another file, then run `photo-connector report`."
        raise ConnectorError(f"The report {str(target)!r} could not be written: {reason(error)}.", fix) from error


def _write_whole(report: RunReport, target: Path, form: str, pictures: Pictures) -> None:
    with written_whole(target, mode=_mode(target)) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline=_newline(form))
        write_report(report, form, text, pictures=pictures)
        text.detach()  # flushes, and leaves the stream to its owner


def _mode(target: Path) -> int:
    """Return what a file's mode is to be: its owner's own choice, without the right to write for everybody."""
    if os.name != "posix" or not target.exists():
        return 0o600
    found = target.stat()
    return stat.S_IMODE(found.st_mode) & 0o775 if found.st_uid == os.geteuid() else 0o600


def _newline(form: str) -> str:
    return "" if form == "csv" else "\n"


def _write(report: RunReport, path: Path, form: str, pictures: Pictures) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline=_newline(form)) as stream:
        write_report(report, form, stream, pictures=pictures)
