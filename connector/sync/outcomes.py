"""Record what happened to one person as an outcome of the run."""

from __future__ import annotations

import logging

from connector.decide.case import Decision
from connector.decide.compare import known_by
from connector.errors import PersonError
from connector.ledger import people as people_rows
from connector.ledger.codec import pack_time
from connector.ledger.conflict_detail import PhotoFacts, both_pictures
from connector.ledger.memory import mark_checked, save_refusal, set_retry
from connector.ledger.plan import Step
from connector.ledger.runs import save_outcome
from connector.ledger.worklist import WorkItem, done
from connector.model import Action, CloudObservation, Memory, Outcome, PersonState, Presence, Reason
from connector.model.reasons import ADVICE
from connector.sync.context import RunContext

log = logging.getLogger("connector.outcomes")

POSTPONED, FAILED = 1, 2


def record_left_scope(context: RunContext, person_id: str, state: PersonState) -> None:
    """Record that a person left the scope; memory and cloud photo stay as they are."""
    person = people_rows.find_person(context.db, person_id)
    if person is None:
        return
    outcome = Outcome(
        person=person.name,
        upn=person.upn,
        account_id=people_rows.account_of(context.db, person_id) or None,
        action=Action.SKIP,
        reason=Reason(state.value),
        person_id=person_id,
        target=context.settings.targets[0],
    )
    save_outcome(context.db, context.run, outcome)


def record_held(context: RunContext, target: str, step: Step) -> None:
    """Record that a safety limit held a write, and what it would have been."""
    planned = step.decision
    held = Decision(Action.SKIP, Reason.SAFETY_LIMIT, conflict=planned.conflict, detail=planned.detail)
    record_outcome(context, target, step.item, held, planned=planned)


def record_outcome(
    context: RunContext, target: str, item: WorkItem, decision: Decision, *, planned: Decision | None = None
) -> None:
    """Record what was decided about an item of the work list, or became of it, and whether the next run tries again.

    `planned` is the write that a safety limit held.
    """
    action, reason = decision.action, decision.reason
    retry = FAILED if action is Action.FAIL else POSTPONED if ADVICE[reason].retry else 0
    set_retry(context.db, target, item.person.id, retry=retry)
    done(context.db, target, item.person.id)
    is_quiet = action is Action.KEEP and reason is Reason.UNCHANGED
    if is_quiet and not (context.options.full or context.options.only):
        return
    outcome = Outcome(
        person=item.person.name,
        upn=item.person.upn,
        account_id=item.account.id,
        action=action,
        reason=reason,
        detail=decision.detail,
        source_sha256=item.source_sha256 or None,
        person_id=item.person.id,
        target=target,
        planned=planned.action if planned else None,
        planned_reason=planned.reason if planned else None,
    )
    save_outcome(context.db, context.run, outcome, conflict=decision.conflict)
    known = {"run": context.run, "person": item.person.id, "account": item.account.id, "target": target}
    log.info("%s %s: %s", action, item.person.upn, reason, extra={**known, "action": action, "reason": reason})


def conflict_detail(context: RunContext, item: WorkItem, observation: CloudObservation) -> str:
    """Return the facts of both pictures of a conflict: the source's, and the cloud's as observed."""
    whole = item.picture.whole if item.picture is not None else None
    source = PhotoFacts(*((whole.width, whole.height) if whole else (0, 0)), item.source_sha256)
    seen = pack_time(context.clock()) if observation.asked else ""
    return both_pictures(source, _in_cloud(observation, item.memory)._replace(seen=seen))


def _in_cloud(observation: CloudObservation, memory: Memory | None) -> PhotoFacts:
    """Return what was observed; what was not fetched is taken from memory if it is the same photo."""
    known = memory if memory is not None and (not observation.asked or known_by(observation, memory)) else None
    if not observation.present and (observation.asked or known is None or known.presence is Presence.CLEARED):
        return PhotoFacts(is_there=False)
    shown = observation.read_print or (known.read_print if known else None)
    width, height = (shown.width, shown.height) if shown else (observation.width, observation.height)
    sha256, tag = (known.read_sha256, known.tag) if known else ("", "")
    return PhotoFacts(width, height, observation.read_sha256 or sha256, observation.tag or tag)


def record_error(context: RunContext, target: str, item: WorkItem, error: PersonError) -> None:
    """Record that the service failed for one person; a permanent refusal is not tried again in every run."""
    if error.skip and context.options.undo is None:  # what a restore sends is not the source's picture
        save_refusal(
            context.db,
            target,
            item.account.id,
            source_sha256=item.source_sha256,
            reason=error.reason,
            detail=str(error),
            now=context.clock(),
        )
    mark_checked(context.db, target, item.account.id, now=context.clock())
    is_failure = not error.skip and error.reason is not Reason.INTERRUPTED
    action = Action.FAIL if is_failure else Action.SKIP
    record_outcome(context, target, item, Decision(action, error.reason, detail=str(error)))
