"""Runs that stop half way by a safety limit, a kill or a refusal: the next run finishes what was left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime

import pytest
import time_machine

from tests.company import Company, face, total
from tests.lab.graph import Fault
from tests.runner import shown

PUT = r"PUT .*/photo/\$value"
needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="the signals are POSIX's; test_windows.py has the same"
)


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for something that another process or thread brings about, however long a busy machine takes."""
    while not is_so():
        assert process is None or process.poll() is None, "the run ended before it came to that"
        time.sleep(0.02)


def puts(company: Company) -> int:
    """Count the uploads that were answered."""
    return company.cloud.counts().get("photo_puts", 0)


def test_a_brake_stops_before_the_first_write_and_the_next_night_goes_on(company: Company) -> None:
    team = company.team(6)
    for one in team[:4]:
        company.cloud.tenant.set_photo(one.account_id, face("somebody else"))
    company.settings["SYNC_MAX_OVERWRITES"] = "3"

    stopped = company.sync()

    assert stopped.code == 4
    assert company.cloud.tenant.writes() == []
    assert "4 cloud photos that this tool did not upload" in stopped.err
    assert "SYNC_MAX_OVERWRITES" in stopped.err
    assert "--force" in stopped.err
    assert (stopped.totals["postponed"], stopped.totals["skipped"], stopped.reasons()) == (0, 6, {"safety-limit": 6})
    assert company.sync(days=1).code == 4, "the brake holds until somebody decides"

    forced = company.sync("--force", days=1)

    assert forced.code == 0
    assert (forced.totals["created"], forced.totals["replaced"]) == (2, 4)
    assert any("Safety limit overridden by --force" in notice for notice in forced.report["notices"])
    assert company.sync(days=1).requests["http"] == 1


def test_a_run_killed_after_the_read_is_finished_by_the_next(company: Company) -> None:
    team = company.team(12)
    company.cloud.fail_next(r"POST .*batch", Fault(kind="hold"))
    process, _ = company.runner.start()
    wait_until(lambda: company.cloud.faults.held > 0, process)
    process.kill()
    process.communicate()
    company.cloud.faults.clear()

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.report["mode"] == "changes", "the cookie was stored with its rows"
    assert told.totals["created"] == len(team) == len(company.cloud.tenant.writes())


def test_a_run_killed_between_writes_repeats_none_and_forgets_none(company: Company) -> None:
    team = company.team(12)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="hold", performed=True, skip=5))
    process, _ = company.runner.start()
    wait_until(lambda: company.cloud.faults.held > 0, process)
    process.kill()
    process.communicate()
    company.cloud.faults.clear()
    written = {write.account_id for write in company.cloud.tenant.writes()}

    told = company.sync(days=0.1)

    assert told.code == 0, told.err
    assert len(written) >= 5
    assert told.totals["conflicts"] == 0, "a crash never looks like somebody else's edit"
    assert {write.account_id for write in company.cloud.tenant.writes()} == {one.account_id for one in team}
    again = [write.account_id for write in company.cloud.tenant.writes() if write.account_id in written]
    assert len(again) == len(written), "nobody was sent twice"


def test_nine_failed_uploads_are_named_and_done_the_next_night(company: Company) -> None:
    team = company.team(34)
    company.cloud.fail_next(PUT, Fault(status=400, code="SomethingOdd", message="No."), times=9)

    failed = company.sync()

    assert failed.code == 3
    assert (failed.totals["failed"], failed.totals["created"]) == (9, 25)
    assert total(failed.totals) == failed.totals["people"] == 34
    reasons = {outcome["reason"] for outcome in failed.report["outcomes"] if outcome["action"] == "fail"}
    assert len(reasons) == 1
    assert "SomethingOdd" in " ".join(outcome["detail"] for outcome in failed.report["outcomes"])

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.totals["created"] == 9
    assert len(company.cloud.tenant.photos()) == len(team)


def test_an_account_that_comes_a_week_after_its_photo_gets_it(company: Company) -> None:
    late = company.hire("late", account=False)
    first = company.sync()
    assert first.of(late.upn) == ("skip", "no-account")
    company.sync(days=1)

    arrived = company.register("late", late.entry)
    told = company.sync(days=6)

    assert told.of(late.upn) == ("create", "first-upload")
    assert told.report["mode"] == "changes"
    assert shown(company.cloud, arrived.account_id).edge == 96
    assert told.requests["ldap_entries"] == 1, "the picture is read by id, since the night before dropped it"


def test_at_most_so_many_uploads_are_sent_and_the_rest_is_left_for_the_next_run(company: Company) -> None:
    company.team(7)
    company.settings["SYNC_MAX_UPLOADS"] = "3"

    results = [company.sync(days=1) for _ in range(3)]

    assert [told.code for told in results] == [7, 7, 0]
    assert [told.totals["created"] for told in results] == [3, 3, 1]
    assert [told.totals["postponed"] for told in results] == [4, 1, 0]
    assert all(total(told.totals) == told.totals["people"] == 7 for told in results)
    assert len(company.cloud.tenant.writes()) == 7


def test_a_removal_is_no_upload_and_no_limit_holds_it(company: Company) -> None:
    team = company.team(3)
    company.sync()
    for one in team:
        company.paint(one, None)
    company.team(2, "new")
    company.settings.update(SYNC_MAX_UPLOADS="1", SYNC_REMOVED="remove")

    told = company.sync(days=1)

    assert (told.code, told.totals["removed"], told.totals["created"]) == (7, 3, 1)


def test_no_upload_begins_after_the_minutes_are_over(company: Company) -> None:
    company.team(30)
    company.settings.update(SYNC_MAX_MINUTES="1", SYNC_CONCURRENCY="1")
    company.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.2, performed=True), times=-1)

    def pass_the_minute() -> None:
        wait_until(lambda: puts(company) > 0)
        clock.shift(60)

    with time_machine.travel(datetime.now().astimezone(), tick=True) as clock:
        meanwhile = threading.Thread(target=pass_the_minute)
        meanwhile.start()
        told = company.sync()
        meanwhile.join()

    assert told.code == 7
    assert 0 < told.totals["created"] < 30
    assert told.totals["postponed"] == 30 - told.totals["created"]


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_ends_the_run_with_130_and_what_was_done_is_remembered(company: Company, number: int) -> None:
    team = company.team(40)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.3, performed=True), times=-1)
    process, report = company.runner.start()
    wait_until(lambda: puts(company) >= 2, process)
    process.send_signal(number)
    _, err = process.communicate()

    stopped = company.runner.read(report)

    assert process.returncode == 130, err
    assert "interrupted" in err
    assert stopped["exit_code"] == 130
    assert stopped["totals"]["created"] >= 2
    assert total(stopped["totals"]) == stopped["totals"]["people"] == len(team)
    company.cloud.faults.clear()

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert len(company.cloud.tenant.writes()) == len(team), "nobody was sent twice"


@needs_signals
def test_an_interrupt_does_not_sit_out_a_long_wait(company: Company) -> None:
    company.team(10)
    company.cloud.fail_next(PUT, Fault(status=429, retry_after="600"), times=-1)
    process, report = company.runner.start()
    wait_until(lambda: puts(company) > 0, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate()

    assert process.returncode == 130, err
    assert company.runner.read(report)["totals"]["failed"] == 0
    company.cloud.faults.clear()
    assert company.sync(days=2).totals["created"] == 10


@needs_signals
def test_a_second_run_gives_way_to_the_first(company: Company) -> None:
    company.team(5)
    company.cloud.fail_next(r"GET .*/users", Fault(kind="hold", performed=True), times=1)
    process, _ = company.runner.start()
    wait_until(lambda: company.cloud.faults.held > 0, process)
    process.send_signal(signal.SIGSTOP)

    second = company.sync()

    process.send_signal(signal.SIGCONT)
    company.cloud.faults.let_go()
    assert second.code == 6
    assert "Another run works in" in second.err
    assert second.report == {}
    process.communicate()
    assert process.returncode == 0
