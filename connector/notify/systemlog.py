"""Write how a run ended to the system log: the journal on Linux, the Application event log on Windows."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import NamedTuple

from connector import __version__
from connector.errors import ExitCode
from connector.model import safe

SOURCE = "photo-connector"
JOURNAL = Path("/run/systemd/journal/socket")
INFORMATION, WARNING, ERROR = 4, 2, 1  # https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-reporteventw
_PRIORITY = {INFORMATION: 6, WARNING: 4, ERROR: 3}  # syslog's info, warning, err (RFC 5424)
_MOST_CHARACTERS = 8_000
# The event viewer replaces %1, %n and similar places.
_PLACES = re.compile(r"%(?=[0-9A-Za-z!])")


class Event(NamedTuple):
    """Represent a run's end in the system log: the event's id, its type and its meaning."""

    id: int
    type: int
    meaning: str


# 116 is the id that Entra Connect uses when its own deletion threshold stops it (docs/operations.md lists all of them).
EVENTS = {
    ExitCode.OK: Event(100, INFORMATION, "the run finished"),
    ExitCode.LIMIT: Event(101, INFORMATION, "the run finished at its limit"),
    ExitCode.SOME_FAILED: Event(110, WARNING, "the run finished, some users failed"),
    ExitCode.INTERRUPTED: Event(111, WARNING, "the run was interrupted"),
    ExitCode.LOCKED: Event(112, WARNING, "another run is in progress"),
    ExitCode.BRAKE: Event(116, WARNING, "a safety limit stopped the run; nothing was written"),
    ExitCode.FAULT: Event(120, ERROR, "internal error"),
    ExitCode.SETTINGS: Event(121, ERROR, "usage or settings"),
    ExitCode.UNREACHABLE: Event(122, ERROR, "a system was unreachable or denied access"),
}


# Written beside the event of the run's end; a monitoring rule can wait for it.
ENDS_SOON = Event(117, WARNING, "the application's certificate or secret ends within 30 days")


def write_system_log(
    code: int, text: str, *, run: int = 0, journal: Path = JOURNAL, special: Event | None = None
) -> str:
    """Write to the system log how a run ended; return a warning sentence if that failed, else empty text.

    `special` is another event than that of the exit code. Without a journal or an event log nothing is written: the
    run's own log and report have it all.
    """
    event = special or EVENTS.get(ExitCode(code), EVENTS[ExitCode.FAULT])
    try:
        if sys.platform == "win32":
            _write_event_log(event, event_text(text))
        elif journal.exists():
            _write_journal(journal, journal_entry(event, text, code=code, run=run))
    except OSError as error:
        return f"The run could not be written to the system log: {error.strerror or error}."
    return ""


def journal_entry(event: Event, text: str, *, code: int, run: int) -> bytes:
    """Return the fields of an entry in the journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).

    A value is put on one line, so that a name cannot add a field.
    """
    fields = {
        "MESSAGE": safe(" ".join(text.split()), longest=_MOST_CHARACTERS),
        "PRIORITY": str(_PRIORITY[event.type]),
        "SYSLOG_IDENTIFIER": SOURCE,
        "PHOTO_CONNECTOR_EVENT": str(event.id),
        "PHOTO_CONNECTOR_EXIT_CODE": str(int(code)),
        "PHOTO_CONNECTOR_RUN": str(run),
        "PHOTO_CONNECTOR_VERSION": __version__,
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode("utf-8", "replace")


def event_text(text: str) -> str:
    """Return the text of an event on one line, without places that the viewer would replace.

    https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-reporteventw, on lpStrings.
    """
    return safe(_PLACES.sub("% ", text), longest=_MOST_CHARACTERS)


def _write_journal(journal: Path, entry: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.connect(str(journal))
        link.send(entry)


def _write_event_log(event: Event, text: str) -> None:
    """Write an Application event; Windows adds a preface if register-task.ps1 did not register the source."""
    if sys.platform != "win32":
        return
    import ctypes
    from ctypes import wintypes

    advapi = ctypes.WinDLL("advapi32", use_last_error=True)
    advapi.RegisterEventSourceW.restype = wintypes.HANDLE
    handle = wintypes.HANDLE(advapi.RegisterEventSourceW(None, SOURCE))
    if not handle:
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        texts = (wintypes.LPCWSTR * 1)(text)
        if not advapi.ReportEventW(handle, event.type, 0, event.id, None, 1, 0, texts, None):
            raise ctypes.WinError(ctypes.get_last_error())
    finally:
        advapi.DeregisterEventSource(handle)


def render_events_md() -> str:
    """Return the table of events in Markdown, for docs/operations.md."""
    kinds = {INFORMATION: "Information", WARNING: "Warning", ERROR: "Error"}
    rows = [f"| {event.id} | {kinds[event.type]} | {int(code)} | {event.meaning} |" for code, event in EVENTS.items()]
    rows.append(f"| {ENDS_SOON.id} | {kinds[ENDS_SOON.type]} | any | {ENDS_SOON.meaning} |")
    return "\n".join(["| event | type | exit code | meaning |", "|---|---|---|---|", *rows]) + "\n"
