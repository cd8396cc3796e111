"""Garbled answers on both wires, from seeded dice: no traceback, no exit code 1, an end, and little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Against a hang alone; the run takes seconds.
DEADLINE_SECONDS = 600


@pytest.mark.parametrize("seed", [1, 2])
def test_garbled_answers_end_in_words_and_never_in_a_traceback(seed: int) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--answers", "120", "--seed", str(seed)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=DEADLINE_SECONDS)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "garbled answers" in done.stdout
