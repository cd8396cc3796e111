"""Stories of `runs`: what an administrator sees of the runs that are kept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.company import Company, face
from tests.runner import CommandResult


def runs(company: Company, *options: str) -> CommandResult:
    """Type `runs`."""
    return company.runner.type("runs", "--env-file", str(company.runner.env_file()), *options)


def as_json(company: Company) -> list[dict[str, Any]]:
    """Type `runs --json`."""
    return list(json.loads(runs(company, "--json").out))


def test_each_run_is_one_line_with_time_result_counts_and_code(company: Company) -> None:
    company.team(2)
    company.sync("--dry-run")
    company.sync(days=1)
    company.sync("--only", "person000", days=1)

    lines = runs(company).out.splitlines()

    assert lines[0].split() == ["run", "started", "kind", "result", "counts", "exit"]
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(rf"  3  {when}  sync --only   finished  nothing to write     0", lines[1]), lines[1]
    assert re.fullmatch(rf"  2  {when}  sync          finished  2 created            0", lines[2]), lines[2]
    assert re.fullmatch(rf"  1  {when}  sync dry run  finished  2 to create          0", lines[3]), lines[3]


def test_programs_get_utc_and_everything_that_is_kept(company: Company) -> None:
    company.team(2)
    company.sync()

    (run,) = as_json(company)

    assert run["started"].endswith("Z")
    assert (run["run"], run["kind"], run["exit_code"], run["result"]) == (1, "sync", 0, "finished")
    assert run["totals"]["created"] == 2
    assert (run["dry_run"], run["chosen"], run["mode"]) == (False, False, "full")


def test_a_run_that_a_limit_stopped_says_so(company: Company) -> None:
    team = company.team(30)
    company.sync()
    for one in team:
        company.paint(one, face(f"new {one.name}"))
    assert company.sync(days=1).code == 4

    assert as_json(company)[0]["result"] == "stopped by a safety limit"
    assert runs(company).out.splitlines()[1].split()[-1] == "4"


def test_without_a_run_there_is_none_to_list(company: Company) -> None:
    told = runs(company)

    assert (told.code, told.out) == (0, "No run is kept yet.\n")
    assert as_json(company) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is opened by pty")
def test_a_terminal_of_80_columns_cuts_nothing(company: Company) -> None:
    import pty

    company.team(2)
    company.sync()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connector", "runs", "--env-file", str(company.runner.env_file())]
    done = subprocess.run(
        command, check=False, stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"}
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert done.returncode == 0, done.stderr
    assert "2 created" in shown
    assert "…" not in shown


def test_restore_last_takes_back_the_newest_run_that_wrote(company: Company) -> None:
    ada = company.hire("ada")
    bob = company.hire("bob", photo=None)
    company.sync()
    company.paint(bob, face("bob"))
    company.sync(days=1)
    company.sync(days=1)

    told = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--last", days=1)

    assert told.code == 0, told.err
    assert company.photo(bob) is None
    assert company.photo(ada) is not None


@pytest.mark.parametrize("more", [("--run", "1"), ("--person", "ada")], ids=["run", "person"])
def test_restore_last_stands_alone(company: Company, more: tuple[str, str]) -> None:
    company.hire("ada")
    company.sync()

    told = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--last", *more)

    assert told.code == 2
    assert "either --run N or --person P, or --last" in told.err


def test_restore_last_says_when_nothing_was_ever_written(company: Company) -> None:
    company.hire("ada", photo=None)
    company.sync()

    told = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--last")

    assert told.code == 2
    assert "No run that is kept has written anything" in told.err
