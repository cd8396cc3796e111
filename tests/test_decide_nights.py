"""The decisions of many runs in a row keep what must never happen from happening."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connector.decide.case import Case, Decision, MemoryChange, Policy, SourceState
from connector.decide.compare import CloudView, MatchLevel, ViewKind, view
from connector.decide.conclude import assess, memory_after
from connector.decide.intents import IntentState, memory_of_write, needs_bytes, settle
from connector.decide.table import decide, needs_look
from connector.model import Action, CloudObservation, Conflict, Intent, Memory, Presence, Reason, Removed
from tests.test_decide_table import LEFT_OUT, MEMORIES, NOW, looks, picture, portrait

REASONS = [reason for reasons in LEFT_OUT.values() for reason in reasons]
SOURCES = [
    *(SourceState.photo("sha of ann, old"), SourceState.photo("sha of ann, new"), SourceState.cleared()),
    *(SourceState.exclude(reason) for reason in REASONS),
]
VIEWS = st.builds(
    CloudView,
    st.sampled_from(ViewKind),
    st.sampled_from([None, *MatchLevel]),
    st.booleans(),
)
CASES = st.builds(
    Case,
    person_id=st.sampled_from(["ann", "carl"]),
    source=st.sampled_from(SOURCES),
    memory=st.sampled_from(list(MEMORIES.values())),
    view=VIEWS,
    settled=st.sampled_from([None, *IntentState]),
    sent_sha256=st.sampled_from(["", "sent of ann, old"]),
    other_attribute_shown=st.booleans(),
)
POLICIES = st.builds(
    Policy,
    conflict=st.sampled_from(Conflict),
    removed=st.sampled_from(Removed),
    resend=st.booleans(),
    overwrite=st.booleans(),
    clear=st.booleans(),
)
anything = given(case=CASES, policy=POLICIES)


@anything
def test_nothing_is_written_unseen_or_for_somebody_without_a_photo_but_a_removal(case: Case, policy: Policy) -> None:
    decision = decide(case, policy, NOW)
    if decision.writes:
        assert case.source.left_out is None
        assert case.settled is not IntentState.WAIT
        assert case.view.kind is not ViewKind.NOT_ASKED
        assert case.source.sha256 or decision.action is Action.REMOVE


@anything
def test_a_write_fits_what_the_cloud_shows(case: Case, policy: Policy) -> None:
    decision = decide(case, policy, NOW)
    is_none = case.view.kind is ViewKind.NONE
    assert not (decision.action is Action.CREATE and not is_none)
    assert not (decision.action in (Action.REPLACE, Action.REMOVE) and is_none)
    assert decision.needs_backup == (decision.writes and not is_none)


@anything
def test_only_our_own_photo_is_removed_and_only_when_asked_to(case: Case, policy: Policy) -> None:
    if decide(case, policy, NOW).action is not Action.REMOVE:
        return
    memory = case.memory
    assert memory is not None
    assert memory.presence is Presence.OURS
    assert case.view.kind is ViewKind.OURS
    if not policy.clear:
        assert policy.removed is Removed.REMOVE
        assert case.source == SourceState.cleared()
        assert memory.person_id == case.person_id


@anything
def test_somebody_elses_doing_stays_unless_the_source_wins(case: Case, policy: Policy) -> None:
    decision = decide(case, policy, NOW)
    if not decision.writes or policy.conflict is Conflict.SOURCE or policy.overwrite:
        return
    memory, is_changed = case.memory, decision.reason is Reason.SOURCE_CHANGED
    is_restored = memory is not None and memory.restored and is_changed
    # an administrator's `--clear`, which is told by `is_final`, and in older ledgers by the policy `source`
    is_cleared_by_us = memory is not None and memory.conflict_policy == Conflict.SOURCE and is_changed
    assert case.view.kind is not ViewKind.ANOTHER or is_restored
    assert not (case.view.kind is ViewKind.NONE and memory is not None) or is_restored or is_cleared_by_us


@anything
def test_what_goes_over_a_foreign_state_is_counted(case: Case, policy: Policy) -> None:
    decision = decide(case, policy, NOW)
    over_another = case.view.kind in (ViewKind.ANOTHER, ViewKind.SOURCE_PHOTO)
    created_again = decision.action is Action.CREATE and case.memory is not None
    if decision.action is not Action.REMOVE and decision.writes and (over_another or created_again):
        assert decision.over_foreign


@anything
def test_what_is_there_already_is_not_sent_again_unless_asked_to(case: Case, policy: Policy) -> None:
    is_ours = case.memory is not None and case.memory.presence is Presence.OURS
    is_there = case.view.kind is ViewKind.OURS and not case.view.smaller
    if is_ours and is_there and not case.is_changed and not policy.resend and not policy.clear:
        assert not decide(case, policy, NOW).writes


@anything
def test_what_was_restored_is_left_alone_until_the_source_changes(case: Case, policy: Policy) -> None:
    if case.memory is not None and case.memory.restored and not case.is_changed:
        assert not decide(case, policy, NOW).writes


@anything
def test_only_a_case_that_says_so_is_postponed(case: Case, policy: Policy) -> None:
    unseen = replace(case, view=CloudView(ViewKind.NOT_ASKED), settled=None)
    decision = decide(unseen, policy, NOW)
    assert not decision.writes
    assert (decision.reason is not Reason.POSTPONED) or needs_look(unseen, policy)


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_the_night_after_a_keep_is_quiet_and_says_the_same_of_the_same_cloud(memory: Memory | None) -> None:
    tried = 0
    for name, conflict, removed in product(("ann, old", "ann, new", ""), Conflict, Removed):
        source = SourceState.photo(f"sha of {name}") if name else SourceState.cleared()
        policy = Policy(conflict=conflict, removed=removed)
        for look in looks(name).values():
            known, decision = _one_night(look, source=source, name=name, memory=memory, policy=policy)
            if decision.writes or decision.reason is Reason.POSTPONED:
                continue
            again, after = _one_night(look, source=source, name=name, memory=known, policy=policy)
            assert not after.writes, (decision, after)
            assert again == known, (decision, after)
            tried += 1
    assert tried > 50


def _one_night(
    look: CloudObservation, *, source: SourceState, name: str, memory: Memory | None, policy: Policy
) -> tuple[Memory | None, Decision]:
    shown = picture(name) if name else None
    seen = view(look, source=shown, memory=memory)
    case = Case(person_id="ann", source=source, memory=memory, picture=shown, view=seen)
    decision = decide(case, policy, NOW)
    if decision.writes:
        return memory, decision
    return memory_after(decision, case=case, look=look, policy=policy), decision


def test_a_write_is_remembered_by_its_intent_only() -> None:
    case = Case(person_id="ann", source=SOURCES[0])
    write = Decision(Action.CREATE, Reason.FIRST_UPLOAD, MemoryChange.OURS_SENT)
    with pytest.raises(ValueError, match="intent"):
        memory_after(write, case=case, look=CloudObservation.at(None), policy=Policy())


def test_copies_of_copies_do_not_shrink_unseen() -> None:
    memory, source = MEMORIES["ours"], SourceState.photo("sha of ann, old")
    reasons = []
    for night, edge in enumerate((560, 490, 480)):
        shown = portrait("ann, old", width=edge, height=edge, wear=5)
        look = CloudObservation(f"copy {night}").with_bytes(f"sha {night}", shown)
        memory, decision = _one_night(look, source=source, name="ann, old", memory=memory, policy=Policy())
        reasons.append(decision.reason)
    assert reasons == [Reason.UNCHANGED, Reason.UNCHANGED, Reason.BETTER_QUALITY]


def test_an_adopted_photo_of_ours_keeps_what_is_known_of_the_upload() -> None:
    look, name = looks("ann, new")["our photo, same tag"], "ann, new"
    memory, source = MEMORIES["ours"], SourceState.photo("sha of ann, new")
    seen = view(look, source=picture(name), memory=memory)
    case = Case(person_id="ann", source=source, memory=memory, view=seen, sent_sha256="sent of ann, old")
    decision = decide(case, Policy(), NOW)
    after = memory_after(decision, case=case, look=look, policy=Policy())
    assert memory is not None
    assert after == replace(memory, source_sha256="sha of ann, new", conflict_policy="")


def test_what_clear_left_is_not_lifted_by_the_policy_but_by_overwrite() -> None:
    source, name = SourceState.photo("sha of ann, old"), "ann, old"
    left, _ = _one_night(CloudObservation.at(None), source=source, name=name, memory=None, policy=Policy(clear=True))
    assert left is not None
    assert (left.presence, left.is_final) == (Presence.CLEARED, True)
    nights = {
        option: _one_night(CloudObservation.at(None), source=source, name=name, memory=left, policy=policy)[1].action
        for option, policy in (("nightly", Policy()), ("overwrite", Policy(overwrite=True)))
    }
    assert nights == {"nightly": Action.KEEP, "overwrite": Action.CREATE}


# ----------------------------------------------------------------- any sequence of edits, lags, crashes and policies

FACES = ["ann, one", "ann, two", "ann, three"]
FOREIGN = ["on the beach", "with a cat"]


@dataclass
class Cloud:
    """One account's photo: encoded again and tagged anew at each write, which may stay unseen for one more night."""

    face: str = ""
    tag: str = ""
    edge: int = 648
    writer: str = ""
    shown: tuple[str, str, int] = ("", "", 648)
    writes: int = 0
    lag: int = 0

    def write(self, face: str, writer: str, *, edge: int = 648, lag: str = "") -> None:
        self.writes += 1
        self.face, self.writer, self.edge = face, writer, edge
        self.tag = f"tag {self.writes}" if face else ""
        self.lag = 2 if lag else 0
        if lag == "not found":
            self.shown = ("", "", 648)
        self.dawn()

    def dawn(self) -> None:
        """Show the last write, unless it still lags."""
        self.lag = max(0, self.lag - 1)
        if not self.lag:
            self.shown = (self.face, self.tag, self.edge)

    def look(self) -> CloudObservation:
        face, tag, edge = self.shown
        if not face:
            return CloudObservation.at(None)
        return CloudObservation(tag).with_bytes(f"sha of {tag}", portrait(face, width=edge, height=edge, wear=4))


class Nights(RuleBasedStateMachine):
    """Live one person's photo through any sequence, with a tool that may be killed around each write."""

    @initialize()
    def begin(self) -> None:
        self.cloud = Cloud()
        self.now: datetime = NOW
        self.source = FACES[0]
        self.policy = Policy()
        self.memory: Memory | None = None
        self.intent: Intent | None = None
        self.was_edited = False
        self.was_killed = False

    @rule(face=st.sampled_from([*FACES, ""]))
    def the_directory_changes(self, face: str) -> None:
        self.source = face

    @rule(face=st.sampled_from([*FOREIGN, *FACES, ""]), edge=st.sampled_from([96, 648]))
    def somebody_edits_the_cloud(self, face: str, edge: int) -> None:
        self.cloud.write(face, "user", edge=edge)
        self.was_edited = True

    @rule()
    def the_service_encodes_again(self) -> None:
        if self.cloud.face:
            self.cloud.write(self.cloud.face, self.cloud.writer, edge=self.cloud.edge)

    @rule(conflict=st.sampled_from(Conflict), removed=st.sampled_from(Removed))
    def the_policy_changes(self, conflict: Conflict, removed: Removed) -> None:
        self.policy = Policy(conflict=conflict, removed=removed)

    @rule()
    def the_ledger_is_lost(self) -> None:
        # a write that nobody remembers and the cloud does not show yet looks like an edit when it appears
        if self.cloud.lag:
            return
        self.memory = self.intent = None
        self.was_killed = self.was_edited = True

    @rule(
        killed=st.sampled_from(["", "", "before the write", "after the write"]),
        lag=st.sampled_from(["", "", "the old photo", "not found"]),
        option=st.sampled_from(["", "", "", "resend", "overwrite", "clear"]),
    )
    def a_night(self, killed: str, lag: str, option: str) -> None:
        self.now += timedelta(hours=23)
        chosen: dict[str, Any] = {option: True} if option else {}
        policy = replace(self.policy, **chosen)
        look, source = self.cloud.look(), picture(self.source) if self.source else None
        held = SourceState.photo(f"sha of {self.source}") if self.source else SourceState.cleared()
        case = Case(person_id="ann", source=held, memory=self.memory, intent=self.intent, picture=source)
        case = assess(case, look, self.now)
        self.memory = case.memory
        if case.settled is not None and not case.settled.stays_open:
            self.intent = None
        decision = decide(case, policy, self.now)
        self._hold_against_the_truth(decision, policy)
        self.cloud.dawn()
        if decision.writes:
            self._write(decision, look, killed=killed, lag=lag)
        else:
            self.memory = memory_after(decision, case=case, look=look, policy=policy)

    def _write(self, decision: Decision, look: CloudObservation, *, killed: str, lag: str) -> None:
        face = "" if decision.action is Action.REMOVE else self.source
        # an intent holds one write: another one, while that of a killed night is still unseen, forgets the first
        forgets = self.intent is not None and (bool(killed) or self.was_killed)
        self.was_edited = self.was_edited or forgets
        self.intent = Intent(
            person_id="ann",
            source_sha256=f"sha of {self.source}" if self.source else "",
            sent_sha256=f"sent of {face}" if face else "",
            sent_print=portrait(face) if face else None,
            tag_before=look.tag,
            started_at=self.now,
            reason=decision.reason,
        )
        self.was_killed = bool(killed) or forgets
        if killed == "before the write":
            return
        self.cloud.write(face, "tool", lag=lag)
        if killed:
            return
        self.was_edited = forgets
        self.intent = replace(self.intent, accepted_at=self.now)
        seen = self.cloud.look()
        if settle(self.intent, seen, self.now) is IntentState.OURS:
            self.memory, self.intent = memory_of_write(self.intent, look=seen, memory=self.memory), None

    def _hold_against_the_truth(self, decision: Decision, policy: Policy) -> None:
        """Compare a decision with what really is in the cloud and who put it there, which the tool cannot see."""
        cloud = self.cloud
        if decision.writes:
            assert cloud.face not in FOREIGN or decision.action is not Action.REMOVE
            wins = policy.conflict is Conflict.SOURCE or policy.overwrite
            assert cloud.face not in FOREIGN or wins, "somebody else's photo overwritten against the policy"
        if decision.action is Action.REMOVE and not policy.clear:
            assert not self.source
            assert policy.removed is Removed.REMOVE
        if decision.action in (Action.CREATE, Action.REPLACE):
            assert self.source
            is_there = (cloud.face, cloud.edge) == (self.source, 648)
            assert not is_there or policy.resend or self.was_killed, "sent again what is there already"
        is_of_ours = self.memory is not None and self.memory.presence is Presence.OURS
        if decision.conflict and is_of_ours:
            assert self.was_edited, "our own write taken for somebody's edit"

    @invariant()
    def the_memory_is_whole(self) -> None:
        memory = getattr(self, "memory", None)
        if memory is not None and memory.presence is not Presence.CLEARED and memory.tag:
            assert not needs_bytes(CloudObservation(memory.tag), memory=memory)
            assert memory.read_print is not None


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=500, stateful_step_count=25, deadline=None)
