"""Restore what a run wrote: put back what it replaced or removed, remove what it created, if unchanged since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.cloud import Cloud
from connector.decide.brakes import PlanCounts, check_brakes
from connector.decide.case import Decision
from connector.decide.intents import WrittenPhoto, inverse_action, judge
from connector.errors import BRAKE_OPENING, BrakeError, PersonError, UsageError
from connector.ledger.history import one_person
from connector.ledger.matching import count_matched
from connector.ledger.memberships import has_opted_out
from connector.ledger.plan import Step, count_with_photo
from connector.ledger.restore import (
    RestoreItem,
    add_undo,
    count_undo,
    is_somebody_elses,
    removed_for_opt_out,
    undo_of,
    undo_steps,
    undone_write,
    untold_steps,
)
from connector.ledger.runs import find_run, last_run_that_wrote
from connector.ledger.state import State
from connector.ledger.store import transaction
from connector.ledger.writes import Write, count_writes, last_writes_of, writes_of_run
from connector.model import Action, CloudObservation, Fingerprint, Reason
from connector.photo import PictureRefused, read_print
from connector.sync.apply import apply_steps
from connector.sync.brakes import limits_of
from connector.sync.context import RestoreRequest, RunContext
from connector.sync.memory import close_settled_intent
from connector.sync.observe import fetch_observations, observe_photo, verified
from connector.sync.outcomes import record_error, record_held, record_outcome
from connector.sync.prepare import PreparedStep, tags_now
from connector.sync.summary import Summaries, notice
from connector.sync.targets import open_targets
from connector.sync.worker_pool import Lanes
from connector.targets import Target

Observations = Mapping[str, CloudObservation | PersonError]

CHANGED = "The cloud no longer shows what that run left."
OTHER_PERSON = "The account belongs to another person now."
NO_BACKUP = "The photo that was there before is no longer kept."


def choose_undo(state: State, *, run: int | None, person: str | None, last: bool = False) -> RestoreRequest:
    """Return the restore request; raise UsageError if there is no such run or person. Contacts no service.

    `last` is the newest run that wrote.
    """
    if (run is not None) + (person is not None) + last != 1:
        raise UsageError(
            "restore needs either --run N or --person P, or --last.", "`photo-connector runs` lists the runs."
        )
    if last:
        newest = last_run_that_wrote(state.db)
        if newest is None:
            raise UsageError("No run that is kept has written anything.", "There is nothing to restore.")
        return RestoreRequest(run=newest.id)
    if person is not None:
        return RestoreRequest(person_id=one_person(state.db, person).id)
    row = find_run(state.db, run)
    if row is None:
        raise UsageError(
            f"There is no run {run} in the database.", "`photo-connector history PERSON` names a person's runs."
        )
    if row.dry_run:
        raise UsageError(f"Run {run} was a dry run and wrote nothing.", "Name the run that wrote.")
    return RestoreRequest(run=row.id)


def undo(context: RunContext, cloud: Cloud) -> Summaries[None]:
    """Observe what the run wrote, plan, check the brakes, write."""
    targets = open_targets(context, cloud)
    yield from _notice_other_targets(context, [target.name for target in targets])
    for target in targets:
        UndoPlanner(context, target).run()
    if context.options.dry_run:
        for target in targets:
            _record_plan(context, target)
    yield from _check_brakes(context)
    if context.options.dry_run:
        return
    uploads = 0
    for target in targets:
        restore_steps = RestoreSteps(context, target)
        total = sum(count_undo(context.db))
        for summary in apply_steps(context, target, restore_steps, total=total, uploads_before=uploads):
            uploads += summary.uploads
            yield summary


def writes_to_undo(context: RunContext, target: str, *, chunk: int) -> Iterator[list[Write]]:
    """Yield in chunks the writes to one target that this restore takes back."""
    wanted = context.options.undo or RestoreRequest()
    if wanted.run:
        yield from writes_of_run(context.db, wanted.run, target, chunk=chunk)
        return
    writes = [write for write in last_writes_of(context.db, wanted.person_id) if write.target == target]
    if writes:
        yield writes


def postpone_remaining(context: RunContext, detail: str, *, is_held: bool) -> None:
    """Record the steps that a stopped restore did not reach as postponed, or as held by a safety limit."""
    for target in context.settings.targets:
        for steps in untold_steps(context.db, context.run, target):
            with transaction(context.db):
                for step in steps:
                    if is_held:
                        record_held(context, target, step)
                    else:
                        postponed = Decision(Action.SKIP, Reason.POSTPONED, detail=detail)
                        record_outcome(context, target, step.item, postponed)


def written_photo(write: Write) -> WrittenPhoto:
    """Return the photo that a write left in the cloud."""
    return WrittenPhoto(
        sent_sha256=write.sent_sha256,
        sent_print=write.sent_print,
        tag=write.left_tag,
        read_sha256=write.left_sha256,
    )


class UndoPlanner:
    """Observe the photos that the run wrote; those that are unchanged become steps of the plan."""

    def __init__(self, context: RunContext, target: Target) -> None:
        self._context = context
        self._target = target

    def run(self) -> None:
        """Ask about all writes, `SYNC_CONCURRENCY` batches at a time."""
        context = self._context
        context.progress.phase("asking")
        context.stop_when_out_of_time()
        lanes = Lanes[Sequence[RestoreItem], Observations](
            context.settings.most_lanes, cancel_waiting=context.cancel_waiting
        )
        with lanes:
            for writes in writes_to_undo(context, self._target.name, chunk=self._target.batch_size):
                context.stop_when_out_of_time()
                part = [undo_of(context.db, write) for write in writes]
                lanes.send(part, observe_all, self._target, part)
                self._take_answers(lanes, until=context.settings.most_lanes)
            self._take_answers(lanes, until=0)

    def _take_answers(self, lanes: Lanes[Sequence[RestoreItem], Observations], *, until: int) -> None:
        for part, observations in lanes.completed(until=until):
            with transaction(self._context.db):
                for entry in part:
                    self._plan(entry, observations[entry.item.account.id])
            self._context.progress.step(len(part))

    def _plan(self, entry: RestoreItem, observation: CloudObservation | PersonError) -> None:
        if isinstance(observation, PersonError):
            record_error(self._context, self._target.name, entry.item, observation)
            return
        item = entry.item
        settled, memory = judge(item.intent, observation, memory=item.memory, now=self._context.clock())
        close_settled_intent(self._context, self._target.name, item, settled=settled, memory=memory)
        is_shown = written_photo(entry.write).matches(observation)
        if is_somebody_elses(self._context.db, entry.write):
            self._record(entry, Action.SKIP, Reason.CHANGED_SINCE, OTHER_PERSON)
        elif not is_shown and settled is not None and settled.stays_open:
            self._record(entry, Action.KEEP, Reason.AWAITING_CLOUD, "")
        elif not is_shown:
            self._record(entry, Action.SKIP, Reason.CHANGED_SINCE, CHANGED)
        elif entry.write.action is not Action.CREATE and not self._context.backups.has(entry.write.before_sha256):
            self._record(entry, Action.FAIL, Reason.NO_BACKUP, NO_BACKUP)
        elif self._is_refused(entry.write):
            self._record(entry, Action.SKIP, Reason.OPTED_OUT, "")
        else:
            add_undo(
                self._context.db, entry.write, action=inverse_action(entry.write.action), tag_before=observation.tag
            )

    def _is_refused(self, write: Write) -> bool:
        """Return True if a photo would be sent to somebody who has opted out; `--person` may undo the opt-out's own."""
        db, wanted = self._context.db, self._context.options.undo or RestoreRequest()
        if inverse_action(write.action) is Action.REMOVE or not has_opted_out(db, write.person_id):
            return False
        return not (wanted.person_id and removed_for_opt_out(db, write))

    def _record(self, entry: RestoreItem, action: Action, reason: Reason, detail: str) -> None:
        record_outcome(self._context, self._target.name, entry.item, Decision(action, reason, detail=detail))


def observe_all(target: Target, part: Sequence[RestoreItem]) -> Observations:
    """Observe a batch of photos: their tags, and their bytes where the tag does not decide."""
    tags = target.tags([entry.item.account for entry in part])
    unsure = [entry for entry in part if _is_unsure(entry, tags[entry.item.account.id])]
    known = {account_id: tag for account_id, tag in tags.items() if isinstance(tag, CloudObservation)}
    shown = fetch_observations(target, [entry.item.account for entry in unsure], known) if unsure else {}
    return {account_id: _as_observation(shown.get(account_id, tag)) for account_id, tag in tags.items()}


def _as_observation(answer: CloudObservation | PersonError | None) -> CloudObservation | PersonError:
    return answer if isinstance(answer, PersonError) else CloudObservation.at(answer)


def _is_unsure(entry: RestoreItem, tag: CloudObservation | PersonError | None) -> bool:
    if isinstance(tag, PersonError) or tag is None:
        return False
    return entry.item.intent is not None or not written_photo(entry.write).is_decided_by_tag(tag)


@dataclass(frozen=True, slots=True)
class RestoreSteps:
    """Supply the steps of a restore with the photos of the backups."""

    context: RunContext
    target: Target

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the plan in chunks."""
        return undo_steps(self.context.db, self.target.name, chunk=size)

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Back up what is replaced if it is still what the run left, and load what was there before."""
        size = self.target.batch_size
        for start in range(0, len(chunk), size):
            part = chunk[start : start + size]
            over = [step for step in part if step.decision.action is not Action.CREATE] if self._keeps else []
            backups = self._backed_up(over)
            unchanged = self._unchanged([step for step in part if step not in over])
            for step in part:
                if step.item.account.id in backups or step.item.account.id in unchanged:
                    ready = self._loaded(step, backups.get(step.item.account.id, ""))
                    if ready is not None:
                        yield ready

    @property
    def _keeps(self) -> bool:
        return self.context.settings.backup_days > 0

    def _backed_up(self, over: Sequence[Step]) -> dict[str, str]:
        backups: dict[str, str] = {}
        answers = self.target.photos([step.item.account for step in over]) if over else {}
        for step in over:
            account_id = step.item.account.id
            answer = verified(answers[account_id], step.item.account)
            if isinstance(answer, PersonError):
                record_error(self.context, self.target.name, step.item, answer)
            elif answer is None or not written_photo(undone_write(self.context.db, step)).matches(
                observe_photo(answer, None)
            ):
                self._record(step, Action.SKIP, Reason.CHANGED_SINCE, CHANGED)
            else:
                backups[account_id] = self.context.backups.keep(answer.to_keep)
        return backups

    def _unchanged(self, steps: Sequence[Step]) -> set[str]:
        """Return the accounts whose photo has the tag that the plan saw; the cloud is asked where the plan is old."""
        now = tags_now(self.context, self.target, [step.item.account for step in steps]) if steps else {}
        unchanged = set()
        for step in steps:
            tag = now.get(step.item.account.id, step.tag_before)
            if isinstance(tag, PersonError):
                record_error(self.context, self.target.name, step.item, tag)
            elif tag == step.tag_before:
                unchanged.add(step.item.account.id)
            else:
                self._record(step, Action.SKIP, Reason.CHANGED_SINCE, CHANGED)
        return unchanged

    def _loaded(self, step: Step, backup_sha256: str) -> PreparedStep | None:
        if step.decision.action is Action.REMOVE:
            return PreparedStep(step, backup_sha256=backup_sha256)
        before_sha256 = undone_write(self.context.db, step).before_sha256
        content_bytes = self.context.backups.load(before_sha256)
        if content_bytes is None:
            self._record(step, Action.FAIL, Reason.NO_BACKUP, NO_BACKUP)
            return None
        shown_bytes = self.target.photo_in_backup(content_bytes)
        shown_sha256 = hashlib.sha256(shown_bytes).hexdigest()
        return PreparedStep(step, content_bytes, shown_sha256, _print_of(shown_bytes), backup_sha256)

    def _record(self, step: Step, action: Action, reason: Reason, detail: str) -> None:
        record_outcome(self.context, self.target.name, step.item, Decision(action, reason, detail=detail))


def _print_of(content_bytes: bytes) -> Fingerprint | None:
    try:
        return read_print(content_bytes)
    except PictureRefused:
        return None


def _notice_other_targets(context: RunContext, names: Sequence[str]) -> Summaries[None]:
    """Yield a notice for each target that the run wrote to and TARGETS does not name."""
    wanted = context.options.undo or RestoreRequest()
    for name, count in count_writes(context.db, wanted.run).items():
        if name not in names:
            yield notice(f"{count} writes to {name} are not taken back, since TARGETS does not name it.")


def _record_plan(context: RunContext, target: Target) -> None:
    for chunk in undo_steps(context.db, target.name, chunk=200):
        with transaction(context.db):
            for step in chunk:
                record_outcome(context, target.name, step.item, step.decision)


def _check_brakes(context: RunContext) -> Summaries[None]:
    """Raise BrakeError if the plan trips a brake; with `--force` yield notices instead."""
    plan = count_undo(context.db)
    known, _ = count_matched(context.db)
    with_photo = max(count_with_photo(context.db), plan.replacements + plan.removals)
    counts = PlanCounts(replacements=plan.replacements, with_photo=with_photo, removals=plan.removals, known=known)
    wanted = context.options.undo or RestoreRequest()
    trips = check_brakes(counts, replace(limits_of(context), only=bool(wanted.person_id)))
    if trips and not context.options.force:
        reasons = " ".join(trip.message for trip in trips)
        fix = (
            f"Look at the plan with `photo-connector restore --run {wanted.run} --dry-run`; if it is intended, run it "
        )
        raise BrakeError(
            f"{BRAKE_OPENING.format('restore')}{reasons}",
            f"{fix}once with --force.",
            exceeded=tuple(trip.exceeded for trip in trips),
        )
    for trip in trips:
        yield notice(f"Safety limit overridden by --force: {trip.message}")
