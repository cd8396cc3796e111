"""A third target: a toy that stores photos in a folder joins a copy of the program by four small edits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.config.values import TARGETS
from connector.photo import read_print
from connector.targets import MODULES
from tests.company import Company, face
from tests.lab.graph import Emulator
from tests.runner import CommandResult

PACKAGE = Path(__file__).parent.parent / "connector"
TOY = '''"""Write each photo as a file, with the picture's bytes reversed in backups."""

import hashlib
from pathlib import Path

from connector.errors import PersonError
from connector.model import CloudObservation, CloudPhoto, Reason
from connector.targets import Features


def open_target(context):
    return ToyTarget(Path(context.settings.toy_folder))


class ToyTarget:
    name = "toy"
    batch_size = 3
    features = Features(accepted_text="The toy took it.", width=24, takes_guests=False, rotates_all=False)

    def __init__(self, folder):
        self.folder = folder

    def tags(self, accounts):
        return {account.id: self._tag(account) for account in accounts}

    def photos(self, accounts):
        return {account.id: self._photo(account) for account in accounts}

    def photo_in_backup(self, kept_bytes):
        return kept_bytes[::-1]

    def put(self, account, content_bytes):
        if account.upn.startswith("bad"):
            raise PersonError(Reason.ACCESS_DENIED, "The toy does not take it.")
        (self.folder / account.id).write_bytes(content_bytes)

    def put_back(self, account, kept_bytes):
        self.put(account, self.photo_in_backup(kept_bytes))

    def remove(self, account):
        (self.folder / account.id).unlink(missing_ok=True)

    def _photo(self, account):
        path = self.folder / account.id
        return CloudPhoto(path.read_bytes(), kept_bytes=path.read_bytes()[::-1]) if path.exists() else None

    def _tag(self, account):
        photo = self._photo(account)
        return CloudObservation(hashlib.sha256(photo.content_bytes).hexdigest(), 24, 24) if photo else None
'''
EDITS = {
    "targets/__init__.py": ('    "graph": "connector', '    "toy": "connector.targets.toy",\n    "graph": "connector'),
    "config/values.py": ('TARGETS = ("graph", ', 'TARGETS = ("toy", "graph", '),
    "config/settings.py": ("    sharepoint_my_site_url:", '    toy_folder: str = "."\n    sharepoint_my_site_url:'),
}


class ToyCompany:
    """Run commands of a copy of the program that has the toy."""

    def __init__(self, company: Company, folder: Path) -> None:
        self.company = company
        self.home = folder / "program"
        self.folder = folder / "toy"
        self.folder.mkdir()
        without = shutil.ignore_patterns("__pycache__")
        # copyfile: Python 3.13's copy2 calls CopyFile2, which Wine 8 does not have
        shutil.copytree(PACKAGE, self.home / "connector", ignore=without, copy_function=shutil.copyfile)
        (self.home / "connector" / "targets" / "toy.py").write_text(TOY, encoding="utf-8")
        for name, (old, new) in EDITS.items():
            path = self.home / "connector" / name
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, name
            path.write_text(text.replace(old, new), encoding="utf-8")
        company.settings.update({"TARGETS": "toy", "TOY_FOLDER": str(self.folder), "SYNC_VERIFY_PERCENT": "100"})

    def type(self, *arguments: str) -> CommandResult:
        """Type a command that writes a report."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        env_file = ("--env-file", str(self.company.runner.env_file()), "--report", str(report))
        done = subprocess.run(
            [sys.executable, "-m", "connector", *arguments, *env_file],
            cwd=self.home,
            env={**os.environ, "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return CommandResult(
            done.returncode, done.stdout, done.stderr, json.loads(report.read_text("utf-8")) if report.exists() else {}
        )

    def shows(self, account_id: str, name: str) -> bool:
        """Return True if the toy shows the face of this name."""
        path = self.folder / account_id
        return path.exists() and read_print(path.read_bytes()).shows_same(read_print(face(name)))


@pytest.fixture
def toy(cloud: Emulator, tmp_path: Path) -> Iterator[ToyCompany]:
    """Open a company whose program has a third target."""
    company = Company(cloud, tmp_path)
    yield ToyCompany(company, tmp_path)
    company.close()


def test_a_night_runs_through_a_third_target(toy: ToyCompany) -> None:
    ada, bob, bad = (toy.company.hire(name) for name in ("ada", "bob", "bad"))
    told = toy.type("sync")
    assert (told.code, told.of(ada.upn), told.of(bad.upn)) == (
        3,
        ("create", "first-upload"),
        ("fail", "access-denied"),
    ), told.err
    assert [one["target"] for one in told.report["outcomes"]] == ["toy"] * 3
    details = {one["upn"]: one["detail"] for one in told.report["outcomes"]}
    assert details[bob.upn] == "The toy took it."
    assert toy.shows(ada.account_id, "ada")
    assert toy.shows(bob.account_id, "bob")
    assert not toy.company.cloud.tenant.writes()

    told = toy.type("sync")
    assert (told.totals["created"], told.of(ada.upn)) == (0, None), told.err


def test_a_changed_photo_is_replaced_and_taken_back_from_the_toys_own_backup(toy: ToyCompany) -> None:
    ada = toy.company.hire("ada")
    assert toy.type("sync").code == 0
    toy.company.paint(ada, face("later"))
    assert toy.type("sync").of(ada.upn) == ("replace", "source-changed")
    assert toy.shows(ada.account_id, "later")
    told = toy.type("restore", "--run", "2")
    assert (told.code, toy.shows(ada.account_id, "ada")) == (0, True), told.err


def test_a_dry_run_writes_nothing_to_the_toy(toy: ToyCompany) -> None:
    ada = toy.company.hire("ada")
    told = toy.type("sync", "--dry-run")
    assert (told.code, told.of(ada.upn)) == (0, ("create", "first-upload")), told.err
    assert list(toy.folder.iterdir()) == []


def test_every_target_of_the_settings_can_be_opened() -> None:
    assert sorted(MODULES) == sorted(TARGETS)


def test_no_module_outside_the_targets_asks_a_targets_name() -> None:
    asked = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("targets", "config", "doctor")
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(f'{sign} "{name}"' in line for name in MODULES for sign in ("==", "!="))
    ]
    assert asked == []
