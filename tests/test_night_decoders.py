"""A decoder that is missing refuses nobody for good, and is one error of the run, not one of each person."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.company import Company
from tests.lab.portraits import portrait
from tests.runner import CommandResult, Runner


def heic(name: str) -> bytes:
    """Return a portrait as an iPhone keeps it."""
    buffer = io.BytesIO()
    portrait(name, (300, 300)).save(buffer, "HEIF", quality=90)
    return buffer.getvalue()


@pytest.fixture
def lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of start-up code for processes of their own; what it hides is not installed there."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return folder


def sync_without(runner: Runner, library: str, lacking: Path) -> CommandResult:
    """Run a night in a process that does not have a library."""
    (lacking / "sitecustomize.py").write_text(f"import sys\nsys.modules[{library!r}] = None\n", encoding="utf-8")
    process, report = runner.start()
    out, err = process.communicate(timeout=120)
    return CommandResult(process.returncode, out, err, runner.read(report))


def test_a_heic_in_the_directory_is_sent_once_the_extra_is_installed(company: Company, lacking: Path) -> None:
    ada, bob = company.hire("ada", photo=heic("ada")), company.hire("bob")

    told = sync_without(company.runner, "pillow_heif", lacking)
    assert (told.of(ada.upn), told.of(bob.upn)) == (("skip", "not-an-image"), ("create", "first-upload")), told.err

    told = company.sync(days=1)
    assert (told.code, told.of(ada.upn)) == (0, ("create", "first-upload")), told.err
    assert company.sync(days=1).report["mode"] == "changes", "from then on only changes are read"


def test_a_heic_in_a_folder_is_sent_once_the_extra_is_installed(
    company: Company, lacking: Path, tmp_path: Path
) -> None:
    ada = company.hire("ada")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "ada@contoso.test.jpg").write_bytes(heic("ada"))
    company.settings.update({"SOURCE": "folder", "FOLDER_PATH": str(pictures), "FOLDER_KEY": "upn"})

    told = sync_without(company.runner, "pillow_heif", lacking)
    assert told.of("ada@contoso.test") == ("skip", "not-an-image"), told.err

    assert company.sync(days=1).of(ada.upn) == ("create", "first-upload")


def test_a_decoder_that_cannot_be_loaded_ends_the_run_with_one_error(company: Company, lacking: Path) -> None:
    team = company.team(3)

    told = sync_without(company.runner, "simplejpeg", lacking)

    assert told.code not in (0, 3)
    assert told.err.count("cannot be loaded") == 1, told.err
    assert "pip install" in told.err
    assert "Traceback" not in told.err
    assert company.cloud.tenant.writes() == []
    assert company.sync().totals["created"] == len(team), "nobody was refused for it"
