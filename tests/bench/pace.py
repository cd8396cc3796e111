"""Measure `SYNC_CONCURRENCY=auto` beside four lanes, where the service allows 4 photo requests at once and where 16."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.nights import live_through
from tests.bench.world import open_place

ALLOWED, LANES = (4, 16), ("4", "auto")


@dataclass(frozen=True, slots=True)
class Pace:
    """A first night: what the service allows, the setting, its times in seconds, and what its report says.

    `put_span` is the time from the first to the last PUT; `refused` counts the answers 429.
    """

    allowed: int
    lanes: str
    people: int
    wall: float
    put_span: float
    requests: int
    refused: int
    lanes_lowest: int
    lanes_highest: int
    slow_downs: int
    slow_downs_by_latency: int


def measure_pace(people: int) -> list[Pace]:
    """Live through a first night in each world with each setting, everything new each time."""
    return [_first_night(people, allowed, lanes) for allowed in ALLOWED for lanes in LANES]


def _first_night(people: int, allowed: int, lanes: str) -> Pace:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_place(folder, people, cap=allowed, real=False) as place:
            chosen = replace(place, settings={**place.settings, "SYNC_CONCURRENCY": lanes})
            cost = live_through(chosen, folder, night="first", state="state")
            refused = sum(record.status == 429 for record in place.cloud.log.records())
        told = json.loads((folder / "report.json").read_text("utf-8"))["pace"]
    names = ("lanes_lowest", "lanes_highest", "slow_downs", "slow_downs_by_latency")
    pace = Pace(
        *(allowed, lanes, people, cost.wall, cost.put_span, cost.requests, refused),
        **{name: told[name] for name in names},
    )
    print(f"{allowed} allowed, SYNC_CONCURRENCY={lanes}, {people:,} people: {_text(pace)}", flush=True)
    return pace


def _text(pace: Pace) -> str:
    share = 100 * pace.refused / pace.requests
    return (
        f"{pace.wall:.1f} s, PUTs {pace.put_span:.1f} s, lanes {pace.lanes_lowest} to {pace.lanes_highest}, "
        f"{pace.slow_downs} slow-downs, {pace.refused} of {pace.requests:,} requests refused ({share:.2f} %)"
    )


def auto_against_four(paces: list[Pace]) -> list[dict[str, float]]:
    """Compare `auto` with four lanes in each world."""
    rows = []
    for allowed in ALLOWED:
        four, auto = (next(one for one in paces if (one.allowed, one.lanes) == (allowed, lanes)) for lanes in LANES)
        faster = {"times_faster": four.wall / auto.wall, "times_faster_puts": four.put_span / auto.put_span}
        share = auto.refused / auto.requests
        rows.append({"allowed": allowed, "people": auto.people, **faster, "refused_share": share})
        text = f"{faster['times_faster']:.2f} × faster, its PUTs {faster['times_faster_puts']:.2f} ×"
        print(f"auto against four lanes where {allowed} are allowed: {text}", flush=True)
    return rows
