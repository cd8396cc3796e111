"""Where in the tree does a name stand? DNs compared by their parsed parts, never as text (RFC 4514)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Parts = tuple[str, ...]

_SEPARATOR = re.compile(r"((?:\\.|[^\\,;])*)([,;]|$)", re.DOTALL)
_ESCAPE = re.compile(r"((?:\\[0-9a-fA-F]{2})+)|\\(.)", re.DOTALL)


def parts(dn: str) -> Parts:
    """Return the RDNs of a DN, leaf first, unescaped and in one case, so that equal names are equal tuples."""
    found = []
    position = 0
    while position < len(dn):
        match = _SEPARATOR.match(dn, position)
        if match is None or match.end() == position:
            break
        found.append(_rdn(match.group(1)))
        position = match.end()
    return tuple(found)


def is_below(name: Parts, tops: Iterable[Parts]) -> bool:
    """Tell whether a name is one of `tops` or stands somewhere below one."""
    return any(name[-len(top) :] == top for top in tops if top)


def outermost(dns: Sequence[str]) -> tuple[str, ...]:
    """Leave out the DNs that stand below another one, so that nobody is read twice."""
    kept: dict[Parts, str] = {}
    for dn in sorted(dns, key=lambda dn: len(parts(dn))):
        if not is_below(parts(dn), kept):
            kept[parts(dn)] = dn
    return tuple(kept.values())


def domain_root(dn: str) -> str:
    """Return the DC= tail of a DN in one spelling, e.g. `DC=contoso,DC=com`; empty when it has none."""
    tail: list[str] = []
    for part in reversed(parts(dn)):
        if not part.startswith("dc="):
            break
        tail.append(part.removeprefix("dc="))
    return ",".join(f"DC={label}" for label in reversed(tail))


def root_of_domain(domain: str) -> str:
    """Return the naming context of a DNS domain, e.g. `DC=contoso,DC=com`."""
    return ",".join(f"DC={label}" for label in domain.lower().strip(".").split("."))


def domain_of_root(root: str) -> str:
    """Return the DNS domain of a naming context made of DC= parts; empty for any other."""
    found = parts(root)
    if not all(part.startswith("dc=") for part in found):
        return ""
    return ".".join(part.removeprefix("dc=") for part in found)


def _rdn(text: str) -> str:
    attribute, _, value = text.partition("=")
    return f"{attribute.strip()}={_unescaped(value.strip())}".casefold()


def _unescaped(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(_plain, value)


def _plain(match: re.Match[str]) -> str:
    if match.group(1):
        return bytes.fromhex(match.group(1).replace("\\", "")).decode("utf-8", "replace")
    return match.group(2)
