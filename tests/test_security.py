"""Can what comes from outside become code, a filter or a path? And who can read what a night leaves behind?"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import connector
from tests.office import Office, face

FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill"}
SOURCES = sorted(Path(connector.__file__).parent.rglob("*.py"))


def _dangers(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                found.append(node.func.id)
            if isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in {"os.system", "os.popen"}:
                found.append(ast.unparse(node.func))
            found += ["shell" for word in node.keywords if word.arg == "shell"]
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
    return found


def test_the_package_has_no_eval_exec_shell_or_pickle() -> None:
    assert {path.name: _dangers(path.read_text("utf-8")) for path in SOURCES if _dangers(path.read_text("utf-8"))} == {}


@pytest.mark.parametrize(
    "text", ["eval('1')", "import pickle", "from marshal import loads", "run('x', shell=True)", "os.system('x')"]
)
def test_the_search_for_dangers_finds_them(text: str) -> None:
    assert _dangers(text)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes; docs/security.md says what to set there")
def test_everything_that_a_night_leaves_is_its_owners_only(office: Office) -> None:
    before = os.umask(0o000)
    try:
        team = office.team(4)
        office.cloud.tenant.set_photo(team[0].account_id, face("somebody else"))
        assert office.sync().code == 0
    finally:
        os.umask(before)
    state = office.nights.state
    open_ones = [str(path) for path in (state, *state.rglob("*")) if path.stat().st_mode & 0o077]
    assert open_ones == []


@pytest.mark.parametrize("name", ["*", "person000)(objectClass=*", "*)(uid=*))(|(uid=*", "\\2a", "../../etc/passwd"])
def test_a_hostile_name_chooses_nobody(office: Office, name: str) -> None:
    office.team(3)

    told = office.sync("--only", name)

    assert office.cloud.tenant.writes() == [], told.out
