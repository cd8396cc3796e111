"""Whose certificate do we believe? One that LDAP_CA_FILE or the system's store vouches for, in the host's name."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import truststore
from ldap3.core.exceptions import LDAPStartTLSError

from connector.errors import SettingsError

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
