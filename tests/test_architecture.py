"""The structure of the code: imports go one way, and modules and functions stay small."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "connector"
WORDS = frozenset({"model", "errors", "disk", "command", "windows_acl", "addresses", "interrupts"})
# What each room may import beside itself and the package's version.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "model": frozenset(),
    "disk": frozenset(),
    "command": frozenset(),
    "addresses": frozenset(),
    "windows_acl": frozenset({"command"}),
    "errors": frozenset({"model"}),
    "interrupts": frozenset({"errors"}),
    "config": WORDS,
    "network": frozenset(),
    "sources": WORDS | {"config", "network"},
    "cloud": WORDS | {"config", "network"},
    "targets": WORDS | {"config", "cloud"},
    "photo": WORDS,
    "decide": WORDS,
    "ledger": WORDS | {"decide"},
    "report": WORDS | {"config", "ledger"},
    "notify": WORDS | {"config", "report"},
}
WORKSHOP = WORDS | set(MAY_IMPORT)
MAY_IMPORT["sync"] = frozenset(WORKSHOP - {"notify"})
MAY_IMPORT["history"] = WORDS | {"ledger", "report"}
MAY_IMPORT["forget"] = WORDS | {"config", "ledger", "report"}
MAY_IMPORT["coverage"] = WORDS | {"config", "ledger", "report"}
MAY_IMPORT["export"] = WORDS | {"forget", "ledger"}
MAY_IMPORT["run_list"] = WORDS | {"ledger", "report"}
MAY_IMPORT["doctor"] = frozenset(WORKSHOP | {"sync", "run_list"})
MAY_IMPORT["cli"] = frozenset(WORKSHOP | {"sync", "doctor", "history", "forget", "export", "run_list", "coverage"})
MAY_IMPORT["__main__"] = frozenset({"cli"})
PURE = ("photo", "decide")
# Inside sync: planning must not reach these modules, directly or through others.
PLANNING = "sync/plan"
READING = frozenset({"sync/read_accounts", "sync/read_people", "sync/read_chosen"})
APPLYING = frozenset({"sync/prepare", "sync/apply", "sync/read_back", "sync/restore"})
OUTSIDE = frozenset({"ldap3", "requests", "sqlite3", "msal", "urllib3", "http", "socket", "dotenv", "pydantic"})
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "putenv"})
VAGUE = frozenset({"base", "common", "helpers", "manager", "misc", "util", "utils"})
MODULE_LINES = 400
FUNCTION_LINES = 45


@dataclass(frozen=True, slots=True)
class Module:
    """One module of the package: where it lies, its room, its text and its tree."""

    path: Path
    name: str
    room: str
    lines: int
    tree: ast.Module


def read(package: Path) -> list[Module]:
    """Read every module of a package whose name is `connector`."""
    return [_read_module(package, path) for path in sorted(package.rglob("*.py"))]


def _read_module(package: Path, path: Path) -> Module:
    parts = path.relative_to(package).with_suffix("").parts
    room = "" if parts == ("__init__",) else parts[0]
    text = path.read_text(encoding="utf-8")
    return Module(path, "/".join(parts), room, len(text.splitlines()), ast.parse(text))


def imported(module: Module) -> Iterator[str]:
    """Yield the dotted name of every module that this one imports, wherever the import stands."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            assert node.level == 0, f"{module.name} imports relatively; write connector.{source}"
            # `from connector import model` names the room only in its second half
            yield from (f"connector.{alias.name}" for alias in node.names) if source == "connector" else (source,)


def rooms_imported(module: Module) -> Iterator[str]:
    for name in imported(module):
        first, _, rest = name.partition(".")
        if first == "connector" and rest != "__version__":
            yield rest.partition(".")[0]


def wrong_ways(modules: list[Module]) -> list[str]:
    return [
        f"{module.name} imports {room or 'the package itself'}"
        for module in modules
        for room in rooms_imported(module)
        if room != module.room and room not in MAY_IMPORT.get(module.room, frozenset())
    ]


def reached(modules: list[Module], start: str) -> set[str]:
    """Return the modules that one imports, directly or through others."""
    by_name = {module.name: module for module in modules}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = by_name.get(waiting.pop())
        for name in imported(module) if module is not None else ():
            path = name.removeprefix("connector.").replace(".", "/")
            if path in by_name and path not in seen:
                seen.add(path)
                waiting.append(path)
    return seen


def impure(modules: list[Module]) -> list[str]:
    return [
        f"{module.name} knows {name}"
        for module in modules
        if module.room in PURE
        for name in [*imported(module), *environment_reads(module)]
        if name.partition(".")[0] in OUTSIDE or name in ENVIRONMENT
    ]


def environment_reads(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (alias.name for alias in node.names)


def long_functions(modules: list[Module]) -> list[str]:
    return [
        f"{module.name}: {node.name} has {length} lines"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


def prints(modules: list[Module]) -> list[str]:
    return [
        f"{module.name}, line {node.lineno}"
        for module in modules
        if module.room != "cli"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def inheritance(modules: list[Module]) -> list[str]:
    """List classes that inherit from one of our own that is neither an exception nor a protocol."""
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    return [
        f"{name} inherits from {parent}"
        for name, parents in bases.items()
        for parent in parents
        if parent in bases and not _is_exception(parent, bases) and "Protocol" not in bases[parent]
    ]


def _is_exception(name: str, bases: dict[str, list[str]]) -> bool:
    return name in ("Exception", "BaseException") or any(_is_exception(base, bases) for base in bases.get(name, []))


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    modules = read(PACKAGE)
    assert {"model", "errors", "config", "photo", "decide"} <= {module.room for module in modules}
    return modules


def test_imports_go_one_way(modules: list[Module]) -> None:
    assert wrong_ways(modules) == []


def test_every_room_is_in_the_plan(modules: list[Module]) -> None:
    assert {module.room for module in modules} - set(MAY_IMPORT) == {""}


def test_the_pure_rooms_know_no_wire_no_database_and_no_environment(modules: list[Module]) -> None:
    assert impure(modules) == []


def test_planning_knows_neither_reading_nor_applying(modules: list[Module]) -> None:
    assert {PLANNING} | READING | APPLYING <= {module.name for module in modules}
    assert reached(modules, PLANNING) & (READING | APPLYING) == set()


def test_modules_are_short(modules: list[Module]) -> None:
    too_long = [f"{module.name}: {module.lines}" for module in modules if module.lines > MODULE_LINES]
    assert too_long == [], f"more than {MODULE_LINES} lines: move what belongs together into a module of its own"


def test_functions_are_short(modules: list[Module]) -> None:
    assert long_functions(modules) == []


def test_only_the_command_line_prints(modules: list[Module]) -> None:
    assert prints(modules) == []


def test_nothing_inherits_but_exceptions(modules: list[Module]) -> None:
    assert inheritance(modules) == []


def test_no_module_has_a_name_that_says_nothing(modules: list[Module]) -> None:
    assert [module.name for module in modules if VAGUE & set(module.name.split("/"))] == []


@pytest.mark.parametrize("folder", ["connector", "tests", "scripts"])
def test_no_docstring_is_a_question_or_opens_with_a_verb_that_says_nothing(folder: str) -> None:
    measure = runpy.run_path(str(PACKAGE.parent / "scripts" / "measure-house"))
    assert list(measure["wrong_docstrings"](PACKAGE.parent / folder)) == []


def declared(section: str, key: str) -> set[str]:
    """Return the names of the libraries that setup.cfg lists there."""
    setup = ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    lines = setup[section][key].split("\n")
    return {match.group().lower() for line in lines if (match := re.match(r"[\w-]+", line))}


def libraries(modules: list[Module]) -> set[str]:
    """Return the distributions whose modules are imported, by the names they are installed under."""
    tops = {name.partition(".")[0] for module in modules for name in imported(module)}
    outside = tops - set(sys.stdlib_module_names) - {"connector"}
    known = packages_distributions()
    return {known[top][0].lower() for top in outside if top in known}


def test_every_library_that_the_program_imports_is_declared(modules: list[Module]) -> None:
    optional = declared("options.extras_require", "kerberos")
    assert libraries(modules) <= declared("options", "install_requires") | optional


@pytest.mark.parametrize("extra", ["program", "kerberos", "lab", "test", "docs"])
def test_every_library_has_its_line_among_the_decisions(extra: str) -> None:
    page = (PACKAGE.parent / "docs" / "decisions.md").read_text(encoding="utf-8")
    told = {name.lower() for line in page.splitlines() for name in re.findall(r"[\w-]+", line.partition(" | ")[0])}
    names = declared("options", "install_requires")
    if extra != "program":
        names = declared("options.extras_require", extra)
    assert names - told == set()


class TestTheSurveyorHimself:
    """Each rule must see its own offence, or it guards nothing."""

    @pytest.fixture
    def crooked(self, tmp_path: Path) -> list[Module]:
        package = tmp_path / "connector"
        for name, text in {
            "model.py": "import connector.cli\n",
            "decide/table.py": "import os\nfrom sqlite3 import connect\nfrom connector import ledger\nos.getenv('X')\n",
            "photo/prepare.py": "def f():\n    from os import environ\n    print(environ)\n",
            "ledger/store.py": "class A: pass\nclass B(A): pass\nclass C(Exception): pass\nclass D(C): pass\n",
            "sync/plan.py": "import connector.sync.pictures\n",
            "sync/pictures.py": "from connector.sync.read_people import save\n",
            "sync/read_people.py": "def save(): pass\n",
            "sync/context.py": "def long():\n" + "    pass\n" * FUNCTION_LINES,
            "cli/main.py": "from connector.sync.context import long\nprint(long)\n",
        }.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return read(package)

    def test_it_sees_imports_that_go_the_wrong_way(self, crooked: list[Module]) -> None:
        assert wrong_ways(crooked) == ["decide/table imports ledger", "model imports cli"]

    def test_it_sees_planning_that_reaches_reading_through_another_module(self, crooked: list[Module]) -> None:
        assert reached(crooked, PLANNING) & (READING | APPLYING) == {"sync/read_people"}

    def test_it_sees_a_pure_room_that_looks_outside(self, crooked: list[Module]) -> None:
        assert impure(crooked) == [
            "decide/table knows sqlite3",
            "decide/table knows getenv",
            "photo/prepare knows environ",
        ]

    def test_it_sees_long_functions_prints_and_inheritance(self, crooked: list[Module]) -> None:
        assert long_functions(crooked) == [f"sync/context: long has {FUNCTION_LINES + 1} lines"]
        assert prints(crooked) == ["photo/prepare, line 3"]
        assert inheritance(crooked) == ["B inherits from A"]
