"""Where is a night measured? Between a directory and a cloud that are processes of their own, people made by number."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.lab.graph import Emulator
from tests.lab.graph.remote import remote
from tests.lab.ldapserver_house import PEOPLE
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_world import PASSWORD, READER
from tests.lab.pictures import jpeg

FACES, EDGE = 50, 240
LATENCY, CAP = 0.1, 4


@functools.cache
def _face(number: int) -> bytes:
    return jpeg(f"bench {number}", (EDGE, EDGE))


def photo(number: int, edition: int = 0) -> bytes:
    """Return a picture that nobody else has: one of 50 drawn faces, and a JPEG comment with the person's number."""
    note = f"{number} {edition}".encode()
    face_bytes = _face((number + edition) % FACES)
    return face_bytes[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + face_bytes[2:]


def person(number: int) -> tuple[str, dict[str, str | bytes]]:
    """Make one person of the directory; the server calls it again at each read and keeps nobody."""
    name = f"crowd{number:06}"
    upn = f"{name}@contoso.test"
    kind = {"objectClass": "user", "sAMAccountType": "805306368", "userAccountControl": "512"}
    named = {"userPrincipalName": upn, "mail": upn, "sAMAccountName": name, "name": name}
    return f"CN={name},{PEOPLE}", {**kind, **named, "jpegPhoto": photo(number)}


@dataclass(frozen=True, slots=True)
class Place:
    """Hold the two systems: the cloud's control desk, the directory's input and output, and the settings for both."""

    cloud: Emulator
    settings: dict[str, str]
    to_directory: IO[str]
    from_directory: IO[str]

    def change(self, number: int, edition: int) -> None:
        """Give one person another picture in the directory."""
        picture = base64.b64encode(photo(number, edition)).decode()
        print(
            json.dumps({"number": number, "attributes": {"jpegPhoto": [picture]}}), file=self.to_directory, flush=True
        )
        assert self.from_directory.readline().strip() == "done"


def hire(cloud: Emulator, people: int) -> None:
    """Give everybody of the directory an account without a photo."""
    tree = Tree(people=people, make=person)
    for start in range(0, people, 1000):
        cloud.tenant.add_accounts([_account(tree, number) for number in range(start, min(people, start + 1000))])


def _account(tree: Tree, number: int) -> dict[str, Any]:
    upn = f"crowd{number:06}@contoso.test"
    anchor = base64.b64encode(tree.nth(number).guid).decode()
    return {"upn": upn, "mail": upn, "immutable_id": anchor, "synced": True}


@contextlib.contextmanager
def open_cloud() -> Iterator[Emulator]:
    """Run the cloud: fixed latency, four photo requests at a time, uploads re-encoded in the cheapest way."""
    with _program("tests.lab.graph") as process:
        assert process.stdout
        cloud = remote(json.loads(process.stdout.readline())["side_url"])
        cloud.set(latency=LATENCY, concurrency_cap=CAP, reencode="comment")
        yield cloud


@contextlib.contextmanager
def open_place(folder: Path, people: int) -> Iterator[Place]:
    """Run a cloud and a directory with so many people, who have accounts but no photo yet."""
    options = ["--people", str(people), "--make", "tests.bench.world:person", "--folder", str(folder)]
    with open_cloud() as cloud, _program("tests.lab.ldapserver", *options) as process:
        assert process.stdout
        assert process.stdin
        told = json.loads(process.stdout.readline())
        ldap = {"LDAP_URI": told["uri"], "LDAP_CA_FILE": told["ca_file"]}
        account = {"LDAP_USER": READER, "LDAP_PASSWORD": PASSWORD}
        hire(cloud, people)
        yield Place(cloud, {**ldap, **account, **cloud.environ()}, process.stdin, process.stdout)


@contextlib.contextmanager
def _program(module: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *options]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=dict(os.environ), **pipes)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
