"""What is to be done? The cloud is looked at in full batches; each look becomes a decision, or a step of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connector.decide.case import UNSEEN, Case, Decision, Source
from connector.decide.compare import CloudObservation, SourcePicture, shows_one_of
from connector.decide.guests import guest_decision, guest_memory
from connector.decide.intents import Assessment, IntentState, judge, needs_bytes
from connector.decide.memory import memory_after
from connector.decide.table import decide, needs_look
from connector.errors import PersonError
from connector.ledger import memory as memory_rows
from connector.ledger import worklist as work
from connector.ledger.people import other_pictures
from connector.ledger.plan import Step, add_step
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.ledger.writes import save_written_photo
from connector.model import CloudTag, Memory, Presence
from connector.model.reasons import ADVICE
from connector.photo import sent_size
from connector.sync.conflict_photos import keep_conflict_photo
from connector.sync.context import RunContext
from connector.sync.guests import is_guest, policy_for
from connector.sync.observe import FetchedPhoto, fetch_shown
from connector.sync.outcomes import conflict_detail, record_error, record_outcome
from connector.sync.targets import at_target_size
from connector.sync.worker_pool import Lanes
from connector.targets import Target

Answers = Mapping[str, CloudTag | FetchedPhoto | PersonError | None]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Label a request on the wire: the people it is about, and the tags already seen when it asks for bytes."""

    items: Sequence[WorkItem]
    tags: Mapping[str, CloudTag]


def list_work(context: RunContext, target: Target) -> None:
    """List who is looked at tonight for this target."""
    settings, options = context.settings, context.options
    only_without = target.features.completes_others and len(settings.targets) > 1
    guests = not target.features.takes_guests
    work.exclude(context.db, target.name, unread=context.unread, with_exchange=only_without, guests=guests)
    if options.only:
        work.list_chosen(context.db, target.name, context.chosen_ids)
        return
    if options.resend:  # in its own order, before those whom the limit of the last one put off
        work.list_everybody(context.db, target.name)
    removes = settings.sync_removed == "remove"
    work.list_different(context.db, target.name, source_wins=settings.sync_conflict == "source", removes=removes)
    if options.full:
        work.list_everybody(context.db, target.name)
    elif not options.resend:
        refused_only = not target.features.rotates_all
        memory_rows.clamp_future_check_times(context.db, target.name, now=context.clock())
        work.add_rotation(context.db, target.name, settings.sync_verify_percent, refused_only=refused_only)


class Planner:
    """Turn the work list into decisions: those that write become the plan, the others are settled at once."""

    def __init__(self, context: RunContext, target: Target) -> None:
        self._context = context
        self._target = target
        self._to_look: list[WorkItem] = []
        self._to_fetch: list[tuple[WorkItem, CloudTag]] = []

    def run(self) -> None:
        """Ask about everybody on the list, `SYNC_CONCURRENCY` batches at a time."""
        list_work(self._context, self._target)
        self._context.progress.phase("asking", work.count_work(self._context.db, self._target.name))
        context = self._context
        with Lanes[PendingRequest, Answers](
            context.settings.sync_concurrency, turn_away=context.cancel_waiting
        ) as lanes:
            for items in work.work_items(self._context.db, self._target.name):
                context.stop_when_out_of_time()
                self._take_in(items)
                self._ask(lanes, at_least=self._target.batch_size)
            while self._to_look or self._to_fetch or len(lanes):
                context.stop_when_out_of_time()
                self._ask(lanes, at_least=1)
                self._answered(lanes, until=max(0, len(lanes) - 1))

    def _take_in(self, items: Sequence[WorkItem]) -> None:
        quiet = [item for item in items if not self._is_asked(item)]
        self._to_look += [item for item in items if self._is_asked(item)]
        with transaction(self._context.db):
            for item in quiet:
                self._conclude(item, CloudObservation.not_asked())

    def _is_asked(self, item: WorkItem) -> bool:
        """Ask where the decision needs it, where something is open or failed last time, and whose turn it is."""
        options = self._context.options
        if item.intent is not None or item.is_again or not item.is_due or options.full or options.only:
            return True
        return needs_look(self._case(item, Assessment(None, item.memory, UNSEEN)), policy_for(self._context, item))

    def _ask(self, lanes: Lanes[PendingRequest, Answers], *, at_least: int) -> None:
        """Send full batches, bytes before tags; at the end of the list also those that are not full."""
        size, ahead = self._target.batch_size, self._context.settings.sync_concurrency * 2
        while len(self._to_fetch) >= at_least and self._to_fetch and (at_least > 1 or self._no_more_tags(lanes)):
            part, self._to_fetch = self._to_fetch[:size], self._to_fetch[size:]
            asked = PendingRequest([item for item, _ in part], {item.account.id: tag for item, tag in part})
            lanes.send(asked, fetch_shown, self._target, [item.account for item in asked.items], asked.tags)
            self._answered(lanes, until=ahead)
        while len(self._to_look) >= at_least and self._to_look:
            items, self._to_look = self._to_look[:size], self._to_look[size:]
            lanes.send(PendingRequest(items, {}), self._target.tags, [item.account for item in items])
            self._answered(lanes, until=ahead)

    def _no_more_tags(self, lanes: Lanes[PendingRequest, Answers]) -> bool:
        """Say whether a batch of bytes that is not full would stay so."""
        return not self._to_look and (len(lanes) == 0 or len(self._to_fetch) >= self._target.batch_size)

    def _answered(self, lanes: Lanes[PendingRequest, Answers], *, until: int) -> None:
        for asked, answers in lanes.completed(until=until):
            with transaction(self._context.db):
                for item in asked.items:
                    self._seen(item, answers[item.account.id], asked.tags.get(item.account.id))

    def _seen(self, item: WorkItem, answer: CloudTag | FetchedPhoto | PersonError | None, tag: CloudTag | None) -> None:
        if isinstance(answer, PersonError):
            record_error(self._context, self._target.name, item, answer)
            self._context.progress.step()
        elif isinstance(answer, FetchedPhoto):
            self._conclude(item, answer.look, answer.content_bytes)
        elif tag is not None:
            self._conclude(item, CloudObservation.at(None))  # it went between the two looks
        elif needs_bytes(answer, memory=item.memory, intent=item.intent, now=self._context.clock()):
            self._to_fetch.append((item, answer))  # type: ignore[arg-type]  # a tag, else no bytes are needed
        else:
            self._conclude(item, CloudObservation.at(answer))

    def _conclude(self, item: WorkItem, look: CloudObservation, content_bytes: bytes | None = None) -> None:
        """Judge what was seen, decide, and either add a step or remember and tell."""
        context = self._context
        picture = source_picture(item, context, target=self._target)
        judged = judge(look, source=picture, memory=item.memory, intent=item.intent, now=context.clock())
        settle_intent(context, self._target.name, item, judged)
        case = replace(self._case(item, judged), other_attribute_shown=self._is_other_attribute(item, look, judged))
        policy = policy_for(context, item)
        decision = decide(case, policy, context.clock())
        decision = guest_decision(decision) if is_guest(item) else decision
        context.progress.step()
        detail = (
            conflict_detail(context, item, look) if decision.conflict or ADVICE[decision.reason].is_conflict else ""
        )
        if decision.conflict and content_bytes is not None and (context.options.dry_run or not decision.writes):
            keep_conflict_photo(context, self._target.name, item, look.read_sha256, content_bytes)
        if decision.writes:
            self._add_step(item, decision, look, content_bytes=content_bytes, detail=detail)
            return
        after = memory_after(decision, case=case, look=look, picture=picture, policy=policy)
        after = guest_memory(after) if is_guest(item) else after
        remember(context, self._target.name, item, after=after, asked=look.asked)

        record_outcome(
            context,
            self._target.name,
            item,
            action=decision.action,
            reason=decision.reason,
            detail=detail,
            conflict=decision.conflict,
        )

    def _add_step(
        self, item: WorkItem, decision: Decision, look: CloudObservation, *, content_bytes: bytes | None, detail: str
    ) -> None:
        """Plan a write; bytes that are at hand are kept now, so that they need not be fetched again."""
        backup = ""
        keeps = self._context.settings.backup_days > 0 and not self._context.options.dry_run
        if decision.needs_backup and content_bytes is not None and keeps:
            backup = self._context.backups.keep(content_bytes)
        step = Step(item, decision.action, decision.reason, decision.conflict, look.tag, backup, detail)
        add_step(self._context.db, self._target.name, step, over_foreign=decision.over_foreign)
        work.mark_due(self._context.db, self._target.name, item.person.id)

    def _case(self, item: WorkItem, judged: Assessment) -> Case:
        is_current = item.picture is not None and item.picture.recipe == self._context.recipe.key
        return Case(
            person_id=item.person.id,
            source=Source.photo(item.source_sha256) if item.source_sha256 else Source.cleared(),
            memory=judged.memory,
            view=judged.view,
            settled=judged.settled,
            sent_sha256=item.picture.sent_sha256 if item.picture and is_current else "",
        )

    def _is_other_attribute(self, item: WorkItem, look: CloudObservation, judged: Assessment) -> bool:
        if judged.memory is None or judged.memory.presence is not Presence.OURS or look.read_print is None:
            return False
        others = other_pictures(self._context.db, item.person.id, than=item.source_sha256)
        return shows_one_of(look, [shown for row in others for shown in (row.sent, row.whole) if shown is not None])


def source_picture(item: WorkItem, context: RunContext, *, target: Target) -> SourcePicture | None:
    """Describe the source's picture at the size in which the target would show it today."""
    row = item.picture
    if row is None or row.sent is None or row.whole is None:
        return None
    width, height = sent_size(row.whole.width, row.whole.height, context.recipe)
    sent = at_target_size(target, replace(row.sent, width=width, height=height))
    return SourcePicture(item.source_sha256, sent, row.whole)


def settle_intent(context: RunContext, target: str, item: WorkItem, judged: Assessment) -> None:
    """End an open intent as it was judged; a settled write leaves its memory, and its tag for an undo."""
    if item.intent is None or judged.settled is None or judged.settled.stays_open:
        return
    memory_rows.close_intent(context.db, target, item.account.id)
    if judged.settled is not IntentState.OURS:
        return
    after = judged.memory
    save_or_drop(context, target, item.account.id, after)
    left = (after.tag, after.read_sha256) if after is not None else ("", "")
    started = item.intent.started_at
    save_written_photo(context.db, target, item.account.id, written_at=started, tag=left[0], read_sha256=left[1])


def remember(context: RunContext, target: str, item: WorkItem, *, after: Memory | None, asked: bool) -> None:
    """Store the memory that a decision without a write leaves."""
    memory = after
    if memory != item.memory:
        save_or_drop(context, target, item.account.id, memory)
    elif asked:
        memory_rows.mark_checked(context.db, target, item.account.id, now=context.clock())


def save_or_drop(context: RunContext, target: str, account_id: str, memory: Memory | None) -> None:
    """Store a memory, or forget it where there is none."""
    if memory is not None:
        memory_rows.save_memory(context.db, target, account_id, memory=memory, run=context.run, now=context.clock())
    else:
        memory_rows.drop_memory(context.db, target, account_id)
