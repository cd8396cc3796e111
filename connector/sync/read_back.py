"""Did the cloud take what it accepted? Tags and bytes are read back in batches behind the writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from connector.decide.compare import CloudObservation
from connector.decide.intents import IntentState, memory_of_write, settle
from connector.errors import ExitCode, PersonError
from connector.ledger import memory as memory_rows
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.ledger.writes import save_written_photo
from connector.model import CloudTag, Intent
from connector.sync.context import RunContext
from connector.sync.observe import FetchedPhoto, fetch_shown, look_at_photo
from connector.sync.plan import save_or_drop
from connector.sync.worker_pool import Lanes
from connector.targets import ReportsWrittenPhoto, Target

# Writes go first; reading back begins behind so many of them, which also gives the service time to show them.
BEHIND = 400

Answers = Mapping[str, CloudTag | FetchedPhoto | PersonError | None]


@dataclass(frozen=True, slots=True)
class PendingReadBack:
    """Hold an accepted write and, once seen, the tag that the cloud shows now."""

    item: WorkItem
    intent: Intent
    tag: CloudTag | None = None


class ReadBackQueue:
    """Settle accepted writes; what the cloud does not show yet stays an open intent for the next night."""

    def __init__(self, context: RunContext, target: Target) -> None:
        self._context = context
        self._target = target
        self._written: deque[PendingReadBack] = deque()
        self._tagged: deque[PendingReadBack] = deque()
        self._lanes: Lanes[Sequence[PendingReadBack], Answers] = Lanes(
            context.settings.sync_concurrency, turn_away=context.cancel_waiting
        )

    def __enter__(self) -> ReadBackQueue:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is on the wire."""
        self._lanes.__exit__(kind, error, trace)

    def add(self, item: WorkItem, intent: Intent) -> None:
        """Note an accepted write; settle it at once where the target knows from its answers what it left."""
        if not isinstance(self._target, ReportsWrittenPhoto):
            self._written.append(PendingReadBack(item, intent))
            return
        left = self._target.written_photo(item.account)
        look = CloudObservation.at(None) if left is None else look_at_photo(left, CloudTag(left.tag))
        self._settle(PendingReadBack(item, intent), look)

    def poll(self) -> None:
        """Read back a full batch where enough has gathered, one at a time: a write comes before a look."""
        if len(self._lanes):
            self._take(until=0 if len(self._written) > 2 * BEHIND else len(self._lanes))
        elif len(self._written) >= BEHIND:
            self._send()

    def finish(self) -> None:
        """Read back all the rest, on every lane."""
        self._context.progress.phase("reading back", len(self._written))
        while self._written or self._tagged or len(self._lanes):
            if self._is_over():
                return
            while (self._written or self._tagged) and len(self._lanes) < self._context.settings.sync_concurrency:
                if not self._send(is_last=not self._written and not len(self._lanes)):
                    break
            self._take(until=max(0, len(self._lanes) - 1))

    def _is_over(self) -> bool:
        """Leave what was not read back to the next night, once SYNC_MAX_MINUTES are over: its intents stay open."""
        is_over = self._context.is_out_of_time
        if is_over:
            self._context.codes.add(ExitCode.LIMIT)
            self._take(until=0)
        return is_over

    def _send(self, *, is_last: bool = False) -> bool:
        size = self._target.batch_size
        if len(self._tagged) >= size or (is_last and self._tagged):
            part = [self._tagged.popleft() for _ in range(min(size, len(self._tagged)))]
            tags = {one.item.account.id: one.tag for one in part if one.tag is not None}
            self._lanes.send(part, fetch_shown, self._target, [one.item.account for one in part], tags)
            return True
        if self._written:
            part = [self._written.popleft() for _ in range(min(size, len(self._written)))]
            self._lanes.send(part, self._target.tags, [one.item.account for one in part])
            return True
        return False

    def _take(self, *, until: int) -> None:
        for part, answers in self._lanes.completed(until=until):
            with transaction(self._context.db):
                for written in part:
                    self._seen(written, answers[written.item.account.id])

    def _seen(self, written: PendingReadBack, answer: CloudTag | FetchedPhoto | PersonError | None) -> None:
        if isinstance(answer, CloudTag) and answer.tag != written.intent.tag_before and written.intent.sent_sha256:
            self._tagged.append(PendingReadBack(written.item, written.intent, answer))
            return
        self._context.progress.step()
        if isinstance(answer, PersonError):
            return
        if isinstance(answer, FetchedPhoto):
            self._settle(written, answer.look)
        else:
            self._settle(written, CloudObservation.at(answer))

    def _settle(self, written: PendingReadBack, look: CloudObservation) -> None:
        context, account_id = self._context, written.item.account.id
        if settle(written.intent, look, context.clock()) is not IntentState.OURS:
            return
        memory = memory_of_write(written.intent, look=look, memory=written.item.memory)
        memory_rows.close_intent(context.db, self._target.name, account_id)
        save_or_drop(context, self._target.name, account_id, memory)
        started = written.intent.started_at
        left = {"tag": look.tag, "read_sha256": look.read_sha256}
        save_written_photo(context.db, self._target.name, account_id, written_at=started, **left)
