"""Run a part of the bench as a program of its own, so that its work is not counted as ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def running(module: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module, with its input and output at hand, until the block ends."""
    command = [sys.executable, "-m", module, *options]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=dict(os.environ), **pipes)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
