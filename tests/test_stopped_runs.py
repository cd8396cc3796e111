"""Runs that a safety limit stopped: the plan, with pictures, and the command to type."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from connector.ledger.runs import find_run
from connector.ledger.state import view_state
from connector.report import write_screen
from connector.report.from_ledger import load_report
from tests.company import Colleague, Company, face
from tests.runner import CommandResult

CALM = "No failures and no conflicts"


def repainted(company: Company, count: int) -> list[Colleague]:
    """Hire a team, sync it, and give everybody another photo."""
    team = company.team(count)
    company.sync()
    for one in team:
        company.paint(one, face(f"{one.name} anew"))
    return team


def in_all_formats(company: Company, folder: Path, *options: str) -> tuple[CommandResult, dict[str, str]]:
    """Type sync with a report in each format."""
    files = {ending: folder / f"told.{ending}" for ending in ("html", "csv", "txt")}
    wanted = [word for file in files.values() for word in ("--report", str(file))]
    told = company.sync(*options, *wanted, days=1)
    return told, {ending: file.read_text("utf-8-sig") for ending, file in files.items()}


def test_who_was_held_is_told_with_what_was_planned(company: Company, tmp_path: Path) -> None:
    team = repainted(company, 25)
    no_photo = company.hire("faceless", photo=None)

    told, formats = in_all_formats(company, tmp_path)

    assert told.code == 4
    assert told.report["plan"] == {"created": 0, "replaced": 25, "removed": 0}
    assert (told.totals["postponed"], told.totals["replaced"], told.totals["skipped"]) == (0, 0, 26)
    held = next(outcome for outcome in told.report["outcomes"] if outcome["upn"] == team[0].upn)
    assert (held["action"], held["reason"]) == ("skip", "safety-limit")
    assert (held["planned"], held["planned_reason"]) == ("replace", "source-changed")
    assert told.of(no_photo.upn) == ("skip", "no-photo")
    for text in (told.out, formats["txt"], formats["html"]):
        assert "25 photos would be replaced (nothing was written)" in " ".join(text.split())
        assert "no photo would be changed" not in text
        assert "Deferred to the next run" not in text.partition('id="data"')[0]
        assert CALM not in text
    row = next(row for row in csv.DictReader(io.StringIO(formats["csv"])) if row["upn"] == team[0].upn)
    assert (row["reason"], row["planned"], row["planned_reason"]) == ("safety-limit", "replace", "source-changed")


def test_the_stop_comes_first_with_three_commands_to_paste(company: Company, tmp_path: Path) -> None:
    repainted(company, 25)

    told, formats = in_all_formats(company, tmp_path)

    env = f"--env-file {company.runner.env_file()}"
    run = told.report["run"]
    for text in (told.out, formats["txt"], formats["html"].partition("Needs attention")[2]):
        assert f"photo-connector report {env} {run} --output plan.html" in text
        assert f"photo-connector sync {env} --dry-run" in text
        assert f"photo-connector sync {env} --approve {run}" in text
    kept = company.runner.type("report", "--env-file", str(company.runner.env_file()), str(run))
    assert "25 photos would be replaced" in " ".join(kept.out.split())


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["stopped", "dry"])
@pytest.mark.parametrize(("pictures", "shown"), [("changes", 50), ("conflicts", 0), ("none", 0)])
def test_the_plan_shows_both_photos_as_the_setting_allows(
    company: Company, tmp_path: Path, pictures: str, shown: int, options: tuple[str, ...]
) -> None:
    company.settings["REPORT_PICTURES"] = pictures
    repainted(company, 25)

    told, formats = in_all_formats(company, tmp_path, *options)

    assert told.code == 4
    assert formats["html"].count("data:image/jpeg") == shown
    if shown:
        assert '"Now","Would be"' in formats["html"]
    assert len(company.cloud.tenant.writes()) == 25


def test_whoever_was_held_is_written_by_the_next_run_that_may(company: Company) -> None:
    repainted(company, 25)
    company.sync(days=1)

    forced = company.sync("--force", days=1)

    assert (forced.code, forced.totals["replaced"]) == (0, 25), forced.err
    assert "plan" not in forced.report


def test_all_that_a_stopped_run_planned_for_a_person_is_forgotten_with_them(company: Company) -> None:
    team = repainted(company, 25)
    stopped = company.sync(days=1)

    forgotten = company.runner.type("forget", "--env-file", str(company.runner.env_file()), "--yes", team[0].upn)

    assert forgotten.code == 0, forgotten.err
    told = company.runner.type(
        "report", "--env-file", str(company.runner.env_file()), str(stopped.report["run"]), "--format", "json"
    )
    assert team[0].upn not in told.out
    assert '"replaced": 24' in told.out


# the cause, once


def seen_at(company: Company, run: int, width: int) -> str:
    """Return the report of a run as a terminal of this width shows it."""
    with view_state(company.runner.state) as state:
        row = find_run(state.db, run)
        assert row is not None
        out = io.StringIO()
        loaded = load_report(state.db, row, backups=state.backups, spool=state.spool, tenant="contoso.test")
        write_screen(loaded, Console(file=out, width=width), limit=20)
        return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_that_a_limit_stopped_says_its_cause_and_each_way_past_it_once(company: Company, width: int) -> None:
    repainted(company, 25)
    told = company.sync(days=1)

    shown = seen_at(company, told.report["run"], width)

    piped = told.out.partition("\n\nRun ")[0]
    for text in (" ".join(shown.partition("People")[0].split()), " ".join(piped.split())):
        assert text.casefold().count("stopped by a safety limit") == 1
        for once in ("SYNC_MAX_CHANGES_PERCENT allows", "--dry-run", "--approve", "--force", "nothing was written"):
            assert text.count(once) == 1, (once, text)
        assert "Otherwise raise SYNC_MAX_CHANGES_PERCENT; or, as a last resort, run once with --force." in text
    prose = [line for line in shown.splitlines() if "photo-connector" not in line]
    assert max(map(len, prose)) <= width
    assert told.err.strip().endswith(told.report["message"].rpartition("or raise")[2].strip())


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_that_could_not_read_says_its_cause_once(company: Company, width: int) -> None:
    repainted(company, 3)
    company.settings["LDAP_BASE_DN"] = f"OU=Gone,{company.ldap.tree.root}"

    told = company.sync(days=1)

    shown = seen_at(company, told.report["run"], width)
    assert told.code == 5
    for text in (shown, told.out, told.err):
        assert " ".join(text.split()).count("there is no such base DN") == 1
    assert told.report["notices"] == [f"No changes were made for the users of {company.ldap.tree.root}."]
    assert max(len(line.rstrip()) for line in shown.splitlines() if "photo-connector" not in line) <= width
