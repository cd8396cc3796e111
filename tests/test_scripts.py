"""The unit, the timer and the PowerShell scripts are accepted as they stand; and the pages on running them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from connector.cli.main import commands
from connector.cloud.token_http import ISSUER_CODES
from connector.config import Settings
from connector.sources.ldap_errors import from_bind
from tests.lab.directory import Directory

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "connector" / "resources"
POWERSHELL = sorted(SCRIPTS.glob("*.ps1"))
UNITS = ("photo-connector@.service", "photo-connector@.timer")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = [ROOT / "docs" / name for name in ("operations.md", "photo-flows.md")]
# In tenths; systemd calls up to 20 "OK".
MOST_EXPOSURE = 20

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not installed (apt-get install systemd)",
)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, Path]:
    """Give the units as an instance named contoso, with a program that is really there."""
    units = {}
    for name in UNITS:
        text = (SCRIPTS / name).read_text(encoding="utf-8")
        text = text.replace("/opt/photo-connector/bin/photo-connector", sys.executable)
        (tmp_path / name).write_text(text, encoding="utf-8")
        units[name] = tmp_path / name.replace("@.", "@contoso.")
        units[name].write_text(text, encoding="utf-8")
    return units


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Ask systemd-analyze; it needs no running systemd for this."""
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_takes_the_unit_and_its_timer_without_a_word(installed: dict[str, Path]) -> None:
    said = analyze("verify", "--man=no", *installed.values())
    ours = [line for line in said.stderr.splitlines() if "photo-connector" in line]
    assert (said.returncode, ours) == (0, [])


@needs_systemd
def test_systemd_would_have_complained_of_a_misspelt_directive(installed: dict[str, Path]) -> None:
    unit = installed["photo-connector@.service"]
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectHome=yes", "ProtectHouse=yes"), encoding="utf-8")
    assert "ProtectHouse" in analyze("verify", "--man=no", unit).stderr


@needs_systemd
def test_the_service_is_locked_in(installed: dict[str, Path]) -> None:
    unit = installed["photo-connector@.service"]
    said = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", unit)
    assert said.returncode == 0, said.stdout


@needs_systemd
def test_the_timers_hour_is_one_that_systemd_understands() -> None:
    timer = (SCRIPTS / "photo-connector@.timer").read_text(encoding="utf-8")
    hours = re.findall(r"^OnCalendar=(.+)$", timer, re.MULTILINE)
    assert hours
    assert all(analyze("calendar", hour).returncode == 0 for hour in hours)


@pytest.mark.root
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root may mount")
def test_a_service_that_sees_its_own_processes_only_still_knows_a_network_share() -> None:
    assert "ProcSubset=pid" in (SCRIPTS / "photo-connector@.service").read_text(encoding="utf-8")
    code = "from connector.ledger.store import mount_points, mount_table; print(len(mount_points(mount_table())))"
    locked_in = f"mount -t proc -o subset=pid proc /proc && exec '{sys.executable}' -c '{code}'"

    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", locked_in], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_each_instance_has_its_own_settings_and_its_own_state() -> None:
    unit = (SCRIPTS / "photo-connector@.service").read_text(encoding="utf-8")
    assert "--env-file /etc/photo-connector/%i.env" in unit
    assert "StateDirectory=photo-connector/%i\n" in unit
    assert "Environment=STATE_DIR=/var/lib/photo-connector/%i\n" in unit


def nodes(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def unread(source: bytes) -> list[str]:
    """Name the places that PowerShell's grammar has no reading for."""
    tree = Parser(Language(tree_sitter_powershell.language())).parse(source)
    bad = [node for node in nodes(tree.root_node) if node.is_error or node.is_missing]
    return [f"line {node.start_point[0] + 1}: {node.type}" for node in bad]


def test_there_are_three_powershell_scripts() -> None:
    assert [path.name for path in POWERSHELL] == ["grant-read.ps1", "register-app.ps1", "register-task.ps1"]


@pytest.mark.parametrize("script", POWERSHELL, ids=lambda path: path.name)
def test_a_powershell_script_can_be_parsed(script: Path) -> None:
    assert unread(script.read_bytes()) == []


@pytest.mark.parametrize("script", POWERSHELL, ids=lambda path: path.name)
def test_a_powershell_script_that_lacks_its_last_brace_cannot_be_parsed(script: Path) -> None:
    head, _, _ = script.read_bytes().rpartition(b"}")
    assert unread(head) != []


@pytest.mark.parametrize("script", POWERSHELL, ids=lambda path: path.name)
def test_windows_powershell_reads_the_script_alike_in_every_country(script: Path) -> None:
    # Without a byte order mark, version 5.1 takes a file for the machine's own code page.
    assert script.read_bytes().isascii()


@pytest.mark.parametrize("script", POWERSHELL, ids=lambda path: path.name)
def test_a_powershell_script_can_be_tried_without_doing_anything(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "SupportsShouldProcess" in text
    assert "$PSCmdlet.ShouldProcess(" in text


def test_the_app_gets_exactly_the_permissions_that_a_night_needs() -> None:
    text = (SCRIPTS / "register-app.ps1").read_text(encoding="utf-8")
    code = text.partition("#>")[2]
    assert set(re.findall(r"'(\w+\.\w+\.All)'", code)) - {
        "Application.ReadWrite.All",
        "AppRoleAssignment.ReadWrite.All",
    } == {
        "User.Read.All",
        "ProfilePhoto.ReadWrite.All",
        "PeopleSettings.Read.All",
    }


def test_every_token_error_stands_in_the_page_with_its_cure() -> None:
    rows = set(re.findall(r"^\| `AADSTS(\d+)` \| (.+) \| (.+) \|$", OPERATIONS, re.MULTILINE))
    assert rows == {(code, what, fix) for code, (what, fix) in ISSUER_CODES.items()}


@pytest.mark.parametrize(("data", "meaning", "fix"), re.findall(r"^\| `(\w{3})` \| (.+) \| (.+) \|$", OPERATIONS, re.M))
def test_a_refused_sign_in_is_told_as_in_the_page(data: str, meaning: str, fix: str) -> None:
    text = f"80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data {data}, v4563"
    told = from_bind("dc1.contoso.com", {"result": 49, "message": text})
    assert meaning in told.message
    assert told.fix == fix


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    known = {name.upper() for name in Settings.model_fields}
    prefixes = "LDAP|SYNC|PHOTO|SHAREPOINT|REPORT|STATE|BACKUP|LEDGER|METRICS|GUEST|MATCH|GRAPH|AZURE"
    named = set(re.findall(rf"\b(?:{prefixes})_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith("PHOTO_CONNECTOR_")} - known == set()
    assert named


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_command_that_a_page_shows_can_be_typed(page: Path) -> None:
    shown = re.findall(
        r"photo-connector((?: (?:sync|check|report|history|restore|forget|config \w[\w-]*)\b)[^`\n]*)",
        page.read_text(encoding="utf-8"),
    )
    for line in shown:
        name, *words = shlex.split(line)
        command = commands.commands.get(name)
        while isinstance(command, click.Group):
            name, *words = words
            command = command.commands.get(name)
        assert isinstance(command, click.Command), f"there is no command {name}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} - known - {"--help"} == set(), line


@pytest.mark.samba
def test_the_schema_guids_in_the_page_are_those_of_a_real_directory(directory: Directory) -> None:
    page = " ".join((ROOT / "docs" / "permissions.md").read_text(encoding="utf-8").split())
    named = dict(re.findall(r"(jpegPhoto|mS-DS-ConsistencyGuid|the class user) `([0-9a-f-]{36})`", page))
    schema = f"CN=Schema,CN=Configuration,{directory.controller.base_dn}"

    found = directory.search(
        schema,
        "(|(lDAPDisplayName=jpegPhoto)(lDAPDisplayName=mS-DS-ConsistencyGuid)"
        "(&(objectClass=classSchema)(lDAPDisplayName=user)))",
        "lDAPDisplayName",
        "schemaIDGUID",
    )

    told = {
        values["lDAPDisplayName"][0].decode(): str(uuid.UUID(bytes_le=values["schemaIDGUID"][0])) for _, values in found
    }
    assert {name.removeprefix("the class "): guid for name, guid in named.items()} == told
