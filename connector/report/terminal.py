"""Show a run on a terminal: counts and reasons as tables, people who need attention with advice, in colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from connector.command import pasteable, wrapped
from connector.errors import ExitCode
from connector.model import Action, Outcome, Reason, RunReport
from connector.model.reasons import ADVICE, needs_attention, people
from connector.report.summary import (
    MAIN_TOTALS,
    AttentionGroup,
    action_labels,
    as_planned,
    cause_parts,
    commands_heading,
    concerns,
    detail_for_people,
    duration,
    headline,
    kind_of,
    labelled_totals,
    local_time,
    next_commands,
    one_line_safe,
    short_name,
    state,
    unchanged_since,
    uploads_note,
    where_of,
)

# The terminal's own sixteen colours: they follow its light or dark background. NO_COLOR switches them off.
_TONES = {"good": "bold green", "note": "bold yellow", "bad": "bold red"}
_COLOURS = {
    Action.CREATE: "green",
    Action.REPLACE: "blue",
    Action.REMOVE: "magenta",
    Action.FAIL: "red",
}


def write_screen(report: RunReport, console: Console, *, limit: int | None = None, verbose: bool = False) -> None:
    """Show the run; `limit` caps each list of people, and with it people without a problem are only counted.

    `verbose` adds the identifiers of pictures and requests.
    """
    report = as_planned(report)
    tone, words = state(report)
    is_stopped = report.exit_code == ExitCode.BRAKE
    console.print(Text(words, _TONES[tone]))
    told = headline(report)
    console.print(Text(told.partition(": ")[2] or told if is_stopped else told))  # the line above has its beginning
    if not is_stopped:
        _indented(console, one_line_safe(report.message), "bold", indent=0)
    took = f", took {duration(report)}" if report.finished else ", not finished"
    console.print(
        Text(f"Run {report.run} ({kind_of(report)}, {report.mode}), started {local_time(report.started)}{took}.", "dim")
    )
    console.print(Text(where_of(report), "dim"))
    _commands(report, console)
    _counts(report, console)
    _reasons(report, console)
    if uploads_note(report):
        console.print(Text(uploads_note(report), "dim"))
    for notice in report.notices:
        first, *others = wrapped(one_line_safe(notice), console.width - 2)
        console.print(Text.assemble(("! ", "bold yellow"), first), soft_wrap=True)
        for line in others:
            console.print(Text(f"  {line}"), soft_wrap=True)
    for concern in concerns(report):
        _concern(report, concern, console, limit=limit, verbose=verbose)
    if limit is None:
        _other_people(report, console)
    else:
        command = pasteable(f"photo-connector report {report.run} --output report.html")
        console.print(Text(f"\nAll users: {command}", "dim"), soft_wrap=True)


def _commands(report: RunReport, console: Console) -> None:
    """Show what to do about a plan that was not carried out."""
    commands, (cause, advice) = next_commands(report), cause_parts(report)
    is_stopped = report.exit_code == ExitCode.BRAKE
    if commands:
        console.print(Text(f"\n{commands_heading(report)}", "bold red" if is_stopped else "bold"))
    if is_stopped:
        _indented(console, cause, "bold")
    for label, command in commands:
        console.print(Text.assemble((f"  {label:<11} ", "bold"), command), soft_wrap=True)
    if is_stopped:
        _indented(console, advice)


def _indented(console: Console, text: str, style: str = "", *, indent: int = 2) -> None:
    """Print a text in lines that fit the terminal; nothing where it is empty."""
    for line in wrapped(text, console.width - indent) if text else ():
        console.print(Text(" " * indent + line, style), soft_wrap=True)


def _counts(report: RunReport, console: Console) -> None:
    known = labelled_totals(report)
    if not known:
        return
    main = [(name, label, count) for name, label, count in known if name in MAIN_TOTALS]
    console.print(_in_columns(main, console.width))
    rest = [f"{label}: {count:,}" for name, label, count in known if name not in MAIN_TOTALS and count]
    if rest:
        console.print(Text(" · ".join(rest), "dim"))


def _in_columns(counts: Sequence[tuple[str, str, int]], width: int) -> Table:
    """Return the counts side by side, or below each other where that is wider than the terminal."""
    cells = [(label, f"{count:,}", _count_style(name, count)) for name, label, count in counts]
    is_wide = sum(max(len(label), len(text)) + 2 for label, text, _ in cells) <= width
    table = Table(box=SIMPLE_HEAD if is_wide else None, pad_edge=False, show_header=is_wide)
    if is_wide:
        for label, _, style in cells:
            table.add_column(label, justify="right", style=style)
        table.add_row(*(text for _, text, _ in cells))
        return table
    table.add_column()
    table.add_column(justify="right")
    for label, text, style in cells:
        table.add_row(label, Text(text, style))
    return table


def _count_style(name: str, count: int) -> str:
    if not count or name not in ("failed", "conflicts"):
        return ""
    return "bold red" if name == "failed" else "yellow"


def _reasons(report: RunReport, console: Console) -> None:
    counts: Counter[tuple[Action, Reason]] = Counter((outcome.action, outcome.reason) for outcome in report.outcomes())
    if not counts:
        return
    words = action_labels(report)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("People", justify="right")
    table.add_column("Action", no_wrap=True)
    table.add_column("Why")
    table.add_column("Reason", style="dim", no_wrap=True)
    for (action, reason), count in sorted(counts.items(), key=lambda item: (_rank(item[0][0]), -item[1])):
        label = Text(words[action], _COLOURS.get(action, ""))
        table.add_row(f"{count:,}", label, ADVICE[reason].title, reason.value)
    console.print(table)


def _rank(action: Action) -> int:
    order = (Action.FAIL, Action.CREATE, Action.REPLACE, Action.REMOVE, Action.KEEP, Action.SKIP)
    return order.index(action)


def _concern(report: RunReport, concern: AttentionGroup, console: Console, *, limit: int | None, verbose: bool) -> None:
    kind, tone = ("Failed", "bold red") if concern.is_failure else ("Conflict", "bold yellow")
    title = f": {concern.title}, {people(concern.count)}{unchanged_since(concern)}"
    console.print(Text.assemble("\n", (kind, tone), (title, "bold")))
    if concern.since is not None:
        return
    _indented(console, f"What to do: {concern.cure}")
    chosen = (outcome for outcome in report.outcomes() if concern.includes(outcome))
    for line in _listed(islice(chosen, limit), verbose=verbose):
        console.print(Padding(line, (0, 0, 0, 2)))
    if limit is not None and concern.count > limit:
        console.print(Text(f"  … and {concern.count - limit:,} more", "dim"))


def _listed(outcomes: Iterable[Outcome], *, verbose: bool) -> Iterator[Text]:
    for outcome in outcomes:
        line = Text.assemble(_who(outcome))
        detail = detail_for_people(outcome, verbose=verbose)
        if detail:
            line.append(f"  {detail}", "dim")
        yield line


def _other_people(report: RunReport, console: Console) -> None:
    words, shown = action_labels(report), False
    for outcome in report.outcomes():
        if needs_attention(outcome) or outcome.since is not None:
            continue
        if not shown:
            console.print(Text("\nOther users" if report.mode == "full" else "\nOther users who were checked", "bold"))
            shown = True
        label = f"{words[outcome.action]:<{max(map(len, words.values()))}}"
        line = Text.assemble((label, _COLOURS.get(outcome.action, "")), "  ", _who(outcome))
        line.append(f"  {outcome.reason}", "dim")
        console.print(line, soft_wrap=True)


def _who(outcome: Outcome) -> Text:
    name = one_line_safe(short_name(outcome.person))
    if not outcome.upn or outcome.upn == name:
        return Text(name)
    return Text.assemble(name, (f" <{one_line_safe(outcome.upn)}>", "dim"))
