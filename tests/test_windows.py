"""Nights of the program under CPython for Windows (Wine); directory and cloud run on the Linux side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import windows
from tests.lab.graph import Emulator
from tests.office import Office, face

pytestmark = pytest.mark.windows


class WindowsOffice(Office):
    """An office whose nights run under Windows' Python."""

    def __init__(self, cloud: Emulator, folder: Path) -> None:
        """Open it with the state folder on this machine, seen by Windows as Z:."""
        super().__init__(cloud, folder)
        self.nights: windows.WindowsNights = windows.WindowsNights(folder, self.nights.settings)
        self.sync = self.nights.sync


@pytest.fixture
def office(cloud: Emulator, tmp_path: Path) -> Iterator[WindowsOffice]:
    """Return an empty office whose program runs under Windows' Python; without it the test is skipped, never in CI."""
    reason = windows.why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(f"The lab must run here, but {reason}.")
    if reason:
        pytest.skip(reason)
    place = WindowsOffice(cloud, tmp_path)
    yield place
    place.close()


def writes(office: WindowsOffice) -> int:
    return sum(request.method in ("PUT", "DELETE") for request in office.cloud.requests)


def test_first_quiet_and_changed_nights(office):
    one, two, _ = office.team(3)
    first = office.sync()
    assert (first.code, first.totals["created"]) == (0, 3), first.err
    quiet = office.sync()
    assert (quiet.code, quiet.totals["unchanged"], writes(office)) == (0, 3, 3), quiet.err
    office.paint(one, face("somebody new"))
    office.paint(two, None)
    changed = office.sync()
    assert (changed.code, changed.totals["replaced"], changed.totals["removed"]) == (0, 1, 0), changed.err
    assert changed.of(one.upn) == ("replace", "source-changed")
