"""A filled directory and cloud for people who only want to look, with the settings that reach them.

As root it is a real Samba domain controller; otherwise our own LDAP server stands in for it.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector.model import Account, Person
from tests.lab import loopback, samba
from tests.lab.crowd import account_of, face, load_crowd
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.ldapserver_directory import PEOPLE, DirectoryServer, authority
from tests.lab.ldapserver_world import PASSWORD, READER
from tests.lab.people import Registered, load
from tests.lab.samba import DomainController
from tests.lab.world import fill, ldap_settings


@dataclass(frozen=True, slots=True)
class World:
    """An open world: its settings, its cloud, who lives there, and the hand that changes photos in it.

    `set_photo` takes a person and the new value of jpegPhoto; None clears it.
    """

    kind: str
    settings: dict[str, str]
    cloud: Emulator
    people: tuple[tuple[Person, Account], ...]
    set_photo: Callable[[Person, bytes | None], None]


@contextmanager
def open_world(folder: Path, *, people: int | None = None) -> Iterator[World]:
    """Open a world: so many drawn people, or the awkward forty; it ends with the block."""
    reason = samba.why_not()
    with Emulator(folder=folder) as cloud:
        if reason:
            print(f"Left out: the real domain controller ({reason}). Our own LDAP server stands in for it.")
            with DirectoryServer() as ldap:
                yield _own(ldap, cloud, people or 40)
            return
        address = loopback.claim()
        try:
            with DomainController(folder / "domain", address=address.ip) as domain:
                hands = Directory(domain)
                try:
                    yield _real(domain, hands, cloud, people)
                finally:
                    hands.close()
        finally:
            address.release()


def _real(domain: DomainController, hands: Directory, cloud: Emulator, people: int | None) -> World:
    ou = hands.add_ou("People")
    settings = ldap_settings(domain, ou)
    if people is None:
        populace = load(hands, ou)
        fill(cloud.tenant, populace.registered())
        settings["LDAP_EXCLUDE_DN"] = populace.excluded_dn
        pairs = tuple((one.person, one.account) for one in populace.people if one.case.shows_bytes and one.registered)
    else:
        pairs = tuple((person, account_of(person)) for person in load_crowd(hands, ou, people))
        fill(cloud.tenant, [Registered(account) for _, account in pairs])

    def set_photo(person: Person, photo: bytes | None) -> None:
        hands.set_photo(person.name, *([photo] if photo else []))

    kind = f"a real Samba domain controller at {domain.uri}"
    return World(kind, {**settings, **cloud.environ()}, cloud, pairs, set_photo)


def _own(ldap: DirectoryServer, cloud: Emulator, people: int) -> World:
    guids: dict[str, bytes] = {}
    pairs = []
    for number in range(1, people + 1):
        entry = ldap.person(f"crowd{number:05}", jpegPhoto=[face(number)])
        guids[entry.id] = entry.guid
        upn = f"crowd{number:05}@contoso.test"
        anchor = base64.b64encode(entry.guid).decode()
        person = Person(id=entry.id, name=entry.dn, upn=upn, mail=upn, anchor=anchor)
        account = Account(
            id=str(uuid.uuid5(uuid.NAMESPACE_DNS, upn)), upn=upn, mail=upn, immutable_id=anchor, is_synced=True
        )
        pairs.append((person, account))
    fill(cloud.tenant, [Registered(account) for _, account in pairs])

    def set_photo(person: Person, photo: bytes | None) -> None:
        ldap.tree.change(guids[person.id], jpegPhoto=[photo] if photo else [])

    settings = {
        "LDAP_URI": ldap.server.uri,
        "LDAP_CA_FILE": str(authority().ca_file),
        "LDAP_USER": READER,
        "LDAP_PASSWORD": PASSWORD,
        "LDAP_BASE_DN": PEOPLE,
    }
    kind = f"our own LDAP server at {ldap.server.uri}"
    return World(kind, {**settings, **cloud.environ()}, cloud, tuple(pairs), set_photo)


def write_env_file(path: Path, settings: dict[str, str]) -> None:
    """Write settings as an env file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()), encoding="utf-8")
