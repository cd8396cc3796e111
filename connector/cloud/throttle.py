"""Who may send now? One gate for all workers: so many at a time, nobody inside a wait, fewer in trouble."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connector.errors import PersonError
from connector.model import Reason

# Told to wait for longer than this without one success between, the service has said no for tonight.
PATIENCE_SECONDS = 1800.0
# On Windows a wait for a lock is not interrupted by Ctrl+C: every wait is made of slices this long.
WAIT_SLICE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Permit:
    """Remember when a request was let through: in which era of the gate, at which second of the clock."""

    era: int
    entered: float


class WaitLimitExceeded(Exception):
    """Say that the waits asked for add up to more than a night can bear; `seconds` is the last one."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"told to wait {seconds:.0f} s")
        self.seconds = seconds


class Throttle:
    """Let at most `lanes` requests on the wire, over all threads.

    After `hold` nobody enters before the time; then one goes ahead, and the others follow when it came back well.
    After `slow` there are half as many lanes; each round of successes opens one more, as TCP does it. `successes` grows
    with each request that was answered well.
    """

    def __init__(self, lanes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._most = lanes
        self._lanes = float(lanes)
        self._busy = 0
        self._era = 0
        self._open_at = 0.0
        self._unwell_since: float | None = None
        self._scouting = False
        self._closed = False
        self._lowest = lanes
        self.successes = 0
        self._slowed = self._holds = self._passed = 0
        self._held_seconds = self._busy_seconds = 0.0

    @contextmanager
    def lane(self) -> Iterator[Permit]:
        """Wait for a free lane and keep it; raises PersonError (interrupted) once the gate is closed."""
        ticket = self._enter()
        try:
            yield ticket
        finally:
            self._leave(ticket)

    def ticket(self) -> Permit:
        """Return a ticket of now, for trouble that shows only inside an answer that came well."""
        with self._changed:
            return Permit(self._era, self._clock())

    def block_all(self, seconds: float) -> None:
        """Let nobody enter for so long, because the service said so; raises TooLong beyond all patience."""
        with self._changed:
            now = self._clock()
            until = now + seconds
            self._unwell_since = now if self._unwell_since is None else self._unwell_since
            if until - self._unwell_since > PATIENCE_SECONDS:
                raise WaitLimitExceeded(seconds)
            if self._open_at <= now:
                self._holds += 1
            if until > self._open_at:
                self._held_seconds += until - max(now, self._open_at)
                self._open_at = until
            self._era += 1
            self._scouting = True

    def reduce_concurrency(self, ticket: Permit) -> None:
        """Halve the lanes, once for all requests that were under way together when the trouble came."""
        with self._changed:
            self._unwell_since = self._clock() if self._unwell_since is None else self._unwell_since
            if ticket.era < self._era:
                return
            self._era += 1
            self._slowed += 1
            self._lanes = max(1.0, self._lanes / 2)
            self._lowest = min(self._lowest, int(self._lanes))

    def report_success(self, ticket: Permit) -> None:
        """Open up a little more, because a request that entered since the last trouble was answered."""
        self.successes += 1  # an increment lost between threads does no harm: only growth matters
        if self._unwell_since is None and self._lanes >= self._most:
            return  # the usual case, without the lock
        with self._changed:
            if ticket.era < self._era:
                return
            self._unwell_since = None
            self._scouting = False
            self._lanes = min(float(self._most), self._lanes + 1 / self._lanes)
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Sleep outside every lane; raises PersonError (interrupted) when the gate is closed meanwhile."""
        until = self._clock() + seconds
        with self._changed:
            while (left := until - self._clock()) > 0:
                self._stop_if_closed()
                self._changed.wait(min(left, WAIT_SLICE_SECONDS))
            self._stop_if_closed()

    def seconds_in_trouble(self) -> float:
        """Return for how long there was only trouble; 0 while all is well."""
        since = self._unwell_since
        return 0.0 if since is None else self._clock() - since

    def close(self) -> None:
        """Turn away all who wait and all who come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def pace(self) -> dict[str, float]:
        """Tell how the service let us go: lanes, slow-downs, waits (seconds), and the mean time on the wire."""
        with self._changed:
            return {
                "lanes_allowed": self._most,
                "lanes_now": int(self._lanes),
                "lanes_lowest": self._lowest,
                "slow_downs": self._slowed,
                "waits": self._holds,
                "wait_seconds": round(self._held_seconds, 3),
                "requests": self._passed,
                "mean_milliseconds": round(1000 * self._busy_seconds / max(1, self._passed), 1),
            }

    def _enter(self) -> Permit:
        with self._changed:
            while True:
                self._stop_if_closed()
                now = self._clock()
                shut = self._open_at - now
                if shut <= 0 and self._busy < self._width():
                    break
                self._changed.wait(min(shut, WAIT_SLICE_SECONDS) if shut > 0 else WAIT_SLICE_SECONDS)
            self._busy += 1
            return Permit(self._era, now)

    def _leave(self, ticket: Permit) -> None:
        with self._changed:
            self._busy -= 1
            self._passed += 1
            self._busy_seconds += self._clock() - ticket.entered
            self._changed.notify_all()

    def _width(self) -> int:
        return 1 if self._scouting else int(self._lanes)

    def _stop_if_closed(self) -> None:
        if self._closed:
            raise PersonError(Reason.INTERRUPTED, "The run was ended before the cloud was asked.")
