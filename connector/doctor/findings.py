"""What does the doctor say? One finding a line: well, doubtful, wrong, or not tried; and what mends it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from connector.command import pasteable
from connector.doctor.context import CheckContext
from connector.errors import ExitCode
from connector.model import safe


class Status(StrEnum):
    """Say how one thing was found."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Hold what a look found: `detail` says it in a sentence, `fix` what to do, with the command or the place."""

    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Hold a line of the doctor's: the check's stable `id`, `what` was tried, and what was seen."""

    id: str
    status: Status
    what: str
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Describe one prerequisite.

    `look` tries it and yields one or several findings; it may raise ConnectorError, which is a failure. It is not
    tried when one of `needs` found nothing that works, nor, if
    `ldap_only`, with SOURCE=folder. `about` says in the documentation when it is not well.
    """

    id: str
    what: str
    about: str
    look: Callable[[CheckContext], Iterable[CheckResult]]
    needs: tuple[str, ...] = ()
    ldap_only: bool = False


def ok(detail: str) -> CheckResult:
    """Say that all is well."""
    return CheckResult(Status.OK, detail)


def warn(detail: str, fix: str) -> CheckResult:
    """Say that it works, or may work, but should be looked at."""
    return CheckResult(Status.WARN, detail, fix)


def fail(detail: str, fix: str) -> CheckResult:
    """Say that a night cannot work like this."""
    return CheckResult(Status.FAIL, detail, fix)


def skipped(detail: str, fix: str = "") -> CheckResult:
    """Say that there was nothing to try."""
    return CheckResult(Status.SKIPPED, detail, fix)


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
