"""Commands for PowerShell in pages, scripts and the program's words, read by PowerShell's own grammar."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

import connector
from connector.ledger.folder_permissions import FOLDERS
from connector.windows_acl import icacls
from tests.test_pasted import powershell

ROOT = Path(connector.__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
RESOURCES = ROOT / "connector" / "resources"
SCRIPTS = sorted(RESOURCES.glob("*.ps1"))
TASK = (RESOURCES / "register-task.ps1").read_text("utf-8")
APP = (RESOURCES / "register-app.ps1").read_text("utf-8")
# Commands of Windows alone: wherever they stand they are typed into PowerShell.
WINDOWS = re.compile(
    r"^\s*(icacls|dsacls|Get-AD\w+|New-AD\w+|Install-AD\w+|New-Item|Copy-Item|\.\\(?:grant|register)-)", re.MULTILINE
)


def parsed(text: str) -> Node:
    return Parser(Language(tree_sitter_powershell.language())).parse(text.encode()).root_node


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def faults(text: str) -> list[str]:
    """Name what PowerShell cannot read, and a variable in double quotes that is none of those it has or was given."""
    root = parsed(text)
    given = {name.lower() for name in re.findall(r"\$(\w+)\s*=|foreach \(\$(\w+)", text) for name in name if name}
    given |= {name.lower() for name in re.findall(r"\[[\w\[\]]+\] \$(\w+)", text)}
    found = ["it cannot be parsed"] if root.has_error else []
    for node in nodes(root):
        if node.type != "expandable_string_literal":
            continue
        for inner in nodes(node):
            told = (inner.text or b"").decode()
            name = told.strip("${}").lower()
            if inner.type == "variable" and not name.startswith("env:") and name.split(".")[0] not in given | {"_"}:
                found.append(f"{told} in double quotes is a variable that nobody set")
        if re.search(r"\$[^\w{(_]|\$$", (node.text or b"").decode().strip('"')):
            found.append(f"{(node.text or b'').decode()}: a $ in double quotes")
    return found


def blocks() -> Iterator[tuple[str, str, str]]:
    """Yield page, language and text of each fenced block."""
    for page in PAGES:
        for found in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            yield page.name, found[1], found[2]


def for_powershell() -> list[tuple[str, str]]:
    return [(page, text) for page, kind, text in blocks() if kind == "powershell" or WINDOWS.search(text)]


@pytest.mark.parametrize(("page", "text"), for_powershell())
def test_what_a_page_says_for_powershell_means_there_what_it_says(page: str, text: str) -> None:
    assert faults(text) == [], page


def test_the_pages_say_something_for_powershell() -> None:
    assert {page for page, _ in for_powershell()} >= {"README.md", "operations.md", "permissions.md", "security.md"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_computes_only_what_it_set(script: Path) -> None:
    assert faults(script.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        'icacls C:\\state /grant:r "CONTOSO\\svc-photo$:(OI)(CI)M"',
        'dsacls "OU=People" /G "CONTOSO\\svc-photo$:RP;jpegPhoto;user"',
        'Write-Host "for $nobody"',
        "Write-Host 'open",
    ],
)
def test_the_search_for_faults_finds_them(text: str) -> None:
    assert faults(text)


def words_of_the_program() -> list[tuple[str, str]]:
    """Return commands for PowerShell among the program's words, with a gMSA in the place of what is filled in."""
    found = []
    for path in sorted(Path(connector.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "''" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
            else:
                continue
            found += [(path.name, one) for one in re.findall(r"`((?:dsacls|icacls|Get-AD)[^`]*)`", text)]
            if re.search(r'(?:dsacls|icacls|Get-AD\w+ )[^`]*"', text):
                found.append((path.name, text))
    return sorted(set(found))


@pytest.mark.parametrize(("where", "command"), words_of_the_program())
def test_the_programs_own_commands_for_powershell_have_no_double_quotes(where: str, command: str) -> None:
    assert '"' not in command, where
    assert faults(command) == []


def test_the_program_has_commands_for_powershell() -> None:
    assert {where for where, _ in words_of_the_program()} >= {"people.py"}


def test_the_line_for_icacls_names_the_account_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERDOMAIN", "CONTOSO")
    monkeypatch.setenv("USERNAME", "svc-photo$")

    words = powershell(icacls(Path("C:/ProgramData/a b"), is_folder=True))

    assert words[0] == "icacls"
    assert "CONTOSO\\svc-photo$:(OI)(CI)M" in words
    assert str(Path("C:/ProgramData/a b")) in words
    assert FOLDERS


# ------------------------------------------------------------------------------------------------ what the scripts do


def test_the_task_begins_by_this_machines_clock_in_summer_and_winter() -> None:
    assert "$trigger.StartBoundary = $At.ToString('yyyy-MM-ddTHH:mm:ss'" in TASK


def test_the_task_script_can_run_check_as_the_account() -> None:
    assert "[switch] $Check" in TASK
    assert "check --env-file" in TASK
    assert TASK.index("if ($Check)") < TASK.index("New-ScheduledTaskTrigger")
    assert "Unregister-ScheduledTask" in TASK


def test_the_command_that_the_task_script_prints_has_single_quotes() -> None:
    (line,) = [line for line in TASK.splitlines() if "Only the service may read" in line]
    printed = line.partition("icacls ")[2]
    assert '`"' not in printed
    assert "'${Account}:R'" in TASK


def test_the_app_script_can_be_repeated_and_signs_out() -> None:
    assert "Get-OwnApp" in APP
    assert "-notcontains $role.Id" in APP
    assert APP.index("finally {") < APP.index("Disconnect-MgGraph")


def test_the_folder_has_its_rights_before_the_settings_are_copied_into_it() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert page.index("icacls 'C:\\ProgramData\\photo-connector'") < page.index("Copy-Item .env")
    assert "Unblock-File" in page
