"""Accounts of the tenant, and twenty requests in one: listing, changes, and batches."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from connector.cloud import Cloud, open_cloud
from connector.cloud.accounts import (
    FIELDS,
    LinkExpired,
    NoDelta,
    changes,
    get_accounts,
    latest_link,
    list_accounts,
    list_pages,
)
from connector.cloud.batch import batch_get, decode_photo
from connector.cloud.photo_errors import PolicyUnread, read_policy
from connector.errors import Unreachable
from connector.model import Account, RequestCounters
from tests.cloud_stories import (
    Reply,
    Scripted,
    as_json,
    picture,
    settings_for,
)
from tests.lab.graph import Emulator, Fault

pytestmark = pytest.mark.usefixtures("no_proxy_settings")


@pytest.fixture
def opened(cloud: Emulator) -> Iterator[Cloud]:
    with open_cloud(settings_for(cloud), RequestCounters()) as held:
        yield held


def whole(account_id: str, upn: str, **given: object) -> dict[str, object]:
    """Return an account as Graph tells it, with every property; what is not given is null."""
    return {**dict.fromkeys(FIELDS), "id": account_id, "userPrincipalName": upn, **given}


def everybody(opened: Cloud) -> list[Account]:
    return [account for page in list_accounts(opened.transport) for account in page]


def batch_answer(body: bytes, *items: object) -> Reply:
    """Answer a batch with the same items for each request, by number."""
    assert json.loads(body)["requests"]
    return as_json({"responses": list(items)})


# -- listing


def test_a_big_tenant_comes_in_pages_of_999(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(1100))
    pages = list(list_accounts(opened.transport))
    assert [len(page) for page in pages] == [999, 101]
    assert [account.id for page in pages for account in page] == ids
    assert cloud.counts()["graph"] == 2


@pytest.mark.parametrize("switches", [{"empty_page": True}, {"page_cap": 2}, {"page_cap": 2, "empty_page": True}])
def test_short_and_empty_pages_are_not_the_end(cloud: Emulator, opened: Cloud, switches: dict[str, object]) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(5))
    cloud.set(**switches)
    assert [account.id for account in everybody(opened)] == ids


def test_an_account_carries_all_that_matching_needs(cloud: Emulator, opened: Cloud) -> None:
    account_id = cloud.tenant.add_account(
        "ada@lab",
        mail="ada.lovelace@lab",
        immutable_id="q83vASNFZ4mrze8BI0VniQ==",
        sid="S-1-5-21-1-2-3-1104",
        sam_account_name="ada",
        employee_id="0007",
        synced=True,
        enabled=False,
    )
    assert everybody(opened) == [
        Account(
            id=account_id,
            upn="ada@lab",
            mail="ada.lovelace@lab",
            sam_account_name="ada",
            employee_id="0007",
            immutable_id="q83vASNFZ4mrze8BI0VniQ==",
            sid="S-1-5-21-1-2-3-1104",
            is_enabled=False,
            is_synced=True,
        )
    ]


@pytest.mark.parametrize(("value", "is_synced"), [(True, True), (False, False), (None, False)])
def test_only_true_means_synced(cloud: Emulator, opened: Cloud, value: object, is_synced: bool) -> None:
    cloud.tenant.add_account("ada@lab", synced=value)
    assert everybody(opened)[0].is_synced is is_synced


@pytest.mark.parametrize(("value", "is_guest"), [("Guest", True), ("guest", True), ("Member", False), (None, False)])
def test_guests_are_told_from_members(cloud: Emulator, opened: Cloud, value: object, is_guest: bool) -> None:
    cloud.tenant.add_account("ada@lab", user_type=value)
    assert everybody(opened)[0].is_guest is is_guest


@pytest.mark.parametrize("state", ["Enabled", "Warning", "Suspended", "Deleted", "LockedOut"])
def test_exchange_is_told_only_by_a_plan_that_works(cloud: Emulator, opened: Cloud, state: str) -> None:
    plan = {"capabilityStatus": state, "service": "exchange", "servicePlanId": "x", "assignedDateTime": None}
    cloud.tenant.update_account(cloud.tenant.add_account("ada@lab"), assignedPlans=[plan])
    (page,) = list_accounts(opened.transport, plans=True)
    assert page[0].has_exchange is (state in ("Enabled", "Warning"))
    assert not everybody(opened)[0].has_exchange, "not asked for, so not known"


@pytest.mark.parametrize(
    ("plan", "has_mailbox"),
    [
        ("113feb6c-3fe4-4440-bddc-54d774bf0318", False),  # Exchange Foundation
        ("176a09a6-7ec5-4039-ac02-b2791c6ba793", False),  # Exchange Online Archiving
        ("9F431833-0334-42DE-A7DC-70AA40DB46DB", False),  # Customer Lockbox
        ("34c0d7a0-a70f-4668-9238-47f9fc208882", False),  # Microsoft MyAnalytics
        ("efb87545-963c-4e0d-99df-69c6916d9eb0", True),  # Exchange Online (Plan 2)
    ],
)
def test_a_plan_of_exchange_without_a_mailbox_is_no_exchange_online(
    cloud: Emulator, opened: Cloud, plan: str, has_mailbox: bool
) -> None:
    held = {"capabilityStatus": "Enabled", "service": "exchange", "servicePlanId": plan, "assignedDateTime": None}
    cloud.tenant.update_account(cloud.tenant.add_account("ada@lab"), assignedPlans=[held])
    (page,) = list_accounts(opened.transport, plans=True)
    assert page[0].has_exchange is has_mailbox


def test_without_the_role_the_run_ends(cloud: Emulator, opened: Cloud) -> None:
    cloud.issuer.set_roles("ProfilePhoto.ReadWrite.All")
    with pytest.raises(Unreachable, match=r"may not list users.*Authorization_RequestDenied.*request-id") as caught:
        everybody(opened)
    assert "User.Read.All" in caught.value.fix


@pytest.mark.parametrize(
    ("kind", "words"),
    [("wrong-content", "a web page came in place of the list of users"), ("empty", "did not answer as Graph does")],
)
def test_an_answer_that_is_not_graphs_ends_the_run(cloud: Emulator, opened: Cloud, kind: str, words: str) -> None:
    cloud.fail_next("GET /v1.0", Fault(kind=kind), times=-1)
    with pytest.raises(Unreachable, match=words):
        everybody(opened)


def test_a_listing_that_breaks_off_is_no_listing(cloud: Emulator, opened: Cloud) -> None:
    cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(5))
    cloud.set(page_cap=2)
    cloud.fail_next("GET /v1.0", Fault(status=400, code="Directory_ExpiredPageToken", skip=1))
    with pytest.raises(Unreachable, match="Directory_ExpiredPageToken"):
        everybody(opened)


def test_a_next_link_to_another_host_is_not_followed(cloud: Emulator, opened: Cloud) -> None:
    cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(5))
    cloud.set(page_cap=2, foreign_next_link="https://graph.evil.example/v1.0/users?$skiptoken=x")
    with pytest.raises(Unreachable, match=r"graph\.evil\.example"):
        everybody(opened)


# -- changes


def test_what_changed_since_the_link_is_told_once(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab", "mail": f"p{number}@mail"} for number in range(5))
    link = latest_link(opened.transport)
    new = cloud.tenant.add_account("new@lab")
    cloud.tenant.update_account(ids[0], upn="renamed@lab")
    cloud.tenant.update_account(ids[1], mail=None)
    cloud.tenant.remove_account(ids[2])
    cloud.tenant.remove_account(ids[3], reason="deleted")
    pages = list(changes(opened.transport, link))
    told = {account.id: account for page in pages for account in page.accounts}
    assert set(told) == {new, ids[0], ids[1]}
    assert (told[ids[0]].upn, told[ids[0]].mail) == ("renamed@lab", "p0@mail")
    assert told[ids[1]].mail == ""
    assert {one for page in pages for one in page.removed_ids} == {ids[2], ids[3]}
    assert [page.next_delta_link is None for page in pages] == [True] * (len(pages) - 1) + [False]
    (quiet,) = changes(opened.transport, pages[-1].next_delta_link or "")
    assert (quiet.accounts, quiet.removed_ids) == ((), ())


def test_changes_in_many_pages_carry_the_link_only_on_the_last(cloud: Emulator, opened: Cloud) -> None:
    link = latest_link(opened.transport)
    cloud.set(page_cap=2, empty_page=True)
    cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(5))
    pages = list(changes(opened.transport, link))
    assert sum(len(page.accounts) for page in pages) == 5
    assert [page.next_delta_link is not None for page in pages] == [False] * (len(pages) - 1) + [True]


def test_plans_are_told_of_changes_too(cloud: Emulator, opened: Cloud) -> None:
    link = latest_link(opened.transport, plans=True)
    cloud.tenant.add_account("ada@lab", exchange=True)
    (page,) = changes(opened.transport, link, plans=True)
    assert page.accounts[0].has_exchange


@pytest.mark.parametrize("status", [400, 410])
def test_an_expired_link_is_told_apart(cloud: Emulator, opened: Cloud, status: int) -> None:
    link = latest_link(opened.transport)
    cloud.set(delta_expired=status)
    with pytest.raises(LinkExpired, match="syncStateNotFound"):
        list(changes(opened.transport, link))


def test_a_link_of_another_cloud_counts_as_expired(opened: Cloud) -> None:
    with pytest.raises(LinkExpired, match="another Graph host"):
        list(changes(opened.transport, "https://graph.microsoft.us/v1.0/users/delta?$deltatoken=x"))


def test_an_object_that_comes_in_part_is_read_whole(cloud: Emulator, tmp_path: Path) -> None:
    ada = whole("1", "ada@lab", mail="ada@mail", onPremisesImmutableId="abc")

    def say(method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            found = {"id": "0", "status": 200, "body": ada}
            gone = {"id": "1", "status": 404, "body": {"error": {"code": "Request_ResourceNotFound"}}}
            return batch_answer(body, found, gone)
        part = [{"id": "1", "mail": "ada@mail"}, {"id": "2", "mail": "gone@mail"}]
        return as_json({"value": part, "@odata.deltaLink": f"{server.url}/v1.0/users/delta?$deltatoken=2"})

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        (page,) = changes(opened.transport, f"{server.url}/v1.0/users/delta?$deltatoken=1")
    assert page.accounts == (Account(id="1", upn="ada@lab", mail="ada@mail", immutable_id="abc"),)
    assert page.removed_ids == ()


def test_more_than_a_thousand_accounts_in_part_are_listed_rather_than_asked_for_one_by_one(
    cloud: Emulator, opened: Cloud
) -> None:
    link = latest_link(opened.transport)
    cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(1001))
    cloud.set(delta_leaves_out=["mail"])
    with pytest.raises(LinkExpired, match="more than 1000 changed accounts only in part"):
        list(changes(opened.transport, link))


def test_of_an_account_that_is_told_several_times_the_last_word_counts(cloud: Emulator, tmp_path: Path) -> None:
    gone = {"@removed": {"reason": "changed"}}
    restored = [{"id": "1", **gone}, whole("1", "ada@lab")]
    deleted = [whole("2", "bob@lab"), {"id": "2", **gone}]

    def say(method: str, path: str, body: bytes) -> Reply:
        return as_json(
            {"value": restored + deleted, "@odata.deltaLink": f"{server.url}/v1.0/users/delta?$deltatoken=2"}
        )

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        (page,) = changes(opened.transport, f"{server.url}/v1.0/users/delta?$deltatoken=1")
    assert page.accounts == (Account(id="1", upn="ada@lab"),)
    assert page.removed_ids == ("2",)


def test_no_link_at_all_is_told_apart(cloud: Emulator, tmp_path: Path) -> None:
    with (
        Scripted(lambda *_: as_json({"value": []})) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
        pytest.raises(NoDelta, match="no delta link"),
    ):
        latest_link(opened.transport)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_tenant_that_refuses_delta_is_told_apart(cloud: Emulator, opened: Cloud, status: int) -> None:
    cloud.set(delta_refused=status)
    with pytest.raises(NoDelta, match="Request_UnsupportedQuery"):
        latest_link(opened.transport)


def test_a_first_answer_that_is_a_next_link_is_followed_to_the_delta_link(cloud: Emulator, opened: Cloud) -> None:
    old = cloud.tenant.add_account("old@lab")
    cloud.set(delta_begins_with_page=True)
    link = latest_link(opened.transport)
    new = cloud.tenant.add_account("new@lab")
    (page,) = changes(opened.transport, link)
    assert [account.id for account in page.accounts] == [new] != [old]


@pytest.mark.parametrize("link", ["", 7, {"url": "x"}])
def test_a_next_link_that_names_no_page_is_not_the_end_of_the_list(
    cloud: Emulator, tmp_path: Path, link: object
) -> None:
    with (
        Scripted(lambda *_: as_json({"value": [whole("1", "ada@lab")], "@odata.nextLink": link})) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
        pytest.raises(Unreachable, match="did not answer as Graph does"),
    ):
        everybody(opened)


def test_a_next_link_that_repeats_itself_ends_a_listing(cloud: Emulator, opened: Cloud) -> None:
    cloud.tenant.add_account("ada@lab")
    cloud.set(same_next_link=True)
    with pytest.raises(Unreachable, match=r"the same next page twice \(https://127.*/v1\.0/users\?"):
        everybody(opened)
    assert cloud.counts()["graph"] == 2


def test_a_next_link_that_repeats_itself_ends_a_delta(cloud: Emulator, opened: Cloud) -> None:
    link = latest_link(opened.transport)
    cloud.set(same_next_link=True)
    with pytest.raises(LinkExpired, match="the same next page twice"):
        list(changes(opened.transport, link))


def test_pages_without_end_end_at_a_bound(cloud: Emulator, tmp_path: Path) -> None:
    def say(method: str, path: str, body: bytes) -> Reply:
        return as_json({"value": [], "@odata.nextLink": f"{server.url}/v1.0/users?$skiptoken={len(server.asked)}"})

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        with pytest.raises(Unreachable, match="does not end after 20 pages"):
            list(list_pages(opened.transport, most=20))
        with pytest.raises(LinkExpired, match="does not end after 20 pages"):
            list(changes(opened.transport, f"{server.url}/v1.0/users/delta?$deltatoken=1", most=20))


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.evil.example/v1.0/users/delta?$deltatoken=x",
        "{http}/v1.0/users/delta?$deltatoken=x",
        "https://[::1/v1.0/users/delta",
        "https://127.0.0.1:port/",
        "{url}/v1.0/users/delta?$deltatoken=a b",
        "{url}/v1.0/users/delta?$deltatoken=\ufffd",
        "{url}/v1.0/users/delta?$deltatoken=x\r\nHost: evil",
        "nonsense",
        "",
    ],
)
def test_a_link_that_cannot_be_asked_counts_as_expired(cloud: Emulator, opened: Cloud, link: str) -> None:
    url = opened.transport.origin
    asked = link.format(url=url, http=url.replace("https:", "http:"))
    with pytest.raises(LinkExpired):
        list(changes(opened.transport, asked or "nonsense"))
    assert cloud.counts().get("graph", 0) == 0


# -- a few by id


def test_a_few_are_read_in_batches_and_the_missing_left_out(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(45))
    cloud.tenant.remove_account(ids[7])
    found = get_accounts(opened.transport, ids)
    assert [account.id for account in found] == ids[:7] + ids[8:]
    assert cloud.counts()["batch"] == 3 == cloud.counts()["graph"]


def test_one_is_found_by_a_upn_with_awkward_characters(cloud: Emulator, opened: Cloud) -> None:
    upn = "o'neil_lab.com#EXT#@contoso.com"
    account_id = cloud.tenant.add_account(upn)
    assert [account.id for account in get_accounts(opened.transport, [upn])] == [account_id]


def test_a_name_that_begins_with_a_dollar_is_found(cloud: Emulator, opened: Cloud) -> None:
    account_id = cloud.tenant.add_account("$o'neil@lab")
    assert [account.id for account in get_accounts(opened.transport, ["$o'neil@lab"])] == [account_id]


def test_a_name_that_graph_refuses_is_the_trouble_of_that_name_alone(cloud: Emulator, opened: Cloud) -> None:
    account_id = cloud.tenant.add_account("ada@lab")
    cloud.fail_next("ITEM GET .*strange", Fault(status=400, code="Request_BadRequest"))
    assert [account.id for account in get_accounts(opened.transport, ["strange", "ada@lab"])] == [account_id]


def test_ten_accounts_in_a_row_that_cannot_be_read_end_the_run(cloud: Emulator, opened: Cloud) -> None:
    cloud.fail_next("ITEM GET", Fault(status=400, code="Request_BadRequest"), times=-1)
    with pytest.raises(Unreachable, match=r"10 accounts in a row could not be read.*Request_BadRequest"):
        get_accounts(opened.transport, [f"p{number}@lab" for number in range(10)])


# -- batches


@pytest.mark.parametrize("alphabet", ["standard", "urlsafe", "unpadded"])
@pytest.mark.parametrize("case", ["usual", "lower", "mixed"])
def test_items_come_in_any_order_and_spelling(cloud: Emulator, opened: Cloud, alphabet: str, case: str) -> None:
    cloud.set(item_base64=alphabet, item_header_case=case, reencode="none")
    pictures = {cloud.tenant.add_account(f"p{number}@lab"): picture(number) for number in range(20)}
    cloud.tenant.set_photos(pictures)
    answers = batch_get(opened.transport, {one: f"/users/{one}/photo/$value" for one in pictures})
    assert {key: decode_photo(answer.body) for key, answer in answers.items()} == pictures
    assert all(answer.headers["content-type"] == "image/jpeg" for answer in answers.values())


def test_throttled_items_are_asked_again_after_the_longest_wait(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(20))
    for one, wait in zip(ids, ("0.3", "1.2", "0.5"), strict=False):
        cloud.fail_next(f"ITEM GET .*{one}", Fault(status=429, retry_after=wait))
    answers = batch_get(opened.transport, {one: f"/users/{one}" for one in ids})
    assert [answers[one].status for one in ids] == [200] * 20
    assert [len(record.items) for record in cloud.log.records() if record.items] == [20, 3]
    assert cloud.violations() == []
    assert opened.transport.pace()["waits"] == 1
    assert opened.transport.pace()["lanes_lowest"] == 2


def test_a_storm_over_items_is_survived(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(20))
    cloud.set(
        item_storm_percent=20, retry_after_forms=["integer", "decimal", "date", "absent"], retry_after_seconds=0.2
    )
    answers = batch_get(opened.transport, {one: f"/users/{one}" for one in ids})
    assert {answer.status for answer in answers.values()} == {200}
    assert cloud.violations() == []


def test_an_item_that_stays_broken_keeps_its_answer_and_harms_no_other(cloud: Emulator, opened: Cloud) -> None:
    ids = cloud.tenant.add_accounts({"upn": f"p{number}@lab"} for number in range(3))
    cloud.fail_next(f"ITEM GET .*{ids[1]}", Fault(status=500, code="ErrorStoreInternalServerError"), times=-1)
    answers = batch_get(opened.transport, {one: f"/users/{one}" for one in ids})
    assert [answers[one].status for one in ids] == [200, 500, 200]
    assert [len(record.items) for record in cloud.log.records() if record.items] == [3, 1, 1]


def test_a_whole_batch_that_is_refused_is_each_items_answer(cloud: Emulator, opened: Cloud) -> None:
    cloud.fail_next("POST /v1.0", Fault(status=400, code="BadRequest"), times=-1)
    answers = batch_get(opened.transport, {"a": "/users/1", "b": "/users/2"})
    assert [answer.status for answer in answers.values()] == [400, 400]


def test_more_than_twenty_are_not_asked_at_once(opened: Cloud) -> None:
    with pytest.raises(ValueError, match="at most 20"):
        batch_get(opened.transport, {str(number): "/users/1" for number in range(21)})


def test_an_item_left_out_is_asked_again(cloud: Emulator, tmp_path: Path) -> None:
    def say(method: str, path: str, body: bytes) -> Reply:
        numbers = [request["id"] for request in json.loads(body)["requests"]]
        shown = numbers[:1] if len(server.asked) == 1 else numbers
        strange = [None, "nonsense", {"id": "99", "status": 200}, {"status": "200"}]
        return as_json({"responses": [*({"id": one, "status": 204} for one in shown), *strange]})

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        answers = batch_get(opened.transport, {"a": "/users/1", "b": "/users/2", "c": "/users/3"})
    assert [answers[key].status for key in "abc"] == [204, 204, 204]
    assert len(json.loads(server.asked[1][2])["requests"]) == 2


def test_an_item_that_comes_twice_and_differs_says_nothing(cloud: Emulator, tmp_path: Path) -> None:
    def say(method: str, path: str, body: bytes) -> Reply:
        there, gone = {"id": "0", "status": 200, "body": {"id": "1"}}, {"id": "0", "status": 404}
        return as_json({"responses": [there, gone, gone] if len(server.asked) == 1 else [there, there]})

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        answers = batch_get(opened.transport, {"a": "/users/1"})
    assert (answers["a"].status, len(server.asked)) == (200, 2)


def test_an_items_date_to_wait_for_is_measured_by_the_services_clock(cloud: Emulator, tmp_path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)

    def say(method: str, path: str, body: bytes) -> Reply:
        wait = {"Retry-After": format_datetime(ahead + timedelta(seconds=1), usegmt=True)}
        item = {"id": "0", "status": 429, "headers": wait} if len(server.asked) == 1 else {"id": "0", "status": 204}
        status, headers, content_bytes = batch_answer(body, item)
        return status, {**headers, "Date": format_datetime(ahead, usegmt=True)}, content_bytes

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        answers = batch_get(opened.transport, {"a": "/users/1"})
        assert opened.transport.pace()["wait_seconds"] == 1.0
    assert answers["a"].status == 204


def test_a_packed_answer_is_unpacked(cloud: Emulator, tmp_path: Path) -> None:
    def say(method: str, path: str, body: bytes) -> Reply:
        packed = gzip.compress(json.dumps({"value": [whole("1", "ada@lab")]}).encode())
        return 200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, packed

    with Scripted(say) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        assert everybody(opened) == [Account(id="1", upn="ada@lab")]


@pytest.mark.parametrize("size", range(1, 9))
def test_pictures_of_every_length_are_decoded(size: int) -> None:
    content_bytes = bytes(range(251, 251 - size, -1))
    for text in (base64.b64encode(content_bytes), base64.urlsafe_b64encode(content_bytes)):
        assert decode_photo(text.decode()) == content_bytes
        assert decode_photo(text.decode().rstrip("=")) == content_bytes


@pytest.mark.parametrize("body", ["", None, 7, {}, [], "not base64!", "abc=def", "äöü", "A", b""])
def test_what_is_no_picture_is_not_taken_for_one(body: object) -> None:
    assert decode_photo(body) is None


# -- the tenant's policy


@pytest.mark.parametrize(
    ("source", "roles", "shown", "may_block"),
    [
        ("cloud", None, ("cloud", ()), False),
        ("onPremises", None, ("onpremises", ()), True),
        (None, (), ("", ()), False),
        ("", ("62e90394-69f5-4237-9190-012177145e10",), ("", ("62e90394-69f5-4237-9190-012177145e10",)), True),
    ],
)
def test_the_policy_is_read_in_all_its_forms(
    cloud: Emulator, opened: Cloud, source: object, roles: object, shown: object, may_block: bool
) -> None:
    cloud.issuer.set_roles("PeopleSettings.Read.All")
    cloud.set(policy_source=source, policy_allowed_roles=roles)
    policy = read_policy(opened.transport)
    assert (policy.source, policy.allowed_roles) == shown
    assert policy.may_block is may_block


def test_a_policy_that_may_not_be_read_is_no_reason_to_stop(cloud: Emulator, opened: Cloud) -> None:
    with pytest.raises(PolicyUnread, match="403") as caught:
        read_policy(opened.transport)
    assert "PeopleSettings.Read.All" in caught.value.fix
