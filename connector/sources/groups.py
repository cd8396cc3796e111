"""Find what settings name: bases, exclusions, and groups with their members, nested ones and by primary group too."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice

import ldap3
from ldap3.utils.conv import escape_filter_chars

from connector.config import Settings
from connector.config import dn as names
from connector.config.dn import Parts
from connector.errors import Unreachable
from connector.model import RequestCounters, fold
from connector.sources.connect import READ_SECONDS, ServerRequirements, open_session
from connector.sources.entries import has_id, person_id
from connector.sources.ldap_errors import SYSTEM, SignInRefused
from connector.sources.pages import Query, walk
from connector.sources.scope import Scope, all_of, context_above
from connector.sources.session import Kind, RawEntry, Session

# noSuchObject, invalidDNSyntax, and a referral: the server holds nothing of this name.
_NOT_THERE = frozenset((32, 34, 10))
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
    session: Session, named: Named, *, attributes: Sequence[str] = ("objectClass",), of: str = "(objectClass=*)"
) -> RawEntry:
    """Return an entry of this server by its DN; raises Unreachable where there is none that `of` lets through."""
    operation = f"looking whether {named.setting} is still there"
    answer = session.search(named.dn, of, attributes=attributes, operation=operation, scope=ldap3.BASE)
    if answer.code == 0 and answer.entries:
        return answer.entries[0]
    if answer.code == 0 or answer.code in _NOT_THERE:
        raise missing(session, named)
    raise session.trouble(answer, operation)


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


def missing(session: Session, named: Named) -> MissingEntry:
    """Return the error of a setting that names nothing, or what the service account may not see."""
    return MissingEntry(
        named,
        f"{session.server}: there is no {named.what} '{named.dn}', or the service account may not see it, while"
        f" looking whether {named.setting} is still there.",
        f"Correct {named.setting}; no user is read, so that none enters or leaves the scope by mistake.",
    )


def _no_server(named: Named, root: str, failure: Unreachable) -> Unreachable:
    return Unreachable(
        SYSTEM,
        f"{named.setting} names {named.dn}, and no server of {root} can be asked whether it is there: {failure.cause}",
        f"Correct {named.setting}, or name a server of {root} in LDAP_URI, too.",
    )


_IN_CHAIN = "1.2.840.113556.1.4.1941"
_USER = "(sAMAccountType=805306368)"
_MOST_LOOKED_AT = 20
_OF_GROUP = ("objectSid", f"member;range=0-{_MOST_LOOKED_AT - 1}")
_OTHER_GROUPS = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))"


@dataclass(frozen=True, slots=True)
class Members:
    """Recognise members: by a filter term where the server can (AD), else by their DNs, each kept as 16 bytes.

    `group` is the DN of the group that the term is about, `listed` the first members of its own list.
    """

    term: str
    marks: frozenset[bytes] | None
    group: str = ""
    listed: tuple[str, ...] = ()

    def narrowed(self, filter_text: str) -> str:
        """Return the filter, narrowed to members where the server can select them."""
        return all_of(filter_text, self.term) if self.term else filter_text

    def has(self, entry: RawEntry) -> bool:
        """Return True if an entry that the filter let through is a member."""
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
    listed = tuple(value.decode("utf-8", "replace") for value in top.values.get("member", ())[:_MOST_LOOKED_AT])
    return Members(f"(|{chain}{primary})", None, top.dn, listed)


def roster(session: Session, scope: Scope, found: Members) -> Iterator[Sequence[str]]:
    """Yield pages of the ids of all members who are in scope; no photos are moved."""
    for base in scope.bases:
        for entries in walk(session, Query(base, found.narrowed(scope.people), ["objectGUID", "entryUUID"])):
            theirs = [entry for entry in entries if scope.not_excluded(entry.dn) and found.has(entry) and has_id(entry)]
            yield [person_id(entry) for entry in theirs]


def require_visible(session: Session, found: Members, context: str, *, setting: str) -> None:
    """Raise Unreachable where a search for members does not find one of the first 20 users of the group's own list.

    What a search finds depends on memberOf of each user, which a domain may show to fewer accounts than the group. A
    run asks only where nobody was found.
    """
    root = names.domain_root(context)
    for dn in (dn for dn in found.listed if names.domain_root(dn) == root):
        if _holds(session, dn, _USER) and not _holds(session, dn, found.term):
            raise _members_hidden(session, Named(setting, found.group, "group"), dn)


def _holds(session: Session, dn: str, term: str) -> bool:
    """Return True if there is this entry and it fits; raises Unreachable where the server gives no answer to that."""
    operation = "looking for a member"
    answer = session.search(dn, term, attributes=["objectClass"], operation=operation, scope=ldap3.BASE)
    if answer.code and answer.code not in _NOT_THERE:
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


def _nested_rids(session: Session, context: str, term: str) -> Iterator[int]:
    """Yield what primaryGroupID holds for each nested group, in pages: a server sends 1,000 in one answer at most."""
    for entries in walk(session, Query(context, term, ["objectSid"])):
        yield from map(_rid, entries)


def _group(session: Session, named: Named, context: str) -> RawEntry:
    """Read the group by its DN in its own domain, or by its sAMAccountName in the one that is read."""
    if "=" in named.dn:
        return required(session, named, attributes=_OF_GROUP, of="(objectClass=group)")
    by_name = f"(&(objectCategory=group)(sAMAccountName={escape_filter_chars(named.dn)}))"
    operation = f"looking for {named.setting}"
    found = session.entries(context, by_name, attributes=_OF_GROUP, operation=operation)
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
