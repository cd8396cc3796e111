"""List what the decision table says of every remembered state without a look; the ledger's queries join this list.

So the work list and the standing outcomes are the rules of `decide.table`, and no second version of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import NamedTuple

from connector.decide.case import Case, PersonRule, Policy, SourceState
from connector.decide.conclude import decide_for, must_ask
from connector.model import Action, Conflict, Memory, Presence, Reason

# What `Memory.conflict_policy` may hold: nothing, the SYNC_CONFLICT under which the conflict was kept first, or that
# the person opted out.
POLICIES = ("", *(conflict.value for conflict in Conflict), Reason.OPTED_OUT.value)
_PERSON, _OTHER = "person", "another person"
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # no decision without a look depends on it


class StandingRow(NamedTuple):
    """Represent one state of a person's source and memory, and what is decided of it without a look.

    `presence` is empty where nothing is remembered. `is_looked_at`: the cloud must be asked first. `is_told`: the
    decision is reported each night while it stands.
    """

    rule: int
    is_guest: bool
    has_photo: bool
    presence: str
    is_of_person: bool
    is_same_source: bool
    conflict_policy: str
    is_final: bool
    restored: bool
    is_looked_at: bool
    is_told: bool
    action: str
    reason: str
    conflict: bool


@functools.cache
def standing_rows(policy: Policy) -> tuple[StandingRow, ...]:
    """Return every state that a matched person can have, with what is decided of it under this policy."""
    return tuple(_all_rows(policy))


def _all_rows(policy: Policy) -> Iterator[StandingRow]:
    for rule, is_guest, has_photo in product(PersonRule, (False, True), (False, True)):
        yield _row(None, policy, rule=rule, is_guest=is_guest, has_photo=has_photo)
        for presence, is_own, is_same, kept_under, is_final, restored in product(
            Presence, (False, True), (False, True), POLICIES, (False, True), (False, True)
        ):
            memory = Memory(
                person_id=_PERSON if is_own else _OTHER,
                presence=presence,
                source_sha256=_source(has_photo) if is_same else "another source",
                conflict_policy=kept_under,
                is_final=is_final,
                restored=restored,
            )
            yield _row(memory, policy, rule=rule, is_guest=is_guest, has_photo=has_photo)


def _source(has_photo: bool) -> str:
    return "source" if has_photo else ""


def _row(memory: Memory | None, policy: Policy, *, rule: PersonRule, is_guest: bool, has_photo: bool) -> StandingRow:
    policy = policy.of(rule)
    source = SourceState.photo(_source(has_photo)) if has_photo else SourceState.cleared()
    case = Case(person_id=_PERSON, source=source, memory=memory, is_guest=is_guest)
    decision = decide_for(case, policy, _ANY_TIME)
    is_looked_at = must_ask(case, policy)
    return StandingRow(
        rule=int(rule),
        is_guest=is_guest,
        has_photo=has_photo,
        presence=memory.presence.value if memory else "",
        is_of_person=memory is not None and memory.person_id == _PERSON,
        is_same_source=memory is not None and memory.source_sha256 == source.sha256,
        conflict_policy=memory.conflict_policy if memory else "",
        is_final=memory is not None and memory.is_final,
        restored=memory is not None and memory.restored,
        is_looked_at=is_looked_at,
        is_told=not is_looked_at and _is_told(decision.action, decision.reason, policy),
        action=decision.action.value,
        reason=decision.reason.value,
        conflict=decision.conflict,
    )


def _is_told(action: Action, reason: Reason, policy: Policy) -> bool:
    """Return True if this is reported night after night; a conflict left as it is, with `report` alone."""
    if reason in (Reason.UNCHANGED, Reason.POSTPONED, Reason.SAFETY_LIMIT):
        return False
    return action is Action.SKIP or reason is Reason.SOURCE_REMOVED or policy.conflict is Conflict.REPORT
