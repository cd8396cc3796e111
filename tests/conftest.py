"""Shared fixtures: one domain controller a process, and for each test an OU of its own; and markers."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.lab import loopback, samba
from tests.lab.directory import Directory
from tests.lab.samba import DomainController

# Whose fixtures every test may ask for by name; what one of them imports of the others stands before it.
pytest_plugins = (
    "tests.cloud_stories",
    "tests.lab.fixtures_cloud",
    "tests.folder_stories",
    "tests.company",
    "tests.lab.fixtures_windows",
    "tests.sharepoint_company",
)

# No test fails because the machine is slow. The gate tries the same examples each time; people's own runs look for new.
settings.register_profile("people", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("gate", settings.get_profile("people"), derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "people")

# A run that was started in the background ignores SIGINT, and so would every program that its tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_ou_numbers = itertools.count(1)
_WORTH_DELETING = 1500


# What must be installed before a test can run, by the fixture that it uses; the names are markers.
NEEDED_BY_FIXTURE = {"domain": "samba", "corpora": "corpora", "other_program": "windows"}
# A test with one of these, or in one of these files, runs the program against servers behind real sockets.
STORY_FIXTURES = frozenset({"company", "runner", "check_env", "sharepoint_company", "lab", "toy"})
STORY_FILES = frozenset({"test_flows.py", "test_fuzz.py", "test_night_pace.py", "test_tenants.py"})
NEEDS = ("samba", "browser", "windows", "kerberos", "corpora", "graph_client")


# What takes more than about three seconds, by file or function: `scripts/test --fast` leaves it out.
SLOW_FILES = {
    *("test_bench.py", "test_kills.py", "test_night_costs.py", "test_night_growth.py", "test_night_storm.py"),
    *("test_nights_any.py", "test_photo_corpora.py", "test_sharepoint_restore.py"),
}
SLOW_WORDS = (
    "silent",
    "memory",
    "storm",
    "150_people_of_4_mb",
    "large_photos_behind_many",
    "runTest",
    "wherever_ctrl_c",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--needs FILE`, with which scripts/test learns what to install before these tests."""
    parser.addoption("--needs", metavar="FILE", help="write what the collected tests need into FILE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the domain controller and other installed parts, so that `-m "not samba"` is a quick run."""
    for item in items:
        if item.path.name in SLOW_FILES or any(word in item.name.split("[")[0] for word in SLOW_WORDS):
            item.add_marker("slow")
        if item.path.name in STORY_FILES or STORY_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("story")
        for name in getattr(item, "fixturenames", ()):
            if name in NEEDED_BY_FIXTURE:
                item.add_marker(NEEDED_BY_FIXTURE[name])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the needs of the tests that were collected, a name a line."""
    path = session.config.getoption("--needs")
    if path is not None:
        needs = {name for item in session.items for name in NEEDS if item.get_closest_marker(name)}
        Path(path).write_text("".join(f"{name}\n" for name in sorted(needs)), encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Keep lone surrogates of hostile names out of what a worker sends home: xdist ends where it meets one."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # a hook wrapper is sent what the hook gives
    report.sections = [(name, text.encode("utf-8", "replace").decode("utf-8")) for name, text in report.sections]
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DomainController]:
    """Give the process's domain controller; without root it is skipped, but never where CI is set."""
    reason = samba.why_not()
    if reason and os.environ.get("CI"):
        pytest.fail(f"The lab must run here, but {reason}.")
    if reason:
        pytest.skip(reason)
    address = loopback.claim()
    with DomainController(tmp_path_factory.mktemp("domain"), address=address.ip) as controller:
        yield controller
    address.release()


@pytest.fixture(scope="session")
def directory(domain: DomainController) -> Iterator[Directory]:
    """Give the hands that change the domain."""
    hands = Directory(domain)
    yield hands
    hands.close()


@pytest.fixture
def ou(directory: Directory) -> Iterator[str]:
    """Give the DN of a fresh OU, deleted with all its people afterwards: no test sees another's."""
    dn = directory.add_ou(f"Test {next(_ou_numbers)}")
    yield dn
    # Deleting a tree is one transaction, and quadratic: a big crowd stays, under names that are its own.
    if len(directory.search(dn, "(objectClass=*)", "cn")) <= _WORTH_DELETING:
        directory.delete(dn)
