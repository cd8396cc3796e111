"""Read a directory over LDAP as a source: in full or by its changes, one naming context at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TypeVar

import ldap3

from connector.config import Settings
from connector.config import dn as names
from connector.errors import SettingsError, Unreachable
from connector.model import MatchRule, RequestCounters
from connector.model.formats import installed_extras
from connector.sources import (
    DECIDING,
    Cookie,
    GroupMembers,
    Mode,
    PersonRead,
    Reading,
    SourceTraits,
    Unidentified,
    dirsync,
)
from connector.sources.connect import READ_SECONDS, ServerRequirements, kerberos_problem, open_session
from connector.sources.entries import Reader, person_id
from connector.sources.groups import Forest, MissingEntry, members, new_base, require_visible
from connector.sources.ldap_errors import ConnectionLost
from connector.sources.pages import Weight
from connector.sources.raw_entry import RawEntry
from connector.sources.read import (
    LOOKUP,
    ContextReader,
    dirsync_query,
    everybody_since,
    existing,
    look_up,
    named_roster,
    read_all,
    read_changes,
    roster,
    untyped,
    without,
)
from connector.sources.scope import (
    all_of,
    bases_in,
    context_of,
    filter_by_name,
    filter_can_be_followed,
    recipient_types,
)
from connector.sources.session import Kind
from connector.sources.tls import verifying_context

# Another number means that the same settings now read something else: everybody is read anew.
_SHAPE = 2
_SHAPING = (
    *("ldap_base_dn", "ldap_filter", "ldap_include_disabled", "ldap_group", "ldap_exclude_dn"),
    *("ldap_photo_attributes", "ldap_anchor", "ldap_include_contacts"),
)
_Result = TypeVar("_Result")


def traits(settings: Settings) -> SourceTraits:
    """Describe a directory: a value that a reading does not show may merely be unreadable."""
    reader = Reader.of(settings)
    return SourceTraits(
        attribute_order=settings.ldap_photo_attributes,
        match_rules=(MatchRule.ANCHOR, *settings.match_fallback),
        is_ldap=True,
        attribute_names={name: reader.attribute_of(name) for name in DECIDING},
    )


def local_problems(settings: Settings) -> list[str]:
    """Return what Kerberos or LDAP_CA_FILE lacks on this machine."""
    problem = kerberos_problem(settings)
    problems = [problem] if problem else []
    try:
        verifying_context(settings.ldap_ca_file)
    except SettingsError as error:
        problems += error.problems
    return problems


class LdapSource:
    """Read people from Active Directory, or another LDAP directory; see `Source`.

    `patience`: seconds of silence within an answer that end a session. Raises SettingsError, before anything is
    contacted, when Kerberos is wanted and not installed.
    """

    def __init__(self, settings: Settings, traffic: RequestCounters, *, patience: int = READ_SECONDS) -> None:
        problem = kerberos_problem(settings)
        if problem:
            raise SettingsError([problem])
        self._settings, self._traffic, self._patience = settings, traffic, patience
        self._reader = Reader.of(settings)
        self._weight = Weight(self._reader.photos)
        self._forest = Forest(settings, traffic, patience)
        self._passes: dict[str, ContextReader] = {}
        self._default_context = ""

    def contexts(self) -> Sequence[str]:
        """Name the naming contexts of the base DNs; without one, the root of the domain that answers."""
        if self._settings.ldap_base_dn:
            return tuple(dict.fromkeys(context_of(base) for base in self._settings.ldap_base_dn))
        if self._settings.ldap_domain:
            return (names.root_of_domain(self._settings.ldap_domain),)
        if not self._default_context:
            session = open_session(self._settings, self._traffic, ServerRequirements())
            session.close()
            self._default_context = context_of(session.root.default_context)
        return (self._default_context,)

    def shape(self) -> str:
        """Return a fingerprint of the settings that shape a reading."""
        shaping = {name: getattr(self._settings, name) for name in _SHAPING}
        if recipient_types(self._settings):  # so that cookies of before LDAP_INCLUDE stay good
            shaping["ldap_include"] = self._settings.ldap_include
        shape = [_SHAPE, shaping, *installed_extras()]  # a picture that could not be read is read again
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()

    def read(self, context: str, cookie: Cookie | None, *, in_full: bool = False) -> Reading:
        """Read what changed since the cookie, or everybody; the connection is new, the cookie's server the first."""
        self._drop(context)
        reading_context = self._pass(context, prefer=cookie.server if cookie else "")
        server = reading_context.session.server
        if reading_context.session.root.kind is Kind.OTHER or not dirsync.is_offered(reading_context.session):
            notice = f"{server} does not offer DirSync, so everybody was read."
            return Reading(Mode.FULL, read_all(reading_context, None), notice, server)
        query = dirsync_query(reading_context, self._settings)
        first = dirsync.first_round(reading_context.session, query, cookie.content_bytes) if cookie else None
        reason = filter_can_be_followed(self._settings.ldap_filter)
        notice = f"LDAP_FILTER: {reason}, so everybody was read." if reason else ""
        if first is not None and not in_full and not reason:
            return Reading(Mode.CHANGES, read_changes(reading_context, query, first), "", server)
        if first is not None:
            return Reading(Mode.FULL, everybody_since(reading_context, query, first), notice, server)
        fresh = dirsync.fresh_cookie(reading_context.session, query)
        if cookie and not notice:
            notice = f"{server} refused the cookie of the last reading; everybody was read."
        if fresh is None:
            notice = f"{server} refuses DirSync, so changes cannot be followed; everybody was read."
        return Reading(Mode.FULL, read_all(reading_context, fresh), notice, server)

    def roster(self, context: str) -> Iterator[str | Unidentified] | None:
        """Yield the ids of the group's members in scope, or return None where no group is set."""
        return named_roster(self._pass(context)) if self._settings.ldap_group else None

    def members_of(self, context: str, *, group: str, setting: str) -> GroupMembers:
        """Return the members of a group in a context, nested ones too, read now."""
        reading_context = self._pass(context)
        session = reading_context.session
        named = members(session, group, context, forest=self._forest, setting=setting, reads_lists=True)
        found = frozenset(chain.from_iterable(roster(session, reading_context.scope, named)))
        if not found:
            require_visible(session, named, context, setting=setting)
        return GroupMembers(found, named.listed_ids)

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        """Read these people again, in whichever context they are; a lost connection is opened once again.

        A context that cannot be reached is raised only after those found elsewhere, and only if somebody is missing.
        """
        waiting = iter(dict.fromkeys(person_ids))
        while some := list(islice(waiting, self._weight.most(LOOKUP))):
            yield from self._fetch(set(some))

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people are in scope in this context now, in few searches for the id alone."""
        waiting = iter(person_ids)
        while some := list(islice(waiting, LOOKUP)):
            yield from self._present(context, some)

    def existing(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people the context still holds, in scope or not."""
        yield from self._asked(context, lambda reading_context: list(existing(reading_context, person_ids)))

    def emptied(self, context: str, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
        """Yield which of these people have no value in an attribute; nobody where the server is Active Directory.

        AD treats a value that we may not read as one that is not there, in filters too (MS-ADTS 3.1.1.4.3).
        """
        name = self._reader.attribute_of(attribute)
        waiting = iter(person_ids)
        while some := list(islice(waiting, LOOKUP)):
            yield from self._asked(context, lambda reading_context: list(without(reading_context, some, name)))

    def untyped(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people would be in scope by a recipient type, but show none now."""
        yield from self._asked(context, lambda reading_context: list(untyped(reading_context, person_ids)))

    def find(self, name: str) -> Sequence[PersonRead]:
        """Find people in scope by UPN, mail, sAMAccountName or DN."""
        found: dict[str, PersonRead] = {}
        for context in self.contexts():
            for entry in self._asked(context, lambda reading_context: _entries_by_name(reading_context, name)):
                found[person_id(entry)] = self._reader.read(entry)
        return list(found.values())

    def explain_missing(self, context: str, failure: Unreachable, people: Iterable[tuple[str, str]]) -> Unreachable:
        """Return the failure with the DN to which a base was moved; see `FindsMovedBase`."""
        if not isinstance(failure, MissingEntry) or failure.named.setting != "LDAP_BASE_DN":
            return failure
        base = failure.named.dn
        try:
            place = self._asked(
                context, lambda reader: new_base(reader.session, reader.scope, context, base=base, people=people)
            )
        except Unreachable:
            return failure
        return failure.moved_to(place) if place else failure

    def close(self) -> None:
        """Drop every connection."""
        for context in list(self._passes):
            self._drop(context)

    def _fetch(self, wanted: set[str]) -> Iterator[PersonRead]:
        failure: Unreachable | None = None
        for context in self.contexts():
            if not wanted:
                return
            try:
                entries = self._asked(
                    context, lambda reading_context: _at_once(look_up(reading_context, sorted(wanted)))
                )
            except Unreachable as error:
                failure = error
                continue
            for entry in entries:
                wanted.discard(person_id(entry))
                yield self._reader.read(entry)
        if failure and wanted:
            raise failure

    def _present(self, context: str, person_ids: Sequence[str]) -> list[str]:
        ids = ("objectGUID", "entryUUID")
        entries = self._asked(
            context, lambda reading_context: _at_once(look_up(reading_context, person_ids, attributes=ids))
        )
        return [person_id(entry) for entry in entries]

    def _asked(self, context: str, ask: Callable[[ContextReader], _Result]) -> _Result:
        """Ask, and once more on a new connection when an old one turns out to be dead: DCs drop idle ones."""
        was_open = context in self._passes
        try:
            return ask(self._pass(context))
        except ConnectionLost:
            self._drop(context)
            if not was_open:
                raise
            return ask(self._pass(context))

    def _pass(self, context: str, *, prefer: str = "") -> ContextReader:
        if context not in self._passes:
            where = ServerRequirements(context, bases_in(self._settings, context), prefer, self._patience)
            session = open_session(self._settings, self._traffic, where)
            try:
                found = ContextReader.of(
                    session,
                    context,
                    reader=self._reader,
                    weight=self._weight,
                    forest=self._forest,
                    contexts=self.contexts(),
                )
            except BaseException:
                session.close()
                raise
            self._passes[context] = found
        return self._passes[context]

    def _drop(self, context: str) -> None:
        reading_context = self._passes.pop(context, None)
        if reading_context is not None:
            reading_context.session.close()


def _at_once(searches: Iterator[Sequence[RawEntry]]) -> list[RawEntry]:
    return list(chain.from_iterable(searches))


def _entries_by_name(reading_context: ContextReader, name: str) -> Sequence[RawEntry]:
    reading_context.require_named()
    people = reading_context.members.narrowed(reading_context.scope.people)
    operation = "looking for a person"
    found: list[RawEntry] = []
    if "=" in name and reading_context.scope.in_scope(name):
        answer = reading_context.session.search(
            name, people, attributes=reading_context.reader.attributes, operation=operation, scope=ldap3.BASE
        )
        found.extend(answer.entries)
    for base in reading_context.scope.bases:
        found.extend(
            reading_context.session.entries(
                base,
                all_of(filter_by_name(name), people),
                attributes=reading_context.reader.attributes,
                operation=operation,
            )
        )
    return [
        entry for entry in found if reading_context.scope.not_excluded(entry.dn) and reading_context.members.has(entry)
    ]
