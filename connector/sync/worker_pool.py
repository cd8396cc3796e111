"""How do several requests run side by side without the work list growing in memory? Through a few bounded lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, TypeVar

# On Windows a wait for a lock is not interrupted by Ctrl+C: every wait of the main thread is made of slices this long.
WAIT_SLICE_SECONDS = 0.5

Label = TypeVar("Label")
Result = TypeVar("Result")


class Lanes(Generic[Label, Result]):
    """Run calls on a few threads and hand back what each gave, with its label; one thread feeds and empties it.

    An exception of a call is raised where its result is taken, and no other call begins after it. Leaving the block
    by an exception drops what has not begun, and waits for what is on the wire; `turn_away` is called first, so that
    nobody sits out a long wait.
    """

    def __init__(self, lanes: int, *, turn_away: Callable[[], None] = lambda: None) -> None:
        self._turn_away = turn_away
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="lane")
        self._open: dict[Future[Result], Label] = {}
        self._failure: BaseException | None = None

    def __enter__(self) -> Lanes[Label, Result]:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is on the wire; after an exception, what only waits for its turn there is turned away."""
        if kind is not None:
            self._turn_away()
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def __len__(self) -> int:
        """Count the calls whose results were not taken."""
        return len(self._open)

    def send(self, label: Label, call: Callable[..., Result], *values: object) -> None:
        """Begin a call as soon as a lane is free."""
        self._open[self._pool.submit(self._carry_out, call, *values)] = label

    def _carry_out(self, call: Callable[..., Result], *values: object) -> Result:
        """Call, unless another call ended it for all and nobody has taken that result yet."""
        if self._failure is not None:
            raise self._failure
        try:
            return call(*values)
        except BaseException as failure:
            self._failure = failure
            raise

    def completed(self, *, until: int = 0) -> Iterator[tuple[Label, Result]]:
        """Yield finished calls, waiting until at most `until` are open."""
        while len(self._open) > until:
            done, _ = wait(self._open, timeout=WAIT_SLICE_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                yield self._open.pop(future), future.result()

    def remaining(self) -> Iterator[tuple[Label, Result]]:
        """Yield, after a failure elsewhere, what other calls still gave; their own failures are passed over."""
        self._turn_away()
        for future in self._open:
            future.cancel()
        while wait(self._open, timeout=WAIT_SLICE_SECONDS).not_done:
            pass
        for future in list(self._open):
            label = self._open.pop(future)
            if not future.cancelled() and future.exception() is None:
                yield label, future.result()
