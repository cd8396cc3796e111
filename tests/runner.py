"""What a story types with: an env file, the commands of one server, days that pass, and what came of it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import time_machine

from connector.cli.main import run
from connector.model import Fingerprint
from connector.photo import read_print
from tests.lab.graph import Emulator
from tests.printed_commands import hold_page, hold_printed

# A page of more than this holds thousands of rows like those of the smaller ones.
_LARGE = 4_000_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What an administrator sees of a run: its exit code, its words, and the JSON report (empty when none)."""

    code: int
    out: str
    err: str
    report: dict[str, Any] = field(repr=False)

    @property
    def totals(self) -> dict[str, int]:
        """Return the totals of the report."""
        return dict(self.report["totals"])

    @property
    def requests(self) -> dict[str, int]:
        """Return what went over the wires."""
        return dict(self.report["requests"])

    def of(self, upn: str) -> tuple[str, str] | None:
        """Return (action, reason) of a person by UPN (or name in the source); None where nothing is told."""
        for outcome in self.report["outcomes"]:
            if upn in (outcome["upn"], outcome["person"]):
                return outcome["action"], outcome["reason"]
        return None

    def reasons(self) -> dict[str, int]:
        """Count the outcomes by reason."""
        counts: dict[str, int] = {}
        for outcome in self.report["outcomes"]:
            counts[outcome["reason"]] = counts.get(outcome["reason"], 0) + 1
        return counts


class Runner:
    """Type commands in one place, with one env file; days pass when the story says so."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = {"STATE_DIR": str(folder / "state"), "SYNC_VERIFY_PERCENT": "0", **settings}
        self.days = 0.0
        self._reports = 0

    @property
    def state(self) -> Path:
        """Return the state folder."""
        return Path(self.settings["STATE_DIR"])

    def env_file(self) -> Path:
        """Write the env file and return its path."""
        path = self.folder / "settings.env"
        lines = [f"{name}='{value}'" for name, value in self.settings.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    def sync(self, *options: str, days: float = 0) -> CommandResult:
        """Type `photo-connector sync`, so many days after the last time."""
        self._reports += 1
        report = self.folder / f"report-{self._reports}.json"
        told = self.type("sync", "--env-file", str(self.env_file()), "--report", str(report), *options, days=days)
        return self._with_report(told, report)

    def type(self, *arguments: str, days: float = 0) -> CommandResult:
        """Type any command in this process."""
        self.days += days
        out, err = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            if self.days:
                moment = datetime.now().astimezone() + timedelta(days=self.days)
                stack.enter_context(time_machine.travel(moment, tick=True))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            stack.callback(_close_logs)
            code = run(list(arguments))
        hold_printed(out.getvalue() + err.getvalue())
        for page in {Path(word) for word in arguments if word.endswith(".html")}:
            if page.is_file() and page.stat().st_size < _LARGE:
                hold_page(page.read_text("utf-8"))
        return CommandResult(int(code), out.getvalue(), err.getvalue(), {})

    def start(self, *options: str) -> tuple[subprocess.Popen[str], Path]:
        """Start `sync` as a process of its own, e.g. to kill it; returns it and where its report would be."""
        self._reports += 1
        report = self.folder / f"report-{self._reports}.json"
        command = [sys.executable, "-m", "connector", "sync", "--env-file", str(self.env_file())]
        process = subprocess.Popen(
            [*command, "--report", str(report), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        return process, report

    def read(self, path: Path) -> dict[str, Any]:
        """Return a JSON report; empty when none was written."""
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}

    def _with_report(self, told: CommandResult, path: Path) -> CommandResult:
        return CommandResult(told.code, told.out, told.err, self.read(path))


def _close_logs() -> None:
    ours = logging.getLogger("connector")
    for handler in list(ours.handlers):
        ours.removeHandler(handler)
        handler.close()
    ours.propagate = True
    ours.setLevel(logging.NOTSET)


def shown(cloud: Emulator, account_id: str) -> Fingerprint:
    """Return what an account's photo shows now."""
    photo = cloud.tenant.photo(account_id)
    assert photo is not None, f"{account_id} has no photo"
    return read_print(photo.content_bytes)
