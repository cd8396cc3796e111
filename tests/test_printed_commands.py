"""Commands in pages, mails, documents and scripts: a shell takes them, and the program takes their words."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from connector.cli.config_commands import config
from connector.cli.main import commands
from connector.command import pasteable, use_env_file
from connector.errors import ExitCode
from connector.notify.mail import compose
from connector.report.html import MOST_ROWS, write_page
from tests.company import Company, face
from tests.printed_commands import accept_words, hold_mail, hold_page
from tests.report_stories import a_run
from tests.test_pasted import powershell

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
KINDS = "|".join(
    [*(name for name in commands.commands if name != "config"), *(f"config {one}" for one in config.commands)]
)
COMMAND = re.compile(rf"^(?:.*[ /\\])?photo-connector (?:{KINDS})(?!.*\[(?:OPTIONS|PERSON|RUN)\])\b.*$")
INLINE = re.compile(rf"`((?:[^`\s]*[/\\])?photo-connector (?:{KINDS})(?: [^`]*)?)`")


def fences(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of each fenced block, long lines joined."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    yield from ((language, text.replace("\\\n", " ")) for language, text in found)


def typed(page: Path) -> list[tuple[str, str]]:
    """Return (language, command) of what a page tells its reader to type."""
    lines = [(language, line.strip()) for language, text in fences(page) for line in text.splitlines()]
    commands_in_blocks = [(language, line) for language, line in lines if COMMAND.match(line)]
    return commands_in_blocks + [("", command) for command in INLINE.findall(page.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("page", "language", "command"),
    [(page.name, *one) for page in DOCUMENTS for one in dict.fromkeys(typed(page))],
)
def test_a_command_of_a_page_is_taken_by_the_program(page: str, language: str, command: str) -> None:
    words = powershell(command) if language == "powershell" else shlex.split(command, comments=True)

    accept_words(words)


def test_the_pages_have_commands_in_blocks_for_both_shells_and_in_sentences() -> None:
    found = {language for page in DOCUMENTS for language, _ in typed(page)}

    assert found >= {"sh", "powershell", ""}


@pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX shells")
@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_every_block_for_a_posix_shell_is_read_by_it(page: Path) -> None:
    for language, text in fences(page):
        if language in ("sh", "bash"):
            done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), text


@pytest.mark.parametrize("script", sorted((ROOT / "connector" / "resources").iterdir()), ids=lambda path: path.name)
def test_a_command_in_the_words_of_a_script_is_taken_by_the_program(script: Path) -> None:
    for command in INLINE.findall(script.read_text("utf-8")):
        accept_words(shlex.split(command))


@pytest.fixture
def settings_file(tmp_path: Path) -> Iterator[None]:
    use_env_file(tmp_path / "photo connector" / "a.env")
    yield
    use_env_file(None)


@pytest.mark.usefixtures("settings_file")
@pytest.mark.parametrize("size", [600, MOST_ROWS + 1])
def test_the_commands_of_a_stopped_plan_can_be_pasted_from_page_and_mail(size: int) -> None:
    message = "600 photos would be replaced, above the limit of 500. Preview with `photo-connector sync --dry-run`."
    report = a_run(exit_code=int(ExitCode.BRAKE), message=pasteable(message), plan_size=size)

    page = io.StringIO()
    write_page(report, page)
    assert hold_page(page.getvalue()) >= 4
    assert hold_mail(compose(report, to=("a@contoso.com",), sender="b@contoso.com")) >= 6


def test_the_page_of_a_stopped_run_has_commands_that_can_be_pasted(company: Company, tmp_path: Path) -> None:
    team = company.team(30)
    company.sync()
    for one in team:
        company.paint(one, face(f"new {one.name}"))
    page = tmp_path / "stopped.html"

    told = company.sync("--report", str(page), days=1)

    assert told.code == ExitCode.BRAKE
    assert hold_page(page.read_text("utf-8")) >= 4


@pytest.mark.parametrize(
    "page",
    [
        "<p><code>photo-connector sync --aprove 3</code></p>",
        "<p><code>photo-connector report 3 --output 'plan.html</code></p>",
        "<p><code>photo-connector report --env-file a.env</code> or <code>photo-connector sync</code></p>",
        "<p>Type photo-connector sync --dry-run now.</p>",
        '<script type="application/json">{"rows":[["Look with `photo-connector history --last`."]]}</script>',
        '<script type="application/json">{"rows":[["Look with `sync --only ada`."]]}</script>',
    ],
)
def test_the_search_in_pages_finds_what_cannot_be_pasted(page: str) -> None:
    with pytest.raises((AssertionError, ValueError, click.ClickException)):
        hold_page(page)
