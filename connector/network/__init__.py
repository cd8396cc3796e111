"""Connect to a server by TCP and classify network and TLS failures; used for LDAP and HTTPS."""

from __future__ import annotations

from connector.network.failures import NetworkFailure, TlsFailure, causes_of, network_failure, tls_failure
from connector.network.tcp import connect

__all__ = ["NetworkFailure", "TlsFailure", "causes_of", "connect", "network_failure", "tls_failure"]
