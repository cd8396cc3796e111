"""Commands that read the database alone need STATE_DIR and nothing else: no token, no CA file, no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nights import Nights
from tests.office import Office

READING = [
    ("report",),
    ("report", "1", "--format", "json"),
    ("history", "ada"),
    ("runs",),
    ("coverage", "--format", "html"),
    ("export", "ada", "--output", "ada.zip"),
    ("forget", "ada", "--dry-run"),
]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_state_folder_is_all_that_is_needed(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    office.hire("ada")
    office.sync()
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path)
    desk = Nights(tmp_path / "desk", {})
    desk.settings.clear()
    desk.settings["STATE_DIR"] = str(office.nights.state)
    office.cloud.log.clear()

    told = desk.type(command[0], "--env-file", str(desk.env_file()), *command[1:])

    assert (told.code, told.err) == (0, "")
    assert told.out
    assert list(office.cloud.requests) == []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_files_and_secrets_that_are_gone_do_not_matter(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    office.hire("ada")
    office.sync()
    monkeypatch.chdir(tmp_path)
    office.settings.pop("LDAP_PASSWORD")
    office.settings["LDAP_PASSWORD_FILE"] = "/nowhere/password"
    office.settings["LDAP_CA_FILE"] = "/nowhere/ca.pem"
    office.settings["SYNC_CONCURRENCY"] = "many"

    told = office.nights.type(command[0], "--env-file", str(office.nights.env_file()), *command[1:])

    assert (told.code, told.err) == (0, "")


def test_a_state_folder_that_cannot_be_meant_is_still_refused(office: Office) -> None:
    office.settings["STATE_DIR"] = "relative/folder"

    told = office.nights.type("runs", "--env-file", str(office.nights.env_file()))

    assert told.code == 2
    assert told.err.startswith("STATE_DIR")
    assert "LDAP" not in told.err


def test_a_run_still_needs_all_its_settings(office: Office) -> None:
    office.settings["LDAP_CA_FILE"] = "/nowhere/ca.pem"

    assert office.sync().code == 2
