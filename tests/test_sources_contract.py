"""Does every source keep the contract? A real domain, a directory of our own, and one that knows no changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connector.config import Settings
from connector.model import MatchRule, Traffic
from connector.sources import PersonRead, Source
from connector.sources.directory import LdapSource
from connector.sources.folder import FolderSource
from tests.contracts.source import CLAUSES, SourceWorld
from tests.lab.directory import Directory, Entry
from tests.lab.ldapserver_house import PEOPLE, House

_names = itertools.count(1)


class OwnWorld:
    """Our own LDAP server as a world."""

    tells_deletions = True

    def __init__(self, house: House, *, follows_changes: bool) -> None:
        self.house, self.follows_changes = house, follows_changes
        house.knobs.offers_dirsync = follows_changes
        self._guids: dict[str, bytes] = {}

    def source(self) -> Source:
        return self.house.source(ldap_base_dn=(PEOPLE,))

    def add(self, name: str, photo: bytes | None = None) -> str:
        entry = self.house.person(name, jpegPhoto=[photo] if photo else [])
        self._guids[entry.id] = entry.guid
        return entry.id

    def replace(self, person_id: str, photo: bytes) -> None:
        self.house.tree.change(self._guids[person_id], jpegPhoto=photo)

    def clear(self, person_id: str) -> None:
        self.house.tree.change(self._guids[person_id], jpegPhoto=[])

    def rename(self, person_id: str) -> None:
        self.house.tree.move(self._guids[person_id], f"CN=Renamed {next(_names)},{PEOPLE}")

    def remove(self, person_id: str) -> None:
        self.house.tree.delete(self._guids[person_id])


class SambaWorld:
    """A real domain controller as a world, read by its administrator or by an account without any right."""

    follows_changes = True

    def __init__(self, directory: Directory, ou: str, *, administrator: bool) -> None:
        self.directory, self.ou, self.tells_deletions = directory, ou, administrator
        controller = directory.controller
        by = (controller.administrator, controller.administrator_password)
        user, password = by if administrator else (controller.reader, controller.reader_password)
        self.settings: dict[str, Any] = {
            **{"ldap_uri": (controller.uri,), "ldap_ca_file": controller.ca_file, "ldap_base_dn": (ou,)},
            **{"ldap_user": user, "ldap_password": SecretStr(password)},
        }
        self.sources: list[LdapSource] = []
        self._people: dict[str, Entry] = {}

    def source(self) -> Source:
        self.sources.append(LdapSource(Settings(**self.settings), Traffic()))
        return self.sources[-1]

    def add(self, name: str, photo: bytes | None = None) -> str:
        # Names are unique in a domain, and other tests use it, too.
        own: dict[str, Any] = {"mail": name, "jpegPhoto": [photo] if photo else []}
        entry = self.directory.add_person(self.ou, name, sAMAccountName=f"c{next(_names)}", **own)
        self._people[entry.guid] = entry
        return entry.guid

    def replace(self, person_id: str, photo: bytes) -> None:
        self.directory.set_photo(self._people[person_id].dn, photo)

    def clear(self, person_id: str) -> None:
        self.directory.set_photo(self._people[person_id].dn)

    def rename(self, person_id: str) -> None:
        self.directory.rename(self._people[person_id].dn, f"Renamed {next(_names)}")

    def remove(self, person_id: str) -> None:
        self.directory.delete(self._people[person_id].dn)


@pytest.fixture
def own() -> Iterator[OwnWorld]:
    with House() as house:
        yield OwnWorld(house, follows_changes=True)


@pytest.fixture
def without_changes() -> Iterator[OwnWorld]:
    with House() as house:
        yield OwnWorld(house, follows_changes=False)


@pytest.fixture
def samba_reader(directory: Directory, ou: str) -> Iterator[SambaWorld]:
    world = SambaWorld(directory, ou, administrator=False)
    yield world
    for source in world.sources:
        source.close()


@pytest.fixture
def samba_administrator(directory: Directory, ou: str) -> Iterator[SambaWorld]:
    world = SambaWorld(directory, ou, administrator=True)
    yield world
    for source in world.sources:
        source.close()


WORLDS = (
    "own",
    "without_changes",
    pytest.param("samba_reader", marks=pytest.mark.samba),
    pytest.param("samba_administrator", marks=pytest.mark.samba),
)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("clause", CLAUSES, ids=lambda clause: clause.__name__)
def test_source(clause: Callable[[SourceWorld], None], world: str, request: pytest.FixtureRequest) -> None:
    clause(request.getfixturevalue(world))


def test_a_folder_tells_who_is_there_by_id(tmp_path: Path) -> None:
    (tmp_path / "anna@contoso.test.jpg").write_bytes(b"anna")
    for ending in ("jpg", "png"):
        (tmp_path / f"ben@contoso.test.{ending}").write_bytes(b"ben, twice")
    source = FolderSource(tmp_path, MatchRule.UPN)
    (context,) = source.contexts()
    ids = [
        event.person.id
        for page in source.read(context, None).pages
        for event in page.events
        if isinstance(event, PersonRead)
    ]
    assert sorted(source.present(context, [*ids, "folder:cleo@contoso.test"])) == sorted(ids)
    assert len(ids) == 2
