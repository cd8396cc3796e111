"""Compare DNs by their parsed parts, never as text: every spelling of RFC 4514 is one name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from connector.config.dn import Rdn, escaped, parse_dn, spell_dn
from connector.model import fold

Parts = tuple[str, ...]


def parts(dn: str) -> Parts:
    """Return the RDNs of a DN, leaf first, unescaped and in one case, so that equal names are equal tuples.

    What is no DN has no parts, and so is no name of anything.
    """
    try:
        return tuple(map(_one_spelling, parse_dn(dn)))
    except ValueError:
        return ()


def is_below(name: Parts, tops: Iterable[Parts]) -> bool:
    """Return True if a name is one of `tops` or stands somewhere below one."""
    return any(name[-len(top) :] == top for top in tops if top)


def outermost(dns: Sequence[str]) -> tuple[str, ...]:
    """Return the DNs without those below another one, so that nobody is read twice."""
    kept: dict[Parts, str] = {}
    for dn in sorted(dns, key=lambda dn: len(parts(dn))):
        if not is_below(parts(dn), kept):
            kept[parts(dn)] = dn
    return tuple(kept.values())


def one_spelling(dn: str) -> str:
    """Write a DN in one case and spelling, by which contexts are distinguished; what is no DN stays as it is."""
    try:
        folded = [tuple((name.lower(), fold(value)) for name, value in sorted(rdn)) for rdn in parse_dn(dn)]
    except ValueError:
        return dn
    return spell_dn(tuple(folded))


def domain_root(dn: str) -> str:
    """Return the DC= tail of a DN in one spelling, e.g. `DC=contoso,DC=com`; empty when it has none."""
    tail: list[str] = []
    for part in reversed(parts(dn)):
        if not part.startswith("dc="):
            break
        tail.append(part.removeprefix("dc="))
    return ",".join(f"DC={escaped(label)}" for label in reversed(tail))


def root_of_domain(domain: str) -> str:
    """Return the naming context of a DNS domain, e.g. `DC=contoso,DC=com`."""
    return ",".join(f"DC={label}" for label in domain.lower().strip(".").split("."))


def domain_of_root(root: str) -> str:
    """Return the DNS domain of a naming context made of DC= parts; empty for any other."""
    found = parts(root)
    if not all(part.startswith("dc=") for part in found):
        return ""
    return ".".join(part.removeprefix("dc=") for part in found)


@lru_cache(maxsize=4096)
def _one_spelling(rdn: Rdn) -> str:
    return "+".join(sorted(f"{name.lower()}={fold(value)}" for name, value in rdn))
