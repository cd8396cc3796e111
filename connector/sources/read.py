"""Read one context: everybody in pages, or only those who changed, looked up by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import ldap3

from connector.config import Settings
from connector.config import dn as names
from connector.model import PersonState
from connector.sources import Emptied, Event, Page, PersonGone, PersonRead, Unidentified
from connector.sources.dirsync import DirSyncPage, DirSyncQuery, rounds
from connector.sources.entries import Reader, has_id, is_deleted, is_disabled, no_id, person_id, recipient_type
from connector.sources.groups import EVERYBODY, NOT_THERE, Forest, Members, Named, members, named_in
from connector.sources.pages import Query, Weight, walk
from connector.sources.raw_entry import RawEntry
from connector.sources.scope import FLAGS, RECIPIENT_TYPE, Scope, all_of, filter_attributes, filter_can_be_followed
from connector.sources.session import Kind, Session

# How many ids one search asks for, at most: few round trips, and a filter that every server takes.
LOOKUP = 50
# A page of so many entries whose ids cannot be read, all of them, is no longer some people's trouble.
UNIDENTIFIED_PAGE = 10
_LOOKING_UP = "looking people up by id"
# Wide on purpose: people who drop out of the real filter, or are deleted and keep only their classes, count, too.
_USERS = "(&(objectClass=user)(!(objectClass=computer)))"
_UNITS = "(objectClass=organizationalUnit)(objectClass=container)"
_CONTACTS = "(objectClass=contact)"


@dataclass(frozen=True, slots=True)
class ContextReader:
    """Combine what one pass works with: a session, and who is in scope."""

    session: Session
    context: str
    scope: Scope
    reader: Reader
    members: Members
    weight: Weight
    forest: Forest
    named: tuple[Named, ...] = ()

    @classmethod
    def of(
        cls,
        session: Session,
        context: str,
        *,
        reader: Reader,
        weight: Weight,
        forest: Forest,
        contexts: Sequence[str],
    ) -> ContextReader:
        """Prepare to read a context by the settings; raises Unreachable where LDAP_GROUP names nothing."""
        settings = forest.settings
        scope = Scope.of(settings, context, kind=session.root.kind)
        found = members(session, settings.ldap_group, context, forest=forest, setting="LDAP_GROUP")
        return cls(session, context, scope, reader, found, weight, forest, named_in(settings, context, contexts))

    def require_named(self) -> None:
        """Make sure that what settings name is there; raises Unreachable, so that the context is not read."""
        for named in self.named:
            self.forest.require(self.session, named)


@dataclass(frozen=True, slots=True)
class Change:
    """Contain the parts of a changed entry that are needed after its bytes are dropped."""

    person_id: str
    deleted: bool
    disabled: bool | None
    cleared: frozenset[str]
    is_placed: bool
    dn: str


def dirsync_query(reading_context: ContextReader, settings: Settings) -> DirSyncQuery:
    """Return what to ask DirSync: every attribute of ours and of LDAP_FILTER, of users and of the units they are in."""
    contacts = _CONTACTS if settings.ldap_include_contacts else ""
    is_followed = filter_can_be_followed(settings.ldap_filter) is None
    filtered = filter_attributes(settings.ldap_filter or "") if is_followed else ()
    attributes = dict.fromkeys((*reading_context.reader.watched, *filtered))
    return DirSyncQuery(reading_context.context, f"(|{_USERS}{_UNITS}{contacts})", tuple(attributes))


def read_all(reading_context: ContextReader, cookie: bytes | None) -> Iterator[Page]:
    """Yield everybody in scope, then the disabled (by id alone); the last page carries the cookie.

    A person modified during the walk comes again at its end, with the later values; no ids are kept for it.
    """
    reading_context.require_named()
    for entries in _some_with_ids(_walked(reading_context)):
        yield Page([_read(reading_context, entry) for entry in entries if reading_context.scope.not_excluded(entry.dn)])
    if reading_context.scope.disabled:
        for gone in _disabled(reading_context):
            yield Page(gone)
    yield Page((), complete=True, cookie=cookie)


def _some_with_ids(pages: Iterable[Sequence[RawEntry]]) -> Iterator[Sequence[RawEntry]]:
    """Yield the pages; raises Unreachable where no entry of a whole page has a readable id, or none of all."""
    is_anybody, nameless = False, None
    for entries in pages:
        known = [entry for entry in entries if has_id(entry)]
        is_anybody = is_anybody or bool(known)
        if len(known) < len(entries):
            nameless = nameless or next(entry for entry in entries if not has_id(entry))
        if nameless is not None and not known and len(entries) >= UNIDENTIFIED_PAGE:
            raise no_id(nameless)
        yield entries
    if nameless is not None and not is_anybody:
        raise no_id(nameless)


def everybody_since(reading_context: ContextReader, query: DirSyncQuery, first: DirSyncPage) -> Iterator[Page]:
    """Yield what the directory reports as emptied since the last reading, then everybody.

    A value that a reading misses may merely be unreadable. Only the cookie of the last reading can tell: it is asked
    before its place is taken by the one that came with the last round.
    """
    cookie = first.cookie
    for current in rounds(reading_context.session, query, first):
        cookie = current.cookie
        told = [entry for entry in current.entries if has_id(entry) and not _is_unit(entry) and not is_deleted(entry)]
        emptied = [Emptied(person_id(entry), reading_context.reader.cleared(entry)) for entry in told]
        yield Page([event for event in emptied if event.attributes])
    yield from read_all(reading_context, cookie)


def read_changes(reading_context: ContextReader, query: DirSyncQuery, first: DirSyncPage) -> Iterator[Page]:
    """Yield what changed, round by round; the last page carries the cookie that came with the last round."""
    cookie = first.cookie
    for current in rounds(reading_context.session, query, first):
        cookie = current.cookie
        reading_context.weight.learn(current.entries)
        if any(_is_placed(entry) or is_deleted(entry) for entry in current.entries):
            reading_context.require_named()
        yield from _changed_people(reading_context, _changes(current.entries, reading_context.reader))
        for unit in filter(_is_unit, current.entries):
            if _is_placed(unit) and not is_deleted(unit):
                yield from _below(reading_context, unit.dn)
    yield Page((), complete=True, cookie=cookie)


def look_up(
    reading_context: ContextReader, person_ids: Iterable[str], *, attributes: Sequence[str] = ()
) -> Iterator[Sequence[RawEntry]]:
    """Yield search by search the entries of those who are in scope now; the order is the server's.

    `attributes` are those of a person with photos, of whom one search asks for as many as their weight allows, unless
    others are named.
    """
    waiting = iter(person_ids)
    people = reading_context.members.narrowed(reading_context.scope.people)
    wanted, photos = (
        attributes or reading_context.reader.attributes,
        () if attributes else reading_context.reader.photos,
    )
    while some := list(islice(waiting, LOOKUP if attributes else reading_context.weight.most(LOOKUP))):
        asked = all_of(reading_context.scope.by_id(some), people)
        for base in reading_context.scope.bases:
            found = reading_context.session.entries(
                base, asked, attributes=wanted, operation=_LOOKING_UP, photos=photos
            )
            if not attributes:
                reading_context.weight.learn([entry for entry in found if not entry.is_cut])
            theirs = [
                entry
                for entry in found
                if reading_context.scope.not_excluded(entry.dn) and reading_context.members.has(entry) and has_id(entry)
            ]
            yield [entry for entry in theirs if not entry.is_cut]
            yield from look_up(reading_context, [person_id(entry) for entry in theirs if entry.is_cut])


def _in_whole(reading_context: ContextReader, base: str) -> Iterator[Sequence[RawEntry]]:
    """Read everybody below a base; people whose photos were too much for one answer are looked up by id."""
    people = reading_context.members.narrowed(reading_context.scope.people)
    for entries in walk(
        reading_context.session, Query(base, people, reading_context.reader.attributes, reading_context.weight)
    ):
        yield [entry for entry in entries if not entry.is_cut]
        yield from look_up(reading_context, [person_id(entry) for entry in entries if entry.is_cut and has_id(entry)])


def existing(reading_context: ContextReader, person_ids: Iterable[str]) -> Iterator[str]:
    """Yield which of these people the whole context still holds, whether in scope or not."""
    waiting = iter(person_ids)
    while some := list(islice(waiting, LOOKUP)):
        yield from _outside(reading_context, some)


def without(reading_context: ContextReader, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
    """Yield which of these people have no value in an attribute, as far as the server says so.

    A filter on what may not be searched is Undefined, and so is its negation (RFC 4511, 4.5.1.7): a person who matches
    has no value, and the account may know it. Active Directory has no such answer.
    """
    if reading_context.session.root.kind is Kind.ACTIVE_DIRECTORY:
        return
    waiting = iter(person_ids)
    while some := list(islice(waiting, LOOKUP)):
        asked = all_of(reading_context.scope.by_id(some), f"(!({attribute}=*))")
        for base in reading_context.scope.bases:
            found = reading_context.session.entries(
                base, asked, attributes=["objectGUID", "entryUUID"], operation=_LOOKING_UP
            )
            yield from (person_id(entry) for entry in found if has_id(entry))


def _read(reading_context: ContextReader, entry: RawEntry) -> PersonRead | Unidentified:
    return reading_context.reader.read(entry) if has_id(entry) else Unidentified(entry.dn)


def _walked(reading_context: ContextReader) -> Iterator[Sequence[RawEntry]]:
    """Walk the bases; with a group, read its roster first and then only its members."""
    if reading_context.members is not EVERYBODY:
        for some in member_entries(reading_context.session, reading_context.scope, reading_context.members):
            nameless = [entry for entry in some if not has_id(entry)]
            for known in look_up(reading_context, [person_id(entry) for entry in some if has_id(entry)]):
                yield [*known, *nameless]
                nameless = []
            yield nameless
        return
    for base in reading_context.scope.bases:
        yield from _in_whole(reading_context, base)


def named_roster(reading_context: ContextReader) -> Iterator[str | Unidentified]:
    """Yield the ids of all members who are in scope, and by name whose id cannot be read; no photos are moved.

    Raises Unreachable where no member has a readable id.
    """
    found = member_entries(reading_context.session, reading_context.scope, reading_context.members)
    for entries in _some_with_ids(found):
        yield from (person_id(entry) if has_id(entry) else Unidentified(entry.dn) for entry in entries)


def roster(session: Session, scope: Scope, found: Members) -> Iterator[Sequence[str]]:
    """Yield pages of the ids of all members who are in scope; no photos are moved."""
    for entries in member_entries(session, scope, found):
        yield [person_id(entry) for entry in entries if has_id(entry)]


def member_entries(session: Session, scope: Scope, found: Members) -> Iterator[Sequence[RawEntry]]:
    """Yield pages of the entries of all members who are in scope, with nothing but their ids."""
    for base in scope.bases:
        for entries in walk(session, Query(base, found.narrowed(scope.people), ["objectGUID", "entryUUID"])):
            yield [entry for entry in entries if scope.not_excluded(entry.dn) and found.has(entry)]


def _disabled(reading_context: ContextReader) -> Iterator[Sequence[PersonGone]]:
    """Yield the disabled, so that a full reading, too, distinguishes them from those who left the scope."""
    scope = reading_context.scope
    people = reading_context.members.narrowed(scope.disabled)
    wanted = ["objectGUID", *([RECIPIENT_TYPE] if scope.types else [])]
    for base in scope.bases:
        for entries in walk(reading_context.session, Query(base, people, wanted)):
            theirs = [entry for entry in entries if scope.not_excluded(entry.dn) and has_id(entry)]
            yield [_gone(entry, PersonState.DISABLED) for entry in theirs if recipient_type(entry) not in scope.types]


def untyped(reading_context: ContextReader, person_ids: Iterable[str]) -> Iterator[str]:
    """Yield which of these people would be in scope by a recipient type, but show none now."""
    scope, waiting = reading_context.scope, iter(person_ids)
    while scope.types and (some := list(islice(waiting, LOOKUP))):
        asked = all_of(scope.by_id(some), reading_context.members.narrowed(scope.untyped))
        for base in scope.bases:
            found = reading_context.session.entries(
                base, asked, attributes=["objectGUID", RECIPIENT_TYPE], operation=_LOOKING_UP
            )
            theirs = [entry for entry in found if scope.not_excluded(entry.dn) and reading_context.members.has(entry)]
            yield from (person_id(entry) for entry in theirs if has_id(entry) and not recipient_type(entry))


def _changes(entries: Sequence[RawEntry], reader: Reader) -> dict[str, Change]:
    """Merge what a round says, by person; units are no people.

    A server may report an object twice: the later report counts for each attribute that it names, and no other.
    """
    told: dict[str, RawEntry] = {}
    for entry in entries:
        if _is_unit(entry) or not has_id(entry):
            continue
        key = person_id(entry)
        before = told[key].values if key in told else {}
        told[key] = RawEntry(entry.dn, {**before, **entry.values})
    return {key: _change(key, entry, reader) for key, entry in told.items()}


def _change(key: str, entry: RawEntry, reader: Reader) -> Change:
    return Change(key, is_deleted(entry), is_disabled(entry), reader.cleared(entry), _is_placed(entry), entry.dn)


def _changed_people(reading_context: ContextReader, changes: dict[str, Change]) -> Iterator[Page]:
    living = iter([change for change in changes.values() if not change.deleted])
    deleted = [PersonGone(change.person_id, PersonState.DELETED) for change in changes.values() if change.deleted]
    if deleted:
        yield Page(deleted)
    while some := list(islice(living, reading_context.weight.most(LOOKUP))):
        missing = {change.person_id: change for change in some}
        yield Page(list(_in_scope(reading_context, missing)))
        outside = _outside(reading_context, [key for key, change in missing.items() if not change.disabled])
        lost = [change for key, change in missing.items() if not change.disabled and key not in outside]
        nameless = _nameless(reading_context, lost)
        yield Page([Unidentified(entry.dn) for entry in nameless.values()])
        left = {key: change for key, change in missing.items() if key not in nameless}
        yield Page([_departed(reading_context, change, outside.get(key)) for key, change in left.items()])
        for key, entry in outside.items():
            if missing[key].is_placed and _is_container(entry):
                yield from _below(reading_context, entry.dn)


def _in_scope(reading_context: ContextReader, missing: dict[str, Change]) -> Iterator[PersonRead]:
    """Yield the people in scope; the others stay in `missing`."""
    for entries in look_up(reading_context, list(missing)):
        for entry in entries:
            change = missing.pop(person_id(entry), None)
            if change is not None:
                yield reading_context.reader.read(entry, cleared=change.cleared)


def _outside(reading_context: ContextReader, person_ids: Sequence[str]) -> dict[str, RawEntry]:
    """Ask once more, wherever they are, about people out of scope by a change that does not show why."""
    if not person_ids:
        return {}
    wanted = ["objectGUID", "objectClass", FLAGS]
    found = reading_context.session.entries(
        reading_context.context, reading_context.scope.by_id(person_ids), attributes=wanted, operation=_LOOKING_UP
    )
    return {person_id(entry): entry for entry in found if has_id(entry)}


def _nameless(reading_context: ContextReader, changes: Sequence[Change]) -> dict[str, RawEntry]:
    """Return by id who is in scope by name, but shows no id any more, so that no search by id finds the entry.

    However many they are, they are told and no more: an error here would hold up all other changes in every run.
    """
    found: dict[str, RawEntry] = {}
    for change in changes:
        for entry in _by_name(reading_context, change.dn) if reading_context.scope.in_scope(change.dn) else ():
            found[change.person_id] = entry
    return found


def _by_name(reading_context: ContextReader, dn: str) -> list[RawEntry]:
    """Return the entry of this name, if the filter lets it through and its id cannot be read."""
    session, people = reading_context.session, reading_context.members.narrowed(reading_context.scope.people)
    answer = session.search(dn, people, attributes=["objectGUID"], operation=_LOOKING_UP, scope=ldap3.BASE)
    if answer.code and answer.code not in NOT_THERE:
        raise session.trouble(answer, _LOOKING_UP)
    return [entry for entry in answer.entries if not has_id(entry)]


def _departed(reading_context: ContextReader, change: Change, now: RawEntry | None) -> PersonGone:
    """Return the event of a changed person who does not take part, with the cause."""
    disabled = is_disabled(now) if now is not None else change.disabled
    is_why = bool(reading_context.scope.disabled and disabled)
    state = PersonState.DISABLED if is_why else PersonState.OUT_OF_SCOPE
    return PersonGone(change.person_id, state, change.cleared)


def _below(reading_context: ContextReader, top: str) -> Iterator[Page]:
    """Yield everybody below a renamed or moved unit by the present DN: AD reports the unit, not the people in it."""
    for entries in _in_whole(reading_context, top):
        yield Page([_placed_event(reading_context, entry) for entry in entries])


def _placed_event(reading_context: ContextReader, entry: RawEntry) -> Event:
    if not has_id(entry):
        return Unidentified(entry.dn)
    if reading_context.scope.in_scope(entry.dn) and reading_context.members.has(entry):
        return reading_context.reader.read(entry)
    return _gone(entry, PersonState.OUT_OF_SCOPE)


def _is_unit(entry: RawEntry) -> bool:
    """Return True for a unit, by its name: a change does not carry the object class. Accounts in AD are always CN=."""
    return names.parts(entry.dn)[:1] != () and names.parts(entry.dn)[0].startswith("ou=")


def _is_placed(change: RawEntry) -> bool:
    """Return True if something was made, renamed or moved: an object that stays where it is carries no name."""
    return "name" in change.values


def _is_container(entry: RawEntry) -> bool:
    """Return True for a container, which is named CN= as people are, by the class that was asked for."""
    return b"container" in {value.lower() for value in entry.values.get("objectclass", ())}


def _gone(entry: RawEntry, state: PersonState) -> PersonGone:
    return PersonGone(person_id(entry), state)
