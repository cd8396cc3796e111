"""What the administrator sees at 80 and 120 columns: nothing cut, advice that is in time, and each piece of it once."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import pytest
from rich.console import Console
from rich.progress import Progress

from connector.cli.console import RateColumn, progress_columns
from connector.decide.brakes import Limits, PlanCounts, check_brakes, way_past
from connector.doctor import CheckOutput, Finding, Status
from connector.forget import ForgetResult, as_lines
from connector.model import Action, Outcome, Reason, RunReport
from connector.report import write_report, write_screen
from tests.office import Office, face
from tests.report_stories import a_run, an_outcome

LATE = "--only PERSON --overwrite"


def in_format(report: RunReport, form: str) -> str:
    """Return the report as text, HTML or CSV, on one line."""
    out = io.StringIO()
    write_report(report, form, out)
    return " ".join(out.getvalue().split())


def screen(report: RunReport, width: int) -> str:
    """Return the report as a terminal of this width shows it."""
    out = io.StringIO()
    write_screen(report, Console(file=out, width=width), limit=20)
    return out.getvalue()


# advice in time


@pytest.mark.parametrize("form", ["text", "html", "csv"])
@pytest.mark.parametrize("action", [Action.REPLACE, Action.CREATE])
def test_where_the_source_photo_won_the_advice_is_restore(form: str, action: Action) -> None:
    reason = Reason.CLOUD_DIFFERS if action is Action.REPLACE else Reason.CLOUD_REMOVED

    told = in_format(a_run([an_outcome(action, reason)]), form)

    assert "photo-connector restore --person PERSON" in told
    assert LATE not in told
    kept = in_format(a_run([an_outcome(Action.KEEP, reason, conflict=True)]), form)
    assert f"photo-connector sync {LATE}" in kept


def test_a_dry_run_recommends_neither_overwrite_nor_restore_for_what_it_would_replace() -> None:
    told = in_format(a_run([an_outcome(Action.REPLACE, Reason.CLOUD_DIFFERS)], dry_run=True), "text")

    assert "Nothing was written yet; the source's photo would be sent." in told
    assert LATE not in told
    assert "restore" not in told


def test_a_run_that_replaced_recommends_restore_on_screen_and_in_the_table(office: Office) -> None:
    ada = office.hire("ada")
    office.cloud.tenant.set_photo(ada.account_id, face("own ada"))

    told = office.sync()

    assert told.of(ada.upn) == ("replace", "cloud-differs")
    assert f"photo-connector restore --env-file {office.nights.env_file()} --person PERSON" in told.out
    assert LATE not in told.out


# limits: each piece of advice once


def test_two_limits_give_their_advice_once() -> None:
    trips = check_brakes(PlanCounts(replacements=300, with_photo=1200, overwrites=501, known=1200), Limits())

    told = way_past(trips, previewed=False)

    assert len(trips) == 2
    assert told.count("sync --dry-run") == told.count("--force") == 1
    assert "raise SYNC_MAX_CHANGES_PERCENT; raise SYNC_MAX_OVERWRITES" in told


@pytest.mark.parametrize(("options", "previews"), [((), 1), (("--dry-run",), 0)], ids=["sync", "dry run"])
def test_a_dry_run_that_a_limit_stopped_does_not_recommend_a_dry_run(
    office: Office, options: Sequence[str], previews: int
) -> None:
    team = office.team(25)
    office.sync()
    for one in team:
        office.paint(one, face(f"{one.name} anew"))

    told = office.sync(*options, days=1)

    assert told.code == 4
    assert told.report["message"].count("--dry-run") == previews
    assert "f this is intended, run once with --force" in told.report["message"]


# small slips


def test_what_is_one_is_told_in_the_singular() -> None:
    (first, *_) = as_lines(ForgetResult(rows=1, backups=1, reports=1, log_lines=1, beyond=()))
    assert first == (
        "Erased: 1 row of the database, 1 kept photo, 1 kept report (rewritten without the user), 1 line of the logs."
    )
    (first, *_) = as_lines(ForgetResult(rows=2000, backups=0, reports=3, log_lines=0, beyond=()))
    assert "2,000 rows of the database, 0 kept photos, 3 kept reports" in first


def test_check_puts_no_full_stop_after_a_question_and_begins_no_fix_with_or(office: Office) -> None:
    office.settings["LDAP_BASEDN"] = "DC=contoso,DC=test"
    told = office.nights.type("check", "--env-file", str(office.nights.env_file()))
    assert "did you mean LDAP_BASE_DN?\n" in told.out

    del office.settings["LDAP_URI"]
    told = office.nights.type("check", "--env-file", str(office.nights.env_file()))
    assert told.code == 2
    assert "LDAP_URI: set it, or LDAP_DOMAIN to find servers by DNS." in told.out
    assert ": or " not in told.out


# check: groups with a verdict, the last run first, one line for what was not tried

STEP = "step {} of a long way that does not fit into one line of a narrow terminal, "


def a_check(*, console: Console | None, out: io.StringIO, quiet: bool = False) -> str:
    """Show a check with two failures and 27 checks that were not made for them."""
    fix = STEP.format(1) + "then `photo-connector sync --dry-run --report plan.html --verbose --log-format json`."
    shown = CheckOutput(out, console=console, quiet=quiet)
    shown.add(Finding(id="settings", group="This server", status=Status.OK, what="Settings", detail="complete"))
    shown.add(Finding(id="last-run", group="This server", status=Status.OK, what="Last run", detail="run 14: finished"))
    for number in range(2):
        detail = STEP.format(number) * 2
        shown.add(Finding(id="dc", group="Source", status=Status.FAIL, what="Sign-in", detail=detail, fix=fix))
    for number in range(27):
        what = f"Check {number}"
        one = Finding(id=what, group="Source", status=Status.SKIPPED, what=what, detail="x", depends_on="Sign-in")
        shown.add(one)
    shown.finish()
    return out.getvalue()


def test_check_begins_with_the_last_run_and_gives_each_group_its_verdict() -> None:
    lines = a_check(console=None, out=io.StringIO()).splitlines()

    assert lines[:3] == ["✓ Last run: run 14: finished", "This server: 1 passed", "✓ Settings: complete"]
    assert "Source: 2 failed" in lines
    assert [line for line in lines if "skipped" in line] == ["– 27 checks skipped (they depend on Sign-in)"]
    assert lines[-1].startswith("2 failed, 0 warnings.")


@pytest.mark.parametrize("width", [80, 120])
def test_check_has_colours_and_a_hanging_indent_and_leaves_commands_whole(width: int) -> None:
    out = io.StringIO()

    told = a_check(console=Console(file=out, width=width, force_terminal=True, color_system="standard"), out=out)

    plain = re.sub(r"\x1b\[[\d;]*m", "", told)
    assert told != plain
    assert "`photo-connector sync --dry-run --report plan.html --verbose --log-format json`" in plain
    without_commands = [line for line in plain.splitlines() if "`" not in line]
    assert max(map(len, without_commands)) <= width
    failed = plain.splitlines().index(next(line for line in plain.splitlines() if line.startswith("✗ Sign-in")))
    assert plain.splitlines()[failed + 1].startswith("  ")
    assert plain.splitlines()[failed + 1].lstrip() != plain.splitlines()[failed + 1]


def test_a_quiet_check_has_failures_and_the_verdict_alone() -> None:
    lines = a_check(console=None, out=io.StringIO(), quiet=True).splitlines()

    assert {line[:1] for line in lines} == {"✗", " ", "", "2"}


# 80 columns

LONG = (
    (Action.KEEP, Reason.SOURCE_REMOVED_CLOUD_DIFFERS),
    (Action.REPLACE, Reason.SOURCE_CHANGED),
    (Action.SKIP, Reason.SOURCE_CHANGED_MEANWHILE),
)


def a_long_run() -> RunReport:
    """Make a dry run with every count and with the longest reasons."""
    outcomes: list[Outcome] = [an_outcome(action, reason, number=n) for n, (action, reason) in enumerate(LONG)]
    names = ("people", "created", "replaced", "removed", "unchanged", "skipped", "failed", "conflicts")
    return a_run(outcomes, dry_run=True, exit_code=0, totals=dict.fromkeys(names, 123_456), notices=())


@pytest.mark.parametrize("width", [80, 120])
def test_neither_headers_nor_counts_nor_reasons_are_cut(width: int) -> None:
    told = screen(a_long_run(), width)

    assert "…" not in told
    assert max(len(line.rstrip()) for line in told.splitlines()) <= width
    for word in ("Would create", "Would replace", "Would remove", "Conflicts", *(reason for _, reason in LONG)):
        assert word in told
    assert told.count("123,456") >= 8


@pytest.mark.parametrize("width", [80, 120])
def test_a_line_of_progress_fits_the_terminal(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with Progress(*progress_columns(width), console=console, auto_refresh=False) as bars:
        task = bars.add_task("reading back", total=300_000)
        bars.update(task, completed=123_456)
        bars.tasks[0].finished_speed = 9.87
        table = bars.make_tasks_table(bars.tasks)
        assert console.measure(table).maximum <= width
        rate = next(column for column in progress_columns(width) if isinstance(column, RateColumn))
        assert len(console.render_lines(table)) == 1
        assert "123,456 of 300,000" in rate.render(bars.tasks[0]).plain


def test_the_table_for_a_spreadsheet_recommends_what_is_in_time() -> None:
    out = io.StringIO()
    write_report(a_run([an_outcome(Action.REPLACE, Reason.BOTH_CHANGED)]), "csv", out)
    (row,) = csv.DictReader(io.StringIO(out.getvalue().removeprefix("\ufeff")))
    assert "restore" in row["what_to_do"]
