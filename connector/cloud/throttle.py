"""Limit concurrent requests of all workers: none during a wait, fewer after overload, and with `auto` more and more."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

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
    """Describe the admission of a request: the throttle's generation, the second of the clock, and the request's kind.

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


# A round is this many answers of one kind, or one for each lane if that is more.
ROUND = 8
# Compared with the quickest round of the same kind: up to the first another lane is opened, above the second some are
# closed. A few milliseconds more are no sign of load.
STEADY_FACTOR, STEADY_SECONDS = 1.5, 0.02
SLOW_FACTOR, SLOW_SECONDS = 2.0, 0.05
# So many answers pass after the first narrowing before its width is tried again; twice as many after each other one.
PATIENCE = 1000


class Widening:
    """Control the number of requests in parallel that are allowed now: from `first` to `most`.

    One more is allowed after each round in which the lanes were used and answers came as quickly as ever. The width at
    which the service was under load is not tried again for a while, and narrowing never goes below `first`: below that,
    the throttle alone decides.
    """

    def __init__(self, first: int, most: int) -> None:
        self.allowed = self._first = first
        self._ceiling = self._most = most
        self._rounds: dict[str, list[float]] = {}
        self._used: dict[str, int] = {}
        self._quickest: dict[str, float] = {}
        self._patience = PATIENCE
        self._left = 0

    def note(self, kind: str, seconds: float, *, is_full: bool) -> bool:
        """Record how long an answer took; return True if this completes a round that was slow.

        `is_full`: all lanes were in use. Rounds with free lanes show nothing about more of them.
        """
        self._count_down()
        answers = self._rounds.setdefault(kind, [])
        answers.append(seconds)
        self._used[kind] = self._used.get(kind, 0) + is_full
        if len(answers) < max(ROUND, self.allowed):
            return False
        middle, is_used = median(answers), self._used[kind] * 2 > len(answers)
        self._rounds[kind], self._used[kind] = [], 0
        quickest = self._quickest[kind] = min(middle, self._quickest.get(kind, middle))
        if middle > SLOW_FACTOR * quickest + SLOW_SECONDS:
            return True
        if is_used and middle <= STEADY_FACTOR * quickest + STEADY_SECONDS:
            self.allowed = min(self.allowed + 1, self._ceiling)
        return False

    def narrow(self, width: int, *, is_slow: bool) -> None:
        """Allow fewer lanes than `width`, at which the service was under load, until it is time to try again.

        After a refusal the next narrower width is allowed, since it was served; where answers are slow, half of it,
        and each other lane only as answers are quick again.
        """
        self._rounds.clear()
        self._used.clear()
        if width <= self._first:
            return
        self._ceiling = max(self._first, width - 1)
        self.allowed = max(self._first, width // 2) if is_slow else self._ceiling
        self._left = self._patience
        self._patience *= 2

    def _count_down(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                self._ceiling = self._most
