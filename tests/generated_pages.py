"""Write the pages, and parts of pages, that are made from the code: `python -m tests.generated_pages` (scripts/docs).

A part stands between two comments, `<!-- begin NAME: ... -->` and `<!-- end NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from connector.cli.main import commands
from connector.cli.man_page import render_commands_md
from connector.config import render_configuration_md, render_env_example
from connector.doctor import CHECKS, render_checks_md
from connector.notify.systemlog import render_events_md
from connector.report import render_reasons_md

ROOT = Path(__file__).parent.parent
# Whole files.
PAGES: dict[str, Callable[[], str]] = {
    ".env.example": render_env_example,
    "docs/configuration.md": render_configuration_md,
    "docs/commands.md": lambda: render_commands_md(commands),
}
# Parts: the page, the name between the comments, and the text.
PARTS: tuple[tuple[str, str, Callable[[], str]], ...] = (
    ("README.md", "help", lambda: f"```\n{help_text()}\n```"),
    ("docs/checks.md", "checks", lambda: f"\n{render_checks_md(CHECKS).strip()}\n"),
    ("docs/operations.md", "events", lambda: f"\n{render_events_md().strip()}\n"),
    ("docs/operations.md", "reasons", lambda: f"\n{render_reasons_md().strip()}\n"),
)


def help_text() -> str:
    """Return what `photo-connector --help` shows at 80 columns."""
    shown = CliRunner().invoke(commands, ["--help"], prog_name="photo-connector", terminal_width=80)
    return shown.output.strip()


def rendered(name: str) -> str:
    """Return a page as it should be: generated, or as it is with its generated parts replaced."""
    if name in PAGES:
        return PAGES[name]()
    text = (ROOT / name).read_text("utf-8")
    for page, part, make in PARTS:
        if page == name:
            text = _replaced(text, part, make().strip("\n") if part == "help" else make())
    return text


def _replaced(text: str, part: str, new: str) -> str:
    found = re.search(rf"(<!-- begin {part}: [^\n]*-->\n)(.*?)(<!-- end {part} -->)", text, re.DOTALL)
    assert found, f"the comments around the part {part} are missing"
    return text[: found.end(1)] + new.rstrip("\n") + "\n" + ("" if part == "help" else "\n") + text[found.start(3) :]


def names() -> list[str]:
    """Return every page that is generated, in whole or in part."""
    return sorted({*PAGES, *(page for page, _, _ in PARTS)})


def main() -> None:
    """Write what differs, and name it."""
    for name in names():
        path, text = ROOT / name, rendered(name)
        if not path.exists() or path.read_bytes() != text.encode():
            path.write_bytes(text.encode())
            print(f"docs: wrote {name}")


if __name__ == "__main__":
    main()
