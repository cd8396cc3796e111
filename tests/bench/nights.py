"""The cost of one run: the program as a process of its own, which prints its time and memory at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.ledger.store import LEDGER_NAME
from tests.bench.world import CAP, LATENCY, Place

# Peak memory is the process's own high-water mark: what rusage says may stem from the process that started it.
_PROGRAM = """
import json, sys, time
from connector.cli.main import run
code = run(sys.argv[2:])
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
json.dump({"cpu": time.process_time(), "peak_kib": peak}, open(sys.argv[1], "w"))
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a night cost; times in seconds. `limit` is all its Graph requests × latency ÷ concurrency.

    `ledger_bytes` is the size of the ledger after it.

    `wall_ratio` and `put_ratio` are the whole night, and first to last PUT, by their limits; 0 where there is none.
    """

    night: str
    directory: str
    people: int
    uploads: int
    requests: int
    entries: int
    bytes_up: int
    bytes_down: int
    wall: float
    limit: float
    cpu: float
    peak_mib: float
    put_span: float
    put_ratio: float
    violations: int
    wall_ratio: float
    ledger_bytes: int


def live_through(place: Place, folder: Path, *, night: str, state: str, options: tuple[str, ...] = ()) -> Cost:
    """Run `sync` once and return its cost; raises RuntimeError with the program's words when it fails."""
    report, figures, env_file = folder / "report.json", folder / "figures.json", folder / "settings.env"
    settings = {**place.settings, "STATE_DIR": str(folder / state), "SYNC_VERIFY_PERCENT": "0"}
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()), encoding="utf-8")
    env_file.chmod(0o600)
    place.cloud.log.clear()
    words = ["sync", "--env-file", str(env_file), "--report", str(report), *options]
    began = time.monotonic()
    command = [sys.executable, "-c", _PROGRAM, str(figures), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    wall = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"The {night} night ended with {done.returncode}: {done.stderr[-2000:]}")
    ledger_bytes = (folder / state / LEDGER_NAME).stat().st_size
    known = {"night": night, "directory": place.directory.kind, "wall": wall, "ledger_bytes": ledger_bytes}
    return _cost(place, json.loads(report.read_text("utf-8")), known, figures)


def _cost(place: Place, told: dict[str, Any], known: dict[str, Any], figures: Path) -> Cost:
    own = json.loads(figures.read_text("utf-8"))
    puts = [(r.started, r.ended) for r in place.cloud.log.records() if r.method == "PUT"]
    span = max(end for _, end in puts) - min(start for start, _ in puts) if puts else 0.0
    asked = told["requests"]
    limit = asked["http"] * LATENCY / CAP
    return Cost(
        **known,
        people=told["totals"]["people"],
        uploads=len(puts),
        requests=asked["http"],
        entries=asked["ldap_entries"],
        bytes_up=asked["bytes_up"],
        bytes_down=asked["bytes_down"],
        limit=limit,
        cpu=own["cpu"],
        peak_mib=own["peak_kib"] / 1024,
        put_span=span,
        put_ratio=span / (len(puts) * LATENCY / CAP) if puts else 0.0,
        violations=len(place.cloud.log.violations()),
        wall_ratio=known["wall"] / limit if limit else 0.0,
    )
