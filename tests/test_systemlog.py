"""The system's own log hears how a run ended; a real datagram socket stands for the journal's."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.errors import ExitCode
from connector.notify.systemlog import EVENTS, event_text, render_events_md, write_system_log

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the journal is Linux's; see docs/verified.md")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where the journal would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(10)
        yield listening


def fields(listening: socket.socket) -> dict[str, str]:
    """Return the fields of the next entry."""
    lines = listening.recv(65536).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("code", list(ExitCode))
def test_each_exit_code_has_its_event_and_priority(code: ExitCode, journal: socket.socket, tmp_path: Path) -> None:
    assert write_system_log(code, "It ended.", run=7, journal=tmp_path / "journal") == ""

    entry = fields(journal)
    assert entry["PHOTO_CONNECTOR_EXIT_CODE"] == str(int(code))
    assert entry["PHOTO_CONNECTOR_EVENT"] == str(EVENTS[code].id)
    assert entry["PHOTO_CONNECTOR_RUN"] == "7"
    assert entry["PRIORITY"] in {"3", "4", "6"}


def test_a_name_with_a_line_break_cannot_forge_a_field(journal: socket.socket, tmp_path: Path) -> None:
    write_system_log(5, "Anna\nPRIORITY=0\nfailed", journal=tmp_path / "journal")

    entry = fields(journal)
    assert entry["MESSAGE"] == "Anna PRIORITY=0 failed"
    assert entry["PRIORITY"] == "3"


def test_without_a_journal_nothing_is_said(tmp_path: Path) -> None:
    assert write_system_log(0, "It ended.", journal=tmp_path / "none") == ""


def test_a_journal_that_does_not_listen_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no socket")

    assert "could not be written to the system log" in write_system_log(0, "It ended.", journal=tmp_path / "journal")


def test_every_exit_code_stands_in_the_table() -> None:
    table = render_events_md()
    assert set(EVENTS) == set(ExitCode)
    assert len({event.id for event in EVENTS.values()}) == len(EVENTS)
    assert all(f"| {event.id} |" in table for event in EVENTS.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%n%1 and %!s!", "% n% 1 and % !s!"),
        ("C:\\%USERNAME%\\photos", "C:\\% USERNAME%\\photos"),
        ("50 % of all", "50 % of all"),
        ("one\ntwo", "one two"),
    ],
)
def test_the_event_viewer_finds_no_place_to_replace_in_a_text(text: str, shown: str) -> None:
    assert event_text(text) == shown
