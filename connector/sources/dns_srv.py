"""Which domain controllers are there? DNS knows: SRV records, the site's first, weighted as RFC 2782 says."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import dns.exception
import dns.resolver

from connector.errors import Unreachable
from connector.sources.ldap_errors import SYSTEM

_LIFETIME = 5.0


@dataclass(frozen=True, slots=True)
class Service:
    """Hold one SRV record."""

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
