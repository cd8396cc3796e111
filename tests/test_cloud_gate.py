"""Who may send now, and when again? The gate and the choice of waits, without a wire."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.cloud.response import Response
from connector.cloud.retry import (
    LONGEST_WAIT_SECONDS,
    TRIES,
    WaitScope,
    backoff,
    is_overload,
    is_retryable,
    may_have_succeeded,
    retry_after,
    tries_allowed,
    wait_after,
)
from connector.cloud.throttle import WAIT_LIMIT_SECONDS, Throttle, WaitLimitExceeded
from connector.errors import PersonError
from connector.model import Reason

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "10"}, 10.0),
        ({"retry-after": "2.128"}, 2.128),
        ({"retry-after": "0.249"}, 0.249),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:05 GMT"}, 5.0),
        ({"retry-after": "Tue, 24 Nov 2026 18:30:05 GMT", "date": "Tue, 24 Nov 2026 18:30:00 GMT"}, 5.0),
        ({"retry-after": "Tue, 24 Nov 2026 11:59:00 GMT"}, None),
        ({}, None),
        *(
            ({"retry-after": text}, None)
            for text in ("", "0", "-3", "soon", "1e9", "nan", "inf", "٣", "1,5", "9" * 400)
        ),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOON) == seconds


@given(st.text())
def test_no_retry_after_breaks_the_reader(text: str) -> None:
    seconds = retry_after({"retry-after": text}, now=NOON)
    assert seconds is None or seconds > 0


@given(st.integers(min_value=1, max_value=60))
def test_the_backoff_grows_to_its_cap_and_never_vanishes(tries: int) -> None:
    assert 0.25 <= backoff(tries) <= LONGEST_WAIT_SECONDS


def test_workers_part_in_their_backoff() -> None:
    assert len({backoff(3) for _ in range(50)}) > 40


def test_what_the_service_says_is_for_all_and_our_own_guess_for_one() -> None:
    assert wait_after(Response(429, {"retry-after": "7"}), 1).scope is WaitScope.ALL
    assert wait_after(Response(429), 1).scope is WaitScope.ALL
    assert wait_after(Response(500, {"retry-after": "7"}), 1).scope is WaitScope.ALL
    assert wait_after(Response(500), 1).scope is WaitScope.ONE
    assert wait_after(Response(0), 1).scope is WaitScope.ONE


def test_a_retry_after_that_never_helps_is_stretched_but_never_cut() -> None:
    constant = Response(429, {"retry-after": "1"})
    assert wait_after(constant, 1).seconds == 1.0
    assert wait_after(constant, 7).seconds > 10
    assert wait_after(Response(429, {"retry-after": "300"}), 7).seconds == 300.0


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 409, 412, 413])
def test_an_answer_to_the_request_itself_is_final(status: int) -> None:
    assert not is_retryable(Response(status))


@pytest.mark.parametrize(
    ("answer", "unsure", "load"),
    [
        (Response(429), False, True),
        (Response(503), False, True),
        (Response(509), False, True),
        (Response(504), True, True),
        (Response(500), True, False),
        (Response(502), True, False),
        (Response(0), True, True),
        (Response(0, sent=False), False, True),
    ],
)
def test_troubles_differ_in_what_they_leave_open(answer: Response, unsure: bool, load: bool) -> None:
    assert is_retryable(answer)
    assert may_have_succeeded(answer) is unsure
    assert is_overload(answer) is load


def test_a_mailbox_that_never_answers_well_is_left_soon() -> None:
    stubborn = Response(500, body=b'{"error":{"code":"ErrorStoreInternalServerError"}}')
    assert tries_allowed(stubborn) < tries_allowed(Response(500)) < tries_allowed(Response(503)) == TRIES


def test_no_more_than_the_lanes_are_inside_at_once() -> None:
    gate, inside, most = Throttle(3), 0, 0
    lock = threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with gate.lane() as ticket:
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.002)
            with lock:
                inside -= 1
            gate.report_success(ticket)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(100)))
    assert most == 3
    assert gate.pace()["requests"] == 100


def test_trouble_halves_the_lanes_once_for_all_that_were_under_way() -> None:
    gate = Throttle(16)
    with gate.lane() as one, gate.lane() as two, gate.lane() as three:
        for ticket in (one, two, three):
            gate.reduce_concurrency(ticket)
    assert gate.pace()["lanes_now"] == 8
    assert gate.pace()["slow_downs"] == 1


def test_lanes_open_again_one_a_round() -> None:
    gate = Throttle(4)
    with gate.lane() as ticket:
        gate.reduce_concurrency(ticket)
    with gate.lane() as ticket:
        gate.reduce_concurrency(ticket)
    lanes = [gate.pace()["lanes_now"]]
    for _ in range(12):
        with gate.lane() as ticket:
            gate.report_success(ticket)
        lanes.append(gate.pace()["lanes_now"])
    assert lanes[0] == 1
    assert lanes[-1] == 4
    assert lanes == sorted(lanes)
    assert gate.pace()["lanes_lowest"] == 1


def test_a_success_from_before_the_trouble_opens_nothing() -> None:
    gate = Throttle(4)
    with gate.lane() as old, gate.lane() as troubled:
        gate.reduce_concurrency(troubled)
        gate.report_success(old)
    assert gate.pace()["lanes_now"] == 2


def test_after_a_wait_one_scout_goes_ahead_of_the_herd() -> None:
    gate, entered = Throttle(8), []
    gate.block_all(0.05)
    may_return = threading.Event()

    def work(number: int) -> None:
        with gate.lane() as ticket:
            entered.append(number)
            may_return.wait(10)
            gate.report_success(ticket)

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, number) for number in range(8)]
        while not entered:
            time.sleep(0.005)
        time.sleep(0.05)
        alone = len(entered)
        may_return.set()
        for one in done:
            one.result(10)
    assert alone == 1
    assert len(entered) == 8


def test_nobody_enters_inside_a_wait() -> None:
    now = [100.0]
    gate = Throttle(2, clock=lambda: now[0])
    gate.block_all(30)
    entered = threading.Event()

    def work() -> None:
        with contextlib.suppress(PersonError), gate.lane():
            entered.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    now[0] = 129.0
    assert not entered.wait(0.1)
    gate.close()
    thread.join(10)
    assert not thread.is_alive()
    assert not entered.is_set()


def test_a_second_wait_only_stretches_the_first() -> None:
    now = [100.0]
    gate = Throttle(2, clock=lambda: now[0])
    gate.block_all(10)
    now[0] = 102.0
    gate.block_all(3)
    gate.block_all(20)
    assert gate.pace()["waits"] == 1
    assert gate.pace()["wait_seconds"] == 22.0


def test_waits_without_a_success_between_end_in_impatience() -> None:
    now = [0.0]
    gate = Throttle(2, clock=lambda: now[0])
    for _ in range(4):
        gate.block_all(WAIT_LIMIT_SECONDS / 5)
        now[0] += WAIT_LIMIT_SECONDS / 5
    assert gate.seconds_in_trouble() == WAIT_LIMIT_SECONDS * 4 / 5
    with pytest.raises(WaitLimitExceeded):
        gate.block_all(WAIT_LIMIT_SECONDS / 2)


def test_a_success_restores_patience() -> None:
    now = [0.0]
    gate = Throttle(2, clock=lambda: now[0])
    for _ in range(6):
        gate.block_all(WAIT_LIMIT_SECONDS / 2)
        now[0] += WAIT_LIMIT_SECONDS / 2
        with gate.lane() as ticket:
            gate.report_success(ticket)
    assert gate.seconds_in_trouble() == 0.0


def test_a_closed_gate_turns_everybody_away() -> None:
    gate = Throttle(1)
    gate.block_all(600)
    with ThreadPoolExecutor(3) as pool:
        waiting: list[Future[Any]] = [pool.submit(gate.pause, 600), pool.submit(gate.lane().__enter__)]
        time.sleep(0.05)
        gate.close()
        for one in waiting:
            with pytest.raises(PersonError) as caught:
                one.result(10)
            assert caught.value.reason is Reason.INTERRUPTED
