"""Every declared dependency is imported, and every import is declared."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Declared without an import of ours: why.
ONLY_BOUND = {
    "gssapi": "ldap3 imports it for Kerberos; ours is the extra that installs it",
    "pyasn1": "ldap3 imports it; older ones have a known weakness",
    "pillow-heif": "photo.formats loads it by name where it is installed",
    "winkerberos": "for Windows alone, so its distribution is not installed here",
}
# Samba's own modules, which run inside its Python alone.
SAMBA = {"ldb", "samba"}
# python-ldap, which the bench measures beside us in an environment of its own.
MEASURED = {"ldap"}
# Tools that tests and scripts run as commands, plugins of pytest, stubs for mypy.
TOOLS = {
    *(
        "bandit",
        "build",
        "check-wheel-contents",
        "mypy",
        "pillow-heif",
        "pytest-cov",
        "pytest-timeout",
        "pytest-xdist",
        "ruff",
        "setuptools",
    ),
    *("tree-sitter-powershell", "twine", "types-psutil", "types-requests", "types-pyyaml", "uvicorn", "yamllint"),
}


def declared(*sections: str) -> set[str]:
    """Return the names of the distributions that setup.cfg declares."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lines: list[str] = []
    for section in sections:
        is_core = section == "install_requires"
        lines += settings["options" if is_core else "options.extras_require"][section].splitlines()
    names = [re.match(r"[A-Za-z0-9._-]+", line.strip()) for line in lines if not line.strip().startswith("#")]
    return {distribution(found[0]) for found in names if found}


def distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> Iterator[str]:
    """Yield the top-level names that the modules of a folder import, wherever they do."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def distributions(folder: Path) -> set[str]:
    """Return the distributions that a folder imports; a module that is not installed counts by its own name."""
    known = packages_distributions()
    foreign = set(imported(folder)) - sys.stdlib_module_names - {"connector", "tests", *SAMBA, *MEASURED}
    return {distribution(one) for name in foreign for one in known.get(name, [name])}


@pytest.mark.parametrize(
    "folder, sections",
    [
        ("connector", ("install_requires", "kerberos", "heif")),
        ("tests", ("install_requires", "kerberos", "heif", "lab", "test")),
    ],
)
def test_every_import_is_declared(folder: str, sections: tuple[str, ...]) -> None:
    assert distributions(ROOT / folder) - declared(*sections) == set()


def test_every_declared_dependency_is_imported() -> None:
    used = distributions(ROOT / "connector")
    assert declared("install_requires", "kerberos", "heif") - used - set(ONLY_BOUND) == set()
    assert declared("lab", "test") - distributions(ROOT / "tests") - TOOLS == set()


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_a_command_that_reports_nothing_loads_neither_jinja2_nor_smtplib(words: list[str]) -> None:
    script = (
        "import sys; from connector.cli.main import run; code = run(sys.argv[1:]); "
        "print(*sorted({'jinja2', 'smtplib'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )

    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == []
