"""How much memory may pictures take at a time? Who needs much waits until there is room, whatever the threads."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE_BLOCK = 1_000_000


def tune_malloc() -> None:
    """Let what a picture took be the system's again when it is done with, mallopt(3).

    Left alone, glibc keeps freed blocks of up to 32 MB for the thread that had them, so that each thread which ever
    decoded a large picture would hold its memory for good. Windows and musl give large blocks back anyhow.
    """
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


class MemoryBudget:
    """Share so many bytes among all threads that decode pictures."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._taken = 0
        self._line = threading.Lock()
        self._change = threading.Condition()

    @contextmanager
    def hold(self, wanted_bytes: int) -> Iterator[None]:
        """Hold so many bytes, or all where more are wanted; whoever comes later waits behind, so that nobody starves.

        Not to be nested: two threads could wait for each other.
        """
        amount = min(wanted_bytes, self._size)
        with self._line, self._change:
            self._change.wait_for(lambda: self._taken + amount <= self._size)
            self._taken += amount
        try:
            yield
        finally:
            with self._change:
                self._taken -= amount
                self._change.notify_all()
