"""What somebody at a terminal sees, what a pipe carries, and a reader that closes it."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from connector.cli.broken_pipe import BrokenPipeWriter
from connector.cli.console import left
from connector.errors import ConnectorError
from connector.model import Action, Reason
from connector.report import write_screen
from tests.company import Company
from tests.report_stories import SCRIPT_NAME, a_run, an_outcome

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals and /dev/full are POSIX's")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3|4|9|10)\d(?:;\d+)*m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def command(company: Company, name: str, *words: str) -> list[str]:
    """Return a command line against the company."""
    return [sys.executable, "-m", "connector", name, "--env-file", str(company.runner.env_file()), *words]


def at_terminal(words: list[str], **environ: str) -> tuple[int, str]:
    """Run a command at a terminal of 100 columns; return its exit code and all that the terminal was sent."""
    import pty

    near, far = pty.openpty()
    usual = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "PYTEST_CURRENT_TEST")}
    process = subprocess.Popen(
        words, stdin=far, stdout=far, stderr=far, env={**usual, "TERM": "xterm", "COLUMNS": "100", **environ}
    )
    os.close(far)
    told = bytearray()
    while True:
        try:
            told += os.read(near, 65536)
        except OSError:  # Linux says so when the last writer is gone
            break
    os.close(near)
    return process.wait(), told.decode("utf-8")


def hung_up(words: list[str]) -> tuple[int, str]:
    """Run a command whose reader is gone before the first word; return its exit code and what it complained of."""
    near, far = os.pipe()
    os.close(near)
    done = subprocess.run(words, stdout=far, stderr=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    os.close(far)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Warning: AZURE_CLIENT_SECRET")]
    return done.returncode, "\n".join(complaints)


# a terminal


@needs_posix
def test_a_night_shows_its_phases_and_then_a_table_that_stays(company: Company) -> None:
    company.team(3)

    code, told = at_terminal(command(company, "sync"))

    assert code == 0
    for phase in ("accounts", "people", "asking", "uploading", "reading back"):
        assert phase in told
    assert re.search(r"3 of 3 +[\d,.]+/s", CONTROL.sub("", told)), "a phase tells its count and its rate"
    left_standing = told.rpartition("\x1b[2K")[2]
    assert "Finished" in left_standing, "the bars are gone before the report is written"
    assert re.search(r"People +Created", CONTROL.sub("", left_standing))
    assert "first-upload" in left_standing
    assert f"photo-connector report --env-file {company.runner.env_file()} 1 --output report.html" in left_standing


@needs_posix
def test_no_color_is_respected(company: Company) -> None:
    company.team(1)

    code, told = at_terminal(command(company, "sync"), NO_COLOR="1")

    assert code == 0
    assert "Finished" in told
    assert COLOUR.search(told) is None


@needs_posix
def test_a_report_at_a_terminal_names_everybody_and_has_colours(company: Company) -> None:
    company.team(25)
    company.runner.sync()

    code, told = at_terminal(command(company, "report"))

    assert code == 0
    assert COLOUR.search(told)
    assert all(f"person{number:03}" in told for number in range(25))


@needs_posix
def test_what_is_asked_for_by_format_has_no_tables(company: Company) -> None:
    company.team(1)
    company.runner.sync()

    code, told = at_terminal(command(company, "report", "--format", "text"))

    assert code == 0
    assert "\x1b" not in told


def test_a_pipe_gets_plain_lines(company: Company) -> None:
    company.team(2)

    done = subprocess.run(command(company, "sync"), capture_output=True, text=True, encoding="utf-8", check=False)

    assert done.returncode == 0, done.stderr
    assert "  Created " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "reading back" not in done.stdout + done.stderr


def test_the_screen_tells_who_needs_attention_what_to_do_and_how_many_more() -> None:
    out = io.StringIO()
    failures = [an_outcome(Action.FAIL, Reason.THROTTLED, number=number) for number in range(30)]
    strange = an_outcome(Action.SKIP, Reason.NO_PHOTO, person=f"CN={SCRIPT_NAME}\x1b[2J[red]", upn="")

    write_screen(a_run([*failures, strange]), Console(file=out, width=100), limit=20)

    told = out.getvalue()
    assert "Failed: Throttled; retries exhausted, 30 people" in told
    assert "What to do: Nothing to do; the next run tries again." in told
    assert told.count("<person") == 20
    assert "… and 10 more" in told
    assert SCRIPT_NAME not in told, "who is well is only counted"
    write_screen(a_run([strange]), Console(file=out, width=100, force_terminal=True))
    assert f"{SCRIPT_NAME}\ufffd[2J[red]" in out.getvalue(), "a name is neither markup nor a command to the terminal"


def test_a_screen_tells_a_brake_and_a_run_that_never_began() -> None:
    out = io.StringIO()

    write_screen(
        a_run([], exit_code=4, totals={}, notices=(), message="800 of 900 would be replaced."),
        Console(file=out, width=80),
        limit=20,
    )

    assert out.getvalue().startswith("Stopped by a safety limit\n")
    assert "800 of 900 would be replaced." in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (59.4, "59 s"), (61, "1 min"), (3540, "59 min"), (3600, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_the_time_left_is_told_as_people_say_it(seconds: float, told: str) -> None:
    assert left(seconds) == told


# a reader that hangs up


def test_a_reader_that_hangs_up_ends_the_telling_and_not_the_night(company: Company, tmp_path: Path) -> None:
    company.team(3)
    page = tmp_path / "night.html"

    code, complaint = hung_up(command(company, "sync", "--report", str(page)))

    assert (code, complaint) == (0, "")
    assert page.exists()
    assert company.runner.sync().reasons() == {}, "everybody was done"


def test_a_night_keeps_its_own_code_when_the_reader_hangs_up(company: Company) -> None:
    company.team(3)
    company.settings["SYNC_MAX_UPLOADS"] = "1"

    assert hung_up(command(company, "sync")) == (7, "")


def test_looking_back_for_a_reader_that_hangs_up_is_no_fault(company: Company) -> None:
    company.hire("anna")
    company.runner.sync()

    for form in ("text", "html"):
        assert hung_up(command(company, "report", "--format", form)) == (0, "")
    assert hung_up(command(company, "history", "anna@contoso.test")) == (0, "")


def test_the_doctor_goes_on_for_his_verdict_when_the_reader_hangs_up(company: Company) -> None:
    company.hire("anna")
    company.settings["LDAP_PASSWORD"] = "mistyped-0815"

    assert hung_up(command(company, "check")) == (5, "")
    assert hung_up(command(company, "check", "--json")) == (5, "")


def test_both_outputs_may_be_closed_by_their_reader(company: Company) -> None:
    company.team(1)
    near, far = os.pipe()
    os.close(near)

    done = subprocess.run(command(company, "sync", "--verbose"), stdout=far, stderr=far, check=False)

    os.close(far)
    assert done.returncode == 0


@needs_posix
def test_an_output_that_was_never_open_is_no_fault(company: Company) -> None:
    company.team(1)

    done = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command(company, "sync")], check=False)

    assert done.returncode == 0


@needs_posix
def test_an_output_without_room_is_named_and_the_night_keeps_its_code(company: Company, tmp_path: Path) -> None:
    company.team(1)
    page = tmp_path / "night.html"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command(company, "sync", "--report", str(page)), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
        asked = subprocess.run(command(company, "report"), stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "Warning: The output could not be written: No space left on device." in done.stderr
    assert page.exists()
    assert asked.returncode == 1, "a report that nobody got is not well"
    assert "The output could not be written: No space left on device." in asked.stderr


class Broken(io.RawIOBase):
    """Fail as a file does whose reader is gone, or whose disk is full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.tries = number, 0

    def writable(self) -> bool:
        return True

    def write(self, _content: object) -> int:
        self.tries += 1
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EINVAL], ids=["POSIX", "Windows"])
def test_a_line_that_broke_takes_everything_and_tries_no_more(number: int) -> None:
    way = Broken(number)
    out = io.TextIOWrapper(io.BufferedWriter(BrokenPipeWriter(way)), encoding="utf-8")

    for _ in range(3):
        out.write("word " * 10_000)
        out.flush()

    assert way.tries == 1


def test_another_trouble_is_told_once() -> None:
    way = Broken(errno.ENOSPC)
    out = io.TextIOWrapper(io.BufferedWriter(BrokenPipeWriter(way)), encoding="utf-8")

    out.write("a word")
    with pytest.raises(ConnectorError, match="could not be written"):
        out.flush()
    out.flush()

    assert way.tries == 1
