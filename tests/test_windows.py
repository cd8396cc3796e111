"""Nights of the program under CPython for Windows (Wine); directory and cloud run on the Linux side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connector.photo import read_print
from tests.lab import windows
from tests.lab.graph import Emulator, Fault
from tests.office import Office, face

pytestmark = pytest.mark.windows

# The gate kills a few times; `WINDOWS_KILLS=30` is for a longer trial by hand.
KILLS = int(os.environ.get("WINDOWS_KILLS", "3"))


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


def test_ctrl_c_ends_a_run_that_was_told_to_wait(office):
    office.team(2)
    office.cloud.fail_next(r"POST .*batch", Fault(status=429, retry_after="100"), times=-1)
    console = office.nights.console("sync", "--env-file", str(office.nights.env_file()))
    wait_until(lambda: any("batch" in request.path for request in office.cloud.requests), console)
    console.type(b"\x03")
    assert console.wait(60) == 130, console.text
    assert "interrupted" in console.text


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_run_ended_by_terminate_process_repeats_nothing_and_loses_nobody(office, kill):
    team = office.team(12)
    office.cloud.set(latency=0.05)
    ended = office.nights.kill_after(3.0 + 6.0 * kill / max(1, KILLS - 1))
    after = office.sync()
    assert after.code == 0, after.err
    for one in team:
        assert shows_same(office.photo(one), face(one.name)), one.upn
    puts = sum(request.method == "PUT" for request in office.cloud.requests)
    assert len(team) <= puts <= len(team) + 4, ended  # one for each lane may have been under way
    quiet = office.sync()
    assert (quiet.code, quiet.totals["unchanged"], quiet.totals["conflicts"]) == (0, 12, 0), quiet.err


def shows_same(photo: bytes | None, wanted: bytes) -> bool:
    return photo is not None and read_print(photo).shows_same(read_print(wanted))


def wait_until(is_so: Callable[[], bool], process: object) -> None:
    """Wait for something that the Windows process brings about; a console is read meanwhile."""
    deadline = time.monotonic() + 240
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        if isinstance(process, windows.Console):
            process.read()
        else:
            time.sleep(0.05)
