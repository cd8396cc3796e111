"""The quick start of the README works as it is written: its blocks are pasted into a shell, against the lab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.check_env import CheckEnv
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.printed_commands import hold_page, hold_printed

ROOT = Path(__file__).parent.parent
SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
# The lab is not Microsoft's cloud: where it is stands in the real environment, so that the README's own lines suffice.
CLOUD = ("GRAPH_URL", "AZURE_AUTHORITY_HOST", "HTTP_CA_FILE")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the blocks for Windows are not for this shell")


def blocks(page: str, heading: str) -> list[tuple[str, str]]:
    """Return the blocks of a section in their order: language and text, without the indent of a list."""
    section = (ROOT / page).read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    section = re.split(r"^#{2,3} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", section, re.MULTILINE | re.DOTALL)
    return [(language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)) for indent, language, text in found]


class FreshShell:
    """Sit at a shell in a fresh copy of the sources, in an account that has done nothing yet."""

    def __init__(self, check_env: CheckEnv, home: Path) -> None:
        self.check_env, self.folder = check_env, home / "sources"
        self.folder.mkdir(parents=True)
        for name in SOURCES:
            shutil.copy(ROOT / name, self.folder)
        shutil.copytree(ROOT / "connector", self.folder / "connector", ignore=shutil.ignore_patterns("__pycache__"))
        self.environ = {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            # What is installed here already serves as the registry; the program itself is installed as written.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{name: check_env.settings[name] for name in CLOUD},
        }

    def paste(self, text: str, before: str = "") -> subprocess.CompletedProcess[str]:
        """Paste a block into a shell; `before` is what the same shell was told earlier."""
        done = subprocess.run(
            ["bash", "-e", "-c", before + text],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        hold_printed(done.stdout + done.stderr)
        return done

    def get_ready(self, group: str) -> dict[str, str]:
        """Put the files that the settings name into the folder; return the settings of this company, by name."""
        (made,) = [text for language, text in blocks("docs/permissions.md", "A certificate") if language == "sh"]
        assert self.paste(made).returncode == 0
        self.check_env.cloud.issuer.register_certificate((self.folder / "public.pem").read_text())
        settings = self.check_env.settings
        shutil.copy(settings["LDAP_CA_FILE"], self.folder / "contoso-ca.pem")
        (self.folder / "ldap-password.txt").write_text(settings["LDAP_PASSWORD"] + "\n")
        (self.folder / "ldap-password.txt").chmod(0o600)
        names = ("LDAP_URI", "LDAP_USER", "AZURE_TENANT_ID", "AZURE_CLIENT_ID")
        return {name: settings[name] for name in names} | {"LDAP_GROUP": group}


def filled_in(lines: str, values: dict[str, str]) -> str:
    """Replace the example values that are of another company; every name in `values` must be there."""
    for name, value in values.items():
        line = f"{name}={value}".replace("\\", r"\\")
        lines, count = re.subn(rf"^{name}=.*$", line, lines, flags=re.MULTILINE)
        assert count == 1, f"the README does not set {name}"
    return lines


@pytest.fixture
def fresh_shell(directory: Directory, ou: str, cloud: Emulator, tmp_path: Path) -> Iterator[FreshShell]:
    """Return a fresh shell, and three people of whom one has a cloud photo."""
    with ExitStack() as stack:
        yield FreshShell(CheckEnv(directory, ou, cloud, folder=tmp_path, stack=stack), tmp_path / "home")


@pytest.mark.slow
def test_the_first_evening_goes_as_it_is_written(fresh_shell: FreshShell, cloud: Emulator) -> None:
    check_env = fresh_shell.check_env
    group = check_env.directory.add_group(check_env.ou, "Photo pilot", check_env.dns[:2])
    steps = [block for block in blocks("README.md", "Quick start") if block[0] != "powershell"]
    assert [language for language, _ in steps] == ["sh", "ini", "sh", "sh", "sh"]
    (_, install), (_, lines), (_, check), (_, look), (_, run) = steps

    installed = fresh_shell.paste(install)
    assert installed.returncode == 0, installed.stderr
    again = ". photo-connector/bin/activate\n"
    env_file = fresh_shell.folder / ".env"
    env_file.touch(mode=0o600)
    env_file.write_text(filled_in(lines, fresh_shell.get_ready(group.dn)))

    checked = fresh_shell.paste(check, again)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 people in scope" in checked.stdout

    planned = fresh_shell.paste(look, again)
    assert planned.returncode == 0, planned.stderr
    assert hold_page((fresh_shell.folder / "plan.html").read_text("utf-8")) > 0
    assert cloud.tenant.writes() == []

    done = fresh_shell.paste(run, again)
    assert done.returncode == 0, done.stderr
    assert (fresh_shell.folder / "run.html").exists()
    assert len({write.account_id for write in cloud.tenant.writes()}) == 2, "the pilot group, and nobody else"
    assert cloud.violations() == []


def test_a_bare_debian_has_only_python3_and_the_pages_say_so() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        assert re.findall(r"^ *python -m", page.read_text(encoding="utf-8"), re.MULTILINE) == [], page.name
