"""Measure a quiet night and `coverage` with opted-out people and policy groups: `python -m tests.bench.groups 20000`.

A tenth of the people opted out; two groups have a twentieth each. Searches, entries and requests are counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.company import Company, anchor_of, crowd, face
from tests.lab.graph import Emulator
from tests.lab.ldapserver_tree import Tree, Value
from tests.lab.ldapserver_wire import DIRSYNC

BASE = "OU=Groups,DC=contoso,DC=test"
GROUPS = {name: f"CN={name},{BASE}" for name in ("OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP")}
FACES = 40


def group_of(number: int, people: int) -> str:
    """Return which setting names somebody; empty for most."""
    share = people // 20
    return (
        ["OPT_OUT_GROUP", "OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP"][number // share]
        if (number < 4 * share)
        else ""
    )


def tree_of(people: int) -> Tree:
    """Return a directory of so many people, the first of them in groups."""

    def one(number: int) -> tuple[str, Mapping[str, Value]]:
        dn, attributes = crowd(number, faces=FACES)
        group = group_of(number, people)
        return dn, {**attributes, **({"memberOf": GROUPS[group]} if group else {})}

    tree = Tree(people=people, make=one)
    for name, dn in GROUPS.items():
        # with the ids, as the extended DN control answers: the server cannot find one of a crowd by its DN
        members = [
            (tree.nth(number).id, crowd(number)[0]) for number in range(people) if group_of(number, people) == name
        ]
        tree.add(
            dn,
            objectClass="group",
            objectCategory="group",
            sAMAccountType="268435456",
            userAccountControl=[],
            member=[f"<GUID={found}>;{own}" for found, own in members],
        )
    return tree


def fill(cloud: Emulator, tree: Tree, people: int) -> None:
    """Give everybody an account; who has not opted out has the photo that another tool has put there."""
    account_ids = cloud.tenant.add_accounts(
        {
            "upn": f"crowd{number:06}@contoso.test",
            "id": str(uuid.UUID(int=number + 1)),
            "mail": f"crowd{number:06}@contoso.test",
            "immutable_id": anchor_of(tree.nth(number).guid),
            "synced": True,
        }
        for number in range(people)
    )
    cloud.set(reencode="comment")
    cloud.tenant.set_photos(
        {found: face(number % FACES, 64) for number, found in enumerate(account_ids) if number >= people // 10}
    )


def main(people: int) -> None:
    """Live through two nights, ask for the coverage, and print what it cost."""
    with Emulator() as cloud, tempfile.TemporaryDirectory() as folder:
        tree = tree_of(people)
        company = Company(cloud, Path(folder), tree=tree, PLACEHOLDER_PEOPLE="0", SYNC_VERIFY_PERCENT="0", **GROUPS)
        fill(cloud, tree, people)
        _night(company, "first")
        _night(company, "quiet", days=1)
        _night(company, "verify 15", days=1, SYNC_VERIFY_PERCENT="15")
        for form in ("text", "csv", "html", "json"):
            _coverage(company, "--format", form)
        _coverage(company, "--opted-out")
        company.close()


def _night(company: Company, name: str, *, days: int = 0, **settings: str) -> None:
    company.ldap.server.asked.clear()
    company.settings.update(settings)
    begun = time.perf_counter()
    told = company.sync(days=days)
    seconds = time.perf_counter() - begun
    assert told.code == 0, told.err
    rounds = len([asked for asked in company.ldap.server.asked if DIRSYNC in asked.controls])
    print(f"{name}: {seconds:.1f} s, {rounds} DirSync rounds, {told.requests}, {told.totals}", flush=True)


def _coverage(company: Company, *options: str) -> None:
    begun = time.perf_counter()
    told = company.runner.type("coverage", "--env-file", str(company.runner.env_file()), *options)
    print(
        f"coverage {' '.join(options)}: {time.perf_counter() - begun:.1f} s, {len(told.out):,} characters", flush=True
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
