"""LDAP fails in mid-read: what the administrator sees; a cut read never looks like people who left."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.company import Colleague, Company, face
from tests.lab.graph import Fault
from tests.lab.ldapserver_directory import authority
from tests.lab.pki import Authority
from tests.runner import CommandResult
from tests.test_faults_cloud import meanwhile

CODES = {3: "the server's time limit", 4: "size limit", 51: "busy", 52: "unavailable", 53: "unwilling"}
NAMES = {3: "timeLimitExceeded", 4: "sizeLimitExceeded", 51: "busy", 52: "unavailable", 53: "unwillingToPerform"}


def settled(company: Company, count: int = 25) -> list[Colleague]:
    """Live the first night of a team that is read in pages of ten, with a policy that removes."""
    company.knobs.page_entries = company.knobs.round_entries = 10
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(count)
    assert company.sync().code == 0
    return team


def assert_untouched(company: Company, team: list[Colleague], told: CommandResult, *words: str) -> None:
    """Assert that a run could not read: exit 5, one sentence with the words, and everybody as they were."""
    assert told.code == 5, told.err
    assert all(word in told.err for word in words), told.err
    assert told.totals["unchanged"] == told.totals["people"] == len(team)
    assert all(company.photo(one) for one in team)
    assert len(company.cloud.tenant.writes()) == len(team)


def assert_mended(company: Company, team: list[Colleague], *options: str) -> None:
    """Assert of the next run: the newcomer gets a photo, who cleared theirs loses it, and then all is quiet."""
    told = company.sync(*options, days=1)
    assert told.code == 0, told.err
    assert (told.totals["created"], told.totals["removed"]) == (1, 1)
    assert company.photo(team[0]) is None
    assert company.sync(days=1).requests["http"] == 1


@pytest.mark.parametrize("code", CODES, ids=NAMES.get)
@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_page_that_is_refused_changes_nobody_and_the_next_night_finishes(
    company: Company, code: int, page: int
) -> None:
    team = settled(company)
    company.paint(team[0], None)
    company.hire("zoe")
    company.knobs.refuse_page[page] = (code, "")

    told = company.sync("--full", days=1)

    assert_untouched(company, team, told, CODES[code], f"(LDAP result {code})")
    assert f"No changes were made for the users of {company.ldap.tree.root}" in told.report["notices"][0]
    company.knobs.refuse_page.clear()
    assert_mended(company, team, "--full")


@pytest.mark.parametrize("code", CODES, ids=NAMES.get)
def test_a_round_of_changes_that_is_refused_changes_nobody_and_the_next_night_finishes(
    company: Company, code: int
) -> None:
    team = settled(company)
    company.settings["SYNC_MAX_CHANGES_PERCENT"] = "100"
    for one in team[1:]:
        company.paint(one, face(f"new {one.name}"))
    company.paint(team[0], None)
    company.knobs.refuse_round[2] = (code, "")

    told = company.sync(days=1)

    assert_untouched(company, team, told, CODES[code], f"(LDAP result {code})")
    company.knobs.refuse_round.clear()
    after = company.sync(days=1)
    assert (after.code, after.report["mode"]) == (0, "changes"), after.err
    assert (after.totals["replaced"], after.totals["removed"]) == (24, 1)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_controller_that_is_restarted_in_mid_page_changes_nobody(company: Company, page: int) -> None:
    team = settled(company)
    company.paint(team[0], None)
    company.hire("zoe")
    company.knobs.drop_on_page = page

    told = company.sync("--full", days=1)

    assert_untouched(company, team, told, "the connection failed", "while reading a page")
    company.knobs.drop_on_page = 0
    assert_mended(company, team, "--full")


def hang_up(company: Company) -> None:
    company.ldap.server.hang_up()


def before_the_cloud_answers(company: Company, do: Callable[[], object]) -> threading.Thread:
    """Run `do` after the change of tonight was read and before the first batch of the cloud is answered."""
    company.cloud.fail_next(r"POST .*/\$batch", Fault(kind="hold", performed=True), times=1)

    def do_and_let_go() -> None:
        do()
        company.cloud.faults.let_go()

    return meanwhile(lambda: company.cloud.faults.held > 0, do_and_let_go)


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["changes", "full"])
def test_a_controller_that_is_restarted_between_reading_and_removing_is_found_again(
    company: Company, options: tuple[str, ...]
) -> None:
    team = settled(company, 6)
    company.paint(team[0], None)
    beside = before_the_cloud_answers(company, lambda: hang_up(company))

    told = company.sync(*options, days=1)
    beside.join()

    assert (told.code, told.totals["removed"]) == (0, 1), told.err


def test_a_refused_cookie_is_answered_with_a_full_read_that_loses_no_change(company: Company) -> None:
    team = settled(company, 6)
    company.paint(team[0], None)
    company.paint(team[1], face("new"))
    company.knobs.refuse_cookie = (53, "")

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.report["mode"] == "full"
    assert "refused the cookie of the last reading; everybody was read" in told.report["notices"][0]
    assert (told.totals["replaced"], told.totals["removed"], told.totals["unchanged"]) == (1, 0, 4)
    assert told.of(team[0].upn) == ("skip", "source-unread"), "what was cleared meanwhile, only that cookie could tell"
    assert company.photo(team[0]) is not None
    company.knobs.refuse_cookie = None
    quiet = company.sync(days=1)
    assert (quiet.report["mode"], quiet.requests["http"]) == ("changes", 1)


# ----------------------------------------------------------------------------- another certificate


def swap_certificate(company: Company, other: Authority) -> None:
    """Make the controller show a certificate that nobody here trusts, from the next connection on."""
    company.ldap.server.show(other.issue("localhost"))
    company.ldap.server.hang_up()


def test_a_tls_certificate_that_changes_between_pages_changes_nobody(company: Company, tmp_path_factory) -> None:
    team = settled(company)
    company.paint(team[0], None)
    company.hire("zoe")
    company.knobs.stall_on_page = 2
    strangers = Authority(tmp_path_factory.mktemp("strangers"))
    asked = len(company.ldap.server.asked)
    beside = meanwhile(
        lambda: sum(one.size > 0 for one in company.ldap.server.asked[asked:]) >= 2,
        lambda: swap_certificate(company, strangers),
    )

    told = company.sync("--full", days=1)
    beside.join()

    assert_untouched(company, team, told, "the connection failed")
    company.knobs.stall_on_page = 0
    refused = company.sync("--full", days=1)
    assert_untouched(company, team, refused, "its certificate is not trusted", "LDAP_CA_FILE")
    company.ldap.server.show(authority().issue("localhost"))
    assert_mended(company, team, "--full")


def test_a_tls_certificate_that_changes_before_a_removal_is_confirmed_removes_nobody(
    company: Company, tmp_path_factory
) -> None:
    team = settled(company, 6)
    company.paint(team[0], None)
    strangers = Authority(tmp_path_factory.mktemp("strangers"))
    beside = before_the_cloud_answers(company, lambda: swap_certificate(company, strangers))

    told = company.sync(days=1)
    beside.join()

    assert told.code == 5, told.err
    assert "its certificate is not trusted" in told.err
    assert told.of(team[0].upn) == ("skip", "postponed")
    assert all(company.photo(one) for one in team)
    company.ldap.server.show(authority().issue("localhost"))
    assert company.sync(days=1).totals["removed"] == 1
