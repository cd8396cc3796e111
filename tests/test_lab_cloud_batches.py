"""The emulated Graph answers batches as the facts say."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.caller import PHOTO, VALUE, Caller, code_of, colour, pixels
from tests.lab.graph import Emulator, Fault


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling.sign_in()


def crowd(cloud: Emulator, number: int) -> list[str]:
    people = [{"upn": f"p{i:05}@contoso.com", "immutable_id": f"anchor{i}", "synced": True} for i in range(number)]
    return cloud.tenant.add_accounts(people)


def get_item(number: int, account_id: str, *, value: bool = False) -> dict[str, Any]:
    return {"id": str(number), "method": "GET", "url": (VALUE if value else PHOTO).format(account_id)}


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
