"""A token issuer that is away for a moment, an identity endpoint that is updated, and libraries that log."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from connector.cloud import open_cloud
from connector.cloud.token_http import token_refused
from connector.errors import Unreachable
from connector.model import Reason, RequestCounters
from tests.cloud_stories import settings_for
from tests.lab.graph import Emulator, Fault

pytestmark = pytest.mark.usefixtures("no_proxy_settings")


def test_a_held_token_is_gone_on_with_while_the_issuer_is_away(cloud: Emulator) -> None:
    cloud.set(token_lifetime=40)
    with open_cloud(settings_for(cloud), RequestCounters()) as opened:
        first = opened.token_source.token()
        tokens = vars(opened.token_source)["_tokens"]
        (scope,) = tokens
        tokens[scope] = type(tokens[scope])(first, time.monotonic(), tokens[scope].ends_at)
        cloud.fail_next("POST .*/token", Fault(status=503, retry_after="600"), times=-1)
        assert opened.token_source.token() == first


def test_an_issuer_that_refuses_is_heard_at_once(cloud: Emulator) -> None:
    with open_cloud(settings_for(cloud), RequestCounters()) as opened:
        first = opened.token_source.token()
        tokens = vars(opened.token_source)["_tokens"]
        (scope,) = tokens
        tokens[scope] = type(tokens[scope])(first, time.monotonic(), tokens[scope].ends_at)
        cloud.issuer.expire_secret()
        with pytest.raises(Unreachable, match="AADSTS7000222"):
            opened.token_source.token()


@pytest.mark.parametrize("status", [404, 410])
def test_an_identity_endpoint_that_is_updated_is_asked_again(
    cloud: Emulator, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    for name, value in cloud.identity_environ("vm").items():
        monkeypatch.setenv(name, value)
    cloud.fail_next("GET /metadata", Fault(status=status), times=2)
    settings = settings_for(cloud, azure_client_secret="", azure_managed_identity="true", azure_client_id="")
    with open_cloud(settings, RequestCounters()) as opened:
        assert opened.token_source.token()


def test_an_issuers_text_of_blanks_is_read_in_no_time() -> None:
    assert "AADSTS7000215" in token_refused("AADSTS7000215" + " " * 300_000 + "x").message


def test_a_librarys_logger_does_not_reach_standard_error() -> None:
    code = (
        "import logging; from connector.cli.console import begin_logs; begin_logs(verbose=False, form='text');"
        "logging.getLogger('msal.oauth2cli').error('the token is eyJ0')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""


def test_a_run_that_is_ended_does_not_sit_out_what_the_issuer_asks_to_wait(cloud: Emulator) -> None:
    cloud.fail_next("POST .*/token", Fault(status=503, retry_after="30"), times=-1)
    with open_cloud(settings_for(cloud), RequestCounters()) as opened, ThreadPoolExecutor(4) as lanes:
        asked = [lanes.submit(opened.token_source.token) for _ in range(4)]
        while not tokens_asked_of(cloud):
            time.sleep(0.02)
        opened.transport.throttle.close()  # as Ctrl+C does
        ends = [one.exception() for one in asked]

    assert {getattr(end, "reason", end) for end in ends} == {Reason.INTERRUPTED}
    assert tokens_asked_of(cloud) == 1


def test_ctrl_c_is_heeded_while_another_thread_asks_for_the_token(cloud: Emulator) -> None:
    # interrupt_main wakes nobody, as Ctrl+C on Windows: it is heeded once the wait for the other thread lets go
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    cloud.fail_next("POST .*/token", Fault(kind="hold", performed=True), times=-1)
    try:
        with open_cloud(settings_for(cloud), RequestCounters()) as opened, ThreadPoolExecutor(2) as others:
            asked = others.submit(opened.token_source.token)
            while not cloud.faults.held:
                time.sleep(0.02)
            others.submit(interrupt_once_within, threading.get_ident(), "token")
            with pytest.raises(KeyboardInterrupt):
                opened.token_source.token()
            assert not asked.done()
            cloud.faults.let_go()
            assert asked.result() == opened.token_source.token()
    except KeyboardInterrupt:
        pytest.fail("it was heeded too late")  # and never ends the tests
    finally:
        cloud.faults.let_go()
        signal.signal(signal.SIGINT, before)


def interrupt_once_within(thread: int, function: str) -> None:
    """Send Ctrl+C to the main thread once it is within a function of this name."""
    names: set[str] = set()
    while function not in names:
        time.sleep(0.02)
        frame = sys._current_frames()[thread]
        names = {one.f_code.co_name for one, _ in traceback.walk_stack(frame)}
    _thread.interrupt_main()


def tokens_asked_of(cloud: Emulator) -> int:
    return sum(request.path.endswith("/token") for request in cloud.requests)
