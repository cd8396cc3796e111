"""Read the people of the source, in full or what changed, store them as rows, and match them with the accounts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from connector.errors import ExitCode, Unreachable
from connector.ledger import group_members as roster
from connector.ledger import people as people_rows
from connector.ledger.cursors import (
    SyncCursor,
    drop_place,
    dropped_contexts,
    is_full_reading_due,
    load_any_place,
    save_full_reading,
    save_place,
)
from connector.ledger.guests import CONTEXT as GUESTS
from connector.ledger.matching import left_managed, match_people, rematched_unseen
from connector.ledger.memory import forget_dropped_attributes
from connector.ledger.runs import drop_left_outcomes
from connector.ledger.store import transaction
from connector.ledger.unread_values import drop_unasked as drop_unread
from connector.ledger.unread_values import empty, note_anchor_setting, note_unidentified, note_unread, unread_in
from connector.model import CloudManaged, PersonState
from connector.sources import Cookie, Emptied, Mode, Page, PersonGone, PersonRead, Reading, Source, Unidentified
from connector.sources.ldap_errors import SignInRefused
from connector.sync.brakes import believe_vanished
from connector.sync.context import RunContext
from connector.sync.outcomes import record_left_scope
from connector.sync.pictures import PreparedPage, choose_pictures, ready_pages, remember_picture
from connector.sync.read_accounts import ACCOUNTS
from connector.sync.unread_values import as_known, believe_emptied, tell_unidentified, tell_unread

log = logging.getLogger("connector.sync")

NONE_SYNCED = (
    "No account of the tenant is synced from a directory, so {count} people are left alone as cloud-managed. "
    "If another service than Entra Connect makes the accounts, set SYNC_CLOUD_MANAGED=follow."
)
FETCHED_PAGE, FETCHED_BYTES = 50, 8 * 1024 * 1024


def read_people(context: RunContext, source: Source) -> None:
    """Refresh the people, context by context; one that cannot be read leaves its people untouched."""
    contexts = source.contexts()
    failures = [
        failure for naming_context in contexts if (failure := _read_one(context, source, naming_context)) is not None
    ]
    if failures and len(failures) == len(contexts):
        raise failures[0]
    with transaction(context.db):
        _leave_dropped(context, contexts, shape=source.shape())
        drop_left_outcomes(context.db, context.run)
        believe_vanished(context)
        choose_pictures(context)
    tell_unread(context)


def _leave_dropped(context: RunContext, contexts: Sequence[str], *, shape: str) -> None:
    """Let the people of contexts that no setting names any more leave, and read everybody if one comes back."""
    for naming_context in dropped_contexts(context.db, (*contexts, ACCOUNTS, GUESTS), shape=shape):
        context.add_notice(f"{naming_context} is no longer among what is read; its people left the scope.")
        _leave_unseen(context, naming_context, are_cleared=False)
        drop_place(context.db, naming_context)


def drop_departed(context: RunContext, source: Source) -> None:
    """Put out of scope who lost the account, or got another, and is not there any more.

    DirSync tells of a deletion only to who may see tombstones. Whoever is still there counts for the match brake.
    """
    left = sum(
        _leave_absent(context, source, naming_context)
        for naming_context in source.contexts()
        if naming_context not in context.unread
    )
    if left:
        match(context)


def _leave_absent(context: RunContext, source: Source, naming_context: str) -> int:
    """Look up those of one context, in few searches; returns how many left."""
    left = 0
    try:
        with transaction(context.db):
            for person_ids in rematched_unseen(context.db, naming_context, run=context.run):
                absent = set(person_ids).difference(source.present(naming_context, person_ids))
                left += len(absent)
                for person_id in sorted(absent):
                    _save_gone(context, PersonGone(person_id, PersonState.OUT_OF_SCOPE), naming_context=naming_context)
    except Unreachable as failure:
        _skip_context(context, naming_context, failure)
        return 0
    return left


def _read_one(context: RunContext, source: Source, naming_context: str) -> Unreachable | None:
    try:
        context.stop_when_out_of_time()
        # with the cookie, so that a stop right after it leaves nobody without a choice
        with transaction(context.db):
            _read_context(context, source, naming_context)
            choose_pictures(context)
    except Unreachable as failure:
        if isinstance(failure, SignInRefused):
            raise
        _skip_context(context, naming_context, failure)
        return failure
    return None


def _skip_context(context: RunContext, naming_context: str, failure: Unreachable) -> None:
    """Leave a context's people as they were, and let the others go on."""
    log.warning("context %s was not read: %s", naming_context, failure)
    context.unread.add(naming_context)
    context.codes.add(failure.exit_code)
    context.add_notice(f"The people of {naming_context} are left as they were: {failure}")


def _read_context(context: RunContext, source: Source, naming_context: str) -> None:
    shape = source.shape()
    reads_all = _reads_all(context, naming_context)
    place, its_shape = load_any_place(context.db, naming_context) or (None, "")
    if place is not None and its_shape != shape and not reads_all:
        context.add_notice(
            f"The settings that shape the reading of {naming_context} are others than last time; everybody was read."
        )
    in_full = reads_all or its_shape != shape
    context.progress.phase("people")
    cookie = Cookie(place.content_bytes, place.server) if place else None
    reading = source.read(naming_context, cookie, in_full=in_full)
    context.add_notice(reading.notice)
    context.modes.add(reading.mode)
    _save_pages(context, reading, naming_context=naming_context, shape=shape)
    if reading.mode is Mode.CHANGES:
        _compare_roster(context, source, naming_context)
        _read_unread(context, source, naming_context)
    believe_emptied(context, source, naming_context)
    if in_full:
        _drop_unasked(context, naming_context)
        people_rows.mark_context_changed(context.db, naming_context, run=context.run)
    note_anchor_setting(context.db, naming_context, context.settings.ldap_anchor)


def _save_pages(context: RunContext, reading: Reading, *, naming_context: str, shape: str) -> None:
    """Store a reading page by page; the last one has the cookie, and tells who was not met."""
    nameless: list[str] = []
    for ready in ready_pages(context, reading.pages):
        context.stop_when_out_of_time()
        save_page(context, ready, naming_context=naming_context, mode=reading.mode)
        nameless += [event.name for event in ready.page.events if isinstance(event, Unidentified)]
        if ready.page.cookie is not None:
            end = SyncCursor(ready.page.cookie, reading.server)
            save_place(context.db, naming_context, end, shape=shape, run=context.run)
        if ready.page.complete and reading.mode is Mode.FULL:
            _leave_unseen(context, naming_context, are_cleared=reading.absent_is_cleared)
            save_full_reading(context.db, naming_context, now=context.clock())
    if nameless:
        context.codes.add(ExitCode.SOME_FAILED)
        tell_unidentified(context, nameless)


def _read_unread(context: RunContext, source: Source, naming_context: str) -> None:
    """Look again at those of whom something could not be read: a right that is given back is no change of theirs."""
    for person_ids in unread_in(context.db, naming_context, unmet_in=context.run):
        save_events(context, source.fetch(person_ids), naming_context=naming_context)


def _reads_all(context: RunContext, naming_context: str) -> bool:
    """Return True if a context is read in full: with `--full`, or SYNC_REREAD_DAYS after the last full reading."""
    days = context.settings.sync_reread_days
    return context.options.full or is_full_reading_due(context.db, naming_context, days=days, now=context.clock())


def _drop_unasked(context: RunContext, naming_context: str) -> None:
    """Forget attributes that LDAP_PHOTO_ATTRIBUTES no longer names; nobody loses a cloud photo by that."""
    left = forget_dropped_attributes(context.db, naming_context, attributes=context.trust)
    people_rows.drop_other_attributes(context.db, naming_context, attributes=context.trust)
    drop_unread(context.db, naming_context, attributes=context.trust)
    if left:
        context.add_notice(
            f"{left} people of {naming_context} have a photo only where nobody looks now; their cloud photos stay."
        )


def save_page(context: RunContext, ready: PreparedPage, *, naming_context: str, mode: Mode) -> None:
    """Store a page's people, photos and pictures."""
    for source_sha256, made in ready.made.items():
        remember_picture(context, source_sha256, made)
    for index, event in enumerate(ready.page.events):
        if isinstance(event, PersonRead):
            known = naming_context or people_rows.context_of(context.db, event.person.id)
            _save_read(context, event, ready.shas[index], naming_context=known, mode=mode)
        elif isinstance(event, Unidentified):
            note_unidentified(context.db, naming_context, event.name, run=context.run)
        elif people_rows.context_of(context.db, event.person_id) == naming_context:
            _save_told(context, event)
    context.progress.step(len(ready.page.events))


def _save_gone(context: RunContext, event: PersonGone, *, naming_context: str) -> None:
    """Note that somebody left a context, unless another one has them by now: they moved to another domain."""
    if people_rows.context_of(context.db, event.person_id) == naming_context:
        _save_told(context, event)


def _save_told(context: RunContext, event: PersonGone | Emptied) -> None:
    """Note what was told of somebody of whom no entry was read: that they left, and what was emptied."""
    if isinstance(event, Emptied):
        empty(context.db, event.person_id, event.attributes, run=context.run)
        return
    if people_rows.mark_gone(context.db, event.person_id, event.state, run=context.run):
        record_left_scope(context, event.person_id, event.state)
    if event.cleared:
        empty(context.db, event.person_id, event.cleared, run=context.run)


def _save_read(
    context: RunContext, event: PersonRead, found: Sequence[tuple[str, str]], *, naming_context: str, mode: Mode
) -> None:
    """Store one person; what is missing without having been cleared is merely unread, and its last value stands."""
    seen = {attribute for attribute, _ in found}
    person, missing = as_known(context, event, naming_context=naming_context, seen=seen)
    people_rows.save_person(context.db, person, context=naming_context, run=context.run)
    people_rows.save_photos(context.db, person.id, found, keep=missing, run=context.run)
    is_counted = mode is Mode.FULL and not context.source_traits.absence_is_known
    note_unread(context.db, person.id, missing, run=context.run, is_counted=is_counted, reason=event.unread_reason)


def _leave_unseen(context: RunContext, naming_context: str, *, are_cleared: bool) -> None:
    """Put out of scope whom a complete reading did not show; or clear the photo, where that is what it means."""
    for person_id in people_rows.unseen(context.db, naming_context, run=context.run):
        if are_cleared and people_rows.clear_photos(context.db, person_id, run=context.run):
            continue
        _save_gone(context, PersonGone(person_id, PersonState.OUT_OF_SCOPE), naming_context=naming_context)


def _compare_roster(context: RunContext, source: Source, naming_context: str) -> None:
    """Fetch who is new in the group, and put out of scope who left it: a membership is no change of the person."""
    members = source.roster(naming_context)
    if members is None:
        return
    roster.note_roster(context.db, members)
    for person_id in chain.from_iterable(roster.left(context.db, naming_context)):
        _save_gone(context, PersonGone(person_id, PersonState.OUT_OF_SCOPE), naming_context=naming_context)
    for person_ids in roster.joined(context.db):
        save_events(context, source.fetch(person_ids), naming_context=naming_context)


def save_events(context: RunContext, events: Iterable[PersonRead], *, naming_context: str = "") -> None:
    """Store people who were read by name or by id, each in this context, or in the one that is known of them."""
    for ready in ready_pages(context, _paged(events)):
        save_page(context, ready, naming_context=naming_context, mode=Mode.CHANGES)


def _paged(events: Iterable[PersonRead]) -> Iterator[Page]:
    """Cut into pages of so many people, or fewer with large photos."""
    page: list[PersonRead] = []
    page_bytes = 0
    for event in events:
        page.append(event)
        page_bytes += sum(len(photo.content_bytes) for photo in event.photos)
        if len(page) == FETCHED_PAGE or page_bytes >= FETCHED_BYTES:
            yield Page(page)
            page, page_bytes = [], 0
    if page:
        yield Page(page)


def match(context: RunContext) -> None:
    """Find everybody's account, by the rules of the settings."""
    traits = context.source_traits
    with transaction(context.db):
        match_people(
            context.db,
            traits.match_rules,
            from_folder=traits.matches_any_account,
            check_sid=context.settings.match_check_sid,
            leave_managed=context.settings.sync_cloud_managed is CloudManaged.LEAVE,
        )


def tell_none_synced(context: RunContext) -> None:
    """Name the setting where everybody found is left alone because no account of the tenant is synced."""
    count, _, is_any_synced = left_managed(context.db)
    if count and not is_any_synced and not context.options.only:
        context.add_notice(NONE_SYNCED.format(count=count))
