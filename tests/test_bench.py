"""Does the bench still measure? It lives through its nights over a few people; nobody here looks at its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PEOPLE = 200  # of whom 0.5 % is one


def test_the_bench_lives_through_every_night_and_writes_what_each_cost(tmp_path: Path) -> None:
    figures = tmp_path / "bench.json"
    program = [sys.executable, "-m", "tests.bench"]
    command = [*program, "--people", str(PEOPLE), "--no-loop", "--pace", str(PEOPLE), "--json", str(figures)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    measured = json.loads(figures.read_text("utf-8"))
    costs = {cost["night"]: cost for cost in measured["nights"]}
    assert {night: cost["uploads"] for night, cost in costs.items()} == {
        **{"first": PEOPLE, "quiet": 0, "0.5 % changed": 1, "full": 0, "adoption": 0},
    }
    assert costs["first"]["entries"] == PEOPLE + 1  # the base DN is looked up, too
    assert (costs["quiet"]["requests"], costs["quiet"]["entries"]) == (1, 0)
    assert all(cost["violations"] == 0 and cost["peak_mib"] > 0 for cost in costs.values())
    highest = {(one["allowed"], one["lanes"]): one["lanes_highest"] for one in measured["pace"]}
    refused = {(one["allowed"], one["lanes"]): one["refused"] for one in measured["pace"]}
    assert [highest[4, "4"], highest[16, "4"], highest[4, "auto"]] == [4, 4, 5]
    assert 4 < highest[16, "auto"] <= 16
    assert [refused[4, "4"], refused[16, "4"], refused[16, "auto"]] == [0, 0, 0]
    assert refused[4, "auto"] >= 1
