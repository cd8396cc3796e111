"""Decide about one photo by the decision table, as a pure function."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from connector.decide.case import Case, Decision, MatchState, MemoryChange, Policy, SourceState
from connector.decide.compare import MatchLevel, ViewKind
from connector.decide.intents import IntentState
from connector.model import Action, Conflict, Memory, Presence, Reason, Removed

IMPROVE_AGAIN = timedelta(days=30)
MATCH_REASONS = {
    MatchState.NONE: Reason.NO_ACCOUNT,
    MatchState.AMBIGUOUS: Reason.AMBIGUOUS_MATCH,
    MatchState.DISPUTED: Reason.ANCHOR_DISPUTED,
    MatchState.CLOUD_MANAGED: Reason.CLOUD_MANAGED,
}


def decide(case: Case, policy: Policy, now: datetime) -> Decision:
    """Decide one case by the rows of docs/decision-table.md, the first that fits."""
    early = _before_the_rows(case, policy)
    if early is not None:
        return early
    if policy.opted_out:
        return _opted_out(case)
    case = _come_back(case)
    if policy.clear:
        return _clear(case, now)
    decision = _by_rows(case, policy, now)
    if policy.spares_others and decision.action is Action.REPLACE and decision.over_foreign:
        return _spared(case, policy)
    if policy.overwrite and decision.writes and not _by_rows(case, replace(policy, overwrite=False), now).writes:
        return replace(decision, reason=Reason.OVERWRITTEN)
    return decision


def needs_look(case: Case, policy: Policy) -> bool:
    """Return True if the cloud must be asked before this case can be decided; an open intent is the caller's to know.

    A quiet person needs no look; who has the turn of SYNC_VERIFY_PERCENT, or `--full`, is looked at all the same.
    """
    memory = case.memory
    if case.is_left_out(policy) or case.match is not MatchState.OK:
        return False
    if policy.opted_out:
        return memory is not None and not is_expelled(memory)
    if memory is not None and is_expelled(memory):
        case, memory = _come_back(case), None
    if policy.clear or policy.overwrite:
        return True
    if case.source == SourceState.cleared():
        return _is_of_person(case) and policy.removed is Removed.REMOVE
    if memory is None or case.is_changed:
        return True
    if memory.presence is Presence.OURS:
        return policy.resend
    return _is_lifted(memory, policy)


def _before_the_rows(case: Case, policy: Policy) -> Decision | None:
    if case.source.left_out is not None and case.is_left_out(policy):
        return Decision(Action.SKIP, case.source.left_out)
    if case.match is not MatchState.OK:
        return Decision(Action.SKIP, MATCH_REASONS[case.match])
    if case.failed is not None:
        return Decision(Action.FAIL, case.failed)
    if case.settled is IntentState.WAIT:
        return Decision(Action.KEEP, Reason.AWAITING_CLOUD)
    return None


def is_expelled(memory: Memory) -> bool:
    """Return True if all that is remembered is that the person opted out."""
    return memory.conflict_policy == Reason.OPTED_OUT


def _come_back(case: Case) -> Case:
    """Forget what is remembered of somebody who had opted out: coming back is a first upload again."""
    return replace(case, memory=None) if case.memory is not None and is_expelled(case.memory) else case


def _opted_out(case: Case) -> Decision:
    """Remove what is ours, leave what is not, and remember no photo of somebody who opted out."""
    memory = case.memory
    if memory is None or is_expelled(memory):
        return Decision(Action.SKIP, Reason.OPTED_OUT)
    if case.view.kind is ViewKind.NOT_ASKED:
        return _postponed()
    if memory.presence is Presence.OURS and case.view.kind is ViewKind.OURS:
        return Decision(Action.REMOVE, Reason.OPTED_OUT, MemoryChange.CLEARED)
    return Decision(Action.SKIP, Reason.OPTED_OUT, MemoryChange.CLEARED)


def _by_rows(case: Case, policy: Policy, now: datetime) -> Decision:
    if case.source == SourceState.cleared():
        return _source_cleared(case, policy)
    if case.memory is None:
        return _no_memory(case, policy)
    if case.is_changed:
        return _changed(case, case.memory, policy=policy)
    if case.memory.presence is Presence.OURS:
        return _same_ours(case, case.memory, policy=policy, now=now)
    return _same_standing(case, case.memory, policy=policy)


def _no_memory(case: Case, policy: Policy) -> Decision:
    """Decide where a cloud photo is met for the first time, or anew since a standing conflict was lifted."""
    kind = case.view.kind
    if kind is ViewKind.NONE:
        again = case.memory is not None
        return Decision(Action.CREATE, Reason.FIRST_UPLOAD, MemoryChange.OURS_SENT, over_foreign=again)
    if kind is ViewKind.SOURCE_PHOTO:
        return _better_quality() if case.view.smaller else _adopted()
    if kind is ViewKind.ANOTHER:
        return _conflict(case, policy, reason=Reason.CLOUD_DIFFERS)
    return _postponed()


def _same_ours(case: Case, memory: Memory, *, policy: Policy, now: datetime) -> Decision:
    kind = case.view.kind
    if kind is ViewKind.NOT_ASKED:
        return _postponed() if policy.resend else Decision(Action.KEEP, Reason.UNCHANGED)
    if kind is ViewKind.NONE:
        return _conflict(case, policy, reason=Reason.CLOUD_REMOVED)
    if kind is ViewKind.ANOTHER and case.other_attribute_shown and not policy.overwrite:
        return Decision(Action.KEEP, Reason.COMPETING_WRITER)
    if kind is ViewKind.ANOTHER:
        return _conflict(case, policy, reason=Reason.CLOUD_CHANGED)
    if policy.resend:
        is_foreign = case.view.smaller or kind is ViewKind.SOURCE_PHOTO
        return Decision(Action.REPLACE, Reason.RESENT, MemoryChange.OURS_SENT, over_foreign=is_foreign)
    if case.view.smaller:
        return _same_but_smaller(memory, policy, now=now)
    is_tag = case.view.how is MatchLevel.TAG
    return Decision(Action.KEEP, Reason.UNCHANGED, MemoryChange.UNTOUCHED if is_tag else MemoryChange.REFRESHED)


def _same_but_smaller(memory: Memory, policy: Policy, *, now: datetime) -> Decision:
    """Improve a picture that another writer made small, at most once in 30 days: that writer may come every night."""
    improved_at = memory.improved_at
    if improved_at is not None and abs(now - improved_at) < IMPROVE_AGAIN and not policy.overwrite:
        return Decision(Action.KEEP, Reason.COMPETING_WRITER)
    return _better_quality()


def _same_standing(case: Case, memory: Memory, *, policy: Policy) -> Decision:
    kind = case.view.kind
    if kind is ViewKind.SOURCE_PHOTO:
        return _adopted()
    if _is_lifted(memory, policy) and kind is not ViewKind.NOT_ASKED:
        return _no_memory(case, policy)
    if memory.restored:
        is_refreshed = kind is ViewKind.ANOTHER and case.view.how is MatchLevel.BYTES
        return Decision(
            Action.KEEP, Reason.RESTORED, MemoryChange.REFRESHED if is_refreshed else MemoryChange.UNTOUCHED
        )
    listed = policy.conflict is Conflict.REPORT
    return Decision(Action.KEEP, Reason.CONFLICT_STANDING, _still_standing(case, memory), conflict=listed)


def _still_standing(case: Case, memory: Memory) -> MemoryChange:
    kind, how = case.view.kind, case.view.how
    if kind is ViewKind.NONE:
        return MemoryChange.UNTOUCHED if memory.presence is Presence.CLEARED else MemoryChange.CLEARED
    if kind is ViewKind.ANOTHER and how is not MatchLevel.TAG:
        return MemoryChange.REFRESHED if how is MatchLevel.BYTES else MemoryChange.THEIRS
    return MemoryChange.UNTOUCHED


def _is_lifted(memory: Memory, policy: Policy) -> bool:
    """Return True if the policy was set to `source` since the conflict was left standing."""
    if memory.presence is Presence.OURS or memory.restored:
        return False
    if policy.overwrite:
        return True
    is_kept = not memory.is_final and memory.conflict_policy not in ("", Conflict.SOURCE)
    return policy.conflict is Conflict.SOURCE and is_kept


def _changed(case: Case, memory: Memory, *, policy: Policy) -> Decision:
    kind, is_ours = case.view.kind, memory.presence is Presence.OURS
    if kind is ViewKind.OURS and is_ours:
        return _changed_over_ours(case, memory, policy=policy)
    if kind is ViewKind.SOURCE_PHOTO:
        # a second writer that was faster with a small copy must not make it small for good
        return _better_quality() if is_ours and case.view.smaller else _adopted()
    if kind is ViewKind.NOT_ASKED:
        return _postponed()
    if is_ours:
        return _conflict(case, policy, reason=Reason.CLOUD_REMOVED if kind is ViewKind.NONE else Reason.BOTH_CHANGED)
    if _is_as_left_here(case, memory):
        action = Action.CREATE if kind is ViewKind.NONE else Action.REPLACE
        return Decision(action, Reason.SOURCE_CHANGED, MemoryChange.OURS_SENT, over_foreign=True)
    return _conflict(case, policy, reason=Reason.BOTH_CHANGED)


def _changed_over_ours(case: Case, memory: Memory, *, policy: Policy) -> Decision:
    """Replace our own photo, unless it was made of these very bytes (for another person), or would be sent the same."""
    is_sent = (
        bool(case.sent_sha256) and case.sent_sha256 == memory.sent_sha256 and case.view.how is not MatchLevel.PICTURE
    )
    is_same_source = memory.source_sha256 == case.source.sha256 and not case.view.smaller
    if (is_sent or is_same_source) and not policy.resend:
        return _adopted()
    return Decision(Action.REPLACE, Reason.SOURCE_CHANGED, MemoryChange.OURS_SENT)


def _is_as_left_here(case: Case, memory: Memory) -> bool:
    """Return True if the cloud still shows what `restore`, or `--clear`, made of it: nobody else's doing."""
    if memory.presence is Presence.CLEARED:
        by_us = memory.restored or memory.is_final or memory.conflict_policy == Conflict.SOURCE
        return by_us and case.view.kind is ViewKind.NONE
    return (
        memory.restored and case.view.kind is ViewKind.ANOTHER and case.view.how in (MatchLevel.TAG, MatchLevel.BYTES)
    )


def _source_cleared(case: Case, policy: Policy) -> Decision:
    """Remove only what this very person's cleared photo put there, and only where the cloud was seen to show it."""
    kind = case.view.kind
    if not _is_of_person(case):
        return Decision(Action.SKIP, Reason.NO_PHOTO)
    if kind is ViewKind.NONE:
        return Decision(Action.KEEP, Reason.SOURCE_REMOVED, MemoryChange.FORGET)
    if kind in (ViewKind.ANOTHER, ViewKind.SOURCE_PHOTO):
        return Decision(Action.KEEP, Reason.SOURCE_REMOVED_CLOUD_DIFFERS, MemoryChange.THEIRS)
    if policy.removed is Removed.KEEP:
        is_refreshed = kind is ViewKind.OURS and case.view.how is not MatchLevel.TAG
        return Decision(
            Action.KEEP, Reason.SOURCE_REMOVED, MemoryChange.REFRESHED if is_refreshed else MemoryChange.UNTOUCHED
        )
    if kind is not ViewKind.OURS:
        return _postponed()
    return Decision(Action.REMOVE, Reason.SOURCE_REMOVED, MemoryChange.FORGET)


def _is_of_person(case: Case) -> bool:
    """Return True if we remember a photo of ours that came from this very person."""
    memory = case.memory
    return memory is not None and memory.presence is Presence.OURS and memory.person_id == case.person_id


def _clear(case: Case, now: datetime) -> Decision:
    """Remove the photo if it is ours, and leave the person alone until the source changes; what is not ours stays."""
    memory, kind = case.memory, case.view.kind
    after = MemoryChange.CLEARED if case.source.sha256 else MemoryChange.FORGET
    if kind is ViewKind.NOT_ASKED:
        return _postponed()
    if kind is ViewKind.OURS and memory is not None and memory.presence is Presence.OURS:
        return Decision(Action.REMOVE, Reason.CLEARED_BY_ADMIN, after)
    if kind is ViewKind.NONE:
        return Decision(Action.KEEP, Reason.CLEARED_BY_ADMIN, after)
    left_alone = Policy(conflict=Conflict.CLOUD)
    is_standing = memory is not None and memory.presence is not Presence.OURS and not case.is_changed
    if is_standing or not case.source.sha256:
        return _by_rows(case, left_alone, now)
    if kind is ViewKind.SOURCE_PHOTO:
        return _adopted()
    return _conflict(case, left_alone, reason=Reason.CLOUD_DIFFERS)


def _conflict(case: Case, policy: Policy, *, reason: Reason) -> Decision:
    """Decide by SYNC_CONFLICT on a cloud state that somebody else made."""
    is_gone = case.view.kind is ViewKind.NONE
    if policy.conflict is Conflict.SOURCE or policy.overwrite:
        action = Action.CREATE if is_gone else Action.REPLACE
        return Decision(action, reason, MemoryChange.OURS_SENT, conflict=True, over_foreign=True)
    return Decision(Action.KEEP, reason, MemoryChange.CLEARED if is_gone else MemoryChange.THEIRS, conflict=True)


def _spared(case: Case, policy: Policy) -> Decision:
    """Keep a photo that is not ours where the rows would replace it: a copy of the source's, or a restored one."""
    if case.view.kind is ViewKind.ANOTHER:
        return _conflict(case, policy, reason=Reason.BOTH_CHANGED)
    return _adopted()


def _adopted() -> Decision:
    return Decision(Action.KEEP, Reason.ADOPTED, MemoryChange.OURS_ADOPTED)


def _better_quality() -> Decision:
    return Decision(Action.REPLACE, Reason.BETTER_QUALITY, MemoryChange.OURS_SENT, over_foreign=True)


def _postponed() -> Decision:
    """Defer a case that was not looked at to the next run; nothing is written unseen."""
    return Decision(Action.SKIP, Reason.POSTPONED)
