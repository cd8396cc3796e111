"""`--resend` sends all pictures anew, in another size or crop, a limit at a time."""

from __future__ import annotations

import pytest

from connector.photo import read_print
from tests.company import Company, face
from tests.runner import CommandResult


def sent_to(company: Company) -> list[str]:
    """Name the accounts that were written to, in order."""
    return [write.account_id for write in company.cloud.tenant.writes()]


def resend(company: Company) -> CommandResult:
    """Send again, a day later."""
    return company.sync("--resend", days=1)


def test_another_size_is_sent_to_nobody_until_somebody_asks(company: Company) -> None:
    one = company.hire("anna", photo=face("anna", 200))
    company.sync()
    company.settings["PHOTO_SIZE"] = "96"

    plain = company.sync(days=1)
    asked = resend(company)
    after = company.sync(days=1)

    assert (plain.totals["unchanged"], asked.totals["replaced"], after.totals["unchanged"]) == (1, 1, 1), asked.err
    assert asked.of(one.upn) == ("replace", "resent")
    shown = company.photo(one)
    assert shown is not None
    assert read_print(shown).edge == 96
    assert len(sent_to(company)) == 2


def test_several_resends_with_a_limit_reach_everybody_in_turn(company: Company) -> None:
    team = {one.account_id for one in company.team(5)}
    company.sync()
    company.settings["SYNC_MAX_UPLOADS"] = "2"

    results = [resend(company) for _ in range(3)]

    assert [told.code for told in results] == [7, 7, 7]
    again = sent_to(company)[5:]
    assert (len(again), len(set(again[:4]))) == (6, 4)
    assert set(again) == team


@pytest.mark.parametrize("force", [False, True], ids=["without-force", "with-force"])
def test_resending_to_many_is_braked_until_it_is_meant(company: Company, force: bool) -> None:
    company.team(20)
    company.sync()

    told = company.sync("--resend", *(["--force"] if force else []), days=1)

    assert told.code == (0 if force else 4), told.err
    assert len(sent_to(company)) == 20 + 20 * force


def test_a_resend_that_is_stopped_names_the_command_that_goes_on(company: Company) -> None:
    company.team(3)
    company.sync()
    company.settings["SYNC_MAX_UPLOADS"] = "2"

    stopped = resend(company)
    rest = resend(company)

    assert stopped.code == 7
    assert any("sync --resend` once more" in notice for notice in stopped.report["notices"])
    assert stopped.totals["replaced"] == rest.totals["replaced"] == 2
