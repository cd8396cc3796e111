"""The emulated cloud is as slow, busy and broken as the real one, and sees who breaks its rules."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from tests.lab.caller import PHOTO, VALUE, Caller, code_of, colour
from tests.lab.graph import Emulator, Fault

BROKEN = requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling.sign_in()


@pytest.fixture
def ann(cloud: Emulator) -> str:
    return cloud.tenant.add_account("ann@contoso.com")


def together(cloud: Emulator, number: int, act: Callable[[Caller, int], Any]) -> list[Any]:
    """Make so many clients act at once."""
    token = cloud.issuer.issued(cloud.graph_url)["access_token"]
    gate = threading.Barrier(number)

    def one(turn: int) -> Any:
        with Caller(cloud) as calling:
            calling.session.headers["Authorization"] = f"Bearer {token}"
            known = f"{cloud.authority_host}/{cloud.tenant_id}/v2.0/.well-known/openid-configuration"
            calling.session.get(known, timeout=120)  # the connection stands before the start
            gate.wait()
            return act(calling, turn)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


@pytest.mark.parametrize("kind", ["drop", "drop-mid"])
def test_a_connection_can_be_cut_before_or_within_the_answer(
    cloud: Emulator, caller: Caller, ann: str, kind: str
) -> None:
    cloud.tenant.set_photo(ann, colour())
    cloud.fail_next("GET .*/photo/", Fault(kind=kind))
    with pytest.raises(BROKEN):
        caller.get(VALUE.format(ann))
    assert cloud.requests[-1].status == 0
    assert caller.get(VALUE.format(ann)).status_code == 200


def test_an_answer_can_be_truncated_foreign_or_empty(cloud: Emulator, caller: Caller) -> None:
    for kind in ("truncated", "wrong-content", "empty"):
        cloud.fail_next("GET /v1.0/users$", Fault(kind=kind))
    cut, foreign, empty = (caller.get("/users") for _ in range(3))
    with pytest.raises(requests.exceptions.JSONDecodeError):
        cut.json()
    assert (foreign.status_code, foreign.headers["Content-Type"]) == (200, "text/html")
    assert (empty.status_code, empty.content) == (200, b"")
    assert caller.get("/users").json()["value"] == []


def test_a_planned_fault_has_its_route_its_turn_and_its_number(cloud: Emulator, caller: Caller, ann: str) -> None:
    fault = Fault(status=409, code="Conflict", message="Not now.", nested=True, skip=1)
    cloud.fail_next(r"PUT .*/photo/\$value", fault, times=2)
    assert caller.get("/users").status_code == 200
    assert [caller.put(ann, colour()).status_code for _ in range(4)] == [200, 409, 409, 200]
    cloud.fail_next("PUT", Fault(status=500), times=-1)
    assert {caller.put(ann, colour()).status_code for _ in range(5)} == {500}
    cloud.faults.clear()
    assert caller.put(ann, colour()).status_code == 200


def test_a_write_can_be_done_and_still_fail(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.fail_next("PUT", Fault(status=504))
    assert caller.put(ann, colour()).status_code == 504
    assert cloud.tenant.photo(ann) is None
    cloud.fail_next("PUT", Fault(status=504, performed=True))
    assert caller.put(ann, colour()).status_code == 504
    assert cloud.tenant.photo(ann) is not None
    cloud.fail_next("DELETE", Fault(kind="drop", performed=True))
    with pytest.raises(BROKEN):
        caller.call("DELETE", VALUE.format(ann))
    assert cloud.tenant.photo(ann) is None


@pytest.mark.parametrize(("form", "pattern"), [("integer", "2"), ("decimal", "1.250"), ("one", "1"), ("absent", "")])
def test_retry_after_comes_in_many_forms(cloud: Emulator, caller: Caller, form: str, pattern: str) -> None:
    cloud.set(storm_percent=100, retry_after_forms=(form,), retry_after_seconds=1.25)
    answer = caller.get("/users")
    assert (answer.status_code, code_of(answer)) == (429, "TooManyRequests")
    assert answer.headers.get("Retry-After", "") == pattern
    assert answer.json()["error"]["innerError"]["status"] == "429"


def test_retry_after_may_be_a_date_and_the_forms_take_turns(cloud: Emulator, caller: Caller) -> None:
    cloud.set(storm_percent=100, retry_after_forms=("date", "absent"), retry_after_seconds=3000)
    first, second = caller.get("/users"), caller.get("/users")
    assert 2000 < parsedate_to_datetime(first.headers["Retry-After"]).timestamp() - time.time() <= 3001
    assert "Retry-After" not in second.headers


def test_a_storm_is_as_strong_as_asked_for_and_always_the_same(cloud: Emulator, caller: Caller) -> None:
    cloud.set(storm_percent=20, storm_statuses=(429, 500, 502, 503, 504, 509), retry_after_forms=("absent",))
    statuses = [caller.get("/users").status_code for _ in range(150)]
    failed = Counter(status for status in statuses if status != 200)
    assert 15 <= failed.total() <= 45
    assert set(failed) <= {429, 500, 502, 503, 504, 509}
    assert len(failed) > 3


@pytest.mark.parametrize(("code", "message"), [("ApplicationThrottled", "MailboxConcurrency"), ("UnknownError", "")])
def test_throttling_has_other_words(cloud: Emulator, caller: Caller, code: str, message: str) -> None:
    cloud.set(storm_percent=100, throttle_code=code)
    error = caller.get("/users").json()["error"]
    assert error["code"] == code
    assert message in error["message"]
    assert bool(error["message"]) is bool(message)


def test_photo_requests_above_the_cap_are_refused(cloud: Emulator, ann: str) -> None:
    cloud.set(concurrency_cap=4, latency=1.5)
    answers = together(cloud, 7, lambda calling, _: calling.get(PHOTO.format(ann)).status_code)
    assert Counter(answers) == {404: 4, 429: 3}
    assert cloud.log.most_in_flight() == 7


def test_latency_is_paid_by_each_request_at_the_same_time(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.set(latency=1.0)
    caller.get(PHOTO.format(ann))
    together(cloud, 4, lambda calling, _: calling.get(PHOTO.format(ann)))
    records = [record for record in cloud.requests if record.path.endswith("/photo")]
    assert [record.pause for record in records] == [1.0] * 5
    assert cloud.log.most_in_flight() == 4


def test_a_batch_may_pay_for_each_wave(cloud: Emulator, caller: Caller, ann: str) -> None:
    asked = [{"id": str(turn), "method": "GET", "url": f"/users/{ann}"} for turn in range(9)]
    cloud.set(latency=0.1, batch_parallel=4)
    caller.batch(*asked)
    cloud.set(batch_parallel=0)
    caller.batch(*asked)
    assert [record.pause for record in cloud.requests[-2:]] == pytest.approx([0.3, 0.1])


def test_some_answers_are_slow_without_any_429(cloud: Emulator, caller: Caller) -> None:
    cloud.set(slow_percent=100, slow_seconds=0.1)
    assert caller.get("/users").status_code == 200
    assert cloud.requests[-1].pause == 0.1
    cloud.set(slow_percent=0)
    cloud.fail_next("GET", Fault(kind="slow", seconds=30))
    with pytest.raises(requests.exceptions.ReadTimeout):
        caller.session.get(f"{cloud.graph_url}/v1.0/users", timeout=0.3)
    assert caller.get("/users").status_code == 200


def test_a_request_inside_a_wait_is_seen(cloud: Emulator, caller: Caller) -> None:
    cloud.set(wait_grace=0.0)
    cloud.fail_next("GET", Fault(status=429, retry_after="60"))
    caller.get("/users")
    caller.get("/users")
    assert [(each.kind, each.path) for each in cloud.violations()] == [("inside-wait", "/v1.0/users")]
    cloud.log.clear()
    cloud.fail_next("GET", Fault(status=503, retry_after="0.2"))
    caller.get("/users")
    time.sleep(0.3)
    caller.get("/users")
    assert cloud.violations() == []


def test_what_was_on_its_way_already_is_no_offence(cloud: Emulator, caller: Caller) -> None:
    cloud.set(wait_grace=30)
    cloud.fail_next("GET", Fault(status=429, retry_after="60"))
    caller.get("/users")
    caller.get("/users")
    assert cloud.violations() == []


def test_an_item_that_comes_back_too_early_is_seen(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.set(wait_grace=0.0)
    item = {"id": "1", "method": "GET", "url": PHOTO.format(ann)}
    cloud.fail_next("ITEM", Fault(status=429, retry_after="60"))
    caller.batch(item)
    caller.batch({"id": "1", "method": "GET", "url": f"/users/{ann}"})
    assert cloud.violations() == []
    caller.batch(item)
    assert [each.kind for each in cloud.violations()] == ["inside-wait"]


def test_two_writes_at_once_for_one_person_are_seen(cloud: Emulator, ann: str) -> None:
    bob = cloud.tenant.add_account("bob@contoso.com")
    cloud.set(latency=0.1)
    together(cloud, 2, lambda calling, turn: calling.put((ann, bob)[turn], colour()))
    assert cloud.violations() == []
    cloud.fail_next("PUT", Fault(kind="hold"), times=2)

    def let_go_of_both() -> None:
        while cloud.faults.held < 2:
            time.sleep(0.005)
        cloud.faults.let_go()

    letting_go = threading.Thread(target=let_go_of_both)
    letting_go.start()
    together(cloud, 2, lambda calling, _: calling.put(ann, colour()))
    letting_go.join()
    assert [each.kind for each in cloud.violations()] == ["two-writes-in-flight"]


def test_who_hung_up_may_try_again_at_once(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.fail_next("PUT", Fault(kind="slow", seconds=20))
    url = f"{cloud.graph_url}/v1.0{VALUE.format(ann)}"
    with pytest.raises(requests.exceptions.ReadTimeout):
        caller.session.put(url, data=colour(), timeout=0.5)
    caller.get("/users")
    assert caller.put(ann, colour()).status_code == 200
    assert cloud.requests[-1].in_flight == 1
    assert cloud.violations() == []


def test_the_record_counts_methods_batches_and_items(cloud: Emulator, caller: Caller, ann: str) -> None:
    caller.put(ann, colour())
    caller.get("/users")
    caller.batch({"id": "1", "method": "GET", "url": PHOTO.format(ann)})
    wanted = {"GET": 1, "PUT": 1, "POST": 1, "graph": 3, "batch": 1, "items": 1, "token": 2, "photo_puts": 1}
    assert cloud.counts() == wanted
    put = next(record for record in cloud.requests if record.method == "PUT")
    assert put.bytes_in == len(colour())
    assert put.headers["content-type"] == "image/jpeg"
    cloud.log.clear()
    assert cloud.requests == []


def test_an_upload_that_breaks_off_changes_nothing(cloud: Emulator, ann: str) -> None:
    token = cloud.issuer.issued(cloud.graph_url)["access_token"]
    head = f"PUT /v1.0/users/{ann}/photo/$value HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer {token}\r\n"
    picture_bytes = colour()
    cloud.set(reencode="none")
    trusting = ssl.create_default_context(cafile=cloud.ca_file)
    plain = socket.create_connection(("127.0.0.1", cloud.port))
    with trusting.wrap_socket(plain, server_hostname="127.0.0.1") as wire:
        wire.sendall(f"{head}Content-Length: {len(picture_bytes)}\r\n\r\n".encode() + picture_bytes[:-20])
    deadline = time.monotonic() + 120
    while not cloud.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [(record.method, record.status) for record in cloud.requests] == [("PUT", 0)]
    assert cloud.tenant.writes() == []


def test_open_connections_can_be_cut(cloud: Emulator, caller: Caller) -> None:
    def cut_once_asked() -> None:
        while not cloud.log.in_flight():
            time.sleep(0.005)
        cloud.drop_connections()

    cloud.set(latency=20.0)
    cutting = threading.Thread(target=cut_once_asked)
    cutting.start()
    with pytest.raises(BROKEN):
        caller.get("/users")
    cutting.join()
