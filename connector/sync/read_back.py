"""Read back accepted writes in batches, behind the writes, and close their intents."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType

from connector.decide.intents import IntentState, memory_of_write, settle
from connector.errors import PersonError
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.model import CloudObservation, Intent
from connector.sync.context import RunContext
from connector.sync.memory import confirm_write
from connector.sync.observe import fetch_observations, observe_photo
from connector.sync.worker_pool import Lanes
from connector.targets import ReportsWrittenPhoto, Target

# Reading back starts when this many writes wait for it, which also gives the service time to show them.
READ_BACK_BACKLOG = 400

Answers = Mapping[str, CloudObservation | PersonError | None]


class ReadBackQueue:
    """Confirm accepted writes; what the cloud does not show yet stays an open intent for the next run.

    A write waits as the item of its account, with its intent, for its tag; then with the new tag for its bytes.
    """

    def __init__(self, context: RunContext, target: Target) -> None:
        self._context = context
        self._target = target
        # asked once: isinstance looks for each attribute of a Protocol
        self._reports_photo = target if isinstance(target, ReportsWrittenPhoto) else None
        self.is_limited = False
        self._unanswered = 0
        self._is_own_phase = False
        self._written: deque[WorkItem] = deque()
        self._tagged: deque[tuple[WorkItem, CloudObservation]] = deque()
        self._lanes: Lanes[Sequence[WorkItem], Answers] = Lanes(
            context.settings.most_lanes, cancel_waiting=context.cancel_waiting
        )

    def __enter__(self) -> ReadBackQueue:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the running requests."""
        self._lanes.__exit__(kind, error, trace)

    def add(self, item: WorkItem) -> None:
        """Queue an accepted write; confirm it at once if the target reports the stored photo."""
        if self._reports_photo is None:
            self._written.append(item)
            self._unanswered += 1
            return
        photo = self._reports_photo.written_photo(item.account)
        observation = CloudObservation.at(None) if photo is None else observe_photo(photo, None)
        self._confirm(item, observation)

    def poll(self) -> None:
        """Read back in one batch at a time once enough writes wait, and in one more for each further so many.

        The lanes belong to the writes: this waits for nothing, unless reading back falls behind for good.
        """
        most = self._context.settings.most_lanes
        waiting = len(self._written) + len(self._tagged)
        if waiting >= (most + 1) * READ_BACK_BACKLOG:
            self._take(self._lanes.completed(until=max(0, len(self._lanes) - 1)))
        self._take(self._lanes.ended())
        while len(self._lanes) < min(most, waiting // READ_BACK_BACKLOG) and self._send():
            pass

    def finish(self) -> None:
        """Read back all remaining writes, `SYNC_CONCURRENCY` batches at a time."""
        self._context.progress.phase("reading back", self._unanswered)
        self._is_own_phase = True
        while self._written or self._tagged or len(self._lanes):
            if self._is_over():
                return
            while (self._written or self._tagged) and len(self._lanes) < self._context.settings.most_lanes:
                if not self._send(is_last=not self._written and not len(self._lanes)):
                    break
            self._take(self._lanes.completed(until=max(0, len(self._lanes) - 1)))

    def _is_over(self) -> bool:
        """Return True if SYNC_MAX_MINUTES are over; the intents that were not read back stay open for the next run."""
        is_over = self._context.is_out_of_time
        if is_over:
            self.is_limited = True
            self._take(self._lanes.completed())
        return is_over

    def _send(self, *, is_last: bool = False) -> bool:
        size = self._target.batch_size
        if len(self._tagged) >= size or (is_last and self._tagged):
            part = [self._tagged.popleft() for _ in range(min(size, len(self._tagged)))]
            items, tags = [item for item, _ in part], {item.account.id: tag for item, tag in part}
            self._lanes.send(items, fetch_observations, self._target, [item.account for item in items], tags)
            return True
        if self._written:
            items = [self._written.popleft() for _ in range(min(size, len(self._written)))]
            self._lanes.send(items, self._target.tags, [item.account for item in items])
            return True
        return False

    def _take(self, ended: Iterator[tuple[Sequence[WorkItem], Answers]]) -> None:
        for items, answers in ended:
            with transaction(self._context.db):
                for item in items:
                    self._take_answer(item, answers[item.account.id])

    def _take_answer(self, item: WorkItem, answer: CloudObservation | PersonError | None) -> None:
        if isinstance(answer, CloudObservation) and not answer.has_bytes and _is_new(answer, item.intent):
            self._tagged.append((item, answer))
            return
        self._unanswered -= 1
        if self._is_own_phase:  # before it, the steps are those of the writes
            self._context.progress.step()
        if isinstance(answer, PersonError):
            return
        self._confirm(item, CloudObservation.at(answer))

    def _confirm(self, item: WorkItem, observation: CloudObservation) -> None:
        context, intent = self._context, item.intent
        if intent is None or settle(intent, observation, context.clock()) is not IntentState.OURS:
            return
        memory = memory_of_write(intent, look=observation, memory=item.memory)
        confirm_write(
            context,
            self._target.name,
            item.account.id,
            intent=intent,
            memory=memory,
            observation=observation,
        )


def _is_new(tag: CloudObservation, intent: Intent | None) -> bool:
    """Return True if the tag is another one than before the upload, so that the bytes are to be read."""
    return intent is not None and bool(intent.sent_sha256) and tag.tag != intent.tag_before
