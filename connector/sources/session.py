"""Ask one directory server over one connection, one search at a time; every answer is counted and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import ldap3
from ldap3.operation.search import compile_filter, parse_filter, search_operation
from ldap3.protocol.convert import prepare_filter_for_sending
from ldap3.protocol.rfc2696 import paged_search_control

from connector.config import dn as names
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources import ldap_errors
from connector.sources.raw_entry import RawEntry
from connector.sources.receiving import receive_by

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
    assertion = node.assertion or {}
    for part in ("value", "initial", "final"):
        if part in assertion:
            assertion[part] = _plain(assertion[part])
    if "any" in assertion:
        assertion["any"] = [_plain(value) for value in assertion["any"]]


def _plain(value: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match.group(1).decode()), value)


# Photos of one answer that are kept at once; what comes after them is asked for again, a few at a time.
MOST_HELD_BYTES = 24 * 1024 * 1024
DIRSYNC = "1.2.840.113556.1.4.841"
_PAGED = "1.2.840.113556.1.4.319"
_ACTIVE_DIRECTORY = "1.2.840.113556.1.4.800"
_WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"


class Kind(Enum):
    """Name the kind of directory: Active Directory (or Samba), or another LDAP server."""

    ACTIVE_DIRECTORY = "ad"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Contain what a search returned; `cookie` is None where the server did not answer the control that was sent."""

    entries: Sequence[RawEntry]
    result: Mapping[str, Any]
    cookie: bytes | None = None
    more: bool = False

    @property
    def code(self) -> int:
        """Return the LDAP result code."""
        return int(self.result["result"])


@dataclass(frozen=True, slots=True)
class RootDse:
    """Contain what a server's rootDSE states."""

    kind: Kind
    default_context: str
    contexts: tuple[str, ...]
    controls: frozenset[str]


class Session:
    """Ask one server over one signed-in connection. Not thread-safe; a failure closes it."""

    def __init__(self, connection: ldap3.Connection, *, server: str, traffic: RequestCounters) -> None:
        self._connection = connection
        self._receiver = receive_by(connection)
        self._traffic = traffic
        self.server = server
        self.root = self._root_dse()

    def search(
        self,
        base: str,
        filter_text: str,
        *,
        attributes: Sequence[str],
        operation: str,
        scope: str = ldap3.SUBTREE,
        controls: Sequence[Any] = (),
    ) -> SearchResult:
        """Return all entries of one search with its result, whatever that is; raises Dropped and Unreachable."""
        return self._ask(
            base, filter_text, attributes=attributes, operation=operation, scope=scope, controls=list(controls)
        )

    def page(
        self,
        base: str,
        filter_text: str,
        *,
        attributes: Sequence[str],
        size: int,
        cookie: bytes,
        photos: Sequence[str] = (),
        controls: Sequence[Any] = (),
    ) -> SearchResult:
        """Return one page of a paged search (RFC 2696) with the cookie of the next; empty means the last.

        Of `photos` no more is kept than MOST_HELD_BYTES; entries that lost some are cut.
        """
        paged = paged_search_control(True, size, cookie or None)
        operation = "reading a page"
        return self._ask(
            base, filter_text, attributes=attributes, operation=operation, controls=[paged, *controls], photos=photos
        )

    def entries(
        self, base: str, filter_text: str, *, attributes: Sequence[str], operation: str, photos: Sequence[str] = ()
    ) -> Sequence[RawEntry]:
        """Return the entries of one search; any result but success is raised. `photos` are kept as for a page."""
        answer = self._ask(base, filter_text, attributes=attributes, operation=operation, photos=photos)
        if answer.code != 0:
            raise self.trouble(answer, operation)
        return answer.entries

    def trouble(self, answer: SearchResult, operation: str) -> Unreachable:
        """Explain a result that is not success."""
        return ldap_errors.from_result(self.server, operation, dict(answer.result))

    def serves(self, context: str, bases: Sequence[str]) -> bool:
        """Return True if this server keeps the whole of a context (AD), or at least these bases (others)."""
        if self.root.kind is Kind.ACTIVE_DIRECTORY:
            return names.parts(self.root.default_context) == names.parts(context)
        tops = [names.parts(dn) for dn in self.root.contexts]
        return any(names.is_below(names.parts(base), tops) for base in (*bases, context))

    def root_values(self, *names: str) -> Mapping[str, tuple[bytes, ...]]:
        """Return attributes of the rootDSE by lower-case name, as they are now."""
        operation = "reading the rootDSE"
        answer = self._ask("", "(objectClass=*)", attributes=names, operation=operation, scope=ldap3.BASE)
        return answer.entries[0].values if answer.entries else {}

    def who_am_i(self) -> str:
        r"""Return the server's name for us (RFC 4532), e.g. `u:CONTOSO\svc-photo`; empty where it gives none."""
        if _WHO_AM_I.encode() not in self.root_values("supportedExtension").get("supportedextension", ()):
            return ""
        try:
            return str(self._connection.extend.standard.who_am_i() or "")
        except Exception as error:  # ldap3 also lets struct.error, IndexError and the like through
            self.close()
            raise ldap_errors.from_exception(self.server, "asking who we are", error) from error

    def close(self) -> None:
        """Drop the connection; a dead one is fine."""
        close_quietly(self._connection)

    def _root_dse(self) -> RootDse:
        wanted = ["defaultNamingContext", "namingContexts", "supportedCapabilities", "supportedControl"]
        answer = self._ask("", "(objectClass=*)", attributes=wanted, operation="reading the rootDSE", scope=ldap3.BASE)
        if answer.code != 0 or not answer.entries:
            raise self.trouble(answer, "reading the rootDSE")
        own = {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in answer.entries[0].values.items()
        }
        contexts = own.get("namingcontexts", [])
        is_ad = _ACTIVE_DIRECTORY in own.get("supportedcapabilities", [])
        return RootDse(
            Kind.ACTIVE_DIRECTORY if is_ad else Kind.OTHER,
            (own.get("defaultnamingcontext") or contexts or [""])[0],
            tuple(contexts),
            frozenset(own.get("supportedcontrol", [])),
        )

    def _ask(
        self,
        base: str,
        filter_text: str,
        *,
        attributes: Sequence[str],
        operation: str,
        scope: str = ldap3.SUBTREE,
        controls: Sequence[Any] = (),
        photos: Sequence[str] = (),
    ) -> SearchResult:
        self._traffic.add("ldap_searches")
        try:
            request = search_request(base, filter_text, scope=scope, attributes=attributes)
            connection = self._connection
            message_id = connection.send("searchRequest", request, list(controls) or None)
            droppable = frozenset(name.casefold() for name in photos)
            self._receiver.start_answer(message_id, droppable=droppable, most_bytes=MOST_HELD_BYTES)
            connection.post_send_search(message_id)
            answer = _answer(self._receiver.entries, connection.result)
        except Exception as error:  # ldap3 also lets struct.error, IndexError and the like through
            self.close()
            raise ldap_errors.from_exception(self.server, operation, error) from error
        finally:
            self._receiver.entries = []  # a page of photos is not kept until the next one
        self._traffic.add("ldap_entries", len(answer.entries) if base or scope != ldap3.BASE else 0)
        return answer


def close_quietly(connection: ldap3.Connection) -> None:
    """Close a connection and its socket without a word; ldap3 2.9 forgets the socket when an opening fails."""
    line = connection.socket
    try:
        if not connection.closed:
            connection.unbind()
    except Exception:  # noqa: S110, BLE001 - it is gone already, which is what we want
        pass
    if line is not None:
        line.close()


def _answer(entries: Sequence[RawEntry], result: Mapping[str, Any]) -> SearchResult:
    controls = result.get("controls") or {}
    for oid in (_PAGED, DIRSYNC):
        if oid in controls:
            value = controls[oid]["value"]
            return SearchResult(entries, result, bytes(value["cookie"]), bool(value.get("more_results")))
    return SearchResult(entries, result)
