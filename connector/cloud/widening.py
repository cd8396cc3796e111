"""Decide how many lanes may be open, for `SYNC_CONCURRENCY=auto`: more while answers stay quick, fewer under load.

It knows nothing of threads, clocks and requests, and remembers nothing after the run.
"""

from __future__ import annotations

from statistics import median

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
