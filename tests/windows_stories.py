# ruff: noqa: F811 - a fixture that is imported and asked for by name
"""More stories for CPython for Windows, run by hand: `scripts/test-windows`. They take minutes under Wine.

They are not part of the gate: on a busy machine one of them takes a minute or more.
"""

from __future__ import annotations

import pytest

from tests.lab import windows
from tests.lab.graph import Fault
from tests.office import face
from tests.test_windows import office, wait_until  # noqa: F401 - a fixture

pytestmark = [pytest.mark.windows, pytest.mark.filterwarnings("ignore::pytest.PytestAssertRewriteWarning")]


def test_a_second_run_gives_way_to_the_first(office):
    office.team(2)
    office.cloud.fail_next(r"POST .*batch", Fault(kind="slow", seconds=120), times=-1)
    first, _ = office.nights.start()
    try:
        wait_until(lambda: any("delta" in request.path for request in office.cloud.requests), first)
        second = office.sync()
    finally:
        first.kill()
        first.communicate(timeout=60)
    assert second.code == 6, second.err


def test_files_that_another_program_holds_are_notices_and_the_run_goes_on(office):
    one, *_ = office.team(2)
    assert office.sync().code == 0
    office.paint(one, face("somebody new"))
    spool = office.nights.state / "spool"
    left = spool / ("0" * 64)
    left.write_bytes(face("left over"))
    metrics = office.nights.folder / "photos.prom"
    metrics.write_text("", encoding="utf-8")
    office.settings["METRICS_FILE"] = str(metrics)
    with windows.hold(left, "r"), windows.hold(metrics, "r"):
        held = office.sync()
    assert (held.code, held.of(one.upn)) == (0, ("replace", "source-changed")), held.err
    assert any("spool" in notice for notice in held.report["notices"]), held.report["notices"]
    assert "photos.prom" in held.err
    assert "another program has it open" in held.err


def test_a_report_that_is_open_in_another_program_is_named_with_what_to_do(office):
    office.team(1)
    report = office.nights.folder / "report.csv"
    report.write_text("old", encoding="utf-8")
    with windows.hold(report, "r"):
        told = office.nights.type("sync", "--env-file", str(office.nights.env_file()), "--report", str(report))
    assert "report.csv" in told.err
    assert "close it there" in told.err.lower()
    assert "Traceback" not in told.err
    assert len(office.cloud.tenant.writes()) == 1, "the run itself was done"


def test_forget_names_a_report_that_is_held_and_does_it_on_the_next_try(office):
    one, *_ = office.team(2)
    assert office.sync().code == 0
    kept = next((office.nights.state / "reports").glob("run-*.html"))
    command = ("forget", "--env-file", str(office.nights.env_file()), "--yes", one.upn)
    with windows.hold(kept, "r"):
        first = office.nights.type(*command)
    assert first.code != 0
    assert kept.name in first.err
    second = office.nights.type(*command)
    assert second.code == 0, second.err
    assert not kept.exists() or one.upn not in kept.read_text("utf-8")


def test_arguments_are_taken_as_they_are_typed(office):
    office.team(1)
    assert office.sync().code == 0
    for name in ("*", "%USERNAME%", "?ada"):
        told = office.nights.type("history", "--env-file", str(office.nights.env_file()), name)
        assert told.code == 2
        assert name in told.err


def test_output_to_nul_is_no_terminal_and_pipes_carry_utf_8(office):
    program = (
        "import sys; from connector.cli.console import is_terminal;"
        "print(is_terminal(open('NUL', 'w')), is_terminal(sys.stdout))"
    )
    assert windows.python("-c", program, cwd=office.nights.folder).out.split() == ["False", "False"]
    checked = office.nights.type("check", "--env-file", str(office.nights.env_file()))
    assert "\ufffd" not in checked.out
    assert "✓" in checked.out


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('STATE_DIR="C:\\new\\tenant"', "STATE_DIR"),
        ("STATE_DIR=%ProgramData%\\photos", "ProgramData"),
        ("STATE_DIR=$env:ProgramData\\photos", "ProgramData"),
        ("STATE_DIR=photos", "STATE_DIR"),
    ],
)
def test_a_path_that_windows_habits_make_wrong_is_a_problem_of_the_settings(office, line, word):
    path = office.nights.env_file()
    lines = [kept for kept in path.read_text("utf-8").splitlines() if not kept.startswith("STATE_DIR")]
    path.write_text("\n".join([*lines, line]) + "\n", encoding="utf-8")
    told = office.nights.type("sync", "--env-file", str(path), "--dry-run")
    assert told.code == 2, told.err
    assert word in told.err


def test_the_log_goes_on_while_somebody_reads_it(office):
    office.team(1)
    assert office.sync().code == 0
    log = next((office.nights.state / "logs").glob("*.log"))
    log.write_bytes(log.read_bytes() + b"x" * 6_000_000)  # due for rotation
    with windows.hold(log, "rw"):
        assert office.sync().code == 0
    assert b"run" in log.read_bytes()[-3000:]
