"""Try each picture of a folder in a process of its own, so that a crash or a hang names its file.

`python -m tests.hostile_pictures FOLDER OUT THREADS` prints a line of JSON before and after each file and writes what
would be sent to OUT; the last line holds the peak memory of the process in MB. `tried` starts it and reads its lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from connector.model import Reason
from connector.photo import PictureRefused, Recipe, prepare

ROOT = Path(__file__).resolve().parent.parent
REFUSALS = (Reason.NOT_AN_IMAGE, Reason.DAMAGED, Reason.TOO_SMALL, Reason.TOO_LARGE)
HEADING = (
    "| pictures | files | accepted | not an image | damaged | too small | too large | peak memory | slowest, CPU |"
)


class HurtError(Exception):
    """Raised with the file at which the process crashed or hung."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of each file, as its line of JSON, and the most memory that the process held, in MB."""

    results: list[dict[str, Any]]
    peak_mb: float

    @property
    def accepted(self) -> list[dict[str, Any]]:
        """Return the files of which something would be sent."""
        return [result for result in self.results if "sent" in result]

    @property
    def slowest(self) -> dict[str, Any]:
        """Return the file that took longest."""
        return max(self.results, key=lambda result: float(result["seconds"]))

    def counts(self) -> tuple[int, ...]:
        """Count files, accepted ones, and those refused by reason, in the order of `REFUSALS`."""
        refused = Counter(result["refused"] for result in self.results if "refused" in result)
        return (len(self.results), len(self.accepted), *(refused[reason] for reason in REFUSALS))

    def row(self, title: str) -> str:
        """Return the row of docs/security.md."""
        counts = " | ".join(f"{count:,}" for count in self.counts())
        seconds = self.slowest["seconds"]
        return f"| {title} | {counts} | {self.peak_mb:.0f} MB | {seconds:.2f} s |"


def tried(folder: Path, out: Path, *, threads: int = 1, seconds: float = 240) -> Tried:
    """Try each file of a folder in a process of its own; HurtError where it crashes, or takes longer than that."""
    out.mkdir()
    command = [sys.executable, "-m", "tests.hostile_pictures", str(folder), str(out), str(threads)]
    try:
        ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as hung:
        raise HurtError(f"It hangs at {(hung.stdout or b'').splitlines()[-1:]}") from hung
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    if ended.returncode:
        raise HurtError(f"It ended at {lines[-1:]} with {ended.returncode}: {ended.stderr[-2000:]!r}")
    return Tried([line for line in lines if "name" in line], lines[-1]["peak_mb"])


def main() -> None:
    """Try every file below the folder, in the order of their names, so many threads side by side."""
    folder, out, threads = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    paths = sorted(one for one in folder.rglob("*") if one.is_file())
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda one: attempt(folder, one[1], out / f"{one[0]}.jpg"), enumerate(paths)):
            pass
    say(peak_mb=peak_mb())


def attempt(folder: Path, path: Path, sent: Path) -> None:
    """Try one file, and write what would be sent."""
    name = path.relative_to(folder).as_posix()
    say(trying=name)
    content_bytes = path.read_bytes()
    begun = time.thread_time()
    try:
        prepared = prepare(content_bytes, Recipe())
    except PictureRefused as refused:
        say(name=name, refused=refused.reason, detail=refused.message, seconds=time.thread_time() - begun)
        return
    seconds = time.thread_time() - begun
    sent.write_bytes(prepared.sent_bytes)
    say(name=name, sent=sent.name, width=prepared.whole.width, height=prepared.whole.height, seconds=seconds)


def peak_mb() -> float:
    """Return the most memory that this process ever held, in MB; getrusage would count what its parent held."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM"))


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
