"""Keep a plan for `--approve`, and hold a run that carries one out to those of its steps that are still true."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from connector.decide.case import Decision
from connector.decide.compare import CloudObservation
from connector.ledger import worklist as work
from connector.ledger.approval import SeenStep, begin_approved, count_by_target, save_plan, seen_step
from connector.ledger.memory import set_retry
from connector.ledger.runs import save_outcome
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.model import Action, Outcome, Reason
from connector.model.reasons import ADVICE, people
from connector.sync.context import Options, RunContext
from connector.sync.outcomes import POSTPONED, Verdict
from connector.sync.summary import Summaries, Summary, notice

# The options that shape a plan: the run that carries it out takes them over.
SHAPING = ("full", "resend", "overwrite", "clear", "only")
OTHER_ACCOUNT = "The person has another account than in the plan."
OTHER_SOURCE = "The source photo is not the one of the plan any more."
OTHER_CLOUD = "The cloud photo is not the one that the plan had seen."


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
) -> Verdict | None:
    """Return the verdict about a step of the approved plan that is not true any more; None for any other decision."""
    if context.options.approval is None:
        return None
    seen = seen_step(context.db, target, item.person.id)
    change = _change(seen, item, decision, observation)
    return Verdict(Action.SKIP, Reason.PLAN_OUTDATED, change) if change else None


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
