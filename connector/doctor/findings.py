"""Represent the findings of the preflight check, with their verdict, as JSON, and as the documentation's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from connector.command import pasteable
from connector.doctor.context import CheckContext
from connector.errors import ConnectorError, ExitCode, Unreachable


class Status(StrEnum):
    """List the outcomes of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Represent one result of a check: `detail` is a sentence, `fix` what to do, with the command or the place."""

    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Represent one line of the preflight check: the check's stable `id`, `what` was tested, and the result.

    `depends_on` names the check whose failure is the reason why this one was not made.
    """

    id: str
    status: Status
    what: str
    detail: str
    fix: str = ""
    group: str = ""
    depends_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Describe one prerequisite; checks of one `group` follow each other.

    `look` tests it and yields one or several results; a ConnectorError that it raises is a failure. It is skipped
    if one of `needs` failed altogether, and, if `ldap_only`, with SOURCE=folder. `about` is for the documentation:
    when it fails or warns.
    """

    id: str
    group: str
    what: str
    about: str
    look: Callable[[CheckContext], Iterable[CheckResult]]
    needs: tuple[str, ...] = ()
    ldap_only: bool = False


def ok(detail: str) -> CheckResult:
    """Return a result without a problem."""
    return CheckResult(Status.OK, detail)


def warn(detail: str, fix: str) -> CheckResult:
    """Return a warning: it works, or may work, but needs attention."""
    return CheckResult(Status.WARN, detail, fix)


def fail(detail: str, fix: str) -> CheckResult:
    """Return a failure: a run cannot work like this."""
    return CheckResult(Status.FAIL, detail, fix)


def words_of(error: ConnectorError) -> str:
    """Return what an error says, without the system's name, which the check has as its own."""
    return error.cause if isinstance(error, Unreachable) else error.message


def skipped(detail: str, fix: str = "") -> CheckResult:
    """Return a result for a check that was not made."""
    return CheckResult(Status.SKIPPED, detail, fix)


_PREVIEW = "Preview with `photo-connector sync --dry-run --report plan.html`."
MARKS = {Status.OK: "✓", Status.WARN: "!", Status.FAIL: "✗", Status.SKIPPED: "–"}


def verdict(findings: Sequence[Finding]) -> str:
    """Return the last line: the number of failures and warnings, and the next step; commands can be pasted."""
    failed = sum(finding.status is Status.FAIL for finding in findings)
    warnings = sum(finding.status is Status.WARN for finding in findings)
    if failed:
        counts = f"{failed} failed, {_counted(warnings)}."
        text = f"{counts} Fix the failures from the top, then run `photo-connector check` again."
    elif warnings:
        text = f"No failures, {_counted(warnings)}. Ready to sync. {_PREVIEW}"
    else:
        text = f"All checks passed. {_PREVIEW}"
    return pasteable(text)


def _counted(warnings: int) -> str:
    return "1 warning" if warnings == 1 else f"{warnings} warnings"


def write_json(findings: Iterable[Finding], out: TextIO) -> None:
    """Write the list of findings, in ASCII for every console and pipe."""
    names = ("id", "status", "what", "detail", "fix")
    json.dump([{name: getattr(finding, name) for name in names} for finding in findings], out, indent=2)
    out.write("\n")


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Return the contract's code: 2 for settings, 5 for another failure, 3 for warnings, else 0."""
    rows = list(findings)
    failed = {finding.id for finding in rows if finding.status is Status.FAIL}
    if "settings" in failed:
        return ExitCode.SETTINGS
    if failed:
        return ExitCode.UNREACHABLE
    warned = any(finding.status is Status.WARN for finding in rows)
    return ExitCode.SOME_FAILED if warned else ExitCode.OK


def render_checks_md(checks: Sequence[Check]) -> str:
    """Return the table of checks in Markdown, as docs/checks.md shows it."""
    rows = ["| id | what is tested | when it fails (✗) or warns (!) | depends on |", "|---|---|---|---|"]
    for check in checks:
        needs = ", ".join(f"`{need}`" for need in check.needs) or "nothing"
        rows.append(f"| `{check.id}` | {check.what} | {check.about} | {needs} |")
    return "\n".join(rows) + "\n"
