"""Write the findings of the preflight check in groups: with colours on a terminal, in plain lines to a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from connector.command import pasteable, wrapped
from connector.doctor.findings import MARKS, Finding, Status, verdict
from connector.model import safe

LAST_RUN = "last-run"
MOST_NAMED = 12
# The order of a group's verdict, and the terminal's own colours of the marks.
_WORDS = {Status.FAIL: "failed", Status.WARN: "warning", Status.OK: "passed", Status.SKIPPED: "skipped"}
_STYLES = {Status.OK: "green", Status.WARN: "bold yellow", Status.FAIL: "bold red", Status.SKIPPED: "dim"}
_FIX = "    → "


class CheckOutput:
    """Write each group once its last check was made, below its verdict; checks without their ground come last.

    `quiet` leaves out headings, what passed and what was skipped. On a terminal (`console`), lines are as wide as it.
    """

    def __init__(self, out: TextIO, *, console: Console | None = None, quiet: bool = False) -> None:
        self._out, self._console, self._quiet = out, console, quiet
        self._waiting: list[Finding] = []
        self._dependent: dict[str, list[Finding]] = {}
        self._all: list[Finding] = []

    def add(self, finding: Finding) -> None:
        """Take one finding; those of the group before are written when the group changes."""
        self._all.append(finding)
        if self._waiting and self._waiting[-1].group != finding.group:
            self._write_group()
        if finding.depends_on:
            self._dependent.setdefault(finding.depends_on, []).append(finding)
        else:
            self._waiting.append(finding)

    def finish(self) -> None:
        """Write the last group, what was skipped, and the verdict."""
        self._write_group()
        for need, findings in self._dependent.items() if not self._quiet else ():
            self._line(Status.SKIPPED, _skipped_line(need, findings))
        if self._quiet or self._dependent:
            self._plain("")  # a group ends with an empty line of its own
        self._plain(verdict(self._all))

    def _write_group(self) -> None:
        findings, self._waiting = self._waiting, []
        if self._quiet:
            findings = [finding for finding in findings if finding.status in (Status.WARN, Status.FAIL)]
        last_run = [finding for finding in findings if finding.id == LAST_RUN]
        for finding in last_run:
            self._finding(finding)
        if last_run and not self._quiet:
            self._plain("")
        rest = [finding for finding in findings if finding.id != LAST_RUN]
        if not self._quiet and rest:
            self._heading(rest[0].group, _counts(rest))
        for finding in rest:
            self._finding(finding)
        if not self._quiet and rest:
            self._plain("")

    def _finding(self, finding: Finding) -> None:
        self._line(finding.status, f"{safe(finding.what)}: {pasteable(safe(finding.detail))}")
        if finding.fix:
            self._print(_FIX, pasteable(safe(finding.fix)), "bold" if finding.status is Status.FAIL else "")

    def _line(self, status: Status, text: str) -> None:
        self._print(f"{MARKS[status]} ", text, "", mark=_STYLES[status])

    def _print(self, mark_text: str, text: str, style: str, *, mark: str = "dim") -> None:
        """Write one finding or fix; on a terminal its further lines stand below its first word."""
        if self._console is None:
            self._plain(f"{mark_text}{text}")
            return
        first, *others = wrapped(text, self._console.width - len(mark_text))
        self._console.print(Text.assemble((mark_text, mark), (first, style)), soft_wrap=True)
        for line in others:
            self._console.print(Text(" " * len(mark_text) + line, style), soft_wrap=True)

    def _heading(self, title: str, counts: Counter[Status]) -> None:
        worst = next(status for status in _WORDS if counts[status])
        told = ", ".join(_count(status, counts[status]) for status in _WORDS if counts[status])
        if self._console is None:
            self._plain(f"{title}: {told}")
        else:
            self._console.print(Text.assemble((title, "bold"), ": ", (told, _STYLES[worst])))

    def _plain(self, text: str) -> None:
        if self._console is not None:
            self._console.print(Text(text), soft_wrap=True)
            return
        self._out.write(f"{text}\n")
        self._out.flush()


def _counts(findings: Iterable[Finding]) -> Counter[Status]:
    return Counter(finding.status for finding in findings)


def _count(status: Status, count: int) -> str:
    plural = "s" if status is Status.WARN and count != 1 else ""
    return f"{count} {_WORDS[status]}{plural}"


def _skipped_line(need: str, findings: Sequence[Finding]) -> str:
    """Return one line for everything that was skipped for the same cause."""
    names = list(_names(findings))
    if len(names) == 1:
        return f"{names[0]}: skipped (depends on {need})"
    listed = f": {', '.join(names)}" if len(names) <= MOST_NAMED else ""
    return f"{len(names)} checks skipped (they depend on {need}){listed}"


def _names(findings: Sequence[Finding]) -> Iterator[str]:
    yield from dict.fromkeys(safe(finding.what) for finding in findings)
