"""Commands that are printed to be pasted: no shell computes a name in them, and the program takes each of them."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

import connector
from connector.cli.main import commands
from connector.command import pasteable, quoted, use_env_file, word_for
from tests.company import Company, face
from tests.printed_commands import parsed

SHELLS = [name for name in ("sh", "bash", "dash") if shutil.which(name)]
NAMES = (
    *("ada@contoso.test", "$(touch pwned)@contoso.test", "`touch pwned`", "$HOME", "a;touch pwned", "a|b&c", "O'Neil"),
    *(
        'say "hi"',
        "a b",
        "*",
        "~",
        "!!",
        "a\\",
        "$env:PATH",
        "@splat",
        "#x",
        "%PATH%",
        "‘quoted’",
        "山田",
        "(x)",
        "<y>",
    ),
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX shells")


@posix
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", NAMES)
def test_no_posix_shell_computes_a_name(shell: str, name: str, tmp_path: Path) -> None:
    script = f"printf %s {quoted(name, windows=False)}"

    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stdout == name
    assert list(tmp_path.iterdir()) == []


def powershell(command: str) -> list[str]:
    """Return the words of a command by PowerShell's own rules; what would be computed fails."""
    tree = Parser(Language(tree_sitter_powershell.language())).parse(command.encode())
    assert not tree.root_node.has_error, command
    kinds = {node.type for node in walk(tree.root_node)}
    computed = {
        "variable",
        "sub_expression",
        "expandable_string_literal",
        "script_block_expression",
        "array_expression",
    }
    assert not kinds & computed, (command, kinds & computed)
    assert sum(node.type == "command" for node in walk(tree.root_node)) == 1, command
    (found,) = [node for node in walk(tree.root_node) if node.type == "command"]
    return [spoken(one) for one in words_of(found)]


def walk(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in walk(child))]


def words_of(found: Node) -> list[Node]:
    return [
        one
        for one in walk(found)
        if one.type
        in (
            "command_name",
            "generic_token",
            "command_parameter",
            "decimal_integer_literal",
            "verbatim_string_characters",
        )
    ]


def spoken(node: Node) -> str:
    text = (node.text or b"").decode()
    if node.type == "verbatim_string_characters":
        return re.sub("(['\u2018\u2019\u201a\u201b])\\1", r"\1", text[1:-1])
    return text


@pytest.mark.parametrize("name", NAMES)
def test_powershell_computes_no_name(name: str) -> None:
    words = powershell(f"photo-connector history {quoted(name, windows=True)}")

    assert words[-1] == name


@pytest.mark.parametrize("name", ["", "-x", "--force", "a\nb", 'a"b', "a\\"])
def test_what_a_command_line_cannot_carry_is_named_by_its_id(name: str) -> None:
    assert word_for([name], "0b7e-id", windows=True) == "0b7e-id"


def test_the_settings_file_stands_in_every_command_once() -> None:
    use_env_file(Path("/etc/photo connector/a.env"))
    try:
        told = pasteable("Look with `photo-connector sync --dry-run`; `photo-connector report` names it.")
        assert told.count("--env-file '/etc/photo connector/a.env'" if sys.platform != "win32" else "--env-file") == 2
        assert pasteable(told) == told
        assert pasteable("photo-connector is a program") == "photo-connector is a program"
        assert pasteable("photo-connector-run-1.csv") == "photo-connector-run-1.csv"
    finally:
        use_env_file(None)
    assert pasteable("photo-connector sync") == "photo-connector sync"


# ---------------------------------------------------------------------------------------------------- what is printed


def accepted(words: list[str]) -> None:
    """Assert that the program takes this command line, without carrying it out."""
    assert words[0] == "photo-connector"
    command: click.Command | None = commands
    rest = words[1:]
    while isinstance(command, click.Group):
        _, command, rest = command.resolve_command(click.Context(command), rest)
    assert command is not None
    with parsed(command, words[1], list(rest)) as context:
        assert context.params


def printed(text: str) -> list[str]:
    return re.findall(r"`(photo-connector [^`]+)`", text)


@posix
@pytest.mark.parametrize("name", ["$(touch pwned)", "`touch pwned`", "a'b", 'c"d', "e;touch pwned", "-f"])
def test_the_commands_of_history_run_no_code_whatever_the_name(company: Company, name: str, tmp_path: Path) -> None:
    guid = company.ldap.person("odd", jpegPhoto=face("odd"), userPrincipalName=f"{name}@contoso.test")
    assert guid
    company.sync()
    told = company.runner.type(
        "history", "--env-file", str(company.runner.env_file()), "--format", "json", "--", f"{name}@contoso.test"
    )
    for command in json.loads(told.out)["commands"]:
        words = shlex.split(command)
        shown = subprocess.run(
            ["bash", "-c", f"photo-connector() {{ printf '%s\\0' photo-connector \"$@\"; }}; {command}"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout
        assert shown.split("\0")[:-1] == words
        assert ["--env-file", str(company.runner.env_file())] == words[2:4]
        accepted(words)
    assert list(tmp_path.glob("pwned")) == []


def test_the_commands_of_a_brake_are_accepted(company: Company) -> None:
    team = company.team(30)
    company.sync()
    for one in team:
        company.paint(one, face(f"new {one.name}"))

    told = company.sync(days=1)

    assert told.code == 4, told.err
    found = printed(told.err)
    assert found
    for command in found:
        words = powershell(command) if sys.platform == "win32" else shlex.split(command)
        assert words[2:4] == ["--env-file", str(company.runner.env_file())]
        accepted(words)


def sentences() -> list[tuple[str, str]]:
    """Return every text of the program in which a command stands, with a 1 in the place of what is filled in."""
    found = []
    for path in sorted(Path(connector.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = re.sub(r"\{\w*\}", "1", node.value)
            else:
                continue
            found += [(path.name, command) for command in printed(text)]
    return sorted(set(found))


@pytest.mark.parametrize(("where", "command"), sentences())
def test_every_command_in_the_programs_words_is_accepted_by_the_program(where: str, command: str) -> None:
    words = [re.sub(r"^(N|RUN)$", "1", word) for word in shlex.split(command)]

    assert powershell(command)[0] == "photo-connector", where
    if len(words) > 2 or words[1] in ("sync", "report", "check"):
        accepted(words)


def test_the_search_for_commands_finds_them() -> None:
    assert len(sentences()) >= 6
