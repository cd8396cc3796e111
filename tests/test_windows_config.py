"""`photo-connector config` under CPython for Windows (Wine)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connector.config.first_settings import FIRST
from tests.lab import windows
from tests.runner import CommandResult

pytestmark = pytest.mark.windows
RESOURCES = Path(__file__).parent.parent / "connector" / "resources"


@pytest.fixture
def typed(windows_python: windows.Process, tmp_path: Path) -> Callable[..., CommandResult]:
    """Return a function that types a command in a folder of its own."""
    return windows.WindowsRunner(windows_python, tmp_path, {}).type


def test_first_settings_are_written_beside_their_files_and_found_there(
    typed: Callable[..., CommandResult], tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    for setting in FIRST:
        if setting.name in ("LDAP_CA_FILE", "LDAP_PASSWORD_FILE", "AZURE_CLIENT_CERTIFICATE_PATH"):
            (tmp_path / "etc" / setting.example).write_text("x", encoding="utf-8")
    asked = [setting for setting in FIRST if setting.name != "AZURE_CLIENT_SECRET_FILE"]  # there is a certificate
    options = [word for setting in asked for word in (setting.option, setting.example)]

    written = typed("config", "init", "-c", r"etc\contoso.env", *options)
    again = typed("config", "init", "-c", r"etc\contoso.env", *options)
    shown = typed("config", "show", "-c", r"etc\contoso.env")

    assert written.code == 0, written.err
    assert "Still missing" not in written.out
    assert "icacls" in written.out
    assert again.code == 2
    assert shown.code == 0, shown.err
    place = windows_lines(shown.out)["LDAP_CA_FILE"]
    assert place.endswith(r"etc\contoso-ca.pem")
    assert (tmp_path / "etc" / "contoso.env").read_bytes().count(b"\r") == 0


def windows_lines(text: str) -> dict[str, str]:
    return {line.partition("=")[0]: line.partition("=")[2].partition("  # ")[0] for line in text.splitlines()}


def test_a_script_is_written_byte_for_byte(typed: Callable[..., CommandResult], tmp_path: Path) -> None:
    done = typed("config", "task", "--output", "register-task.ps1")

    assert done.code == 0, done.err
    assert (tmp_path / "register-task.ps1").read_bytes() == (RESOURCES / "register-task.ps1").read_bytes()
