"""How the accounts are read, night by night: delta that says too little, no delta at all, and what is read again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.company import Colleague, Company, anchor_of, face
from tests.lab.graph import Emulator, Fault


def listings(cloud: Emulator) -> int:
    """Count the pages of full listings, and forget what was asked."""
    count = sum(record.path == "/v1.0/users" and record.kind == "graph" for record in cloud.requests)
    cloud.log.clear()
    return count


def damage_link(company: Company, link: str) -> None:
    """Overwrite the link that the last night left."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE cookies SET cookie = ? WHERE context = 'accounts'", (link.encode("utf-8", "surrogatepass"),))


# -- a property that is left out is not empty


@pytest.mark.parametrize(
    "left_out",
    [
        ("onPremisesImmutableId",),
        ("onPremisesSecurityIdentifier",),
        ("onPremisesSyncEnabled", "mail"),
        ("userPrincipalName",),
        ("userType", "accountEnabled"),
    ],
)
def test_a_changed_account_that_delta_tells_in_part_is_read_by_id(company: Company, left_out: tuple[str, ...]) -> None:
    ada = company.hire("ada")
    company.sync()
    company.cloud.set(delta_leaves_out=left_out)
    company.cloud.tenant.update_account(ada.account_id, employee_id="7")
    company.paint(ada, face("ada, older"))

    told = company.sync(days=1)

    assert (told.code, told.of("ada@contoso.test")) == (0, ("replace", "source-changed"))


def test_an_account_that_cannot_be_read_by_id_keeps_what_was_known(company: Company) -> None:
    ada, ben = company.hire("ada"), company.hire("ben")
    company.sync()
    company.cloud.set(delta_leaves_out=("onPremisesImmutableId",))
    company.cloud.fail_next(f"ITEM GET .*{ada.account_id}$", Fault(status=400, code="Request_BadRequest"), times=-1)
    for one in (ada, ben):
        company.cloud.tenant.update_account(one.account_id, employee_id="7")
        company.paint(one, face(f"{one.name}, older"))

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.reasons() == {"source-changed": 2}


def test_a_property_that_is_null_is_empty(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.update_account(ada.account_id, immutable_id=None)

    assert company.sync(days=1).of("ada@contoso.test") == ("skip", "no-account")


# -- links


def test_a_delta_that_repeats_its_next_link_is_left_and_all_accounts_are_listed(company: Company) -> None:
    company.team(3)
    company.sync()
    company.cloud.set(same_next_link=True, page_cap=1)

    told = company.sync(days=1)

    assert told.code == 5, "this cloud repeats the link of its listing, too"
    assert "the same next page twice" in told.err
    notices = " ".join(told.report["notices"])
    assert "The changes of accounts could not be read to the end" in notices
    assert "All accounts were listed again." in notices
    company.cloud.set(same_next_link=False)
    assert company.sync(days=1).totals["unchanged"] == 3


def test_a_listing_that_repeats_its_next_link_ends_the_run(company: Company) -> None:
    company.team(3)
    company.cloud.set(same_next_link=True, delta_refused=400)

    told = company.sync()

    assert told.code == 5
    assert "the same next page twice" in told.err
    assert "/v1.0/users?" in told.err


@pytest.mark.parametrize("link", ["https://[::1", "http://graph.lab/v1.0/users/delta", "\ud800", "delta", ""])
def test_a_remembered_link_that_cannot_be_asked_costs_one_listing(company: Company, link: str) -> None:
    company.team(2)
    company.sync()
    damage_link(company, link)
    listings(company.cloud)

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert listings(company.cloud) == 1
    assert company.sync(days=1).report["notices"] == []
    assert listings(company.cloud) == 0


@pytest.mark.parametrize("status", [400, 403, 404, 501])
def test_a_tenant_without_delta_is_listed_each_night_with_one_notice(company: Company, status: int) -> None:
    ada = company.hire("ada")
    company.cloud.set(delta_refused=status)

    first = company.sync()
    company.paint(ada, face("ada, older"))
    second = company.sync(days=1)

    assert (first.code, second.code) == (0, 0)
    assert second.of("ada@contoso.test") == ("replace", "source-changed")
    for told in (first, second):
        assert [notice for notice in told.report["notices"] if "no delta link" in notice] == told.report["notices"]
        assert len(told.report["notices"]) == 1


def test_a_first_answer_that_is_a_next_link_leads_to_the_delta_link(company: Company) -> None:
    company.team(2)
    company.cloud.set(delta_begins_with_page=True)

    first = company.sync()

    assert (first.code, first.report["notices"]) == (0, [])
    listings(company.cloud)
    assert company.sync(days=1).requests["http"] == 1


# -- what is read again


def undelete(company: Company, one: Colleague) -> None:
    """Give an account back, with the id and the properties that it had."""
    upn = f"{one.name}@contoso.test"
    anchor = anchor_of(one.entry.guid)
    company.cloud.tenant.add_account(upn, id=one.account_id, mail=upn, immutable_id=anchor, synced=True)


def test_an_undeleted_account_that_delta_never_tells_is_found_within_a_week(company: Company) -> None:
    ada = company.hire("ada")
    company.team(3)
    company.sync()
    company.cloud.tenant.remove_account(ada.account_id)
    assert company.sync(days=1).of("ada@contoso.test") == ("skip", "no-account")
    company.cloud.set(delta_silent=[ada.account_id])
    undelete(company, ada)
    listings(company.cloud)

    nights = {day: (company.sync(days=1), listings(company.cloud)) for day in range(2, 8)}

    assert [pages for _, pages in nights.values()] == [0, 0, 0, 0, 0, 1]
    assert nights[6][0].of("ada@contoso.test") == ("skip", "no-account")
    assert (nights[7][0].of("ada@contoso.test"), nights[7][0].totals["unchanged"]) == (None, 4)


@pytest.mark.parametrize(("days", "pages"), [("0", 0), ("3", 1), ("400", 0)])
def test_the_accounts_are_listed_again_after_so_many_days(company: Company, days: str, pages: int) -> None:
    company.team(2)
    company.settings["SYNC_RELIST_DAYS"] = days
    company.sync()
    company.sync(days=2)
    listings(company.cloud)

    told = company.sync(days=1)

    assert (told.code, listings(company.cloud), told.report["notices"]) == (0, pages, [])


@pytest.mark.parametrize(("days", "mode"), [("0", "changes"), ("30", "full"), ("400", "changes")])
def test_the_directory_is_read_again_after_so_many_days(company: Company, days: str, mode: str) -> None:
    company.team(2)
    company.settings["SYNC_REREAD_DAYS"] = days
    company.sync()
    assert company.sync(days=29).report["mode"] == "changes"

    told = company.sync(days=1)

    assert (told.code, told.report["mode"], told.report["notices"]) == (0, mode, [])
    assert told.totals["unchanged"] == 2
    assert company.sync(days=1).report["mode"] == "changes"


# -- whoever lost the account, and whose account answers as gone


def asked_by_id(cloud: Emulator) -> list[str]:
    """Return the batch items that asked for accounts, and forget what was asked."""
    items = [item.path for record in cloud.requests for item in record.items if "/photo" not in item.path]
    cloud.log.clear()
    return items


def test_a_deletion_that_delta_never_tells_ends_within_two_nights(company: Company) -> None:
    ada = company.hire("ada")
    company.team(2)
    company.sync()
    company.cloud.set(delta_silent=[ada.account_id])
    company.cloud.tenant.remove_account(ada.account_id)
    company.paint(ada, face("ada, older"))

    first, second = company.sync(days=1), company.sync(days=1)
    company.cloud.log.clear()
    third = company.sync(days=1)

    assert (first.code, first.of("ada@contoso.test")) == (3, ("fail", "account-gone"))
    assert (second.code, second.of("ada@contoso.test")) == (0, ("skip", "no-account"))
    assert third.requests["http"] == 1, "a quiet night stays at its request"


def test_the_new_account_of_somebody_whose_old_one_is_gone_is_found(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    new_id = "aaaaaaaa-0000-4000-8000-000000000001"
    company.cloud.set(delta_silent=[ada.account_id, new_id])
    company.cloud.tenant.remove_account(ada.account_id)
    anchor = anchor_of(ada.entry.guid)
    company.cloud.tenant.add_account("ada@contoso.test", id=new_id, immutable_id=anchor, synced=True)
    company.paint(ada, face("ada, older"))

    first, second = company.sync(days=1), company.sync(days=1)

    assert (first.code, first.of("ada@contoso.test")) == (3, ("fail", "account-gone"))
    assert (second.code, second.of("ada@contoso.test")) == (0, ("create", "first-upload"))


def test_an_account_that_was_told_as_deleted_and_is_there_again_is_not_lost(company: Company) -> None:
    ada = company.hire("ada")
    company.team(2)
    company.sync()
    company.cloud.tenant.remove_account(ada.account_id)
    company.cloud.set(delta_silent=["nobody"])
    upn, anchor = "ada@contoso.test", anchor_of(ada.entry.guid)
    company.cloud.tenant.add_account(upn, id="bbbbbbbb-0000-4000-8000-000000000002", immutable_id=anchor, synced=True)
    company.cloud.set(delta_silent=["bbbbbbbb-0000-4000-8000-000000000002"])

    told = company.sync(days=1)

    assert (told.code, told.of("ada@contoso.test")) == (0, ("create", "first-upload"))


def test_a_refused_question_for_lost_accounts_is_told(company: Company) -> None:
    team = company.team(3)
    company.sync()
    for one in team[:2]:
        company.cloud.tenant.remove_account(one.account_id)
    refused = Fault(status=400, code="BadRequest", message="Not now.")
    company.cloud.fail_next("ITEM GET /v1.0/users$", refused, times=-1)

    told = company.sync(days=1)

    assert (told.code, told.totals["skipped"]) == (0, 2)
    assert "Graph did not say whether 2 lost accounts are there; the first answer: HTTP 400, BadRequest: Not now." in (
        " ".join(told.report["notices"])
    )


def test_only_those_who_lost_their_account_are_asked_for_and_only_that_night(company: Company) -> None:
    team = company.team(30)
    company.sync()
    for one in team[:2]:
        company.cloud.tenant.remove_account(one.account_id)
    asked_by_id(company.cloud)

    told = company.sync(days=1)

    assert (told.code, told.totals["skipped"]) == (0, 2)
    assert sorted(asked_by_id(company.cloud))[:2] == ["/v1.0/users", "/v1.0/users"]
    assert told.requests["http"] == 3, "the delta, a batch by id, a batch by immutable ID"
    assert company.sync(days=1).requests["http"] == 1


def test_a_night_that_lists_all_accounts_asks_for_none(company: Company) -> None:
    team = company.team(5)
    company.sync()
    company.cloud.tenant.remove_account(team[0].account_id)
    asked_by_id(company.cloud)

    told = company.sync("--full", days=1)

    assert told.code == 0
    assert asked_by_id(company.cloud) == []


def test_a_listing_without_a_single_account_is_not_believed(company: Company) -> None:
    company.team(5)
    company.sync()
    company.cloud.set(lists_nobody=True)

    told = company.sync("--full", days=1)

    assert (told.code, told.totals["skipped"]) == (5, 0)
    assert "without a single one" in told.err
    company.cloud.set(lists_nobody=False)
    next_night = company.sync(days=1)
    assert (next_night.code, next_night.totals["unchanged"]) == (0, 5)


def test_where_very_many_lost_their_accounts_all_are_listed_instead(company: Company) -> None:
    team = [company.hire(f"person{number:03}", photo=None) for number in range(501)]
    company.sync()
    for one in team:
        company.cloud.tenant.remove_account(one.account_id)
    listings(company.cloud)

    told = company.sync(days=1)

    assert (told.code, listings(company.cloud)) == (4, 1), "so many are a brake"
    assert told.requests["http"] == 3


# -- one person by name


def test_somebody_whose_name_begins_with_a_dollar_is_done_alone(company: Company) -> None:
    company.hire("$o'neil")
    company.team(2)

    told = company.sync("--only", "$o'neil@contoso.test")

    assert (told.code, told.of("$o'neil@contoso.test")) == (0, ("create", "first-upload")), told.err


def test_a_name_that_graph_refuses_ends_no_run_of_named_people(company: Company) -> None:
    ada, ben = company.hire("ada", mail="strange@contoso.test"), company.hire("ben")
    company.cloud.fail_next("ITEM GET .*strange", Fault(status=400, code="Request_BadRequest"), times=-1)

    told = company.sync("--only", "ada@contoso.test", "--only", "ben@contoso.test")

    assert told.code == 0, told.err
    assert {told.of(f"{one.name}@contoso.test") for one in (ada, ben)} == {("create", "first-upload")}
    assert "Request_BadRequest" in " ".join(told.report["notices"])


def test_an_account_that_is_gone_is_no_account_for_named_people_either(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.remove_account(ada.account_id)

    told = company.sync("--only", "ada@contoso.test", days=1)

    assert (told.code, told.of("ada@contoso.test")) == (0, ("skip", "no-account"))
