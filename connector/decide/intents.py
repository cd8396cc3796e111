"""Assess a write that was begun: the cloud shows it, does not show it yet, or shows something else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from connector.decide.compare import is_smaller
from connector.model import Action, CloudObservation, Fingerprint, Intent, Memory, Presence, Reason

PATIENCE = timedelta(hours=24)


class IntentState(StrEnum):
    """Define how an open intent ends: as ours, not yet (wait), dropped (the old memory decides), or unconfirmed.

    Unconfirmed is a write that no response accepted and that the cloud does not show, for 24 hours. The old memory
    decides, and the intent stays open unless another write takes its place.
    """

    OURS = "ours"
    WAIT = "wait"
    UNCONFIRMED = "unconfirmed"
    DROPPED = "dropped"

    @property
    def stays_open(self) -> bool:
        """Return True if the intent is kept for the next night."""
        return self in (IntentState.WAIT, IntentState.UNCONFIRMED)


def settle(intent: Intent, look: CloudObservation, now: datetime) -> IntentState:
    """Settle an open intent by what the cloud shows.

    Nobody promises that one's own write is read at once: an accepted one may show the old photo, or none, for a
    while, so within 24 hours neither is an edit. What was not seen well enough waits too.
    """
    if not look.asked:
        return IntentState.WAIT
    if _shows_what_was_sent(intent, look):
        return IntentState.OURS
    if _is_as_before(intent, look):
        return _unseen(intent, now, unheard=IntentState.UNCONFIRMED)
    if not look.present:
        # gone instead of the old photo: even a write that was cut short must not look like somebody's removal
        return _unseen(intent, now, unheard=IntentState.WAIT)
    if not look.read_sha256 and intent.sent_sha256:
        return IntentState.WAIT
    if not intent.sent_sha256 and is_patient(intent, now):
        return IntentState.WAIT  # a write just before the removal may show up before both are gone
    return IntentState.DROPPED


def _unseen(intent: Intent, now: datetime, *, unheard: IntentState) -> IntentState:
    if intent.accepted_at is not None:
        return IntentState.WAIT if is_patient(intent, now) else IntentState.DROPPED
    return unheard if _is_recent(intent.started_at, now) else IntentState.DROPPED


def is_patient(intent: Intent, now: datetime) -> bool:
    """Return True if the cloud said yes less than 24 hours ago; a clock set back by more does not wait."""
    return intent.accepted_at is not None and _is_recent(intent.accepted_at, now)


def _is_recent(begun_at: datetime, now: datetime) -> bool:
    return abs(now - begun_at) < PATIENCE


def never_appeared(intent: Intent, look: CloudObservation) -> bool:
    """Return True if an upload was accepted and the cloud still shows what was there before it, or nothing."""
    return bool(intent.sent_sha256) and intent.accepted_at is not None and look.asked and _is_as_before(intent, look)


def _shows_what_was_sent(intent: Intent, look: CloudObservation) -> bool:
    if not intent.sent_sha256:
        return not look.present
    if not look.present or (look.tag and look.tag == intent.tag_before):
        return False
    if look.read_sha256 and look.read_sha256 == intent.sent_sha256:
        return True
    known, shown = intent.sent_print, look.read_print
    return known is not None and shown is not None and shown.shows_same(known)


def _is_as_before(intent: Intent, look: CloudObservation) -> bool:
    if look.present:
        return bool(look.tag) and look.tag == intent.tag_before
    return not intent.tag_before


def needs_bytes(
    tag: CloudObservation | None, *, memory: Memory | None, intent: Intent | None = None, now: datetime | None = None
) -> bool:
    """Return True if the tag leaves open what the cloud shows, so that the bytes must be fetched.

    Never for no photo. With `now`, an intent that merely waits costs no bytes either.
    """
    if tag is None or not tag.present:
        return False
    if intent is not None and now is not None and tag.tag == intent.tag_before and is_patient(intent, now):
        return False
    return memory is None or not tag.tag or tag.tag != memory.tag


def judge(
    intent: Intent | None, look: CloudObservation, *, memory: Memory | None, now: datetime
) -> tuple[IntentState | None, Memory | None]:
    """Settle the intent, if one is open; return how it ended and the memory that holds after that.

    For the start of a night. The read-back right after a write asks `settle` and `memory_of_write` alone:
    what the service answers then is its size, while a night later a small copy may be another writer's.
    """
    if intent is None:
        return None, memory
    settled = settle(intent, look, now)
    if settled is IntentState.DROPPED and intent.restores and not _came_to_nothing(intent, look):
        # what was put back is gone again, by somebody's hand: the person is left alone as after any restore
        memory = memory_of_write(intent, look=_NOT_SEEN, memory=memory)
    if settled is IntentState.OURS:
        memory = memory_of_write(intent, look=look, memory=memory)
        if memory is not None and look.read_print is not None and is_smaller(look.read_print, intent.sent_print):
            memory = replace(memory, tag="", read_sha256="", read_print=None)
    return settled, memory


_NOT_SEEN = CloudObservation()


def _came_to_nothing(intent: Intent, look: CloudObservation) -> bool:
    """Return True if a write left no trace: the old photo is there, or there was none and the cloud never said yes."""
    return _is_as_before(intent, look) and (look.present or intent.accepted_at is None)


def memory_of_write(intent: Intent, *, look: CloudObservation, memory: Memory | None) -> Memory | None:
    """Return what is remembered once the cloud shows a write; None when the memory ends with it.

    What `restore` put back or took away is the person's own. What `--clear` removed stays away until the source
    changes. After any other removal nothing is left to remember.
    """
    if not intent.sent_sha256:
        return _memory_of_removal(intent)
    return Memory(
        person_id=intent.person_id,
        presence=Presence.THEIRS if intent.restores else Presence.OURS,
        source_sha256=intent.source_sha256,
        recipe=intent.recipe,
        sent_sha256=intent.sent_sha256,
        sent_print=intent.sent_print,
        read_sha256=look.read_sha256,
        read_print=look.read_print,
        tag=look.tag,
        restored=intent.restores,
        improved_at=_improved_at(intent, memory),
    )


def expelled(person_id: str) -> Memory:
    """Return what is remembered of somebody who opted out: nothing but that."""
    return Memory(person_id=person_id, presence=Presence.CLEARED, conflict_policy=Reason.OPTED_OUT.value)


def _memory_of_removal(intent: Intent) -> Memory | None:
    if intent.reason == Reason.OPTED_OUT and not intent.restores:
        return expelled(intent.person_id)
    by_admin = intent.reason == Reason.CLEARED_BY_ADMIN and bool(intent.source_sha256)
    if not (intent.restores or by_admin):
        return None
    return Memory(
        person_id=intent.person_id,
        presence=Presence.CLEARED,
        source_sha256=intent.source_sha256,
        is_final=True,
        restored=intent.restores,
    )


def _improved_at(intent: Intent, memory: Memory | None) -> datetime | None:
    if intent.reason == Reason.BETTER_QUALITY:
        return intent.started_at
    return memory.improved_at if memory is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPhoto:
    """Contain what a write left in the cloud: as sent, and as read back (empty if it was not read back).

    `sent_sha256` is empty if the write removed the photo.
    """

    sent_sha256: str
    sent_print: Fingerprint | None
    tag: str = ""
    read_sha256: str = ""

    def is_decided_by_tag(self, tag: CloudObservation | None) -> bool:
        """Return True if the tag alone decides whether this photo is still there, so that no bytes are fetched."""
        return tag is None or not tag.present or not self.sent_sha256 or (bool(self.tag) and tag.tag == self.tag)

    def matches(self, look: CloudObservation) -> bool:
        """Return True if the cloud still shows this photo: by tag, by bytes, or as a picture."""
        if not self.sent_sha256 or not look.present:
            return look.asked and look.present == bool(self.sent_sha256)
        if look.tag and look.tag == self.tag:
            return True
        if look.read_sha256 and look.read_sha256 in (self.read_sha256, self.sent_sha256):
            return True
        known, shown = self.sent_print, look.read_print
        return known is not None and shown is not None and shown.shows_same(known)


def inverse_action(action: Action) -> Action:
    """Return the action that takes a write back."""
    return {Action.CREATE: Action.REMOVE, Action.REMOVE: Action.CREATE}.get(action, Action.REPLACE)
