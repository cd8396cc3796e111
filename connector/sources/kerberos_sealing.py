"""Encrypt a Kerberos session without TLS: each message is wrapped by the security context (RFC 4752).

ldap3 2.10 negotiates this but reads it wrongly: of two wrapped packets that arrive together it leaves the second until
a third comes, and a page of photos never ends. So once signed in, its socket is replaced by this one.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ldap3

_LENGTH_BYTES = 4
# A peer that announces more is no directory; RFC 4422 leaves three bytes for the size of a packet.
_MOST_BYTES = 1 << 24


@dataclass(slots=True)
class SealedSocket:
    """Stand in for a socket towards ldap3: what is sent is wrapped, what is received unwrapped."""

    line: socket.socket
    wrap: Callable[[bytes], bytes]
    unwrap: Callable[[bytes], bytes]
    most_plain_bytes: int
    _left: bytes = field(default=b"", repr=False)

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes in clear, empty at the end of the connection."""
        if not self._left:
            self._left = self._packet()
        given, self._left = self._left[:size], self._left[size:]
        return given

    def sendall(self, content_bytes: bytes) -> None:
        """Send all bytes, in as many packets as the server's buffer asks for."""
        for start in range(0, len(content_bytes), self.most_plain_bytes):
            packet = self.wrap(content_bytes[start : start + self.most_plain_bytes])
            self.line.sendall(len(packet).to_bytes(_LENGTH_BYTES, "big") + packet)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long silence may last."""
        self.line.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        """End the connection in the directions named."""
        self.line.shutdown(how)

    def close(self) -> None:
        """Give the socket back."""
        self.line.close()

    def _packet(self) -> bytes:
        length = int.from_bytes(self._exactly(_LENGTH_BYTES), "big")
        if length > _MOST_BYTES:
            raise OSError("the server sent something that is no sealed packet")
        return self.unwrap(self._exactly(length)) if length else b""

    def _exactly(self, size: int) -> bytes:
        """Return so many bytes; none at all where the server closed the connection, even in the middle of a packet."""
        received = bytearray()
        while len(received) < size:
            part = self.line.recv(size - len(received))
            if not part:
                return b""
            received += part
        return bytes(received)


def install_sealed_socket(connection: ldap3.Connection) -> None:
    """Seal a signed-in connection ourselves, by the context that ldap3 has negotiated."""
    context, most = connection.krb_ctx, connection.krb_wrap_size_limit
    if hasattr(context, "unwrap"):
        most_plain = context.get_wrap_size_limit(most)
        connection.socket = SealedSocket(
            connection.socket,
            lambda plain: bytes(context.wrap(plain, True).message),
            lambda sealed: bytes(context.unwrap(sealed).message),
            most_plain,
        )
    else:
        connection.socket = _by_winkerberos(connection.socket, context, most)
    connection.session_security = None


def _by_winkerberos(line: socket.socket, context: Any, most: int) -> SealedSocket:
    import winkerberos

    def wrap(plain: bytes) -> bytes:
        winkerberos.authGSSClientWrap(context, base64.b64encode(plain).decode(), None, 1)
        return base64.b64decode(winkerberos.authGSSClientResponse(context))

    def unwrap(sealed: bytes) -> bytes:
        winkerberos.authGSSClientUnwrap(context, base64.b64encode(sealed).decode())
        return base64.b64decode(winkerberos.authGSSClientResponse(context))

    # It cannot tell how much a wrapping adds; a header of Kerberos takes well under a kilobyte.
    return SealedSocket(line, wrap, unwrap, max(most - 1024, 1024))
