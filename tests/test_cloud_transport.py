"""One request to its end over a real connection, whatever the service and the network do."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from urllib3.exceptions import SSLError

from connector.cloud import Cloud, open_cloud
from connector.cloud.http import HttpClient, Proxies, tls_context
from connector.cloud.network_errors import NetworkError, RequestFailure, translate
from connector.cloud.throttle import Throttle
from connector.cloud.transport import FRUITLESS_IN_A_ROW, USER_AGENT, Endpoint, Transport
from connector.config import cloud_urls
from connector.errors import PersonError, Unreachable
from connector.model import Reason, RequestCounters
from tests.cloud_stories import (
    Proxy,
    Scripted,
    closed_port,
    picture,
    settings_for,
    silent_host,
)
from tests.lab.graph import Emulator
from tests.lab.graph import Fault as Trouble

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

LISTING = "/users?$select=id&$top=5"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def traffic() -> RequestCounters:
    return RequestCounters()


@pytest.fixture
def opened(cloud: Emulator, traffic: RequestCounters) -> Iterator[Cloud]:
    with open_cloud(settings_for(cloud), traffic) as held:
        yield held


@pytest.fixture
def impatient(cloud: Emulator, traffic: RequestCounters) -> Iterator[Transport]:
    """Give a transport that waits for an answer no longer than 2 s."""
    settings = settings_for(cloud)
    with open_cloud(settings, traffic) as held:
        urls = cloud_urls(settings)
        endpoint = Endpoint(root=urls.graph_url, scope=urls.scope, version="/v1.0")
        yield Transport(
            held.http, held.token_source, traffic, endpoint=endpoint, throttle=Throttle(4), read_seconds=2.0
        )


def puts(cloud: Emulator) -> int:
    return cloud.counts().get("PUT", 0)


def put_url(cloud: Emulator, upn: str = "ada@lab") -> str:
    return f"/users/{cloud.tenant.add_account(upn)}/photo/$value"


def test_every_request_says_who_we_are_and_that_we_can_wait(cloud: Emulator, opened: Cloud) -> None:
    opened.transport.request("GET", LISTING)
    opened.transport.request("GET", LISTING)
    asked = [record.headers for record in cloud.log.records() if record.kind == "graph"]
    assert {headers["user-agent"] for headers in asked} == {USER_AGENT}
    assert USER_AGENT.startswith("NONISV|")
    assert {headers["x-ms-throttle-priority"] for headers in asked} == {"low"}
    assert len({headers["client-request-id"] for headers in asked}) == 2


def test_an_address_goes_out_without_its_dots_and_with_its_query(cloud: Emulator, opened: Cloud) -> None:
    """What a server would resolve in its own way is resolved by us; a query stays as it is."""
    root = opened.transport.root
    opened.transport.request("GET", f"/groups/..{LISTING}/../a")
    opened.transport.request("GET", f"{root}/v1.0/./users?$select=id#part")
    asked = [(record.path, record.query) for record in cloud.log.records() if record.kind == "graph"]
    assert asked == [("/v1.0/users", f"{LISTING.partition('?')[2]}/../a"), ("/v1.0/users", "$select=id")]


def test_traffic_is_counted_as_it_went_over_the_wire(cloud: Emulator, opened: Cloud, traffic: RequestCounters) -> None:
    content_bytes = picture()
    cloud.fail_next("PUT ", Trouble(status=503, retry_after="0.1"))
    assert opened.transport.request("PUT", put_url(cloud), body=content_bytes, headers=JPEG).ok
    counts = traffic.counts()
    assert counts["http"] == 2 == cloud.counts()["graph"]
    assert counts["http_retries"] == 1
    assert counts["bytes_up"] == 2 * len(content_bytes)
    assert counts["token_requests"] == 2
    assert counts["waits"] == 1
    assert counts["bytes_down"] > 0


@pytest.mark.parametrize("retry_after", ["1", "0.3", "date", ""])
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_for_now_is_sat_out(
    cloud: Emulator, opened: Cloud, traffic: RequestCounters, status: int, retry_after: str
) -> None:
    cloud.set(retry_after_forms=[retry_after or "absent"], retry_after_seconds=1.0)
    wait = cloud.faults.throttled(status).retry_after if retry_after in ("date", "") else retry_after
    url = put_url(cloud)
    cloud.fail_next("PUT ", Trouble(status=status, retry_after=wait))
    assert opened.transport.request("PUT", url, body=picture(), headers=JPEG).ok
    assert cloud.violations() == []
    assert traffic.counts()["http_retries"] == 1


def test_a_wait_is_everybodys_wait(cloud: Emulator, opened: Cloud) -> None:
    opened.transport.request("GET", LISTING)
    cloud.fail_next("GET /v1.0", Trouble(status=429, retry_after="1", skip=10))
    cloud.set(latency=0.02, wait_grace=0.06)
    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(lambda _: opened.transport.request("GET", LISTING).status, range(60)))
    assert statuses == [200] * 60
    early = [violation.kind for violation in cloud.violations()]
    assert early in (["inside-wait"] * count for count in range(4)), "only what three other lanes had sent, if anything"
    assert opened.transport.pace()["waits"] == 1


def test_a_storm_is_survived_inside_the_rules(cloud: Emulator, opened: Cloud, traffic: RequestCounters) -> None:
    urls = [put_url(cloud, f"p{number}@lab") for number in range(60)]
    cloud.set(
        storm_percent=20,
        storm_statuses=[429, 500, 502, 503, 504, 509],
        retry_after_forms=["integer", "decimal", "date", "absent", "one"],
        retry_after_seconds=0.3,
        latency=0.01,
        reencode="none",
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda url: opened.transport.request("PUT", url, body=picture(), headers=JPEG), urls))
    assert all(answer.ok for answer in answers)
    assert cloud.violations() == []
    assert cloud.log.most_in_flight() <= 4
    failed = sum(record.status >= 400 for record in cloud.log.records() if record.kind == "graph")
    assert traffic.counts()["http_retries"] == failed > 0
    assert opened.transport.pace()["slow_downs"] > 0


@pytest.mark.parametrize("lanes", [1, 3])
def test_never_more_requests_at_once_than_set(cloud: Emulator, lanes: int) -> None:
    cloud.set(latency=0.02)
    with (
        open_cloud(settings_for(cloud, sync_concurrency=str(lanes)), RequestCounters()) as opened,
        ThreadPoolExecutor(10) as pool,
    ):
        list(pool.map(lambda _: opened.transport.request("GET", LISTING), range(40)))
    assert cloud.log.most_in_flight() == lanes


@pytest.mark.parametrize("kind", ["drop", "drop-mid"])
def test_a_read_that_was_cut_is_asked_again(cloud: Emulator, opened: Cloud, kind: str) -> None:
    cloud.tenant.add_account("ada@lab")
    cloud.fail_next("GET /v1.0/users", Trouble(kind=kind), times=2)
    answer = opened.transport.request("GET", LISTING)
    assert len(answer.json_object()["value"]) == 1
    assert cloud.counts()["GET"] == 3


@pytest.mark.parametrize(("repeats", "sent"), [(0, 1), (1, 2), (2, 3)])
def test_a_write_of_unknown_end_is_sent_again_only_as_often_as_allowed(
    cloud: Emulator, opened: Cloud, repeats: int, sent: int
) -> None:
    url = put_url(cloud)
    opened.transport.request("GET", LISTING)
    cloud.fail_next("PUT ", Trouble(kind="drop", performed=True), times=-1)
    answer = opened.transport.request("PUT", url, body=picture(), headers=JPEG, repeats=repeats)
    assert answer.status == 0
    assert "ended the connection" in answer.note
    assert puts(cloud) == sent


def test_a_write_that_was_refused_was_not_carried_out_and_may_be_sent_again(cloud: Emulator, opened: Cloud) -> None:
    cloud.fail_next("PUT ", Trouble(status=429, retry_after="0.1"), times=3)
    assert opened.transport.request("PUT", put_url(cloud), body=picture(), headers=JPEG, repeats=0).ok


def test_a_slow_answer_is_given_up_and_the_lanes_are_halved(cloud: Emulator, impatient: Transport) -> None:
    impatient.request("GET", LISTING)
    cloud.fail_next("GET /v1.0", Trouble(kind="hold"))
    assert impatient.request("GET", LISTING).status == 200
    assert impatient.pace()["slow_downs"] == 1
    assert impatient.pace()["lanes_lowest"] == 2


def test_what_stays_broken_comes_back_as_it_is(cloud: Emulator, opened: Cloud) -> None:
    cloud.fail_next("PUT ", Trouble(status=500, code="ErrorStoreInternalServerError"), times=-1)
    answer = opened.transport.request("PUT", put_url(cloud), body=picture(), headers=JPEG)
    assert answer.status == 500
    assert puts(cloud) == 3


def test_nothing_but_trouble_ends_the_run(cloud: Emulator, opened: Cloud) -> None:
    opened.transport.request("GET", LISTING)
    cloud.fail_next("GET /v1.0", Trouble(status=500, code="ErrorStoreInternalServerError"), times=-1)
    with ThreadPoolExecutor(FRUITLESS_IN_A_ROW) as pool:
        asked = [pool.submit(opened.transport.request, "GET", LISTING) for _ in range(FRUITLESS_IN_A_ROW)]
        stops = [one.exception() for one in asked if one.exception()]
    assert len(stops) == 1
    assert isinstance(stops[0], Unreachable)
    assert "every request failed for a while" in stops[0].message


def test_a_success_between_troubles_restores_hope(cloud: Emulator, opened: Cloud) -> None:
    broken = Trouble(status=500, code="ErrorStoreInternalServerError")
    with ThreadPoolExecutor(FRUITLESS_IN_A_ROW) as pool:
        for _ in range(2):
            assert opened.transport.request("GET", LISTING).status == 200
            cloud.fail_next("GET /v1.0", broken, times=3 * (FRUITLESS_IN_A_ROW - 1))
            asked = [pool.submit(opened.transport.request, "GET", LISTING) for _ in range(FRUITLESS_IN_A_ROW - 1)]
            assert [one.result().status for one in asked] == [500] * (FRUITLESS_IN_A_ROW - 1)


def test_graph_that_speaks_no_tls_is_named(cloud: Emulator) -> None:
    plain = cloud.side_url.replace("http://", "https://")
    with (
        open_cloud(settings_for(cloud, graph_url=plain), RequestCounters()) as opened,
        pytest.raises(Unreachable) as caught,
    ):
        opened.transport.request("GET", LISTING)
    assert "no encrypted connection" in caught.value.message


def test_a_wait_beyond_all_patience_ends_the_run(cloud: Emulator, opened: Cloud) -> None:
    cloud.fail_next("GET /v1.0", Trouble(status=429, retry_after="86400"))
    with pytest.raises(Unreachable, match="asked to wait 86400 seconds") as caught:
        opened.transport.request("GET", LISTING)
    assert "what was done is remembered" in caught.value.fix


def test_other_errors_are_not_tried_again(cloud: Emulator, opened: Cloud) -> None:
    for status in (400, 403, 404, 409, 412):
        cloud.fail_next("GET /v1.0", Trouble(status=status, code="Whatever"))
        assert opened.transport.request("GET", LISTING).status == status
    assert cloud.counts()["GET"] == 5


def test_idle_connections_that_were_cut_cost_nothing_but_a_new_one(cloud: Emulator, opened: Cloud) -> None:
    url = put_url(cloud)
    opened.transport.request("GET", LISTING)
    cloud.drop_connections()
    time.sleep(0.1)
    assert opened.transport.request("PUT", url, body=picture(), headers=JPEG, repeats=0).ok
    assert puts(cloud) == 1


def test_a_certificate_that_changes_ends_the_run(cloud: Emulator, opened: Cloud) -> None:
    opened.transport.request("GET", LISTING)
    cloud.change_certificate()
    try:
        time.sleep(0.1)
        with pytest.raises(Unreachable, match=r"certificate of 127\.0\.0\.1 was not accepted") as caught:
            opened.transport.request("GET", LISTING)
    finally:
        cloud.restore_certificate()
    assert caught.value.system == "Graph"


def test_another_host_never_gets_our_token(cloud: Emulator, opened: Cloud) -> None:
    with pytest.raises(Unreachable, match="another host"):
        opened.transport.request("GET", "https://graph.evil.example/v1.0/users")
    with pytest.raises(Unreachable, match="another host"):
        opened.transport.request("GET", f"http://127.0.0.1:{cloud.port}/v1.0/users")
    assert opened.transport.request("GET", f"{cloud.graph_url}/v1.0{LISTING}").status == 200


def test_graph_that_refuses_connections_is_named(cloud: Emulator) -> None:
    url = f"https://127.0.0.1:{closed_port()}"
    with (
        open_cloud(settings_for(cloud, graph_url=url), RequestCounters()) as opened,
        pytest.raises(Unreachable) as caught,
    ):
        opened.transport.request("GET", LISTING)
    assert caught.value.system == "Graph"
    assert "refused the connection" in caught.value.message
    assert "HTTPS_PROXY" in caught.value.fix


def test_graph_that_is_silent_ends_the_run_soon(cloud: Emulator) -> None:
    with (
        silent_host() as host,
        open_cloud(settings_for(cloud, graph_url=host), RequestCounters()) as opened,
        pytest.raises(Unreachable, match="did not answer in time") as caught,
    ):
        opened.transport.request("GET", LISTING)
    assert caught.value.system == "Graph"


def test_a_proxy_that_comes_back_is_waited_for(cloud: Emulator) -> None:
    with Proxy() as proxy:
        settings = settings_for(cloud, https_proxy=f"http://{proxy.address}", sync_concurrency="1")
        with open_cloud(settings, RequestCounters()) as opened:
            opened.transport.request("GET", LISTING)
            proxy.refusals = 2
            cloud.drop_connections()
            time.sleep(0.1)
            assert opened.transport.request("GET", LISTING).status == 200
    assert proxy.refusals == 0


def test_an_ended_run_releases_all_who_wait(cloud: Emulator, opened: Cloud) -> None:
    opened.transport.request("GET", LISTING)
    cloud.fail_next("GET /v1.0", Trouble(status=429, retry_after="600"))
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(opened.transport.request, "GET", LISTING) for _ in range(6)]
        while opened.transport.pace()["waits"] == 0:
            time.sleep(0.01)
        opened.close()
        ends = [one.exception(120) for one in waiting]
    assert all(isinstance(end, PersonError) and end.reason is Reason.INTERRUPTED for end in ends if end is not None)
    assert sum(end is not None for end in ends) >= 1


def test_logs_tell_the_path_and_the_ids_but_no_body(
    cloud: Emulator, opened: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    content_bytes = picture()
    url = put_url(cloud)
    opened.transport.request("PUT", url, body=content_bytes, headers=JPEG)
    opened.transport.request("GET", LISTING)
    ours = [record.getMessage() for record in caplog.records if record.name == "connector.cloud"]
    assert f"PUT /v1.0{url} -> 200" in ours[0]
    assert cloud.log.records()[-1].request_id in ours[-1]
    assert "$select" not in ours[-1]
    for secret in (opened.token_source.token(), repr(content_bytes[:20]), content_bytes[:20].hex()):
        assert secret not in caplog.text


def test_an_answer_that_drips_is_given_up(cloud: Emulator, tmp_path: Path) -> None:
    with Scripted(lambda *_: (200, {}, b"x" * 200), drip=0.05) as server:
        settings = server.settings(cloud, tmp_path)
        wire = HttpClient(tls_context(settings.http_ca_file), Proxies(), lanes=1, body_seconds=0.3)
        with pytest.raises(NetworkError) as caught:
            wire.send("GET", f"{server.url}/", headers={})
        wire.close()
    assert caught.value.fault is RequestFailure.TIMEOUT


def first_record(listener: socket.socket, context: ssl.SSLContext) -> bytes:
    """Take one connection, and answer as soon as a first TLS record came; return what was in it."""
    line, _ = listener.accept()
    with context.wrap_socket(line, server_side=True) as secure:
        came_bytes = secure.recv(1 << 16)
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    return came_bytes


def test_a_photo_leaves_in_one_piece_with_what_is_asked(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    wire = HttpClient(tls_context(tmp_path / "ca.pem"), Proxies(), lanes=1)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(60)
        came = pool.submit(first_record, listener, context)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/photo"
        answer = wire.send("PUT", url, headers=JPEG, body=b"\xff\xd8" + b"x" * 5000)
        came_bytes = came.result(60)
    wire.close()
    assert answer.status == 200
    assert came_bytes.startswith(b"PUT /photo HTTP/1.1\r\n")
    assert came_bytes.endswith(b"\r\n\r\n\xff\xd8" + b"x" * 5000)


def test_a_body_shorter_than_announced_is_a_drop(cloud: Emulator, tmp_path: Path) -> None:
    with Scripted(lambda *_: (200, {"Content-Length": "50", "Connection": "close"}, b"too short")) as server:
        settings = server.settings(cloud, tmp_path)
        wire = HttpClient(tls_context(settings.http_ca_file), Proxies(), lanes=1)
        with pytest.raises(NetworkError) as caught:
            wire.send("GET", f"{server.url}/", headers={})
    assert caught.value.fault is RequestFailure.DROPPED


def test_a_redirect_is_not_followed(cloud: Emulator, tmp_path: Path) -> None:
    with (
        Scripted(lambda *_: (302, {"Location": "https://evil.example/"}, b"")) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
    ):
        assert opened.transport.request("GET", "/users").status == 302
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(101, "Network is unreachable"), RequestFailure.CONNECT),
        (TimeoutError("timed out"), RequestFailure.CONNECT),
        (socket.gaierror(-3, "Temporary failure in name resolution"), RequestFailure.NAME),
    ],
)
def test_a_way_that_is_closed_is_told_before_anything_is_sent(error: OSError, fault: RequestFailure) -> None:
    translated = translate(error, "//graph.microsoft.com:443")
    assert translated.fault is fault
    assert "graph.microsoft.com" in translated.message


def test_a_handshake_that_breaks_off_counts_as_a_drop() -> None:
    broken = SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))
    assert translate(broken, "https://graph.microsoft.com/").fault is RequestFailure.DROPPED
