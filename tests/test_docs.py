"""The pages say what the program does: the help block, the exit codes and every link."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from connector.addresses import PROJECT
from connector.cli.main import commands
from connector.errors import ExitCode
from connector.model.formats import FORMATS
from connector.notify.systemlog import render_events_md
from connector.report import render_reasons_md

ROOT = Path(__file__).parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Where the pages are once they are published; README and messages name them there.
PUBLISHED = (
    rf"(?:{re.escape(PROJECT)}/(?:blob|tree)/main"
    rf"|{re.escape(PROJECT.replace('github.com', 'raw.githubusercontent.com'))}/main)"
)
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_help_in_the_readme_is_the_programs() -> None:
    shown = CliRunner().invoke(commands, ["--help"], prog_name="photo-connector", terminal_width=80).output
    assert shown.strip() in README


def test_the_pages_name_every_picture_format_and_its_limit() -> None:
    listed = OPERATIONS.partition("- **Formats**:")[2].partition("\n- **")[0]
    row = re.search(r"^\| pixels \| (.*?) \|", (ROOT / "docs/fingerprint.md").read_text("utf-8"), re.MULTILINE)
    assert row is not None
    groups = [re.fullmatch(r"(.*?) (\d+)(?: million)?", part) for part in row[1].split("; ")]
    limits = {title: int(group[2]) for group in groups if group is not None for title in group[1].split(", ")}
    unlisted = [one.title for one in FORMATS if one.title not in listed]
    assert unlisted == [], "docs/operations.md, A folder of pictures, does not list them"
    in_table = {one.title: one.max_pixels // 1_000_000 for one in FORMATS}
    assert limits == in_table, "docs/fingerprint.md, Limits, states other pixels than connector/model/formats.py"


@pytest.mark.parametrize("page", [README, OPERATIONS], ids=["README", "operations"])
def test_the_exit_codes_of_a_page_are_the_programs(page: str) -> None:
    section = page.partition("## How a run ends")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == {
        int(code) for code in ExitCode
    }


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("operations", "remove it with `Remove-MgUserPhotoContent -UserId ID`"),
        ("operations", "| sovereign clouds (France, Germany, Singapore) |"),
        ("permissions", "as People Administrator (the least role that may) in Graph Explorer"),
        ("permissions", "it covers the photos of Microsoft 365 groups, too"),
        ("photo-flows", "dedicated Exchange hybrid application"),
        ("photo-flows", "Whether clearing the box also clears the cloud photos that came that way is not documented"),
    ],
)
def test_advice_about_photos_names_what_can_do_it(page: str, words: str) -> None:
    text = " ".join((ROOT / "docs" / f"{page}.md").read_text("utf-8").split())
    assert words in text
    assert "Global Administrator" not in text


def test_every_reason_and_event_stands_in_the_operations_page() -> None:
    assert render_reasons_md().strip() in OPERATIONS
    assert render_events_md().strip() in OPERATIONS


def test_the_help_names_every_exit_code() -> None:
    told = re.findall(r"(\d+) ", commands.epilog or "")
    assert {int(code) for code in told} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [page.parent / link for link in links if "://" not in link]
    published = [ROOT / found[1] for link in links if (found := re.fullmatch(rf"{PUBLISHED}/(.+)", link))]
    assert [path for path in [*local, *published] if not path.exists()] == []


def test_the_readme_links_to_addresses_since_the_index_shows_it_alone() -> None:
    assert [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_finds_its_heading(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    local = [(page.parent / name if name else page, anchor) for name, anchor in links if "://" not in name]
    assert [anchor for target, anchor in local if anchor not in anchors(target)] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings: small letters, no signs, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("script", re.findall(r"^(scripts/[\w-]+)$", README, re.MULTILINE))
def test_every_script_that_the_readme_names_can_be_run(script: str) -> None:
    path = ROOT / script
    assert path.is_file()
    assert os.name == "nt" or path.stat().st_mode & 0o111, "Windows has no mode bits"
