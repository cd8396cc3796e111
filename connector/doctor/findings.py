"""What does the doctor say? One finding a line: well, doubtful, wrong, or not tried; and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from connector.doctor.context import CheckContext


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
