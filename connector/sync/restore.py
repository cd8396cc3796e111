"""How is a run taken back? What it replaced or removed is put back, what it made is removed, if nobody did since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.cloud import Cloud
from connector.decide.brakes import PlanCounts, check_brakes
from connector.decide.compare import CloudObservation
from connector.decide.intents import judge
from connector.decide.restore import WrittenPhoto, inverse_action
from connector.errors import BrakeError, PersonError, UsageError
from connector.ledger.history import one_person
from connector.ledger.matching import count_matched
from connector.ledger.plan import Step, count_with_photo
from connector.ledger.restore import (
    RestoreItem,
    add_undo,
    count_undo,
    is_somebody_elses,
    undo_of,
    undo_steps,
    undone_write,
    untold_steps,
)
from connector.ledger.runs import find_run, last_run_that_wrote
from connector.ledger.state import State
from connector.ledger.store import transaction
from connector.ledger.writes import Write, count_writes, last_writes_of, writes_of_run
from connector.model import Action, CloudTag, Fingerprint, Reason
from connector.photo import PictureRefused, read_print
from connector.sync.apply import Applier
from connector.sync.brakes import limits_of
from connector.sync.context import RestoreRequest, RunContext
from connector.sync.observe import FetchedPhoto, fetch_shown, look_at_photo, verified
from connector.sync.outcomes import record_error, record_outcome
from connector.sync.plan import settle_intent
from connector.sync.prepare import PreparedStep
from connector.sync.targets import open_targets
from connector.sync.worker_pool import Lanes
from connector.targets import Target

Looks = Mapping[str, CloudObservation | PersonError]

CHANGED = "The cloud no longer shows what that run left."
ANOTHERS = "The account belongs to another person now."
NO_BACKUP = "The photo that was there before is no longer kept."


def choose_undo(state: State, *, run: int | None, person: str | None, last: bool = False) -> RestoreRequest:
    """Find what is to be taken back, before anything is contacted; UsageError when there is no such run or person.

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
            f"There is no run {run} in the ledger.", "`photo-connector history PERSON` names a person's runs."
        )
    if row.dry_run:
        raise UsageError(f"Run {run} was a dry run and wrote nothing.", "Name the run that wrote.")
    return RestoreRequest(run=row.id)


def undo(context: RunContext, cloud: Cloud) -> None:
    """Look at what that run wrote, plan, check the brakes, take it back."""
    targets = open_targets(context, cloud)
    _tell_of_others(context, [target.name for target in targets])
    for target in targets:
        UndoPlanner(context, target).run()
    if context.options.dry_run:
        for target in targets:
            _tell_plan(context, target)
    _check_brakes(context)
    if context.options.dry_run:
        return
    for target in targets:
        Applier(context, target, RestoreSteps(context, target)).run(sum(count_undo(context.db)))


def writes_to_undo(context: RunContext, target: str, *, chunk: int) -> Iterator[list[Write]]:
    """Yield in chunks the writes to one target that this run takes back."""
    wanted = context.options.undo or RestoreRequest()
    if wanted.run:
        yield from writes_of_run(context.db, wanted.run, target, chunk=chunk)
        return
    found = [write for write in last_writes_of(context.db, wanted.person_id) if write.target == target]
    if found:
        yield found


def postpone_remaining(context: RunContext, detail: str) -> None:
    """Tell that the rest was left, after the run was stopped."""
    for target in context.settings.targets:
        for steps in untold_steps(context.db, context.run, target):
            with transaction(context.db):
                for step in steps:
                    record_outcome(
                        context, target, step.item, action=Action.SKIP, reason=Reason.POSTPONED, detail=detail
                    )


def written_photo(write: Write) -> WrittenPhoto:
    """Return what a write left in the cloud."""
    return WrittenPhoto(
        sent_sha256=write.sent_sha256,
        sent_print=write.sent_print,
        tag=write.left_tag,
        read_sha256=write.left_sha256,
    )


class UndoPlanner:
    """Look at everybody whom that run wrote to; who still shows what it left becomes part of the plan."""

    def __init__(self, context: RunContext, target: Target) -> None:
        self._context = context
        self._target = target

    def run(self) -> None:
        """Ask, `SYNC_CONCURRENCY` batches at a time."""
        context = self._context
        context.progress.phase("asking")
        context.stop_when_out_of_time()
        lanes = Lanes[Sequence[RestoreItem], Looks](context.settings.sync_concurrency, turn_away=context.cancel_waiting)
        with lanes:
            for writes in writes_to_undo(context, self._target.name, chunk=self._target.batch_size):
                context.stop_when_out_of_time()
                part = [undo_of(context.db, write) for write in writes]
                lanes.send(part, look_at_all, self._target, part)
                self._answered(lanes, until=context.settings.sync_concurrency)
            self._answered(lanes, until=0)

    def _answered(self, lanes: Lanes[Sequence[RestoreItem], Looks], *, until: int) -> None:
        for part, looks in lanes.completed(until=until):
            with transaction(self._context.db):
                for one in part:
                    self._seen(one, looks[one.item.account.id])
            self._context.progress.step(len(part))

    def _seen(self, one: RestoreItem, look: CloudObservation | PersonError) -> None:
        if isinstance(look, PersonError):
            record_error(self._context, self._target.name, one.item, look)
            return
        item, now = one.item, self._context.clock()
        judged = judge(look, source=None, memory=item.memory, intent=item.intent, now=now)
        settle_intent(self._context, self._target.name, item, judged)
        is_shown = written_photo(one.write).matches(look)
        if is_somebody_elses(self._context.db, one.write):
            self._leave(one, Action.SKIP, Reason.CHANGED_SINCE, ANOTHERS)
        elif not is_shown and judged.settled is not None and judged.settled.stays_open:
            self._leave(one, Action.KEEP, Reason.AWAITING_CLOUD, "")
        elif not is_shown:
            self._leave(one, Action.SKIP, Reason.CHANGED_SINCE, CHANGED)
        elif one.write.action is not Action.CREATE and not self._context.backups.has(one.write.before_sha256):
            self._leave(one, Action.FAIL, Reason.NO_BACKUP, NO_BACKUP)
        else:
            add_undo(self._context.db, one.write, action=inverse_action(one.write.action), tag_before=look.tag)

    def _leave(self, one: RestoreItem, action: Action, reason: Reason, detail: str) -> None:
        record_outcome(self._context, self._target.name, one.item, action=action, reason=reason, detail=detail)


def look_at_all(target: Target, part: Sequence[RestoreItem]) -> Looks:
    """Look at a batch of photos: at their tags, and at the bytes where the tag does not tell enough."""
    tags = target.tags([one.item.account for one in part])
    unsure = [one for one in part if _is_unsure(one, tags[one.item.account.id])]
    known = {account_id: tag for account_id, tag in tags.items() if isinstance(tag, CloudTag)}
    shown = fetch_shown(target, [one.item.account for one in unsure], known) if unsure else {}
    return {account_id: _as_look(shown.get(account_id, tag)) for account_id, tag in tags.items()}


def _as_look(answer: CloudTag | FetchedPhoto | PersonError | None) -> CloudObservation | PersonError:
    if isinstance(answer, PersonError):
        return answer
    return answer.look if isinstance(answer, FetchedPhoto) else CloudObservation.at(answer)


def _is_unsure(one: RestoreItem, tag: CloudTag | PersonError | None) -> bool:
    if isinstance(tag, PersonError) or tag is None:
        return False
    return one.item.intent is not None or not written_photo(one.write).is_decided_by_tag(tag)


@dataclass(frozen=True, slots=True)
class RestoreSteps:
    """Supply what is to be taken back with the photos that were kept."""

    context: RunContext
    target: Target

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the plan in chunks."""
        return undo_steps(self.context.db, self.target.name, chunk=size)

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Keep what is about to be lost, having seen once more that it is what the run left; load what was there."""
        size = self.target.batch_size
        for start in range(0, len(chunk), size):
            part = chunk[start : start + size]
            over = [step for step in part if step.action is not Action.CREATE] if self._keeps else []
            kept = self._kept(over)
            for step in part:
                if step not in over or step.item.account.id in kept:
                    ready = self._loaded(step, kept.get(step.item.account.id, ""))
                    if ready is not None:
                        yield ready

    @property
    def _keeps(self) -> bool:
        return self.context.settings.backup_days > 0

    def _kept(self, over: Sequence[Step]) -> dict[str, str]:
        kept: dict[str, str] = {}
        answers = self.target.photos([step.item.account for step in over]) if over else {}
        for step in over:
            account_id = step.item.account.id
            answer = verified(answers[account_id], step.item.account)
            if isinstance(answer, PersonError):
                record_error(self.context, self.target.name, step.item, answer)
            elif answer is None or not self._left(step).matches(look_at_photo(answer, None)):
                self._leave(step, Action.SKIP, Reason.CHANGED_SINCE, CHANGED)
            else:
                kept[account_id] = self.context.backups.keep(answer.to_keep)
        return kept

    def _left(self, step: Step) -> WrittenPhoto:
        return written_photo(undone_write(self.context.db, step))

    def _loaded(self, step: Step, backup_sha256: str) -> PreparedStep | None:
        if step.action is Action.REMOVE:
            return PreparedStep(step, backup_sha256=backup_sha256)
        before_sha256 = undone_write(self.context.db, step).before_sha256
        content_bytes = self.context.backups.load(before_sha256)
        if content_bytes is None:
            self._leave(step, Action.FAIL, Reason.NO_BACKUP, NO_BACKUP)
            return None
        shown_bytes = self.target.photo_in_backup(content_bytes)
        shown_sha256 = hashlib.sha256(shown_bytes).hexdigest()
        return PreparedStep(step, content_bytes, shown_sha256, _print_of(shown_bytes), backup_sha256)

    def _leave(self, step: Step, action: Action, reason: Reason, detail: str) -> None:
        record_outcome(self.context, self.target.name, step.item, action=action, reason=reason, detail=detail)


def _print_of(content_bytes: bytes) -> Fingerprint | None:
    try:
        return read_print(content_bytes)
    except PictureRefused:
        return None


def _tell_of_others(context: RunContext, names: Sequence[str]) -> None:
    """Say what was written to targets that are no longer in the settings, and so stays."""
    wanted = context.options.undo or RestoreRequest()
    for name, count in count_writes(context.db, wanted.run).items():
        if name not in names:
            context.add_notice(f"{count} writes to {name} are not taken back, since TARGETS does not name it.")


def _tell_plan(context: RunContext, target: Target) -> None:
    for chunk in undo_steps(context.db, target.name, chunk=200):
        with transaction(context.db):
            for step in chunk:
                record_outcome(context, target.name, step.item, action=step.action, reason=step.reason)


def _check_brakes(context: RunContext) -> None:
    """Let the plan pass, or raise BrakeError: a restore of very many photos is to be meant."""
    plan = count_undo(context.db)
    known, _ = count_matched(context.db)
    with_photo = max(count_with_photo(context.db), plan.replacements + plan.removals)
    counts = PlanCounts(replacements=plan.replacements, with_photo=with_photo, removals=plan.removals, known=known)
    wanted = context.options.undo or RestoreRequest()
    trips = check_brakes(counts, replace(limits_of(context), only=bool(wanted.person_id)))
    if trips and not context.options.force:
        reasons = " ".join(trip.message for trip in trips)
        fix = f"Look at the plan with `photo-connector restore --run {wanted.run} --dry-run`; if it is meant, run it "
        raise BrakeError(f"A brake stopped the restore before its first write: {reasons}", f"{fix}once with --force.")
    for trip in trips:
        context.add_notice(f"Passed by --force: {trip.message}")
