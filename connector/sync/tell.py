"""How does a step tell what happened to one person? As an outcome of the run, kept at once."""

from __future__ import annotations

import logging

from connector.errors import PersonError
from connector.ledger import people as people_rows
from connector.ledger.memory import note_look, save_refusal
from connector.ledger.runs import save_outcome
from connector.ledger.work import WorkItem, done
from connector.model import Action, Outcome, PersonState, Reason
from connector.sync.night import Night

log = logging.getLogger("connector.outcomes")

POSTPONED, FAILED = 1, 2


def tell_left(night: Night, person_id: str, state: PersonState) -> None:
    """Tell that somebody left the scope tonight; memory and cloud photo stay as they are."""
    person = people_rows.find_person(night.db, person_id)
    if person is None:
        return
    outcome = Outcome(
        person=person.name,
        upn=person.upn,
        account_id=people_rows.account_of(night.db, person_id) or None,
        action=Action.SKIP,
        reason=Reason(state.value),
        person_id=person_id,
        target=night.settings.targets[0],
    )
    save_outcome(night.db, night.run, outcome)


def tell(
    night: Night,
    target: str,
    item: WorkItem,
    *,
    action: Action,
    reason: Reason,
    detail: str = "",
    conflict: bool = False,
) -> None:
    """Tell what happened to somebody on the work list, and whether to look again next night."""
    retry = FAILED if action is Action.FAIL else POSTPONED if reason in _AGAIN else 0
    people_rows.set_retry(night.db, item.person.id, retry)
    done(night.db, target, item.person.id)
    is_quiet = action is Action.KEEP and reason is Reason.UNCHANGED
    if is_quiet and not (night.options.full or night.options.only):
        return
    outcome = Outcome(
        person=item.person.name,
        upn=item.person.upn,
        account_id=item.account.id,
        action=action,
        reason=reason,
        detail=detail,
        source_sha256=item.source_sha256 or None,
        person_id=item.person.id,
        target=target,
    )
    save_outcome(night.db, night.run, outcome, conflict=conflict)
    known = {"run": night.run, "person": item.person.id, "account": item.account.id, "target": target}
    log.info("%s %s: %s", action, item.person.upn, reason, extra={**known, "action": action, "reason": reason})


_AGAIN = frozenset(
    {Reason.POSTPONED, Reason.INTERRUPTED, Reason.SOURCE_CHANGED_MEANWHILE, Reason.REMOVAL_NOT_CONFIRMED}
)


def tell_trouble(night: Night, target: str, item: WorkItem, error: PersonError) -> None:
    """Tell that the service failed for one person; what trying again does not mend is not tried every night."""
    if error.skip and night.options.undo is None:  # what a restore sends is not the source's picture
        save_refusal(
            night.db,
            target,
            item.account.id,
            source_sha256=item.source_sha256,
            reason=error.reason,
            detail=str(error),
            now=night.clock(),
        )
    note_look(night.db, target, item.account.id, now=night.clock())
    is_failure = not error.skip and error.reason is not Reason.INTERRUPTED
    action = Action.FAIL if is_failure else Action.SKIP
    tell(night, target, item, action=action, reason=error.reason, detail=str(error))
