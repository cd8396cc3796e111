"""The safety limits stop what looks like a broken read, at exactly their numbers, and let a usual run pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.decide.brakes import AttributeLoss, Limits, PlanCounts, check_brakes, way_past
from connector.model import Brake

COUNT = st.integers(0, 100_000)


def held(limits: Limits | None = None, **counts: object) -> list[Brake]:
    plan = PlanCounts(**counts)  # type: ignore[arg-type]
    return [trip.brake for trip in check_brakes(plan, limits or Limits())]


@pytest.mark.parametrize(
    "replacements, with_photo, is_held",
    [
        (19, 19, False),
        (20, 200, False),
        (20, 199, True),
        (21, 200, True),
        (100, 1_000, False),
        (101, 1_000, True),
        (101, 1_010, False),
        (20, 0, True),
    ],
)
def test_replacements_are_held_over_ten_percent_from_twenty_on(
    replacements: int, with_photo: int, is_held: bool
) -> None:
    assert held(replacements=replacements, with_photo=with_photo) == [Brake.CHANGES] * is_held


@pytest.mark.parametrize("overwrites, is_held", [(500, False), (501, True)])
def test_overwrites_are_held_above_their_number(overwrites: int, is_held: bool) -> None:
    assert held(overwrites=overwrites) == [Brake.OVERWRITES] * is_held
    assert held(Limits(only=True), overwrites=overwrites) == [Brake.OVERWRITES] * is_held


@pytest.mark.parametrize(
    "removals, known, setting, is_held",
    [
        (5, 3, 500, False),
        (6, 3, 500, True),
        (5, 59, 500, False),
        (6, 59, 500, True),
        (6, 60, 500, False),
        (500, 5_000, 500, False),
        (501, 100_000, 500, True),
        (3, 100, 3, False),
        (4, 100, 3, True),
        (1, 100_000, 0, True),
    ],
)
def test_removals_are_held_by_the_smaller_of_number_and_share(
    removals: int, known: int, setting: int, is_held: bool
) -> None:
    assert held(Limits(removals=setting), removals=removals, known=known) == [Brake.REMOVALS] * is_held


@pytest.mark.parametrize(
    "rematches, matched_before, is_held",
    [(20, 20, False), (21, 2_100, False), (21, 2_099, True), (21, 0, True), (1_000, 100_000, False)],
)
def test_rematches_are_held_above_twenty_when_also_over_one_percent(
    rematches: int, matched_before: int, is_held: bool
) -> None:
    assert held(rematches=rematches, matched_before=matched_before) == [Brake.REMATCHES] * is_held


@pytest.mark.parametrize(
    "had, vanished, is_held",
    [
        (0, 0, False),
        (2, 2, False),
        (3, 2, False),
        (3, 3, True),
        (20, 19, False),
        (200, 20, False),
        (209, 21, True),
        (210, 21, False),
        (1_000, 100, False),
        (1_000, 101, True),
    ],
)
def test_an_attribute_that_vanishes_for_all_or_for_many_is_held(had: int, vanished: int, is_held: bool) -> None:
    counts = {"jpegPhoto": AttributeLoss(had, vanished), "thumbnailPhoto": AttributeLoss(1_000, 0)}
    assert held(attributes=counts) == [Brake.VANISHED_ATTRIBUTE] * is_held


def test_a_run_for_named_people_knows_no_percentages_but_keeps_the_numbers() -> None:
    only = Limits(only=True)
    assert held(only, replacements=30, with_photo=30) == []
    assert held(only, removals=30, known=30) == []
    assert held(only, attributes={"jpegPhoto": AttributeLoss(100, 21)}) == []
    assert held(only, removals=501, known=100_000) == [Brake.REMOVALS]
    assert held(only, attributes={"jpegPhoto": AttributeLoss(3, 3)}) == [Brake.VANISHED_ATTRIBUTE]


def test_every_brake_that_holds_is_told_with_its_numbers_and_its_way_past() -> None:
    plan = PlanCounts(
        replacements=300,
        with_photo=1_200,
        overwrites=501,
        removals=121,
        known=1_204,
        rematches=40,
        matched_before=1_100,
        attributes={"jpegPhoto": AttributeLoss(80, 80)},
    )
    told = {trip.brake: trip for trip in check_brakes(plan, Limits())}
    assert list(told) == list(Brake)
    assert {brake: (trip.count, trip.allowed) for brake, trip in told.items()} == {
        Brake.CHANGES: (300, 120),
        Brake.OVERWRITES: (501, 500),
        Brake.REMOVALS: (121, 120),
        Brake.REMATCHES: (40, 20),
        Brake.VANISHED_ATTRIBUTE: (80, 20),
    }
    numbers = {
        Brake.CHANGES: ("300", "25.0 %", "1200", "SYNC_MAX_CHANGES_PERCENT", "10 %"),
        Brake.OVERWRITES: ("501", "500", "SYNC_MAX_OVERWRITES"),
        Brake.REMOVALS: ("121", "1204", "120", "10 %"),
        Brake.REMATCHES: ("40", "3.6 %", "1100", "20", "SYNC_MAX_REMATCHES"),
        Brake.VANISHED_ATTRIBUTE: ("jpegPhoto", "80 of the 80"),
    }
    for brake, words in numbers.items():
        assert [word for word in words if word not in told[brake].message] == []
        assert "--force" in way_past([told[brake]], previewed=False)


@pytest.mark.parametrize(
    "brake, limits, counts, way",
    [
        (Brake.CHANGES, Limits(), {"replacements": 20}, "raise SYNC_MAX_CHANGES_PERCENT"),
        (Brake.OVERWRITES, Limits(), {"overwrites": 501}, "raise SYNC_MAX_OVERWRITES"),
        (Brake.REMOVALS, Limits(removals=5), {"removals": 6, "known": 900}, "raise SYNC_MAX_REMOVALS"),
        (Brake.REMOVALS, Limits(), {"removals": 6, "known": 9}, "SYNC_REMOVED=keep"),
        (Brake.REMATCHES, Limits(), {"rematches": 21}, "raise SYNC_MAX_REMATCHES"),
        (Brake.VANISHED_ATTRIBUTE, Limits(), {"attributes": {"photo": AttributeLoss(3, 3)}}, "no setting overrides"),
    ],
)
def test_the_way_past_is_one_that_passes(brake: Brake, limits: Limits, counts: dict[str, object], way: str) -> None:
    (trip,) = check_brakes(PlanCounts(**counts), limits)  # type: ignore[arg-type]
    assert trip.brake is brake
    assert way in way_past([trip], previewed=False)


@given(COUNT, COUNT, COUNT, st.integers(0, 1_000))
def test_a_count_is_held_exactly_when_it_is_above_what_the_trip_says_is_allowed(
    removals: int, known: int, overwrites: int, setting: int
) -> None:
    limits = Limits(removals=setting, overwrites=setting)
    for trip in check_brakes(PlanCounts(removals=removals, known=known, overwrites=overwrites), limits):
        assert trip.count > trip.allowed
        passes = {Brake.REMOVALS: "removals", Brake.OVERWRITES: "overwrites"}[trip.brake]
        assert held(limits, **{"known": known, passes: trip.allowed}) == []
        assert held(limits, **{"known": known, passes: trip.allowed + 1}) == [trip.brake]


@given(COUNT, COUNT, st.floats(0, 100))
def test_replacements_within_their_percentage_or_under_twenty_always_pass(
    replacements: int, with_photo: int, percent: float
) -> None:
    is_within = replacements < 20 or replacements * 100 <= with_photo * percent
    assert (held(Limits(changes_percent=percent), replacements=replacements, with_photo=with_photo) == []) is is_within


@given(COUNT, COUNT)
def test_more_of_the_same_never_releases_a_brake(had: int, vanished: int) -> None:
    if held(attributes={"jpegPhoto": AttributeLoss(had, min(had, vanished))}):
        assert held(attributes={"jpegPhoto": AttributeLoss(had, had)}) == [Brake.VANISHED_ATTRIBUTE]
