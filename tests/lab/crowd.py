"""Thousands of numbered people with a face each, loaded beside the server in one go."""

from __future__ import annotations

import base64
import uuid
import zlib
from collections.abc import Iterator

from connector.model import Account, Person
from tests.lab.directory import Directory, Record, sid_text
from tests.lab.pictures import jpeg


def face(number: int, edge: int = 240) -> bytes:
    """Return the portrait of one of the crowd: a JPEG of `edge` × `edge` pixels (240: about 12 kB, 2 ms)."""
    return jpeg(f"crowd {number}", (edge, edge))


def load_crowd(
    directory: Directory, ou: str, count: int, *, edge: int = 240, first: int = 1, attribute: str = "jpegPhoto"
) -> list[Person]:
    """Add so many people with a photo each below `ou`; return them as the directory made them, by number.

    About 190 a second with 10,000. A second crowd in the same OU starts at another `first`.
    """
    suffix = directory.controller.realm.lower()
    numbers = range(first, first + count)
    directory.load(_record(number, ou, suffix, attribute=attribute, edge=edge) for number in numbers)
    wanted = {name_of(ou, number) for number in numbers}
    people = (person for person in _read_back(directory, ou) if person.sam_account_name in wanted)
    return sorted(people, key=lambda person: person.sam_account_name)


def name_of(ou: str, number: int) -> str:
    """Return the sAMAccountName of one of the crowd; unique in the domain by its OU's mark."""
    return f"crowd-{zlib.crc32(ou.encode()):08x}-{number:05}"


def account_of(person: Person) -> Account:
    """Return the account that Entra Connect makes of a person."""
    return Account(
        id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"account {person.upn}")),
        upn=person.upn,
        mail=person.mail,
        sam_account_name=person.sam_account_name,
        immutable_id=person.anchor,
        sid=person.sid,
        is_synced=True,
        has_exchange=True,
    )


def _record(number: int, ou: str, suffix: str, *, attribute: str, edge: int) -> Record:
    name = name_of(ou, number)
    address = f"{name}@{suffix}"
    attributes = {"objectClass": "user", "sAMAccountName": name, "userPrincipalName": address, "mail": address}
    return Record(f"CN=Crowd {number:05},{ou}", {**attributes, attribute: face(number, edge)})


def _read_back(directory: Directory, ou: str) -> Iterator[Person]:
    names = ("objectGUID", "objectSid", "sAMAccountName", "userPrincipalName")
    for dn, raw in directory.search(ou, "(&(objectClass=user)(sAMAccountName=crowd-*))", *names):
        address = raw["userPrincipalName"][0].decode()
        yield Person(
            id=str(uuid.UUID(bytes_le=raw["objectGUID"][0])),
            name=dn,
            upn=address,
            mail=address,
            sam_account_name=raw["sAMAccountName"][0].decode(),
            sid=sid_text(raw["objectSid"][0]),
            anchor=base64.b64encode(raw["objectGUID"][0]).decode(),
        )
