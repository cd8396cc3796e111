"""Recognise the members of a group that a setting names: nested ones too, and those who have it as primary group."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from ldap3.utils.conv import escape_filter_chars

from connector.model import fold
from connector.sources import dn as names
from connector.sources.dn import Parts
from connector.sources.entries import has_id, person_id
from connector.sources.pages import Query, walk
from connector.sources.required import Forest, Named, missing, required
from connector.sources.scope import Scope, all_of
from connector.sources.session import Kind, RawEntry, Session

_IN_CHAIN = "1.2.840.113556.1.4.1941"
_OTHER_GROUPS = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"


@dataclass(frozen=True, slots=True)
class Members:
    """Tell members apart: by a filter term where the server can (AD), else by their DNs, each kept as 16 bytes."""

    term: str
    marks: frozenset[bytes] | None

    def narrowed(self, filter_text: str) -> str:
        """Return the filter, narrowed to members where the server can tell them."""
        return all_of(filter_text, self.term) if self.term else filter_text

    def has(self, entry: RawEntry) -> bool:
        """Tell whether an entry that the filter let through is a member."""
        return self.marks is None or _mark(names.parts(entry.dn)) in self.marks


EVERYBODY = Members("", None)


def members(session: Session, group: str | None, context: str, *, forest: Forest, setting: str) -> Members:
    """Find out how to recognise members of the group that a setting names; raises Unreachable without such a group.

    A group of another domain is looked for there. Its members and nested groups are those that this domain knows of.
    """
    if not group:
        return EVERYBODY
    if session.root.kind is Kind.OTHER:
        return Members("", _listed(session, group, setting=setting))
    named = Named(setting, group, "group")
    with forest.session(session, named) if "=" in group else nullcontext(session) as home:
        top = _group(home, named, context)
        own = [_rid(top)] if home is session else []
    chain = f"(memberOf:{_IN_CHAIN}:={escape_filter_chars(top.dn)})"
    rids = [*own, *_nested_rids(session, context, all_of("(objectCategory=group)", chain))]
    primary = "".join(f"(primaryGroupID={rid})" for rid in filter(None, rids))
    return Members(f"(|{chain}{primary})", None)


def roster(session: Session, scope: Scope, found: Members) -> Iterator[Sequence[str]]:
    """Yield pages of the ids of all members who are in scope; no photos are moved."""
    for base in scope.bases:
        for entries in walk(session, Query(base, found.narrowed(scope.people), ["objectGUID", "entryUUID"])):
            theirs = [entry for entry in entries if scope.not_excluded(entry.dn) and found.has(entry) and has_id(entry)]
            yield [person_id(entry) for entry in theirs]


def _nested_rids(session: Session, context: str, term: str) -> Iterator[int]:
    """Yield what primaryGroupID holds for each nested group, in pages: a server sends 1,000 in one answer at most."""
    for entries in walk(session, Query(context, term, ["objectSid"])):
        yield from map(_rid, entries)


def _group(session: Session, named: Named, context: str) -> RawEntry:
    """Read the group by its DN in its own domain, or by its sAMAccountName in the one that is read."""
    if "=" in named.dn:
        return required(session, named, attributes=["objectSid"], of="(objectClass=group)")
    by_name = f"(&(objectCategory=group)(sAMAccountName={escape_filter_chars(named.dn)}))"
    doing = f"looking for {named.setting}"
    found = session.entries(context, by_name, attributes=["objectSid"], doing=doing)
    if not found:
        raise missing(session, named)
    return found[0]


def _rid(group: RawEntry) -> int:
    """Return the last part of the group's SID, which is what primaryGroupID holds; 0 when it cannot be read."""
    sid = group.first("objectSid")
    return int(struct.unpack("<I", sid[-4:])[0]) if len(sid) >= 12 else 0


def _listed(session: Session, group: str, *, setting: str) -> frozenset[bytes]:
    """Gather the members of groupOfNames entries, nested ones too, by following the lists from the top.

    Groups may be in another branch than the people, so they are read in all of the server's own naming contexts.
    """
    lists: dict[bytes, list[bytes]] = {}
    top = None
    for entry in _other_groups(session):
        name = names.parts(entry.dn)
        told = (*entry.values.get("member", ()), *entry.values.get("uniquemember", ()))
        lists[_mark(name)] = [_mark(names.parts(dn.decode("utf-8", "replace"))) for dn in told]
        top = top or (_mark(name) if _is_called(name, group) else None)
    if top is None:
        raise missing(session, Named(setting, group, "group"))
    return _reached(top, lists)


def _other_groups(session: Session) -> Iterator[RawEntry]:
    for top in session.root.contexts:
        for entries in walk(session, Query(top, _OTHER_GROUPS, ["cn", "member", "uniqueMember"])):
            yield from entries


def _is_called(name: Parts, group: str) -> bool:
    return name == names.parts(group) if "=" in group else name[:1] == (f"cn={fold(group)}",)


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
