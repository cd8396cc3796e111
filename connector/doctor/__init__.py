"""Is everything ready for a night? Every prerequisite is tried for real, in order, each with what mends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from connector.doctor.checks import CHECKS
from connector.doctor.context import CheckContext
from connector.doctor.findings import (
    Check,
    CheckResult,
    Finding,
    Status,
    exit_code,
    render_checks_md,
    skipped,
    write_json,
    write_line,
    write_verdict,
)
from connector.errors import ConnectorError
from connector.model import Clock, utc_now
from connector.sources.open import source_traits

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Finding",
    "Status",
    "examine",
    "exit_code",
    "render_checks_md",
    "write_json",
    "write_line",
    "write_verdict",
]


def examine(env_file: Path | None, *, checks: Sequence[Check] = CHECKS, clock: Clock = utc_now) -> Iterator[Finding]:
    """Yield findings as they are made; nothing is written to directory, cloud or ledger."""
    visit = CheckContext(env_file=env_file, clock=clock)
    whats = {check.id: check.what for check in checks}
    broken: dict[str, str] = {}
    try:
        for check in checks:
            obstacle = next((broken[need] for need in check.needs if need in broken), "")
            if obstacle:
                found = [skipped(f"not tried because of: {whats[obstacle]} ({obstacle})")]
            else:
                found = _looked(check, visit)
            if obstacle or all(one.status is Status.FAIL for one in found):
                broken[check.id] = obstacle or check.id
            for one in found:
                yield Finding(id=check.id, status=one.status, what=check.what, detail=one.detail, fix=one.fix)
    finally:
        visit.end()


def _looked(check: Check, visit: CheckContext) -> list[CheckResult]:
    """Return all that a look found; what it raised comes last, as a failure."""
    if check.ldap_only and not source_traits(visit.settings).is_ldap:
        return [skipped(f"SOURCE={visit.settings.source}: no directory is read")]
    found: list[CheckResult] = []
    try:
        for one in check.look(visit):
            found.append(one)  # noqa: PERF402 - what was found before an error counts
    except ConnectorError as error:
        found.append(CheckResult(Status.FAIL, error.message, error.fix))
    return found
