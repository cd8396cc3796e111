"""The wheel and the source archive: built, checked, complete, and working in an environment that has nothing else."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from connector.config.first_settings import FIRST
from tests.check_env import CheckEnv
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.printed_commands import hold_page, hold_printed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the archives are built on Linux, from git's list")
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


def run(
    *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=240, cwd=cwd, env=env, check=False
    )
    hold_printed(done.stdout + done.stderr)
    return done


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


@pytest.fixture(scope="module")
def program(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel as the tutorial says, in a folder that has nothing but the wheel; return the program."""
    folder = tmp_path_factory.mktemp("user")
    (wheel,) = dist.glob("*.whl")
    shutil.copy(wheel, folder)
    installed = run("bash", "-e", "-c", tutorial()[0], cwd=folder)
    assert installed.returncode == 0, installed.stderr
    return folder / "photo-connector/bin/photo-connector"


def tutorial() -> list[str]:
    """Return the blocks of the tutorial that are typed into a shell."""
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_that_has_nothing_else(program: Path, tmp_path: Path) -> None:
    assert run(program, "--version", cwd=tmp_path).returncode == 0
    settings = run(program, "sync", cwd=tmp_path)
    assert (settings.returncode, "AZURE_TENANT_ID" in settings.stderr) == (2, True), settings.stderr
    unit = run(program, "config", "service", cwd=tmp_path)
    assert (unit.returncode, "[Service]" in unit.stdout) == (0, True), unit.stderr


@pytest.mark.slow
def test_a_new_user_reaches_a_dry_run_with_the_wheel_and_the_tutorial_alone(
    program: Path, directory: Directory, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    _, init, check, dry_run = tutorial()
    with ExitStack() as stack:
        check_env = CheckEnv(directory, ou, cloud, folder=tmp_path, stack=stack)
        group = directory.add_group(ou, "Photo pilot", check_env.dns[:2])
        given = check_env.settings
        folder = program.parent.parent.parent
        shutil.copy(given["LDAP_CA_FILE"], folder / "contoso-ca.pem")
        shutil.copy(given["AZURE_CLIENT_CERTIFICATE_PATH"], folder / "photo-connector.pem")
        (folder / "ldap-password.txt").write_text(given["LDAP_PASSWORD"] + "\n", encoding="utf-8")
        for name in ("ldap-password.txt", "photo-connector.pem"):
            (folder / name).chmod(0o600)
        # The lab is not Microsoft's cloud: where it is stands in the environment.
        environ = {name: given[name] for name in ("GRAPH_URL", "AZURE_AUTHORITY_HOST", "HTTP_CA_FILE")}
        environ |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"}

        answers = {one.name: given.get(one.name, one.example) for one in FIRST}
        answers |= {"LDAP_CA_FILE": "contoso-ca.pem", "AZURE_CLIENT_CERTIFICATE_PATH": "photo-connector.pem"}
        answers["LDAP_GROUP"] = group.dn
        asked = [one for one in FIRST if one.name != "AZURE_CLIENT_SECRET_FILE"]  # there is a certificate
        options = [word for one in asked for word in (one.option, answers[one.name])]
        written = run("bash", "-c", f"{init.strip()} {shlex.join(options)}", cwd=folder, env=environ)
        assert written.returncode == 0, written.stderr
        assert "Still missing" not in written.stdout
        assert run("bash", "-c", "photo-connector config validate", cwd=folder, env=environ).returncode == 0

        checked = run("bash", "-c", check, cwd=folder, env=environ)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        planned = run("bash", "-c", dry_run, cwd=folder, env=environ)
        assert planned.returncode == 0, planned.stderr
        assert hold_page((folder / "plan.html").read_text("utf-8")) > 0
        assert cloud.tenant.writes() == []
