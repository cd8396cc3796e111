"""Write the coverage as one HTML file that needs no network, with a bar for each group and the list of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from connector.coverage.output import label_of
from connector.coverage.summary import STATE_LABELS, Coverage, Group, PhotoTotals
from connector.ledger.coverage import SMALL, CloudState
from connector.report.html import asset, environment, policy

MOST_GROUPS = 200
MOST_LISTED = 20_000
TITLES = {"ou": "By organizational unit", "department": "By department", "company": "By company"}
SHORT_LABELS = {
    **{CloudState.OURS: "Uploaded", CloudState.SOURCE: "Directory's photo", CloudState.OTHER: "Another photo"},
    **{CloudState.NONE: "No photo", CloudState.UNKNOWN: "Not yet known"},
}


@dataclass(frozen=True, slots=True)
class Segment:
    """Draw one part of a bar: name, place and width out of 1,000."""

    name: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Section:
    """Show the groups of one kind; `left_out` says how many more there are."""

    title: str
    rows: list[tuple[str, Group, list[Segment]]]
    left_out: int


def write_page(coverage: Coverage, stream: TextIO, *, by: str = "", when: str = "") -> None:
    """Write the page; without `by` it has the groups of every kind of which anything is known."""
    kinds = [by] if by else [kind for kind, found in coverage.groups.items() if any(group.name for group in found)]
    style, without = asset("report.css") + asset("coverage.css"), coverage.without_photo()
    chunks = (
        environment()
        .get_template("coverage.html.j2")
        .generate(
            coverage=coverage,
            when=when,
            style=style,
            policy=policy(style, ""),
            labels=STATE_LABELS,
            short=SHORT_LABELS,
            small=SMALL,
            parts=[
                ("people", "People in scope", coverage.total.people, segments(coverage.total.people)),
                ("accounts", "Enabled member accounts", coverage.total.accounts, segments(coverage.total.accounts)),
            ],
            ages=[(name, count, _share(count, coverage.ages.values())) for name, count in coverage.ages.items()],
            sections=[_section(coverage, kind) for kind in kinds],
            without=without[:MOST_LISTED],
            left_out=max(0, len(without) - MOST_LISTED),
        )
    )
    for chunk in chunks:
        stream.write(chunk)


def segments(counts: PhotoTotals) -> list[Segment]:
    """Share out 1,000 units among the states; what is there at all stays visible."""
    there = {state: count for state, count in counts.states.items() if count}
    widths = {state: max(8.0, 1000 * count / counts.total) for state, count in there.items()}
    scale, start, found = 1000 / sum(widths.values()) if widths else 1.0, 0.0, []
    for state, width in widths.items():
        found.append(Segment(state.value, round(start, 2), round(width * scale, 2)))
        start += width * scale
    return found


def _section(coverage: Coverage, kind: str) -> Section:
    found = coverage.groups[kind]
    rows = [
        (label_of(kind, group.name), group, segments(group.people if group.people.total else group.accounts))
        for group in found[:MOST_GROUPS]
    ]
    return Section(TITLES[kind], rows, max(0, len(found) - MOST_GROUPS))


def _share(count: int, all_counts: object) -> float:
    whole = sum(all_counts) if hasattr(all_counts, "__iter__") else 0
    return round(100 * count / whole, 1) if whole else 0.0
