"""Find what settings name: bases, exclusions, and groups with their members, nested ones and by primary group too."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import ldap3
from ldap3.protocol.microsoft import extended_dn_control
from ldap3.utils.conv import escape_filter_chars

from connector.config import Settings
from connector.config import dn as names
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources.connect import READ_SECONDS, ServerRequirements, open_session
from connector.sources.ldap_errors import SYSTEM, SignInRefused
from connector.sources.member_lists import listed_members, mark
from connector.sources.pages import REPEATS_FIX, Query, walk
from connector.sources.raw_entry import RawEntry
from connector.sources.scope import Scope, all_of, context_above
from connector.sources.session import Kind, Session

# noSuchObject, invalidDNSyntax, and a referral: the server holds nothing of this name.
NOT_THERE = frozenset((32, 34, 10))
# No id of a group is kept, so a renamed one cannot be named; a domain controller dates the rename.
_LAST_CHANGED = "`Get-ADGroup -Filter * -Properties whenChanged | Sort whenChanged | Select -Last 10 DistinguishedName`"
# So many people are searched to find out where their base was moved to.
MOST_ASKED = 5


@dataclass(frozen=True, slots=True)
class Named:
    """Describe what a setting names: `what` it is in words, as they follow `there is no`."""

    setting: str
    dn: str
    what: str


@dataclass(frozen=True, slots=True)
class Forest:
    """Reach each domain of the forest: the one that is being read by its session, another by one of its own."""

    settings: Settings
    traffic: RequestCounters
    patience: int = READ_SECONDS

    @contextmanager
    def session(self, here: Session, named: Named) -> Iterator[Session]:
        """Yield a session with the domain of an entry; raises Unreachable, naming setting and DN, without one."""
        root = names.domain_root(named.dn)
        if here.root.kind is Kind.OTHER or root in ("", names.domain_root(here.root.default_context)):
            yield here
            return
        try:
            there = open_session(
                self.settings, self.traffic, ServerRequirements(root, (named.dn,), patience=self.patience)
            )
        except SignInRefused:
            raise
        except Unreachable as failure:
            raise _no_server(named, root, failure) from failure
        try:
            yield there
        finally:
            there.close()

    def require(self, here: Session, named: Named, *, attributes: Sequence[str] = ("objectClass",)) -> RawEntry:
        """Return the entry, with its DN in the server's spelling; raises Unreachable where there is none."""
        with self.session(here, named) as there:
            return required(there, named, attributes=attributes)


def required(
    session: Session,
    named: Named,
    *,
    attributes: Sequence[str] = ("objectClass",),
    of: str = "(objectClass=*)",
    controls: Sequence[Any] = (),
) -> RawEntry:
    """Return an entry of this server by its DN; raises Unreachable where there is none that `of` lets through."""
    operation = f"looking whether {named.setting} is still there"
    answer = session.search(
        named.dn, of, attributes=attributes, operation=operation, scope=ldap3.BASE, controls=controls
    )
    if answer.code == 0 and answer.entries:
        return answer.entries[0]
    if answer.code == 0 or answer.code in NOT_THERE:
        raise missing(session, named, namesake=_namesake(session, named, of))
    raise session.trouble(answer, operation)


def _namesake(session: Session, named: Named, of: str) -> str:
    """Return the DN of the one entry of the domain that has the name of a missing one; empty text for none or several.

    A base has none: where it went is told by its people. In AD each entry has its RDN as `name`, which is indexed.
    """
    root = session.root.default_context
    if named.setting == "LDAP_BASE_DN" or session.root.kind is Kind.OTHER or not names.parts(named.dn) or not root:
        return ""
    name = escape_filter_chars(names.parse_dn(named.dn)[0][0][1])
    operation = f"looking where {named.setting} was moved to"
    with suppress(Unreachable):  # what is missing is told in any case
        answer = session.search(root, all_of(of, f"(name={name})"), attributes=["objectClass"], operation=operation)
        return answer.entries[0].dn if answer.code == 0 and len(answer.entries) == 1 else ""
    return ""


def named_in(settings: Settings, context: str, contexts: Sequence[str]) -> tuple[Named, ...]:
    """List the bases and exclusions of a context; an exclusion that is in no context is looked for with each."""
    bases = [base for base in settings.ldap_base_dn if context_above(base, contexts) == context]
    excluded = [dn for dn in settings.ldap_exclude_dn if context_above(dn, contexts) in (context, "")]
    return (
        *(Named("LDAP_BASE_DN", dn, "such base DN") for dn in bases if names.parts(dn) != names.parts(context)),
        *(Named("LDAP_EXCLUDE_DN", dn, "such entry") for dn in excluded),
    )


class MissingEntry(Unreachable):
    """Represent a setting that names nothing, or what the service account may not see."""

    def __init__(self, named: Named, message: str, fix: str) -> None:
        super().__init__(SYSTEM, message, fix)
        self.named = named

    def moved_to(self, place: str) -> MissingEntry:
        """Return the same error with the DN below which the people stand now."""
        told = f"{self.cause.removesuffix('.')}; {moved_people(place)}."
        return MissingEntry(self.named, told, f"{moved_fix(place)} {self.fix}")


def moved_people(place: str) -> str:
    """Return half a sentence about where the people of a base are that is not there."""
    return f"people who were below it are below {place} now"


def moved_fix(place: str) -> str:
    """Return what to do where a base was moved."""
    return f"If it was moved or renamed, set LDAP_BASE_DN to {place}."


def new_base(session: Session, scope: Scope, context: str, *, base: str, people: Iterable[tuple[str, str]]) -> str:
    """Return the DN below which people stand now who were read below this base; empty text if none is found there.

    `people` are ids and DNs as they were read; a few of them are searched by id in the whole context.
    """
    tops, found = [names.parts(base)], Counter[str]()
    below = (one for one in people if names.is_below(names.parts(one[1]), tops))
    for known, old in islice(below, MOST_ASKED):
        answer = session.search(
            context, scope.by_id([known]), attributes=["objectClass"], operation="looking for a moved person"
        )
        for entry in answer.entries if answer.code == 0 else ():
            found.update(filter(None, [_base_of(entry.dn, old, base)]))
    return found.most_common(1)[0][0] if found else ""


def _base_of(dn: str, old: str, base: str) -> str:
    """Return what stands in the place of the base in a person's DN; empty text where the person moved within it."""
    depth = len(names.parts(old)) - len(names.parts(base))
    if not names.parts(dn) or names.parts(dn)[:depth] != names.parts(old)[:depth]:
        return ""
    return names.spell_dn(names.parse_dn(dn)[depth:])


def missing(session: Session, named: Named, *, namesake: str = "") -> MissingEntry:
    """Return the error of a setting that names nothing, or what the service account may not see.

    `namesake` is the DN of an entry of the same name in another place, if there is just one.
    """
    what = f"there is no {named.what} '{named.dn}' ({named.setting}), or the service account may not see it"
    fix = f"Correct {named.setting}. Until then no user is read, so that none enters or leaves the scope by mistake."
    if namesake:
        what += f"; there is one of this name, '{namesake}'"
        fix = f"If it was moved there, write that DN into {named.setting}. {fix}"
    elif named.what == "group" and session.root.kind is not Kind.OTHER:
        fix += f" If the group was renamed, {_LAST_CHANGED} lists it."
    return MissingEntry(named, f"{session.server}: {what}.", fix)


def _no_server(named: Named, root: str, failure: Unreachable) -> Unreachable:
    return Unreachable(
        SYSTEM,
        f"{named.setting} names {named.dn}, and no server of {root} can be asked whether it is there: {failure.cause}",
        f"Correct {named.setting}, or name a server of {root} in LDAP_URI, too.",
    )


_IN_CHAIN = "1.2.840.113556.1.4.1941"
_USER = "(sAMAccountType=805306368)"
_MOST_LOOKED_AT = 20
# A domain controller sends so many values of an attribute at once, and a part of them with its range.
_RANGE = 1500
# With it a DN is preceded by its objectGUID, so that a member is known by the id, whatever its entry shows.
_WITH_IDS = extended_dn_control(criticality=False, hex_format=False)
_ID = re.compile(rb"<GUID=([0-9a-f-]{36})>", re.IGNORECASE)
_BEFORE_DN = re.compile(r"\A(?:<[^>]*>;)+")


@dataclass(frozen=True, slots=True)
class Members:
    """Recognise members: by a filter term where the server can (AD), else by their DNs, each kept as 16 bytes.

    `group` is the DN of the group that the term is about, `listed` the first members of its own list. `listed_ids` are
    all members that the lists of the group and of its nested ones name, where these were asked for.
    """

    term: str
    marks: frozenset[bytes] | None
    group: str = ""
    listed: tuple[str, ...] = ()
    listed_ids: frozenset[str] = frozenset()

    def narrowed(self, filter_text: str) -> str:
        """Return the filter, narrowed to members where the server can select them."""
        return all_of(filter_text, self.term) if self.term else filter_text

    def has(self, entry: RawEntry) -> bool:
        """Return True if an entry that the filter let through is a member."""
        return self.marks is None or mark(names.parts(entry.dn)) in self.marks


EVERYBODY = Members("", None)


def members(
    session: Session, group: str | None, context: str, *, forest: Forest, setting: str, reads_lists: bool = False
) -> Members:
    """Find out how to recognise members of the group that a setting names; raises Unreachable without such a group.

    A group of another domain is looked for there. Its members and nested groups are those that this domain knows of.
    With `reads_lists` the lists of these groups are read, too.
    """
    if not group:
        return EVERYBODY
    if session.root.kind is Kind.OTHER:
        marks = listed_members(session, group, setting=setting)
        if marks is None:
            raise missing(session, Named(setting, group, "group"))
        return Members("", marks)
    named, most = Named(setting, group, "group"), _RANGE if reads_lists else _MOST_LOOKED_AT
    with forest.session(session, named) if "=" in group else nullcontext(session) as home:
        top = _group(home, named, context, attributes=("objectSid", _range(0, most)))
        rids = [_rid(top)] if home is session else []
        ids = _listed_ids(home, named, top) if reads_lists else set()
    dn = _plain_dn(top.dn)
    chain = f"(memberOf:{_IN_CHAIN}:={escape_filter_chars(dn)})"
    wanted = ["objectSid", *([_range(0, most)] if reads_lists else [])]
    for nested in _nested(session, context, chain, attributes=wanted):
        rids.append(_rid(nested))
        ids |= _listed_ids(session, named, nested) if reads_lists else set()
    primary = "".join(f"(primaryGroupID={rid})" for rid in filter(None, rids))
    first = top.values.get("member", ())[:_MOST_LOOKED_AT]
    listed = tuple(_plain_dn(value.decode("utf-8", "replace")) for value in first)
    return Members(f"(|{chain}{primary})", None, dn, listed, frozenset(ids))


def _range(start: int, most: int) -> str:
    return f"member;range={start}-{start + most - 1}"


def _plain_dn(dn: str) -> str:
    return _BEFORE_DN.sub("", dn)


def _listed_ids(session: Session, named: Named, group: RawEntry) -> set[str]:
    """Return the ids that a group's own list names, part by part; raises Unreachable where it repeats or breaks off."""
    dn, part, number, ids = _plain_dn(group.dn), group, 0, set[str]()
    while values := part.values.get("member", ()):
        new = {found[1].decode().lower() for found in map(_ID.match, values) if found} - ids
        if "member" not in part.partial or not (ids or new):  # whole, or from a server that gives no ids
            return ids | new
        if not new:
            raise _bad_list(session, named, dn, f"repeat from number {number} on, without end")
        ids |= new
        number += len(values)
        part = required(session, replace(named, dn=dn), attributes=[_range(number, _RANGE)], controls=[_WITH_IDS])
    if number:
        raise _bad_list(session, named, dn, f"end after number {number}, although the server announced more")
    return ids


def _bad_list(session: Session, named: Named, dn: str, trouble: str) -> Unreachable:
    return Unreachable(SYSTEM, f"{session.server}: the members of {dn} ({named.setting}) {trouble}.", REPEATS_FIX)


def require_visible(session: Session, found: Members, context: str, *, setting: str) -> None:
    """Raise Unreachable where the group's own list names a user that a search for members does not find.

    A run asks only where nobody was found.
    """
    dn = hidden_member(session, found, context)
    if dn:
        raise _members_hidden(session, Named(setting, found.group, "group"), dn)


def hidden_member(session: Session, found: Members, context: str) -> str:
    """Return the first of 20 users of the group's own list that a search does not find; empty text without one.

    What a search finds depends on memberOf of each user, which a domain may show to fewer accounts than the group.
    """
    root = names.domain_root(context)
    here = (dn for dn in found.listed if names.domain_root(dn) == root)
    return next((dn for dn in here if _holds(session, dn, _USER) and not _holds(session, dn, found.term)), "")


def _holds(session: Session, dn: str, term: str) -> bool:
    """Return True if there is this entry and it fits; raises Unreachable where the server gives no answer to that."""
    operation = "looking for a member"
    answer = session.search(dn, term, attributes=["objectClass"], operation=operation, scope=ldap3.BASE)
    if answer.code and answer.code not in NOT_THERE:
        raise session.trouble(answer, operation)
    return bool(answer.entries)


def _members_hidden(session: Session, named: Named, dn: str) -> Unreachable:
    return Unreachable(
        SYSTEM,
        f"{session.server}: {named.setting} names {named.dn}, which has {dn} as a member, and a search for its members"
        " does not find that user: the service account may not read memberOf there, or this domain does not know it.",
        "Let the service account read memberOf (`photo-connector config grant-read`, with -Attribute memberOf), or name"
        " a group of this domain; until then no user of this domain is changed.",
    )


def _nested(session: Session, context: str, chain: str, *, attributes: Sequence[str]) -> Iterator[RawEntry]:
    """Yield the nested groups, in pages: a server sends 1,000 in one answer at most."""
    query = Query(context, all_of("(objectCategory=group)", chain), attributes, controls=[_WITH_IDS])
    for entries in walk(session, query):
        yield from entries


def _group(session: Session, named: Named, context: str, *, attributes: Sequence[str]) -> RawEntry:
    """Read the group by its DN in its own domain, or by its sAMAccountName in the one that is read."""
    if "=" in named.dn:
        return required(session, named, attributes=attributes, of="(objectClass=group)", controls=[_WITH_IDS])
    by_name = f"(&(objectCategory=group)(sAMAccountName={escape_filter_chars(named.dn)}))"
    operation = f"looking for {named.setting}"
    answer = session.search(context, by_name, attributes=attributes, operation=operation, controls=[_WITH_IDS])
    if answer.code:
        raise session.trouble(answer, operation)
    if not answer.entries:
        raise missing(session, named)
    return answer.entries[0]


def _rid(group: RawEntry) -> int:
    """Return the last part of the group's SID, which is what primaryGroupID holds; 0 when it cannot be read."""
    sid = group.first("objectSid")
    return int(struct.unpack("<I", sid[-4:])[0]) if len(sid) >= 12 else 0
