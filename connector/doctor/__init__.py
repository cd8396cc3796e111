"""Run the preflight check: test every prerequisite in order and return each result with its fix."""

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
    words_of,
    write_json,
)
from connector.doctor.output import CheckOutput
from connector.errors import ConnectorError
from connector.model import Clock, utc_now
from connector.sources.open import source_traits

__all__ = [
    "CHECKS",
    "Check",
    "CheckOutput",
    "CheckResult",
    "Finding",
    "Status",
    "examine",
    "exit_code",
    "render_checks_md",
    "write_json",
]


def examine(env_file: Path | None, *, checks: Sequence[Check] = CHECKS, clock: Clock = utc_now) -> Iterator[Finding]:
    """Yield findings as they are made; nothing is written to the directory, the cloud or the database."""
    context = CheckContext(env_file=env_file, clock=clock)
    whats = {check.id: check.what for check in checks}
    broken: dict[str, str] = {}
    try:
        for check in checks:
            failed_check = next((broken[need] for need in check.needs if need in broken), "")
            if failed_check:
                results = [skipped(f"skipped (depends on {whats[failed_check]})")]
            else:
                results = _results(check, context)
            if failed_check or all(result.status is Status.FAIL for result in results):
                broken[check.id] = failed_check or check.id
            need = whats.get(failed_check, "")
            for result in results:
                yield Finding(
                    id=check.id,
                    status=result.status,
                    what=check.what,
                    detail=result.detail,
                    fix=result.fix,
                    group=check.group,
                    depends_on=need,
                )
    finally:
        context.close()


def _results(check: Check, context: CheckContext) -> list[CheckResult]:
    """Return the results of a check; an error that it raised is the last one, as a failure."""
    if check.ldap_only and not source_traits(context.settings).is_ldap:
        return [skipped(f"SOURCE={context.settings.source}: no directory is read")]
    results: list[CheckResult] = []
    try:
        for result in check.look(context):
            results.append(result)  # noqa: PERF402 - results before an error count
    except ConnectorError as error:
        results.append(CheckResult(Status.FAIL, words_of(error), error.fix))
    return results
