"""Stories of `export`: all that is held about one person, compared with what `forget` then deletes."""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.ledger.retention import ACCOUNT_TABLES, PERSON_TABLES
from connector.ledger.store import LEDGER_NAME
from tests.company import Colleague, Company, face
from tests.runner import CommandResult

# The places of readings are dropped, so that the next run reads everybody; they name nobody. A fingerprint stands in
# each row that refers to it.
NOT_THE_PERSONS = ("cookies", "meta", "fingerprints")


def export(company: Company, person: str, path: Path) -> CommandResult:
    """Type `export`."""
    command = ("export", "--env-file", str(company.runner.env_file()), person, "--output", str(path))
    return company.runner.type(*command)


def ledger(company: Company) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table."""
    db = sqlite3.connect(company.runner.state / LEDGER_NAME)
    db.row_factory = sqlite3.Row
    try:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [dict(row) for row in db.execute(f"SELECT * FROM {name}")]
            for name in names
            if not name.startswith("sqlite_") and name not in NOT_THE_PERSONS
        }
    finally:
        db.close()


def texts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without their pictures' fingerprints."""
    return [{name: value for name, value in row.items() if not name.endswith("_print")} for row in rows]


def files(company: Company, folder: str) -> dict[str, bytes]:
    """Return the files of a part of the state folder, by name."""
    return {path.name: path.read_bytes() for path in (company.runner.state / folder).rglob("*") if path.is_file()}


@pytest.fixture
def zoe(company: Company) -> Colleague:
    """Have somebody whom every corner of the state folder knows, and two colleagues."""
    company.settings.update(SYNC_CONFLICT="report", REPORT_PICTURES="changes", SYNC_VERIFY_PERCENT="100")
    zoe, bob = company.hire("zoe"), company.hire("bob")
    company.hire("bare", photo=None)
    company.cloud.tenant.update_account(zoe.account_id, department="Sales")
    for one in (zoe, bob):
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    company.sync("--verbose")
    company.sync("--only", "zoe", "--overwrite", "--verbose", days=1)
    company.paint(zoe, face("newer zoe"))
    company.sync("--verbose", days=1)
    company.sync("--only", "zoe@contoso.test and others", days=1)
    company.sync("--dry-run", "--full", "--verbose")
    return zoe


def test_it_is_complete_against_what_forget_deletes(company: Company, zoe: Colleague, tmp_path: Path) -> None:
    told = export(company, "zoe", tmp_path / "zoe.zip")
    assert told.code == 0, told.err
    rows, parts = ledger(company), {name: files(company, name) for name in ("backups", "reports", "logs")}
    assert company.runner.type("forget", "--env-file", str(company.runner.env_file()), "zoe").code == 0
    after, parts_after = ledger(company), {name: files(company, name) for name in ("backups", "reports", "logs")}

    with zipfile.ZipFile(tmp_path / "zoe.zip") as archive:
        tables = json.loads(archive.read("database.json"))
        mentions = json.loads(archive.read("mentions.json"))
        members = {name: archive.read(name) for name in archive.namelist()}

    deleted = 0
    for table, before in rows.items():
        exported, changed = texts(tables.get(table, [])), 0
        for row in texts([row for row in before if row not in after[table]]):
            if row in exported:
                deleted += 1
            else:  # the row is somebody else's, or a run's, and named the person in a text
                changed += 1
                assert any(str(row.get(one["column"])) == one["text"] for one in mentions), (table, row)
        assert changed <= len(mentions)
    assert deleted > 10
    gone = {f"backups/{name}" for name in parts["backups"] if name not in parts_after["backups"]}
    assert gone
    assert gone <= set(members)
    for name, page in parts["reports"].items():
        if parts_after["reports"].get(name) != page:
            assert members[f"reports/{name}"] == page
    for name, log in parts["logs"].items():
        left = parts_after["logs"][name].splitlines()
        assert members[f"logs/{name}"].splitlines() == [line for line in log.splitlines() if line not in left]


def test_every_table_that_names_people_is_in_the_lists(company: Company, zoe: Colleague, tmp_path: Path) -> None:
    export(company, "zoe", tmp_path / "zoe.zip")

    with zipfile.ZipFile(tmp_path / "zoe.zip") as archive:
        tables = json.loads(archive.read("database.json"))

    named = {
        name
        for name, found in ledger(company).items()
        if any(zoe.entry.id in row.values() or zoe.account_id in row.values() for row in found)
    }
    assert named == {name for name, found in tables.items() if name not in ("pictures", "placeholders")}
    assert {"people", "accounts", "account_details", "photos", "writes", "source_since"} <= named


def test_nobody_else_is_in_the_tables_and_the_pictures_open(company: Company, zoe: Colleague, tmp_path: Path) -> None:
    told = export(company, "zoe", tmp_path / "zoe.zip")

    assert told.out.startswith("Written to ")
    assert os.name == "nt" or (tmp_path / "zoe.zip").stat().st_mode & 0o077 == 0, "Windows has ACLs instead"
    with zipfile.ZipFile(tmp_path / "zoe.zip") as archive:
        assert archive.testzip() is None
        assert b"bob" not in archive.read("database.json")
        pictures = [archive.read(name) for name in archive.namelist() if name.startswith("backups/")]
        assert "database.json" in archive.read("README.txt").decode()
    assert pictures
    assert all(picture.startswith(b"\xff\xd8") for picture in pictures)


def test_nothing_is_changed_by_it_and_nobody_is_asked(company: Company, zoe: Colleague, tmp_path: Path) -> None:
    before = ledger(company)
    company.cloud.log.clear()

    export(company, "zoe@contoso.test", tmp_path / "zoe.zip")

    assert ledger(company) == before
    assert list(company.cloud.requests) == []


@pytest.mark.parametrize(("person", "name"), [("nobody", "x.zip"), ("ada", "x.txt")], ids=["nobody", "no-zip"])
def test_what_cannot_be_meant_is_refused(company: Company, person: str, name: str, tmp_path: Path) -> None:
    company.hire("ada")
    company.sync()

    assert export(company, person, tmp_path / name).code == 2
    assert not (tmp_path / name).exists()


def test_what_an_opt_out_left_is_exported_and_no_table_that_names_people_is_missing_from_the_lists(
    company: Company, tmp_path: Path
) -> None:
    ada = company.hire("ada")
    company.sync()
    (tmp_path / "out.txt").write_text(f"{ada.upn}\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(tmp_path / "out.txt")
    assert company.sync(days=1).of(ada.upn) == ("remove", "opted-out")

    assert export(company, "ada", tmp_path / "ada.zip").code == 0

    with zipfile.ZipFile(tmp_path / "ada.zip") as archive:
        tables = json.loads(archive.read("database.json"))
        assert [name for name in archive.namelist() if name.startswith("backups/")]
    assert [(row["setting"], row["person_id"]) for row in tables["memberships"]] == [("OPT_OUT_FILE", ada.entry.id)]
    assert [row["person_id"] for row in tables["expelled_backups"]] == [ada.entry.id]
    listed = {"people", *PERSON_TABLES, *(name for name, _ in ACCOUNT_TABLES)}
    with closing(sqlite3.connect(company.runner.state / LEDGER_NAME)) as db:
        schema = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        naming = {
            table
            for table in schema
            if {"person_id", "account_id"} & {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        }
    assert naming - listed == set()
