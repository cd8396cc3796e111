"""Provide the words that every report format shares: the headline, the counts, names and times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from connector import __version__
from connector.command import pasteable
from connector.errors import BRAKE_OPENING, PREVIEW_FIRST, ExitCode, approve_first
from connector.model import STAGING, Action, Outcome, Reason, RunReport, safe
from connector.model.reasons import ACCEPTED, ACCEPTED_ONCE, ADVICE, cure_of, needs_attention, people

TOTALS = {
    "people": "People",
    "created": "Created",
    "replaced": "Replaced",
    "removed": "Removed",
    "unchanged": "Unchanged",
    "skipped": "Skipped",
    "failed": "Failed",
    "conflicts": "Conflicts",
    "postponed": "Postponed",
    "open_intents": "Uploaded, not yet confirmed",
    "unmatched_accounts": "Cloud accounts without an in-scope user",
}

# The totals with a column or tile of their own; the others follow in one line.
MAIN_TOTALS = ("people", "created", "replaced", "removed", "unchanged", "skipped", "failed", "conflicts")

_OPENINGS: Mapping[int | None, str] = {
    ExitCode.OK: "{Run} finished",
    ExitCode.FAULT: "{Run} stopped by an internal error",
    ExitCode.SETTINGS: "{Run} did not start, because of its settings",
    ExitCode.SOME_FAILED: "{Run} finished, but {failed} failed",
    ExitCode.BRAKE: "{Run} was stopped by a safety limit",
    ExitCode.UNREACHABLE: "{Run} is incomplete, because Active Directory or Microsoft 365 was unreachable or denied"
    " access",
    ExitCode.LOCKED: "{Run} did not start, because another run is in progress",
    ExitCode.LIMIT: "{Run} finished at its limit; the rest is deferred to the next run",
    ExitCode.INTERRUPTED: "{Run} was interrupted; the next run continues",
    None: "{Run} has not finished",
}

_STATES: Mapping[int | None, tuple[str, str]] = {
    ExitCode.OK: ("good", "Finished"),
    ExitCode.SOME_FAILED: ("bad", "Some people failed"),
    ExitCode.BRAKE: ("bad", "Stopped by a safety limit"),
    ExitCode.UNREACHABLE: ("bad", "Incomplete"),
    ExitCode.LIMIT: ("note", "At its limit"),
    ExitCode.INTERRUPTED: ("note", "Interrupted"),
    None: ("note", "Not finished"),
}

_ACTION_LABELS = {
    "create": "Created",
    "replace": "Replaced",
    "remove": "Removed",
    "keep": "Kept",
    "skip": "Skipped",
    "fail": "Failed",
}

_RUN_NAMES: Mapping[tuple[str, bool], str] = {
    ("sync", False): "The run",
    ("sync", True): "The dry run",
    (STAGING, False): "The stand-by run",
    ("restore", False): "The restore",
    ("restore", True): "The dry run of a restore",
}


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """Represent the people who need attention for one reason, with their number.

    `planned`: nothing was written. `since`: they have been so since an earlier run, the first of them at this time.
    """

    action: Action
    reason: Reason
    count: int
    planned: bool = False
    since: datetime | None = None

    @property
    def title(self) -> str:
        """Return the meaning of the reason."""
        return ADVICE[self.reason].title

    @property
    def cure(self) -> str:
        """Return what to do; commands in it can be pasted."""
        return one_line_safe(cure_of(self.action, self.reason, planned=self.planned))

    @property
    def is_failure(self) -> bool:
        """Return True if these people failed; otherwise they are in conflict."""
        return self.action is Action.FAIL

    def includes(self, outcome: Outcome) -> bool:
        """Return True if the outcome belongs to this group."""
        is_same = outcome.action is self.action and outcome.reason is self.reason
        return is_same and (outcome.since is None) == (self.since is None)


def as_planned(report: RunReport) -> RunReport:
    """Return a run that a safety limit stopped as its plan: people read what was meant, not that it was skipped."""
    if not report.planned:
        return report
    return replace(report, totals=report.planned, outcomes=lambda: map(_planned, report.outcomes()))


def of_reasons(report: RunReport, reasons: Collection[str]) -> RunReport:
    """Return the report with only the outcomes of these reasons, planned ones as well; the totals stay."""

    def chosen() -> Iterator[Outcome]:
        return (one for one in report.outcomes() if one.reason in reasons or one.planned_reason in reasons)

    return replace(report, outcomes=chosen)


def _planned(outcome: Outcome) -> Outcome:
    if outcome.planned is None or outcome.planned_reason is None:
        return outcome
    return replace(outcome, action=outcome.planned, reason=outcome.planned_reason, planned=None)


def next_commands(report: RunReport) -> list[tuple[str, str]]:
    """Return (label, command) pairs to paste for a plan that was not carried out; nothing for any other run."""
    is_stopped = report.exit_code == ExitCode.BRAKE
    commands = [("Review", f"photo-connector report {report.run} --output plan.html")] if is_stopped else []
    if is_stopped and report.kind == "sync" and not report.dry_run:
        commands.append(("Check again", "photo-connector sync --dry-run"))
    if report.plan_size:
        commands.append(("Apply", f"photo-connector sync --approve {report.run}"))
    return [(label, pasteable(command)) for label, command in commands]


def commands_heading(report: RunReport) -> str:
    """Return the heading of these commands."""
    is_stopped = report.exit_code == ExitCode.BRAKE
    return "Needs attention" if is_stopped else "To carry out exactly this plan"


def headline(report: RunReport) -> str:
    """Return one sentence that summarizes the run."""
    name = _RUN_NAMES.get((report.kind, report.dry_run), "The run")
    opening = _OPENINGS.get(report.exit_code, "{Run} ended with code " + str(report.exit_code))
    text = opening.format(Run=name, failed=people(report.totals.get("failed", 0)))
    if not _was_decided(report):
        return f"{text}. Nothing was written."
    if stopped_unread(report):
        return f"{text}: {_unread(report)}"
    rest = _rest(report)
    return f"{text}: {changes(report)}; {rest}." if rest else f"{text}: {changes(report)}."


def stopped_unread(report: RunReport) -> bool:
    """Return True if the run changed nothing, because a system was unreachable or refused us before its first write."""
    done = any(report.totals.get(name) for name in ("created", "replaced", "removed", "failed"))
    is_stopped = report.exit_code == ExitCode.UNREACHABLE and bool(report.message)
    return report.kind == "sync" and is_stopped and not done


def _unread(report: RunReport) -> str:
    count = report.totals.get("people", 0)
    keeps = "keeps the photo that is there" if count == 1 else "keep the photos they have"
    last = "No earlier run was successful."
    if report.last_success is not None:
        number, finished = report.last_success
        last = f"The last successful run was run {number}, {local_time(finished)}."
    return f"no photo was changed; {people(count)} {keeps}. {last}"


def message_parts(report: RunReport) -> tuple[str, str]:
    """Return what stopped the run, and the advice about it, where a safety limit did; else the message and ""."""
    what = report.message.removesuffix(report.advice).rstrip() if report.advice else report.message
    return one_line_safe(what), one_line_safe(report.advice)


def cause_parts(report: RunReport) -> tuple[str, str]:
    """Return the parts of the message for a place that has the headline and the commands, and so does not repeat them.

    Only what a safety limit says is shortened; any other message is returned as `message_parts` does.
    """
    if report.exit_code != ExitCode.BRAKE:
        return message_parts(report)
    what = report.message.removesuffix(report.advice).rstrip() if report.advice else report.message
    if_meant = f"If this is intended, {approve_first(report.run)}"
    advice = report.advice.replace(f"{PREVIEW_FIRST}i", "I")
    advice = advice.replace(f"{if_meant}, or ", "Otherwise ").replace(f"{if_meant}; or, as", "Or, as")
    opening = BRAKE_OPENING.format("restore" if report.kind == "restore" else "run")
    return one_line_safe(what.removeprefix(opening)), one_line_safe(advice)


def kind_of(report: RunReport) -> str:
    """Return the kind of a run for people, such as "sync dry run"."""
    return f"{report.kind} dry run" if report.dry_run else report.kind


def where_of(report: RunReport) -> str:
    """Return tenant, host and version, as far as they are known."""
    parts = (report.tenant, f"on {report.host}" if report.host else "", f"photo-connector {__version__}")
    return ", ".join(one_line_safe(part) for part in parts if part)


def state(report: RunReport) -> tuple[str, str]:
    """Return how the run ended: a tone (good, note, bad) and a few words."""
    return _STATES.get(report.exit_code, ("bad", "Stopped"))


def labelled_totals(report: RunReport) -> list[tuple[str, str, int]]:
    """Return the totals as (name, label, count) in the order of the report; an unknown one is labelled by its name.

    Zeros are left out, but for the number of people. If nothing was written, the labels are conditional: "Would
    create" instead of "Created".
    """
    totals, words = report.totals, TOTALS
    if stopped_unread(report):
        words = TOTALS | {"unchanged": "Left as they are"}
    if only_planned(report):
        words = words | {f"{action}d": f"Would {action}" for action in (Action.CREATE, Action.REPLACE, Action.REMOVE)}
    told = {name: count for name, count in totals.items() if count or name == "people"}
    known = [(name, label, told[name]) for name, label in words.items() if name in told]
    return known + [(name, name, count) for name, count in told.items() if name not in words]


def only_planned(report: RunReport) -> bool:
    """Return True if the actions were only planned: in a dry run, on a stand-by server, and after a safety limit."""
    return report.dry_run or report.is_staging or report.exit_code == ExitCode.BRAKE


def action_labels(report: RunReport) -> dict[str, str]:
    """Return a label for each action: "Replaced", or "Would replace" if nothing was written."""
    if not only_planned(report):
        return dict(_ACTION_LABELS)
    changes = (Action.CREATE, Action.REPLACE, Action.REMOVE)
    return _ACTION_LABELS | {action.value: f"Would {action}" for action in changes}


def duration(report: RunReport) -> str:
    """Return how long the run took, such as "1 h 4 min" or "12 s"; empty while it has not finished."""
    if report.finished is None:
        return ""
    seconds = max(0, round((report.finished - report.started).total_seconds()))
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def local_time(when: datetime | None) -> str:
    """Return a time for people: in this machine's zone, with its offset, such as "2026-11-28 01:42 +0100"."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M %z")


def iso_utc(when: datetime | None) -> str | None:
    """Return a time for programs: ISO 8601 in UTC with a Z; None for None."""
    if when is None:
        return None
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


_FIRST_NAME = re.compile(r"(?:cn|uid|ou)=((?:\\.|[^,+\\])*)", re.IGNORECASE | re.DOTALL)
_ESCAPED = re.compile(r"((?:\\[0-9a-f]{2})+)|\\(.)", re.IGNORECASE | re.DOTALL)


def short_name(person: str) -> str:
    """Return the first name part of a DN (RFC 4514, unescaped); any other text is returned unchanged."""
    match = _FIRST_NAME.match(person)
    if not match or not match[1]:
        return person
    return _ESCAPED.sub(_unescape, match[1])


def one_line_safe(text: str) -> str:
    """Return the text on one line without control characters; commands in it can be pasted."""
    return pasteable(safe(text))


# What only a search or a support case needs: the short sha256, the cloud's tag, the id of a request.
_IDENTIFIERS = re.compile(
    r", sha256 [0-9a-f]{12,}"
    r'|, tag (?:(?:W/)?"[^"]*"|\S+?(?=, seen |;|\.?(?:\s|$)))'
    r"| \(request-id [^)]*\)"
)
_SEEN = re.compile(r"seen (\d{4}-\d{2}-\d{2} \d{2}:\d{2}) UTC")


def detail_for_people(outcome: Outcome, *, verbose: bool = False) -> str:
    """Return an outcome's detail on one line, in local time, and without identifiers unless `verbose`.

    What is said of every accepted write is left out: a report says it once (`uploads_note`).
    """
    return plain_detail(outcome.detail, verbose=verbose)


def plain_detail(detail: str, *, verbose: bool = False) -> str:
    """Return the text of a detail as people read it."""
    text = detail if verbose else _IDENTIFIERS.sub("", detail)
    return one_line_safe(_SEEN.sub(_seen_here, text.replace(ACCEPTED, "").strip()))


def _seen_here(match: re.Match[str]) -> str:
    return "seen " + local_time(datetime.strptime(match[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC))


def unchanged_since(group: AttentionGroup) -> str:
    """Return ", unchanged since" and the time for a group that an earlier run had already; else empty text."""
    if group.since is None:
        return ""
    oldest = "" if group.count == 1 else ", the oldest"
    return f", unchanged{oldest} since {local_time(group.since)}"


def uploads_note(report: RunReport) -> str:
    """Return the sentence on when uploads are seen, if the run uploaded something; else empty text."""
    uploads = report.totals.get("created", 0) + report.totals.get("replaced", 0)
    return ACCEPTED_ONCE if uploads and not only_planned(report) else ""


def concerns(report: RunReport) -> list[AttentionGroup]:
    """Return the groups of people who need attention: failures first, then conflicts, those of this run first."""
    groups = _groups(report, filter(needs_attention, report.outcomes()))
    return sorted(groups, key=lambda group: (not group.is_failure, group.since is not None, -group.count, group.reason))


def lasting(report: RunReport) -> list[AttentionGroup]:
    """Return the groups without a problem that a later run repeats unchanged, such as restored photos."""
    return _groups(report, (one for one in report.outcomes() if one.since is not None and not needs_attention(one)))


def _groups(report: RunReport, outcomes: Iterable[Outcome]) -> list[AttentionGroup]:
    counts: Counter[tuple[Action, Reason, bool]] = Counter()
    began: dict[tuple[Action, Reason, bool], datetime] = {}
    for outcome in outcomes:
        key = (outcome.action, outcome.reason, outcome.since is not None)
        counts[key] += 1
        if outcome.since is not None:
            began[key] = min(outcome.since, began.get(key, outcome.since))
    planned = only_planned(report)
    return [AttentionGroup(*key[:2], count, planned, began.get(key)) for key, count in counts.items()]


def attention_first(report: RunReport, groups: list[AttentionGroup]) -> Iterator[Outcome]:
    """Yield every outcome, those that need attention first and by reason; reads the outcomes once for each reason."""
    for concern in groups:
        yield from (outcome for outcome in report.outcomes() if concern.includes(outcome))
    yield from (outcome for outcome in report.outcomes() if not needs_attention(outcome))


def _was_decided(report: RunReport) -> bool:
    early = (ExitCode.SETTINGS, ExitCode.LOCKED)
    return report.exit_code not in early and any(report.totals.get(name) for name in TOTALS)


def changes(report: RunReport) -> str:
    """Return what was written, or would be, such as "3 photos created and 1 removed"."""
    planned = only_planned(report)
    would = "would be " if planned else ""
    parts = [(report.totals.get(name, 0), name) for name in ("created", "replaced", "removed")]
    written = [f"{count:,} {name}" for count, name in parts if count]
    if not written:
        return "no photo would be changed" if planned else "no photo had to be changed"
    first, *others = written
    count, name = first.split(" ")
    photos = "photo" if count == "1" else "photos"
    return _list([f"{count} {photos} {would}{name}", *others]) + (" (nothing was written)" if planned else "")


def _rest(report: RunReport) -> str:
    totals = report.totals
    parts = [f"{totals[name]:,} {name}" for name in ("unchanged", "skipped") if totals.get(name)]
    if totals.get("failed") and report.exit_code != ExitCode.SOME_FAILED:
        parts.append(f"{totals['failed']:,} failed")
    if totals.get("conflicts"):
        parts.append(f"{totals['conflicts']:,} in conflict")
    return _list(parts)


def _list(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def _unescape(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1].replace("\\", "")).decode("utf-8", "replace")
    return match[2]
