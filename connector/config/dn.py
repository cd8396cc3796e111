"""Parse distinguished names (RFC 4514, section 3), write them in one spelling, and compare them by their parts.

Also accepted: what RFC 4514, section 2.4 and RFC 2253, section 4 ask readers to accept, i.e. quotes, semicolons, spaces
around separators, `OID.` before numbers, and values in hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from connector.model import fold

# One attribute with its value, and several of them where a name has more than one part.
Attribute = tuple[str, str]
Rdn = tuple[Attribute, ...]

_ATTRIBUTE = re.compile(r"\s*(?:oid\.)?([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)\s*= *", re.IGNORECASE)
# A plus sign without an attribute behind it belongs to the value: servers send such values.
_VALUE = re.compile(r"((?:\\[0-9a-fA-F]{2}|\\.|[^\\,;+]|\+(?!\s*[A-Za-z0-9.-]+\s*=))*)", re.DOTALL)
_QUOTED = re.compile(r'"((?:\\.|[^\\"])*)" *', re.DOTALL)
_ESCAPE = re.compile(r"((?:\\[0-9a-fA-F]{2})+)|\\(.)", re.DOTALL)
_HEXADECIMAL = re.compile(r"#((?:[0-9a-fA-F]{2})+) *")
_SPECIAL = re.compile(r'([,;+"\\<>])|^([ #])| $')
# RFC 4514, section 3, and the long names of RFC 4519.
_SHORT = {
    **{"2.5.4.3": "CN", "commonname": "CN", "2.5.4.7": "L", "localityname": "L", "2.5.4.8": "ST"},
    **{"stateorprovincename": "ST", "2.5.4.10": "O", "organizationname": "O", "2.5.4.11": "OU"},
    **{"organizationalunitname": "OU", "2.5.4.6": "C", "countryname": "C", "2.5.4.9": "STREET"},
    **{"streetaddress": "STREET", "0.9.2342.19200300.100.1.25": "DC", "domaincomponent": "DC"},
    **{"0.9.2342.19200300.100.1.1": "UID", "userid": "UID"},
}


def parse_dn(dn: str) -> tuple[Rdn, ...]:
    """Return the parts of a DN, leaf first, with unescaped values; ValueError if it is not a DN."""
    found: list[Rdn] = []
    current: list[Attribute] = []
    position = 0
    while position < len(dn) or current:
        attribute, position = _attribute(dn, position)
        current.append(attribute)
        separator = dn[position : position + 1]
        if separator not in ("", ",", ";", "+"):
            raise ValueError(f"{dn!r} is not a DN")
        if separator != "+":
            found.append(tuple(current))
            current = []
        position += 1
        if separator and position >= len(dn):
            raise ValueError(f"{dn!r} ends in a separator")
    return tuple(found)


def spell_dn(parts: tuple[Rdn, ...]) -> str:
    """Write a DN with the escapes of RFC 4514, section 2.4 and no space beside a separator."""
    return ",".join("+".join(f"{name}={escaped(value)}" for name, value in rdn) for rdn in parts)


def escaped(value: str) -> str:
    """Return a value with the escapes of a DN."""
    return _SPECIAL.sub(lambda match: f"\\{match.group()}", value).replace("\0", "\\00")


def _attribute(dn: str, position: int) -> tuple[Attribute, int]:
    match = _ATTRIBUTE.match(dn, position)
    if match is None:
        raise ValueError(f"{dn!r} is not a DN")
    name = _SHORT.get(match.group(1).lower(), match.group(1))
    start = match.end()
    quoted, hexadecimal = _QUOTED.match(dn, start), _HEXADECIMAL.match(dn, start)
    if quoted is not None:
        return (name, _unescaped(quoted.group(1))), quoted.end()
    if hexadecimal is not None and dn[hexadecimal.end() : hexadecimal.end() + 1] in ("", ",", ";", "+"):
        return (name, _text_of_ber(bytes.fromhex(hexadecimal.group(1)))), hexadecimal.end()
    raw = plain.group(1) if (plain := _VALUE.match(dn, start)) else ""
    return (name, _unescaped(_without_spaces(raw))), start + len(raw)


def _without_spaces(raw: str) -> str:
    """Remove the spaces after a value, except an escaped one."""
    bare = raw.rstrip(" ")
    slashes = len(bare) - len(bare.rstrip("\\"))
    return raw[: len(bare) + 1] if slashes % 2 and len(bare) < len(raw) else bare


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(_plain, value) if "\\" in value else value


def _plain(match: re.Match[str]) -> str:
    if match.group(1):
        return bytes.fromhex(match.group(1).replace("\\", "")).decode("utf-8", "replace")
    return match.group(2)


def _text_of_ber(value: bytes) -> str:
    """Return the text of a BER string of under 128 bytes (UTF8String, PrintableString, OCTET STRING …)."""
    is_string = len(value) >= 2 and value[0] in (0x04, 0x0C, 0x13, 0x14, 0x16) and value[1] == len(value) - 2 < 128
    return value[2:].decode("utf-8", "replace") if is_string else f"#{value.hex()}"


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
