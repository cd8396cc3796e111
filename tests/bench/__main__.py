"""Run the bench: `scripts/bench [--people N …] [--large] [--pace N] [--json FILE] [--page FILE]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench.checks import measure_pictures
from tests.bench.faces import EDGE
from tests.bench.loop import MEASURED, Loop, measure
from tests.bench.nights import Cost, live_through
from tests.bench.pace import auto_against_four, measure_pace
from tests.bench.page import as_result, with_result
from tests.bench.reading import Read, against_python_ldap, read_side_by_side
from tests.bench.world import CAP, LATENCY, open_place

HEAD = (
    "night",
    "people",
    "directory",
    "uploads",
    "requests",
    "per person",
    "entries",
    "wall s",
    "÷ limit",
    "PUTs ÷ limit",
)
TAIL = ("CPU ms each", "peak MiB", "MB up", "MB down", "ledger B each")


def nights(people: int) -> tuple[list[Cost], list[Read]]:
    """Live through all five nights with so many people, and read their directory side by side with python-ldap.

    Adoption starts without a memory beside the same cloud.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_place(folder, people) as place:
            costs = [_tell(live_through(place, folder, night="first", state="state"))]
            costs.append(_tell(live_through(place, folder, night="quiet", state="state")))
            for number in range(people // 200):
                place.change(number * 200, 1)
            costs.append(_tell(live_through(place, folder, night="0.5 % changed", state="state")))
            costs.append(_tell(live_through(place, folder, night="full", state="state", options=("--full",))))
            costs.append(_tell(live_through(place, folder, night="adoption", state="fresh")))
            return costs, read_side_by_side(place, folder)


def _tell(cost: Cost) -> Cost:
    each = f"{cost.requests / cost.people:.3f}"
    first = (
        cost.night,
        f"{cost.people:,}",
        cost.directory,
        cost.uploads,
        cost.requests,
        each,
        cost.entries,
        f"{cost.wall:.1f}",
    )
    second = (f"{cost.wall_ratio:.2f}", f"{cost.put_ratio:.2f}", f"{cost.cpu / cost.people * 1000:.1f}")
    moved = (f"{cost.peak_mib:.0f}", f"{cost.bytes_up / 1e6:.1f}", f"{cost.bytes_down / 1e6:.1f}")
    ledger = f"{cost.ledger_bytes / cost.people:,.0f}"
    print(_row((*first, *second, *moved, ledger)), flush=True)
    return cost


def _row(cells: tuple[object, ...]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def against(costs: list[Cost], loops: list[Loop]) -> list[dict[str, object]]:
    """Compare each first and quiet night with the loops, scaled to as many people."""
    rows: list[dict[str, object]] = []
    for cost in costs:
        for loop in [one.scaled(cost.people) for one in loops if one.night == cost.night]:
            faster, fewer = loop.wall / cost.wall, loop.requests / max(cost.requests, 1)
            rows.append({**asdict(loop), "times_faster": faster, "times_fewer_requests": fewer})
            text = f"{cost.night}, {cost.people:,} people: {faster:.1f} × faster, {fewer:.1f} × fewer requests"
            print(f"{text} than the loop with {loop.lanes} lane(s) (scaled from {MEASURED} people)", flush=True)
    return rows


def machine() -> dict[str, object]:
    """Describe the machine."""
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--people", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--large", action="store_true", help="also 50,000 people")
    parser.add_argument("--json", type=Path, default=Path(".lab/bench.json"))
    parser.add_argument("--no-loop", action="store_true", help="leave out what people run today")
    parser.add_argument("--pace", type=int, default=2_000, help="people of the first nights with auto; 0 leaves it out")
    parser.add_argument("--page", type=Path, help="a page whose last section keeps the last three results")
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{machine()}; {LATENCY * 1000:.0f} ms a request, {CAP} at a time, pictures of {EDGE} px")
    print(_row((*HEAD, *TAIL)) + "\n|" + "---|" * len(HEAD + TAIL), flush=True)
    lived = [nights(people) for people in asked.people + [50_000] * asked.large]
    costs = [cost for one, _ in lived for cost in one]
    reads = [read for _, some in lived for read in some]
    loops = [] if asked.no_loop else measure()
    compared = against(costs, loops)
    told = {"machine": machine(), "latency": LATENCY, "concurrency": CAP, "nights": [asdict(one) for one in costs]}
    told |= {"loop_measured": [asdict(one) for one in loops], "against_the_loop": compared}
    paces = measure_pace(asked.pace) if asked.pace else []
    told |= {"pace": [asdict(one) for one in paces], "auto": auto_against_four(paces) if paces else []}
    told |= {"readings": [asdict(one) for one in reads], "against_python_ldap": against_python_ldap(reads)}
    told |= {"picture": asdict(measure_pictures())}
    if asked.page:
        page = asked.page.read_text(encoding="utf-8")
        asked.page.write_text(with_result(page, as_result(told, costs, load=load)), encoding="utf-8")
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
