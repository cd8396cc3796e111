"""Fixtures for the HTML report in a real Chromium, whose complaints are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
AXE = Path(__file__).parent.parent / ".lab" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


@dataclass
class Tab:
    """An open page with all that the browser said or asked for while it was shown."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Any) -> None:
        """Close a dialog, which no report may open."""
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def _left_out(reason: str) -> NoReturn:
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{reason}; run scripts/install-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        _left_out("no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_file(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Open a file in a tab of its own; options are those of a browser context (colour scheme, viewport)."""
    contexts = []

    def opened(path: Path, **options: Any) -> Tab:
        context = browser.new_context(**options)
        contexts.append(context)
        tab = Tab(context.new_page())
        tab.page.set_default_timeout(120_000)
        tab.page.on("console", lambda message: tab.complaints.append(f"{message.type}: {message.text}"))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("dialog", tab.dismiss)
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.goto(path.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        _left_out("no axe-core")
    return AXE.read_text("utf-8")
