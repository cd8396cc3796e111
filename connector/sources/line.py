"""Bound what a server may send: stand-ins for a socket, which ldap3 reads without limits of time and size."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from typing import Any

# An answer may take the seconds that silence may last, and more only while bytes come at least so fast.
SLOWEST_BYTES_A_SECOND = 16 * 1024
# The largest entry: some photos of several megabytes. AD takes no value above 10 MB.
MOST_MESSAGE_BYTES = 96 * 1024 * 1024
# All entries of one answer, which ldap3 holds in memory until its end.
MOST_ANSWER_BYTES = 768 * 1024 * 1024
_SEQUENCE = 0x30


@dataclass(slots=True)
class TimedLine:
    """Read from a socket under one deadline for each answer, from the request on, that moves only with its bytes."""

    line: Any
    seconds: float
    _began: float = field(default_factory=time.monotonic)
    _received: int = 0

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; raises TimeoutError for silence, and for an answer that drips."""
        left = self._began + self.seconds + self._received / SLOWEST_BYTES_A_SECOND - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the answer came too slowly")
        self.line.settimeout(min(left, self.seconds))
        piece: bytes = self.line.recv(size)
        self._received += len(piece)
        return piece

    def sendall(self, content_bytes: bytes) -> None:
        """Send a request; the time of its answer begins."""
        self.line.settimeout(self.seconds)
        self.line.sendall(content_bytes)
        self._began, self._received = time.monotonic(), 0

    def settimeout(self, seconds: float | None) -> None:
        """Set how long silence may last, from now on."""
        self.seconds = seconds if seconds is not None else self.seconds
        self._began, self._received = time.monotonic(), 0

    def __getattr__(self, name: str) -> Any:
        """Give everything else that a socket can."""
        return getattr(self.line, name)


@dataclass(slots=True)
class SizedLine:
    """Read LDAP messages (RFC 4511, section 5.1) whose sizes, and their sum in one answer, are bounded."""

    line: Any
    _left: int = 0
    _head: bytes = b""
    _answer: int = 0

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; raises OSError for a message that is too large, or none."""
        piece: bytes = self.line.recv(size)
        self._answer += len(piece)
        if self._answer > MOST_ANSWER_BYTES:
            raise OSError(errno.EMSGSIZE, f"it sent more than {MOST_ANSWER_BYTES >> 20} MB in one answer")
        self._follow(piece)
        return piece

    def sendall(self, content_bytes: bytes) -> None:
        """Send a request; the next answer is counted anew."""
        self.line.sendall(content_bytes)
        self._answer = 0

    def __getattr__(self, name: str) -> Any:
        """Give everything else that a socket can."""
        return getattr(self.line, name)

    def _follow(self, piece: bytes) -> None:
        """Keep count of where messages begin, and look at the size of each."""
        unread = self._head + piece if self._head else piece
        at = 0
        while True:
            skipped = min(self._left, len(unread) - at)
            at, self._left = at + skipped, self._left - skipped
            if at == len(unread):
                self._head = b""
                return
            size = _message_size(unread, at)
            if size is None:
                self._head = unread[at:]
                return
            if size > MOST_MESSAGE_BYTES:
                most = MOST_MESSAGE_BYTES >> 20
                raise OSError(errno.EMSGSIZE, f"it announced a message of {size >> 20} MB; {most} MB are the most")
            self._left = size


def _message_size(content: bytes, at: int) -> int | None:
    """Return the size of the message that begins here, None where its head is cut; raises OSError where none does."""
    if content[at] != _SEQUENCE:
        raise OSError(errno.EPROTO, "it sent something that is no LDAP message")
    if len(content) < at + 2:
        return None
    first = content[at + 1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 0 < count <= 8:
        raise OSError(errno.EPROTO, "it sent something that is no LDAP message")
    if len(content) < at + 2 + count:
        return None
    return 2 + count + int.from_bytes(content[at + 2 : at + 2 + count], "big")
