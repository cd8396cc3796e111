"""Settings written the Windows way that would go wrong without a word: each is a problem with its cure."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connector.config import Settings, load_settings
from connector.config.env_file import read_lines
from connector.config.settings import PATHS
from connector.errors import SettingsError
from tests.company import Company
from tests.test_config import GOOD

ON_WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="such a name is a file like any other here")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def beside(content: str | bytes) -> dict[str, str]:
    """Return an environment with all that is needed, but for what the file tells."""
    told = content if isinstance(content, str) else ""
    return {name: value for name, value in GOOD.items() if name not in told}


def problems(content: str | bytes, name: str = ".env") -> list[str]:
    content_bytes = content if isinstance(content, bytes) else content.encode()
    Path(name).write_bytes(content_bytes)
    with pytest.raises(SettingsError) as caught:
        load_settings(None if name.startswith(".env") else Path(name), beside(content))
    return caught.value.problems


def written(content: str) -> Path:
    Path(".env").write_bytes(content.encode())
    return Path(".env")


def loaded(content: str) -> Settings:
    written(content)
    return load_settings(None, beside(content)).settings


@pytest.mark.parametrize(
    ("line", "name", "words"),
    [
        ('STATE_DIR="C:\\new\\tenant"', "STATE_DIR", "a backslash and the next letter became a control character"),
        ('LDAP_USER="CONTOSO\\reader"', "LDAP_USER", "in single quotes"),
        ('LDAP_PASSWORD="S3cret\\top"', "LDAP_PASSWORD", "in single quotes"),
        ('FOLDER_PATH="\\\\filer\\photos"', "FOLDER_PATH", "in double quotes two backslashes become one"),
        ("STATE_DIR=%ProgramData%\\photo-connector", "STATE_DIR", "contains %ProgramData%"),
        ("STATE_DIR=%ProgramFiles(x86)%\\photos", "STATE_DIR", "contains %ProgramFiles(x86)%"),
        ("METRICS_FILE=$env:ProgramData\\photo.prom", "METRICS_FILE", "contains $env:ProgramData"),
        ("STATE_DIR=$HOME/state", "STATE_DIR", "contains $HOME"),
        ("LDAP_PASSWORD_FILE=%ProgramData%\\password", "LDAP_PASSWORD_FILE", "contains %ProgramData%"),
        pytest.param(
            *("STATE_DIR=~nobody-at-all/state", "STATE_DIR", "no such home directory"),
            marks=pytest.mark.skipif(sys.platform == "win32", reason="~name is a folder beside one's own there"),
        ),
        *(
            pytest.param(f"{name}={path}", name, f"contains {device}, which is a device on Windows", marks=ON_WINDOWS)
            for name, path, device in [
                ("METRICS_FILE", "C:\\metrics\\NUL", "NUL"),
                ("STATE_DIR", "C:\\aux\\state", "aux"),
                ("OPT_OUT_FILE", "con.txt", "con.txt"),
                ("LDAP_PASSWORD_FILE", "COM1", "COM1"),
            ]
        ),
        ("LDAP_PASSWORD_FILE=~nobody-at-all/x", "LDAP_PASSWORD_FILE", "cannot be read"),
        ("STATE_DIR=state", "STATE_DIR", "depends on the current directory of a run"),
        ("STATE_DIR=./state", "STATE_DIR", "write the absolute path"),
        ("STATE_DIR='C:\\state\\'", "line 1", "leave the backslash out"),
        ('STATE_DIR="C:\\state\\"', "line 1", "leave the backslash out"),
        ("STATE_DIR='C:\\state\\'\nLDAP_PASSWORD='S3cret'", "line 1", "leave the backslash out"),
        ("STATE_DIR='C:\\state\\'\nLDAP_PASSWORD='#S3cret'", "line 1", "leave the backslash out"),
        ("$env:PHOTO_SIZE = '240'", "line 1", "is a command of a shell; write NAME=value"),
        ("set PHOTO_SIZE=240", "line 1", "is a command of a shell; write NAME=value"),
    ],
)
def test_a_line_that_does_not_mean_what_it_says_is_named_with_its_cure(line: str, name: str, words: str) -> None:
    found = [problem for problem in problems(f"{line}\n") if name in problem]

    assert any(words in problem for problem in found), found
    assert all("S3cret" not in problem for problem in found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("PHOTO_SIZE=240".encode("utf-16"), "it is UTF-16"),
        ("PHOTO_SIZE=240".encode("utf-16-le"), "it is UTF-16"),
        ("LDAP_USER=zoë".encode("cp1252"), "ANSI"),
    ],
)
def test_a_file_in_another_encoding_is_named_with_its_cure(content: bytes, words: str) -> None:
    (problem,) = [one for one in problems(content) if one.startswith("--env-file")]

    assert words in problem
    assert "save it as UTF-8" in problem


def test_a_file_to_whose_name_notepad_added_txt_is_named() -> None:
    assert any("rename it to .env" in problem for problem in problems("PHOTO_SIZE=240", ".env.txt"))


def test_a_named_file_to_whose_name_notepad_added_txt_is_named(tmp_path: Path) -> None:
    (tmp_path / "contoso.env.txt").write_text("PHOTO_SIZE=240", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"contoso\.env\.txt exists, rename it"):
        load_settings(tmp_path / "contoso.env", GOOD)


def test_what_stands_in_single_quotes_or_bare_is_taken_as_it_stands() -> None:
    assert loaded("LDAP_USER='CONTOSO\\reader'").ldap_user == "CONTOSO\\reader"
    assert loaded("LDAP_USER=CONTOSO\\reader").ldap_user == "CONTOSO\\reader"
    assert loaded('LDAP_USER="CN=a\\\\, b,DC=x"').ldap_user == "CN=a\\, b,DC=x"
    for place in ("\\\\filer\\photos", "\\\\?\\C:\\photos"):
        assert read_lines(written(f"FOLDER_PATH='{place}'"), []) == {"FOLDER_PATH": place}
        assert read_lines(written(f"FOLDER_PATH={place}"), []) == {"FOLDER_PATH": place}
    secret = load_settings(None, {**GOOD, "LDAP_PASSWORD": "100%sure% $HOME"}).settings.ldap_password
    assert secret is not None
    assert secret.get_secret_value() == "100%sure% $HOME"


def test_every_setting_that_is_a_path_is_looked_at() -> None:
    assert {"STATE_DIR", "METRICS_FILE", "LDAP_CA_FILE", "FOLDER_PATH", "GUEST_PHOTO"} <= set(PATHS)
    assert "LDAP_USER" not in PATHS


def test_an_administrator_sees_them_all_at_once_and_nobody_is_contacted(company: Company) -> None:
    path = company.runner.env_file()
    path.write_text(
        path.read_text("utf-8") + "METRICS_FILE=%ProgramData%\\a.prom\n$env:PHOTO_SIZE = '1'\n", encoding="utf-8"
    )

    told = company.runner.type("sync", "--env-file", str(path))

    assert told.code == 2
    assert "METRICS_FILE: contains %ProgramData%" in told.err
    assert "is a command of a shell" in told.err
    assert list(company.cloud.requests) == []
