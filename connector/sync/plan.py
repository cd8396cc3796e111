"""Plan what to write: ask the cloud in batches, decide, store the steps of the plan and the outcomes of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connector.decide.case import Case, Decision, SourceState
from connector.decide.conclude import assess, decide_for, is_sent_elsewhere, memory_after, must_ask
from connector.decide.intents import needs_bytes, never_appeared
from connector.errors import PersonError
from connector.ledger import memory as memory_rows
from connector.ledger import worklist as work
from connector.ledger.people import other_pictures
from connector.ledger.plan import Step, add_step
from connector.ledger.store import transaction
from connector.ledger.worklist import WorkItem
from connector.model import CloudObservation, Fingerprint, Picture, Reason
from connector.model.notices import NOT_SHOWN_NOTICE, SENT_ELSEWHERE
from connector.model.reasons import ADVICE
from connector.photo import sent_size
from connector.report.from_ledger import ConflictPhotos
from connector.sync.approval import outdated_step
from connector.sync.conflict_photos import MAX_CONFLICTS, keep_conflict_photo
from connector.sync.context import RunContext
from connector.sync.guests import is_guest
from connector.sync.memory import close_settled_intent, store_memory
from connector.sync.observe import fetch_observations, is_look_only, record_look
from connector.sync.outcomes import conflict_detail, record_error, record_outcome
from connector.sync.summary import Summary
from connector.sync.targets import at_target_size
from connector.sync.worker_pool import Lanes
from connector.targets import Target

# Why `--overwrite` does nothing for a restored photo.
RESTORED_STAYS = (
    "`--overwrite` sends nothing over what `restore` put back: undo that by `photo-connector restore --person PERSON`, "
    "or change the photo in the source."
)
Answers = Mapping[str, CloudObservation | PersonError | None]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Represent a request being sent: the people it is about, and the tags already seen if it asks for bytes."""

    items: Sequence[WorkItem]
    tags: Mapping[str, CloudObservation]


def list_work(context: RunContext, target: Target, read: Summary) -> None:
    """Fill the work list of this target: everybody who may need a write or whose check is due."""
    settings, options = context.settings, context.options
    only_without = target.features.completes_others and len(settings.targets) > 1
    guests, unread = not target.features.takes_guests, read.unread_contexts
    work.exclude(context.db, target.name, unread=unread, with_exchange=only_without, guests=guests)
    if options.approval is not None:
        work.list_approved(context.db, target.name)
        return
    if options.only:
        work.list_chosen(context.db, target.name, read.chosen_ids)
        return
    if options.resend:  # in its own order, before those that the limit of the last run postponed
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
    """Turn the work list of a target into decisions: writes become steps of the plan, the others end at once."""

    def __init__(self, context: RunContext, target: Target, read: Summary) -> None:
        self._context = context
        self._target = target
        self._read = read
        self._need_tags: list[WorkItem] = []
        self._need_bytes: list[tuple[WorkItem, CloudObservation]] = []
        self._conflict_photos: dict[tuple[str, str], ConflictPhotos] = {}
        self._sent_elsewhere = 0
        self._not_shown = 0

    @property
    def summary(self) -> Summary:
        """Return what was found so far; valid also after an exception of `run`."""
        told = (NOT_SHOWN_NOTICE.format(count=self._not_shown),) if self._not_shown else ()
        return Summary(notices=told, conflict_photos=self._conflict_photos, sent_elsewhere=self._sent_elsewhere)

    def run(self) -> None:
        """Ask about everybody on the list, `SYNC_CONCURRENCY` batches at a time."""
        context = self._context
        list_work(context, self._target, self._read)
        context.progress.phase("asking", work.count_work(context.db, self._target.name))
        concurrency = context.settings.most_lanes
        with Lanes[PendingRequest, Answers](concurrency, cancel_waiting=context.cancel_waiting) as lanes:
            for items in work.work_items(context.db, self._target.name):
                context.stop_when_out_of_time()
                self._sort(items)
                self._ask(lanes, at_least=self._target.batch_size)
            while self._need_tags or self._need_bytes or len(lanes):
                context.stop_when_out_of_time()
                self._ask(lanes, at_least=1)
                self._take_answers(lanes, until=max(0, len(lanes) - 1))

    def _sort(self, items: Sequence[WorkItem]) -> None:
        """Decide at once where the cloud need not be asked; queue the others."""
        quiet: list[WorkItem] = []
        for item in items:
            (self._need_tags if self._is_asked(item) else quiet).append(item)
        with transaction(self._context.db):
            for item in quiet:
                self._conclude(item, CloudObservation.not_asked())

    def _is_asked(self, item: WorkItem) -> bool:
        """Return True if the decision needs the cloud, an intent is open, the last run failed, or a check is due."""
        options = self._context.options
        is_news = item.intent is not None or item.is_again or not item.is_due
        if is_news or options.full or options.only or options.approval is not None:
            return True
        return must_ask(self._case(item), self._context.policy.of(item.rule))

    def _ask(self, lanes: Lanes[PendingRequest, Answers], *, at_least: int) -> None:
        """Send full batches, bytes before tags; at the end of the list also batches that are not full."""
        size, ahead = self._target.batch_size, self._context.settings.most_lanes * 2
        while len(self._need_bytes) >= at_least and self._need_bytes and (at_least > 1 or self._has_all_tags(lanes)):
            part, self._need_bytes = self._need_bytes[:size], self._need_bytes[size:]
            request = PendingRequest([item for item, _ in part], {item.account.id: tag for item, tag in part})
            accounts = [item.account for item in request.items]
            lanes.send(request, fetch_observations, self._target, accounts, request.tags)
            self._take_answers(lanes, until=ahead)
        while len(self._need_tags) >= at_least and self._need_tags:
            items, self._need_tags = self._need_tags[:size], self._need_tags[size:]
            lanes.send(PendingRequest(items, {}), self._target.tags, [item.account for item in items])
            self._take_answers(lanes, until=ahead)

    def _has_all_tags(self, lanes: Lanes[PendingRequest, Answers]) -> bool:
        """Return True if a batch of bytes that is not full cannot become full any more."""
        return not self._need_tags and (len(lanes) == 0 or len(self._need_bytes) >= self._target.batch_size)

    def _take_answers(self, lanes: Lanes[PendingRequest, Answers], *, until: int) -> None:
        for request, answers in lanes.completed(until=until):
            with transaction(self._context.db):
                for item in request.items:
                    self._take_answer(item, answers[item.account.id], request.tags.get(item.account.id))

    def _take_answer(
        self, item: WorkItem, answer: CloudObservation | PersonError | None, tag: CloudObservation | None
    ) -> None:
        """Take the answer to the question for the tag, or, where `tag` was seen, for the bytes; None is no photo."""
        if is_look_only(item):
            record_look(self._context, self._target.name, item, answer)
            self._context.progress.step()
        elif isinstance(answer, PersonError):
            record_error(self._context, self._target.name, item, answer)
            self._context.progress.step()
        elif tag is None and answer is not None and self._needs_bytes(item, answer):
            self._need_bytes.append((item, answer))
        else:  # without a photo after a tag it was removed between the two
            self._conclude(item, CloudObservation.at(answer))

    def _needs_bytes(self, item: WorkItem, seen: CloudObservation) -> bool:
        return needs_bytes(seen, memory=item.memory, intent=item.intent, now=self._context.clock())

    def _conclude(self, item: WorkItem, observation: CloudObservation) -> None:
        """Decide about one person, then store the step, or the memory and the outcome."""
        context, target = self._context, self._target.name
        now, policy = context.clock(), context.policy.of(item.rule)
        case = assess(self._case(item, observation), observation, now)
        decision = decide_for(case, policy, now)
        close_settled_intent(context, target, item, settled=case.settled, memory=case.memory)
        self._not_shown += decision.writes and item.intent is not None and never_appeared(item.intent, observation)
        context.progress.step()
        is_conflict = decision.conflict or ADVICE[decision.reason].is_conflict
        detail = conflict_detail(context, item, observation) if is_conflict else ""
        is_elsewhere = context.writes and is_sent_elsewhere(decision, case)
        if is_elsewhere:
            detail = SENT_ELSEWHERE
        if context.options.overwrite and decision.reason is Reason.RESTORED:
            detail = RESTORED_STAYS
        decision = replace(decision, detail=detail)
        if decision.conflict and observation.to_keep and not (context.writes and decision.writes):
            self._keep_conflict_photo(item, observation)
        outdated = outdated_step(context, target, item, decision, observation)
        if decision.writes and outdated is None:
            self._add_step(item, decision, observation)
            return
        if not decision.writes:
            memory = memory_after(decision, case=case, look=observation, policy=policy)
            store_memory(context, target, item, memory=memory, asked=observation.asked)
        self._sent_elsewhere += is_elsewhere and outdated is None
        record_outcome(context, target, item, outdated or decision)

    def _keep_conflict_photo(self, item: WorkItem, observation: CloudObservation) -> None:
        if len(self._read.conflict_photos) + len(self._conflict_photos) >= MAX_CONFLICTS:
            return
        photos = keep_conflict_photo(self._context, item, observation.read_sha256, observation.to_keep)
        if photos is not None:
            self._conflict_photos[self._target.name, item.account.id] = photos

    def _add_step(self, item: WorkItem, decision: Decision, observation: CloudObservation) -> None:
        """Add a write to the plan; bytes that were fetched are backed up now, so that they are not fetched again."""
        backup = ""
        keeps = self._context.settings.backup_days > 0 and self._context.writes
        if decision.needs_backup and observation.to_keep and keeps:
            backup = self._context.backups.keep(observation.to_keep)
        add_step(self._context.db, self._target.name, Step(item, decision, observation.tag, backup))
        work.mark_due(self._context.db, self._target.name, item.person.id)

    def _case(self, item: WorkItem, observation: CloudObservation | None = None) -> Case:
        is_current = item.picture is not None and item.picture.recipe == self._context.recipe.key
        has_bytes = observation is not None and observation.read_print is not None
        return Case(
            person_id=item.person.id,
            source=SourceState.photo(item.source_sha256) if item.source_sha256 else SourceState.cleared(),
            memory=item.memory,
            intent=item.intent,
            picture=self._source_picture(item),
            sent_sha256=item.picture.sent_sha256 if item.picture and is_current else "",
            other_prints=self._other_prints(item) if has_bytes else (),
            is_guest=is_guest(item),
        )

    def _source_picture(self, item: WorkItem) -> Picture | None:
        """Describe the source's picture at the size in which the target would show it today."""
        picture = item.picture
        if picture is None:
            return None
        width, height = sent_size(picture.whole.width, picture.whole.height, self._context.recipe)
        sent = at_target_size(self._target, replace(picture.sent, width=width, height=height))
        return replace(picture, sent=sent)

    def _other_prints(self, item: WorkItem) -> tuple[Fingerprint, ...]:
        pictures = other_pictures(self._context.db, item.person.id, than=item.source_sha256)
        return tuple(shown for picture in pictures for shown in picture.prints)
