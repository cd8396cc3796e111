"""Decide about one account from everything known of it: end its intent, apply the table, compute the memory after.

Guests without a person are decided here, too: they get GUEST_PHOTO, and their own photo always stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from connector.decide.case import UNSEEN, Case, Decision, MemoryChange, Policy, SourceState
from connector.decide.compare import CloudObservation, SourcePicture, ViewKind, known_by, shows_one_of
from connector.decide.intents import Assessment, expelled, judge
from connector.decide.table import decide, is_expelled, needs_look
from connector.model import Action, Conflict, Fingerprint, Intent, Memory, Presence, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownState:
    """Contain what the ledger knows of one person and account.

    `source_sha256` is empty if the photo was cleared. `sent_sha256` is that of the prepared picture, empty if it was
    prepared by an older recipe. `other_prints` are the pictures of the person's other photo attributes.
    """

    person_id: str
    source_sha256: str
    memory: Memory | None
    intent: Intent | None
    picture: SourcePicture | None
    sent_sha256: str = ""
    other_prints: tuple[Fingerprint, ...] = ()
    is_guest: bool = False


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Contain how the intent ended, the decision, and the memory after a decision that writes nothing."""

    assessment: Assessment
    decision: Decision
    memory: Memory | None


def must_ask(known: KnownState, policy: Policy) -> bool:
    """Return True if the cloud must be asked before this state can be decided."""
    case = _case(known, Assessment(None, known.memory, UNSEEN))
    return needs_look(case, policy_for(policy, is_guest=known.is_guest))


def conclude(known: KnownState, observation: CloudObservation, *, policy: Policy, now: datetime) -> Conclusion:
    """Assess an observation of the cloud, decide, and compute the memory after it."""
    assessment = judge(observation, source=known.picture, memory=known.memory, intent=known.intent, now=now)
    is_ours = assessment.memory is not None and assessment.memory.presence is Presence.OURS
    is_other = is_ours and shows_one_of(observation, known.other_prints)
    case = replace(_case(known, assessment), other_attribute_shown=is_other)
    decision = decide_for(case, policy, now, is_guest=known.is_guest)
    if decision.writes:
        return Conclusion(assessment, decision, assessment.memory)
    own_policy = policy_for(policy, is_guest=known.is_guest)
    memory = memory_after(decision, case=case, look=observation, picture=known.picture, policy=own_policy)
    return Conclusion(assessment, decision, _as_final(memory) if known.is_guest else memory)


def is_sent_elsewhere(known: KnownState, conclusion: Conclusion) -> bool:
    """Return True if the cloud shows the new photo of somebody whose last one is ours, before we sent it."""
    memory = conclusion.assessment.memory
    if conclusion.decision.reason is not Reason.ADOPTED or memory is None or memory.presence is not Presence.OURS:
        return False
    is_new = memory.person_id == known.person_id and memory.source_sha256 != known.source_sha256
    return is_new and conclusion.assessment.view.kind is ViewKind.SOURCE_PHOTO


def decide_for(case: Case, policy: Policy, now: datetime, *, is_guest: bool) -> Decision:
    """Decide a case of a person or of a guest."""
    decision = decide(case, policy_for(policy, is_guest=is_guest), now)
    return _guest_decision(decision) if is_guest else decision


def policy_for(policy: Policy, *, is_guest: bool) -> Policy:
    """Return the policy that applies: a guest's own photo always wins."""
    return replace(policy, conflict=Conflict.CLOUD) if is_guest else policy


def _case(known: KnownState, assessment: Assessment) -> Case:
    return Case(
        person_id=known.person_id,
        source=SourceState.photo(known.source_sha256) if known.source_sha256 else SourceState.cleared(),
        memory=assessment.memory,
        view=assessment.view,
        settled=assessment.settled,
        sent_sha256=known.sent_sha256,
    )


def _guest_decision(decision: Decision) -> Decision:
    """Replace the reason: a guest's photo was given by this tool, or is left alone."""
    if decision.reason is Reason.OPTED_OUT:
        return decision
    if decision.writes:
        return replace(decision, reason=Reason.GUEST_DEFAULT, conflict=False, over_foreign=False)
    if decision.action is Action.KEEP and decision.reason is not Reason.AWAITING_CLOUD:
        return replace(decision, reason=Reason.UNCHANGED, conflict=False)
    return decision


def _as_final(memory: Memory | None) -> Memory | None:
    """Mark a guest's own photo as final; a later SYNC_CONFLICT=source does not apply to it."""
    if memory is None or memory.presence is Presence.OURS or is_expelled(memory):
        return memory
    return replace(memory, is_final=True)


def memory_after(
    decision: Decision, *, case: Case, look: CloudObservation, picture: SourcePicture | None, policy: Policy
) -> Memory | None:
    """Return the memory after a keep or a skip; None for no memory. After a write see intents.memory_of_write.

    `picture` is the source's, where it was prepared. Raises ValueError for a write, which is remembered only
    once the cloud shows it.
    """
    if decision.writes:
        raise ValueError("A write is remembered by its intent.")
    if decision.reason is Reason.OPTED_OUT and decision.becomes is MemoryChange.CLEARED:
        return expelled(case.person_id)
    match decision.becomes:
        case MemoryChange.UNTOUCHED:
            return case.memory
        case MemoryChange.REFRESHED if case.memory is not None:
            return _refreshed(case.memory, look)
        case MemoryChange.OURS_ADOPTED:
            return _adopted(case, look=look, picture=picture)
        case MemoryChange.THEIRS | MemoryChange.CLEARED:
            return _standing(case, look=look, presence=Presence(decision.becomes.value), policy=policy)
        case _:
            return None


def _refreshed(memory: Memory, look: CloudObservation) -> Memory:
    """Take the new tag; keep the old print, so that copies of copies cannot shrink or drift unseen."""
    return replace(
        memory,
        tag=look.tag,
        read_sha256=look.read_sha256 or memory.read_sha256,
        read_print=memory.read_print or look.read_print,
    )


def _adopted(case: Case, *, look: CloudObservation, picture: SourcePicture | None) -> Memory:
    """Take what the cloud shows as ours; where it is still our own upload, what we sent stays known."""
    old = case.memory
    ours = old if old is not None and old.presence is Presence.OURS and known_by(look, old) else None
    return Memory(
        person_id=case.person_id,
        presence=Presence.OURS,
        source_sha256=case.source.sha256,
        recipe=ours.recipe if ours else "",
        sent_sha256=ours.sent_sha256 if ours else "",
        sent_print=picture.sent if picture else (ours.sent_print if ours else None),
        read_sha256=_read_sha256(case, look),
        read_print=_read_print(case, look),
        tag=look.tag,
        improved_at=old.improved_at if old else None,
    )


def _standing(case: Case, *, look: CloudObservation, presence: Presence, policy: Policy) -> Memory:
    """Keep a conflict under the policy of its first run; a change of policy does not end what `--clear` left."""
    old = case.memory
    is_gone = presence is Presence.CLEARED
    is_standing = old is not None and old.presence is not Presence.OURS and not case.is_changed
    first_policy = old.conflict_policy if old is not None and is_standing else policy.conflict.value
    return Memory(
        person_id=case.person_id,
        presence=presence,
        source_sha256=case.source.sha256,
        read_sha256="" if is_gone else _read_sha256(case, look),
        read_print=None if is_gone else _read_print(case, look),
        tag="" if is_gone else look.tag,
        conflict_policy=first_policy,
        is_final=policy.clear or (old is not None and is_standing and old.is_final),
        improved_at=old.improved_at if old else None,
    )


def _read_sha256(case: Case, look: CloudObservation) -> str:
    memory = case.memory
    if look.read_sha256 or memory is None:
        return look.read_sha256
    return memory.read_sha256 if known_by(look, memory) else ""


def _read_print(case: Case, look: CloudObservation) -> Fingerprint | None:
    memory = case.memory
    if look.read_print is not None or memory is None:
        return look.read_print
    return memory.read_print if known_by(look, memory) else None
