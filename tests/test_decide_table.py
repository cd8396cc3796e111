"""The decision function says what docs/decision-table.md says, cell by cell."""

from __future__ import annotations

import ast
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest

from connector.decide import table
from connector.decide.case import Case, Decision, MatchState, MemoryChange, PersonRule, Policy, SourceState
from connector.decide.compare import ViewKind, view
from connector.decide.conclude import memory_after
from connector.decide.intents import IntentState, judge, settle
from connector.decide.table import decide, needs_look
from connector.model import (
    Action,
    CloudObservation,
    Conflict,
    Fingerprint,
    Intent,
    Memory,
    Picture,
    Presence,
    Reason,
    Removed,
)

PAGE = (Path(__file__).parent.parent / "docs" / "decision-table.md").read_text(encoding="utf-8")
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
SIZE = 648

AFTER = {
    "": MemoryChange.UNTOUCHED,
    "sent": MemoryChange.OURS_SENT,
    "adopted": MemoryChange.OURS_ADOPTED,
    "refreshed": MemoryChange.REFRESHED,
    "theirs": MemoryChange.THEIRS,
    "cleared": MemoryChange.CLEARED,
    "nothing": MemoryChange.FORGET,
}


@cache
def portrait(name: str, *, width: int = SIZE, height: int = SIZE, wear: int = 0) -> Fingerprint:
    """Draw cells that differ from every other name's; `wear` is what re-encoding does to them, at most."""
    drawn, worn = random.Random(name), random.Random(f"{name} {width} {wear}")
    cells = bytes(drawn.randrange(20, 236) + worn.randint(-wear, wear) for _ in range(576))
    return Fingerprint(cells, width, height)


def picture(name: str) -> Picture:
    return Picture(f"sha of {name}", portrait(name), portrait(f"{name}, whole", width=SIZE, height=864))


def ours(name: str = "ann, old", **changes: object) -> Memory:
    memory = Memory(
        person_id="ann",
        presence=Presence.OURS,
        source_sha256=f"sha of {name}",
        sent_sha256=f"sent of {name}",
        sent_print=portrait(name),
        read_sha256=f"read of {name}",
        read_print=portrait(name, wear=4),
        tag="tag of ours",
        conflict_policy="source",
    )
    return replace(memory, **changes)  # type: ignore[arg-type]


def theirs(policy: str, *, restored: bool = False) -> Memory:
    return Memory(
        person_id="ann",
        presence=Presence.THEIRS,
        source_sha256="sha of ann, old",
        read_sha256="read of theirs",
        read_print=portrait("on the beach"),
        tag="tag of theirs",
        conflict_policy=policy,
        restored=restored,
    )


def cleared(policy: str, *, restored: bool = False) -> Memory:
    return Memory(
        person_id="ann",
        presence=Presence.CLEARED,
        source_sha256="sha of ann, old",
        conflict_policy=policy,
        restored=restored,
    )


MEMORIES: dict[str, Memory | None] = {
    "nothing": None,
    "ours": ours(),
    "ours, improved 29 days ago": ours(improved_at=NOW - timedelta(days=29)),
    "ours, improved 30 days ago": ours(improved_at=NOW - timedelta(days=30)),
    "ours, of another person": ours(person_id="bob"),
    "theirs, by source": theirs("source"),
    "theirs, by cloud": theirs("cloud"),
    "cleared, by source": cleared("source"),
    "cleared, by cloud": cleared("report"),
    "restored": theirs("cloud", restored=True),
    "restored to none": cleared("cloud", restored=True),
}


def seen(tag: str, shown: Fingerprint, sha256: str = "read tonight") -> CloudObservation:
    return CloudObservation(tag).with_bytes(sha256, shown)


def looks(name: str) -> dict[str, CloudObservation]:
    """Return what the cloud may show somebody whose source holds this picture tonight."""
    return {
        "not asked": CloudObservation.not_asked(),
        "none": CloudObservation.at(None),
        "our photo, same tag": CloudObservation("tag of ours", SIZE, SIZE),
        "our photo, same bytes": seen("new", portrait("ann, old", wear=4), "read of ann, old"),
        "our photo, same picture": seen("new", portrait("ann, old", width=504, height=504, wear=5)),
        "our photo, small": seen("new", portrait("ann, old", width=96, height=96, wear=5)),
        "their photo, same tag": CloudObservation("tag of theirs"),
        "their photo, same bytes": seen("new", portrait("on the beach"), "read of theirs"),
        "the source's picture": seen("new", portrait(name, width=504, height=504, wear=5)),
        "the source's picture, uncropped": seen("new", portrait(f"{name}, whole", width=600, height=800, wear=5)),
        "the source's picture, small": seen("new", portrait(name, width=96, height=96, wear=5)),
        "another": seen("new", portrait("somebody else")),
        "another, held by another attribute": seen("new", portrait("ann's thumbnail")),
    }


OPTED_OUT = Memory(person_id="ann", presence=Presence.CLEARED, conflict_policy="opted-out")
REMEMBERED: dict[str, Memory | None] = {**MEMORIES, "opted out": OPTED_OUT}
NAMES = {"photo": "ann, old", "same": "ann, old", "same photo of another person": "ann, old", "changed": "ann, new"}


@dataclass(frozen=True)
class Cell:
    """One cell of the page, taken apart."""

    source: str
    memory: str
    cloud: str
    policy: Policy
    expected: str

    def decide(self) -> Decision:
        name = NAMES.get(self.source, "")
        look = looks(name)[self.cloud]
        without = SourceState.exclude(Reason.TOO_SMALL) if self.source == "unusable" else SourceState.cleared()
        memory = REMEMBERED[self.memory]
        case = Case(
            person_id="carl" if self.source == "same photo of another person" else "ann",
            source=SourceState.photo(f"sha of {name}") if name else without,
            memory=memory,
            view=view(look, source=picture(name) if name else None, memory=memory),
            sent_sha256=f"sent of {name}",
            other_attribute_shown="attribute" in self.cloud,
        )
        return decide(case, self.policy, NOW)


def rows(heading: str) -> Iterator[list[str]]:
    """Yield the rows of the table under a heading of the page, as lists of cells."""
    part = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    for line in lines[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def spoken(expected: str, policy: Policy) -> Decision:
    """Read a cell: action, reason, what is remembered, and what it counts for."""
    sentence, *flags = expected.split("; ")
    said, _, after = sentence.partition(" → ")
    action, reason = said.split(" ")
    is_listed = "listed" in flags or ("listed by `report`" in flags and policy.conflict is Conflict.REPORT)
    assert set(flags) <= {"listed", "listed by `report`", "foreign"}, expected
    return Decision(Action(action), Reason(reason.strip("`")), AFTER[after], is_listed, "foreign" in flags)


def with_photo() -> Iterator[Cell]:
    for source, memory, cloud, wins, loses in rows("The source has a photo"):
        yield from cells(Policy(), source, memory, cloud, by_conflict=(wins, loses))


def asked_for() -> Iterator[Cell]:
    for option, source, memory, cloud, wins, loses in rows("Asked for by an administrator"):
        policy = replace(Policy(), **{option.strip("-"): True})  # type: ignore[arg-type]
        yield from cells(policy, source, memory, cloud, by_conflict=(wins, loses))


def opted_out() -> Iterator[Cell]:
    for source, memory, cloud, decision in rows("Opted out"):
        for option in ("", "resend", "overwrite", "clear"):
            policy = replace(Policy(opted_out=True), **{option: True} if option else {})  # type: ignore[arg-type]
            yield from cells(policy, source, memory, cloud, by_conflict=(decision, "as left"))


def external() -> Iterator[Cell]:
    for source, memory, cloud, decision in rows("External accounts"):
        for one in cells(Policy(), source, memory, cloud, by_conflict=(decision, "as left")):
            if one.policy.conflict is Conflict.CLOUD:  # whatever SYNC_CONFLICT and --overwrite say
                yield replace(one, policy=replace(one.policy, overwrite=True).of(PersonRule.EXTERNAL))


def cells(policy: Policy, *columns: str, by_conflict: tuple[str, str]) -> Iterator[Cell]:
    wins, loses = by_conflict
    alternatives = product(*(column.split(" / ") for column in columns))
    for (source, memory, cloud), conflict, removed in product(alternatives, Conflict, Removed):
        expected = wins if conflict is Conflict.SOURCE or loses == "as left" else loses
        yield Cell(source, memory, cloud, replace(policy, conflict=conflict, removed=removed), expected)


def without_photo() -> Iterator[Cell]:
    for memories, clouds, kept, removed in rows("The source photo was cleared"):
        for memory, cloud, conflict, policy in product(memories.split(" / "), clouds.split(" / "), Conflict, Removed):
            expected = kept if policy is Removed.KEEP or removed == "as left" else removed
            yield Cell("cleared", memory, cloud, Policy(conflict=conflict, removed=policy), expected)


def name_of(cell: Cell) -> str:
    options = [f"--{name}" for name in ("opted_out", "resend", "overwrite", "clear") if getattr(cell.policy, name)]
    settings = [f"SYNC_CONFLICT={cell.policy.conflict}", f"SYNC_REMOVED={cell.policy.removed}"]
    return " ".join([*options, f"source {cell.source}; memory {cell.memory}; cloud {cell.cloud};", *settings])


ALL = [*with_photo(), *without_photo(), *asked_for(), *opted_out(), *external()]


@pytest.mark.parametrize("cell", ALL, ids=name_of)
def test_the_cell_is_decided_as_the_page_says(cell: Cell) -> None:
    assert cell.decide() == spoken(cell.expected, cell.policy)


def plain_cells() -> set[tuple[str, str, str]]:
    """Return what the page says without an option: source, memory, cloud."""
    return {(cell.source, cell.memory, cell.cloud) for cell in (*with_photo(), *without_photo())}


def is_possible(source: str, memory: str, cloud: str) -> bool:
    """Return True if source, memory and cloud can meet; whoever has no photo has no source's picture."""
    if (source == "photo") != (memory == "nothing") and source != "cleared":
        return False
    if source == "same photo of another person":
        return memory == "ours" and not cloud.startswith("their")
    if (source, memory) == ("same", "ours, of another person"):
        return False  # that is the row `same photo of another person`
    if cloud.startswith("our photo") and not memory.startswith("ours"):
        return False
    if cloud.startswith("their photo") and not (memory.startswith("theirs") or memory == "restored"):
        return False
    return not (source == "cleared" and "source's" in cloud)


def said_of(source: str, memory: str, cloud: str) -> tuple[str, str, str]:
    """Return the cell in whose place the page speaks, by the words on its top."""
    if "improved" in memory and "small" not in cloud:
        memory = "ours"
    if source == "changed" and "improved" in memory:
        memory = "ours"
    if "attribute" in cloud and (source, memory) != ("same", "ours"):
        cloud = "another"
    return source, memory, cloud


EVERY_CELL = [
    cell
    for cell in product(["photo", "same", "changed", "same photo of another person"], MEMORIES, looks("ann, old"))
    if is_possible(*cell)
]


@pytest.mark.parametrize("cell", EVERY_CELL, ids=lambda cell: "source {}; memory {}; cloud {}".format(*cell))
def test_the_page_has_a_row_for_whatever_can_meet(cell: tuple[str, str, str]) -> None:
    place = said_of(*cell)
    assert place in plain_cells()
    for conflict, removed in product(Conflict, Removed):
        policy = Policy(conflict=conflict, removed=removed)
        assert Cell(*cell, policy, "").decide() == Cell(*place, policy, "").decide()


def test_who_has_no_photo_any_more_is_decided_for_every_memory_and_cloud() -> None:
    tried = plain_cells()
    for memory, cloud in product(MEMORIES, ("not asked", "none", "another")):
        assert said_of("cleared", memory, cloud) in tried, (memory, cloud)


def test_no_row_stands_behind_another_that_fits_first() -> None:
    claimed = Counter((cell.source, cell.memory, cell.cloud, cell.policy) for cell in ALL)
    assert [place for place, count in claimed.items() if count > 1] == []
    begun_cells = [
        (write, cloud) for write, clouds, *_ in rows("A write that was begun") for cloud in clouds.split(" / ")
    ]
    assert len(begun_cells) == len(set(begun_cells))


def test_every_way_out_of_the_decision_is_reached_by_a_row() -> None:
    path = Path(table.__file__)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    deciding = {"decide", "_before_the_rows"} | {
        one.name
        for one in tree.body
        if isinstance(one, ast.FunctionDef) and ast.unparse(one.returns or ast.Constant("")) == "Decision"
    }
    ways = {
        (one.name, way.lineno)
        for one in tree.body
        if isinstance(one, ast.FunctionDef) and one.name in deciding
        for way in ast.walk(one)
        if isinstance(way, ast.Return)
    }
    reached: set[tuple[str, int]] = set()

    def watch(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename != table.__file__:
            return None
        if event == "line":
            reached.add((frame.f_code.co_name, frame.f_lineno))
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        for cell in ALL:
            cell.decide()
        for case, _ in (parameters.values for parameters in left_out()):
            decide(case, Policy(), NOW)
    finally:
        sys.settrace(before)
    assert {way for way in ways if way not in reached} == set()


# ------------------------------------------------------------------------------------- left out before the table

LEFT_OUT = {
    "out of scope": [Reason.OUT_OF_SCOPE],
    "disabled": [Reason.DISABLED],
    "deleted": [Reason.DELETED],
    "not read": [Reason.SOURCE_UNREAD, Reason.STILL_CHANGING],
    "unusable": [Reason.NOT_AN_IMAGE, Reason.DAMAGED, Reason.TOO_SMALL, Reason.TOO_LARGE, Reason.PLACEHOLDER],
}
PHOTO = SourceState.photo("sha of ann, new")
EVERY_POLICY = [
    Policy(conflict=conflict, removed=removed, **{option: True} if option else {})
    for conflict, removed, option in product(Conflict, Removed, ("", "resend", "overwrite", "clear"))
]


def left_out() -> Iterator[Any]:
    for state, result in rows("Left out before the table"):
        for reason in LEFT_OUT.get(state, []):
            case = Case(person_id="ann", source=SourceState.exclude(reason))
            yield pytest.param(case, Decision(Action.SKIP, reason), id=f"{state}: {reason}")
            assert f"`{reason}`" in result
    unmatched = {MatchState.NONE: Reason.NO_ACCOUNT, MatchState.AMBIGUOUS: Reason.AMBIGUOUS_MATCH}
    unmatched[MatchState.DISPUTED] = Reason.ANCHOR_DISPUTED
    unmatched[MatchState.CLOUD_MANAGED] = Reason.CLOUD_MANAGED
    for match, reason in unmatched.items():
        for source in (PHOTO, SourceState.cleared()):
            case = Case(person_id="ann", source=source, match=match)
            yield pytest.param(case, Decision(Action.SKIP, reason), id=f"account {match}, {source}")
    waits = Case(person_id="ann", source=PHOTO, settled=IntentState.WAIT)
    yield pytest.param(waits, Decision(Action.KEEP, Reason.AWAITING_CLOUD), id="a write is not visible yet")
    failed = Case(person_id="ann", source=PHOTO, failed=Reason.THROTTLED)
    yield pytest.param(failed, Decision(Action.FAIL, Reason.THROTTLED), id="the look failed")


@pytest.mark.parametrize("case, expected", [*left_out()])
@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_who_is_left_out_stays_untouched_whatever_is_remembered_shown_or_asked_for(
    case: Case, expected: Decision, memory: Memory | None
) -> None:
    for look, policy in product(looks("ann, new").values(), EVERY_POLICY):
        shown = view(look, source=picture("ann, new"), memory=memory)
        met = replace(case, memory=memory, view=shown)
        assert decide(met, policy, NOW) == expected
        assert memory_after(expected, case=met, look=look, policy=policy) is memory


def test_the_page_names_every_way_to_be_left_out() -> None:
    assert [row[0] for row in rows("Left out before the table")][:5] == list(LEFT_OUT)


# ------------------------------------------------------------------------------------------ a write that was begun

UPLOAD = Intent(
    person_id="ann",
    source_sha256="sha of ann, new",
    sent_sha256="sent of ann, new",
    sent_print=portrait("ann, new"),
    tag_before="tag before",
    started_at=NOW - timedelta(hours=30),
)
WRITES = {
    "upload over a photo": UPLOAD,
    "upload over none": replace(UPLOAD, tag_before=""),
    "removal": replace(UPLOAD, sent_sha256="", sent_print=None),
}
JUST_UNDER, NOT_UNDER = NOW - timedelta(hours=24) + timedelta(seconds=1), NOW - timedelta(hours=24)
WHEN = {
    "accepted under 24 h ago": {"accepted_at": JUST_UNDER},
    "accepted earlier": {"accepted_at": NOT_UNDER},
    "no yes heard, begun under 24 h ago": {"started_at": JUST_UNDER},
    "no yes heard, begun earlier": {"started_at": NOT_UNDER},
}
SETTLING = {
    "what was sent, new tag": seen("new", portrait("ann, new", wear=6)),
    "the tag before": CloudObservation("tag before"),
    "none": CloudObservation.at(None),
    "a third picture": seen("new", portrait("somebody else")),
    "a new tag, not read": CloudObservation("new"),
    "not asked": CloudObservation.not_asked(),
}


def begun() -> Iterator[object]:
    for write, clouds, *results in rows("A write that was begun"):
        for cloud, (when, expected) in product(clouds.split(" / "), zip(WHEN, results, strict=True)):
            intent = replace(WRITES[write], **cast("dict[str, Any]", WHEN[when]))
            yield pytest.param(
                intent, SETTLING[cloud], IntentState(expected), id=f"{write}, {when}, cloud shows {cloud}"
            )


@pytest.mark.parametrize("intent, look, expected", [*begun()])
def test_a_write_that_was_begun_ends_as_the_page_says(
    intent: Intent, look: CloudObservation, expected: IntentState
) -> None:
    assert settle(intent, look, NOW) is expected


def dropped_restores() -> Iterator[object]:
    for write, clouds, *results in rows("A restore that was dropped"):
        heard = ("accepted earlier", "no yes heard, begun earlier")
        for cloud, (when, expected) in product(clouds.split(" / "), zip(heard, results, strict=True)):
            intent = replace(WRITES[write], restores=True, **cast("dict[str, Any]", WHEN[when]))
            yield pytest.param(intent, SETTLING[cloud], expected, id=f"{write}, {when}, cloud shows {cloud}")


@pytest.mark.parametrize("intent, look, expected", [*dropped_restores()])
def test_whom_a_dropped_restore_was_about_is_left_alone(intent: Intent, look: CloudObservation, expected: str) -> None:
    source, old = picture("ann, new"), ours("ann, new", tag="tag before")
    settled, memory = judge(intent, look, memory=old, now=NOW)
    assert settled is IntentState.DROPPED
    if expected == "as left":
        assert memory is old
        return
    shown = view(look, source=source, memory=memory)
    case = Case(person_id="ann", source=SourceState.photo(source.source_sha256), memory=memory, view=shown)
    presence = Presence.CLEARED if expected == "restored to none" else Presence.THEIRS
    assert memory is not None
    assert (memory.presence, memory.restored, memory.tag) == (presence, True, "")
    for conflict in Conflict:
        assert decide(case, Policy(conflict=conflict), NOW) == Decision(Action.KEEP, Reason.RESTORED)
        later = decide(replace(case, source=SourceState.photo("another")), Policy(conflict=conflict), NOW)
        assert (later.reason, later.writes) == (Reason.BOTH_CHANGED, conflict is Conflict.SOURCE)


# --------------------------------------------------------------------------------------------- who must be looked at


def test_whoever_is_postponed_unseen_was_said_to_need_a_look() -> None:
    postponed = set()
    for cell in ALL:
        name = NAMES.get(cell.source, "")
        source = SourceState.photo(f"sha of {name}") if name else SourceState.cleared()
        case = Case(person_id="ann", source=source, memory=REMEMBERED[cell.memory])
        unseen = decide(case, cell.policy, NOW)
        assert not unseen.writes, name_of(cell)
        if unseen.reason is Reason.POSTPONED:
            assert needs_look(case, cell.policy), name_of(cell)
            postponed.add(cell.source)
    assert {"photo", "changed", "cleared"} <= postponed


def test_a_quiet_person_needs_no_look_and_one_who_may_change_does() -> None:
    def needs(source: SourceState, memory: str, **policy: object) -> bool:
        case = Case(person_id="ann", source=source, memory=MEMORIES[memory])
        return needs_look(case, replace(Policy(), **policy))  # type: ignore[arg-type]

    same = SourceState.photo("sha of ann, old")
    assert not needs(same, "ours")
    assert not needs(same, "theirs, by source")
    assert not needs(same, "restored")
    assert not needs(SourceState.cleared(), "nothing")
    assert not needs(SourceState.cleared(), "ours")
    assert not needs(SourceState.cleared(), "ours, of another person", removed=Removed.REMOVE)
    assert not needs(SourceState.exclude(Reason.DISABLED), "ours", clear=True)
    assert needs(same, "nothing")
    assert needs(PHOTO, "ours")
    assert needs(same, "ours", resend=True)
    assert needs(same, "ours", overwrite=True)
    assert not needs_look(Case(person_id="ann", source=PHOTO, match=MatchState.NONE), Policy(clear=True))
    assert needs(same, "theirs, by source", overwrite=True)
    assert needs(same, "theirs, by cloud")
    assert not needs(same, "theirs, by cloud", conflict=Conflict.CLOUD)
    assert needs(SourceState.cleared(), "ours", removed=Removed.REMOVE)
    assert needs(SourceState.cleared(), "nothing", clear=True)


@pytest.mark.parametrize("rule", PersonRule)
@pytest.mark.parametrize("conflict", Conflict)
def test_a_rule_changes_nothing_of_the_policy_but_what_it_says(rule: PersonRule, conflict: Conflict) -> None:
    changed = {
        PersonRule.NONE: {},
        PersonRule.OPTED_OUT: {"opted_out": True},
        PersonRule.KEEP_CLOUD: {"conflict": Conflict.CLOUD},
        PersonRule.SOURCE_WINS: {"conflict": Conflict.SOURCE},
        PersonRule.EXTERNAL: {"conflict": Conflict.CLOUD, "overwrite": False, "spares_others": True},
    }[rule]
    policy = Policy(conflict=conflict, overwrite=True)
    assert policy.of(rule) == replace(policy, **cast("dict[str, Any]", changed))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("source", ["same", "changed"])
@pytest.mark.parametrize("option", ["", "resend", "overwrite"])
def test_no_photo_of_an_external_account_is_replaced_that_is_not_ours(memory: str, source: str, option: str) -> None:
    policy = replace(Policy(), **cast("dict[str, Any]", {option: True} if option else {})).of(PersonRule.EXTERNAL)
    for cloud, look in looks(NAMES[source]).items():
        decision = Cell(source, memory, cloud, policy, "").decide()
        shown = view(look, source=picture(NAMES[source]), memory=MEMORIES[memory])
        is_ours = shown.kind is ViewKind.OURS  # or a copy of ours
        assert decision.action is not Action.REPLACE or is_ours, cloud


@pytest.mark.parametrize("reason", LEFT_OUT["unusable"])
def test_an_opt_out_does_not_wait_for_a_usable_picture(reason: Reason) -> None:
    case = Case(person_id="ann", source=SourceState.exclude(reason), memory=MEMORIES["ours"])
    policy = Policy(opted_out=True)
    assert needs_look(case, policy)
    shown = view(looks("ann, old")["our photo, same tag"], source=None, memory=MEMORIES["ours"])
    assert decide(replace(case, view=shown), policy, NOW) == Decision(
        Action.REMOVE, Reason.OPTED_OUT, MemoryChange.CLEARED
    )
    assert decide(replace(case, memory=OPTED_OUT), policy, NOW) == Decision(Action.SKIP, Reason.OPTED_OUT)


@pytest.mark.parametrize("reason", [one for state, found in LEFT_OUT.items() if state != "unusable" for one in found])
def test_who_was_not_read_is_left_as_they_are_also_where_they_opted_out(reason: Reason) -> None:
    case = Case(person_id="ann", source=SourceState.exclude(reason), memory=MEMORIES["ours"])
    assert not needs_look(case, Policy(opted_out=True))
    assert decide(case, Policy(opted_out=True), NOW) == Decision(Action.SKIP, reason)


def test_a_source_that_is_no_source_is_refused() -> None:
    with pytest.raises(ValueError, match="sha256"):
        SourceState.photo("")
    with pytest.raises(ValueError, match="no-account"):
        SourceState.exclude(Reason.NO_ACCOUNT)


@pytest.mark.parametrize("conflict", Conflict)
@pytest.mark.parametrize("cloud", ["not asked", "none", "another", "the source's picture"])
@pytest.mark.parametrize("source", ["photo", "cleared"])
def test_who_opted_out_and_came_back_is_decided_as_somebody_new(source: str, cloud: str, conflict: Conflict) -> None:
    policy = Policy(conflict=conflict)
    new, back = (Cell(source, memory, cloud, policy, "") for memory in ("nothing", "opted out"))
    assert back.decide() == new.decide()
    held = SourceState.photo("sha of ann, old") if source == "photo" else SourceState.cleared()
    again, first = (Case(person_id="ann", source=held, memory=memory) for memory in (OPTED_OUT, None))
    assert needs_look(again, policy) == needs_look(first, policy)


@pytest.mark.parametrize("rule", list(PersonRule))
@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (MatchState.CLOUD_MANAGED, Reason.CLOUD_MANAGED),
        (MatchState.DISPUTED, Reason.ANCHOR_DISPUTED),
        (MatchState.NONE, Reason.NO_ACCOUNT),
        (MatchState.AMBIGUOUS, Reason.AMBIGUOUS_MATCH),
    ],
)
def test_an_account_that_is_left_alone_is_left_alone_under_every_rule_for_its_person(
    rule: PersonRule, match: MatchState, reason: Reason
) -> None:
    for memory, source, policy in product(REMEMBERED.values(), (PHOTO, SourceState.cleared()), EVERY_POLICY):
        case = Case(person_id="ann", source=source, match=match, memory=memory)

        decision = decide(case, policy.of(rule), NOW)

        assert decision == Decision(Action.SKIP, reason)
