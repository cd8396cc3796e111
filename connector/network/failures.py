"""Classify network errors by number (errno, WinError), independent of the language of the text."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from enum import StrEnum


class NetworkFailure(StrEnum):
    """Why a connection could not be made, or why it ended."""

    NAME = "name"
    REFUSED = "refused"
    NO_ROUTE = "no-route"
    SILENT = "silent"
    RESET = "reset"


# Winsock's numbers (https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2) beside errno's.
_NUMBERS = {
    NetworkFailure.REFUSED: {errno.ECONNREFUSED, 10061},
    NetworkFailure.NO_ROUTE: {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, 10065, 10051, 10049},
    NetworkFailure.SILENT: {errno.ETIMEDOUT, errno.EAGAIN, 10060, 10035},
    NetworkFailure.RESET: {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, 10053, 10054, 10057},
}


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all errors it wraps, the outermost first; urllib3 passes the inner one as an argument."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [part for part in (*cause.args, cause.__cause__, cause.__context__) if isinstance(part, Exception)]


def network_failure(causes: Iterable[BaseException]) -> NetworkFailure | None:
    """Return the failure of the first cause whose number is known; None if there is none."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return NetworkFailure.NAME
        if isinstance(cause, TimeoutError):
            return NetworkFailure.SILENT
        if not isinstance(cause, OSError):
            continue
        numbers = {cause.errno, getattr(cause, "winerror", None)}
        found = next((failure for failure, known in _NUMBERS.items() if known & numbers), None)
        if found is not None:
            return found
    return None
