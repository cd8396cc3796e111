"""Open a line to one server, TCP and verified TLS under one deadline, and give it to ldap3."""

from __future__ import annotations

import time
from typing import Any

import ldap3

from connector.config import Settings
from connector.network import connect
from connector.sources import ldap_errors as trouble
from connector.sources.endpoints import Endpoint, Security
from connector.sources.kerberos_sealing import install_sealed_socket
from connector.sources.line import SizedLine, TimedLine
from connector.sources.session import close_quietly
from connector.sources.tls import VerifiedTls, verifying_context

# ldap3 copies what it holds at each recv: 4 KiB, the default, is quadratic on entries with photos.
_SOCKET_BYTES = 256 * 1024


def opened(settings: Settings, endpoint: Endpoint, *, seconds: float, **sign_in: Any) -> ldap3.Connection:
    """Return an ldap3 connection whose line is open and encrypted, and that is not signed in; raises Unreachable.

    `seconds` holds for TCP and TLS together, and from then on for each answer. `sign_in` goes to ldap3 as it stands.
    """
    connection = _connection(settings, endpoint, **sign_in)
    deadline = time.monotonic() + seconds
    try:
        _adopt(connection, connect(endpoint.host, endpoint.port, seconds=seconds))
        connection.socket.settimeout(max(0.1, deadline - time.monotonic()))
        if endpoint.line is Security.LDAPS:
            connection.server.tls.wrap_socket(connection, do_handshake=True)
        elif endpoint.line is Security.START_TLS:
            connection.server.tls.start_tls(connection)
        connection.socket = SizedLine(TimedLine(connection.socket, seconds))
    except BaseException as error:
        close_quietly(connection)
        if not isinstance(error, Exception):
            raise
        has_ca_file = settings.ldap_ca_file is not None
        raise trouble.from_exception(endpoint.name, "connecting", error, has_ca_file=has_ca_file) from error
    return connection


def seal(connection: ldap3.Connection) -> None:
    """Encrypt a signed-in Kerberos session; sizes are bounded inside of the seal, time outside."""
    connection.socket = connection.socket.line
    install_sealed_socket(connection)
    connection.socket = SizedLine(connection.socket)


def _adopt(connection: ldap3.Connection, line: Any) -> None:
    """Give ldap3 a socket that is connected, as its own open() leaves one; that one tries addresses in turn."""
    connection.strategy._outstanding = {}
    connection.socket, connection.closed, connection.listening = line, False, True


def _connection(settings: Settings, endpoint: Endpoint, **sign_in: Any) -> ldap3.Connection:
    ldap3.set_config_parameter("SOCKET_SIZE", _SOCKET_BYTES)
    server = ldap3.Server(
        endpoint.host,
        endpoint.port,
        use_ssl=endpoint.line is Security.LDAPS,
        get_info=ldap3.NONE,
        allowed_referral_hosts=[],
    )
    if endpoint.line is not Security.PLAIN:
        server.tls = VerifiedTls(verifying_context(settings.ldap_ca_file))
    return ldap3.Connection(
        server,
        client_strategy=ldap3.SYNC,
        auto_bind=ldap3.AUTO_BIND_NONE,
        auto_referrals=False,
        auto_range=False,
        check_names=False,
        raise_exceptions=False,
        fast_decoder=True,
        return_empty_attributes=False,
        **sign_in,
    )
