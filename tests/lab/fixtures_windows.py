"""Fixtures for stories under CPython for Windows (Wine): processes that stay, and a company of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.company import Company
from tests.lab import windows
from tests.lab.graph import Emulator


class WindowsCompany(Company):
    """A company whose nights run under Windows' Python; the state folder is on this machine, seen by Windows as Z:."""

    runner: windows.WindowsRunner

    def __init__(self, process: windows.Process, cloud: Emulator, folder: Path) -> None:
        super().__init__(cloud, folder)
        self.runner = windows.WindowsRunner(process, folder, self.runner.settings)
        self.sync = self.runner.sync


def _started() -> Iterator[windows.Process]:
    reason = windows.why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(f"The lab must run here, but {reason}.")
    if reason:
        pytest.skip(reason)
    process = windows.Process()
    yield process
    process.close()


@pytest.fixture(scope="session")
def other_program() -> Iterator[windows.Process]:
    """Give another Windows program, which holds files open; skipped without Windows' Python, but never in CI."""
    yield from _started()


@pytest.fixture(scope="session")
def windows_python(other_program: windows.Process) -> Iterator[windows.Process]:
    """Give a process of Windows' Python in which commands of the program are typed; it imports the program once."""
    yield from _started()


@pytest.fixture
def windows_company(windows_python: windows.Process, cloud: Emulator, tmp_path: Path) -> Iterator[WindowsCompany]:
    """Open an empty company whose program runs under Windows' Python."""
    place = WindowsCompany(windows_python, cloud, tmp_path)
    yield place
    place.close()
