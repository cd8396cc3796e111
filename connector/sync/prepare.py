"""Prepare the steps of the plan: load the picture, confirm a removal, back up what is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from connector.decide.case import Decision
from connector.decide.compare import known_by, shows_one_of
from connector.errors import PersonError
from connector.ledger.people import find_picture
from connector.ledger.plan import Step
from connector.ledger.store import transaction
from connector.model import Account, Action, CloudPhoto, Fingerprint, Picture, Reason
from connector.sources import PersonRead, Source
from connector.sync.approval import OTHER_CLOUD
from connector.sync.context import RunContext
from connector.sync.guests import is_guest, read_guest_photo
from connector.sync.observe import observe_photo, verified
from connector.sync.outcomes import record_error, record_outcome
from connector.sync.pictures import choose_pictures, read_again
from connector.sync.read_people import save_events
from connector.sync.targets import at_target_size
from connector.targets import Target

# So long what the plan saw is taken for what is there.
YOUNG = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """Contain a step with the bytes to send (none for a removal) and the backup of what it replaces."""

    step: Step
    sent_bytes: bytes = field(default=b"", repr=False)
    sent_sha256: str = ""
    sent_print: Fingerprint | None = None
    backup_sha256: str = ""


def prepared(context: RunContext, chunk: Sequence[Step], *, target: Target, source: Source) -> Iterator[PreparedStep]:
    """Yield the steps of a chunk that can be written; record the outcome of the others."""
    removals = [step for step in chunk if step.decision.action is Action.REMOVE]
    uploads = [step for step in chunk if step.decision.action is not Action.REMOVE]
    able = _with_pictures(context, uploads, target=target, source=source)
    able += _confirmed(context, removals, target=target, source=source)
    for step, backup in _backed_up(context, able, target):
        ready = _loaded(context, step, backup, target=target)
        if ready is not None:
            yield ready


def _with_pictures(context: RunContext, chunk: Sequence[Step], *, target: Target, source: Source) -> list[Step]:
    """Make sure that the picture of each step is stored; skip those whose source photo is not as planned."""
    context.spool.clear_memory_cache()
    without = [step for step in chunk if not context.spool.has(step.item.source_sha256)]
    if any(is_guest(step.item) for step in without):
        read_guest_photo(context, sent_next=True)
    missing = {step.item.person.id: step.item.source_sha256 for step in without if not is_guest(step.item)}
    changed = missing.keys() - read_again(context, missing, source)
    for step in chunk:
        if step.item.person.id in changed:
            detail = "The source photo changed, or could not be read, since the plan was made."
            _skip(context, target, step, Reason.SOURCE_CHANGED_MEANWHILE, detail)
    return [step for step in chunk if step.item.person.id not in changed]


def _confirmed(context: RunContext, chunk: Sequence[Step], *, target: Target, source: Source) -> list[Step]:
    """Read the people of removals again; confirm those who are there and have no photo now.

    Who opted out is removed whatever the source has.
    """
    opted_out = [step for step in chunk if step.decision.reason is Reason.OPTED_OUT]
    chunk = [step for step in chunk if step.decision.reason is not Reason.OPTED_OUT]
    if not chunk or context.options.clear:
        return [*opted_out, *chunk]
    events = {event.person.id: event for event in source.fetch([step.item.person.id for step in chunk])}
    confirmed = [step for step in chunk if _is_empty(events.get(step.item.person.id))]
    wrong = [event for event in events.values() if event.photos]
    if wrong:
        with transaction(context.db):
            save_events(context, wrong)
            choose_pictures(context)
    for step in chunk:
        if step not in confirmed:
            detail = "A direct read just before the removal did not show that the source photo is gone."
            _skip(context, target, step, Reason.REMOVAL_NOT_CONFIRMED, detail)
    return [*opted_out, *confirmed]


def _is_empty(event: PersonRead | None) -> bool:
    return event is not None and not event.photos


def _backed_up(context: RunContext, chunk: Sequence[Step], target: Target) -> Iterator[tuple[Step, str]]:
    """Yield each step with the backup of the cloud photo that it replaces or removes; empty if there is none.

    A step is left out where the cloud no longer shows what the plan saw.
    """
    needs = [
        step
        for step in chunk
        if step.decision.action is not Action.CREATE and not step.backup_sha256 and context.settings.backup_days
    ]
    needing = {step.item.person.id for step in needs}
    others = [step for step in chunk if step.item.person.id not in needing]
    yield from ((step, step.backup_sha256) for step in _unchanged(context, others, target))
    for part in _parts(needs, target.batch_size):
        answers = target.photos([step.item.account for step in part])
        for step in part:
            answer = verified(answers[step.item.account.id], step.item.account)
            if isinstance(answer, PersonError):
                record_error(context, target.name, step.item, answer)
            elif _is_as_seen(step, answer):
                yield step, context.backups.keep(answer.to_keep) if answer is not None else ""
            else:
                _skip(context, target, step, Reason.PLAN_OUTDATED, OTHER_CLOUD)


def _is_as_seen(step: Step, photo: CloudPhoto | None) -> bool:
    """Return True if a photo that was decided on by its tag alone is the remembered one; a removal may find none."""
    memory = step.item.memory
    if photo is None:
        return step.decision.action is Action.REMOVE
    if memory is None or not (memory.read_sha256 or memory.read_print or memory.sent_print):
        return True
    look = observe_photo(photo, None)
    return known_by(look, memory) is not None or shows_one_of(
        look, filter(None, (memory.read_print, memory.sent_print))
    )


def _unchanged(context: RunContext, steps: Sequence[Step], target: Target) -> Iterator[Step]:
    """Yield the steps whose cloud photo has the tag that the plan saw; the cloud is asked where the plan is old."""
    for part in _parts(steps, target.batch_size):
        now = tags_now(context, target, [step.item.account for step in part])
        for step in part:
            tag = now.get(step.item.account.id, step.tag_before)
            if isinstance(tag, PersonError):
                record_error(context, target.name, step.item, tag)
            elif tag == step.tag_before:
                yield step
            else:
                _skip(context, target, step, Reason.PLAN_OUTDATED, OTHER_CLOUD)


def tags_now(context: RunContext, target: Target, accounts: Sequence[Account]) -> Mapping[str, str | PersonError]:
    """Return the tags that the cloud shows now, empty for no photo; nothing while the plan is young.

    A first night takes hours, in which people choose photos of their own. Looking anew costs a batch for 20 writes.
    """
    if abs(context.clock() - context.started) < YOUNG:
        return {}
    tags = target.tags(accounts)
    return {
        account_id: tag if isinstance(tag, PersonError) else tag.tag if tag is not None else ""
        for account_id, tag in tags.items()
    }


def _parts(steps: Sequence[Step], size: int) -> Iterator[Sequence[Step]]:
    yield from (steps[start : start + size] for start in range(0, len(steps), size))


def _loaded(context: RunContext, step: Step, backup: str, *, target: Target) -> PreparedStep | None:
    if step.decision.action is Action.REMOVE:
        return PreparedStep(step, backup_sha256=backup)
    picture = _picture_now(context, step)
    try:
        sent_bytes = context.spool.load(step.item.source_sha256)
    except FileNotFoundError:
        _skip(context, target, step, Reason.POSTPONED, "The prepared picture found no room on the disk.")
        return None
    sent_print = at_target_size(target, picture.sent) if picture is not None else None
    return PreparedStep(step, sent_bytes, hashlib.sha256(sent_bytes).hexdigest(), sent_print, backup)


def _picture_now(context: RunContext, step: Step) -> Picture | None:
    """Return what is known of the picture; it was read with the step, unless it was made again since."""
    known = step.item.picture
    if known is not None and known.recipe == context.recipe.key:
        return known
    return find_picture(context.db, step.item.source_sha256)


def _skip(context: RunContext, target: Target, step: Step, reason: Reason, detail: str) -> None:
    record_outcome(context, target.name, step.item, Decision(Action.SKIP, reason, detail=detail))
