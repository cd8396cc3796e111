"""Does the lab's Graph list people, tell of changes and answer batches as the facts say?"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.caller import PHOTO, VALUE, Caller, code_of, colour, pixels
from tests.lab.graph import Emulator, Fault
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


def get_item(number: int, account_id: str, *, value: bool = False) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": (VALUE if value else PHOTO).format(account_id)}


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


# -- batches


def test_a_batch_of_photos_comes_back_in_any_order(cloud: Emulator, caller: Caller) -> None:
    people = crowd(cloud, 20)
    for account_id in people[:10]:
        cloud.tenant.set_photo(account_id, colour(100))
    asked = [get_item(number, account_id, value=number % 2 == 0) for number, account_id in enumerate(people)]
    raw = caller.call("POST", "/$batch", json={"requests": asked})
    assert [item["id"] for item in raw.json()["responses"]] != [item["id"] for item in asked]
    items = {item["id"]: item for item in raw.json()["responses"]}
    assert pixels(base64.b64decode(items["0"]["body"]))[0] == (100, 100)
    assert items["0"]["headers"]["Content-Type"] == "image/jpeg"
    assert items["0"]["headers"]["ETag"] == cloud.tenant.photos()[people[0]].tag
    assert items["1"]["body"]["@odata.mediaEtag"] == cloud.tenant.photos()[people[1]].tag
    assert (items["19"]["status"], items["19"]["body"]["error"]["code"]) == (404, "ImageNotFound")
    record = cloud.requests[-1]
    assert (len(record.items), record.items[0].path) == (20, f"/v1.0/users/{people[0]}/photo/$value")
    cloud.set(batch_shuffled=False)
    raw = caller.call("POST", "/$batch", json={"requests": asked})
    assert [item["id"] for item in raw.json()["responses"]] == [item["id"] for item in asked]


def test_a_malformed_batch_fails_as_a_whole(cloud: Emulator, caller: Caller) -> None:
    def status(*asked: dict[str, Any]) -> tuple[int, str]:
        answer = caller.call("POST", "/$batch", json={"requests": list(asked)})
        return answer.status_code, code_of(answer)

    (ann,) = crowd(cloud, 1)
    cloud.set(batch_limit_code="TooMany")
    assert status(*(get_item(number, ann) for number in range(21))) == (400, "TooMany")
    assert status(get_item(1, ann) | {"id": "a"}, get_item(1, ann) | {"id": "A"}) == (400, "BadRequest")
    assert status({"id": "1"}) == (400, "BadRequest")
    assert caller.call("POST", "/$batch", data=b"[").status_code == 400


def test_an_item_fails_alone_and_its_children_with_it(cloud: Emulator, caller: Caller) -> None:
    (ann,) = crowd(cloud, 1)
    nested = {
        "id": "4",
        "method": "POST",
        "url": "/$batch",
        "body": {},
        "headers": {"Content-Type": "application/json"},
    }
    untyped = {"id": "5", "method": "PUT", "url": VALUE.format(ann), "body": "AAAA"}
    child = get_item(2, ann) | {"dependsOn": ["1"]}
    items = caller.batch(get_item(1, ann), child, {"id": "3", "method": "GET", "url": "users"}, nested, untyped)
    assert {key: item["status"] for key, item in items.items()} == {"1": 404, "2": 424, "3": 200, "4": 400, "5": 400}


def test_a_photo_put_inside_a_batch_is_a_doubt(cloud: Emulator, caller: Caller) -> None:
    (ann,) = crowd(cloud, 1)
    body = {"headers": {"Content-Type": "image/jpeg"}, "body": base64.b64encode(colour()).decode()}
    item = {"id": "1", "method": "PUT", "url": VALUE.format(ann)} | body
    assert caller.batch(item)["1"]["status"] == 200
    cloud.set(batch_put=False)
    assert caller.batch(item)["1"]["status"] == 400
    assert len(cloud.tenant.writes()) == 1


@pytest.mark.parametrize("form", ["standard", "urlsafe", "unpadded"])
def test_the_base64_of_an_item_has_more_than_one_spelling(cloud: Emulator, caller: Caller, form: str) -> None:
    (ann,) = crowd(cloud, 1)
    cloud.set(item_base64=form, reencode="none")
    sent = colour() + b"\xfb\xff\xfe" * 4
    sent += b"." * (1 + -len(sent) % 3)  # so that the text ends in padding
    cloud.tenant.set_photo(ann, sent)
    text = caller.batch(get_item(1, ann, value=True))["1"]["body"]
    standard = base64.b64encode(sent).decode()
    spelt = {"standard": standard, "urlsafe": base64.urlsafe_b64encode(sent).decode(), "unpadded": standard.rstrip("=")}
    assert text == spelt[form]


@pytest.mark.parametrize("case", ["usual", "lower", "mixed"])
def test_items_are_throttled_alone_with_their_own_wait(cloud: Emulator, caller: Caller, case: str) -> None:
    people = crowd(cloud, 20)
    cloud.set(item_storm_percent=40, item_header_case=case, retry_after_seconds=7)
    items = caller.batch(*(get_item(number, account_id) for number, account_id in enumerate(people)))
    throttled = [item for item in items.values() if item["status"] == 429]
    assert 0 < len(throttled) < 20
    assert all("7" in [item["headers"].get("Retry-After"), item["headers"].get("retry-after")] for item in throttled)
    names = {name for item in items.values() for name in item["headers"] if name.casefold() == "content-type"}
    assert names == {"usual": {"Content-Type"}, "lower": {"content-type"}}.get(case, {"Content-Type", "content-type"})
    assert throttled[0]["body"]["error"]["code"] == "TooManyRequests"


def test_more_than_four_items_for_one_mailbox_are_too_many(cloud: Emulator, caller: Caller) -> None:
    (ann,) = crowd(cloud, 1)
    items = caller.batch(*(get_item(number, ann) for number in range(6)))
    assert sorted(item["status"] for item in items.values()) == [404] * 4 + [429] * 2


def test_a_planned_fault_can_hit_one_item(cloud: Emulator, caller: Caller) -> None:
    first, second = crowd(cloud, 2)
    cloud.fail_next(f"ITEM GET /v1.0/users/{second}/photo", Fault(status=504))
    items = caller.batch(get_item(1, first), get_item(2, second))
    assert (items["1"]["status"], items["2"]["status"]) == (404, 504)
