"""`sync --approve RUN` carries out the plan of that run as far as it is still true, and nothing else."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.company import Colleague, Company, anchor_of, face
from tests.runner import CommandResult

pytest_plugins = ("tests.fixtures_browser",)

STRUCK_OUT, CHANGED = 10, 5
TEAM = 21


def new_photos(company: Company, team: list[Colleague], what: object = "anew") -> None:
    """Give everybody another photo, as HR does."""
    for one in team:
        company.paint(one, face(f"{one.name} {what}", 64))


@pytest.fixture
def team(company: Company) -> list[Colleague]:
    """Hire a team, sync it, and give everybody another photo: more than a safety limit allows."""
    company.cloud.set(reencode="comment")
    team = [company.hire(f"person{number:03}", photo=face(number, 64)) for number in range(TEAM)]
    company.hire("faceless", photo=None)
    assert company.sync().code == 0
    new_photos(company, team)
    return team


def writes(company: Company) -> int:
    """Count what was written to the cloud."""
    return len(company.cloud.tenant.writes())


def run_of(told: CommandResult) -> str:
    """Return the number of a run."""
    return str(told.report["run"])


def csv_of(company: Company, run: str, folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """Write the CSV report of a run; return its path and its rows."""
    path = folder / f"plan-{run}.csv"
    told = company.runner.type("report", "--env-file", str(company.runner.env_file()), run, "--output", str(path))
    assert told.code == 0, told.err
    return path, list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def save_rows(path: Path, rows: list[dict[str, str]], *, separator: str = ",", encoding: str = "utf-8-sig") -> None:
    """Save rows as a spreadsheet does."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter=separator, lineterminator="\r\n")
    table.writeheader()
    table.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))


def test_600_replacements_are_approved_with_ten_struck_out_and_five_changed_meanwhile(
    company: Company, tmp_path: Path
) -> None:
    company.cloud.set(reencode="comment")
    team = [company.hire(f"person{number:03}", photo=face(number % 50, 48)) for number in range(600)]
    company.settings["PLACEHOLDER_PEOPLE"] = "0"
    assert company.sync().totals["created"] == 600
    for number, one in enumerate(team):
        company.paint(one, face(f"new {number % 50}", 48))
    before = writes(company)

    dry = company.sync("--dry-run", days=1)

    assert (dry.code, dry.totals["replaced"], writes(company)) == (4, 600, before)
    assert f"sync --env-file {company.runner.env_file()} --approve {run_of(dry)}" in dry.out
    assert "Check again" not in dry.out, "a dry run needs no other one"
    path, rows = csv_of(company, run_of(dry), tmp_path)
    struck = {one.upn for one in team[100 : 100 + STRUCK_OUT]}
    save_rows(path, [row for row in rows if row["upn"] not in struck])
    painted, painted_too, edited, cleared, renewed = team[:CHANGED]
    company.paint(painted, face("another one", 48))
    company.paint(painted_too, face("yet another one", 48))
    company.cloud.tenant.set_photo(edited.account_id, face("a selfie"))
    company.paint(cleared, None)
    company.cloud.tenant.remove_account(renewed.account_id)
    company.cloud.tenant.add_account(
        renewed.upn, mail=renewed.upn, immutable_id=anchor_of(renewed.entry.guid), synced=True
    )

    done = company.sync("--approve", run_of(dry), "--except", str(path), days=1)

    assert (done.code, writes(company) - before) == (0, 585), done.err
    assert done.totals["replaced"] == 585
    assert {name: done.reasons()[name] for name in ("plan-outdated", "not-approved")} == {
        "plan-outdated": CHANGED,
        "not-approved": STRUCK_OUT,
    }
    assert {one.upn for one in team if done.of(one.upn) == ("skip", "not-approved")} == struck
    assert {one.upn for one in team if done.of(one.upn) == ("skip", "plan-outdated")} == {
        one.upn for one in team[:CHANGED]
    }
    assert (done.totals["failed"], done.totals["postponed"]) == (0, 0)


def test_the_report_of_an_approved_run_names_the_plan_and_the_limits_that_it_passed(
    company: Company, team: list[Colleague], tmp_path: Path
) -> None:
    stopped = company.sync(days=1)
    assert (stopped.code, writes(company)) == (4, TEAM)
    path, rows = csv_of(company, run_of(stopped), tmp_path)
    assert len(rows) == TEAM + 1, "a report tells of people outside its plan, too"

    done = company.sync("--approve", run_of(stopped), "--except", str(path), days=1)

    assert (done.code, done.totals["replaced"], writes(company)) == (0, TEAM, 2 * TEAM), done.err
    assert done.report["approves"] == stopped.report["run"]
    told = " ".join(done.report["notices"])
    assert f"Carries out the plan of run {run_of(stopped)}" in told
    assert f"Safety limit passed by the approval of run {run_of(stopped)}: {TEAM} photos would be replaced" in told
    quiet = company.sync(days=1)
    assert (quiet.code, quiet.totals["unchanged"], writes(company)) == (0, TEAM, 2 * TEAM)
    assert "approves" not in quiet.report


def test_nobody_outside_the_plan_is_written_to_or_told_as_failed(company: Company) -> None:
    company.cloud.set(reencode="comment")
    first = company.hire("anna")
    dry = company.sync("--dry-run")
    newcomer = company.hire("newcomer")

    done = company.sync("--approve", run_of(dry), days=1)

    assert (done.code, done.of(first.upn)) == (0, ("create", "first-upload")), done.err
    assert done.of(newcomer.upn) is None
    assert "1 person outside the plan is due" in " ".join(done.report["notices"])
    assert [write.account_id for write in company.cloud.tenant.writes()] == [first.account_id]
    assert company.sync(days=1).of(newcomer.upn) == ("create", "first-upload")


def test_an_approval_passes_the_limits_that_its_run_named_and_no_others(
    company: Company, team: list[Colleague]
) -> None:
    dry = company.sync("--dry-run", days=1)
    company.settings["SYNC_MAX_OVERWRITES"] = "0"
    company.settings["SYNC_MAX_REMATCHES"] = "0"
    for one in team[:1]:
        company.cloud.tenant.remove_account(one.account_id)

    stopped = company.sync("--approve", run_of(dry), days=1)

    assert (stopped.code, writes(company)) == (4, TEAM)
    assert "1 people changed or lost their account" in stopped.err
    assert "photos would be replaced" not in stopped.err
    assert f"{TEAM - 1} photos would be replaced" in " ".join(stopped.report["notices"])

    done = company.sync("--approve", run_of(stopped), days=1)

    assert (done.code, done.totals["replaced"], writes(company)) == (0, TEAM - 1, 2 * TEAM - 1), done.err


def test_an_approved_run_ends_at_its_upload_limit_and_the_plan_can_be_approved_again(
    company: Company, team: list[Colleague]
) -> None:
    dry = company.sync("--dry-run", days=1)
    company.settings["SYNC_MAX_UPLOADS"] = "15"

    part = company.sync("--approve", run_of(dry), days=1)
    rest = company.sync("--approve", run_of(dry), days=1)

    assert (part.code, part.totals["replaced"], part.totals["postponed"]) == (7, 15, TEAM - 15)
    assert (rest.code, rest.totals["replaced"], rest.reasons()["plan-outdated"]) == (0, TEAM - 15, 15), rest.err
    assert writes(company) == 2 * TEAM


def test_what_was_planned_for_a_target_that_is_not_set_any_more_is_told(
    company: Company, team: list[Colleague]
) -> None:
    dry = company.sync("--dry-run", days=1)
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3", isolation_level=None)) as db:
        db.execute("UPDATE plans SET target = 'sharepoint' WHERE run = ?", (dry.report["run"],))

    done = company.sync("--approve", run_of(dry), days=1)

    assert (done.code, writes(company)) == (0, TEAM)
    assert f"{TEAM} planned writes to sharepoint are not done" in " ".join(done.report["notices"])


def test_a_stand_by_server_writes_no_plan(company: Company, team: list[Colleague]) -> None:
    dry = company.sync("--dry-run", days=1)
    company.settings["SYNC_STAGING"] = "true"

    told = company.sync("--approve", run_of(dry), days=1)

    assert (told.code, writes(company)) == (0, TEAM), told.err
    assert "SYNC_STAGING is on" in " ".join(told.report["notices"])


def test_the_options_that_shaped_a_plan_shape_the_run_that_carries_it_out(company: Company) -> None:
    company.cloud.set(reencode="comment")
    anna, bert = company.team(2)
    company.sync()

    resent = company.sync("--approve", run_of(company.sync("--dry-run", "--resend", days=1)))
    assert (resent.code, resent.reasons()) == (0, {"resent": 2}), resent.err

    cleared = company.sync("--approve", run_of(company.sync("--dry-run", "--only", anna.upn, "--clear", days=1)))
    assert (cleared.code, cleared.reasons()) == (0, {"cleared-by-admin": 1}), cleared.err
    assert (company.photo(anna), company.photo(bert) is None) == (None, False)


@pytest.mark.parametrize(
    "written",
    [
        "one a line",
        "upper case",
        "account ids",
        "semicolons",
        "Excel's ANSI",
        "UTF-16",
        "a page's columns",
        "another heading",
    ],
)
def test_only_who_is_still_in_the_file_is_written_to(company: Company, tmp_path: Path, written: str) -> None:
    company.cloud.set(reencode="comment")
    *kept, struck_out = [company.hire(f"person{number:03}", photo=face(number, 64)) for number in range(3)]
    company.hire("faceless", photo=None)
    dry = company.sync("--dry-run")
    path, rows = csv_of(company, run_of(dry), tmp_path)
    stays = {"faceless@contoso.test", *(one.upn for one in kept)}
    rows = [row | {"name": "Žoë"} for row in rows if row["upn"] in stays]
    assert len(rows) == 3, "a report tells of people outside its plan, too"
    lines = {
        "one a line": "\r\n".join(["# only these", *(one.upn for one in kept), ""]),
        "upper case": "\n".join(one.upn.upper() for one in kept),
        "account ids": "\n".join(one.account_id for one in kept),
    }
    if written in lines:
        path.write_text(lines[written], "utf-8")
    elif written == "semicolons":
        save_rows(path, rows, separator=";")
    elif written == "Excel's ANSI":
        save_rows(path, rows, separator=";", encoding="cp1252")
    elif written == "UTF-16":
        save_rows(path, rows, separator="\t", encoding="utf-16")
    elif written == "another heading":
        save_rows(path, [{name.upper(): row[name] for name in ("upn", "target")} for row in rows], separator=";")
        path.write_bytes(b"\xef\xbb\xbfsep=;\r\n" + path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    else:
        save_rows(path, [{name: row[name] for name in ("upn", "person_id", "target")} for row in rows])

    done = company.sync("--approve", run_of(dry), "--except", str(path))

    assert (done.code, done.totals["created"], done.of(struck_out.upn)) == (0, 2, ("skip", "not-approved")), done.err
    assert {write.account_id for write in company.cloud.tenant.writes()} == {one.account_id for one in kept}


@pytest.mark.parametrize(
    ("content_bytes", "said"),
    [
        (b"person000@contoso.test\nstranger@contoso.test\n", "not in run 1: stranger@contoso.test."),
        (b"", "names no user"),
        (b"# nobody\n\n", "names no user"),
        (b"\x89PNG\r\n\x1a\n\0\0", "it is no text"),
        (b"a,b\r\n1,2\r\n", "none of the columns person_id, account_id, upn"),
        (b"upn,target\r\nstranger@contoso.test,graph\r\n", "not in run 1: stranger@contoso.test."),
        (b"upn,target\r\nperson000@contoso.test,sharepoint\r\n", "names no user"),
        (b"upn,note\r\n,somebody\r\n", "a row without a name"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_and_nothing_is_contacted(
    company: Company, tmp_path: Path, content_bytes: bytes | None, said: str
) -> None:
    company.hire("person000")
    dry = company.sync("--dry-run")
    path = tmp_path / "kept.csv"
    if content_bytes is not None:
        path.write_bytes(content_bytes)
    company.cloud.log.clear()

    told = company.sync("--approve", run_of(dry), "--except", str(path))

    assert (told.code, told.report) == (2, {})
    assert said in told.err
    assert list(company.cloud.requests) == []


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("999", "There is no run 999"),
        ("wrote", "it was neither a dry run nor stopped by a safety limit"),
        ("restore", "it was a restore"),
        ("empty", "is empty: no photo would be written"),
        ("old", "is older than 7 days"),
        ("before version 9", "it ended before its plan was whole, or an older version made it"),
        ("unfinished", "it did not finish"),
    ],
)
def test_a_run_without_a_plan_to_approve_is_refused(company: Company, which: str, said: str) -> None:
    company.cloud.set(reencode="comment")
    company.hire("anna")
    number, days, ledger = which, 0.0, company.runner.state / "ledger.sqlite3"
    if which == "restore":
        company.sync()
        company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--run", "1", "--dry-run")
        number = "2"
    elif which == "wrote":
        number = run_of(company.sync())
    elif which == "empty":
        company.sync()
        number = run_of(company.sync("--dry-run", days=1))
    else:
        dry = company.sync("--dry-run")
        number, days = (which if which == "999" else run_of(dry)), 7.1 if which == "old" else 0
    change = {
        "before version 9": "DELETE FROM run_plans",
        "unfinished": "UPDATE runs SET exit_code = NULL, finished = ''",
    }.get(which)
    if change:
        with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
            db.execute(change)
    company.cloud.log.clear()

    told = company.sync("--approve", number, days=days)

    assert (told.code, told.report) == (2, {})
    assert said in told.err
    assert list(company.cloud.requests) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--approve", "1", "--dry-run"),
        ("--approve", "1", "--full"),
        ("--approve", "1", "--resend"),
        ("--approve", "1", "--force"),
        ("--approve", "1", "--only", "anna@contoso.test"),
        ("--approve", "1", "--only", "anna@contoso.test", "--overwrite"),
        ("--approve", "1", "--only", "anna@contoso.test", "--clear"),
        ("--except", "kept.csv"),
        ("--approve", "one"),
    ],
)
def test_options_that_do_not_go_with_an_approval_are_refused(company: Company, options: tuple[str, ...]) -> None:
    company.sync("--dry-run")
    company.cloud.log.clear()

    told = company.sync(*options)

    assert (told.code, told.report) == (2, {})
    assert options[0] in told.err
    assert list(company.cloud.requests) == []


@pytest.mark.browser
def test_what_the_page_saves_is_what_is_carried_out(
    company: Company, tmp_path: Path, open_file: Callable[..., Any]
) -> None:
    kept, struck_out = company.hire("left;=1+1"), company.hire("bob")
    plan, saved = tmp_path / "plan.html", tmp_path / "plan-1.csv"
    dry = company.sync("--dry-run", "--report", str(plan))
    page = open_file(plan).page
    page.get_by_label(f"Approve {struck_out.name}").uncheck()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save the list").click()
    saving.value.save_as(saved)
    assert page.locator("#approve").inner_text().endswith(f"--approve {run_of(dry)} --except {saved.name}")
    assert "left;'=1+1" in saved.read_text("utf-8-sig"), "no part of a cell is a formula, as in the CSV report"

    done = company.sync("--approve", run_of(dry), "--except", str(saved))

    assert (done.code, done.of(kept.upn)) == (0, ("create", "first-upload")), done.err
    assert (done.of(struck_out.upn), company.photo(struck_out)) == (("skip", "not-approved"), None)


def test_the_plan_of_a_dry_run_is_forgotten_with_its_people(company: Company, team: list[Colleague]) -> None:
    dry = company.sync("--dry-run", "--only", team[0].upn, days=1)
    ledger = company.runner.state / "ledger.sqlite3"
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("SELECT COUNT(*) FROM plans").fetchone() == (1,)

    forgotten = company.runner.type("forget", "--env-file", str(company.runner.env_file()), "--yes", team[0].upn)

    assert forgotten.code == 0, forgotten.err
    with closing(sqlite3.connect(ledger)) as db:
        assert db.execute("SELECT COUNT(*) FROM plans").fetchone() == (0,)
        assert team[0].upn not in db.execute("SELECT options FROM run_plans").fetchone()[0]
    assert company.sync("--approve", run_of(dry)).code == 2
