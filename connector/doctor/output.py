"""How are findings told? A line each with its mark and what mends it, as JSON, and as the documentation's table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import TextIO

from connector.command import pasteable
from connector.doctor.findings import Check, Finding, Status
from connector.errors import ExitCode
from connector.model import safe

_MARKS = {Status.OK: "✓", Status.WARN: "!", Status.FAIL: "✗", Status.SKIPPED: "–"}


def write_line(finding: Finding, out: TextIO) -> None:
    """Write a finding: mark, what, detail, and below it the fix where there is one."""
    out.write(f"{_MARKS[finding.status]} {safe(finding.what)}: {pasteable(safe(finding.detail))}\n")
    if finding.fix:
        out.write(f"    → {pasteable(safe(finding.fix))}\n")
    out.flush()


def write_verdict(findings: Sequence[Finding], out: TextIO) -> None:
    """Write the last line: how many findings are wrong and doubtful, and what that means for a night."""
    failed = sum(finding.status is Status.FAIL for finding in findings)
    doubtful = sum(finding.status is Status.WARN for finding in findings)
    if failed:
        counts = f"{failed} wrong, {doubtful} doubtful."
        told = f"{counts} Mend what is wrong, from the top, and run `photo-connector check` again."
    elif doubtful:
        plan = "look at `photo-connector sync --dry-run` first"
        told = f"Nothing is wrong, {doubtful} doubtful. A night can run; {plan}."
    else:
        told = "All is well. Look at what a night would do: `photo-connector sync --dry-run --report plan.html`."
    out.write(f"\n{pasteable(told)}\n")
    out.flush()


def write_json(findings: Iterable[Finding], out: TextIO) -> None:
    """Write the list of findings; in ASCII, so that every console and pipe carries it."""
    json.dump([dataclasses.asdict(finding) for finding in findings], out, indent=2)
    out.write("\n")


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return the contract's code: 2 for settings, 5 for another failure, 3 for warnings, 0 when all is well."""
    found = list(findings)
    failed = {finding.id for finding in found if finding.status is Status.FAIL}
    if "settings" in failed:
        return ExitCode.SETTINGS
    if failed:
        return ExitCode.UNREACHABLE
    warned = any(finding.status is Status.WARN for finding in found)
    return ExitCode.SOME_FAILED if warned else ExitCode.OK


def render_checks_md(checks: Sequence[Check]) -> str:
    """Return the table of checks in Markdown, as docs/checks.md shows it."""
    rows = ["| id | what is tried | when it is not well | rests on |", "|---|---|---|---|"]
    for check in checks:
        needs = ", ".join(f"`{need}`" for need in check.needs) or "nothing"
        rows.append(f"| `{check.id}` | {check.what} | {check.about} | {needs} |")
    return "\n".join(rows) + "\n"
