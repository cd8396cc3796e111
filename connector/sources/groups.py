"""Who is a member of LDAP_GROUP? Nested members count, and those who have the group as their primary group."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ldap3
from ldap3.utils.conv import escape_filter_chars

from connector.errors import Unreachable
from connector.sources import names
from connector.sources.entries import has_id, person_id
from connector.sources.names import Parts
from connector.sources.pages import Query, walk
from connector.sources.scope import Scope, both
from connector.sources.session import Kind, RawEntry, Session
from connector.sources.trouble import SYSTEM

_IN_CHAIN = "1.2.840.113556.1.4.1941"
_OTHER_GROUPS = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"
_FINDING = "looking for LDAP_GROUP"


@dataclass(frozen=True, slots=True)
class Members:
    """Tell members apart: by a filter term where the server can (AD), else by their DNs, each kept as 16 bytes."""

    term: str
    marks: frozenset[bytes] | None

    def narrowed(self, filter_text: str) -> str:
        """Return the filter, narrowed to members where the server can tell them."""
        return both(filter_text, self.term) if self.term else filter_text

    def has(self, entry: RawEntry) -> bool:
        """Tell whether an entry that the filter let through is a member."""
        return self.marks is None or _mark(names.parts(entry.dn)) in self.marks


EVERYBODY = Members("", None)


def members(session: Session, group: str | None, context: str) -> Members:
    """Find out how to recognise members of a group; raises Unreachable when there is no such group."""
    if not group:
        return EVERYBODY
    if session.root.kind is Kind.OTHER:
        return Members("", _listed(session, group, context))
    top = _group(session, group, context)
    chain = f"(memberOf:{_IN_CHAIN}:={escape_filter_chars(top.dn)})"
    nested = session.entries(
        context, both("(objectCategory=group)", chain), attributes=["objectSid"], doing="reading nested groups"
    )
    primary = "".join(f"(primaryGroupID={rid})" for rid in filter(None, map(_rid, (top, *nested))))
    return Members(f"(|{chain}{primary})", None)


def roster(session: Session, scope: Scope, found: Members) -> Iterator[Sequence[str]]:
    """Yield pages of the ids of all members who are in scope; no photos are moved."""
    for base in scope.bases:
        for entries in walk(session, Query(base, found.narrowed(scope.people), ["objectGUID", "entryUUID"])):
            theirs = [entry for entry in entries if scope.takes(entry.dn) and found.has(entry) and has_id(entry)]
            yield [person_id(entry) for entry in theirs]


def _group(session: Session, group: str, context: str) -> RawEntry:
    """Read the group by its DN, or by its sAMAccountName; a group of another domain is taken at its word."""
    if "=" in group:
        if names.domain_root(group) not in ("", context):
            return RawEntry(group, {})
        answer = session.search(
            group, "(objectClass=group)", attributes=["objectSid"], doing=_FINDING, scope=ldap3.BASE
        )
        found = answer.entries if answer.code == 0 else ()
    else:
        by_name = f"(&(objectCategory=group)(sAMAccountName={escape_filter_chars(group)}))"
        found = session.entries(context, by_name, attributes=["objectSid"], doing=_FINDING)
    if not found:
        raise _no_group(session, group)
    return found[0]


def _no_group(session: Session, group: str) -> Unreachable:
    text = f"{session.server}: there is no group {group!r}, or the service account may not see it."
    return Unreachable(SYSTEM, text, "Correct LDAP_GROUP; nobody is read, so that nobody leaves the scope by mistake.")


def _rid(group: RawEntry) -> int:
    """Return the last part of the group's SID, which is what primaryGroupID holds; 0 when it cannot be read."""
    sid = group.first("objectSid")
    return int(struct.unpack("<I", sid[-4:])[0]) if len(sid) >= 12 else 0


def _listed(session: Session, group: str, context: str) -> frozenset[bytes]:
    """Gather the members of groupOfNames entries, nested ones too, by following the lists from the top."""
    lists: dict[bytes, list[bytes]] = {}
    top = None
    for entries in walk(session, Query(context, _OTHER_GROUPS, ["cn", "member", "uniqueMember"])):
        for entry in entries:
            name = names.parts(entry.dn)
            told = (*entry.values.get("member", ()), *entry.values.get("uniquemember", ()))
            lists[_mark(name)] = [_mark(names.parts(dn.decode("utf-8", "replace"))) for dn in told]
            top = top or (_mark(name) if _is_called(name, group) else None)
    if top is None:
        raise _no_group(session, group)
    return _reached(top, lists)


def _is_called(name: Parts, group: str) -> bool:
    return name == names.parts(group) if "=" in group else name[:1] == (f"cn={group.casefold()}",)


def _mark(name: Parts) -> bytes:
    return hashlib.blake2b("\0".join(name).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _reached(top: bytes, lists: Mapping[bytes, Sequence[bytes]]) -> frozenset[bytes]:
    seen: set[bytes] = set()
    waiting = [top]
    while waiting:
        mark = waiting.pop()
        if mark not in seen:
            seen.add(mark)
            waiting.extend(lists.get(mark, ()))
    return frozenset(seen)
