"""Keep a plan for `--approve`, find it again, and hold the run that carries it out to the steps that are still true.

`--except` names a file: a saved report, from which steps of the plan were struck out.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from connector.decide.case import Decision
from connector.disk import reason
from connector.errors import ExitCode, UsageError
from connector.ledger import worklist as work
from connector.ledger.approval import (
    SeenStep,
    StoredPlan,
    begin_approved,
    count_by_target,
    count_planned,
    find_plan,
    save_plan,
    seen_step,
)
from connector.ledger.codec import key, unpack_time
from connector.ledger.memory import set_retry
from connector.ledger.runs import RunRow, find_run, outcomes_of, save_outcome
from connector.ledger.state import State
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.model import Action, CloudObservation, Outcome, Reason, safe
from connector.model.reasons import ADVICE, people
from connector.report.json_csv import safe_cell
from connector.sync.context import Approval, Options, RunContext
from connector.sync.outcomes import POSTPONED
from connector.sync.summary import Summaries, Summary, notice

# The options that shape a plan: the run that carries it out takes them over.
SHAPING = ("full", "resend", "overwrite", "clear", "only")
OTHER_ACCOUNT = "The person has another account than in the plan."
OTHER_SOURCE = "The source photo is not the one of the plan any more."
OTHER_CLOUD = "The cloud photo is not the one that the plan had seen."
OLDEST = timedelta(days=7)
EXAMPLES = 5
_MAKE_ONE = "Make one with `photo-connector sync --dry-run`."
# By these columns of a report a person is found, the surest first; spreadsheets separate cells by any of these.
_COLUMNS = ("person_id", "account_id", "upn")
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r"\A\"?sep=.\"?\r?\n", re.IGNORECASE)  # tells Excel what separates the cells

Steps = set[tuple[str, str]]


def keep_plan(context: RunContext, *, limits: Mapping[str, int]) -> None:
    """Keep the plan of this run, which does not carry it out."""
    options = {name: getattr(context.options, name) for name in SHAPING}
    with transaction(context.db):
        save_plan(context.db, context.run, limits=limits, options=options)


def begin_approval(db: sqlite3.Connection, run: int, options: Options) -> None:
    """List the steps that this run may carry out, if it is to carry out a plan."""
    if options.approval is not None:
        begin_approved(db, run, plan_run=options.approval.plan_run, kept=options.approval.kept)


def approval_notices(context: RunContext) -> Summary:
    """Return the sentences that name the plan that is carried out, and what of it is not; nothing in any other run."""
    approval = context.options.approval
    if approval is None:
        return Summary()
    told = notice(f"Carries out the plan of run {approval.plan_run}, as far as it is still true, and no more.")
    for target, count in count_by_target(context.db).items():
        if target not in context.settings.targets:
            told += notice(f"{count} planned writes to {target} are not done, since TARGETS does not name it.")
    return told


def outdated_step(
    context: RunContext, target: str, item: WorkItem, decision: Decision, observation: CloudObservation
) -> Decision | None:
    """Return the skip of a step of the approved plan that is not true any more; None for any other decision."""
    if context.options.approval is None:
        return None
    seen = seen_step(context.db, target, item.person.id)
    change = _change(seen, item, decision, observation)
    return Decision(Action.SKIP, Reason.PLAN_OUTDATED, detail=change) if change else None


def _change(seen: SeenStep, item: WorkItem, decision: Decision, observation: CloudObservation) -> str:
    """Return the first difference from what was seen; empty if there is none."""
    if item.account.id != seen.account_id:
        return OTHER_ACCOUNT
    if item.source_sha256 != seen.source_sha256:
        return OTHER_SOURCE
    if observation.tag != seen.tag or (observation.present and not observation.tag):  # without a tag nobody knows
        return OTHER_CLOUD
    if decision.action is not seen.action:
        return f"Planned was {seen.action}; now it is {decision.action}: {ADVICE[decision.reason].title}."
    return ""


def record_unlisted(context: RunContext, target: str) -> Summaries[None]:
    """Record who is in the approved plan and takes no part in this run, and count who is due besides."""
    if context.options.approval is None:
        return
    with transaction(context.db):
        for row in work.unlisted(context.db, context.run, target):
            save_outcome(context.db, context.run, _left_out(row, target))
            if not row["is_kept"]:
                set_retry(context.db, target, row["id"], retry=POSTPONED)
        if context.options.only:
            return
        wins, removes = context.settings.sync_conflict == "source", context.settings.sync_removed == "remove"
        others = work.count_others(context.db, target, source_wins=wins, removes=removes)
    if others:
        verb = "is" if others == 1 else "are"
        yield notice(f"{people(others)} outside the plan {verb} due; the next run checks them.")


def _left_out(row: sqlite3.Row, target: str) -> Outcome:
    problem = row["match_problem"] or row["source_reason"]
    detail = f"{ADVICE[Reason(problem)].title}." if problem and row["is_kept"] else ""
    return Outcome(
        person=row["name"],
        upn=row["upn"],
        account_id=row["account_id"] or None,
        action=Action.SKIP,
        reason=Reason.PLAN_OUTDATED if row["is_kept"] else Reason.NOT_APPROVED,
        detail=detail,
        source_sha256=row["source_sha256"] or None,
        person_id=row["id"],
        target=target,
    )


def approved_options(state: State, run: int, except_file: Path | None, *, now: datetime) -> Options:
    """Return the options of a run that carries out a plan; raises UsageError where there is none, or it is too old."""
    row = find_run(state.db, run)
    if row is None:
        raise UsageError(f"There is no run {run} in the database.", "`photo-connector runs` lists the runs.")
    plan = _plan_of(state, row, now=now)
    kept = None if except_file is None else _steps_in_file(state, row, except_file)
    names = plan.options.get("only")
    return Options(
        full=bool(plan.options.get("full")),
        resend=bool(plan.options.get("resend")),
        overwrite=bool(plan.options.get("overwrite")),
        clear=bool(plan.options.get("clear")),
        only=tuple(str(name) for name in names) if isinstance(names, list) else (),
        approval=Approval(plan_run=run, limits=plan.limits, kept=kept),
    )


def _plan_of(state: State, row: RunRow, *, now: datetime) -> StoredPlan:
    plan = find_plan(state.db, row.id)
    if plan is None or row.exit_code is None:
        raise UsageError(f"Run {row.id} has no plan to approve: {_why_none(row)}.", _MAKE_ONE)
    if not count_planned(state.db, row.id):
        fix = "There is nothing to approve."
        raise UsageError(f"The plan of run {row.id} is empty: no photo would be written.", fix)
    started = unpack_time(row.started)
    if started is None or now - started > OLDEST:
        raise UsageError(f"The plan of run {row.id} is older than {OLDEST.days} days.", _MAKE_ONE)
    return plan


def _why_none(row: RunRow) -> str:
    """Return why a run left no plan."""
    if row.kind != "sync":
        return f"it was a {'restore' if row.kind == 'restore' else f'run of the kind {row.kind}'}"
    if row.exit_code is None:
        return "it did not finish"
    if row.dry_run or row.exit_code == ExitCode.BRAKE:
        return "it ended before its plan was whole, or an older version made it"
    return "it was neither a dry run nor stopped by a safety limit"


def _steps_in_file(state: State, row: RunRow, path: Path) -> frozenset[tuple[str, str]]:
    """Return (person id, target) of who is in the file; raises UsageError for names that the run does not know."""
    steps = _steps_by_name(state, row)
    kept: Steps = set()
    unknown: list[str] = []
    for names, target in _rows(path):
        found = next((steps[key(name)] for name in names if key(name) in steps), None)
        if found is None:
            unknown.append(next(iter(names), "a row without a name"))
            continue
        kept |= {step for step in found if not target or step[1] == target}
    if unknown:
        named = ", ".join(safe(name) for name in unknown[:EXAMPLES]) + (", …" if len(unknown) > EXAMPLES else "")
        raise UsageError(f"--except: {path} names people who are not in run {row.id}: {named}.", "Correct the file.")
    if not kept:
        raise UsageError(f"--except: {path} names no user.", "No user would be left in the plan.")
    return frozenset(kept)


def _steps_by_name(state: State, row: RunRow) -> dict[str, Steps]:
    """Return by each name of a person, as they are and as a spreadsheet gets them, the steps that it may mean."""
    steps: dict[str, Steps] = {}
    for outcome in outcomes_of(state.db, row):
        for name in (outcome.person_id, outcome.account_id or "", outcome.upn):
            for written in {key(name), key(safe_cell(name))} - {""}:
                steps.setdefault(written, set()).add((outcome.person_id, outcome.target))
    return steps


def _rows(path: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the names in each row or line and, of a CSV, its target; raises UsageError for a file that is neither."""
    try:
        text = _decoded(path.read_bytes())
    except (OSError, UnicodeError) as error:
        detail = reason(error) if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"--except: {path} cannot be read: {detail}.", "Name a CSV report or a list of UPNs."
        ) from None
    text = _SEPARATOR_LINE.sub("", text.lstrip("\r\n"), count=1)
    first = text.partition("\n")[0]
    separator = next((one for one in _SEPARATORS if one in first), "")
    if not separator:
        lines = (line.strip().strip('"') for line in text.splitlines())
        yield from (([line], "") for line in lines if line and not line.startswith("#") and line.lower() != "upn")
        return
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    table.fieldnames = [name.strip().lower() for name in table.fieldnames or ()]
    yield from _csv_rows(path, table)


def _decoded(content_bytes: bytes) -> str:
    """Return the text of a file that a spreadsheet or a shell wrote; a misread name is reported as unknown."""
    if content_bytes.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content_bytes.decode("utf-16")
    if b"\0" in content_bytes:
        raise UnicodeError("NUL")
    try:
        return content_bytes.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content_bytes.decode("cp1252", "replace")  # as Excel saves a CSV that was UTF-8


def _csv_rows(path: Path, table: csv.DictReader[str]) -> Iterator[tuple[list[str], str]]:
    if not set(_COLUMNS) & set(table.fieldnames or ()):
        wanted = ", ".join(_COLUMNS)
        raise UsageError(f"--except: {path} is no report: it has none of the columns {wanted}.", "Keep its first line.")
    try:
        for row in table:
            names = [cell for cell in _cells(row.get(column) for column in _COLUMNS) if cell]
            if names or any(_cells(row.get(column) for column in table.fieldnames or ())):
                yield names, (row.get("target") or "").strip()
    except csv.Error as error:
        raise UsageError(f"--except: {path} cannot be read as CSV: {error}.", "Save it as CSV again.") from None


def _cells(values: Iterable[str | None]) -> list[str]:
    return [(value or "").strip() for value in values]
