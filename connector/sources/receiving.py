"""Take an answer message by message, and drop the photos of what is more than one answer may hold in memory.

ldap3 2.10 gathers all messages of an answer before it reads the first, and keeps each value three times.
"""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass, field
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPSocketReceiveError, communication_exception_factory
from ldap3.operation.search import raw_attributes_to_dict_fast
from ldap3.utils.conv import to_unicode

# An answer may take the seconds that silence may last, and more only while bytes come at least so fast.
SLOWEST_BYTES_A_SECOND = 16 * 1024
# The largest entry: some photos of several megabytes. AD takes no value above 10 MB.
MOST_MESSAGE_BYTES = 96 * 1024 * 1024
# All entries of one answer, which ldap3 holds in memory until its end.
MOST_ANSWER_BYTES = 256 * 1024 * 1024
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
        """Count where messages begin, and check the size of each."""
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


_RECEIVED_BYTES = 256 * 1024
_ENTRY, _ENTRY_TAG = "searchResEntry", 4  # RFC 4511, 4.5.2


@dataclass(slots=True)
class Receiver:
    """Stand in for how a connection's strategy receives and decodes.

    `most_bytes`: once the values of an answer are more than these, later entries lose those of `droppable` (lower case)
    and are marked with `cut`; 0 keeps all.
    """

    connection: ldap3.Connection
    droppable: frozenset[str] = frozenset()
    most_bytes: int = 0
    _held_bytes: int = 0
    _left: bytearray = field(default_factory=bytearray, repr=False)

    def start_answer(self, droppable: frozenset[str], most_bytes: int) -> None:
        """Begin another answer."""
        self.droppable, self.most_bytes, self._held_bytes = droppable, most_bytes, 0

    def message(self) -> list[bytes]:
        """Return the next whole message, or none where the server closed the connection."""
        size_of = self.connection.strategy.compute_ldap_message_size
        while True:
            length = size_of(bytes(self._left[:16]))  # the length stands in the first bytes (X.690, 8.1.3)
            if 0 < length <= len(self._left):
                whole = bytes(self._left[:length])
                del self._left[:length]
                return [whole]
            data = self._received()
            if not data:
                return []
            self._left += data

    def decoded(self, message: Any) -> dict[str, Any]:
        """Return a message as ldap3 reads it, without what would be too much.

        Of an entry the raw values only: ldap3 would read each value a second time, as a text.
        """
        if message["protocolOp"] == _ENTRY_TAG and not message["controls"]:
            name, values = (part[3] for part in message["payload"][:2])
            entry = {"type": _ENTRY, "raw_dn": name, "dn": to_unicode(name, from_server=True), "attributes": {}}
            entry["raw_attributes"] = raw_attributes_to_dict_fast(values)
            self._weigh(entry)
            return entry
        strategy = self.connection.strategy
        answer: dict[str, Any] = type(strategy).decode_response_fast(strategy, message)
        if answer["type"] == _ENTRY:
            answer["attributes"] = {}
            self._weigh(answer)
        return answer

    def _weigh(self, entry: dict[str, Any]) -> None:
        values: dict[str, list[bytes] | None] = entry["raw_attributes"]
        size = sum(len(value) for many in values.values() for value in many or ())
        if self.most_bytes and self._held_bytes and self._held_bytes + size > self.most_bytes:
            dropped = [name for name in values if name.partition(";")[0].casefold() in self.droppable and values[name]]
            entry["cut"] = bool(dropped)
            for name in dropped:
                del values[name]
        else:
            self._held_bytes += size

    def _received(self) -> bytes:
        try:
            return bytes(self.connection.socket.recv(_RECEIVED_BYTES))
        except (OSError, AttributeError) as error:
            text = f"error receiving data: {error}"
            raise communication_exception_factory(LDAPSocketReceiveError, type(error)(str(error)))(text) from error


def receive_by(connection: ldap3.Connection) -> Receiver:
    """Make a connection receive by a Receiver from now on."""
    receiver = Receiver(connection)
    connection.strategy.receiving = receiver.message
    connection.strategy.decode_response_fast = receiver.decoded
    return receiver
