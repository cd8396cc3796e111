"""Connect to a host by the first of its addresses that answers, tried side by side (RFC 8305).

Written for blocking sockets in threads; the libraries that offer it are for asyncio.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

# RFC 8305, section 5: the next address begins so long after the one before, or at once when that one has failed.
ATTEMPT_DELAY_SECONDS = 0.25
# A name with hundreds of addresses is a mistake; the rest is not tried.
MOST_ADDRESSES = 32

Address = tuple[int, int, int, str, Any]


def connect(host: str, port: int, *, seconds: float) -> socket.socket:
    """Return a connected socket that blocks; raises OSError: the first address's, TimeoutError, or socket.gaierror.

    `seconds` is one deadline for the look-up of the name and all addresses.
    """
    deadline = time.monotonic() + seconds
    addresses = in_turns(look_up(host, port, seconds=seconds))[:MOST_ADDRESSES]
    with contextlib.ExitStack() as losers:
        winner = _Race(addresses, losers).run(deadline)
        winner.setblocking(True)
        return winner


def look_up(host: str, port: int, *, seconds: float) -> list[Address]:
    """Return the addresses of a name, in the system's order; a thread asks, since a resolver has its own deadlines."""
    found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except queue.Empty:
        raise socket.gaierror(socket.EAI_AGAIN, "the name was not looked up in time") from None
    if isinstance(result, OSError):
        raise result
    return result


def in_turns(addresses: Iterable[Address]) -> list[Address]:
    """Order so that the families take turns (RFC 8305, section 4): a broken IPv6 costs one delay, not many."""
    ordered = list(dict.fromkeys(addresses))
    first = [address for address in ordered if address[0] == ordered[0][0]]
    others = [address for address in ordered if address[0] != ordered[0][0]]
    return [address for pair in zip_longest(first, others) for address in pair if address is not None]


def _look_up(host: str, port: int, found: queue.SimpleQueue[list[Address] | OSError]) -> None:
    try:
        found.put([*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
    except OSError as error:
        found.put(error)
    except UnicodeError:  # a label that is too long, or empty
        found.put(socket.gaierror(socket.EAI_NONAME, "the name is none that DNS could know"))


class _Race:
    """Try addresses, each ATTEMPT_DELAY_SECONDS after the previous one, until one is connected; close the others."""

    def __init__(self, addresses: list[Address], losers: contextlib.ExitStack) -> None:
        self._waiting = deque(addresses)
        self._losers = losers
        self._selector = losers.enter_context(selectors.DefaultSelector())
        self._first_error: OSError | None = None
        self._next_at = 0.0

    def run(self, deadline: float) -> socket.socket:
        """Return the first socket that is connected; raises OSError when none will be, or the time is over."""
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "no address answered in time")
            if self._waiting and now >= self._next_at:
                self._begin(self._waiting.popleft())
                self._next_at = now + ATTEMPT_DELAY_SECONDS
            if not self._selector.get_map():
                if not self._waiting:
                    raise self._first_error or OSError(errno.EADDRNOTAVAIL, "the name has no address")
                self._next_at = now
                continue
            until = min(deadline, self._next_at) if self._waiting else deadline
            for key, _ in self._selector.select(max(0.0, until - now)):
                winner = self._ended(key.fileobj)
                if winner is not None:
                    return winner

    def _begin(self, address: Address) -> None:
        family, kind, protocol, _, where = address
        try:
            line = self._losers.enter_context(socket.socket(family, kind, protocol))
            line.setblocking(False)
            with contextlib.suppress(BlockingIOError):  # it is under way
                line.connect(where)
        except OSError as error:
            self._failed(error)
            return
        self._selector.register(line, selectors.EVENT_WRITE)

    def _ended(self, line: Any) -> socket.socket | None:
        self._selector.unregister(line)
        number = line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            line.close()
            self._failed(OSError(number, os.strerror(number)))
            return None
        return socket.socket(line.family, line.type, line.proto, fileno=line.detach())

    def _failed(self, error: OSError) -> None:
        self._first_error = self._first_error or error
        self._next_at = 0.0
