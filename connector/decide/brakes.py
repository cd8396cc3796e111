"""Check the numbers of a plan against limits, so that a failed read cannot change many photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connector.errors import PREVIEW_FIRST, approve_first
from connector.model import Brake, ExceededLimit

CHANGES_FROM = 20
REMOVALS_PERCENT = 10
REMOVALS_AT_LEAST = 5
REMATCHES_PERCENT = 1
VANISHED_FROM = 3
VANISHED_PERCENT = 10
VANISHED_MORE_THAN = 20


@dataclass(frozen=True, slots=True)
class AttributeLoss:
    """Count the people who had a photo attribute, and those of them who were read tonight without it.

    `unit` is the organizational unit that lost it completely; empty where all people are counted.
    """

    had: int
    vanished: int
    attribute: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCounts:
    """Contain the numbers of a plan.

    `with_photo`: matched people who have a cloud photo. `known`: people known. `rematches`: people whose account
    changed or was lost since last night, of `matched_before` who had one. `attributes`: by photo attribute.
    """

    replacements: int = 0
    with_photo: int = 0
    overwrites: int = 0
    removals: int = 0
    known: int = 0
    rematches: int = 0
    matched_before: int = 0
    attributes: Mapping[str, AttributeLoss] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Contain the settings of the brakes; `only` is a run for named people, where no percentage applies."""

    changes_percent: float = 10
    overwrites: int = 500
    removals: int = 500
    rematches: int = 20
    only: bool = False


@dataclass(frozen=True, slots=True)
class BrakeTrip:
    """Represent the brake that stops the plan, with the numbers (`message`) and the way past it.

    `first` is a sentence on what to check before, `setting` what to change to allow it always; either may be
    empty. `name` is the attribute that vanished, with the unit that lost it; empty for the other brakes.
    """

    brake: Brake
    count: int
    allowed: int
    message: str
    setting: str = ""
    first: str = ""
    name: str = ""
    attribute: str = ""

    @property
    def exceeded(self) -> ExceededLimit:
        """Return the brake and its numbers as a run keeps them."""
        return ExceededLimit(self.brake.value, self.count, self.allowed, self.attribute)

    @property
    def key(self) -> str:
        """Return the name under which a plan remembers that it tripped this brake."""
        return f"{self.brake} {self.name}".strip()


def check_brakes(plan: PlanCounts, limits: Limits) -> list[BrakeTrip]:
    """Return every brake that the plan trips, in the order of the settings; empty when it may happen."""
    trips = [
        _changes(plan, limits),
        _overwrites(plan, limits),
        _removals(plan, limits),
        _rematches(plan, limits),
        *(_vanished(name, counts, limits) for name, counts in sorted(plan.attributes.items())),
    ]
    return [trip for trip in trips if trip is not None]


def _changes(plan: PlanCounts, limits: Limits) -> BrakeTrip | None:
    allowed = int(plan.with_photo * limits.changes_percent / 100)
    is_within = plan.replacements * 100 <= plan.with_photo * limits.changes_percent
    if limits.only or plan.replacements < CHANGES_FROM or is_within:
        return None
    return BrakeTrip(
        Brake.CHANGES,
        plan.replacements,
        max(allowed, CHANGES_FROM - 1),
        f"{plan.replacements} photos would be replaced, {_percent(plan.replacements, plan.with_photo)} of the "
        f"{plan.with_photo} matched people who have a cloud photo; from {CHANGES_FROM} on, "
        f"SYNC_MAX_CHANGES_PERCENT allows {limits.changes_percent:g} %.",
        "raise SYNC_MAX_CHANGES_PERCENT",
    )


def _overwrites(plan: PlanCounts, limits: Limits) -> BrakeTrip | None:
    if plan.overwrites <= limits.overwrites:
        return None
    return BrakeTrip(
        Brake.OVERWRITES,
        plan.overwrites,
        limits.overwrites,
        f"{plan.overwrites} cloud photos that this tool did not upload would be replaced or uploaded again; "
        f"SYNC_MAX_OVERWRITES allows {limits.overwrites}.",
        "raise SYNC_MAX_OVERWRITES, or set SYNC_CONFLICT=cloud to leave them",
    )


def _removals(plan: PlanCounts, limits: Limits) -> BrakeTrip | None:
    share = max(REMOVALS_AT_LEAST, plan.known * REMOVALS_PERCENT // 100)
    allowed = limits.removals if limits.only else min(limits.removals, share)
    if plan.removals <= allowed:
        return None
    is_setting = allowed == limits.removals
    of_all = f"{REMOVALS_PERCENT} % of them, at least {REMOVALS_AT_LEAST}, may be: {share}"
    limit = f"SYNC_MAX_REMOVALS allows {allowed}" if is_setting else of_all
    return BrakeTrip(
        Brake.REMOVALS,
        plan.removals,
        allowed,
        f"{plan.removals} photos would be removed, of {plan.known} people known; {limit}.",
        "raise SYNC_MAX_REMOVALS" if is_setting else "set SYNC_REMOVED=keep to leave them",
    )


def _rematches(plan: PlanCounts, limits: Limits) -> BrakeTrip | None:
    over_share = plan.rematches * 100 > plan.matched_before * REMATCHES_PERCENT
    if plan.rematches <= limits.rematches or not over_share:
        return None
    return BrakeTrip(
        Brake.REMATCHES,
        plan.rematches,
        max(limits.rematches, plan.matched_before * REMATCHES_PERCENT // 100),
        f"{plan.rematches} people changed or lost their account since the last run, "
        f"{_percent(plan.rematches, plan.matched_before)} of the {plan.matched_before} who had one; "
        f"SYNC_MAX_REMATCHES allows {limits.rematches}, or {REMATCHES_PERCENT} %.",
        "raise SYNC_MAX_REMATCHES",
        first="Check LDAP_ANCHOR and MATCH_FALLBACK.",
    )


def _vanished(name: str, counts: AttributeLoss, limits: Limits) -> BrakeTrip | None:
    is_all = counts.had >= VANISHED_FROM and counts.vanished >= counts.had
    over_share = counts.vanished * 100 > counts.had * VANISHED_PERCENT
    is_many = counts.vanished > VANISHED_MORE_THAN and over_share and not limits.only
    if not (is_all or is_many):
        return None
    return BrakeTrip(
        Brake.VANISHED_ATTRIBUTE,
        counts.vanished,
        min(counts.had - 1, max(VANISHED_MORE_THAN, counts.had * VANISHED_PERCENT // 100)),
        f"{name} vanished for {counts.vanished} of the {counts.had} people who had it: "
        "perhaps it is no longer readable.",
        first=f"Check that the reading account may read {name}; no setting overrides this limit.",
        name=name,
        attribute=counts.attribute or name,
    )


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole:.1f} %" if whole else "more than all"


def way_past(trips: Sequence[BrakeTrip], *, previewed: bool, plan_run: int = 0) -> str:
    """Return what to do about all these brakes, each piece of advice once, the safest way first and --force last.

    `previewed`: this is a dry run. `plan_run` is the run whose plan was kept; 0 where there is none to approve.
    """
    firsts = dict.fromkeys(trip.first for trip in trips if trip.first)
    settings = dict.fromkeys(trip.setting for trip in trips if trip.setting)
    ways = [*([approve_first(plan_run)] if plan_run else []), *(["; ".join(settings)] if settings else [])]
    last = "or, as a last resort, " if ways else ""
    intended = f"f this is intended, {', or '.join(ways)}{'; ' if ways else ''}{last}run once with --force."
    preview = "I" if previewed else f"{PREVIEW_FIRST}i"
    return " ".join([*firsts, preview + intended])
