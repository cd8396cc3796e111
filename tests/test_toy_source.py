"""A new source joins a copy of the program by edits in four files, and a night runs through it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.config import SourceKind
from connector.sources.open import SOURCES
from tests.company import Company, face
from tests.lab.graph import Emulator
from tests.runner import CommandResult

PACKAGE = Path(__file__).parent.parent / "connector"
TOY = '''"""Read pictures from a JSON file: one entry for each UPN, the path of the picture or null."""

import hashlib
import json
from pathlib import Path

from connector.errors import Unreachable
from connector.model import MatchRule, Person, SourcePhoto
from connector.sources import Mode, Page, PersonRead, Reading, SourceTraits


def traits(settings):
    return SourceTraits(("badge",), (MatchRule.UPN,), matches_any_account=True, absence_is_known=True)


def local_problems(settings):
    return [] if Path(settings.toy_file).exists() else ["TOY_FILE: is not there; write it."]


class ToySource:
    def __init__(self, settings, traffic):
        self.path = Path(settings.toy_file)

    def contexts(self):
        return ("badges",)

    def shape(self):
        return str(self.path)

    def read(self, context, cookie, *, in_full=False):
        return Reading(Mode.FULL, iter([Page(self._people(), complete=True)]), absent_is_cleared=True)

    def roster(self, context):
        return None

    def fetch(self, person_ids):
        return iter([one for one in self._people() if one.person.id in person_ids])

    def present(self, context, person_ids):
        known = {one.person.id for one in self._people()}
        return iter([one for one in person_ids if one in known])

    def emptied(self, context, person_ids, attribute):
        return iter(())

    def find(self, name):
        return [one for one in self._people() if one.person.upn == name]

    def close(self):
        pass

    def _people(self):
        try:
            badges = json.loads(self.path.read_text())
        except OSError as error:
            raise Unreachable("badges", f"{self.path} cannot be read.", "Correct TOY_FILE.") from error
        return [self._person(upn, picture) for upn, picture in badges.items()]

    def _person(self, upn, picture):
        photos = (SourcePhoto("badge", Path(picture).read_bytes()),) if picture else ()
        cleared = frozenset() if picture else frozenset({"badge"})
        return PersonRead(Person(id=f"toy:{upn}", name=upn, upn=upn), photos, cleared)
'''
# The fourth file is the source itself, connector/sources/toy.py.
EDITS = {
    "config/values.py": [('    FOLDER = "folder"\n', '    FOLDER = "folder"\n    TOY = "toy"\n')],
    "config/settings.py": [("    folder_path:", '    toy_file: str = ""\n    folder_path:')],
    "sources/open.py": [
        ("SourceTraits, folder, ldap\n", "SourceTraits, folder, ldap, toy\n"),
        (
            "    SourceKind.LDAP: Reg",
            (
                "    SourceKind.TOY: Registration(toy.traits, toy.ToySource, toy.local_problems),\n"
                "    SourceKind.LDAP: Reg"
            ),
        ),
    ],
}


class ToyCompany:
    """Run commands of a copy of the program that has the toy."""

    def __init__(self, company: Company, folder: Path) -> None:
        self.company = company
        self.home = folder / "program"
        self.badges = folder / "badges.json"
        self.pictures: dict[str, str | None] = {}
        without = shutil.ignore_patterns("__pycache__")
        # copyfile: Python 3.13's copy2 calls CopyFile2, which Wine 8 does not have
        shutil.copytree(PACKAGE, self.home / "connector", ignore=without, copy_function=shutil.copyfile)
        (self.home / "connector" / "sources" / "toy.py").write_text(TOY, encoding="utf-8")
        for name, edits in EDITS.items():
            path = self.home / "connector" / name
            text = path.read_text(encoding="utf-8")
            for old, new in edits:
                assert text.count(old) == 1, (name, old)
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        company.settings.update({"SOURCE": "toy", "TOY_FILE": str(self.badges)})
        company.settings.update({"SYNC_REMOVED": "remove", "SYNC_MAX_REMOVALS": "5"})

    def set_picture(self, name: str, content_bytes: bytes | None) -> str:
        """Give somebody a badge with this picture, or without one; return the UPN."""
        upn, path = f"{name}@contoso.test", self.badges.with_name(f"{name}.jpg")
        path.write_bytes(content_bytes or b"")
        self.pictures[upn] = str(path) if content_bytes else None
        self.badges.write_text(json.dumps(self.pictures), encoding="utf-8")
        return upn

    def type(self, command: str, *options: str) -> CommandResult:
        """Type a command; `sync` writes a report."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        told = ("--report", str(report)) if command == "sync" else ()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "connector", command),
                *("--env-file", str(self.company.runner.env_file()), *told, *options),
            ],
            cwd=self.home,
            env={**os.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return CommandResult(
            done.returncode, done.stdout, done.stderr, json.loads(report.read_text("utf-8")) if report.exists() else {}
        )


@pytest.fixture
def toy(cloud: Emulator, tmp_path: Path) -> Iterator[ToyCompany]:
    """Open a company whose program has a third source."""
    company = Company(cloud, tmp_path)
    yield ToyCompany(company, tmp_path)
    company.close()


def test_nights_run_through_a_third_source(toy: ToyCompany) -> None:
    tenant = toy.company.cloud.tenant
    ada, bob = (toy.set_picture(name, face(name)) for name in ("ada", "bob"))
    accounts = {upn: tenant.add_account(upn) for upn in (ada, bob)}

    told = toy.type("sync")

    assert (told.code, told.of(ada), told.of(bob)) == (0, ("create", "first-upload"), ("create", "first-upload")), (
        told.err
    )
    assert all(tenant.photo(account) for account in accounts.values()), "the toy's match rule takes any account"

    toy.set_picture("ada", face("later"))
    toy.set_picture("bob", None)
    told = toy.type("sync")

    assert (told.code, told.of(ada)) == (0, ("replace", "source-changed")), told.err
    assert told.of(bob) == ("remove", "source-removed"), "absence is known in the toy"
    assert tenant.photo(accounts[bob]) is None


def test_one_person_is_found_in_the_toy_by_name(toy: ToyCompany) -> None:
    ada = toy.set_picture("ada", face("ada"))
    toy.company.cloud.tenant.add_account(ada)
    assert toy.type("sync", "--only", ada).of(ada) == ("create", "first-upload")


def test_check_names_what_the_toy_lacks_and_skips_what_concerns_a_directory(toy: ToyCompany) -> None:
    told = toy.type("check")
    assert "TOY_FILE: is not there" in told.out
    toy.set_picture("ada", face("ada"))
    assert "SOURCE=toy: no directory is read" in toy.type("check").out


def test_every_source_of_the_settings_is_registered() -> None:
    assert set(SOURCES) == set(SourceKind)


def test_no_module_outside_the_sources_and_the_settings_asks_which_source_it_is() -> None:
    asked = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("sources", "config") and "SourceKind" in path.read_text("utf-8")
    ]
    assert asked == []
