"""Which servers do we ask, in which order, and how is the line protected?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from connector.config import Settings
from connector.sources import dn as names
from connector.sources import dns_srv as discover

_LDAP, _LDAPS = 389, 636


class Security(Enum):
    """Say how the line to a server is protected before the sign-in."""

    LDAPS = "ldaps"
    START_TLS = "starttls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Hold one server's address."""

    host: str
    port: int
    line: Security

    @property
    def name(self) -> str:
        """Name the server in reports and beside cookies: its host, with the port where that is unusual."""
        usual = _LDAPS if self.line is Security.LDAPS else _LDAP
        return self.host if self.port == usual else f"{self.host}:{self.port}"


def endpoints(settings: Settings, context: str = "") -> list[Endpoint]:
    """List the servers to try: those of LDAP_URI, or the domain controllers that DNS knows.

    With LDAP_DOMAIN a context of another domain of the forest is asked for at its own controllers.
    """
    if settings.ldap_uri:
        return [_endpoint(uri, start_tls=settings.ldap_start_tls) for uri in settings.ldap_uri]
    domain = settings.ldap_domain or ""
    wanted = names.domain_of_root(context) or domain
    line = Security.START_TLS if settings.ldap_start_tls else Security.LDAPS
    port = _LDAP if settings.ldap_start_tls else _LDAPS
    return [Endpoint(host, port, line) for host in discover.controllers(wanted, settings.ldap_site or "")]


def preferred_first(found: list[Endpoint], name: str) -> list[Endpoint]:
    """Put the server of that name first; the others keep their order."""
    return sorted(found, key=lambda endpoint: endpoint.name != name)


def _endpoint(uri: str, *, start_tls: bool) -> Endpoint:
    split = urlsplit(uri)
    host = split.hostname or ""
    if split.scheme.lower() == "ldaps":
        return Endpoint(host, split.port or _LDAPS, Security.LDAPS)
    return Endpoint(host, split.port or _LDAP, Security.START_TLS if start_tls else Security.PLAIN)
