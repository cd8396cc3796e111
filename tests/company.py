"""Fixtures for short stories: a company with a directory of our own, a cloud, and people hired by name."""

from __future__ import annotations

import base64
import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.graph import Emulator
from tests.lab.ldapserver_directory import PEOPLE, DirectoryServer, authority
from tests.lab.ldapserver_tree import Entry, Tree
from tests.lab.ldapserver_world import PASSWORD, READER
from tests.lab.pictures import jpeg, reencoded
from tests.runner import Runner


@functools.cache
def face(name: object, edge: int = 96) -> bytes:
    """Return the portrait of one person: a small square JPEG, so that hundreds are drawn in a moment."""
    return jpeg(f"office {name}", (edge, edge))


@functools.cache
def copy_of(name: object, edge: int = 96) -> bytes:
    """Return that portrait as another tool left it in the cloud: other bytes, the same picture."""
    return reencoded(face(name), edge)


def crowd(number: int, *, faces: int = 0) -> tuple[str, dict[str, str | bytes]]:
    """Make one of a crowd for the directory: everything a person has, and a face of 64 pixels, of so many (0: all)."""
    name = f"crowd{number:06}"
    attributes: dict[str, str | bytes] = {
        "objectClass": "user",
        "sAMAccountType": "805306368",
        "userAccountControl": "512",
        "userPrincipalName": f"{name}@contoso.test",
        "mail": f"{name}@contoso.test",
        "sAMAccountName": name,
        "name": name,
        "jpegPhoto": face(number % faces if faces else number, 64),
    }
    return f"CN={name},{PEOPLE}", attributes


def anchor_of(guid: bytes) -> str:
    """Return the immutable ID that stems from an objectGUID."""
    return base64.b64encode(guid).decode()


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody with an entry in the directory and, unless it is empty, an account in the cloud."""

    name: str
    entry: Entry
    account_id: str

    @property
    def upn(self) -> str:
        """Return the UPN."""
        return f"{self.name}@contoso.test"


class Company:
    """Bring a directory, a cloud and the commands of one server together."""

    def __init__(self, cloud: Emulator, folder: Path, *, tree: Tree | None = None, **settings: str) -> None:
        self.cloud = cloud
        self.ldap = DirectoryServer(tree)
        self.knobs = self.ldap.knobs
        usual = {
            "LDAP_URI": self.ldap.server.uri,
            "LDAP_CA_FILE": str(authority().ca_file),
            "LDAP_USER": READER,
            "LDAP_PASSWORD": PASSWORD,
            **cloud.environ(),
        }
        self.runner = Runner(folder, {**usual, **settings})
        self.sync = self.runner.sync

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of the next night, to be changed in place."""
        return self.runner.settings

    def hire(self, name: str, *, photo: bytes | None = b"", account: bool = True, **attributes: Any) -> Colleague:
        """Add a person with their own face (None: no photo) and, unless told otherwise, the account made of them."""
        picture = {} if photo is None else {"jpegPhoto": photo or face(name)}
        entry = self.ldap.person(name, **{**picture, **attributes})
        return self.register(name, entry) if account else Colleague(name, entry, "")

    def register(self, name: str, entry: Entry, **changed: Any) -> Colleague:
        """Make the account of an entry, as Entra Connect does."""
        upn = f"{name}@contoso.test"
        made: dict[str, Any] = {"mail": upn, "immutable_id": anchor_of(entry.guid), "synced": True}
        return Colleague(name, entry, self.cloud.tenant.add_account(upn, **{**made, **changed}))

    def team(self, count: int, prefix: str = "person") -> list[Colleague]:
        """Hire so many at once."""
        return [self.hire(f"{prefix}{number:03}") for number in range(count)]

    def paint(self, one: Colleague, photo: bytes | None) -> None:
        """Give somebody another source photo, or none."""
        self.ldap.tree.change(one.entry.guid, jpegPhoto=[] if photo is None else photo)

    def photo(self, one: Colleague) -> bytes | None:
        """Return the bytes that the cloud shows."""
        shown = self.cloud.tenant.photo(one.account_id)
        return shown.content_bytes if shown else None

    def close(self) -> None:
        """Close the directory."""
        self.ldap.server.close()


@pytest.fixture
def company(cloud: Emulator, tmp_path: Path) -> Iterator[Company]:
    """Open an empty company."""
    place = Company(cloud, tmp_path)
    yield place
    place.close()


def populate(cloud: Emulator, tree: Tree, count: int, *, photos: bool) -> list[str]:
    """Give everybody of a crowd an account, and on wish the photo that another tool has put there."""
    people = [
        {
            "upn": f"crowd{number:06}@contoso.test",
            "id": str(uuid.UUID(int=number + 1)),
            "mail": f"crowd{number:06}@contoso.test",
            "immutable_id": anchor_of(tree.nth(number).guid),
            "synced": True,
        }
        for number in range(count)
    ]
    account_ids = cloud.tenant.add_accounts(people)
    if photos:
        cloud.set(reencode="comment")  # other bytes, hardly any work
        cloud.tenant.set_photos({account_id: face(number, 64) for number, account_id in enumerate(account_ids)})
    return account_ids


def total(totals: dict[str, int]) -> int:
    """Add up what `people` must equal."""
    return sum(totals[name] for name in ("created", "replaced", "removed", "unchanged", "skipped", "failed"))
