"""Check the plan against the brakes before its first write, with the numbers of the ledger."""

from __future__ import annotations

from connector.decide.brakes import (
    VANISHED_FROM,
    AttributeLoss,
    BrakeTrip,
    Limits,
    PlanCounts,
    check_brakes,
    way_past,
)
from connector.errors import BRAKE_OPENING, BrakeError
from connector.ledger.matching import count_matched, count_rematched, count_settled, settle_matches
from connector.ledger.plan import count_plan, count_with_photo
from connector.ledger.store import transaction
from connector.ledger.unread_values import empty, missed_below, settle_vanished, vanished, vanished_units
from connector.model import Brake
from connector.sources import Mode
from connector.sync.approval import keep_plan
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, Summary, notice


def check_plan(context: RunContext, read: Summary) -> Summaries[None]:
    """Raise BrakeError with every brake that the plan trips; yield notices of those that are passed.

    `--force` passes all, an approval those of its plan. The plan of a dry or a stopped run is kept for `--approve`.
    """
    trips = check_brakes(_counts(context, read), limits_of(context))
    passed = [trip for trip in trips if _is_passed(context, trip)]
    stopping = [trip for trip in trips if trip not in passed]
    if context.options.dry_run or (stopping and context.writes):
        keep_plan(context, limits={trip.key: trip.count for trip in trips})
    for trip in passed:
        yield notice(f"Safety limit {_passed_by(context)}: {trip.message}")
    if stopping:
        reasons = " ".join(trip.message for trip in stopping)
        fix = way_past(stopping, previewed=context.options.dry_run, plan_run=_kept_plan(context))
        exceeded = tuple(trip.exceeded for trip in stopping)
        raise BrakeError(f"{BRAKE_OPENING.format('run')}{reasons}", fix, exceeded=exceeded)
    if context.options.only:
        return
    with transaction(context.db):
        settle_matches(context.db, unread=read.unread_contexts)
        if not (context.options.approval and any(trip.brake is Brake.VANISHED_ATTRIBUTE for trip in passed)):
            settle_vanished(context.db, unread=read.unread_contexts)


def _is_passed(context: RunContext, trip: BrakeTrip) -> bool:
    """Return True if `--force` passes this brake, or if the approved plan had tripped it by as many or more."""
    approval = context.options.approval
    return context.options.force or (approval is not None and trip.count <= approval.limits.get(trip.key, -1))


def _passed_by(context: RunContext) -> str:
    approval = context.options.approval
    return "overridden by --force" if approval is None else f"passed by the approval of run {approval.plan_run}"


def _kept_plan(context: RunContext) -> int:
    """Return the number of this run if its plan was kept and has steps; 0 where there is nothing to approve."""
    steps = sum(count_plan(context.db)[:3])
    is_kept = context.options.dry_run or context.writes
    return context.run if steps and is_kept else 0


def believe_vanished(context: RunContext, read: Summary) -> None:
    """With --force, treat as cleared the attributes that trip the brake on vanished attributes.

    People whose loss trips no brake stay as they are.
    """
    if not context.options.force or context.options.only:
        return
    for name, counts in _vanished(context, read).items():
        if check_brakes(PlanCounts(attributes={name: counts}), limits_of(context)):
            for person_id in missed_below(context.db, counts.attribute, counts.unit):
                empty(context.db, person_id, [counts.attribute], run=context.run)


def _counts(context: RunContext, read: Summary) -> PlanCounts:
    plan = count_plan(context.db)
    known, _ = count_matched(context.db)
    only = bool(context.options.only)
    return PlanCounts(
        replacements=plan.replacements,
        with_photo=count_with_photo(context.db),
        overwrites=plan.overwrites,
        removals=plan.removals,
        known=known,
        rematches=count_rematched(context.db, unread=read.unread_contexts, chosen=read.chosen_ids if only else None),
        matched_before=count_settled(context.db, unread=read.unread_contexts),
        attributes={} if only else _vanished(context, read),
    )


def _vanished(context: RunContext, read: Summary) -> dict[str, AttributeLoss]:
    """Count lost attributes, for all people and for each organizational unit that lost one completely."""
    counts: dict[str, AttributeLoss] = {}
    for name, (had, gone) in vanished(context.db).items():
        counts[name] = AttributeLoss(had, gone, name)
        if VANISHED_FROM <= gone < had:
            changes_run = context.run if read.read_modes == {Mode.CHANGES} else 0
            in_folders = context.source_traits.names_are_paths
            units = vanished_units(
                context.db, name, at_least=VANISHED_FROM, changes_run=changes_run, in_folders=in_folders
            )
            counts |= {f"{name} below {unit}": AttributeLoss(count, count, name, unit) for unit, count in units.items()}
    return counts


def limits_of(context: RunContext) -> Limits:
    """Return the settings of the brakes, for this run."""
    settings = context.settings
    return Limits(
        changes_percent=settings.sync_max_changes_percent,
        overwrites=settings.sync_max_overwrites,
        removals=settings.sync_max_removals,
        rematches=settings.sync_max_rematches,
        only=bool(context.options.only),
    )
