"""Compute the memory after a decision that writes nothing; after a write see intents.memory_of_write."""

from __future__ import annotations

from dataclasses import replace

from connector.decide.case import Case, Decision, MemoryChange, Policy
from connector.decide.compare import CloudObservation, SourcePicture, known_by
from connector.decide.intents import expelled
from connector.model import Fingerprint, Memory, Presence, Reason


def memory_after(
    decision: Decision, *, case: Case, look: CloudObservation, picture: SourcePicture | None, policy: Policy
) -> Memory | None:
    """Return the memory that holds after a keep or a skip; None for no memory.

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
