"""What comes from outside never becomes code, a filter or a path; and who can read what a run leaves behind."""

from __future__ import annotations

import ast
import csv
import io
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

import connector
from connector.cli.console import log_to_file
from connector.config import Settings
from connector.errors import PersonError
from connector.model import Account, Person, RequestCounters
from connector.sources.ldap import LdapSource
from connector.targets.sharepoint.file_names import checked_stem, thumb_name
from tests.company import Company, face
from tests.lab.directory import Directory
from tests.lab.graph import app_certificate
from tests.lab.samba import DomainController

ROOT = Path(connector.__file__).parent.parent

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


# ------------------------------------------------------------------------------- who can read what a night leaves


def open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Set the umask to 0: every file is as open as its maker lets it."""
    before = os.umask(0o000)
    yield
    os.umask(before)


def no_modes(test: Any) -> Any:
    """Skip a test on Windows, which has no modes; docs/security.md says what to set there."""
    return pytest.mark.skipif(os.name == "nt", reason="Windows has ACLs instead")(test)


@no_modes
def test_everything_that_runs_of_every_kind_leave_is_its_owners_only(company: Company, no_umask: None) -> None:
    company.settings["METRICS_FILE"] = str(company.runner.folder / "photo.prom")
    team = company.team(4)
    company.cloud.tenant.set_photo(team[0].account_id, face("somebody else"))
    env_file = str(company.runner.env_file())

    assert company.sync("--verbose").code == 0
    company.sync("--dry-run")
    company.runner.type("restore", "--env-file", env_file, "--person", team[0].name)
    company.runner.type("history", "--env-file", env_file, team[0].name)
    company.runner.type("forget", "--env-file", env_file, team[1].name)

    assert list((company.runner.state / "backups").glob("*/*.jpg"))
    assert list((company.runner.state / "reports").glob("*.html"))
    assert open_to_others(company.runner.state) == []


@no_modes
def test_a_log_stays_its_owners_when_it_is_rotated(tmp_path: Path, no_umask: None) -> None:
    path = log_to_file(tmp_path, form="text")
    (handler,) = [one for one in logging.getLogger("connector").handlers if isinstance(one, RotatingFileHandler)]
    handler.doRollover()
    handler.close()
    logging.getLogger("connector").removeHandler(handler)

    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, f"{path.name}.1"]
    assert [one for one in tmp_path.iterdir() if one.stat().st_mode & 0o077] == []


@no_modes
@pytest.mark.parametrize("ending", ["html", "csv", "json", "txt"])
def test_a_report_is_its_owners_only_unless_there_was_a_file_with_another_mode(
    company: Company, no_umask: None, ending: str
) -> None:
    company.hire("ada")
    new, shared = company.runner.folder / f"new.{ending}", company.runner.folder / f"shared.{ending}"
    shared.write_text("yesterday's", encoding="utf-8")
    shared.chmod(0o640)

    company.sync("--report", str(new), "--report", str(shared))

    assert (new.stat().st_mode & 0o777, shared.stat().st_mode & 0o777) == (0o600, 0o640)
    assert shared.stat().st_size > 20
    command = ("report", "--env-file", str(company.runner.env_file()), "--output")
    for path in (company.runner.folder / f"again.{ending}", shared):
        assert company.runner.type(*command, str(path)).code == 0
    assert (company.runner.folder / f"again.{ending}").stat().st_mode & 0o777 == 0o600


@no_modes
@pytest.mark.parametrize(
    ("name", "mode", "word"),
    [
        ("settings.env", 0o604, "others can read it"),
        ("settings.env", 0o602, "others can write it"),
        ("password.txt", 0o644, "others can read it"),
        ("app.pem", 0o644, "others can read it"),
        ("settings.env", 0o640, ""),
        ("password.txt", 0o640, ""),
        ("app.pem", 0o600, ""),
    ],
)
def test_a_file_with_a_secret_that_is_open_to_others_is_warned_of_every_night(
    company: Company, name: str, mode: int, word: str
) -> None:
    folder = company.runner.folder
    if name == "password.txt":
        (folder / name).write_text(company.settings.pop("LDAP_PASSWORD"), encoding="utf-8")
        company.settings["LDAP_PASSWORD_FILE"] = str(folder / name)
    if name == "app.pem":
        shown = app_certificate(folder)
        company.cloud.issuer.register_certificate(shown.public_pem)
        (folder / name).write_bytes(shown.pem_file.read_bytes())
        del company.settings["AZURE_CLIENT_SECRET"]
        company.settings["AZURE_CLIENT_CERTIFICATE_PATH"] = str(folder / name)
    env_file = company.runner.env_file()
    (folder / name).chmod(mode)

    told = company.runner.type("sync", "--env-file", str(env_file))

    warned = [line for line in told.err.splitlines() if "chmod 600" in line]
    assert [f"{name}: " in line and word in line for line in warned] == ([True] if word else [])
    assert told.code == 0, told.err


# -------------------------------------------------------------------------------------- what comes from outside


@pytest.mark.parametrize("name", ["*", "person000)(objectClass=*", "*)(uid=*))(|(uid=*", "\\2a", "../../etc/passwd"])
def test_a_hostile_name_chooses_nobody(company: Company, name: str) -> None:
    company.team(3)

    told = company.sync("--only", name)

    assert company.cloud.tenant.writes() == [], told.out


AWKWARD = ("*", "a*b", "(ada)", "a)(mail=*", "back\\slash", "\\2a", "&|!=~<>", "zoë", "#+,;\"'")


@pytest.fixture(scope="session")
def find(directory: Directory, domain: DomainController) -> Iterator[Callable[[str], list[Person]]]:
    """Look for people, as `--only` does, in a real domain whose mail addresses are made of what filters are made of."""
    ou = directory.add_ou("Awkward names")
    for number, mail in enumerate(AWKWARD):
        directory.add_person(ou, f"awkward {number}", sAMAccountName=f"awkward{number}", mail=mail)
    usual: dict[str, Any] = {"ldap_uri": (domain.uri,), "ldap_ca_file": domain.ca_file, "ldap_base_dn": (ou,)}
    login = {"ldap_user": domain.reader, "ldap_password": SecretStr(domain.reader_password)}
    source = LdapSource(Settings(**usual, **login), RequestCounters())
    yield lambda name: [read.person for read in source.find(name)]
    source.close()
    directory.delete(ou)


@settings(max_examples=150, deadline=None)
@given(name=st.one_of(st.sampled_from(AWKWARD), st.text(st.sampled_from("*()\\\0&|!=~<>a2é #+,;\"'@/"), max_size=12)))
def test_no_name_becomes_a_filter_in_a_real_directory(find: Callable[[str], list[Person]], name: str) -> None:
    found = find(name)

    for person in found:
        assert folded(name) in {
            folded(text) for text in (person.mail, person.upn, person.sam_account_name, person.name)
        }
    if name in AWKWARD:
        assert name in [person.mail for person in found]


def folded(text: str) -> str:
    """Fold as a directory compares (RFC 4518): case, accents and blanks; Samba's texts end at a NUL."""
    plain = unicodedata.normalize("NFKD", text.partition("\0")[0]).casefold()
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


FORMULAS = ('=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1;9)", "\t=1+1", "\r=1+1", "＝1+1")


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
def test_a_name_is_no_formula_in_a_spreadsheet(company: Company, formula: str) -> None:
    company.ldap.person(formula, jpegPhoto=face("formula"))
    company.sync()

    text = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "csv").out

    table = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert len(table) == 2
    cells = [cell for row in table for cell in row]
    assert any(cell.startswith("'") for cell in cells)
    assert [
        cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@", "＝") or (cell[:1] in "\t\r" and cell)
    ] == []


def test_a_name_is_no_markup_in_a_page(company: Company) -> None:
    company.ldap.person("<script>alert(1)</script>", jpegPhoto=face("markup"))
    company.ldap.person("</script><img src=x onerror=alert(1)>", jpegPhoto=b"no picture")
    company.sync()

    page = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "html").out

    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert page.count("</script>") == 2, "the data, and the script"
    assert "Content-Security-Policy" in page


@given(upn=st.text(max_size=300))
def test_no_upn_becomes_a_path(upn: str) -> None:
    try:
        stem = checked_stem(Account(id="1", upn=upn), frozenset())
    except PersonError:
        return
    name = thumb_name(stem, "M")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name not in (".", "..")
    assert ".." not in name


# ---------------------------------------------------------------------------------------------- what the page says


def test_every_attack_of_the_page_has_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    part = page.split("## Attacks that were tried\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    named = [re.fullmatch(r"\| .+ \| .+ \| `(test_\w+\.py)(?:::(test_\w+))?` \|", line) for line in rows]
    assert all(named), [line for line, found in zip(rows, named, strict=True) if not found]
    for found in filter(None, named):
        text = (ROOT / "tests" / found[1]).read_text(encoding="utf-8")
        assert f"def {found[2] or 'test_'}" in text, found[0]
    assert len(named) >= 11


# ---------------------------------------------------------------------------------------------- minimum versions


def test_the_minimum_versions_are_those_that_the_page_gives_reasons_for() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    part = page.split("## Minimum versions\n", 1)[1].split("\n## ", 1)[0]
    said = dict(re.findall(r"^\| ([\w-]+) \| ([0-9.]+) \|", part, re.MULTILINE))
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    needed = setup["options"]["install_requires"].split("\n")
    floors = dict(re.findall(r"^([\w-]+)>=([0-9.]+)", "\n".join(needed), re.MULTILINE))
    assert len(said) >= 9
    assert said.items() <= floors.items()
    assert [line for line in needed if line and ">=" not in line] == [], "each has one"
