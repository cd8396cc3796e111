"""Commands that read the database alone need STATE_DIR and nothing else: no token, no CA file, no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.company import Company
from tests.runner import Runner

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
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    company.hire("ada")
    company.sync()
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path)
    desk = Runner(tmp_path / "desk", {})
    desk.settings.clear()
    desk.settings["STATE_DIR"] = str(company.runner.state)
    company.cloud.log.clear()

    told = desk.type(command[0], "--env-file", str(desk.env_file()), *command[1:])

    assert (told.code, told.err) == (0, "")
    assert told.out
    assert list(company.cloud.requests) == []


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_files_and_secrets_that_are_gone_do_not_matter(
    company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    company.hire("ada")
    company.sync()
    monkeypatch.chdir(tmp_path)
    company.settings.pop("LDAP_PASSWORD")
    company.settings["LDAP_PASSWORD_FILE"] = "/nowhere/password"
    company.settings["LDAP_CA_FILE"] = "/nowhere/ca.pem"
    company.settings["SYNC_CONCURRENCY"] = "many"

    told = company.runner.type(command[0], "--env-file", str(company.runner.env_file()), *command[1:])

    assert (told.code, told.err) == (0, "")


def test_a_state_folder_that_cannot_be_meant_is_still_refused(company: Company) -> None:
    company.settings["STATE_DIR"] = "relative/folder"

    told = company.runner.type("runs", "--env-file", str(company.runner.env_file()))

    assert told.code == 2
    assert told.err.startswith("STATE_DIR")
    assert "LDAP" not in told.err


def test_a_run_still_needs_all_its_settings(company: Company) -> None:
    company.settings["LDAP_CA_FILE"] = "/nowhere/ca.pem"

    assert company.sync().code == 2
