"""May tonight's plan happen? Its numbers are counted in the ledger and shown to the brakes before the first write."""

from __future__ import annotations

from connector.decide.brakes import VANISHED_FROM, AttributeLoss, Limits, PlanCounts, check_brakes
from connector.errors import BrakeError
from connector.ledger.lost_attributes import settle_vanished, vanished, vanished_units
from connector.ledger.matching import count_matched, count_rematched, count_settled, settle_matches
from connector.ledger.plan import count_plan, count_with_photo
from connector.ledger.store import transaction
from connector.ledger.unread_values import empty, missed_below
from connector.sources import Mode
from connector.sync.context import RunContext


def check_plan(context: RunContext) -> None:
    """Let the plan pass, or raise BrakeError with every brake it trips; `--force` passes and says so."""
    trips = check_brakes(_counts(context), limits_of(context))
    if trips and not context.options.force:
        reasons = " ".join(trip.message for trip in trips)
        fixes = " ".join(dict.fromkeys(trip.fix for trip in trips))
        raise BrakeError(f"A brake stopped the run before its first write: {reasons}", fixes)
    for trip in trips:
        context.add_notice(f"Passed by --force: {trip.message}")
    if not context.options.only:
        with transaction(context.db):
            settle_matches(context.db, unread=context.unread)
            settle_vanished(context.db, unread=context.unread)


def believe_vanished(context: RunContext) -> None:
    """Take as cleared what the brake on vanished attributes holds back, where --force says that it is meant.

    Those whom the brake does not speak of stay as they are.
    """
    if not context.options.force or context.options.only:
        return
    for name, counts in _vanished(context).items():
        if check_brakes(PlanCounts(attributes={name: counts}), limits_of(context)):
            attribute, _, unit = name.partition(" below ")
            for person_id in missed_below(context.db, attribute, unit):
                empty(context.db, person_id, [attribute], run=context.run)


def _counts(context: RunContext) -> PlanCounts:
    plan = count_plan(context.db)
    known, _ = count_matched(context.db)
    only = bool(context.options.only)
    return PlanCounts(
        replacements=plan.replacements,
        with_photo=count_with_photo(context.db),
        overwrites=plan.overwrites,
        removals=plan.removals,
        known=known,
        rematches=count_rematched(context.db, unread=context.unread, chosen=context.chosen_ids if only else None),
        matched_before=count_settled(context.db, unread=context.unread),
        attributes={} if only else _vanished(context),
    )


def _vanished(context: RunContext) -> dict[str, AttributeLoss]:
    """Count what vanished, for all and, where that is not everybody, for the units that lost it whole."""
    counts: dict[str, AttributeLoss] = {}
    for name, (had, gone) in vanished(context.db).items():
        counts[name] = AttributeLoss(had, gone)
        if VANISHED_FROM <= gone < had:
            told = context.run if context.modes == {Mode.CHANGES} else 0
            in_folders = context.source_traits.names_are_paths
            units = vanished_units(context.db, name, at_least=VANISHED_FROM, changes_run=told, in_folders=in_folders)
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
