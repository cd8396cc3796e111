"""Write a run as plain lines: the summary, the counts, people who need attention, then the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TextIO

from connector.errors import ExitCode
from connector.model import Outcome, RunReport
from connector.model.reasons import ADVICE, needs_attention, people
from connector.report.summary import (
    AttentionGroup,
    as_planned,
    cause_parts,
    commands_heading,
    concerns,
    detail_for_people,
    duration,
    headline,
    kind_of,
    labelled_totals,
    lasting,
    local_time,
    next_commands,
    one_line_safe,
    short_name,
    unchanged_since,
    uploads_note,
    where_of,
)


def write_text(report: RunReport, stream: TextIO, *, limit: int | None = None, verbose: bool = False) -> None:
    """Write the run as text; `limit` caps each list of people, None lists all. Outcomes are streamed.

    `verbose` adds the identifiers of pictures and requests.
    """
    for line in _lines(as_planned(report), limit, verbose=verbose):
        stream.write(line + "\n")


def _lines(report: RunReport, limit: int | None, *, verbose: bool) -> Iterator[str]:
    yield headline(report)
    commands, (cause, advice) = next_commands(report), cause_parts(report)
    is_stopped = report.exit_code == ExitCode.BRAKE
    if report.message and not is_stopped:
        yield one_line_safe(report.message)
    if commands:
        yield from ("", commands_heading(report), *([f"  {cause}"] if cause and is_stopped else []))
        yield from (f"  {label + ':':<12} {command}" for label, command in commands)
        yield from ([f"  {advice}"] if advice and is_stopped else [])
    yield ""
    yield from _facts(report)
    yield ""
    yield from _totals(report)
    note = uploads_note(report)
    if note:
        yield f"  {note}"
    if report.notices:
        yield from ("", "Notices", *(f"  ! {one_line_safe(notice)}" for notice in report.notices))
    for concern in concerns(report):
        yield from _concern(report, concern, limit, verbose=verbose)
    yield from _other_people(report, limit, verbose=verbose)
    yield from _unmatched(report, limit)


def _unmatched(report: RunReport, limit: int | None) -> Iterator[str]:
    """List accounts that Entra Connect synced and that no person in scope has: the scope may be too narrow."""
    count = report.totals.get("unmatched_accounts", 0)
    names = list(islice(report.unmatched(), limit)) if limit is not None else report.unmatched()
    for number, upn in enumerate(names):
        if number == 0:
            yield from ("", f"Synced accounts without an in-scope user: {count:,}")
        yield f"  {one_line_safe(upn)}"
    if limit is not None and count > limit:
        yield f"  … and {count - limit:,} more; --report FILE.json lists all."


def _facts(report: RunReport) -> Iterator[str]:
    took = duration(report)
    ended = f"took {took}" if took else "not finished"
    yield f"Run {report.run} ({kind_of(report)}, {report.mode}), started {local_time(report.started)}, {ended}."
    yield f"{where_of(report)}."
    pace = report.pace
    if pace.get("slow_downs") or pace.get("lanes_highest", 0) > pace.get("lanes_lowest", 0):
        yield _pace(pace)


def _pace(pace: Mapping[str, float]) -> str:
    """Format how many requests were made in parallel, and why there were fewer at times (not counted by older runs)."""
    lowest, prefix = pace.get("lanes_lowest", 0), "slow_downs_by_"
    causes = [(name.removeprefix(prefix), int(count)) for name, count in pace.items() if name.startswith(prefix)]
    why = ", ".join(f"{count} by {cause.replace('_', ' ')}" for cause, count in causes if count)
    slowed = int(pace.get("slow_downs", 0))
    told = f"slowed down {slowed:,} {'time' if slowed == 1 else 'times'}" + (f" ({why})" if why else "")
    return f"Photo requests in parallel: {lowest:.0f} to {pace.get('lanes_highest', lowest):.0f}; {told}."


def _totals(report: RunReport) -> Iterator[str]:
    rows = labelled_totals(report)
    if not rows:
        return
    width = max(len(label) for _, label, _ in rows)
    digits = max(len(f"{count:,}") for *_, count in rows)
    for _, label, count in rows:
        yield f"  {label:<{width}}  {count:>{digits},}"


def _concern(report: RunReport, concern: AttentionGroup, limit: int | None, *, verbose: bool) -> Iterator[str]:
    kind = "Failed" if concern.is_failure else "Conflict"
    since = unchanged_since(concern)
    yield ""
    yield f"{kind}: {concern.title} [{concern.reason}], {people(concern.count)}{since}"
    if since:
        return
    yield f"  What to do: {concern.cure}"
    chosen = (outcome for outcome in report.outcomes() if concern.includes(outcome))
    yield from _listed(chosen, limit, verbose=verbose)


def _other_people(report: RunReport, limit: int | None, *, verbose: bool) -> Iterator[str]:
    unchanged = lasting(report)
    chosen = (outcome for outcome in report.outcomes() if not needs_attention(outcome) and outcome.since is None)
    first = next(chosen, None)
    if first is None and not unchanged:
        return
    yield from ("", "Other users" if report.mode == "full" else "Other users who were checked")
    for group in unchanged:
        yield f"  {group.action:<7} {people(group.count)}: {group.title} [{group.reason}]{unchanged_since(group)}"
    if first is not None:
        yield from _listed(_again(first, chosen), limit, verbose=verbose, with_reason=True)


def _listed(
    outcomes: Iterable[Outcome], limit: int | None, *, verbose: bool, with_reason: bool = False
) -> Iterator[str]:
    stream = iter(outcomes)
    for outcome in islice(stream, limit):
        yield _line(outcome, verbose=verbose, with_reason=with_reason)
    remaining = sum(1 for _ in stream) if limit is not None else 0
    if remaining:
        yield one_line_safe(f"  … and {remaining:,} more; `photo-connector report --format csv` lists all.")


def _line(outcome: Outcome, *, verbose: bool, with_reason: bool) -> str:
    name = one_line_safe(short_name(outcome.person))
    who = f"{name} <{one_line_safe(outcome.upn)}>" if outcome.upn and outcome.upn != name else name
    text = detail_for_people(outcome, verbose=verbose)
    if with_reason:
        text = f"{ADVICE[outcome.reason].title} [{outcome.reason}]" + (f". {text}" if text else "")
    return f"  {outcome.action:<7} {who}" + (f": {text}" if text else "")


def _again(first: Outcome, rest: Iterator[Outcome]) -> Iterator[Outcome]:
    yield first
    yield from rest
