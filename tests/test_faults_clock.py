"""What if the clock of this machine is wrong for a night? Nothing is forgotten, sent twice, or taken for an edit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
import time_machine

from tests.lab.graph import Fault
from tests.nights import Told
from tests.office import Office, face
from tests.test_night_stops import PUT, puts, wait_until


def kept(office: Office) -> int:
    """Count the photos that can still be put back."""
    return len(list((office.nights.state / "backups").glob("*/*.jpg")))


def replaced_one(office: Office) -> Told:
    """Live the first night of three people; one has a photo of their own, which is replaced and kept."""
    team = office.team(3)
    office.cloud.tenant.set_photo(team[0].account_id, face("their own"))
    told = office.sync()
    assert (told.totals["created"], told.totals["replaced"]) == (2, 1)
    return told


def test_a_clock_that_leaps_years_ahead_for_one_night_forgets_no_backup_and_no_run(office: Office) -> None:
    run = replaced_one(office).report["run"]
    office.hire("late", account=False)

    leap = office.sync(days=3650)
    back = office.sync(days=-3649)

    assert (leap.code, leap.totals["unchanged"]) == (0, 3), leap.err
    assert (back.code, back.totals["unchanged"]) == (0, 3), back.err
    assert len(office.cloud.tenant.writes()) == 3
    assert kept(office) == 1
    taken_back = office.nights.type("restore", "--run", str(run), "--env-file", str(office.nights.env_file()))
    assert taken_back.code == 0, taken_back.err
    assert len(office.cloud.tenant.photos()) == 1


def test_a_clock_that_stays_ahead_is_believed_by_the_night_after(office: Office) -> None:
    replaced_one(office)

    office.sync(days=60)
    assert kept(office) == 1
    office.sync(days=1)

    assert kept(office) == 0


@pytest.mark.parametrize("days", [-400, -3, 3, 400])
def test_a_write_that_is_not_visible_yet_survives_a_clock_that_jumps(office: Office, days: int) -> None:
    team = office.team(3)
    office.cloud.set(read_lag_reads=1, read_lag_shows="missing")
    office.settings["SYNC_CONFLICT"] = "cloud"
    first = office.sync()
    assert (first.totals["created"], first.totals["open_intents"]) == (3, 3)

    jumped = office.sync(days=days)
    again = office.sync(days=-days + 1)

    assert [told.code for told in (jumped, again)] == [0, 0], jumped.err + again.err
    assert [told.totals["conflicts"] for told in (jumped, again)] == [0, 0]
    assert again.totals["unchanged"] == len(team)
    assert again.totals["open_intents"] == 0
    assert len(office.cloud.tenant.writes()) == 3, "nobody was sent twice"


def test_a_clock_set_back_by_days_changes_nothing(office: Office) -> None:
    team = office.team(3)
    office.sync()
    office.paint(team[0], face("new"))

    told = office.sync(days=-5)

    assert (told.code, told.totals["replaced"], told.totals["unchanged"]) == (0, 1, 2), told.err
    assert office.sync(days=6).requests["http"] == 1


def test_whose_photo_was_looked_at_in_the_future_is_looked_at_again_in_turn(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "50"
    team = office.team(4)
    office.sync()
    office.sync(days=3650)
    for one in team:
        office.cloud.tenant.set_photo(one.account_id, face("theirs", 128))

    nights = [office.sync(days=-3649), *(office.sync(days=1) for _ in range(3))]

    assert [told.code for told in nights] == [0, 0, 0, 0]
    assert sum(told.totals["replaced"] for told in nights) == 4, "nobody's turn is put off for ten years"


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_jumps_in_mid_run_harms_nobody(office: Office, days: int) -> None:
    team = office.team(12)
    office.settings["SYNC_CONCURRENCY"] = "1"
    office.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.1, performed=True), times=-1)

    def jump() -> None:
        wait_until(lambda: puts(office) > 2)
        clock.shift(timedelta(days=days))

    with time_machine.travel(datetime.now().astimezone(), tick=True) as clock:
        beside = threading.Thread(target=jump)
        beside.start()
        told = office.sync()
        beside.join()

    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, 12, 0), told.err
    after = office.sync(days=1)
    assert (after.totals["unchanged"], after.totals["conflicts"]) == (len(team), 0)
    assert len(office.cloud.tenant.writes()) == 12
