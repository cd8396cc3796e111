"""List the runs that are kept, newest first: as lines for people (local time), or as JSON (UTC)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connector.errors import ExitCode
from connector.ledger.codec import unpack_time
from connector.ledger.runs import RunRow
from connector.report.summary import iso_utc, local_time

HEADINGS = ("run", "started", "kind", "result", "counts", "exit")
RESULTS: Mapping[int | None, str] = {
    ExitCode.OK: "finished",
    ExitCode.FAULT: "internal error",
    ExitCode.SETTINGS: "wrong settings",
    ExitCode.SOME_FAILED: "some failed",
    ExitCode.BRAKE: "stopped by a safety limit",
    ExitCode.UNREACHABLE: "incomplete",
    ExitCode.LIMIT: "finished at a limit",
    ExitCode.INTERRUPTED: "interrupted",
    None: "not finished",
}
COUNTED = ("created", "replaced", "removed", "failed")
_PLANNED = {"created": "to create", "replaced": "to replace", "removed": "to remove"}


def rows(runs: list[RunRow]) -> Iterator[tuple[str, ...]]:
    """Yield each run as texts in the order of HEADINGS."""
    for run in runs:
        code = "" if run.exit_code is None else str(run.exit_code)
        yield str(run.id), local_time(unpack_time(run.started)), _kind(run), result_of(run), counts_of(run), code


def as_lines(runs: list[RunRow]) -> Iterator[str]:
    """Yield the runs as plain lines with aligned columns."""
    if not runs:
        yield "No run is kept yet."
        return
    table = [HEADINGS, *rows(runs)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0], cells[-1] = row[0].rjust(widths[0]), row[-1].rjust(widths[-1])
        yield "  ".join(cells).rstrip()


def as_json(runs: list[RunRow]) -> list[dict[str, object]]:
    """Return the runs for programs; keys may be added."""
    return [
        {
            "run": run.id,
            "kind": run.kind,
            "dry_run": run.dry_run,
            "chosen": run.chosen,
            "approves": run.approves or None,
            "mode": run.mode,
            "started": iso_utc(unpack_time(run.started)),
            "finished": iso_utc(unpack_time(run.finished)),
            "result": result_of(run),
            "exit_code": run.exit_code,
            "message": run.message,
            "totals": run.totals,
        }
        for run in runs
    ]


def _kind(run: RunRow) -> str:
    words = [run.kind, "--only" if run.chosen and run.kind == "sync" else "", "dry run" if run.dry_run else ""]
    words.append(f"--approve {run.approves}" if run.approves else "")
    return " ".join(word for word in words if word)


def result_of(run: RunRow) -> str:
    """Return how the run ended, in words."""
    return RESULTS.get(run.exit_code, "stopped")


def counts_of(run: RunRow) -> str:
    """Return what was written, or would be by a dry run, and what failed, without zeros."""
    words = _PLANNED if run.dry_run else {}
    told = [f"{run.totals[name]:,} {words.get(name, name)}" for name in COUNTED if run.totals.get(name)]
    is_done = run.exit_code in (ExitCode.OK, ExitCode.SOME_FAILED)
    return ", ".join(told) or (
        "nothing to write" if run.totals and is_done else "nothing written" if run.totals else ""
    )
