"""Stories of `runs`: what an administrator sees of the runs that are kept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.nights import Told
from tests.office import Office, face


def runs(office: Office, *options: str) -> Told:
    """Type `runs`."""
    return office.nights.type("runs", "--env-file", str(office.nights.env_file()), *options)


def as_json(office: Office) -> list[dict[str, Any]]:
    """Type `runs --json`."""
    return list(json.loads(runs(office, "--json").out))


def test_each_run_is_one_line_with_time_result_counts_and_code(office: Office) -> None:
    office.team(2)
    office.sync("--dry-run")
    office.sync(days=1)
    office.sync("--only", "person000", days=1)

    lines = runs(office).out.splitlines()

    assert lines[0].split() == ["run", "started", "kind", "result", "counts", "exit"]
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(rf"  3  {when}  sync --only   finished  nothing to write     0", lines[1]), lines[1]
    assert re.fullmatch(rf"  2  {when}  sync          finished  2 created            0", lines[2]), lines[2]
    assert re.fullmatch(rf"  1  {when}  sync dry run  finished  2 created            0", lines[3]), lines[3]


def test_programs_get_utc_and_everything_that_is_kept(office: Office) -> None:
    office.team(2)
    office.sync()

    (run,) = as_json(office)

    assert run["started"].endswith("Z")
    assert (run["run"], run["kind"], run["exit_code"], run["result"]) == (1, "sync", 0, "finished")
    assert run["totals"]["created"] == 2
    assert (run["dry_run"], run["chosen"], run["mode"]) == (False, False, "full")


def test_a_run_that_a_limit_stopped_says_so(office: Office) -> None:
    team = office.team(30)
    office.sync()
    for one in team:
        office.paint(one, face(f"new {one.name}"))
    assert office.sync(days=1).code == 4

    assert as_json(office)[0]["result"] == "stopped by a limit"
    assert runs(office).out.splitlines()[1].split()[-1] == "4"


def test_without_a_run_there_is_none_to_list(office: Office) -> None:
    told = runs(office)

    assert (told.code, told.out) == (0, "No run is kept yet.\n")
    assert as_json(office) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is opened by pty")
def test_a_terminal_of_80_columns_cuts_nothing(office: Office) -> None:
    import pty

    office.team(2)
    office.sync()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connector", "runs", "--env-file", str(office.nights.env_file())]
    done = subprocess.run(
        command, check=False, stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"}
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)

    assert done.returncode == 0, done.stderr
    assert "2 created" in shown
    assert "…" not in shown


def test_restore_last_takes_back_the_newest_run_that_wrote(office: Office) -> None:
    ada = office.hire("ada")
    bob = office.hire("bob", photo=None)
    office.sync()
    office.paint(bob, face("bob"))
    office.sync(days=1)
    office.sync(days=1)

    told = office.nights.type("restore", "--env-file", str(office.nights.env_file()), "--last", days=1)

    assert told.code == 0, told.err
    assert office.photo(bob) is None
    assert office.photo(ada) is not None


@pytest.mark.parametrize("more", [("--run", "1"), ("--person", "ada")], ids=["run", "person"])
def test_restore_last_stands_alone(office: Office, more: tuple[str, str]) -> None:
    office.hire("ada")
    office.sync()

    told = office.nights.type("restore", "--env-file", str(office.nights.env_file()), "--last", *more)

    assert told.code == 2
    assert "either --run N or --person P, or --last" in told.err


def test_restore_last_says_when_nothing_was_ever_written(office: Office) -> None:
    office.hire("ada", photo=None)
    office.sync()

    told = office.nights.type("restore", "--env-file", str(office.nights.env_file()), "--last")

    assert told.code == 2
    assert "No run that is kept has written anything" in told.err
