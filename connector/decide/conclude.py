"""Decide about one account from everything known of it: end its intent, apply the table, compute the memory after.

Guests without a person are decided here, too: they get GUEST_PHOTO, and their own photo always stays.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from connector.decide.case import Case, Decision, MemoryChange, Policy
from connector.decide.compare import ViewKind, known_by, shows_one_of, view
from connector.decide.intents import expelled, judge
from connector.decide.table import decide, is_expelled, needs_look
from connector.model import Action, CloudObservation, Conflict, Fingerprint, Memory, Presence, Reason


def must_ask(case: Case, policy: Policy) -> bool:
    """Return True if the cloud must be asked before this case can be decided."""
    return needs_look(case, policy_for(case, policy))


def assess(case: Case, look: CloudObservation, now: datetime) -> Case:
    """Return the case with its intent settled, and what the cloud shows compared with the memory after that."""
    settled, memory = judge(case.intent, look, memory=case.memory, now=now)
    is_ours = memory is not None and memory.presence is Presence.OURS
    return replace(
        case,
        settled=settled,
        memory=memory,
        view=view(look, source=case.picture, memory=memory),
        other_attribute_shown=is_ours and shows_one_of(look, case.other_prints),
    )


def is_sent_elsewhere(decision: Decision, case: Case) -> bool:
    """Return True if the cloud shows the new photo of somebody whose last one is ours, before we sent it."""
    memory = case.memory
    if decision.reason is not Reason.ADOPTED or memory is None or memory.presence is not Presence.OURS:
        return False
    is_new = memory.person_id == case.person_id and memory.source_sha256 != case.source.sha256
    return is_new and case.view.kind is ViewKind.SOURCE_PHOTO


def decide_for(case: Case, policy: Policy, now: datetime) -> Decision:
    """Decide the assessed case of a person or of a guest."""
    decision = decide(case, policy_for(case, policy), now)
    return _guest_decision(decision) if case.is_guest else decision


def policy_for(case: Case, policy: Policy) -> Policy:
    """Return the policy that applies: a guest's own photo always wins."""
    return replace(policy, conflict=Conflict.CLOUD) if case.is_guest else policy


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


def memory_after(decision: Decision, *, case: Case, look: CloudObservation, policy: Policy) -> Memory | None:
    """Return the memory after a keep or a skip; None for no memory. After a write see intents.memory_of_write.

    Raises ValueError for a write, which is remembered only once the cloud shows it.
    """
    if decision.writes:
        raise ValueError("A write is remembered by its intent.")
    memory = _memory_after(decision, case=case, look=look, policy=policy_for(case, policy))
    return _as_final(memory) if case.is_guest else memory


def _memory_after(decision: Decision, *, case: Case, look: CloudObservation, policy: Policy) -> Memory | None:
    if decision.reason is Reason.OPTED_OUT and decision.becomes is MemoryChange.CLEARED:
        return expelled(case.person_id)
    match decision.becomes:
        case MemoryChange.UNTOUCHED:
            return case.memory
        case MemoryChange.REFRESHED if case.memory is not None:
            return _refreshed(case.memory, look)
        case MemoryChange.OURS_ADOPTED:
            return _adopted(case, look)
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


def _adopted(case: Case, look: CloudObservation) -> Memory:
    """Take what the cloud shows as ours; where it is still our own upload, what we sent stays known."""
    old = case.memory
    ours = old if old is not None and old.presence is Presence.OURS and known_by(look, old) else None
    return Memory(
        person_id=case.person_id,
        presence=Presence.OURS,
        source_sha256=case.source.sha256,
        recipe=ours.recipe if ours else "",
        sent_sha256=ours.sent_sha256 if ours else "",
        sent_print=case.picture.sent if case.picture else (ours.sent_print if ours else None),
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
