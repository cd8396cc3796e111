"""Open an encrypted connection to one server: TCP and verified TLS under one deadline; read its certificate."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ldap3
import truststore
from cryptography import x509
from ldap3.core.exceptions import LDAPStartTLSError

from connector.config import Settings
from connector.errors import SettingsError
from connector.network import connect
from connector.sources import ldap_errors
from connector.sources.endpoints import Endpoint, Security
from connector.sources.kerberos_sealing import install_sealed_socket
from connector.sources.receiving import SizedLine, TimedLine
from connector.sources.session import close_quietly

_START_TLS = "1.3.6.1.4.1.1466.20037"


def verifying_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that verifies chain and host name; raises SettingsError when `ca_file` cannot be used."""
    if ca_file is None:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError([f"LDAP_CA_FILE: {ca_file} is no readable PEM bundle of certificates."]) from error


@dataclass(frozen=True, slots=True)
class VerifiedTls:
    """Stand in for ldap3's Tls, which sends no server name and checks names by a backport.

    ldap3 calls just these two methods; Python's own check also knows IP addresses, on every version.
    """

    context: ssl.SSLContext

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:
        """Turn the connection's socket into a verified TLS socket."""
        connection.socket = self.context.wrap_socket(
            connection.socket, do_handshake_on_connect=do_handshake, server_hostname=connection.server.host
        )

    def start_tls(self, connection: Any) -> bool:
        """Ask the server to go on in TLS (RFC 4511, section 4.14); raises LDAPStartTLSError when it will not."""
        connection.extended(_START_TLS)
        if connection.result["result"] != 0:
            raise LDAPStartTLSError(f"startTLS failed - {connection.result['description']}")
        self.wrap_socket(connection, do_handshake=True)
        connection.tls_started = True
        return True


# ldap3 copies what it holds at each recv: 4 KiB, the default, is quadratic on entries with photos.
_SOCKET_BYTES = 256 * 1024


def open_connection(settings: Settings, endpoint: Endpoint, *, seconds: float, **sign_in: Any) -> ldap3.Connection:
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
        raise ldap_errors.from_exception(endpoint.name, "connecting", error, has_ca_file=has_ca_file) from error
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


_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Describe a verified server's certificate: names, issuer, end (UTC); and the protocol (`TLSv1.3`).

    All are empty for a line without TLS, on which Kerberos encrypts.
    """

    protocol: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    expires: datetime | None = None


def read_certificate(settings: Settings, endpoint: Endpoint) -> ServerCertificate:
    """Connect to one server and return what it shows; raises Unreachable with the reason and its fix."""
    connection = open_connection(settings, endpoint, seconds=_SECONDS)
    try:
        if endpoint.line is Security.PLAIN:
            return ServerCertificate()
        return _certificate(connection.socket.version() or "", connection.socket.getpeercert(binary_form=True))
    finally:
        close_quietly(connection)


def _certificate(protocol: str, certificate_bytes: bytes) -> ServerCertificate:
    certificate = x509.load_der_x509_certificate(certificate_bytes)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        dns_names = ()
    return ServerCertificate(protocol, dns_names, certificate.issuer.rfc4514_string(), certificate.not_valid_after_utc)
