"""What does one pass over a context tell? Everybody in pages, or only those who changed, looked up by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from connector.config import Settings
from connector.model import PersonState
from connector.sources import Page, PersonGone, PersonRead, names
from connector.sources.dirsync import Question, Round, rounds
from connector.sources.entries import Reader, is_deleted, is_disabled, person_id
from connector.sources.groups import EVERYBODY, Members, roster
from connector.sources.pages import Query, walk
from connector.sources.scope import Scope, both, filter_attributes
from connector.sources.session import RawEntry, Session

# How many ids one search asks for: few round trips, and a filter that every server takes.
LOOKUP = 50
_LOOKING_UP = "looking people up by id"
# Wide on purpose: who drops out of the real filter, or is deleted and keeps only his classes, must be told, too.
_USERS = "(&(objectClass=user)(!(objectClass=computer)))"
_UNITS = "(objectClass=organizationalUnit)"
_CONTACTS = "(objectClass=contact)"


@dataclass(frozen=True, slots=True)
class Pass:
    """Hold what one pass works with: a session, and who is meant."""

    session: Session
    context: str
    scope: Scope
    reader: Reader
    members: Members = EVERYBODY


@dataclass(frozen=True, slots=True)
class Change:
    """Keep of a changed entry what is needed after its bytes are dropped."""

    person_id: str
    deleted: bool
    disabled: bool | None
    cleared: frozenset[str]


def watching(on: Pass, settings: Settings) -> Question:
    """Return what to ask DirSync: every attribute of ours and of LDAP_FILTER, of users and of the units they are in."""
    contacts = _CONTACTS if settings.ldap_include_contacts else ""
    attributes = dict.fromkeys((*on.reader.watched, *filter_attributes(settings.ldap_filter or "")))
    return Question(on.context, f"(|{_USERS}{_UNITS}{contacts})", tuple(attributes))


def everybody(on: Pass, cookie: bytes | None) -> Iterator[Page]:
    """Yield everybody in scope, then those who are disabled (by id alone); the last page carries the cookie."""
    for entries in _in_scope(on):
        yield Page([on.reader.read(entry) for entry in entries])
    if on.scope.disabled:
        for gone in _disabled(on):
            yield Page(gone)
    yield Page((), complete=True, cookie=cookie)


def changed(on: Pass, question: Question, first: Round) -> Iterator[Page]:
    """Yield what changed, round by round; the last page carries the cookie that came with the last round."""
    cookie = first.cookie
    for current in rounds(on.session, question, first):
        cookie = current.cookie
        changes = _changes(current.entries, on.reader)
        yield from _told(on, changes)
        for unit in filter(_is_unit, current.entries):
            if not is_deleted(unit):
                yield from _below(on, unit)
    yield Page((), complete=True, cookie=cookie)


def look_up(on: Pass, person_ids: Iterable[str]) -> Iterator[RawEntry]:
    """Yield the entries of those who are in scope now, in few searches; the order is the server's."""
    waiting = iter(person_ids)
    people = on.members.narrowed(on.scope.people)
    while some := list(islice(waiting, LOOKUP)):
        asked = both(on.scope.by_id(some), people)
        for base in on.scope.bases:
            found = on.session.entries(base, asked, attributes=on.reader.attributes, doing=_LOOKING_UP)
            yield from (entry for entry in found if on.scope.takes(entry.dn) and on.members.has(entry))


def _in_scope(on: Pass) -> Iterator[Sequence[RawEntry]]:
    """Yield pages of entries, nobody twice: what is modified during a walk comes again at its end.

    The ids seen are kept as 16 bytes each, the one thing here that grows with the number of people.
    """
    seen: set[bytes] = set()
    for entries in _walked(on):
        fresh = []
        for entry in entries:
            key = entry.first("objectGUID") or entry.first("entryUUID")
            if key not in seen and on.scope.takes(entry.dn):
                fresh.append(entry)
            seen.add(key)
        yield fresh


def _walked(on: Pass) -> Iterator[Sequence[RawEntry]]:
    """Walk the bases; with a group, read its roster first and then only its members."""
    if on.members is not EVERYBODY:
        for some in roster(on.session, on.scope, on.members):
            yield from _batches(look_up(on, some))
        return
    for base in on.scope.bases:
        yield from walk(on.session, Query(base, on.scope.people, on.reader.attributes))


def _batches(entries: Iterator[RawEntry]) -> Iterator[Sequence[RawEntry]]:
    while some := list(islice(entries, LOOKUP)):
        yield some


def _disabled(on: Pass) -> Iterator[Sequence[PersonGone]]:
    """Name the disabled, so that a full reading, too, tells them from those who left the scope."""
    people = on.members.narrowed(on.scope.disabled)
    for base in on.scope.bases:
        for entries in walk(on.session, Query(base, people, ["objectGUID"])):
            yield [_gone(entry, PersonState.DISABLED) for entry in entries if on.scope.takes(entry.dn)]


def _changes(entries: Sequence[RawEntry], reader: Reader) -> dict[str, Change]:
    """Merge what a round says, by person; units are no people."""
    found: dict[str, Change] = {}
    for entry in entries:
        if _is_unit(entry):
            continue
        key = person_id(entry)
        found[key] = Change(key, is_deleted(entry), is_disabled(entry), reader.cleared(entry))
    return found


def _told(on: Pass, changes: dict[str, Change]) -> Iterator[Page]:
    living = iter([change for change in changes.values() if not change.deleted])
    deleted = [PersonGone(change.person_id, PersonState.DELETED) for change in changes.values() if change.deleted]
    if deleted:
        yield Page(deleted)
    while some := list(islice(living, LOOKUP)):
        yield Page(list(_events(on, {change.person_id: change for change in some})))


def _events(on: Pass, changes: dict[str, Change]) -> Iterator[PersonRead | PersonGone]:
    missing = dict(changes)
    for entry in look_up(on, changes):
        change = missing.pop(person_id(entry), None)
        if change is not None:
            yield on.reader.read(entry, cleared=change.cleared)
    disabled = {key for key, change in missing.items() if change.disabled}
    unsure = [key for key, change in missing.items() if change.disabled is None]
    disabled |= _who_is_disabled(on, unsure)
    for key in missing:
        yield PersonGone(key, PersonState.DISABLED if key in disabled else PersonState.OUT_OF_SCOPE)


def _who_is_disabled(on: Pass, person_ids: Sequence[str]) -> set[str]:
    """Ask once more about people who are out of scope by a change that does not say why."""
    if not person_ids or not on.scope.disabled:
        return set()
    found = on.session.entries(
        on.context,
        on.scope.by_id(person_ids),
        attributes=["objectGUID", "userAccountControl"],
        doing=_LOOKING_UP,
    )
    return {person_id(entry) for entry in found if is_disabled(entry)}


def _below(on: Pass, unit: RawEntry) -> Iterator[Page]:
    """Judge everybody below a renamed or moved unit by today's DN: AD reports such a unit, but not who is in it."""
    people = on.members.narrowed(on.scope.people)
    for entries in walk(on.session, Query(unit.dn, people, on.reader.attributes)):
        yield Page([_judged(on, entry) for entry in entries])


def _judged(on: Pass, entry: RawEntry) -> PersonRead | PersonGone:
    if on.scope.reaches(entry.dn) and on.members.has(entry):
        return on.reader.read(entry)
    return _gone(entry, PersonState.OUT_OF_SCOPE)


def _is_unit(entry: RawEntry) -> bool:
    """Tell units by their name: a change does not carry the object class. Accounts in AD are always CN=."""
    return names.parts(entry.dn)[0].startswith("ou=")


def _gone(entry: RawEntry, state: PersonState) -> PersonGone:
    return PersonGone(person_id(entry), state)
