"""Gather the members of groupOfNames entries, nested ones too, by following the lists from the top.

Groups may be in another branch than the people, so they are read in all of the server's own naming contexts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import ldap3

from connector.config import dn as names
from connector.config.dn import Parts
from connector.errors import Unreachable
from connector.model import fold
from connector.sources.ldap_errors import SYSTEM
from connector.sources.pages import Query, walk
from connector.sources.raw_entry import RawEntry
from connector.sources.session import Session

_GROUPS = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"
_EMPTY = "(!(|(member=*)(uniqueMember=*)))"


def listed_members(session: Session, group: str, *, setting: str) -> frozenset[bytes] | None:
    """Return the marks of all members; None where there is no such group. Raises Unreachable where a list is hidden."""
    lists: dict[bytes, list[bytes]] = {}
    unlisted: dict[bytes, str] = {}
    top = None
    for entry in _groups(session):
        name = names.parts(entry.dn)
        told = (*entry.values.get("member", ()), *entry.values.get("uniquemember", ()))
        lists[mark(name)] = [mark(names.parts(dn.decode("utf-8", "replace"))) for dn in told]
        if not told:
            unlisted[mark(name)] = entry.dn
        top = top or (mark(name) if _is_called(name, group) else None)
    if top is None:
        return None
    found = _reached(top, lists)
    for dn in (dn for key, dn in unlisted.items() if key in found):
        _require_empty(session, dn, setting=setting)
    return found


def mark(name: Parts) -> bytes:
    """Return 16 bytes that stand for a DN in whatever spelling."""
    return hashlib.blake2b("\0".join(name).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _require_empty(session: Session, dn: str, *, setting: str) -> None:
    """Raise Unreachable unless the server says that a group without a list has no members.

    A filter on what may not be searched is Undefined, and so is its negation (RFC 4511, 4.5.1.7).
    """
    operation = "looking whether a group is empty"
    answer = session.search(dn, _EMPTY, attributes=["objectClass"], operation=operation, scope=ldap3.BASE)
    if answer.code:
        raise session.trouble(answer, operation)
    if not answer.entries:
        raise Unreachable(
            SYSTEM,
            f"{session.server}: the members of {dn} ({setting}) cannot be read.",
            "Let the service account read member and uniqueMember of that group; until then no user of this directory"
            " is changed.",
        )


def _groups(session: Session) -> Iterator[RawEntry]:
    for top in session.root.contexts:
        for entries in walk(session, Query(top, _GROUPS, ["cn", "member", "uniqueMember"])):
            yield from entries


def _is_called(name: Parts, group: str) -> bool:
    return name == names.parts(group) if "=" in group else name[:1] == (f"cn={fold(group)}",)


def _reached(top: bytes, lists: Mapping[bytes, Sequence[bytes]]) -> frozenset[bytes]:
    seen: set[bytes] = set()
    waiting = [top]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting.extend(lists.get(one, ()))
    return frozenset(seen)
