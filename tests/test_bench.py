"""The bench still measures: it lives through its nights over a few people; nothing here looks at its times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.page import HEADING, with_result
from tests.test_words import struck

PEOPLE = 200  # of whom 0.5 % is one


@pytest.mark.timeout(900)  # all runs twice, on a busy machine
def test_the_bench_lives_through_every_night_and_writes_what_each_cost(tmp_path: Path) -> None:
    figures, page = tmp_path / "bench.json", tmp_path / "page.md"
    page.write_text("# What it costs\n\nWords.\n", encoding="utf-8")
    program = [sys.executable, "-m", "tests.bench"]
    command = [
        *program,
        "--people",
        str(PEOPLE),
        "--no-loop",
        "--pace",
        str(PEOPLE),
        "--json",
        str(figures),
        "--page",
        str(page),
    ]

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
    assert all(cost["ledger_bytes"] > 0 for cost in costs.values())
    ours = measured["readings"][0]
    assert (ours["reader"], ours["people"]) == ("ours", PEOPLE)
    assert all((one["people"], one["photo_bytes"]) == (PEOPLE, ours["photo_bytes"]) for one in measured["readings"])
    highest = {(one["allowed"], one["lanes"]): one["lanes_highest"] for one in measured["pace"]}
    refused = {(one["allowed"], one["lanes"]): one["refused"] for one in measured["pace"]}
    assert [highest[4, "4"], highest[16, "4"], highest[4, "auto"]] == [4, 4, 5]
    assert 4 < highest[16, "auto"] <= 16
    assert [refused[4, "4"], refused[16, "4"], refused[16, "auto"]] == [0, 0, 0]
    assert refused[4, "auto"] >= 1
    assert measured["picture"]["picture_bytes"] > 0
    head, _, section = page.read_text("utf-8").partition(HEADING)
    assert head == "# What it costs\n\nWords.\n\n"
    assert section.count("\n| ") == 1 + 5, "a head and five nights"
    assert section.count("\n- `SYNC_CONCURRENCY=auto` where ") == 2
    assert section.count("\n- Preparing a picture of ") == 1
    assert struck(section) == [], "the page is one of the documentation"


def test_the_page_keeps_the_last_three_results_and_one_of_each_commit() -> None:
    page = "# What it costs\n\nWords.\n"
    for number in range(1, 6):
        page = with_result(page, f"### commit{number}, a day\n\nfigures {number}\n")
    page = with_result(page, "### commit5, a day later\n\nfigures anew\n")

    assert page.splitlines() == [
        *("# What it costs", "", "Words.", "", HEADING, ""),
        *("### commit5, a day later", "", "figures anew", ""),
        *("### commit4, a day", "", "figures 4", ""),
        *("### commit3, a day", "", "figures 3"),
    ]
