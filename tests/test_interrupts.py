"""Interrupt a run in every function that it calls: it is stored as finished and reported, whenever Ctrl+C comes.

No clock decides when the signal comes: it is sent when a function of the program is entered for the first time.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

import pytest

from connector.interrupts import keep_signals, stop_signals, until_interrupted
from tests.company import Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult

# `INTERRUPT_EVERYWHERE=1` tries every function of the program; the gate tries those that begin and end a run.
EVERYWHERE = os.environ.get("INTERRUPT_EVERYWHERE") == "1"
ENDS = ("sync.run", "sync.outcomes", "ledger.runs", "ledger.approval", "report.from_ledger", "cli.options", "notify")


def name_of(frame: FrameType) -> str:
    """Return module and name of a function of the program; empty for any other."""
    module = str(frame.f_globals.get("__name__", ""))
    return f"{module.removeprefix('connector.')}:{frame.f_code.co_name}" if module.startswith("connector.") else ""


@contextmanager
def watched(note: Callable[[str], None]) -> Iterator[None]:
    """Pass on the name of each function of the program that this thread enters."""

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and (name := name_of(frame)):
            note(name)

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


def functions_of(company: Company, *options: str) -> list[str]:
    """Live through a night and return what it calls from the begin of its row in the database on, in this order."""
    called: dict[str, None] = {}

    def note(name: str) -> None:
        called[name] = None

    with watched(note):
        assert company.sync(*options).code == 0
    names = list(called)
    after = names[names.index("ledger.runs:begin_run") :]
    return [name for name in after if EVERYWHERE or name.partition(":")[0].startswith(ENDS)]


def interrupted_in(company: Company, function: str, *options: str) -> CommandResult:
    """Type sync, and Ctrl+C twice when this function is entered for the first time."""
    seen: list[str] = []

    def note(name: str) -> None:
        if name == function and not seen:
            seen.append(name)
            sys.setprofile(None)
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                signal.raise_signal(signal.SIGINT)

    with watched(note):
        told = company.sync(*options)
    assert seen == [function] or EVERYWHERE  # what was interrupted before may have left nothing to call it for
    return told


def last_run(company: Company) -> tuple[int, str, int]:
    """Return number, end and exit code of the newest run."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db:
        row = db.execute("SELECT id, finished, exit_code FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    return row[0], row[1] or "", row[2]


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["sync", "dry-run"])
def test_a_run_is_stored_and_reported_wherever_ctrl_c_finds_it(company: Company, options: tuple[str, ...]) -> None:
    team = company.team(2)
    company.sync()
    company.paint(team[0], face("anew"))
    functions = functions_of(company, *options)
    wrong = {}

    for number, function in enumerate(functions):
        company.paint(team[number % 2], face(f"{number}"))
        told = interrupted_in(company, function, *options)
        run, finished, code = last_run(company)
        is_told = f"Run {run} " in told.out and (code != 130 or "interrupted" in told.out)
        if not (finished and is_told and told.code == code in (0, 130)):
            wrong[function] = (told.code, code, finished, told.out[-300:], told.err[-300:])

    assert len(functions) > 30
    assert wrong == {}
    assert company.sync("--full").code == 0
    assert company.runner.type("report", "--env-file", str(company.runner.env_file())).code == 0
    if not options:
        assert len(company.cloud.tenant.photos()) == len(team)


def test_ctrl_c_in_a_function_that_sqlite_calls_is_no_internal_error() -> None:
    def work() -> None:
        with closing(sqlite3.connect(":memory:")) as db:
            db.create_function("interrupting", 0, lambda: signal.raise_signal(signal.SIGINT))
            db.execute("SELECT interrupting()")

    with stop_signals():
        assert until_interrupted(work)


def test_a_run_that_ends_by_itself_while_ctrl_c_comes_is_reported_with_its_own_code(company: Company) -> None:
    company.team(2)
    company.cloud.fail_next(r"POST .*batch", Fault(status=429, retry_after="3000"), times=-1)
    told = interrupted_in(company, "sync.run:_finish")
    assert (told.code, last_run(company)[2]) == (5, 5), told.err
    assert "the service asked to wait 3000 seconds more" in told.out


def test_ctrl_c_that_is_lost_in_the_deletion_of_an_object_is_sent_again() -> None:
    class Interrupting:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def work() -> None:
        one = Interrupting()
        del one
        for _ in range(3000):  # a bound, of half a minute, for what must come at once
            time.sleep(0.01)

    with stop_signals():
        assert until_interrupted(work)


def test_a_second_ctrl_c_lets_the_first_one_finish_what_it_began() -> None:
    done: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            done.append("results of running calls")
            raise

    with stop_signals():
        assert until_interrupted(work)
    assert done == ["results of running calls"]


def test_a_signal_that_was_kept_ends_the_work_that_follows() -> None:
    done: list[str] = []
    with stop_signals():
        keep_signals()
        signal.raise_signal(signal.SIGTERM)
        assert until_interrupted(lambda: done.append("work"))
    assert done == []


def test_after_a_command_ctrl_c_is_as_it_was_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with stop_signals():
        keep_signals()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_another_exception_that_python_drops_goes_where_it_went_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: dropped.append(lost.exc_type))
    with stop_signals():
        one = Broken()
        del one
    assert dropped == [ValueError]
