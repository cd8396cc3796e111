"""The pages for newcomers: every file, fixture and command that they name exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("CONTRIBUTING.md", "tests/README.md", "docs/architecture.md", "docs/glossary.md")
FOLDERS = "connector|tests|docs|scripts|deploy"


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_for_maintainers_names_exists(name: str) -> None:
    page = (ROOT / name).read_text("utf-8")
    named = set(re.findall(rf"(?<![\w/])((?:{FOLDERS})/[\w./-]*\w/?)", page))
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_fixture_of_the_table_is_where_it_is_said_to_be() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `([\w/.]+)` \|", (ROOT / "tests/README.md").read_text("utf-8"), re.M)
    found = {name: (ROOT / path).read_text("utf-8") for names, path in rows for name in re.findall(r"\w+", names)}
    assert {"company", "cloud", "directory"} <= set(found)
    lacking = [name for name, text in found.items() if not re.search(rf"@pytest\.fixture[^\n]*\ndef {name}\(", text)]
    assert lacking == []


def test_every_marker_of_the_page_is_one() -> None:
    settings = (ROOT / "pyproject.toml").read_text("utf-8")
    (sentence,) = re.findall(r"Markers \(([^)]*)\)", (ROOT / "tests/README.md").read_text("utf-8"))
    assert [name for name in re.findall(r"\w+", sentence) if f'"{name}: ' not in settings] == []


@pytest.mark.skipif(sys.platform == "win32", reason="mode bits are POSIX's")
@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "tests/README.md", "README.md"])
def test_every_script_that_a_page_names_can_be_run(name: str) -> None:
    named = set(re.findall(r"\b(scripts/[\w-]+)\b", (ROOT / name).read_text("utf-8")))
    assert named
    assert [path for path in named if not (ROOT / path).stat().st_mode & 0o111] == []


def test_every_type_on_the_way_of_a_photo_is_one_of_the_program() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = page.partition("### The types on the way")[2].partition("\n## ")[0]
    named = [name for line in table.splitlines() if line.startswith("| ") for name in re.findall(r"`(\w+)`", line)]
    defined = {
        name
        for path in (ROOT / "connector").rglob("*.py")
        for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(named) == len(set(named)) > 0
    assert set(named) <= defined
