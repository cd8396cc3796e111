"""Read the people of the source, in full or what changed, store them as rows, and match them with the accounts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from connector.config import SourceKind
from connector.errors import Unreachable
from connector.ledger import people as people_rows
from connector.ledger import roster
from connector.ledger.guests import CONTEXT as GUESTS
from connector.ledger.matching import match_people, rematched_unseen
from connector.ledger.memory import disown_unasked
from connector.ledger.places import (
    Place,
    drop_place,
    dropped_contexts,
    has_place,
    is_full_reading_due,
    load_place,
    save_full_reading,
    save_place,
)
from connector.ledger.runs import drop_returned
from connector.ledger.store import transaction
from connector.model import MatchRule, PersonState
from connector.sources import Cookie, Mode, Page, PersonGone, PersonRead, Source
from connector.sources.trouble import Refused
from connector.sync.night import Night
from connector.sync.pictures import ReadyPage, choose_pictures, ready_pages, remember_picture
from connector.sync.read_accounts import ACCOUNTS
from connector.sync.tell import tell_left

log = logging.getLogger("connector.sync")

FETCHED_PAGE = 50


def read_people(night: Night, source: Source) -> None:
    """Refresh the people, context by context; one that cannot be read leaves its people untouched."""
    contexts = source.contexts()
    failures = [failure for context in contexts if (failure := _read_one(night, source, context)) is not None]
    if failures and len(failures) == len(contexts):
        raise failures[0]
    with transaction(night.db):
        _leave_dropped(night, contexts, shape=source.shape())
        drop_returned(night.db, night.run)


def _leave_dropped(night: Night, contexts: Sequence[str], *, shape: str) -> None:
    """Let the people of contexts that no setting names any more leave, and read everybody if one comes back."""
    for context in dropped_contexts(night.db, (*contexts, ACCOUNTS, GUESTS), shape=shape):
        night.tell(f"{context} is no longer among what is read; its people left the scope.")
        _leave_unseen(night, context, are_cleared=False)
        drop_place(night.db, context)


def leave_departed(night: Night, source: Source) -> None:
    """Put out of scope who lost the account, or got another, and is not there any more.

    DirSync tells of a deletion only to who may see tombstones. Whoever is still there counts for the match brake.
    """
    left = sum(_leave_absent(night, source, context) for context in source.contexts() if context not in night.unread)
    if left:
        match(night)


def _leave_absent(night: Night, source: Source, context: str) -> int:
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
        _leave_context(night, context, failure)
        return 0
    return left


def _read_one(night: Night, source: Source, context: str) -> Unreachable | None:
    try:
        night.stop_when_out_of_time()
        # with the cookie, so that a stop right after it leaves nobody without a choice
        with transaction(night.db):
            _read_context(night, source, context)
            choose_pictures(night)
    except Unreachable as failure:
        if isinstance(failure, Refused):
            raise
        _leave_context(night, context, failure)
        return failure
    return None


def _leave_context(night: Night, context: str, failure: Unreachable) -> None:
    """Leave a context's people as they were, and let the others go on."""
    log.warning("context %s was not read: %s", context, failure)
    night.unread.add(context)
    night.codes.add(failure.exit_code)
    night.tell(f"The people of {context} are left as they were: {failure}")


def _read_context(night: Night, source: Source, context: str) -> None:
    shape = source.shape()
    reads_all = _reads_all(night, context)
    place = None if reads_all else load_place(night.db, context, shape=shape)
    if place is None and not reads_all and has_place(night.db, context):
        night.tell(f"The settings that shape the reading of {context} are others than last time; everybody was read.")
    night.progress.phase("people")
    reading = source.read(context, Cookie(place.content_bytes, place.server) if place else None)
    night.tell(reading.notice)
    night.modes.add(reading.mode)
    for ready in ready_pages(night, reading.pages):
        night.stop_when_out_of_time()
        save_page(night, ready, context=context, mode=reading.mode)
        if ready.page.cookie is not None:
            end = Place(ready.page.cookie, reading.server)
            save_place(night.db, context, end, shape=shape, run=night.run)
        if ready.page.complete and reading.mode is Mode.FULL:
            _leave_unseen(night, context, are_cleared=reading.absent_is_cleared)
            save_full_reading(night.db, context, now=night.clock())
    if reading.mode is Mode.CHANGES:
        _compare_roster(night, source, context)
    if place is None:
        _drop_unasked(night, context)
        people_rows.choose_anew(night.db, context, run=night.run)


def _reads_all(night: Night, context: str) -> bool:
    """Return True if a context is read in full: with `--full`, or SYNC_REREAD_DAYS after the last full reading."""
    days = night.settings.sync_reread_days
    return night.options.full or is_full_reading_due(night.db, context, days=days, now=night.clock())


def _drop_unasked(night: Night, context: str) -> None:
    """Forget attributes that LDAP_PHOTO_ATTRIBUTES no longer names; nobody loses a cloud photo by that."""
    left = disown_unasked(night.db, context, attributes=night.trust)
    people_rows.drop_other_attributes(night.db, context, attributes=night.trust)
    if left:
        night.tell(f"{left} people of {context} have a photo only where nobody looks now; their cloud photos stay.")


def save_page(night: Night, ready: ReadyPage, *, context: str, mode: Mode) -> None:
    """Store a page's people, photos and pictures."""
    for source_sha256, made in ready.made.items():
        remember_picture(night, source_sha256, made)
    for index, event in enumerate(ready.page.events):
        if isinstance(event, PersonGone):
            _save_gone(night, event, context=context)
        else:
            known = context or people_rows.context_of(night.db, event.person.id)
            _save_read(night, event, ready.shas[index], context=known, mode=mode)
    night.progress.step(len(ready.page.events))


def _save_gone(night: Night, event: PersonGone, *, context: str) -> None:
    """Note that somebody left a context, unless another one has them by now: they moved to another domain."""
    if people_rows.context_of(night.db, event.person_id) != context:
        return
    if people_rows.mark_gone(night.db, event.person_id, event.state, run=night.run):
        tell_left(night, event.person_id, event.state)
    people_rows.drop_values(night.db, event.person_id, attributes=event.cleared)


def _save_read(night: Night, event: PersonRead, found: Sequence[tuple[str, str]], *, context: str, mode: Mode) -> None:
    """Store one person. Among changes, a value that is missing without having been cleared is merely unread."""
    person = event.person
    people_rows.save_person(night.db, person, context=context, run=night.run)
    missing = set(event.unread)
    if mode is Mode.CHANGES:
        seen = {attribute for attribute, _ in found}
        missing |= people_rows.known_attributes(night.db, person.id) - seen - event.cleared
    people_rows.save_photos(night.db, person.id, found, keep=missing, run=night.run)
    if missing:
        people_rows.set_unread(night.db, person.id, run=night.run)
    else:
        people_rows.clear_unread(night.db, person.id, run=night.run)


def _leave_unseen(night: Night, context: str, *, are_cleared: bool) -> None:
    """Put out of scope whom a complete reading did not show; or clear the photo, where that is what it means."""
    for person_id in people_rows.unseen(night.db, context, run=night.run):
        if are_cleared and people_rows.clear_photos(night.db, person_id, run=night.run):
            continue
        _save_gone(night, PersonGone(person_id, PersonState.OUT_OF_SCOPE), context=context)


def _compare_roster(night: Night, source: Source, context: str) -> None:
    """Fetch who is new in the group, and put out of scope who left it: a membership is no change of the person."""
    members = source.roster(context)
    if members is None:
        return
    roster.note_roster(night.db, members)
    for person_id in chain.from_iterable(roster.left(night.db, context)):
        _save_gone(night, PersonGone(person_id, PersonState.OUT_OF_SCOPE), context=context)
    for person_ids in roster.joined(night.db):
        save_events(night, source.fetch(person_ids), context=context)


def save_events(night: Night, events: Iterable[PersonRead], *, context: str = "") -> None:
    """Store people who were read by name or by id, each in this context, or in the one that is known of them."""
    waiting = iter(events)
    pages = (Page(some) for some in iter(lambda: list(islice(waiting, FETCHED_PAGE)), []))
    for ready in ready_pages(night, pages):
        save_page(night, ready, context=context, mode=Mode.CHANGES)


def match(night: Night) -> None:
    """Find everybody's account, by the rules of the settings."""
    from_folder = night.settings.source is SourceKind.FOLDER
    rules = (night.settings.folder_key,) if from_folder else (MatchRule.ANCHOR, *night.settings.match_fallback)
    with transaction(night.db):
        match_people(night.db, rules, from_folder=from_folder, check_sid=night.settings.match_check_sid)
