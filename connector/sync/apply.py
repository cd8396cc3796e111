"""How does the plan reach the cloud? Intent, backup, write, read-back: nothing is lost at whatever instant we stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from connector.errors import ExitCode, PersonError
from connector.ledger import memory as memory_rows
from connector.ledger.plan import Step, steps
from connector.ledger.store import transaction
from connector.ledger.writes import Write, drop_write, save_write
from connector.model import Action, Intent
from connector.model.reasons import ADVICE
from connector.sources import Source
from connector.sync.context import RunContext
from connector.sync.outcomes import record_error, record_outcome
from connector.sync.prepare import PreparedStep, prepared
from connector.sync.read_back import ReadBackQueue
from connector.sync.worker_pool import Lanes
from connector.targets import Target


@dataclass(frozen=True, slots=True)
class WriteResult:
    """Hold the end of one write: None, or what befell the person."""

    error: PersonError | None = None


class StepSource(Protocol):
    """Where a target's steps come from, and what makes them ready to be written."""

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the steps in chunks, in their order."""

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Yield those of a chunk that can be written; tell the others with their reason."""


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """Supply the night's plan with the pictures of the source."""

    context: RunContext
    target: Target
    source: Source

    def chunks(self, size: int) -> Iterator[list[Step]]:
        """Yield the plan in chunks."""
        return steps(self.context.db, self.target.name, chunk=size)

    def prepared(self, chunk: Sequence[Step]) -> Iterator[PreparedStep]:
        """Load pictures, confirm removals, keep what is replaced."""
        return prepared(self.context, chunk, target=self.target, source=self.source)


class Applier:
    """Carry out a target's plan: writes side by side, each after its intent; tags read back behind them."""

    def __init__(self, context: RunContext, target: Target, supply: StepSource) -> None:
        self._context = context
        self._target = target
        self._supply = supply
        self._back = ReadBackQueue(context, target)
        self._begun = 0
        self._on_the_wire: dict[str, Intent] = {}

    def run(self, total: int) -> None:
        """Write what the plan says, until it is done, a limit is reached, or the service ends it for all."""
        context = self._context
        context.progress.phase("uploading", total)
        lanes = Lanes[PreparedStep, WriteResult](context.settings.sync_concurrency, turn_away=context.cancel_waiting)
        with lanes, self._back:
            try:
                self._write_all(lanes)
            except BaseException:
                for ready, done in lanes.remaining():
                    self._finished(ready, done)
                raise
            self._back.finish()

    def _write_all(self, lanes: Lanes[PreparedStep, WriteResult]) -> None:
        ahead = self._context.settings.sync_concurrency * 2
        for chunk in self._supply.chunks(self._target.batch_size * 5):
            if self._is_over():
                break
            for ready in self._supply.prepared(self._allowed(chunk)):
                if self._is_over():
                    break
                self._begin(ready)
                lanes.send(ready, self._write, ready)
                self._take(lanes, until=ahead)
                self._back.poll()
        self._take(lanes, until=0)

    def _allowed(self, chunk: Sequence[Step]) -> list[Step]:
        """Cut what SYNC_MAX_UPLOADS does not allow tonight; removals are no uploads."""
        limit = self._context.settings.sync_max_uploads
        if not limit:
            return list(chunk)
        room, allowed = limit - self._context.uploads, []
        for step in chunk:
            is_upload = step.action is not Action.REMOVE
            if is_upload and room <= 0:
                self._context.codes.add(ExitCode.LIMIT)
                continue
            room -= is_upload
            allowed.append(step)
        return allowed

    def _is_over(self) -> bool:
        is_over = self._context.is_out_of_time
        if is_over:
            self._context.codes.add(ExitCode.LIMIT)
        return is_over

    def _begin(self, ready: PreparedStep) -> None:
        """Write down, before it happens, what is about to happen."""
        context, item, step = self._context, ready.step.item, ready.step
        now, restores = context.clock(), context.options.undo is not None
        intent = Intent(
            person_id=item.person.id,
            source_sha256=item.source_sha256,
            sent_sha256=ready.sent_sha256,
            sent_print=ready.sent_print,
            tag_before=step.tag_before,
            started_at=now,
            restores=restores,
            reason=step.reason,
            recipe=context.recipe.key if ready.sent_bytes and not restores else "",
        )
        write = Write(
            run=context.run,
            target=self._target.name,
            account_id=item.account.id,
            person_id=item.person.id,
            action=step.action,
            written_at=now.isoformat(),
            before_sha256=ready.backup_sha256,
            before_presence=item.memory.presence if item.memory else "",
            sent_sha256=ready.sent_sha256,
            sent_print=ready.sent_print,
        )
        with transaction(context.db):
            memory_rows.open_intent(context.db, self._target.name, item.account.id, intent=intent, run=context.run)
            save_write(context.db, write)
        self._on_the_wire[item.account.id] = intent
        context.uploads += step.action is not Action.REMOVE

    def _write(self, ready: PreparedStep) -> WriteResult:
        """Do it, in a lane."""
        try:
            if ready.step.action is Action.REMOVE:
                self._target.remove(ready.step.item.account)
            elif self._context.options.undo is not None:
                self._target.put_back(ready.step.item.account, ready.sent_bytes)
            else:
                self._target.put(ready.step.item.account, ready.sent_bytes)
        except PersonError as error:
            return WriteResult(error)
        return WriteResult()

    def _take(self, lanes: Lanes[PreparedStep, WriteResult], *, until: int) -> None:
        for ready, done in lanes.completed(until=until):
            self._finished(ready, done)

    def _finished(self, ready: PreparedStep, done: WriteResult) -> None:
        context, step, item = self._context, ready.step, ready.step.item
        intent = self._on_the_wire.pop(item.account.id)
        with transaction(context.db):
            if done.error is not None:
                self._failed(ready, done.error)
            else:
                memory_rows.accept_intent(context.db, self._target.name, item.account.id, now=context.clock())
                memory_rows.drop_refusal(context.db, self._target.name, item.account.id)
                accepted = f"{step.detail} {self._target.features.accepted_text}".lstrip()
                detail = accepted if step.action is not Action.REMOVE else ""
                record_outcome(
                    context,
                    self._target.name,
                    item,
                    action=step.action,
                    reason=step.reason,
                    detail=detail,
                    conflict=step.conflict,
                )
                self._back.add(item, intent)
        context.progress.step()

    def _failed(self, ready: PreparedStep, error: PersonError) -> None:
        context, item = self._context, ready.step.item
        if not ADVICE[error.reason].ambiguous_write:
            memory_rows.close_intent(context.db, self._target.name, item.account.id)
            drop_write(context.db, context.run, self._target.name, account_id=item.account.id)
        record_error(context, self._target.name, item, error)
