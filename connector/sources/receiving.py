"""Take an answer message by message, and drop the photos of what is more than one answer may hold in memory.

ldap3 2.10 gathers all messages of an answer before it reads the first, and keeps each value three times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPSocketReceiveError, communication_exception_factory

_RECEIVED_BYTES = 256 * 1024
_ENTRY = "searchResEntry"


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

    def begin(self, droppable: frozenset[str], most_bytes: int) -> None:
        """Begin another answer."""
        self.droppable, self.most_bytes, self._held_bytes = droppable, most_bytes, 0

    def message(self) -> list[bytes]:
        """Return the next whole message, or none where the server has hung up."""
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
        """Return a message as ldap3 reads it, without what would be too much."""
        strategy = self.connection.strategy
        answer: dict[str, Any] = type(strategy).decode_response_fast(strategy, message)
        if answer["type"] == _ENTRY:
            answer["attributes"] = {}  # the same values once more
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
    """Let a connection receive by a Receiver from now on."""
    receiver = Receiver(connection)
    connection.strategy.receiving = receiver.message
    connection.strategy.decode_response_fast = receiver.decoded
    return receiver
