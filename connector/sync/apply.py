"""Apply the plan: store the intent, write, record the outcome, read back; a stop at any moment loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from connector.errors import ExitCode, PersonError
from connector.ledger import memory as memory_rows
from connector.ledger.memberships import note_expelled
from connector.ledger.plan import Step, steps
from connector.ledger.store import transaction
from connector.ledger.writes import Write, drop_write, save_write
from connector.model import Action, Intent, Reason
from connector.model.reasons import ADVICE
from connector.sources import Source
from connector.sync.context import RunContext
from connector.sync.outcomes import record_error, record_outcome
from connector.sync.prepare import PreparedStep, prepared
from connector.sync.read_back import ReadBackQueue
from connector.sync.summary import Summaries, Summary
from connector.sync.worker_pool import Lanes
from connector.targets import Target

WriteLanes = Lanes[Step, PersonError | None]


class StepSource(Protocol):
    """Supply the steps of a target and prepare them."""

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the steps in chunks, in their order."""

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Yield the steps of a chunk that can be written; record the outcome of the others."""


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """Supply the steps of the plan with the pictures of the source."""

    context: RunContext
    target: Target
    source: Source

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the plan in chunks."""
        return steps(self.context.db, self.target.name, chunk=size)

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Load pictures, confirm removals, back up what is replaced."""
        return prepared(self.context, chunk, target=self.target, source=self.source)


class Applier:
    """Apply the steps of a target: several writes at a time, each after its intent, read back in batches.

    What became of writes that ended, and the intents of the next, share a transaction: a commit costs more than a row.
    `uploads_before` is the number of uploads that this run already made to other targets.
    """

    def __init__(self, context: RunContext, target: Target, step_source: StepSource, *, uploads_before: int) -> None:
        self._context = context
        self._target = target
        self._step_source = step_source
        self._read_back = ReadBackQueue(context, target)
        self._uploads_before = uploads_before
        self._uploads = 0
        self._is_limited = False
        self._most_open = context.settings.most_lanes * 2 + 1
        self._handful = max(1, self._most_open // 3)
        self._ended: list[tuple[Step, PersonError | None]] = []

    @property
    def summary(self) -> Summary:
        """Return what was found so far; valid also after an exception of `run`."""
        is_limited = self._is_limited or self._read_back.is_limited
        return Summary(uploads=self._uploads, exit_codes=frozenset({ExitCode.LIMIT} if is_limited else ()))

    def run(self, total: int) -> None:
        """Write until the plan is done, a limit is reached, or an exception ends the run."""
        context = self._context
        context.progress.phase("uploading", total)
        lanes = WriteLanes(context.settings.most_lanes, cancel_waiting=context.cancel_waiting)
        with lanes, self._read_back:
            try:
                self._write_all(lanes)
            except BaseException:
                self._ended += lanes.remaining()
                self._record(())
                raise
            self._read_back.finish()

    def _write_all(self, lanes: WriteLanes) -> None:
        """Write a handful of steps at a time; a request is sent when its intent is durable."""
        for handful in self._handfuls(lanes):
            for begun in self._record(handful):
                lanes.send(begun.step, self._write, begun)
            self._read_back.poll()
        while self._ended or len(lanes):
            self._take_ended(lanes, most=max(0, len(lanes) - self._handful))
            self._record(())

    def _handfuls(self, lanes: WriteLanes) -> Iterator[list[PreparedStep]]:
        """Yield as many steps as there is room for behind the lanes, until a limit is reached; the lanes never run dry.

        No handful is of two chunks: what SYNC_MAX_UPLOADS still allows is counted when those before have begun.
        """
        for chunk in self._step_source.chunks(self._target.batch_size * 5):
            if self._is_over():
                return
            steps = iter(self._step_source.prepared(self._allowed(chunk)))
            while True:
                self._take_ended(lanes, most=self._most_open - self._handful)
                handful = list(islice(steps, min(self._handful, self._most_open - len(lanes))))
                if self._is_over():
                    return
                if not handful:
                    break
                yield handful

    def _take_ended(self, lanes: WriteLanes, *, most: int) -> None:
        """Take the writes that ended, waiting until at most so many are open; for slow ones only if none has ended."""
        for ended in lanes.several(until=most):
            self._ended.append(ended)  # one by one: where a lane has failed, those before it are recorded all the same

    def _record(self, handful: Sequence[PreparedStep]) -> list[PreparedStep]:
        """Record what became of the writes that ended, and store the intents of the next, in one transaction."""
        with transaction(self._context.db):
            for step, error in self._ended:
                self._finish(step, error)
            begun = [self._begin(step) for step in handful]
        if self._ended:
            self._context.progress.step(len(self._ended))
            self._ended.clear()
        return begun

    def _allowed(self, chunk: Sequence[Step]) -> list[Step]:
        """Return the steps that SYNC_MAX_UPLOADS still allows in this run; removals are no uploads."""
        limit = self._context.settings.sync_max_uploads
        if not limit:
            return list(chunk)
        remaining, allowed = limit - self._uploads_before - self._uploads, []
        for step in chunk:
            is_upload = step.decision.action is not Action.REMOVE
            if is_upload and remaining <= 0:
                self._is_limited = True
                continue
            remaining -= is_upload
            allowed.append(step)
        return allowed

    def _is_over(self) -> bool:
        is_over = self._context.is_out_of_time
        self._is_limited |= is_over
        return is_over

    def _begin(self, prepared_step: PreparedStep) -> PreparedStep:
        """Store the intent and the write before the request is sent; return the step with its intent."""
        context, step, item = self._context, prepared_step.step, prepared_step.step.item
        now, restores = context.clock(), context.options.undo is not None
        intent = Intent(
            person_id=item.person.id,
            source_sha256=item.source_sha256,
            sent_sha256=prepared_step.sent_sha256,
            sent_print=prepared_step.sent_print,
            tag_before=step.tag_before,
            started_at=now,
            run=context.run,
            restores=restores,
            reason=step.decision.reason,
            recipe=context.recipe.key if prepared_step.sent_bytes and not restores else "",
        )
        write = Write(
            run=context.run,
            target=self._target.name,
            account_id=item.account.id,
            person_id=item.person.id,
            action=step.decision.action,
            written_at=now.isoformat(),
            before_sha256=prepared_step.backup_sha256,
            before_presence=item.memory.presence if item.memory else "",
            sent_sha256=prepared_step.sent_sha256,
            sent_print=prepared_step.sent_print,
        )
        memory_rows.open_intent(context.db, self._target.name, item.account.id, intent=intent)
        save_write(context.db, write)
        if step.decision.reason is Reason.OPTED_OUT:
            note_expelled(context.db, prepared_step.backup_sha256, person_id=item.person.id, run=context.run)
        self._uploads += step.decision.action is not Action.REMOVE
        return replace(prepared_step, step=step._replace(item=item._replace(intent=intent)))

    def _write(self, prepared_step: PreparedStep) -> PersonError | None:
        """Send the write, in a worker thread; return the error of this person."""
        account = prepared_step.step.item.account
        try:
            if prepared_step.step.decision.action is Action.REMOVE:
                self._target.remove(account)
            elif self._context.options.undo is not None:
                self._target.put_back(account, prepared_step.sent_bytes)
            else:
                self._target.put(account, prepared_step.sent_bytes)
        except PersonError as error:
            return error
        return None

    def _finish(self, step: Step, error: PersonError | None) -> None:
        context, item = self._context, step.item
        if error is not None:
            self._fail(step, error)
            return
        memory_rows.accept_intent(context.db, self._target.name, item.account.id, now=context.clock())
        memory_rows.drop_refusal(context.db, self._target.name, item.account.id)
        accepted = f"{step.decision.detail} {self._target.features.accepted_text}".lstrip()
        detail = accepted if step.decision.action is not Action.REMOVE else ""
        record_outcome(context, self._target.name, item, replace(step.decision, detail=detail))
        self._read_back.add(item)

    def _fail(self, step: Step, error: PersonError) -> None:
        context, account_id = self._context, step.item.account.id
        # After an ambiguous error the write may have happened: the intent stays open, and the next run finds out.
        if not ADVICE[error.reason].ambiguous_write:
            memory_rows.close_intent(context.db, self._target.name, account_id)
            drop_write(context.db, context.run, self._target.name, account_id=account_id)
        record_error(context, self._target.name, step.item, error)


def apply_steps(
    context: RunContext, target: Target, step_source: StepSource, *, total: int, uploads_before: int
) -> Summaries[None]:
    """Apply the steps of a target and yield the summary, also where an exception ends it."""
    applier = Applier(context, target, step_source, uploads_before=uploads_before)
    try:
        applier.run(total)
    finally:
        yield applier.summary
