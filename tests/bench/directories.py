"""The directory that the bench reads: a real Samba domain controller up to 10,000 people, above that our own."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.faces import photo
from tests.bench.program import running
from tests.lab import loopback, samba
from tests.lab.directory import Directory, Record
from tests.lab.ldapserver_directory import PEOPLE
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_world import PASSWORD, READER
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings

SAMBA_TAKES = 10_000


def name_of(number: int) -> str:
    """Return the sAMAccountName of one of the crowd."""
    return f"crowd{number:06}"


def person(number: int) -> tuple[str, dict[str, str | bytes]]:
    """Make one person of our own server, which calls it again at each read and keeps nobody."""
    name = name_of(number)
    upn = f"{name}@contoso.test"
    kind = {"objectClass": "user", "sAMAccountType": "805306368", "userAccountControl": "512"}
    named = {"userPrincipalName": upn, "mail": upn, "sAMAccountName": name, "name": name}
    return f"CN={name},{PEOPLE}", {**kind, **named, "jpegPhoto": photo(number)}


@dataclass(frozen=True, slots=True)
class Served:
    """A running directory: what it is, the settings that reach it, each one's anchor, and how a photo changes.

    `change` takes a person's number and picture.
    """

    kind: str
    settings: dict[str, str]
    anchors: Callable[[], Iterator[str]]
    change: Callable[[int, bytes], None]


@contextlib.contextmanager
def open_directory(folder: Path, people: int, *, real: bool = True) -> Iterator[Served]:
    """Serve so many people; not as root, or above 10,000, by our own server: Samba would load them for an hour."""
    is_samba = real and people <= SAMBA_TAKES and not samba.why_not()
    with _samba(folder, people) if is_samba else _own(folder, people) as served:
        yield served


@contextlib.contextmanager
def _samba(folder: Path, people: int) -> Iterator[Served]:
    address = loopback.claim()
    try:
        with DomainController(folder / "domain", address=address.ip) as domain, contextlib.ExitStack() as stack:
            hands = Directory(domain)
            stack.callback(hands.close)
            ou = hands.add_ou("Crowd")
            hands.load(_record(number, ou) for number in range(people))
            anchors = _anchors(hands, ou)
            yield Served(
                "Samba",
                ldap_settings(domain, ou),
                lambda: iter(anchors),
                lambda number, picture: hands.set_photo(f"CN={name_of(number)},{ou}", picture),
            )
    finally:
        address.release()


def _record(number: int, ou: str) -> Record:
    name = name_of(number)
    upn = f"{name}@contoso.test"
    named = {"objectClass": "user", "sAMAccountName": name, "userPrincipalName": upn, "mail": upn}
    return Record(f"CN={name},{ou}", {**named, "jpegPhoto": photo(number)})


def _anchors(hands: Directory, ou: str) -> list[str]:
    found = hands.search(ou, "(objectClass=user)", "objectGUID", "sAMAccountName")
    by_name = {raw["sAMAccountName"][0]: base64.b64encode(raw["objectGUID"][0]).decode() for _, raw in found}
    return [by_name[name] for name in sorted(by_name)]


@contextlib.contextmanager
def _own(folder: Path, people: int) -> Iterator[Served]:
    options = ["--people", str(people), "--make", f"{__name__}:person", "--folder", str(folder)]
    with running("tests.lab.ldapserver", *options) as process:
        assert process.stdout
        assert process.stdin
        told = json.loads(process.stdout.readline())
        tree = Tree(people=people, make=person)

        def change(number: int, picture: bytes) -> None:
            assert process.stdin
            assert process.stdout
            attributes = {"jpegPhoto": [base64.b64encode(picture).decode()]}
            print(json.dumps({"number": number, "attributes": attributes}), file=process.stdin, flush=True)
            assert process.stdout.readline().strip() == "done"

        yield Served(
            "our own server",
            {"LDAP_URI": told["uri"], "LDAP_CA_FILE": told["ca_file"], "LDAP_USER": READER, "LDAP_PASSWORD": PASSWORD},
            lambda: (base64.b64encode(tree.nth(number).guid).decode() for number in range(people)),
            change,
        )
