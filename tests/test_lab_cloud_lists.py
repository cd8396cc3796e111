"""The emulated Graph lists people and reports changes as the facts say."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.caller import Caller, code_of, colour
from tests.lab.graph import Emulator
from tests.lab.graph.tenant import immutable_id

FIELDS = "id,userPrincipalName,mail,userType,accountEnabled,onPremisesSyncEnabled,onPremisesImmutableId,assignedPlans"


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling.sign_in()


def crowd(cloud: Emulator, number: int) -> list[str]:
    people = [{"upn": f"p{i:05}@contoso.com", "immutable_id": f"anchor{i}", "synced": True} for i in range(number)]
    return cloud.tenant.add_accounts(people)


def ids(pages: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for page in pages for entry in page["value"]]


# -- listing


def test_pages_of_999_hold_everybody_once(cloud: Emulator, caller: Caller) -> None:
    wanted = crowd(cloud, 2500)
    pages = caller.pages(f"/users?$select={FIELDS}&$top=999")
    assert [len(page["value"]) for page in pages] == [999, 999, 502]
    assert ids(pages) == wanted
    assert set(pages[0]["value"][0]) == set(FIELDS.split(","))
    assert pages[0]["value"][0]["assignedPlans"][0]["service"] == "exchange"


def test_without_select_nothing_of_the_directory_on_premises_is_told(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 101)
    pages = caller.pages("/users")
    assert [len(page["value"]) for page in pages] == [100, 1]
    assert len(pages[0]["value"][0]) == 11
    assert "onPremisesImmutableId" not in pages[0]["value"][0]
    assert "photo" not in caller.get("/users?$select=id,photo").json()["value"][0]


def test_pages_over_999_and_skip_are_refused(caller: Caller) -> None:
    answer = caller.get("/users?$top=1000")
    assert (answer.status_code, code_of(answer)) == (400, "Request_UnsupportedQuery")
    assert answer.json()["error"]["message"].startswith("Invalid page size specified: '1000'.")
    assert caller.get("/users?$skip=5").status_code == 400
    assert caller.get("/users?$orderby=displayName").status_code == 400


def test_pages_may_be_empty_or_short_and_still_go_on(cloud: Emulator, caller: Caller) -> None:
    wanted = crowd(cloud, 7)
    cloud.set(empty_page=True, page_cap=3)
    pages = caller.pages("/users?$top=999")
    assert [len(page["value"]) for page in pages] == [0, 3, 3, 1]
    assert ids(pages) == wanted
    assert [len(page["value"]) for page in caller.pages("/users/delta")] == [0, 3, 3, 1]


def test_a_listing_may_be_empty(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 2)
    cloud.set(lists_nobody=True)
    assert caller.get("/users").json()["value"] == []


def test_a_next_link_may_lead_astray(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 2)
    cloud.set(foreign_next_link="https://elsewhere.example")
    link = caller.get("/users?$top=1").json()["@odata.nextLink"]
    assert urlsplit(link).netloc == "elsewhere.example"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("userPrincipalName eq 'ANN@contoso.com'", "a"),
        ("mail eq 'bob.mail@contoso.com'", "b"),
        ("onPremisesImmutableId eq 'AbC='", "a"),
        ("onPremisesImmutableId eq 'abc='", ""),
        ("onPremisesImmutableId in ('AbC=','zzz')", "a"),
        ("startswith(userPrincipalName,'bo')", "b"),
        ("userType eq 'Guest'", "g"),
        ("userType in ('Guest') or mail eq 'bob.mail@contoso.com'", "bg"),
        ("accountEnabled eq true and userType eq 'Member'", "ab"),
        ("onPremisesSyncEnabled eq true", "a"),
        ("(userType eq 'Member') and (onPremisesSyncEnabled eq null)", "b"),
        ("mail eq 'o''hara@contoso.com'", "g"),
    ],
)
def test_filters_of_the_plain_kind(cloud: Emulator, caller: Caller, text: str, found: str) -> None:
    add = cloud.tenant.add_account
    people = {
        add("ann@contoso.com", immutable_id="AbC=", synced=True): "a",
        add("bob@contoso.com", mail="bob.mail@contoso.com"): "b",
        add("guest@contoso.com", user_type="Guest", mail="o'hara@contoso.com"): "g",
    }
    got = caller.get("/users", params={"$filter": text, "$select": "id"})
    assert "".join(people[entry["id"]] for entry in got.json()["value"]) == found


def test_many_ids_are_found_at_once(cloud: Emulator, caller: Caller) -> None:
    wanted = crowd(cloud, 40)[10:25]
    listed = ",".join(f"'{key}'" for key in wanted)
    assert ids([caller.get("/users", params={"$filter": f"id in ({listed})"}).json()]) == wanted
    either = " or ".join(f"id eq '{key}'" for key in wanted[:3])
    assert ids([caller.get("/users", params={"$filter": either}).json()]) == wanted[:3]


def test_advanced_filters_need_header_and_count(cloud: Emulator, caller: Caller) -> None:
    wanted = cloud.tenant.add_account("ann@contoso.com", sam_account_name="ANN")
    query = {"$filter": "onPremisesSamAccountName eq 'ann'", "$count": "true"}
    refused = caller.get("/users", params=query)
    assert code_of(refused) == "Request_UnsupportedQuery"
    assert "property 'onPremisesSamAccountName' of resource 'User'" in refused.json()["error"]["message"]
    eventual = {"ConsistencyLevel": "eventual"}
    found = caller.get("/users", params=query, headers=eventual).json()
    assert (ids([found]), found["@odata.count"]) == ([wanted], 1)
    assert caller.get("/users/$count").json()["error"]["message"] == "$count is not currently supported."
    assert caller.get("/users/$count", headers=eventual).text == "1"
    assert "@odata.count" not in caller.get("/users?$count=true").json()


@pytest.mark.parametrize("text", ["id eq", "id like 'x'", "mail eq 'x' trailing 'y'", "displayName eq 'x'", "#"])
def test_filters_that_are_none_are_refused(caller: Caller, text: str) -> None:
    assert caller.get("/users", params={"$filter": text}).status_code == 400


def test_one_user_is_found_by_id_and_upn(cloud: Emulator, caller: Caller) -> None:
    anchor = immutable_id(uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"))
    account_id = cloud.tenant.add_account("ann@contoso.com", immutable_id=anchor)
    assert anchor == "MyIRAFVEd2aImaq7zN3u/w=="
    assert caller.get("/users/ann@contoso.com").json()["id"] == account_id
    assert caller.get(f"/users/{account_id}?$select=onPremisesImmutableId").json()["onPremisesImmutableId"] == anchor
    cloud.tenant.remove_account(account_id)
    gone = caller.get(f"/users/{account_id}")
    assert (gone.status_code, code_of(gone)) == (404, "Request_ResourceNotFound")


# -- delta


def delta_link(pages: list[dict[str, Any]]) -> str:
    return str(pages[-1]["@odata.deltaLink"]).partition("/v1.0")[2]


def test_delta_tells_the_new_the_changed_and_the_removed_but_never_photos(cloud: Emulator, caller: Caller) -> None:
    first, second, third = crowd(cloud, 3)
    snapshot = caller.pages(f"/users/delta?$select={FIELDS}&$top=2")
    assert ids(snapshot) == [first, second, third]
    assert ["@odata.deltaLink" in page for page in snapshot] == [False, True]
    cloud.tenant.set_photo(first, colour())
    quiet = caller.pages(delta_link(snapshot))
    assert ids(quiet) == []
    cloud.tenant.update_account(second, mail="new@contoso.com")
    cloud.tenant.remove_account(third, reason="deleted")
    fourth = cloud.tenant.add_account("late@contoso.com")
    changed = caller.pages(delta_link(quiet))[0]["value"]
    assert [entry["id"] for entry in changed] == [second, fourth, third]
    assert changed[2] == {"id": third, "@removed": {"reason": "deleted"}}
    assert set(changed[0]) == set(FIELDS.split(","))


def test_a_change_of_what_was_not_selected_is_not_told(cloud: Emulator, caller: Caller) -> None:
    (ann,) = crowd(cloud, 1)
    link = delta_link(caller.pages("/users/delta?$select=mail"))
    cloud.tenant.update_account(ann, display_name="Ann")
    assert ids(caller.pages(link)) == []


def test_minimal_answers_carry_only_what_changed(cloud: Emulator, caller: Caller) -> None:
    (ann,) = crowd(cloud, 1)
    minimal = {"Prefer": "return=minimal"}
    link = delta_link(caller.pages("/users/delta?$select=id,mail,userType", headers=minimal))
    cloud.tenant.update_account(ann, mail="x@contoso.com")
    assert caller.get(link, headers=minimal).json()["value"] == [{"id": ann, "mail": "x@contoso.com"}]


def test_a_fresh_token_comes_without_people(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 5)
    latest = caller.pages("/users/delta?$select=id&$deltatoken=latest")
    assert (len(latest), ids(latest)) == (1, [])
    late = cloud.tenant.add_account("late@contoso.com")
    assert ids(caller.pages(delta_link(latest))) == [late]


def test_a_change_during_the_snapshot_is_told_afterwards(cloud: Emulator, caller: Caller) -> None:
    first, _ = crowd(cloud, 2)
    page = caller.get("/users/delta?$select=id,mail&$top=1").json()
    cloud.tenant.update_account(first, mail="meanwhile@contoso.com")
    rest = caller.pages(page["@odata.nextLink"].partition("/v1.0")[2])
    assert ids(caller.pages(delta_link(rest))) == [first]


def test_an_expired_token_is_refused_in_two_ways(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 1)
    link = delta_link(caller.pages("/users/delta"))
    cloud.set(delta_expired=410)
    gone = caller.get(link)
    assert gone.status_code == 410
    assert "/users/delta?$deltatoken=" in gone.headers["Location"]
    cloud.set(delta_expired=400)
    assert code_of(caller.get(link)) == "syncStateNotFound"
    cloud.set(delta_expired=0)
    assert caller.get(link).status_code == 200
    cloud.tenant.expire_delta()
    assert code_of(caller.get(link)) == "syncStateNotFound"
    assert caller.get("/users/delta?$deltatoken=rubbish").status_code == 400


def test_delta_may_be_narrowed_to_fifty_ids(cloud: Emulator, caller: Caller) -> None:
    everybody = crowd(cloud, 60)
    for number, status in ((50, 200), (51, 400)):
        text = " or ".join(f"id eq '{key}'" for key in everybody[:number])
        answer = caller.get("/users/delta", params={"$filter": text})
        assert answer.status_code == status
    assert caller.get("/users/delta", params={"$filter": "mail eq 'x'"}).status_code == 400


# -- the troubles that people report of delta (F 13)


def test_one_and_the_same_next_link_comes_for_ever(cloud: Emulator, caller: Caller) -> None:
    crowd(cloud, 3)
    cloud.set(same_next_link=True)
    link = caller.get("/users?$select=id").json()["@odata.nextLink"].partition("/v1.0")[2]
    assert caller.get(link).json()["@odata.nextLink"].endswith(link)


def test_delta_may_be_refused_or_begin_with_a_page(cloud: Emulator, caller: Caller) -> None:
    cloud.set(delta_refused=403)
    assert caller.get("/users/delta?$select=id").status_code == 403
    cloud.set(delta_refused=0, delta_begins_with_page=True)
    first = caller.get("/users/delta?$select=id&$deltatoken=latest").json()
    assert "@odata.nextLink" in first
    assert "@odata.deltaLink" not in first


def test_delta_may_leave_properties_out_and_be_silent_about_somebody(cloud: Emulator, caller: Caller) -> None:
    told, silent = crowd(cloud, 2)
    link = delta_link(caller.pages("/users/delta?$select=id,mail,userType"))
    cloud.set(delta_leaves_out=("userType",), delta_silent=(silent,))
    for account_id in (told, silent):
        cloud.tenant.update_account(account_id, mail="new@contoso.com")
    (changed,) = caller.pages(link)[0]["value"]
    assert (changed["id"], changed["mail"]) == (told, "new@contoso.com")
    assert "userType" not in changed
