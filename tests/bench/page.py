"""Keep the last three results of the bench on a page of the documentation, newest first, each under its commit."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import Any

from tests.bench.nights import Cost

HEADING = "## The last three results"
_RESULT = "\n### "
KEPT = 3


def with_result(page: str, result: str) -> str:
    """Return the page with another result: in place of one of the same commit, else of the oldest of three.

    The results are the last section of the page; a result begins with its heading, `### COMMIT, ...`.
    """
    before, _, section = page.partition(HEADING)
    old = [f"### {text}".rstrip() for text in section.split(_RESULT)[1:]]
    commit = _commit_of(result)
    kept = [result.rstrip(), *(one for one in old if _commit_of(one) != commit)][:KEPT]
    return "\n\n".join((before.rstrip(), HEADING, *kept)) + "\n"


def _commit_of(result: str) -> str:
    return result.partition("\n")[0].partition(",")[0]


def as_result(figures: dict[str, Any], costs: list[Cost], *, load: float) -> str:
    """Write one result as Markdown; `load` is the machine's load average as the bench began."""
    made, day = figures["machine"], datetime.now(UTC).date().isoformat()
    lines = [
        f"### {commit()}, {day}",
        "",
        f"{made['cores']} cores, Python {made['python']}, load {load:.1f} at the start.",
        "",
        "| run | people | directory | wall ÷ limit | PUTs ÷ limit | CPU, ms each | peak, MiB | database, B each |",
        "|---|---|---|---|---|---|---|---|",
        *(_night(cost) for cost in costs),
    ]
    told = [*map(_auto, figures["auto"]), *map(_reading, figures["against_python_ldap"]), _picture(figures["picture"])]
    return "\n".join([*lines, "", *told])


def _night(cost: Cost) -> str:
    wall, puts = (f"{ratio:.2f}" if ratio else "" for ratio in (cost.wall_ratio, cost.put_ratio))
    each = f"{1000 * cost.cpu / cost.people:.1f} | {cost.peak_mib:.0f} | {cost.ledger_bytes / cost.people:,.0f}"
    return f"| {cost.night} | {cost.people:,} | {cost.directory} | {wall} | {puts} | {each} |"


def _auto(row: dict[str, Any]) -> str:
    times = f"{row['times_faster']:.2f} × faster than four lanes, its PUTs {row['times_faster_puts']:.2f} ×"
    refused = f"{100 * row['refused_share']:.2f} % of the requests refused"
    where = f"where {row['allowed']} are allowed, over {row['people']:,} people"
    return f"- `SYNC_CONCURRENCY=auto` {where}: {times}; {refused}."


def _reading(row: dict[str, Any]) -> str:
    read = f"- Reading {row['people']:,} people of {row['directory']}, by python-ldap's:"
    return f"{read} wall {row['wall_ratio']:.2f} ×, CPU {row['cpu_ratio']:.2f} ×."


def _picture(cost: dict[str, Any]) -> str:
    size = f"{cost['picture_bytes'] / 1000:.0f} kB"
    return (
        f"- Preparing a picture of {size}: {cost['prepare_ms']:.1f} ms of CPU, of which the search for damage takes "
        f"{cost['check_ms']:.1f} ms."
    )


def commit() -> str:
    """Return the commit that is measured; with a plus where tracked files differ from it, `unknown` without git."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return f"{name}+" if _git("status", "--porcelain", "--untracked-files=no") else name
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
