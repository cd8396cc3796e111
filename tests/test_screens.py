"""What the administrator sees at 80 and 120 columns: nothing cut, advice that is in time, and each piece of it once."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from connector import __version__
from connector.cli.console import RateColumn, progress_columns
from connector.cli.heartbeat import Heartbeat
from connector.cloud.auth import expiry_notice
from connector.command import account_prefix
from connector.config import MailWhen, Settings
from connector.decide.brakes import BrakeTrip, Limits, PlanCounts, check_brakes, way_past
from connector.doctor import CheckOutput, Finding, Status
from connector.errors import ExitCode, Locked
from connector.forget import ForgetResult, as_lines
from connector.ledger.store import HOLDER_NAME, hold_lock
from connector.model import Action, ExceededLimit, NoProgress, Outcome, Reason, RunReport
from connector.model.reasons import ACCEPTED
from connector.notify.mail import compose, mail_due
from connector.report import write_report, write_screen
from connector.report.summary import local_time, message_parts
from connector.sync.changed_settings import match_notice
from tests.company import Company, face
from tests.report_stories import a_run, an_outcome
from tests.test_words import ALL_LIMITS

ROOT = "DC=contoso,DC=test"
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


def test_a_run_that_replaced_recommends_restore_on_screen_and_in_the_table(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))

    told = company.sync()

    assert told.of(ada.upn) == ("replace", "cloud-differs")
    assert f"photo-connector restore --env-file {company.runner.env_file()} --person PERSON" in told.out
    assert LATE not in told.out


# limits: each piece of advice once


def test_two_limits_give_their_advice_once() -> None:
    trips = check_brakes(PlanCounts(replacements=300, with_photo=1200, overwrites=501, known=1200), Limits())

    told = way_past(trips, previewed=False)

    assert len(trips) == 2
    assert told.count("sync --dry-run") == told.count("--force") == 1
    assert "raise SYNC_MAX_CHANGES_PERCENT; raise SYNC_MAX_OVERWRITES" in told


@pytest.mark.parametrize(
    ("plan_run", "ways"),
    [(15, ("sync --approve 15`", "raise SYNC_", "--force")), (0, ("raise SYNC_", "--force"))],
    ids=["kept plan", "nothing to approve"],
)
def test_approving_the_plan_is_named_first_and_force_last(plan_run: int, ways: Sequence[str]) -> None:
    trips = check_brakes(PlanCounts(replacements=300, with_photo=1200), Limits())

    told = way_past(trips, previewed=True, plan_run=plan_run)

    places = [told.index(way) for way in ways]
    assert places == sorted(places)
    assert ("--approve" in told) is bool(plan_run)
    assert told.endswith("--force.")


@pytest.mark.parametrize(("options", "previews"), [((), 1), (("--dry-run",), 0)], ids=["sync", "dry run"])
def test_a_dry_run_that_a_limit_stopped_does_not_recommend_a_dry_run(
    company: Company, options: Sequence[str], previews: int
) -> None:
    team = company.team(25)
    company.sync()
    for one in team:
        company.paint(one, face(f"{one.name} anew"))

    told = company.sync(*options, days=1)

    assert told.code == 4
    assert told.report["message"].count("--dry-run") == previews
    approve = f"`photo-connector sync --approve {told.report['run']}`"
    assert f"f this is intended, carry out exactly this plan with {approve}" in told.report["message"]
    for shown in (told.report["message"], told.out):
        assert 0 < shown.find("--approve") < shown.find("--force")


# small slips


def test_what_is_one_is_told_in_the_singular() -> None:
    (first, *_) = as_lines(ForgetResult(rows=1, backups=1, reports=1, log_lines=1, beyond=()))
    assert first == (
        "Erased: 1 row of the database, 1 kept photo, 1 kept report (rewritten without the user), 1 line of the logs."
    )
    (first, *_) = as_lines(ForgetResult(rows=2000, backups=0, reports=3, log_lines=0, beyond=()))
    assert "2,000 rows of the database, 0 kept photos, 3 kept reports" in first


def test_check_puts_no_full_stop_after_a_question_and_begins_no_fix_with_or(company: Company) -> None:
    company.settings["LDAP_BASEDN"] = "DC=contoso,DC=test"
    told = company.runner.type("check", "--env-file", str(company.runner.env_file()))
    assert "did you mean LDAP_BASE_DN?\n" in told.out

    del company.settings["LDAP_URI"]
    told = company.runner.type("check", "--env-file", str(company.runner.env_file()))
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

    assert lines[:4] == ["✓ Last run: run 14: finished", "", "This server: 1 passed", "✓ Settings: complete"]
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


def at_terminal(company: Company, width: int, *words: str) -> list[str]:
    """Type a command at a terminal of this width; returns its lines without colours."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "connector", *words, "--env-file", str(company.runner.env_file())]
    colourless = {**os.environ, "COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=colourless):
        os.close(theirs)
        content_bytes = b""
        with contextlib.suppress(OSError):  # how Linux ends a terminal that nobody writes to
            while block := os.read(ours, 65536):
                content_bytes += block
    os.close(ours)
    return [re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line) for line in content_bytes.decode().splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal is opened by pty")
@pytest.mark.parametrize("width", [80, 120])
def test_every_list_fits_the_terminal_and_only_a_command_to_paste_is_longer(company: Company, width: int) -> None:
    team = company.team(25)
    company.sync()
    for one in team:
        company.paint(one, face(f"{one.name} anew"))
    assert company.sync(days=1).code == 4

    for words in (("runs",), ("coverage", "--by", "ou"), ("history", team[0].upn), ("report",), ("check",)):
        lines = at_terminal(company, width, *words)
        prose = [line.strip() for line in lines if "photo-connector" not in line and "`" not in line]
        assert [line for line in prose if len(line) > width and " " in line] == [], "longer is only a path or a command"
        assert not any("…" in line for line in lines), lines
        if words == ("runs",):
            started = [line for line in lines if re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}", line)]
            assert len(started) == 2, "a run is one line, and its time is whole"


# no noise


def test_identifiers_are_for_verbose_facts_and_programs() -> None:
    detail = (
        'Source: 96 × 96 pixels, sha256 5b86a21141d0; cloud: 120 × 120 pixels, sha256 e473f7bfa3e6, tag W/"a.b;c",'
        " seen 2026-11-24 02:00 UTC."
    )
    refused = "Microsoft 365 said: busy (request-id 1f3e). The next run tries again."
    report = a_run(
        [
            an_outcome(Action.KEEP, Reason.CLOUD_DIFFERS, number=1, detail=detail),
            an_outcome(Action.FAIL, Reason.CLOUD_ERROR, number=2, detail=refused),
        ]
    )

    plain, page = in_format(report, "text"), in_format(report, "html")

    seen = local_time(datetime(2026, 11, 24, 2, tzinfo=UTC))
    assert f"Source: 96 × 96 pixels; cloud: 120 × 120 pixels, seen {seen}." in plain
    assert "said: busy. The next run" in plain
    for identifier in ("5b86a21141d0", "e473f7bfa3e6", 'W/"a.b;c"', "request-id 1f3e"):
        assert identifier not in plain
        assert identifier not in page.partition('id="data"')[0]
        assert identifier in in_format(report, "csv").replace('""', '"')
    assert "e473f7bfa3e6" in page, "behind Facts"
    out = io.StringIO()
    write_report(report, "text", out, verbose=True)
    assert 'sha256 e473f7bfa3e6, tag W/"a.b;c", seen' in out.getvalue()


@pytest.mark.parametrize("form", ["text", "html"])
def test_when_uploads_are_shown_is_told_once_a_report(form: str) -> None:
    outcomes = [an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=n, detail=ACCEPTED) for n in range(30)]

    told = in_format(a_run(outcomes), form)

    assert told.count("hours or days") == 1


def test_conflicts_and_restored_photos_that_an_earlier_run_had_are_one_line_with_the_day(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "report"
    team = company.team(4)
    for one in team[:3]:
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    company.sync()
    restored = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--run", "1")
    assert restored.code == 0, restored.err

    company.sync(days=1)
    told = company.sync(days=1)
    again = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "html").out

    assert told.totals["conflicts"] == 3
    (line, *_) = [line for line in told.out.splitlines() if "unchanged, the oldest since" in line]
    assert re.sub(r"since .*", "since", line).endswith("3 people, unchanged, the oldest since")
    assert not any(one.upn in told.out for one in team[:3])
    assert all(one.upn in json.dumps(told.report) for one in team[:3]), "programs get everybody"
    assert {outcome["since"][-1] for outcome in told.report["outcomes"] if "since" in outcome} == {"Z"}
    assert "Unchanged, the oldest since" in again


def test_zeros_are_left_out_for_people_and_kept_for_programs() -> None:
    totals = {"people": 9, "created": 0, "replaced": 0, "unchanged": 9, "failed": 0, "conflicts": 0}
    report = a_run([], exit_code=0, totals=totals, notices=())

    for told in (in_format(report, "text"), screen(report, 100), in_format(report, "html").partition("<script")[0]):
        assert "Created" not in told
        assert "Failed" not in told
        assert "Unchanged" in told
    assert '"created": 0' in in_format(report, "json")


def test_people_are_sorted_by_name_in_every_report(company: Company) -> None:
    names = ["zoe", "Ärne", "bob", "Ada", "émile"]
    for name in names:
        company.ldap.person(name, jpegPhoto=[])

    told = company.sync()

    order = [outcome["person"].partition(",")[0] for outcome in told.report["outcomes"]]
    assert order == ["CN=Ada", "CN=Ärne", "CN=bob", "CN=émile", "CN=zoe"]


def test_an_error_is_told_once_where_both_outputs_are_one_pipe(company: Company) -> None:
    company.settings["LDAP_URI"] = "ldaps://127.0.0.1:1"
    command = [sys.executable, "-m", "connector", "sync", "--env-file", str(company.runner.env_file())]

    both = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    apart = subprocess.run(command, capture_output=True, text=True, check=False)

    assert both.returncode == apart.returncode == 5
    error = next(line for line in apart.stderr.splitlines() if "127.0.0.1" in line)
    assert both.stdout.count(error) == 1
    assert error in apart.stdout


# who and when


@pytest.mark.parametrize("trip", check_brakes(ALL_LIMITS, Limits()), ids=lambda trip: str(trip.brake))
def test_the_subject_of_a_stopped_run_names_what_exceeds_its_limit(trip: BrakeTrip) -> None:
    message = f"A safety limit stopped the run; nothing was written: {trip.message}"
    report = a_run([], exit_code=4, message=message, exceeded=(trip.exceeded,), tenant="contoso.com")

    subject = str(compose(report, to=("a@contoso.com",), sender="b@contoso.com")["Subject"])

    assert subject.startswith("[photo-connector contoso.com] STOPPED: ")
    assert str(trip.count) in subject
    assert subject.endswith((" exceed the limit", " people"))


def test_subject_and_advice_of_a_stopped_run_depend_on_no_wording() -> None:
    limits = (ExceededLimit("removals", 40, 5), ExceededLimit("vanished-attribute", 40, 4, "jpegPhoto"))
    message = "In other words. Check that, e.g. 7 photos would be replaced."
    report = a_run([], exit_code=4, message=f"{message} Wait.", advice="Wait.", exceeded=limits)

    subject = str(compose(report, to=("a@contoso.com",), sender="b@contoso.com")["Subject"])

    assert subject == "photo-connector: STOPPED: 40 removals exceed the limit"
    assert message_parts(report) == (message, "Wait.")
    old = replace(report, advice="", exceeded=())
    subject = str(compose(old, to=("a@contoso.com",), sender="b@contoso.com")["Subject"])
    assert subject == "photo-connector: STOPPED: a safety limit was exceeded"
    assert message_parts(old) == (f"{message} Wait.", "")


def test_a_report_names_tenant_host_and_version_and_people_read_local_time(company: Company) -> None:
    company.hire("ada")

    told = company.sync()

    assert (told.report["tenant"], told.report["host"], told.report["version"]) == (
        *("contoso.test", platform.node()),
        __version__,
    )
    assert f"contoso.test, on {platform.node()}, photo-connector {__version__}." in told.out
    started = datetime.fromisoformat(told.report["started"])
    assert told.report["started"].endswith("Z")
    assert f"started {local_time(started)}" in told.out


# paste and go


@pytest.mark.parametrize(
    ("shell", "state_dir", "prefix"),
    [
        ("/usr/sbin/nologin", "", "sudo -u photo-connector "),
        ("/bin/false", "/var/lib/photo connector", "sudo -u photo-connector STATE_DIR='/var/lib/photo connector' "),
        ("/bin/bash", "/var/lib/photo-connector", ""),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="sudo is POSIX's")
def test_a_command_for_an_account_that_nobody_signs_in_to_names_the_account(
    shell: str, state_dir: str, prefix: str
) -> None:
    assert account_prefix("photo-connector", shell, state_dir) == prefix


def test_the_env_file_of_the_current_folder_stands_in_printed_commands(company: Company, tmp_path: Path) -> None:
    company.runner.env_file().rename(tmp_path / ".env")
    command = [sys.executable, "-m", "connector", "check", "--quiet"]

    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert f"--env-file {tmp_path / '.env'}" in told.stdout.splitlines()[-1]


# before it breaks


def test_a_secret_that_ends_soon_is_told_in_report_and_metrics_and_is_a_reason_to_mail(
    company: Company, tmp_path: Path
) -> None:
    metrics = tmp_path / "photo.prom"
    ends = datetime.now(UTC) + timedelta(days=20)
    company.settings["AZURE_CLIENT_SECRET_EXPIRES"] = f"{ends:%Y-%m-%d}"
    company.settings["METRICS_FILE"] = str(metrics)

    told = company.sync()

    assert told.code == 0, told.err
    (notice,) = told.report["notices"]
    assert notice.startswith(f"The client secret that signs in to Microsoft 365 ends on {ends:%Y-%m-%d}, in 19 days")
    assert "photo_connector_credential_expiry_timestamp_seconds" in metrics.read_text()
    ending = a_run([], exit_code=0, totals={}, credential_ends=a_run().started + timedelta(days=29))
    assert mail_due(ending, MailWhen.PROBLEMS)
    assert not mail_due(replace(ending, credential_ends=a_run().started + timedelta(days=31)), MailWhen.PROBLEMS)


def test_a_date_that_is_none_is_refused(company: Company) -> None:
    company.settings["AZURE_CLIENT_SECRET_EXPIRES"] = "31.03.2027"

    told = company.sync()

    assert told.code == 2
    assert "AZURE_CLIENT_SECRET_EXPIRES: '31.03.2027' is no date; write it as 2027-03-31" in told.err


def test_the_lock_says_whose_it_is_and_how_far_that_run_is(tmp_path: Path) -> None:
    with hold_lock(tmp_path):
        beat = Heartbeat(NoProgress(), tmp_path / HOLDER_NAME, "sync")
        beat.phase("uploading", 600)
        beat.step(120)
        beat.write_file()
        with pytest.raises(Locked) as turned_away, hold_lock(tmp_path):
            pass

    told = str(turned_away.value)
    assert f"Another run works in {tmp_path}: sync of " in told
    assert f" on {platform.node()}, process {os.getpid()}, since 20" in told
    assert "; uploading: 120 of 600." in told


def test_a_killed_run_is_not_named_as_the_holder_of_a_later_lock(tmp_path: Path) -> None:
    Heartbeat(NoProgress(), tmp_path / HOLDER_NAME, "sync").write_file()  # what a killed run leaves

    with hold_lock(tmp_path), pytest.raises(Locked) as turned_away, hold_lock(tmp_path):
        pass

    assert f"Another run works in {tmp_path}." in str(turned_away.value)


def test_check_is_well_where_a_dry_run_alone_was_made(company: Company) -> None:
    company.hire("ada")
    assert company.sync("--dry-run").code == 0

    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert checked.code == 3, checked.out + checked.err
    assert "– Last run: there is none yet" in checked.out
    assert "No failures, " in checked.out


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"azure_client_secret": "hidden", "azure_client_secret_expires": "2026-11-01"}, "or correct AZURE_CLIENT_SEC"),
        ({"azure_client_secret": "hidden", "azure_client_secret_expires": "2026-11-24"}, "ended on 2026-11-24"),
        (
            {"azure_client_secret": "hidden", "azure_client_secret_expires": "2026-11-25"},
            "ends on 2026-11-25, in 0 days",
        ),
        ({"azure_client_secret": "hidden", "azure_client_secret_expires": "2027-01-31"}, ""),
        ({"azure_client_secret": "hidden"}, ""),
    ],
)
def test_a_secret_that_ended_is_not_said_to_end(setting: dict[str, Any], told: str) -> None:
    notice = expiry_notice(Settings(**setting), now=datetime(2026, 11, 24, 2, tzinfo=UTC))
    assert (told in notice) if told else notice == ""


def test_a_heartbeat_line_says_how_far_a_run_without_a_terminal_is() -> None:
    beat = Heartbeat(NoProgress(), Path(os.devnull), "sync")
    beat.phase("accounts")
    beat.step(1200)
    assert re.fullmatch(r"accounts: 1,200, [\d,.]+/s", beat.line())
    beat.phase("uploading", 20_000)
    assert beat.line() == "uploading: 0 of 20,000"
    beat.step(1200)
    assert re.fullmatch(r"uploading: 1,200 of 20,000, [\d,.]+/s, about .+ left", beat.line())


def test_nothing_of_the_heartbeat_stays_when_the_run_has_ended(company: Company) -> None:
    company.hire("ada")

    assert company.sync().code == 0

    assert not (company.runner.state / HOLDER_NAME).exists()


# changed settings say what they do


def test_another_photo_size_says_once_to_whom_it_applies(company: Company) -> None:
    company.team(3)
    company.sync()
    company.settings["PHOTO_SIZE"] = "64"

    previewed, told, again = company.sync("--dry-run", days=1), company.sync(days=1), company.sync(days=1)

    (notice,) = told.report["notices"]
    assert notice.startswith("PHOTO_SIZE=64 and PHOTO_CROP=square apply to photos that change from now on; 3 photos")
    assert f"`photo-connector sync --env-file {company.runner.env_file()} --resend`" in told.out
    assert previewed.report["notices"] == [notice]
    assert again.report["notices"] == []


def test_another_way_to_match_is_told_with_its_numbers() -> None:
    told = match_notice({"anchor": 747, "mail": 1}, {"sid": 747, "mail": 1})

    assert told.startswith(
        "People are matched by anchor 0 (747 before), by SID 747 (0 before), by mail 1 (1 before). LDAP_ANCHOR or"
    )
    assert match_notice({"anchor": 747}, {"anchor": 745, "sid": 2}) == ""
    assert match_notice({"anchor": 4}, {"sid": 4}) == "", "so few are the work of a day"
    assert match_notice({}, {"anchor": 747}) == ""


# what is asked


def test_the_table_has_size_attribute_match_and_who_has_a_photo(company: Company) -> None:
    ada, bob = company.hire("ada", photo=face("ada", 144)), company.hire("bob", photo=None)
    company.sync()

    env = str(company.runner.env_file())
    text = company.runner.type("report", "--env-file", env, "--format", "csv").out
    rows = {row["upn"]: row for row in csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))}

    names = ("source_pixels", "source_attribute", "matched_by", "source_has_photo", "cloud_has_photo")
    assert [rows[ada.upn][name] for name in names] == ["144x144", "jpegPhoto", "anchor", "yes", "yes"]
    assert [rows[bob.upn][name] for name in names] == ["", "", "anchor", "no", ""]


def test_a_report_can_be_limited_to_reasons(company: Company) -> None:
    ada, bob = company.hire("ada"), company.hire("bob", photo=None)
    company.sync()
    env = str(company.runner.env_file())

    told = company.runner.type("report", "--env-file", env, "--reason", "no-photo").out
    refused = company.runner.type("report", "--env-file", env, "--reason", "no-such")

    assert bob.upn in told
    assert ada.upn not in told
    assert refused.code == 2


def test_check_names_the_new_dn_of_a_base_that_was_moved(company: Company) -> None:
    sales = f"OU=Sales,{ROOT}"
    unit = company.ldap.tree.add(sales, objectClass="organizationalUnit", sAMAccountType=[], userAccountControl=[])
    team = company.team(3)
    for one in team:
        company.ldap.tree.move(one.entry.guid, f"CN={one.name},OU=Inside,{sales}")
    company.settings["LDAP_BASE_DN"] = sales
    assert company.sync().totals["people"] == 3
    company.settings["LDAP_BASE_DN"] = f"OU=Gone,{ROOT}"
    lost = company.runner.type("check", "--env-file", str(company.runner.env_file())).out
    company.settings["LDAP_BASE_DN"] = sales
    company.ldap.tree.move(unit.guid, f"OU=Selling,OU=All,{ROOT}")
    for one in team:
        company.ldap.tree.move(one.entry.guid, f"CN={one.name},OU=Inside,OU=Selling,OU=All,{ROOT}")

    told = company.runner.type("check", "--env-file", str(company.runner.env_file())).out

    assert f"people who were below it are below OU=Selling,OU=All,{ROOT} now" in told
    assert f"If it was moved or renamed, set LDAP_BASE_DN to OU=Selling,OU=All,{ROOT}." in told
    assert "people who were below it" not in lost


def test_a_run_names_the_new_dn_of_a_base_that_was_moved_wherever_it_says_why_it_stopped(
    company: Company, tmp_path: Path
) -> None:
    sales, selling = f"OU=Sales,{ROOT}", f"OU=Selling,OU=All,{ROOT}"
    unit = company.ldap.tree.add(sales, objectClass="organizationalUnit", sAMAccountType=[], userAccountControl=[])
    team = company.team(3)
    for one in team:
        company.ldap.tree.move(one.entry.guid, f"CN={one.name},OU=Inside,{sales}")
    company.settings["LDAP_BASE_DN"] = sales
    assert company.sync().totals["people"] == 3
    company.ldap.tree.move(unit.guid, selling)
    for one in team:
        company.ldap.tree.move(one.entry.guid, f"CN={one.name},OU=Inside,{selling}")
    writes = len(company.cloud.tenant.writes())
    page = tmp_path / "stopped.html"

    told = company.sync("--report", str(page), days=1)

    assert told.code == ExitCode.UNREACHABLE
    assert f"people who were below it are below {selling} now" in told.err
    assert f"If it was moved or renamed, set LDAP_BASE_DN to {selling}." in " ".join(told.err.split())
    assert selling in page.read_text("utf-8")
    shown = company.runner.type("report", "--env-file", str(company.runner.env_file())).out
    assert f"set LDAP_BASE_DN to {selling}." in " ".join(shown.split())
    assert len(company.cloud.tenant.writes()) == writes
    company.settings["LDAP_BASE_DN"] = selling
    assert company.sync(days=1).code == ExitCode.OK


def test_a_run_with_a_base_that_never_was_names_no_other(company: Company) -> None:
    company.team(3)
    company.sync()
    company.settings["LDAP_BASE_DN"] = f"OU=Gone,{ROOT}"

    told = company.sync(days=1)

    assert told.code == ExitCode.UNREACHABLE
    assert "there is no such base DN" in told.err
    assert "was moved or renamed" not in told.err
