"""Take an answer message by message, and drop the photos of what is more than one answer may hold in memory.

ldap3 2.10 gathers all messages of an answer before it reads the first, and keeps each value three times.
Entries do not pass through it: they are read here.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPSocketReceiveError, communication_exception_factory
from ldap3.operation.search import raw_attributes_to_dict_fast
from ldap3.utils.conv import to_unicode

from connector.sources.raw_entry import RawEntry, merged, read_entry

# An answer may take the seconds that silence may last, and more only while bytes come at least so fast.
SLOWEST_BYTES_A_SECOND = 16 * 1024
# The largest entry: some photos of several megabytes. AD takes no value above 10 MB.
MOST_MESSAGE_BYTES = 96 * 1024 * 1024
# All entries of one answer, which ldap3 holds in memory until its end.
MOST_ANSWER_BYTES = 256 * 1024 * 1024
_SEQUENCE = 0x30
# What a socket without a time limit raises while nothing has come.
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(slots=True)
class TimedLine:
    """Read from a socket under one deadline for each answer, from the request on, that moves only with its bytes."""

    line: Any
    seconds: float
    _began: float = field(default_factory=time.monotonic)
    _received: int = 0
    _failure: OSError | None = None
    _is_ended: bool = False

    def recv(self, size: int) -> bytes:
        """Return what has come, up to `size` bytes; raises TimeoutError for silence, and for an answer that drips."""
        if self._failure is not None:
            raise self._failure
        if self._is_ended:
            return b""
        left = self._began + self.seconds + self._received / SLOWEST_BYTES_A_SECOND - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the answer came too slowly")
        self.line.settimeout(min(left, self.seconds))
        first: bytes = self.line.recv(size)
        piece = self._with_more(first, size) if first else first
        self._received += len(piece)
        return piece

    def _with_more(self, first: bytes, size: int) -> bytes:
        """Add what is there already: Samba encrypts a kilobyte at a time. The next call tells an end or a failure."""
        pieces, count = [first], len(first)
        self.line.settimeout(0)
        try:
            while count < size and not self._is_ended:
                pieces.append(self.line.recv(size - count))
                count += len(pieces[-1])
                self._is_ended = not pieces[-1]
        except _NOT_YET:
            pass
        except OSError as error:
            self._failure = error
        return b"".join(pieces)

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
    """Stand in for how a connection's strategy receives and decodes; `entries` are those of the answer so far.

    `most_bytes`: once the values of an answer are more than these, later entries lose those of `droppable` (lower case)
    and are marked as cut; 0 keeps all.
    """

    connection: ldap3.Connection
    entries: list[RawEntry] = field(default_factory=list, repr=False)
    _message_id: int = 0
    _droppable: frozenset[str] = frozenset()
    _most_bytes: int = 0
    _held_bytes: int = 0
    _left: bytearray = field(default_factory=bytearray, repr=False)

    def start_answer(self, message_id: int, *, droppable: frozenset[str], most_bytes: int) -> None:
        """Begin the answer to a request that was sent under this id."""
        self.entries, self._message_id, self._held_bytes = [], message_id, 0
        self._droppable, self._most_bytes = droppable, most_bytes

    def message(self) -> list[bytes]:
        """Keep the entries that come, and return the first other message; none where the server hung up."""
        while whole := self._whole_message():
            entry = read_entry(whole, self._message_id)
            if entry is None:
                return [whole]
            self._keep(entry)
        return []

    def decoded(self, message: Any) -> dict[str, Any]:
        """Return a message as ldap3 reads it; an entry in an unusual form is kept, and its values are dropped there.

        Without controls only the raw values of an entry are read: ldap3 would read each one again, as a text.
        """
        if message["protocolOp"] == _ENTRY_TAG and not message["controls"]:
            name, values = (part[3] for part in message["payload"][:2])
            self._keep(_merged(to_unicode(name, from_server=True), raw_attributes_to_dict_fast(values)))
            return {"type": _ENTRY, "raw_attributes": {}, "attributes": {}}
        strategy = self.connection.strategy
        answer: dict[str, Any] = type(strategy).decode_response_fast(strategy, message)
        if answer["type"] == _ENTRY:
            self._keep(_merged(answer["dn"], answer["raw_attributes"]))
            answer["raw_attributes"] = answer["attributes"] = {}
        return answer

    def _keep(self, entry: RawEntry) -> None:
        size = entry.size() if self._most_bytes else 0
        if self._most_bytes and self._held_bytes and self._held_bytes + size > self._most_bytes:
            dropped = {name for name, found in entry.values.items() if found and name in self._droppable}
            kept = {name: found for name, found in entry.values.items() if name not in dropped}
            entry = replace(entry, values=kept, is_cut=bool(dropped))
        else:
            self._held_bytes += size
        self.entries.append(entry)

    def _whole_message(self) -> bytes:
        """Return the next message; empty where the server closed the connection."""
        size_of = self.connection.strategy.compute_ldap_message_size
        while True:
            length = size_of(self._left[:16])  # the length stands in the first bytes (X.690, 8.1.3)
            if 0 < length <= len(self._left):
                whole = bytes(self._left[:length])
                del self._left[:length]
                return whole
            data = self._received()
            if not data:
                return b""
            self._left += data

    def _received(self) -> bytes:
        try:
            return bytes(self.connection.socket.recv(_RECEIVED_BYTES))
        except (OSError, AttributeError) as error:
            text = f"error receiving data: {error}"
            raise communication_exception_factory(LDAPSocketReceiveError, type(error)(str(error)))(text) from error


def _merged(dn: str, raw_attributes: Mapping[str, Sequence[bytes] | None]) -> RawEntry:
    """Make an entry of what ldap3 read, which gives None where AD reports an emptied attribute."""
    return merged(str(dn), ((str(name).casefold(), tuple(found or ())) for name, found in raw_attributes.items()))


def receive_by(connection: ldap3.Connection) -> Receiver:
    """Make a connection receive by a Receiver from now on."""
    receiver = Receiver(connection)
    connection.strategy.receiving = receiver.message
    connection.strategy.decode_response_fast = receiver.decoded
    return receiver
