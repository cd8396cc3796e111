"""A run under a wrong clock: nothing is forgotten, sent twice, or taken for an edit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
import time_machine

from tests.company import Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult
from tests.test_night_stops import PUT, puts, wait_until


def kept(company: Company) -> int:
    """Count the photos that can still be put back."""
    return len(list((company.runner.state / "backups").glob("*/*.jpg")))


def replaced_one(company: Company) -> CommandResult:
    """Live the first night of three people; one has a photo of their own, which is replaced and kept."""
    team = company.team(3)
    company.cloud.tenant.set_photo(team[0].account_id, face("their own"))
    told = company.sync()
    assert (told.totals["created"], told.totals["replaced"]) == (2, 1)
    return told


def test_a_clock_that_leaps_years_ahead_for_one_night_forgets_no_backup_and_no_run(company: Company) -> None:
    run = replaced_one(company).report["run"]
    company.hire("late", account=False)

    leap = company.sync(days=3650)
    back = company.sync(days=-3649)

    assert (leap.code, leap.totals["unchanged"]) == (0, 3), leap.err
    assert (back.code, back.totals["unchanged"]) == (0, 3), back.err
    assert len(company.cloud.tenant.writes()) == 3
    assert kept(company) == 1
    taken_back = company.runner.type("restore", "--run", str(run), "--env-file", str(company.runner.env_file()))
    assert taken_back.code == 0, taken_back.err
    assert len(company.cloud.tenant.photos()) == 1


def test_a_clock_that_stays_ahead_is_believed_by_the_night_after(company: Company) -> None:
    replaced_one(company)

    company.sync(days=60)
    assert kept(company) == 1
    company.sync(days=1)

    assert kept(company) == 0


@pytest.mark.parametrize("days", [-400, -3, 3, 400])
def test_a_write_that_is_not_visible_yet_survives_a_clock_that_jumps(company: Company, days: int) -> None:
    team = company.team(3)
    company.cloud.set(read_lag_reads=1, read_lag_shows="missing")
    company.settings["SYNC_CONFLICT"] = "cloud"
    first = company.sync()
    assert (first.totals["created"], first.totals["open_intents"]) == (3, 3)

    jumped = company.sync(days=days)
    again = company.sync(days=-days + 1)

    assert [told.code for told in (jumped, again)] == [0, 0], jumped.err + again.err
    assert [told.totals["conflicts"] for told in (jumped, again)] == [0, 0]
    assert again.totals["unchanged"] == len(team)
    assert again.totals["open_intents"] == 0
    assert len(company.cloud.tenant.writes()) == 3, "nobody was sent twice"


def test_a_clock_set_back_by_days_changes_nothing(company: Company) -> None:
    team = company.team(3)
    company.sync()
    company.paint(team[0], face("new"))

    told = company.sync(days=-5)

    assert (told.code, told.totals["replaced"], told.totals["unchanged"]) == (0, 1, 2), told.err
    assert company.sync(days=6).requests["http"] == 1


def test_whose_photo_was_looked_at_in_the_future_is_looked_at_again_in_turn(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "50"
    team = company.team(4)
    company.sync()
    company.sync(days=3650)
    for one in team:
        company.cloud.tenant.set_photo(one.account_id, face("theirs", 128))

    results = [company.sync(days=-3649), *(company.sync(days=1) for _ in range(3))]

    assert [told.code for told in results] == [0, 0, 0, 0]
    assert sum(told.totals["replaced"] for told in results) == 4, "nobody's turn is put off for ten years"


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_jumps_in_mid_run_harms_nobody(company: Company, days: int) -> None:
    team = company.team(12)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.1, performed=True), times=-1)

    def jump() -> None:
        wait_until(lambda: puts(company) > 2)
        clock.shift(timedelta(days=days))

    with time_machine.travel(datetime.now().astimezone(), tick=True) as clock:
        beside = threading.Thread(target=jump)
        beside.start()
        told = company.sync()
        beside.join()

    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, 12, 0), told.err
    after = company.sync(days=1)
    assert (after.totals["unchanged"], after.totals["conflicts"]) == (len(team), 0)
    assert len(company.cloud.tenant.writes()) == 12
