"""Define the sources of people and photos: the protocol, the events of a reading, and what a source can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, runtime_checkable

from connector.errors import Unreachable
from connector.model import MatchRule, Person, PersonState, Reason, SourcePhoto


class Mode(StrEnum):
    """Name what a reading covers: everybody, or only what changed."""

    FULL = "full"
    CHANGES = "changes"


# What decides, beside the photos, about whose photo goes where; named as in Person.
DECIDING = ("upn", "mail", "sid", "anchor")


@dataclass(frozen=True, slots=True)
class PersonRead:
    """Report that a person is in scope, with every photo value that can be read now.

    `cleared` names photo attributes, and what of DECIDING, the source *explicitly* reported as emptied. What is missing
    without that may merely be unreadable: a value that was known stands. `unread` names photo attributes where there is
    something that could not be read, for `unread_reason`. `stands_in`: the anchor is the objectGUID, because the entry
    shows no mS-DS-ConsistencyGuid. `recipient_type` is what the entry shows, where LDAP_INCLUDE asks for it.
    """

    person: Person
    photos: tuple[SourcePhoto, ...] = ()
    cleared: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    stands_in: bool = False
    unread_reason: Reason = Reason.SOURCE_UNREAD
    recipient_type: str = ""


@dataclass(frozen=True, slots=True)
class PersonGone:
    """Report that a person no longer takes part: disabled, deleted, or out of scope. No photo is removed for it.

    `cleared` names attributes that were explicitly reported as emptied meanwhile: when the person comes back, their
    absence is explained.
    """

    person_id: str
    state: PersonState
    cleared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Emptied:
    """Report that the source states these attributes of a person to be emptied; of others it states nothing."""

    person_id: str
    attributes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unidentified:
    """Report an entry whose id cannot be read: it is left out, and named."""

    name: str


Event = PersonRead | PersonGone | Emptied | Unidentified


@dataclass(frozen=True, slots=True)
class Page:
    """Contain some events; only the last page of a reading is `complete` and may carry the next `cookie`."""

    events: Sequence[Event] = field(repr=False)
    complete: bool = False
    cookie: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Describe one pass over one context; `pages` raises Unreachable when the reading was cut short.

    `notice` says why a full reading was needed where changes were hoped for, e.g. a refused cookie;
    else empty. `server` is the DC that answered. `absent_is_cleared`: a person that a
    complete full reading does not contain is still there and has no photo any more (a file that vanished).
    """

    mode: Mode
    pages: Iterator[Page]
    notice: str = ""
    server: str = ""
    absent_is_cleared: bool = False


@dataclass(frozen=True, slots=True)
class Cookie:
    """Store where the last reading of a context ended, and which server gave the bytes."""

    content_bytes: bytes = field(repr=False)
    server: str = ""


@dataclass(frozen=True, slots=True)
class SourceTraits:
    """Describe what a source can do under the settings; no server is asked for it.

    `attribute_order` names the photo attributes, the preferred one first. `match_rules` are tried in their order;
    `matches_any_account`: they may take any account, not only one that is synced and that no anchor claims.
    `absence_is_known`: a value that a reading does not show is not there; else it may be unreadable, and the last one
    stands. `names_are_paths`: a person's name is a path with slashes, else a DN. `is_ldap`: `check` tests the servers,
    rights and attributes of a directory. `attribute_names` are the source's own names of what is in DECIDING.
    """

    attribute_order: tuple[str, ...]
    match_rules: tuple[MatchRule, ...]
    matches_any_account: bool = False
    absence_is_known: bool = False
    names_are_paths: bool = False
    is_ldap: bool = False
    attribute_names: Mapping[str, str] = field(default_factory=dict)

    def attribute_name(self, name: str) -> str:
        """Return how the source calls one of DECIDING; a photo attribute has no other name."""
        return self.attribute_names.get(name, name)


class Source(Protocol):
    """Define what every source does; `tests/contracts` tests each source against it.

    A context is a part that is read, remembered and can fail alone: a naming context, or the folder.
    All methods may raise Unreachable. Not thread-safe: one thread at a time.
    """

    def contexts(self) -> Sequence[str]:
        """Name the contexts; the names are stable from run to run."""

    def shape(self) -> str:
        """Return a fingerprint of the settings that shaped the reading; another one means a full read."""

    def read(self, context: str, cookie: Cookie | None, *, in_full: bool = False) -> Reading:
        """Read what changed since the cookie, or everybody where there is none, it is refused, or `in_full` is asked.

        Where everybody is read, the cookie of the last reading still shows what was emptied since.
        """

    def roster(self, context: str) -> Iterator[str | Unidentified] | None:
        """Yield the person ids of the members of `LDAP_GROUP` in this context, read now; None where no group is set.

        A member whose id cannot be read is named. After a reading of changes the run compares them with the ledger:
        new members are fetched by id, former members are out of scope.
        """

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        """Read these people again, directly, if they are in scope now; the others are left out."""

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people are in scope in this context now, asked by id; no photos are moved."""

    def existing(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people the context still holds, in scope or not; who is missing was deleted."""

    def emptied(self, context: str, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
        """Yield which of these people certainly have no value in a photo attribute, or in one of DECIDING, now.

        A source that cannot tell an absent value from one that may not be read yields nobody.
        """

    def find(self, name: str) -> Sequence[PersonRead]:
        """Find people in scope by UPN, mail, sAMAccountName or DN; none, one, or several."""

    def close(self) -> None:
        """Close every connection; a later call opens them again."""


class GroupMembers(NamedTuple):
    """Contain the ids of a group's members: those in scope that a search found, and all that the group's lists name.

    A search finds who shows the membership; a list names also those whose entries do not show it to the account.
    """

    found: frozenset[str]
    listed: frozenset[str] = frozenset()


@runtime_checkable
class HasGroups(Protocol):
    """Define what a source may do besides: name the members of a group that a setting names."""

    def members_of(self, context: str, *, group: str, setting: str) -> GroupMembers:
        """Return the members of a group in a context; raise Unreachable without such a group."""


@runtime_checkable
class HasRecipientTypes(Protocol):
    """Define what a source may do besides: take in mailboxes by their recipient type (LDAP_INCLUDE)."""

    def untyped(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people would be in scope in a context by a recipient type, but show none now."""


@runtime_checkable
class FindsMovedBase(Protocol):
    """Define what a source may do besides: find out where a base was moved to that is not there any more."""

    def explain_missing(self, context: str, failure: Unreachable, people: Iterable[tuple[str, str]]) -> Unreachable:
        """Return the failure with the new place of the base, if it is one of that kind and people of it are found."""
