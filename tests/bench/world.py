"""The systems of the bench: a directory and a cloud that are processes of their own, with people made by number."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tests.bench.directories import Served, name_of, open_directory
from tests.bench.faces import photo
from tests.bench.program import running
from tests.lab.graph import Emulator
from tests.lab.graph.remote import remote

LATENCY, CAP = 0.1, 4


@dataclass(frozen=True, slots=True)
class Place:
    """The two systems: the cloud's control desk, the directory, and the settings for both."""

    cloud: Emulator
    directory: Served
    settings: dict[str, str]

    def change(self, number: int, edition: int) -> None:
        """Give one person another picture in the directory."""
        self.directory.change(number, photo(number, edition))


def hire(cloud: Emulator, anchors: Iterator[str]) -> None:
    """Give everybody, by number, an account without a photo."""
    accounts = (_account(number, anchor) for number, anchor in enumerate(anchors))
    while some := list(islice(accounts, 1000)):
        cloud.tenant.add_accounts(some)


def _account(number: int, anchor: str) -> dict[str, Any]:
    upn = f"{name_of(number)}@contoso.test"
    return {"upn": upn, "mail": upn, "immutable_id": anchor, "synced": True}


@contextlib.contextmanager
def open_cloud(*, cap: int = CAP) -> Iterator[Emulator]:
    """Run the cloud: fixed latency, so many photo requests at a time, uploads re-encoded in the cheapest way."""
    with running("tests.lab.graph") as process:
        assert process.stdout
        cloud = remote(json.loads(process.stdout.readline())["side_url"])
        cloud.set(latency=LATENCY, concurrency_cap=cap, reencode="comment")
        yield cloud


@contextlib.contextmanager
def open_place(folder: Path, people: int, *, cap: int = CAP, real: bool = True) -> Iterator[Place]:
    """Run a cloud and a directory with so many people, who have accounts but no photo yet.

    `cap`: photo requests that the cloud allows at once. Unless `real`, the directory is always our own server.
    """
    with open_cloud(cap=cap) as cloud, open_directory(folder, people, real=real) as directory:
        hire(cloud, directory.anchors())
        yield Place(cloud, directory, {**directory.settings, **cloud.environ()})
