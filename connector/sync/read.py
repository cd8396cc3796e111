"""Read the people of the source, in full or what changed, store them as rows, and match them with the accounts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from connector.config import SourceKind
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
from connector.model import CloudManaged, MatchRule, PersonState
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


def read_people(night: RunContext, source: Source) -> None:
    """Refresh the people, context by context; one that cannot be read leaves its people untouched."""
    contexts = source.contexts()
    failures = [failure for context in contexts if (failure := _read_one(night, source, context)) is not None]
    if failures and len(failures) == len(contexts):
        raise failures[0]
    with transaction(night.db):
        _leave_dropped(night, contexts, shape=source.shape())
        drop_left_outcomes(night.db, night.run)
        believe_vanished(night)
        choose_pictures(night)
    tell_unread(night)


def _leave_dropped(night: RunContext, contexts: Sequence[str], *, shape: str) -> None:
    """Let the people of contexts that no setting names any more leave, and read everybody if one comes back."""
    for context in dropped_contexts(night.db, (*contexts, ACCOUNTS, GUESTS), shape=shape):
        night.add_notice(f"{context} is no longer among what is read; its people left the scope.")
        _leave_unseen(night, context, are_cleared=False)
        drop_place(night.db, context)


def drop_departed(night: RunContext, source: Source) -> None:
    """Put out of scope who lost the account, or got another, and is not there any more.

    DirSync tells of a deletion only to who may see tombstones. Whoever is still there counts for the match brake.
    """
    left = sum(_leave_absent(night, source, context) for context in source.contexts() if context not in night.unread)
    if left:
        match(night)


def _leave_absent(night: RunContext, source: Source, context: str) -> int:
    """Look up those of one context, in few searches; returns how many left."""
    left = 0
    try:
        with transaction(night.db):
            for person_ids in rematched_unseen(night.db, context, run=night.run):
                absent = set(person_ids).difference(source.present(context, person_ids))
                left += len(absent)
                for person_id in sorted(absent):
                    _save_gone(night, PersonGone(person_id, PersonState.OUT_OF_SCOPE), context=context)
    except Unreachable as failure:
        _skip_context(night, context, failure)
        return 0
    return left


def _read_one(night: RunContext, source: Source, context: str) -> Unreachable | None:
    try:
        night.stop_when_out_of_time()
        # with the cookie, so that a stop right after it leaves nobody without a choice
        with transaction(night.db):
            _read_context(night, source, context)
            choose_pictures(night)
    except Unreachable as failure:
        if isinstance(failure, SignInRefused):
            raise
        _skip_context(night, context, failure)
        return failure
    return None


def _skip_context(night: RunContext, context: str, failure: Unreachable) -> None:
    """Leave a context's people as they were, and let the others go on."""
    log.warning("context %s was not read: %s", context, failure)
    night.unread.add(context)
    night.codes.add(failure.exit_code)
    night.add_notice(f"The people of {context} are left as they were: {failure}")


def _read_context(night: RunContext, source: Source, context: str) -> None:
    shape = source.shape()
    reads_all = _reads_all(night, context)
    place, its_shape = load_any_place(night.db, context) or (None, "")
    if place is not None and its_shape != shape and not reads_all:
        night.add_notice(
            f"The settings that shape the reading of {context} are others than last time; everybody was read."
        )
    in_full = reads_all or its_shape != shape
    night.progress.phase("people")
    cookie = Cookie(place.content_bytes, place.server) if place else None
    reading = source.read(context, cookie, in_full=in_full)
    night.add_notice(reading.notice)
    night.modes.add(reading.mode)
    _save_pages(night, reading, context=context, shape=shape)
    if reading.mode is Mode.CHANGES:
        _compare_roster(night, source, context)
        _read_unread(night, source, context)
    believe_emptied(night, source, context)
    if in_full:
        _drop_unasked(night, context)
        people_rows.mark_context_changed(night.db, context, run=night.run)
    note_anchor_setting(night.db, context, night.settings.ldap_anchor)


def _save_pages(night: RunContext, reading: Reading, *, context: str, shape: str) -> None:
    """Store a reading page by page; the last one has the cookie, and tells who was not met."""
    nameless: list[str] = []
    for ready in ready_pages(night, reading.pages):
        night.stop_when_out_of_time()
        save_page(night, ready, context=context, mode=reading.mode)
        nameless += [event.name for event in ready.page.events if isinstance(event, Unidentified)]
        if ready.page.cookie is not None:
            end = SyncCursor(ready.page.cookie, reading.server)
            save_place(night.db, context, end, shape=shape, run=night.run)
        if ready.page.complete and reading.mode is Mode.FULL:
            _leave_unseen(night, context, are_cleared=reading.absent_is_cleared)
            save_full_reading(night.db, context, now=night.clock())
    if nameless:
        night.codes.add(ExitCode.SOME_FAILED)
        tell_unidentified(night, nameless)


def _read_unread(night: RunContext, source: Source, context: str) -> None:
    """Look again at those of whom something could not be read: a right that is given back is no change of theirs."""
    for person_ids in unread_in(night.db, context, unmet_in=night.run):
        save_events(night, source.fetch(person_ids), context=context)


def _reads_all(night: RunContext, context: str) -> bool:
    """Return True if a context is read in full: with `--full`, or SYNC_REREAD_DAYS after the last full reading."""
    days = night.settings.sync_reread_days
    return night.options.full or is_full_reading_due(night.db, context, days=days, now=night.clock())


def _drop_unasked(night: RunContext, context: str) -> None:
    """Forget attributes that LDAP_PHOTO_ATTRIBUTES no longer names; nobody loses a cloud photo by that."""
    left = forget_dropped_attributes(night.db, context, attributes=night.trust)
    people_rows.drop_other_attributes(night.db, context, attributes=night.trust)
    drop_unread(night.db, context, attributes=night.trust)
    if left:
        night.add_notice(
            f"{left} people of {context} have a photo only where nobody looks now; their cloud photos stay."
        )


def save_page(night: RunContext, ready: PreparedPage, *, context: str, mode: Mode) -> None:
    """Store a page's people, photos and pictures."""
    for source_sha256, made in ready.made.items():
        remember_picture(night, source_sha256, made)
    for index, event in enumerate(ready.page.events):
        if isinstance(event, PersonRead):
            known = context or people_rows.context_of(night.db, event.person.id)
            _save_read(night, event, ready.shas[index], context=known, mode=mode)
        elif isinstance(event, Unidentified):
            note_unidentified(night.db, context, event.name, run=night.run)
        elif people_rows.context_of(night.db, event.person_id) == context:
            _save_told(night, event)
    night.progress.step(len(ready.page.events))


def _save_gone(night: RunContext, event: PersonGone, *, context: str) -> None:
    """Note that somebody left a context, unless another one has them by now: they moved to another domain."""
    if people_rows.context_of(night.db, event.person_id) == context:
        _save_told(night, event)


def _save_told(night: RunContext, event: PersonGone | Emptied) -> None:
    """Note what was told of somebody of whom no entry was read: that they left, and what was emptied."""
    if isinstance(event, Emptied):
        empty(night.db, event.person_id, event.attributes, run=night.run)
        return
    if people_rows.mark_gone(night.db, event.person_id, event.state, run=night.run):
        record_left_scope(night, event.person_id, event.state)
    if event.cleared:
        empty(night.db, event.person_id, event.cleared, run=night.run)


def _save_read(
    night: RunContext, event: PersonRead, found: Sequence[tuple[str, str]], *, context: str, mode: Mode
) -> None:
    """Store one person; what is missing without having been cleared is merely unread, and its last value stands."""
    seen = {attribute for attribute, _ in found}
    person, missing = as_known(night, event, context=context, seen=seen)
    people_rows.save_person(night.db, person, context=context, run=night.run)
    people_rows.save_photos(night.db, person.id, found, keep=missing, run=night.run)
    is_counted = mode is Mode.FULL and night.settings.source is not SourceKind.FOLDER
    note_unread(night.db, person.id, missing, run=night.run, is_counted=is_counted, reason=event.unread_reason)


def _leave_unseen(night: RunContext, context: str, *, are_cleared: bool) -> None:
    """Put out of scope whom a complete reading did not show; or clear the photo, where that is what it means."""
    for person_id in people_rows.unseen(night.db, context, run=night.run):
        if are_cleared and people_rows.clear_photos(night.db, person_id, run=night.run):
            continue
        _save_gone(night, PersonGone(person_id, PersonState.OUT_OF_SCOPE), context=context)


def _compare_roster(night: RunContext, source: Source, context: str) -> None:
    """Fetch who is new in the group, and put out of scope who left it: a membership is no change of the person."""
    members = source.roster(context)
    if members is None:
        return
    roster.note_roster(night.db, members)
    for person_id in chain.from_iterable(roster.left(night.db, context)):
        _save_gone(night, PersonGone(person_id, PersonState.OUT_OF_SCOPE), context=context)
    for person_ids in roster.joined(night.db):
        save_events(night, source.fetch(person_ids), context=context)


def save_events(night: RunContext, events: Iterable[PersonRead], *, context: str = "") -> None:
    """Store people who were read by name or by id, each in this context, or in the one that is known of them."""
    for ready in ready_pages(night, _paged(events)):
        save_page(night, ready, context=context, mode=Mode.CHANGES)


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


def match(night: RunContext) -> None:
    """Find everybody's account, by the rules of the settings."""
    from_folder = night.settings.source is SourceKind.FOLDER
    rules = (night.settings.folder_key,) if from_folder else (MatchRule.ANCHOR, *night.settings.match_fallback)
    with transaction(night.db):
        match_people(
            night.db,
            rules,
            from_folder=from_folder,
            check_sid=night.settings.match_check_sid,
            leave_managed=night.settings.sync_cloud_managed is CloudManaged.LEAVE,
        )


def tell_none_synced(night: RunContext) -> None:
    """Name the setting where everybody found is left alone because no account of the tenant is synced."""
    count, _, is_any_synced = left_managed(night.db)
    if count and not is_any_synced and not night.options.only:
        night.add_notice(NONE_SYNCED.format(count=count))
