"""The throttle and the choice of waits, without a network."""

from __future__ import annotations

import contextlib
import itertools
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


def test_a_lane_that_becomes_free_wakes_one_request_and_not_all() -> None:
    looks = itertools.count()
    gate = Throttle(1, clock=lambda: float(next(looks)))

    def work(_: int) -> None:
        with gate.lane():
            time.sleep(0.001)

    with ThreadPoolExecutor(100) as pool:
        list(pool.map(work, range(100)))

    # Each looks at the clock as it comes, when it is woken, as it goes, and every half second of waiting; woken all at
    # once they would look more than 5,000 times.
    assert next(looks) <= 100 * 30


def test_requests_enter_in_the_order_in_which_they_came() -> None:
    gate, entered = Throttle(1), []

    def work(number: int) -> None:
        with gate.lane():
            entered.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    with gate.lane():
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(gate._queue) < count:
                time.sleep(0.001)
    work(20)  # comes as the lane is free and the others are not awake yet: it must not overtake them
    for thread in threads:
        thread.join(120)
    assert entered == list(range(21))


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
            may_return.wait(120)
            gate.report_success(ticket)

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, number) for number in range(8)]
        while not entered:
            time.sleep(0.005)
        time.sleep(0.05)
        alone = len(entered)
        may_return.set()
        for one in done:
            one.result(120)
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
    thread.join(120)
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


@pytest.mark.parametrize(("seconds_between", "waits"), [(0.0, 1), (9.0, 1), (10.0, 2)])
def test_requests_refused_together_are_one_wait_unless_one_is_heard_after_it(
    seconds_between: float, waits: int
) -> None:
    now = [100.0]
    gate = Throttle(5, clock=lambda: now[0])
    with gate.lane() as one, gate.lane() as two:
        for permit in (one, two):
            gate.reduce_concurrency(permit)
            gate.block_all(10)
            now[0] += seconds_between
    pace = gate.pace()
    assert (pace["waits"], pace["slow_downs_by_refusal"], pace["lanes_lowest"]) == (waits, 1, 2)


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
                one.result(120)
            assert caught.value.reason is Reason.INTERRUPTED


class Service:
    """Answer through a throttle, with a clock of its own: so many at a time, one more is refused."""

    def __init__(self, *, allows: int, first: int = 4, widest: int = 16) -> None:
        self.now, self.seconds, self.allows = 0.0, 0.1, allows
        self.gate = Throttle(first, widest=widest, clock=lambda: self.now)
        self.answered = self.refused = 0

    def width(self) -> int:
        return int(self.gate.pace()["lanes_now"])

    def round(self, kind: str = "PUT") -> None:
        """Fill all lanes once, and answer those that the service allows."""
        width = self.width()
        with contextlib.ExitStack() as lanes:
            permits = [lanes.enter_context(self.gate.lane(kind)) for _ in range(width)]
            self.now += self.seconds
            for number, permit in enumerate(permits):
                if number < self.allows:
                    self.answered += 1
                    self.gate.report_success(permit)
                else:
                    self.refused += 1
                    self.gate.reduce_concurrency(permit)


def test_auto_begins_with_four_and_opens_up_to_sixteen() -> None:
    service = Service(allows=16)
    widths = [service.width()]
    for _ in range(40):
        service.round()
        widths.append(service.width())
    assert widths[0] == 4
    assert widths == sorted(widths)
    assert widths[20] == widths[-1] == 16
    assert all(after - before <= 1 for before, after in itertools.pairwise(widths))
    pace = service.gate.pace()
    assert (pace["lanes_lowest"], pace["lanes_highest"], pace["lanes_allowed"], pace["slow_downs"]) == (4, 16, 16, 0)


def test_auto_halves_at_a_refusal_and_rarely_tries_that_width_again() -> None:
    service = Service(allows=4)
    while service.answered < 10_000:
        service.round()
    pace = service.gate.pace()
    assert pace["lanes_highest"] == 5
    assert pace["lanes_lowest"] == 2
    assert pace["slow_downs"] == pace["slow_downs_by_refusal"] == service.refused
    assert service.refused <= 5, "at 8 answers, then after 1,000, 2,000 and 4,000 more"


def test_auto_stays_below_the_width_that_was_refused() -> None:
    service = Service(allows=9)
    for _ in range(60):
        service.round()
    assert (service.width(), service.refused) == (9, 1)


def test_auto_opens_nothing_while_answers_take_longer() -> None:
    service = Service(allows=16)
    for _ in range(2):
        service.round()
    service.seconds = 0.18
    for _ in range(20):
        service.round()
    assert service.width() == 5
    assert service.gate.pace()["slow_downs"] == 0


def test_auto_closes_lanes_when_answers_take_twice_as_long_but_none_of_the_first() -> None:
    service = Service(allows=16)
    for _ in range(40):
        service.round()
    service.seconds = 0.5
    widths = []
    for _ in range(20):
        service.round()
        widths.append(service.width())
    assert min(widths) == widths[-1] == 4
    assert 8 in widths
    assert service.gate.pace()["slow_downs"] == service.gate.pace()["slow_downs_by_latency"] == 2


def test_auto_compares_only_requests_of_one_kind() -> None:
    service = Service(allows=16)
    for _ in range(12):
        service.seconds = 0.1
        service.round("PUT")
        service.seconds = 2.0
        service.round("batch of photos")
    assert service.gate.pace()["slow_downs"] == 0
    assert service.width() > 8


def test_auto_opens_no_lane_that_nobody_needs() -> None:
    service = Service(allows=16)
    for _ in range(100):
        with service.gate.lane("GET") as permit:
            service.now += 0.1
            service.gate.report_success(permit)
    assert service.width() == 4


def test_auto_closes_below_four_where_the_service_refuses_and_opens_again() -> None:
    service = Service(allows=2)
    for _ in range(10):
        service.round()
    assert service.gate.pace()["lanes_lowest"] <= 2
    service.allows = 16
    for _ in range(60):
        service.round()
    assert service.width() == 16


def test_a_number_of_lanes_is_never_exceeded() -> None:
    service = Service(allows=16, widest=0)
    for _ in range(100):
        service.round()
    assert service.gate.pace()["lanes_highest"] == 4
