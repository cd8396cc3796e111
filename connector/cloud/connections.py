"""Connections for urllib3 that try addresses side by side, and whose answer's head comes under one deadline.

http.client reads a head line by line with a time limit for each byte: one that drips would never end.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from connector.network import connect

USUAL_SECONDS = 60.0


def _connected(connection: HTTPConnection) -> socket.socket:
    """Connect as urllib3 does, with its errors and limits, but to all addresses of the name side by side."""
    seconds = _seconds_of(connection)
    try:
        line = connect(connection._dns_host, connection.port, seconds=seconds)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"{connection.host} does not answer") from error
    except OSError as error:
        raise NewConnectionError(connection, f"no connection: {error}") from error
    line.settimeout(seconds)
    for option in connection.socket_options or ():
        line.setsockopt(*option)
    return line


@contextmanager
def _bounded(connection: Any) -> Iterator[None]:
    """Put all reads within the block under one deadline: the connection's timeout, counted from now."""
    line = connection.sock
    bounded = _BoundedSocket(line, time.monotonic() + _seconds_of(connection))
    connection.sock = bounded
    try:
        yield
    finally:
        bounded.lift()
        if connection.sock is bounded:  # it is None once the connection was closed
            connection.sock = line


def _seconds_of(connection: HTTPConnection) -> float:
    return float(connection.timeout) if isinstance(connection.timeout, int | float) else USUAL_SECONDS


class BoundedConnection(HTTPConnection):
    """Connect without TLS: to the machine's own identity endpoint."""

    def _new_conn(self) -> socket.socket:
        return _connected(self)

    def getresponse(self) -> Any:
        """Return the answer once its head is there; its body is bounded by whoever reads it."""
        with _bounded(self):
            return super().getresponse()


class BoundedTlsConnection(HTTPSConnection):
    """Connect with TLS, where it must be through a proxy's tunnel."""

    _pieces: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        return _connected(self)

    def request(self, *values: Any, **options: Any) -> None:
        """Send head and body together: apart, each would be a TLS record and a packet of its own."""
        self._pieces = []
        try:
            super().request(*values, **options)
            whole_bytes = b"".join(self._pieces)
        finally:
            self._pieces = None
        self.send(whole_bytes)

    def send(self, data: Any) -> None:
        """Send, or keep a piece of the request that is being put together."""
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(data)

    def _tunnel(self) -> None:
        with _bounded(self):
            super()._tunnel()

    def getresponse(self) -> Any:
        """Return the answer once its head is there; its body is bounded by whoever reads it."""
        with _bounded(self):
            return super().getresponse()


class _Pool(HTTPConnectionPool):
    ConnectionCls = BoundedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = BoundedTlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}


class _BoundedSocket:
    """Stand in for a socket while http.client opens a reader on it."""

    def __init__(self, line: Any, deadline: float) -> None:
        self._line, self._deadline = line, deadline
        self._readers: list[_BoundedReader] = []

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        reader = _BoundedReader(self._line, self._deadline)
        self._readers.append(reader)
        return io.BufferedReader(reader)

    def lift(self) -> None:
        """End this deadline; the body is read without it."""
        for reader in self._readers:
            reader.lift()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


class _BoundedReader(io.RawIOBase):
    """Read from a socket until a deadline."""

    def __init__(self, line: Any, deadline: float) -> None:
        self._inner = line.makefile("rb", buffering=0)
        self._line, self._usual = line, line.gettimeout()
        self._deadline: float | None = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer's head came too slowly")
            self._line.settimeout(left)
        read: int | None = self._inner.readinto(buffer)
        return read

    def lift(self) -> None:
        self._deadline = None
        if not self.closed and self._line.fileno() >= 0:
            self._line.settimeout(self._usual)

    def close(self) -> None:
        self._inner.close()
        super().close()
