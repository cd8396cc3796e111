"""Run several requests at a time on a bounded number of threads; the work list stays small in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

# On Windows Ctrl+C does not interrupt a wait for a lock, so every wait of the main thread is divided into slices.
WAIT_SLICE_SECONDS = 0.5

Label = TypeVar("Label")
Result = TypeVar("Result")


class Lanes(Generic[Label, Result]):
    """Run calls on a few threads and return each result with its label; one thread sends and takes.

    An exception of a call is raised where its result is taken, and no other call begins after it. If an exception
    leaves the block, calls that have not begun are cancelled and running ones are awaited; `cancel_waiting` is called
    first, so that no call stays in a long wait.
    """

    def __init__(self, lanes: int, *, cancel_waiting: Callable[[], None] = lambda: None) -> None:
        self._cancel_waiting = cancel_waiting
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="lane")
        self._open: dict[Future[Result], Label] = {}
        self._ended: SimpleQueue[Future[Result]] = SimpleQueue()
        self._failure: BaseException | None = None

    def __enter__(self) -> Lanes[Label, Result]:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the running calls; after an exception, cancel those that only wait."""
        if kind is not None:
            self._cancel_waiting()
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def __len__(self) -> int:
        """Return the number of calls whose results were not taken."""
        return len(self._open)

    def send(self, label: Label, call: Callable[..., Result], *values: object) -> None:
        """Begin a call as soon as a thread is free."""
        future = self._pool.submit(self._call, call, *values)
        self._open[future] = label
        future.add_done_callback(self._ended.put)

    def _call(self, call: Callable[..., Result], *values: object) -> Result:
        """Call, unless another call has failed and its exception has not been raised yet."""
        if self._failure is not None:
            raise self._failure
        try:
            return call(*values)
        except BaseException as failure:
            self._failure = failure
            raise

    def completed(self, *, until: int = 0) -> Iterator[tuple[Label, Result]]:
        """Yield finished calls in the order in which they ended, waiting until at most `until` are open."""
        while len(self._open) > until:
            try:
                future = self._ended.get(timeout=WAIT_SLICE_SECONDS)
            except Empty:
                continue
            yield self._open.pop(future), future.result()

    def ended(self) -> Iterator[tuple[Label, Result]]:
        """Yield the calls that have ended by now, without waiting."""
        while not self._ended.empty():
            future = self._ended.get()
            yield self._open.pop(future), future.result()

    def several(self, *, until: int) -> Iterator[tuple[Label, Result]]:
        """Yield finished calls, waiting until at most `until` are open, but for a slow one only if none has ended.

        Whoever records several results at once so never keeps one for long.
        """
        if len(self._open) > until:
            yield from islice(self.completed(), 1)
        with suppress(Empty):
            while len(self._open) > until:
                future = self._ended.get(timeout=WAIT_SLICE_SECONDS)
                yield self._open.pop(future), future.result()
        yield from self.ended()

    def remaining(self) -> Iterator[tuple[Label, Result]]:
        """Yield the results of the other calls after a failure; their own failures are ignored."""
        self._cancel_waiting()
        for future in self._open:
            future.cancel()
        while wait(self._open, timeout=WAIT_SLICE_SECONDS).not_done:
            pass
        for future in list(self._open):
            label = self._open.pop(future)
            if not future.cancelled() and future.exception() is None:
                yield label, future.result()
