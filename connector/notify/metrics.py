"""What does monitoring read of a run? A Prometheus textfile (node_exporter, windows_exporter), replaced as a whole."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from connector.disk import reason, write_whole
from connector.errors import ExitCode
from connector.model import RunReport

_PREFIX = "photo_connector"
_FINISHED = (ExitCode.OK, ExitCode.SOME_FAILED, ExitCode.LIMIT)
_SUCCEEDED = (ExitCode.OK, ExitCode.LIMIT)
_SUCCESS = "last_success_timestamp_seconds"
_COMPLETION = "last_completion_timestamp_seconds"
_MOST_READ = 1_000_000


def write_metrics(report: RunReport, path: Path, *, labels: Mapping[str, str] | None = None) -> str:
    """Replace the textfile with what this run has to tell; return a warning sentence, empty when all is well.

    A dry run and a restore tell nothing. The time of the last success is kept over runs that failed. `labels`
    tell several instances apart (a tenant), since one machine must not give a series twice. Format: Prometheus text
    exposition 0.0.4, without timestamps.
    """
    if report.dry_run or report.kind != "sync":
        return ""
    try:
        text = "".join(_lines(report, _kept(path), _braces(labels or {})))
        # Exporters read *.prom only, so the draft is invisible to them; they run as another user, so it is readable.
        write_whole(path, text.encode(), mode=0o644)
    except OSError as error:
        return f"The metrics file {str(path)!r} could not be written: {reason(error)}."
    return ""


def _lines(report: RunReport, kept: Mapping[str, float], base: str) -> Iterator[str]:
    ended = report.finished or report.started
    yield from _one("last_run_timestamp_seconds", "When the last run ended (Unix time).", base, _unix(ended))
    yield from _when(_SUCCESS, "When a run last did all that was due.", base, report, kept, _SUCCEEDED)
    yield from _when(_COMPLETION, "When a run last reached its end.", base, report, kept, _FINISHED)
    code = ExitCode.FAULT if report.exit_code is None else report.exit_code
    yield from _one("last_exit_code", "How the last run ended; 0 is well.", base, code)
    yield from _one("last_run_duration_seconds", "How long the last run took.", base, _seconds(report))
    yield from _family("people", "People by what the last run did.", base, "result", report.totals)
    yield from _family("requests", "What the last run cost.", base, "kind", report.requests)
    yield from _family("pace", "How fast the last run went.", base, "kind", report.pace)


def _one(name: str, told: str, base: str, value: float) -> Iterator[str]:
    yield from _head(name, told)
    yield f"{_PREFIX}_{name}{base} {value:.15g}\n"


def _when(
    name: str, told: str, base: str, report: RunReport, kept: Mapping[str, float], codes: tuple[ExitCode, ...]
) -> Iterator[str]:
    ended = report.finished
    value = _unix(ended) if ended and report.exit_code in codes else kept.get(name)
    if value is not None:
        yield from _one(name, told, base, value)


def _family(name: str, told: str, base: str, label: str, values: Mapping[str, float]) -> Iterator[str]:
    if values:
        yield from _head(name, told)
    for key, value in values.items():
        inner = base[1:-1] + "," if base else ""
        yield f'{_PREFIX}_{name}{{{inner}{label}="{_escaped(key)}"}} {value:.15g}\n'


def _head(name: str, told: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {told}\n# TYPE {_PREFIX}_{name} gauge\n"


def _braces(labels: Mapping[str, str]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _kept(path: Path) -> dict[str, float]:
    """Read back the times that outlive a failed run: of a missing or foreign file, and of no number, none."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        text = stream.read(_MOST_READ)
    pattern = rf"^{_PREFIX}_({_SUCCESS}|{_COMPLETION})(?:\{{.*\}})? (\S+)$"
    told = ((name, _number(value)) for name, value in re.findall(pattern, text, re.MULTILINE))
    return {name: value for name, value in told if value is not None}


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
