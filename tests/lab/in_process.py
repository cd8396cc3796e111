"""Both sides of a run in this process: the emulated cloud without its sockets, and a small directory."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from connector.cloud import VERSION, Cloud
from connector.cloud.auth import TokenSource
from connector.cloud.http import MOST_BYTES, READ_SECONDS, HttpClient
from connector.cloud.response import Response
from connector.cloud.throttle import Throttle
from connector.cloud.transport import Endpoint, Transport
from connector.config import Settings
from connector.errors import Unreachable
from connector.model import Person, PersonState, RequestCounters, SourcePhoto
from connector.sources import Cookie, Emptied, GroupMembers, Mode, Page, PersonGone, PersonRead, Reading
from tests.lab.graph.answers import Answer as Said
from tests.lab.graph.answers import Ask, Refused, refusal
from tests.lab.graph.batch import answer_batch
from tests.lab.graph.photos import WRITE_ROLES
from tests.lab.graph.routes import DIRECTORY_ROLES, answer, split_target
from tests.lab.graph.tenant import immutable_id
from tests.lab.graph.world import World

ROOT = "https://graph.in-process.test"
ATTRIBUTE = "jpegPhoto"
NOBODY = "00000000-0000-0000-0000-000000000001"
ROLES = frozenset(DIRECTORY_ROLES | WRITE_ROLES)

Watch = Callable[[str, str, bytes], None]


def in_process_settings(folder: Path, *, lanes: int, **more: Any) -> Settings:
    """Return the settings of a run of which both sides are in this process."""
    return Settings(
        azure_tenant_id=NOBODY,
        azure_client_id=NOBODY,
        azure_client_secret=SecretStr("unused"),
        ldap_uri=("ldaps://unused",),
        state_dir=folder,
        sync_concurrency=lanes,
        **more,
    )


class Killed(BaseException):
    """End the program as a kill does: nothing that comes after is carried out."""


class InProcessClient(HttpClient):
    """Carry requests to the lab's tenant without a socket; `before` and `after` are told of each, and may kill."""

    def __init__(self, world: World, *, before: Watch, after: Watch) -> None:
        self._world, self._before, self._after = world, before, after

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_seconds: float = READ_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> Response:
        target = url.removeprefix(ROOT)
        with self._world.lock:
            self._before(method, target, body or b"")
            said = self._said(method, target, headers, body or b"")
            self._after(method, target, body or b"")
        return Response(said.status, {name.lower(): value for name, value in said.headers.items()}, said.body())

    def _said(self, method: str, target: str, headers: Mapping[str, str], body_bytes: bytes) -> Said:
        version, segments, query = split_target(target)
        ask = Ask(
            method=method,
            version=version,
            segments=segments,
            path=target.partition("?")[0],
            query=query,
            headers={name.lower(): value for name, value in headers.items()},
            body_bytes=body_bytes,
            roles=ROLES,
        )
        try:
            return answer_batch(self._world, ask) if segments == ("$batch",) else answer(self._world, ask)
        except Refused as why:
            return refusal(ask, why)

    def probe(self, url: str) -> None:
        """Be there already."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class FixedToken(TokenSource):
    """Stand for a signed-in program: tokens are no part of the story."""

    def __init__(self) -> None:
        """Ask no issuer."""

    def token(self, scope: str | None = None) -> str:
        return "badge"


def open_in_process(wire: InProcessClient, settings: Settings, traffic: RequestCounters) -> Cloud:
    """Open the cloud behind a wire of this kind."""
    endpoint, badge = Endpoint(root=ROOT, scope="", version=VERSION), FixedToken()
    return Cloud(
        wire, badge, Transport(wire, badge, traffic, endpoint=endpoint, throttle=Throttle(settings.most_lanes))
    )


@dataclass(slots=True)
class DirectoryPerson:
    """Somebody of the small directory; `changed` is when the entry last changed, `cleared` when its photo went.

    `missed`: the photo was hidden from a reading since.
    """

    name: str
    unit: str
    photo: bytes | None = None
    state: PersonState = PersonState.IN_SCOPE
    guid: uuid.UUID = field(default_factory=uuid.uuid4)
    anchor: str = ""
    changed: int = 0
    cleared: int = 0
    missed: bool = False
    groups: frozenset[str] = frozenset()

    @property
    def person(self) -> Person:
        """Return what the directory tells of them."""
        upn = f"{self.name}@contoso.test"
        return Person(id=str(self.guid), name=f"CN={self.name},{self.unit}", upn=upn, mail=upn, anchor=self.anchor)


class InMemoryDirectory:
    """Keep a small directory in units that fail alone, with changes since a cookie, as every source does.

    `hidden`: nobody's photo can be read. `cut`: units whose reading ends in the middle. `era`: a new one is a new
    shape. Values that are hidden, or that were not cleared, are told as a directory tells them: not at all.
    `read_whole`: units that were read in full, with every photo, since this was emptied.
    """

    def __init__(self, units: Sequence[str]) -> None:
        self.units = tuple(units)
        self.people: dict[str, DirectoryPerson] = {}
        self.hidden = False
        self.cut: set[str] = set()
        self.era = 0
        self.clock = 1
        self.read_whole: set[str] = set()

    def add(self, name: str, unit: str, photo: bytes) -> DirectoryPerson:
        """Add somebody under an id that their name decides."""
        guid = uuid.UUID(bytes=hashlib.md5(name.encode()).digest())  # not a secret, the same each time
        one = DirectoryPerson(name, unit, photo, guid=guid, anchor=immutable_id(guid))
        self.people[one.person.id] = one
        self.change(one)
        return one

    def change(self, one: DirectoryPerson, **values: object) -> None:
        """Change an entry, which those who have a cookie are told."""
        self.clock += 1
        if "photo" in values and values["photo"] is None and one.photo is not None:
            one.cleared = self.clock
        for name, value in values.items():
            setattr(one, name, value)
        one.changed = self.clock
        one.missed = False

    # -- what a source does

    def contexts(self) -> Sequence[str]:
        return self.units

    def shape(self) -> str:
        return f"era {self.era}"

    def read(self, context: str, cookie: Cookie | None, *, in_full: bool = False) -> Reading:
        since, end = int(cookie.content_bytes) if cookie else 0, str(self.clock).encode()
        if cookie and not in_full:
            return Reading(Mode.CHANGES, self._pages(context, since, end), server="dc1")
        if not self.hidden:
            self.read_whole.add(context)
        told = Page(self._emptied(context, since) if cookie else [])
        return Reading(Mode.FULL, chain([told], self._pages(context, 0, end)), server="dc1")

    def _emptied(self, context: str, since: int) -> list[Emptied]:
        """Return what was cleared since, as a directory does even where it may not be read."""
        here = [one for one in self.people.values() if one.unit == context and one.cleared > since]
        return [Emptied(one.person.id, frozenset({ATTRIBUTE})) for one in here if not one.photo and not self.hidden]

    def _pages(self, context: str, since: int, end: bytes) -> Iterator[Page]:
        here = [one for one in self.people.values() if one.unit == context and one.changed > since]
        events = [self._event(one, since) for one in here if since or one.state is not PersonState.OUT_OF_SCOPE]
        half = (len(events) + 1) // 2
        yield Page(events[:half])
        if context in self.cut:
            raise _silent(context)
        yield Page(events[half:], complete=True, cookie=end)

    def _event(self, one: DirectoryPerson, since: int) -> PersonRead | PersonGone:
        if one.state is not PersonState.IN_SCOPE:
            return PersonGone(one.person.id, one.state)
        one.missed |= self.hidden and one.photo is not None
        photos = (SourcePhoto(ATTRIBUTE, one.photo),) if one.photo and not self.hidden else ()
        is_told = since and one.cleared > since and not one.photo and not self.hidden
        return PersonRead(one.person, photos, frozenset({ATTRIBUTE}) if is_told else frozenset())

    def roster(self, context: str) -> Iterator[str] | None:
        return None

    def members_of(self, context: str, *, group: str, setting: str) -> GroupMembers:
        here = [one for one in self.people.values() if one.unit == context and group in one.groups]
        found = (one.person.id for one in here if one.state is PersonState.IN_SCOPE)
        return GroupMembers(frozenset(found), frozenset(one.person.id for one in here))

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        for person_id in person_ids:
            one = self.people.get(person_id)
            if one is not None and one.state is PersonState.IN_SCOPE:
                event = self._event(one, 0)
                assert isinstance(event, PersonRead)
                yield event

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        if context in self.cut:
            raise _silent(context)
        here = (one for one in map(self.people.get, person_ids) if one is not None and one.unit == context)
        yield from (one.person.id for one in here if one.state is PersonState.IN_SCOPE)

    def existing(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        return iter([one for one in person_ids if one in self.people])

    def emptied(self, context: str, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
        return iter(())

    def find(self, name: str) -> Sequence[PersonRead]:
        return [event for event in self.fetch(list(self.people)) if event.person.upn == name]

    def close(self) -> None:
        """Do nothing: nothing is open."""


def _silent(unit: str) -> Unreachable:
    return Unreachable("directory", f"{unit} did not answer", "Look at the domain controller.")
