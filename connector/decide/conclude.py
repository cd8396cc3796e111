"""Decide about one account from everything known of it: end its intent, apply the table, compute the memory after.

Guests without a person are decided here, too: they get GUEST_PHOTO, and their own photo always stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from connector.decide.case import UNSEEN, Case, Decision, Policy, Source
from connector.decide.compare import CloudObservation, SourcePicture, ViewKind, shows_one_of
from connector.decide.intents import Assessment, judge
from connector.decide.memory import memory_after
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
        source=Source.photo(known.source_sha256) if known.source_sha256 else Source.cleared(),
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
