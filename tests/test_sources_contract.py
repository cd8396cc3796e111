"""Every source keeps the contract: a real domain, OpenLDAP, a directory of our own, and a folder of pictures."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ldap3 import MODIFY_DELETE, MODIFY_REPLACE
from pydantic import SecretStr

from connector.config import Settings
from connector.model import MatchRule, RequestCounters
from connector.sources import PersonRead, Source
from connector.sources.folder import FolderSource
from connector.sources.ldap import LdapSource
from tests.contracts.source import CLAUSES, SourceWorld
from tests.lab.directory import Directory, Entry
from tests.lab.ldapserver_directory import PEOPLE, DirectoryServer
from tests.lab.openldap import MANAGER, ROOT, OpenLdap, need_slapd

_names = itertools.count(1)


class OwnWorld:
    """Our own LDAP server as a world."""

    tells_deletions = True
    knows_only_pictures = False

    def __init__(self, ldap: DirectoryServer, *, follows_changes: bool) -> None:
        self.ldap, self.follows_changes = ldap, follows_changes
        ldap.knobs.offers_dirsync = follows_changes
        ldap.tree.add(PEOPLE, objectClass=["organizationalUnit"], sAMAccountType=[], userAccountControl=[])
        self._guids: dict[str, bytes] = {}

    def source(self) -> Source:
        return self.ldap.source(ldap_base_dn=(PEOPLE,))

    def add(self, name: str, photo: bytes | None = None) -> str:
        entry = self.ldap.person(name, jpegPhoto=[photo] if photo else [])
        self._guids[entry.id] = entry.guid
        return entry.id

    def replace(self, person_id: str, photo: bytes) -> None:
        self.ldap.tree.change(self._guids[person_id], jpegPhoto=photo)

    def clear(self, person_id: str) -> None:
        self.ldap.tree.change(self._guids[person_id], jpegPhoto=[])

    def rename(self, person_id: str) -> None:
        self.ldap.tree.move(self._guids[person_id], f"CN=Renamed {next(_names)},{PEOPLE}")

    def remove(self, person_id: str) -> None:
        self.ldap.tree.delete(self._guids[person_id])


class SambaWorld:
    """A real domain controller as a world, read by its administrator or by an account without any right."""

    follows_changes = True
    knows_only_pictures = False

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
        self.sources.append(LdapSource(Settings(**self.settings), RequestCounters()))
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


class OpenLdapWorld:
    """A real OpenLDAP server as a world: no changes are followed there, everybody is read every night."""

    follows_changes = tells_deletions = knows_only_pictures = False

    def __init__(self, server: OpenLdap) -> None:
        self.server, self.sources = server, list[LdapSource]()
        self.ou = f"ou=world{next(_names)},{ROOT}"
        self.hands = server.hands()
        self.hands.add(self.ou, "organizationalUnit")
        self._dns: dict[str, str] = {}

    def source(self) -> Source:
        settings: dict[str, Any] = {
            **{"ldap_uri": (self.server.uri,), "ldap_ca_file": self.server.ca_file, "ldap_base_dn": (self.ou,)},
            **{"ldap_user": MANAGER, "ldap_password": SecretStr(self.server.password)},
        }
        self.sources.append(LdapSource(Settings(**settings), RequestCounters()))
        return self.sources[-1]

    def add(self, name: str, photo: bytes | None = None) -> str:
        dn = f"uid={name},{self.ou}"
        picture = {"jpegPhoto": photo} if photo else {}
        self.hands.add(dn, "inetOrgPerson", {"cn": name, "sn": name, **picture})
        self.hands.search(dn, "(objectClass=*)", attributes=["entryUUID"])
        person_id = str(self.hands.entries[0].entryUUID).lower()
        self._dns[person_id] = dn
        return person_id

    def replace(self, person_id: str, photo: bytes) -> None:
        self.hands.modify(self._dns[person_id], {"jpegPhoto": [(MODIFY_REPLACE, [photo])]})

    def clear(self, person_id: str) -> None:
        self.hands.modify(self._dns[person_id], {"jpegPhoto": [(MODIFY_DELETE, [])]})

    def rename(self, person_id: str) -> None:
        name = f"uid=renamed{next(_names)}"
        self.hands.modify_dn(self._dns[person_id], name)
        self._dns[person_id] = f"{name},{self.ou}"

    def remove(self, person_id: str) -> None:
        self.hands.delete(self._dns[person_id])

    def close(self) -> None:
        for source in self.sources:
            source.close()
        self.hands.unbind()


class FolderWorld:
    """A folder as a world: a person is a file's name, and has a picture as long as the file is there."""

    follows_changes = tells_deletions = False
    knows_only_pictures = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[FolderSource] = []
        self._files: dict[str, Path] = {}

    def source(self) -> Source:
        self.sources.append(FolderSource(self.folder, MatchRule.SAM_ACCOUNT_NAME))
        return self.sources[-1]

    def add(self, name: str, photo: bytes | None = None) -> str:
        person_id = f"folder:{name}"
        self._files[person_id] = self.folder / f"{name}.jpg"
        if photo is not None:
            self.replace(person_id, photo)
        return person_id

    def replace(self, person_id: str, photo: bytes) -> None:
        path = self._files[person_id]
        path.write_bytes(photo)
        an_hour_ago = time.time() - 3600
        os.utime(path, (an_hour_ago, an_hour_ago))

    def clear(self, person_id: str) -> None:
        self._files[person_id].unlink()

    def rename(self, person_id: str) -> None:
        place = self.folder / f"floor {next(_names)}"
        place.mkdir()
        self._files[person_id] = self._files[person_id].rename(place / self._files[person_id].name)

    def remove(self, person_id: str) -> None:
        self._files[person_id].unlink()


@pytest.fixture(scope="module")
def openldap_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenLdap]:
    need_slapd()
    root = (ROOT, {"objectClass": ["organization", "dcObject"], "o": ["Example"], "dc": ["example"]})
    with OpenLdap(tmp_path_factory.mktemp("openldap"), [root]) as server:
        yield server


@pytest.fixture
def openldap(openldap_server: OpenLdap) -> Iterator[OpenLdapWorld]:
    world = OpenLdapWorld(openldap_server)
    yield world
    world.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[FolderWorld]:
    world = FolderWorld(tmp_path)
    yield world
    for source in world.sources:
        source.close()


@pytest.fixture
def own() -> Iterator[OwnWorld]:
    with DirectoryServer() as ldap:
        yield OwnWorld(ldap, follows_changes=True)


@pytest.fixture
def without_changes() -> Iterator[OwnWorld]:
    with DirectoryServer() as ldap:
        yield OwnWorld(ldap, follows_changes=False)


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
    "openldap",
    "folder",
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
    present = sorted(source.present(context, [*ids, "folder:cleo@contoso.test"]))
    source.close()
    assert present == sorted(ids)
    assert len(ids) == 2
