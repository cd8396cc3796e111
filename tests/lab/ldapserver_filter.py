"""Match entries by RFC 4511 filters with AD's two rules for bits and chains, compiled once a search."""

from __future__ import annotations

from collections.abc import Callable

import sansldap

from tests.lab.ldapserver_tree import Entry, plain

Test = Callable[[Entry], bool]
MemberOf = Callable[[str], list[bytes]]

BIT_AND, BIT_OR, IN_CHAIN = "1.2.840.113556.1.4.803", "1.2.840.113556.1.4.804", "1.2.840.113556.1.4.1941"
_OCTETS = frozenset(("objectguid", "objectsid", "jpegphoto", "thumbnailphoto", "ms-ds-consistencyguid"))


def compiled(term: sansldap.LDAPFilter, member_of: MemberOf) -> Test:
    """Return a test of entries; `member_of` tells the groups of a group's DN. Unknown terms raise ValueError."""
    match term:
        case sansldap.FilterAnd():
            tests = [compiled(part, member_of) for part in term.filters]
            return lambda entry: all(test(entry) for test in tests)
        case sansldap.FilterOr():
            tests = [compiled(part, member_of) for part in term.filters]
            return lambda entry: any(test(entry) for test in tests)
        case sansldap.FilterNot():
            inner = compiled(term.filter, member_of)
            return lambda entry: not inner(entry)
        case sansldap.FilterExtensibleMatch():
            return _extensible(term, member_of)
        case _:
            return _simple(term)


def guids(term: sansldap.LDAPFilter) -> set[bytes] | None:
    """Return the only objectGUIDs that can match, as an index would, or None when any may."""
    match term:
        case sansldap.FilterEquality(attribute=name, value=value) if plain(name) == "objectguid":
            return {value}
        case sansldap.FilterAnd():
            return next((found for found in map(guids, term.filters) if found is not None), None)
        case sansldap.FilterOr():
            parts = [guids(part) for part in term.filters]
            known = [part for part in parts if part is not None]
            return set().union(*known) if len(known) == len(parts) else None
        case _:
            return None


def _simple(term: sansldap.LDAPFilter) -> Test:
    match term:
        case sansldap.FilterEquality(attribute=name, value=value):
            wanted = _folded(name, value)
            return lambda entry: any(_folded(name, own) == wanted for own in entry.get(name))
        case sansldap.FilterPresent(attribute=name):
            return lambda entry: bool(entry.get(name))
        case sansldap.FilterSubstrings(attribute=name):
            return lambda entry: any(_has_parts(own, term) for own in entry.get(name))
    raise ValueError(f"This server does not know {type(term).__name__}.")


def _extensible(term: sansldap.FilterExtensibleMatch, member_of: MemberOf) -> Test:
    name = term.attribute or ""
    if term.rule == BIT_AND:
        mask = int(term.value)
        return lambda entry: any(int(own) & mask == mask for own in entry.get(name))
    if term.rule == BIT_OR:
        mask = int(term.value)
        return lambda entry: any(int(own) & mask for own in entry.get(name))
    if term.rule == IN_CHAIN and plain(name) == "memberof":
        return lambda entry: _in_chain(entry.get(name), term.value.lower(), member_of)
    raise ValueError(f"This server does not know the rule {term.rule}.")


def _in_chain(groups: list[bytes], wanted: bytes, member_of: MemberOf) -> bool:
    seen: set[bytes] = set()
    waiting = [group.lower() for group in groups]
    while waiting:
        group = waiting.pop()
        if group == wanted:
            return True
        if group not in seen:
            seen.add(group)
            waiting.extend(parent.lower() for parent in member_of(group.decode()))
    return False


def _folded(name: str, value: bytes) -> bytes:
    return value if plain(name) in _OCTETS else value.lower()


def _has_parts(value: bytes, term: sansldap.FilterSubstrings) -> bool:
    left = value.lower()
    if term.initial and not left.startswith(term.initial.lower()):
        return False
    left = left[len(term.initial or b"") :]
    for part in term.any or []:
        at = left.find(part.lower())
        if at < 0:
            return False
        left = left[at + len(part) :]
    return left.endswith((term.final or b"").lower())
