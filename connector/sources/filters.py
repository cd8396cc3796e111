r"""How does a filter reach the wire? Parsed by ldap3, with every \2a turned into its byte exactly once.

ldap3 2.9 turns escapes into bytes while it compiles a filter; the candidates of 2.10 do not, unless a schema was
loaded, and would send `\2a` as three letters: objectGUIDs would match nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import ldap3
from ldap3.operation.search import compile_filter, parse_filter, search_operation
from ldap3.protocol.convert import prepare_filter_for_sending

_ESCAPE = re.compile(rb"\\([0-9a-fA-F]{2})")
_LIBRARY_UNESCAPES = prepare_filter_for_sending(rb"\2a") == b"*"


def search_request(base: str, filter_text: str, *, scope: str, attributes: Sequence[str]) -> Any:
    """Build a searchRequest (RFC 4511, section 4.5.1); raises LDAPInvalidFilterError for what is no filter."""
    request = search_operation(
        base, "(objectClass=*)", scope, ldap3.DEREF_NEVER, list(attributes), 0, 0, False, True, True
    )
    request["filter"] = compiled(filter_text)
    return request


def compiled(filter_text: str) -> Any:
    """Return a filter as ldap3 sends it."""
    root = parse_filter(filter_text, None, True, True, None, False)
    if not _LIBRARY_UNESCAPES:
        _unescape(root)
    return compile_filter(root.elements[0])


def _unescape(node: Any) -> None:
    for element in node.elements:
        _unescape(element)
    told = node.assertion or {}
    for part in ("value", "initial", "final"):
        if part in told:
            told[part] = _plain(told[part])
    if "any" in told:
        told["any"] = [_plain(one) for one in told["any"]]


def _plain(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match.group(1).decode()), value)
