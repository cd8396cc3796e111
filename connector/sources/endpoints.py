"""List the servers to try in their order: those of LDAP_URI, or the domain controllers in DNS (RFC 2782)."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import dns.exception
import dns.resolver

from connector.config import Settings
from connector.config import dn as names
from connector.errors import Unreachable
from connector.sources.ldap_errors import SYSTEM

_LDAP, _LDAPS = 389, 636


class Security(Enum):
    """Name how the connection to a server is protected before the sign-in."""

    LDAPS = "ldaps"
    START_TLS = "starttls"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Describe one server's address."""

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
    return [Endpoint(host, port, line) for host in controllers(wanted, settings.ldap_site or "")]


def preferred_first(found: list[Endpoint], name: str) -> list[Endpoint]:
    """Put the server of that name first; the others keep their order."""
    return sorted(found, key=lambda endpoint: endpoint.name != name)


def _endpoint(uri: str, *, start_tls: bool) -> Endpoint:
    split = urlsplit(uri)
    host = split.hostname or ""
    if split.scheme.lower() == "ldaps":
        return Endpoint(host, split.port or _LDAPS, Security.LDAPS)
    return Endpoint(host, split.port or _LDAP, Security.START_TLS if start_tls else Security.PLAIN)


_LIFETIME = 5.0


@dataclass(frozen=True, slots=True)
class Service:
    """Describe one SRV record."""

    priority: int
    weight: int
    host: str
    port: int


def controllers(domain: str, site: str) -> list[str]:
    """Return the host names of a domain's controllers in the order to try them; raises Unreachable for none."""
    resolver = _resolver()
    hosts: dict[str, None] = {}
    for name in _names(domain, site):
        hosts.update(dict.fromkeys(service.host for service in ordered(_ask(resolver, name))))
    if not hosts:
        raise Unreachable(
            SYSTEM,
            f"DNS knows no domain controller of {domain} ({_names(domain, '')[0]}).",
            "Check LDAP_DOMAIN and that this machine uses the domain's DNS servers, or set LDAP_URI.",
        )
    return list(hosts)


def ordered(services: Iterable[Service], *, chance: random.Random | None = None) -> list[Service]:
    """Order by priority, and within one by weighted chance (RFC 2782)."""
    draw = chance or random.Random()  # noqa: S311 - load is shared here, not a secret made
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    result: list[Service] = []
    while left:
        group = [service for service in left if service.priority == left[0].priority]
        # +1 lets records of weight 0 be drawn, too, if seldom.
        chosen = draw.choices(group, weights=[service.weight + 1 for service in group])[0]
        left.remove(chosen)
        result.append(chosen)
    return result


def _names(domain: str, site: str) -> list[str]:
    of_site = [f"_ldap._tcp.{site}._sites.dc._msdcs.{domain}"] if site else []
    return [*of_site, f"_ldap._tcp.dc._msdcs.{domain}"]


def _resolver() -> dns.resolver.Resolver:
    try:
        return dns.resolver.get_default_resolver()
    except dns.exception.DNSException as error:
        raise Unreachable(SYSTEM, "no DNS server is configured on this machine.", "Set LDAP_URI instead.") from error


def _ask(resolver: dns.resolver.Resolver, name: str) -> list[Service]:
    """Ask over TCP, since a large domain's answer exceeds a datagram; an unknown name is an empty answer."""
    try:
        answer = resolver.resolve(name, "SRV", tcp=True, lifetime=_LIFETIME, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        text = f"DNS gave no answer for {name} ({type(error).__name__})."
        raise Unreachable(SYSTEM, text, "Check this machine's DNS servers and TCP port 53, or set LDAP_URI.") from error
    return [
        Service(record.priority, record.weight, record.target.to_text(omit_final_dot=True).lower(), record.port)
        for record in answer
    ]
