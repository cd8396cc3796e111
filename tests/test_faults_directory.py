"""What does an administrator see when LDAP fails in mid-read? A cut read never looks like people who left."""

from __future__ import annotations

import pytest

from tests.office import Office

CODES = {3: "timeLimitExceeded", 4: "sizeLimitExceeded", 51: "busy", 52: "unavailable", 53: "unwillingToPerform"}
TEN_A_PAGE = 10


@pytest.mark.parametrize("code", CODES, ids=CODES.get)
def test_a_page_that_is_refused_removes_nobody_and_the_next_night_finishes(office: Office, code: int) -> None:
    office.settings.update(SYNC_REMOVED="remove")
    office.knobs.page_entries = TEN_A_PAGE
    team = office.team(25)
    assert office.sync().code == 0
    newcomer = office.hire("zoe")
    office.knobs.refuse_page[2] = (code, "")

    told = office.sync("--full", days=1)

    assert all(office.photo(one) for one in team), told.err
    assert (told.code, told.totals["people"], office.photo(newcomer)) == (5, 25, None), told.err
    office.knobs.refuse_page.clear()
    assert office.sync("--full", days=1).code == 0
    assert office.photo(newcomer)


def test_a_connection_that_drops_on_page_two_removes_nobody(office: Office) -> None:
    office.settings.update(SYNC_REMOVED="remove")
    office.knobs.page_entries = TEN_A_PAGE
    team = office.team(25)
    assert office.sync().code == 0
    office.knobs.drop_on_page = 2

    told = office.sync("--full", days=1)

    assert (told.code, told.totals["people"]) == (5, 25), told.err
    assert all(office.photo(one) for one in team)
    office.knobs.drop_on_page = 0
    assert office.sync("--full", days=1).code == 0


def test_a_refused_cookie_is_answered_with_a_full_read(office: Office) -> None:
    team = office.team(6)
    assert office.sync().code == 0
    office.knobs.refuse_cookie = (53, "")

    told = office.sync(days=1)

    assert told.code == 0, told.err
    assert told.report["mode"] == "full"
    assert len(office.cloud.tenant.writes()) == len(team)
