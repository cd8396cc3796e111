"""A folder of pictures as the source: its fixtures, and files put into it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.lab.graph import Emulator
from tests.lab.pictures import jpeg
from tests.runner import Runner

LONG_AGO = time.time() - 3600


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Give an empty folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def runner(pictures: Path, cloud: Emulator, tmp_path: Path) -> Runner:
    """Point the product at the folder."""
    settings = {"SOURCE": "folder", "FOLDER_PATH": str(pictures), "FOLDER_KEY": "upn", **cloud.environ()}
    return Runner(tmp_path, settings)


def put(folder: Path, name: str, face: str, *, settled: bool = True) -> Path:
    """File a picture; one that is not settled may still be on its way."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(face, (300, 300)))
    if settled:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def people(cloud: Emulator, *names: str) -> list[str]:
    """Give the tenant cloud-only accounts."""
    return [cloud.tenant.add_account(f"{name}@contoso.test") for name in names]
