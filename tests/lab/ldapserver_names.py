"""Write a DN in one spelling, so that our own LDAP server compares names as a directory does (RFC 4514)."""

from __future__ import annotations

import re

_SEPARATED = re.compile(r"((?:\\.|[^\\,])+)(?:,|$)", re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9a-fA-F]{2})+)|\\(.)", re.DOTALL)


def spelling(dn: str) -> str:
    """Return a DN in lower case, each special character as two hexadecimal digits, and no space beside a comma."""
    if "\\" not in dn and ", " not in dn and " ," not in dn and "= " not in dn:
        return dn.lower()
    return ",".join(_rdn(match.group(1)) for match in _SEPARATED.finditer(dn))


def is_at_or_below(dn: str, base: str) -> bool:
    """Return True if a DN is the base or stands below it."""
    name, top = spelling(dn), spelling(base)
    return name == top or name.endswith("," + top)


def _rdn(text: str) -> str:
    attribute, _, value = text.partition("=")
    bare = value.strip()
    if bare.endswith("\\") and value.rstrip() != value:
        bare += " "
    plain = _ESCAPED.sub(_plain, bare)
    safe = re.sub(r"""[,;+"\\<>=]|^[ #]| $""", lambda match: f"\\{ord(match.group()):02x}", plain)
    return f"{attribute.strip()}={safe}".lower()


def _plain(match: re.Match[str]) -> str:
    if match.group(1):
        return bytes.fromhex(match.group(1).replace("\\", "")).decode()
    return match.group(2)
