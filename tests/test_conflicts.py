"""Whose photo wins when both sides changed? What SYNC_CONFLICT says; a lag or a new tag is never somebody's edit."""

from __future__ import annotations

import pytest

from tests.nights import shown
from tests.office import Office, face


@pytest.mark.parametrize(("conflict", "wins"), [("source", "source"), ("cloud", "cloud"), ("report", "cloud")])
def test_a_photo_edited_in_the_cloud_is_judged_by_the_setting(office: Office, conflict: str, wins: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    team = office.team(4)
    office.sync()
    office.cloud.tenant.set_photo(team[0].account_id, face("edited"))
    office.paint(team[0], face("newer"))
    edited = shown(office.cloud, team[0].account_id)

    told = office.sync(days=1)

    assert told.code == 0, told.err
    is_kept = shown(office.cloud, team[0].account_id).shows_same(edited)
    assert is_kept == (wins == "cloud"), told.of(team[0].upn)
    assert told.totals["conflicts"] == 1


@pytest.mark.parametrize("shows", ["old", "old-tag", "missing"])
def test_a_read_that_lags_behind_a_write_is_no_conflict_and_no_second_upload(office: Office, shows: str) -> None:
    office.cloud.set(read_lag_reads=3, read_lag_shows=shows)
    team = office.team(4)

    nights = [office.sync("--full", days=0.01) for _ in range(4)]

    assert [told.code for told in nights] == [0] * 4
    assert [told.totals["conflicts"] for told in nights] == [0] * 4
    assert len(office.cloud.tenant.writes()) == len(team)


def test_a_tag_that_moves_without_an_edit_is_no_conflict(office: Office) -> None:
    team = office.team(4)
    office.sync()
    for one in team:
        office.cloud.tenant.touch_tag(one.account_id)

    told = office.sync("--full", days=1)

    assert (told.code, told.totals["conflicts"]) == (0, 0)
    assert len(office.cloud.tenant.writes()) == len(team)
