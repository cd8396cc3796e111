"""Limit concurrent requests for all workers: a number of lanes, none during a wait, fewer after overload."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from connector.cloud.widening import Widening
from connector.errors import PersonError
from connector.model import Reason

# Asked to wait longer than this without one success in between, the run ends.
WAIT_LIMIT_SECONDS = 1800.0
# On Windows a wait for a lock is not interrupted by Ctrl+C: every wait is made of slices this long.
WAIT_SLICE_SECONDS = 0.5


class SlowDown(StrEnum):
    """List why lanes are closed: the service refused, gave no answer, or answered more slowly."""

    REFUSED = "refusal"
    UNANSWERED = "no_answer"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Permit:
    """When a request was admitted: the throttle's generation, and the second of the clock; and its kind.

    Requests of one kind take equally long where nothing is wrong.
    """

    generation: int
    entered: float
    kind: str = ""


class WaitLimitExceeded(Exception):
    """Raised when the requested waits exceed WAIT_LIMIT_SECONDS; `seconds` is the last one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds:.0f} s")
        self.seconds = seconds


class Throttle:
    """Admit at most `lanes` requests at a time, over all threads.

    After `block_all` no request starts before the time; then one is sent alone, the others after its success.
    After `reduce_concurrency` there are half as many lanes; each round of successes adds one (additive increase, as in
    TCP). `successes` counts the requests that succeeded. With `widest`, it begins with `lanes` and opens up to so many
    while the service shows no load (see `Widening`). Requests enter in the order in which they came, and a lane that
    becomes free wakes the first of them only.
    """

    def __init__(self, lanes: int, *, widest: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[threading.Condition] = deque()
        self._paused = threading.Condition(self._lock)
        self._first = self._most = lanes
        self._lanes = float(lanes)
        self._busy = 0
        self._generation = 0
        self._blocked_until = 0.0
        self._trouble_since: float | None = None
        self._is_probing = False
        self._closed = False
        self._lowest = self._highest = lanes
        self._widening = Widening(lanes, widest) if widest > lanes else None
        self._widest = max(lanes, widest)
        self.successes = 0
        self._slowed: Counter[SlowDown] = Counter()
        self._blocks = self._passed = 0
        self._blocked_seconds = self._busy_seconds = 0.0

    @contextmanager
    def lane(self, kind: str = "") -> Iterator[Permit]:
        """Wait for a free lane and occupy it; raise PersonError (interrupted) when the throttle is closed."""
        permit = self._enter(kind)
        try:
            yield permit
        finally:
            self._leave(permit)

    def permit(self) -> Permit:
        """Return a permit of now, for overload that shows only inside a successful answer (a batch)."""
        with self._lock:
            return Permit(self._generation, self._clock())

    def block_all(self, seconds: float) -> None:
        """Start no request for so long, because the service asked for it; raise WaitLimitExceeded beyond the limit."""
        with self._lock:
            now = self._clock()
            until = now + seconds
            self._trouble_since = now if self._trouble_since is None else self._trouble_since
            if until - self._trouble_since > WAIT_LIMIT_SECONDS:
                raise WaitLimitExceeded(seconds)
            if self._blocked_until <= now:
                self._blocks += 1
            if until > self._blocked_until:
                self._blocked_seconds += until - max(now, self._blocked_until)
                self._blocked_until = until
            self._generation += 1
            self._is_probing = True

    def reduce_concurrency(self, permit: Permit, cause: SlowDown = SlowDown.REFUSED) -> None:
        """Halve the lanes, once for all requests that were in flight together."""
        with self._lock:
            self._trouble_since = self._clock() if self._trouble_since is None else self._trouble_since
            if permit.generation < self._generation:
                return
            self._halve(cause, at_least=1.0)

    def report_success(self, permit: Permit) -> None:
        """Raise the limit by 1/limit if the request was admitted after the last overload."""
        self.successes += 1  # an increment lost between threads does no harm: only growth matters
        if self._widening is None and self._trouble_since is None and self._lanes >= self._most:
            return  # the usual case, without the lock
        with self._lock:
            if permit.generation < self._generation:
                return
            self._trouble_since = None
            self._is_probing = False
            self._lanes = min(float(self._most), self._lanes + 1 / self._lanes)
            if self._widening is not None:
                self._widen(permit, self._widening)
            self._wake_first()

    def _widen(self, permit: Permit, widening: Widening) -> None:
        """Open another lane, or close some, by how long this request took."""
        is_full = int(self._lanes) == widening.allowed <= self._busy
        if widening.note(permit.kind, self._clock() - permit.entered, is_full=is_full):
            if self._lanes > self._first:
                self._halve(SlowDown.LATENCY, at_least=float(self._first))
        elif widening.allowed > self._most:
            self._most = widening.allowed
            self._lanes = float(self._most)
            self._highest = max(self._highest, self._most)

    def _halve(self, cause: SlowDown, *, at_least: float) -> None:
        self._generation += 1
        self._slowed[cause] += 1
        if self._widening is not None:
            self._widening.narrow(int(self._lanes), is_slow=cause is SlowDown.LATENCY)
            self._most = self._widening.allowed
        self._lanes = max(at_least, self._lanes / 2)
        self._lowest = min(self._lowest, int(self._lanes))

    def pause(self, seconds: float) -> None:
        """Sleep outside every lane; raise PersonError (interrupted) when the throttle is closed meanwhile."""
        until = self._clock() + seconds
        with self._lock:
            while (left := until - self._clock()) > 0:
                self._stop_if_closed()
                self._paused.wait(min(left, WAIT_SLICE_SECONDS))
            self._stop_if_closed()

    def seconds_in_trouble(self) -> float:
        """Return the seconds since the last success while requests fail; 0 otherwise."""
        since = self._trouble_since
        return 0.0 if since is None else self._clock() - since

    def close(self) -> None:
        """Fail all waiting requests and all later ones."""
        with self._lock:
            self._closed = True
            self._paused.notify_all()
            for turn in self._queue:
                turn.notify()

    def pace(self) -> dict[str, float]:
        """Return the figures of the run: lanes, slow-downs by cause, waits (seconds), and a request's mean time."""
        with self._lock:
            return {
                "lanes_allowed": self._widest,
                "lanes_now": int(self._lanes),
                "lanes_lowest": self._lowest,
                "lanes_highest": self._highest,
                "slow_downs": self._slowed.total(),
                **{f"slow_downs_by_{cause}": self._slowed[cause] for cause in SlowDown},
                "waits": self._blocks,
                "wait_seconds": round(self._blocked_seconds, 3),
                "requests": self._passed,
                "mean_milliseconds": round(1000 * self._busy_seconds / max(1, self._passed), 1),
            }

    def _enter(self, kind: str) -> Permit:
        with self._lock:
            turn = threading.Condition(self._lock)
            self._queue.append(turn)
            try:
                now = self._wait_for(turn)
                self._busy += 1
                return Permit(self._generation, now, kind)
            finally:
                self._queue.remove(turn)
                self._wake_first()

    def _wait_for(self, turn: threading.Condition) -> float:
        """Return when a lane is free and it is this request's turn, with the second of the clock."""
        while True:
            self._stop_if_closed()
            now = self._clock()
            blocked = self._blocked_until - now
            if blocked <= 0 and self._busy < self._width() and self._queue[0] is turn:
                return now
            turn.wait(min(blocked, WAIT_SLICE_SECONDS) if blocked > 0 else WAIT_SLICE_SECONDS)

    def _leave(self, permit: Permit) -> None:
        with self._lock:
            self._busy -= 1
            self._passed += 1
            self._busy_seconds += self._clock() - permit.entered
            self._wake_first()

    def _wake_first(self) -> None:
        """Wake the request whose turn it is, if a lane is free; once inside, it wakes the next."""
        if self._queue and self._busy < self._width():
            self._queue[0].notify()

    def _width(self) -> int:
        return 1 if self._is_probing else int(self._lanes)

    def _stop_if_closed(self) -> None:
        if self._closed:
            raise PersonError(Reason.INTERRUPTED, "The run was ended before the cloud was asked.")
