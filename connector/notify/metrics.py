"""Write the metrics of a run as a Prometheus textfile (node_exporter, windows_exporter), replaced atomically."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from connector.disk import reason, write_whole
from connector.errors import ExitCode
from connector.model import STAGING, RunReport

_PREFIX = "photo_connector"
_FINISHED = (ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.LIMIT)
_SUCCEEDED = (ExitCode.OK, ExitCode.LIMIT)
_SUCCESS = "last_success_timestamp_seconds"
_COMPLETION = "last_completion_timestamp_seconds"
_MOST_READ = 1_000_000


def write_metrics(report: RunReport, path: Path, *, labels: Mapping[str, str] | None = None) -> str:
    """Replace the textfile with the metrics of this run; return a warning sentence if that failed, else empty text.

    A dry run and a restore write nothing. The time of the last success is kept over runs that failed. `labels`
    distinguish several instances (a tenant), since one machine must not give a series twice. Format: Prometheus text
    exposition 0.0.4, without timestamps.
    """
    if report.dry_run or report.kind not in ("sync", STAGING):
        return ""
    try:
        text = "".join(_lines(report, _lasting_times(path), _braces(labels or {})))
        # Exporters read *.prom only, so they do not see the draft; they run as another user, so the file is readable.
        write_whole(path, text.encode(), mode=0o644)
    except OSError as error:
        return f"The metrics file {str(path)!r} could not be written: {reason(error)}."
    return ""


def _lines(report: RunReport, kept: Mapping[str, float], base: str) -> Iterator[str]:
    ended = report.finished or report.started
    yield from _gauge("last_run_timestamp_seconds", "When the last run ended (Unix time).", base, _unix(ended))
    yield from _when(_SUCCESS, "When a run last did everything that was due.", base, report, kept, _SUCCEEDED)
    yield from _when(_COMPLETION, "When a run last reached its end.", base, report, kept, _FINISHED)
    code = ExitCode.FAULT if report.exit_code is None else report.exit_code
    yield from _gauge("last_exit_code", "Exit code of the last run (0: no problem).", base, code)
    yield from _gauge("last_run_duration_seconds", "How long the last run took.", base, _seconds(report))
    text = "1 on a stand-by server, whose results are planned and not written."
    yield from _gauge("staging", text, base, int(report.is_staging))
    if report.credential_ends is not None:
        text = "When the application's certificate or secret ends (Unix time)."
        yield from _gauge("credential_expiry_timestamp_seconds", text, base, _unix(report.credential_ends))
    yield from _family("people", "Users by result of the last run.", base, "result", report.totals)
    yield from _family("requests", "Requests of the last run.", base, "kind", report.requests)
    for who, counts in report.coverage().items():
        text = f"Enabled member accounts or people in scope ({who}) by whose photo the cloud shows."
        yield from _family(f"coverage_{who}", text, base, "state", counts)
    text = "People in scope who are treated by a rule of their own."
    yield from _family("ruled_people", text, base, "rule", report.rules())
    yield from _family("pace", "Rates of the last run.", base, "kind", report.pace)


def _gauge(name: str, description: str, base: str, value: float) -> Iterator[str]:
    yield from _head(name, description)
    yield f"{_PREFIX}_{name}{base} {value:.15g}\n"


def _when(
    name: str,
    description: str,
    base: str,
    report: RunReport,
    kept: Mapping[str, float],
    exit_codes: tuple[ExitCode, ...],
) -> Iterator[str]:
    ended = report.finished
    value = _unix(ended) if ended and report.exit_code in exit_codes else kept.get(name)
    if value is not None:
        yield from _gauge(name, description, base, value)


def _family(name: str, description: str, base: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    if values:
        yield from _head(name, description)
    for key, value in values.items():
        inner = base[1:-1] + "," if base else ""
        yield f'{_PREFIX}_{name}{{{inner}{label}="{_escaped(key)}"}} {value:.15g}\n'


def _head(name: str, description: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {description}\n# TYPE {_PREFIX}_{name} gauge\n"


def _braces(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _lasting_times(path: Path) -> dict[str, float]:
    """Read the times that outlive a failed run; a missing or foreign file, or text that is no number, gives none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(_MOST_READ)
    pattern = rf"^{_PREFIX}_({_SUCCESS}|{_COMPLETION})(?:\{{.*\}})? (\S+)$"
    times = ((name, _number(value)) for name, value in re.findall(pattern, text, re.MULTILINE))
    return {name: value for name, value in times if value is not None}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _unix(when: datetime) -> float:
    return round(when.timestamp(), 3)


def _seconds(report: RunReport) -> float:
    ended = report.finished or report.started
    return max(0.0, round((ended - report.started).total_seconds(), 3))
