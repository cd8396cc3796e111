"""What becomes of a folder of pictures? A process of its own tries each, so that a crash or a hang names its file.

`python -m tests.hostile_pictures FOLDER OUT` prints a line of JSON before and after each file and writes what would
be sent to OUT; the last line holds the peak memory of the process in MB.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

from connector.photo import PictureRefused, Recipe, prepare


def main() -> None:
    """Try every file below the folder, in the order of their names."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    for number, path in enumerate(sorted(one for one in folder.rglob("*") if one.is_file())):
        name = path.relative_to(folder).as_posix()
        say(trying=name)
        content_bytes = path.read_bytes()
        begun = time.perf_counter()
        try:
            prepared = prepare(content_bytes, Recipe())
        except PictureRefused as refused:
            say(name=name, refused=refused.reason, detail=refused.message, seconds=time.perf_counter() - begun)
            continue
        seconds = time.perf_counter() - begun
        (out / f"{number}.jpg").write_bytes(prepared.sent_bytes)
        say(name=name, sent=f"{number}.jpg", width=prepared.whole.width, height=prepared.whole.height, seconds=seconds)
    say(peak_mb=peak_mb())


def peak_mb() -> float:
    """Return the most memory that this process ever held, in MB; getrusage would count what its parent held."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM"))


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
