"""Write the coverage as text, as JSON, or as CSV with one row a person."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import TextIO

from connector.coverage.summary import STATE_LABELS, Coverage, Entry, Group, PhotoTotals
from connector.ledger.coverage import SMALL, CloudState
from connector.report.json_csv import safe_cell
from connector.report.summary import iso_utc, one_line_safe

BAR = 40
LISTED = 20
NO_NAME = {"ou": "(no organizational unit)", "department": "(no department)", "company": "(no company)"}
COLUMNS = (
    *("name", "upn", "has_photo", "cloud_photo", "cloud_pixels", "small", "source_photo", "source_photo_since"),
    *("ou", "department", "company", "in_scope", "member_account", "match_problem", "checked_at"),
    *("person", "person_id", "account_id", "opted_out_since", "opted_out_by", "photo_removed_at"),
)
_SIGNS = {
    **{CloudState.OURS: "█", CloudState.SOURCE: "▓", CloudState.OTHER: "▒"},
    **{CloudState.NONE: "·", CloudState.UNKNOWN: "?"},
}


def write_text(coverage: Coverage, stream: TextIO, *, by: str = "", when: str = "") -> None:
    """Write totals with bars, the groups that were asked for, and the first people without a photo."""
    stream.writelines(f"{line}\n" for line in _lines(coverage, by, when))


def write_json(coverage: Coverage, stream: TextIO, *, by: str = "") -> None:
    """Write totals, groups and everybody without a photo as one JSON object; times are in UTC."""
    kinds = [by] if by else list(coverage.groups)
    told = {
        "run": coverage.run or None,
        "as_of": iso_utc(coverage.as_of),
        **_group_json(coverage.total),
        "groups": {kind: [{"name": one.name, **_group_json(one)} for one in coverage.groups[kind]] for kind in kinds},
        "without_photo": _rows_json(coverage.without_photo()),
        "opted_out": _rows_json(coverage.opted_out()),
    }
    stream.write(json.dumps(told, indent=1) + "\n")


def write_csv(entries: Iterable[Entry], stream: TextIO) -> None:
    """Write one row a person or account, with a byte order mark; no cell is a formula."""
    stream.write("\ufeff")
    table = csv.writer(stream, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    table.writerow(COLUMNS)
    table.writerows([safe_cell(text) for text in _cells(entry)] for entry in entries)


def _rows_json(entries: Iterable[Entry]) -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, _cells(entry), strict=True)) for entry in entries]


def label_of(kind: str, name: str) -> str:
    """Return a group's name, or words for those without one."""
    return name or NO_NAME[kind]


def _lines(coverage: Coverage, by: str, when: str) -> Iterator[str]:
    if not coverage.run:
        yield one_line_safe("No run has seen anything yet. Start with `photo-connector sync`.")
        return
    yield f"As of run {coverage.run}{f', {when}' if when else ''}"
    for title, counts in (
        ("Enabled member accounts", coverage.total.accounts),
        ("People in scope", coverage.total.people),
    ):
        yield ""
        yield f"{title}: {counts.total:,}, with a photo {counts.with_photo:,} ({counts.percent} %)"
        yield from _count_lines(counts)
    yield ""
    yield "Photos in the directory, first seen"
    yield from (f"  {count:>9,}  {name}" for name, count in coverage.ages.items() if count)
    if by:
        yield from ("", f"By {by}: people in scope, with a photo, and their share", *_group_lines(coverage, by))
    yield from _list_lines(coverage.without_photo())


def _count_lines(counts: PhotoTotals) -> Iterator[str]:
    if counts.total:
        yield f"  {_bar(counts)}"
    for state, label in STATE_LABELS.items():
        if counts.states[state]:
            yield f"  {counts.states[state]:>9,}  {_SIGNS[state]} {label}"
    for count, label in (
        (counts.small, f"of these smaller than {SMALL} pixels"),
        (counts.without_source_photo, "without a photo in the directory"),
        (counts.without_account, "without an account"),
        (counts.opted_out, "opted out"),
    ):
        if count:
            yield f"  {count:>9,}    {label}"


def _bar(counts: PhotoTotals, length: int = BAR) -> str:
    """Return a bar in which each state has its share; whatever is there at all has at least one sign."""
    there = {state: count for state, count in counts.states.items() if count}
    signs = {state: max(1, round(length * count / counts.total)) for state, count in there.items()}
    widest = max(signs, key=lambda state: signs[state])
    signs[widest] += length - sum(signs.values())
    return "".join(_SIGNS[state] * number for state, number in signs.items())


def _group_lines(coverage: Coverage, by: str) -> Iterator[str]:
    found = [group for group in coverage.groups[by] if group.people.total]
    widest = max((len(label_of(by, group.name)) for group in found), default=0)
    for group in found:
        people = group.people
        name = one_line_safe(label_of(by, group.name)).ljust(min(widest, 38))
        yield f"  {name}  {people.total:>7,} {people.with_photo:>7,} {people.percent:>4} %  {_bar(people, 12)}"


def _list_lines(without: list[Entry]) -> Iterator[str]:
    if not without:
        return
    yield ""
    yield f"Without a photo: {len(without):,}"
    for entry in without[:LISTED]:
        yield f"  {entry.name} <{one_line_safe(entry.row.upn)}>, in the directory: {entry.source}{entry.opted_out}"
    if len(without) > LISTED:
        more = f"and {len(without) - LISTED:,} more: `photo-connector coverage --output coverage.csv` lists everybody"
        yield f"  {one_line_safe(more)}"


def _group_json(group: Group) -> dict[str, object]:
    counts = {"accounts": _counts_json(group.accounts), "people": _counts_json(group.people)}
    return {**counts, "source_photo_first_seen": dict(group.ages)}


def _counts_json(counts: PhotoTotals) -> dict[str, int]:
    return {
        "total": counts.total,
        **{state.value: count for state, count in counts.states.items()},
        "with_photo": counts.with_photo,
        "small": counts.small,
        "without_source_photo": counts.without_source_photo,
        "without_account": counts.without_account,
        "opted_out": counts.opted_out,
    }


def _cells(entry: Entry) -> list[str]:
    row = entry.row
    has_photo = {True: "yes", False: "no", None: "not known"}[entry.has_photo]
    return [
        *(entry.name, row.upn, has_photo, row.cloud.value, str(row.edge or ""), "yes" if row.is_small else ""),
        *(entry.source, iso_utc(row.source_since) or "", entry.ou, row.department, row.company),
        *("yes" if row.in_scope else "no", "yes" if row.is_member else "no", row.match_problem),
        *(iso_utc(row.checked_at) or "", row.name if row.in_scope else "", row.person_id, row.account_id),
        *(iso_utc(row.opted_out_since) or "", row.opted_out_by, iso_utc(row.removed_at) or ""),
    ]
