"""Decide about guests that nobody in the source stands for: they get GUEST_PHOTO, and their own photo always stays."""

from __future__ import annotations

from dataclasses import replace

from connector.decide.case import Decision, Policy
from connector.decide.intents import STANDS_UNDER_SOURCE
from connector.model import Action, Conflict, Memory, Presence, Reason


def guest_policy(policy: Policy) -> Policy:
    """Return the policy for a guest: a photo that is not ours always wins."""
    return replace(policy, conflict=Conflict.CLOUD)


def guest_decision(decision: Decision) -> Decision:
    """Put a decision about a guest into its own words: given by us, or the guest's own affair."""
    if decision.writes:
        return replace(decision, reason=Reason.GUEST_DEFAULT, conflict=False, over_foreign=False)
    if decision.action is Action.KEEP and decision.reason is not Reason.AWAITING_CLOUD:
        return replace(decision, reason=Reason.UNCHANGED, conflict=False)
    return decision


def guest_memory(memory: Memory | None) -> Memory | None:
    """Let what is left alone stand for good: no change of SYNC_CONFLICT lifts it."""
    if memory is None or memory.presence is Presence.OURS:
        return memory
    return replace(memory, policy=STANDS_UNDER_SOURCE)
