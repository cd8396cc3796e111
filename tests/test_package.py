"""The wheel and the source archive: built, checked, complete, and working in an environment that has nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both archives as `scripts/build` does, from a clean copy of what git tracks."""
    folder = tmp_path_factory.mktemp("build")
    clone, out = folder / "clone", folder / "dist"
    _copy_tracked(clone)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(clone)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return out


def _copy_tracked(clone: Path) -> None:
    for name in tracked():
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())


def tracked() -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).is_file()}


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240, cwd=cwd, check=False)


def test_the_metadata_is_accepted_by_the_index(dist: Path) -> None:
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    assert checked.returncode == 0, checked.stdout


def test_the_wheel_holds_what_it_should_and_nothing_else(dist: Path) -> None:
    checked = run(Path(sys.executable).parent / "check-wheel-contents", *dist.glob("*.whl"))
    assert checked.returncode == 0, checked.stdout


def test_the_source_archive_is_complete(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    assert tracked() - held == set()


@pytest.mark.reduce_concurrency
def test_the_wheel_works_in_an_environment_that_has_nothing_else(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert run(sys.executable, "-m", "venv", tmp_path / "venv").returncode == 0
    installed = run(tmp_path / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    assert installed.returncode == 0, installed.stderr
    program = tmp_path / "venv/bin/photo-connector"
    assert run(program, "--version", cwd=tmp_path).returncode == 0
    settings = run(program, "sync", cwd=tmp_path)
    assert (settings.returncode, "AZURE_TENANT_ID" in settings.stderr) == (2, True), settings.stderr
