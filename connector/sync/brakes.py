"""Check the plan against the brakes before its first write, with the numbers of the ledger."""

from __future__ import annotations

from connector.decide.brakes import VANISHED_FROM, AttributeLoss, Limits, PlanCounts, check_brakes, way_past
from connector.errors import BrakeError
from connector.ledger.matching import count_matched, count_rematched, count_settled, settle_matches
from connector.ledger.plan import count_plan, count_with_photo
from connector.ledger.store import transaction
from connector.ledger.unread_values import empty, missed_below, settle_vanished, vanished, vanished_units
from connector.sources import Mode
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, Summary, notice


def check_plan(context: RunContext, read: Summary) -> Summaries[None]:
    """Raise BrakeError with every brake that the plan trips; with `--force` yield notices instead."""
    trips = check_brakes(_counts(context, read), limits_of(context))
    if trips and not context.options.force:
        reasons = " ".join(trip.message for trip in trips)
        fix = way_past(trips, previewed=context.options.dry_run)
        raise BrakeError(f"A safety limit stopped the run; nothing was written: {reasons}", fix)
    for trip in trips:
        yield notice(f"Safety limit overridden by --force: {trip.message}")
    if not context.options.only:
        with transaction(context.db):
            settle_matches(context.db, unread=read.unread_contexts)
            settle_vanished(context.db, unread=read.unread_contexts)


def believe_vanished(context: RunContext, read: Summary) -> None:
    """With --force, treat as cleared the attributes that trip the brake on vanished attributes.

    People whose loss trips no brake stay as they are.
    """
    if not context.options.force or context.options.only:
        return
    for name, counts in _vanished(context, read).items():
        if check_brakes(PlanCounts(attributes={name: counts}), limits_of(context)):
            attribute, _, unit = name.partition(" below ")
            for person_id in missed_below(context.db, attribute, unit):
                empty(context.db, person_id, [attribute], run=context.run)


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
        counts[name] = AttributeLoss(had, gone)
        if VANISHED_FROM <= gone < had:
            changes_run = context.run if read.read_modes == {Mode.CHANGES} else 0
            in_folders = context.source_traits.names_are_paths
            units = vanished_units(
                context.db, name, at_least=VANISHED_FROM, changes_run=changes_run, in_folders=in_folders
            )
            counts |= {f"{name} below {unit}": AttributeLoss(count, count) for unit, count in units.items()}
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
