"""Read the people of the source, in full or what changed, store them as rows, and match them with the accounts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from connector.errors import Unreachable
from connector.ledger import memberships as roster
from connector.ledger import people as people_rows
from connector.ledger.cursors import (
    SyncCursor,
    drop_cursor,
    dropped_contexts,
    is_full_reading_due,
    load_any_cursor,
    save_cursor,
    save_full_reading,
)
from connector.ledger.matching import claimed_by_others, left_managed, match_people, rematched_unseen
from connector.ledger.memory import forget_dropped_attributes
from connector.ledger.people import GUESTS
from connector.ledger.runs import drop_left_outcomes
from connector.ledger.store import transaction
from connector.ledger.unread_values import drop_unasked as drop_unread
from connector.ledger.unread_values import empty, note_anchor_setting, note_unidentified, note_unread, unread_in
from connector.model import CloudManaged, PersonState
from connector.sources import (
    Cookie,
    Emptied,
    FindsMovedBase,
    Mode,
    Page,
    PersonGone,
    PersonRead,
    Reading,
    Source,
    Unidentified,
)
from connector.sources.ldap_errors import SignInRefused
from connector.sync.brakes import believe_vanished
from connector.sync.context import RunContext
from connector.sync.memberships import read_memberships
from connector.sync.outcomes import record_left_scope
from connector.sync.pictures import choose_pictures, prepared_pages
from connector.sync.read_accounts import ACCOUNTS
from connector.sync.summary import Summaries, Summary, notice
from connector.sync.unread_values import (
    as_known,
    believe_emptied,
    keep_untyped,
    notice_unidentified,
    notice_unread,
    remember_type,
)

log = logging.getLogger("connector.sync")

NONE_SYNCED = (
    "No account of the tenant is synced from a directory, so {count} people are left alone as cloud-managed. "
    "If another service than Entra Connect makes the accounts, set SYNC_CLOUD_MANAGED=follow."
)
FETCHED_PAGE, FETCHED_BYTES = 50, 8 * 1024 * 1024


def read_people(context: RunContext, source: Source) -> Summaries[None]:
    """Read the people, one naming context after another; the people of a context that fails stay as they are.

    Raises Unreachable if no context could be read.
    """
    naming_contexts, is_any_read = source.contexts(), False
    for number, naming_context in enumerate(naming_contexts, start=1):
        is_last_hope = number == len(naming_contexts) and not is_any_read
        failure = yield from _read_one(context, source, naming_context, is_last_hope=is_last_hope)
        if failure is not None and is_last_hope:
            raise failure
        is_any_read = is_any_read or failure is None


def finish_reading(context: RunContext, source: Source, read: Summary) -> Summaries[None]:
    """Update what depends on all naming contexts: people of dropped ones, lost attributes, chosen pictures."""
    with transaction(context.db):
        yield from _drop_contexts(context, source.contexts(), fingerprint=source.shape())
        drop_left_outcomes(context.db, context.run)
        believe_vanished(context, read)
        choose_pictures(context)
    yield from notice_unread(context)


def _drop_contexts(context: RunContext, naming_contexts: Sequence[str], *, fingerprint: str) -> Summaries[None]:
    """Drop the cookies of contexts that no setting names any more, and mark their people out of scope."""
    for dropped in dropped_contexts(context.db, (*naming_contexts, ACCOUNTS, GUESTS), shape=fingerprint):
        yield notice(f"{dropped} is no longer among what is read; its people left the scope.")
        _mark_unseen(context, dropped, are_cleared=False)
        drop_cursor(context.db, dropped)


def drop_departed(context: RunContext, source: Source, read: Summary) -> Summaries[None]:
    """Mark people out of scope whose account vanished or changed and who are no longer in the directory.

    DirSync reports deletions only to accounts that may see tombstones. People who are still there count for the
    brake on matches.
    """
    left = 0
    for naming_context in source.contexts():
        if naming_context not in read.unread_contexts:
            left += yield from _mark_absent(context, source, naming_context)
    if left:
        match(context)


def _mark_absent(context: RunContext, source: Source, naming_context: str) -> Summaries[int]:
    """Search the people of one context by id, mark the absent ones out of scope, and return their number."""
    left = 0
    try:
        with transaction(context.db):
            for person_ids in rematched_unseen(context.db, naming_context, run=context.run):
                absent = set(person_ids).difference(source.present(naming_context, person_ids))
                left += len(absent)
                deleted = _deleted_among(context, source, naming_context, absent)
                for person_id in sorted(absent):
                    state = PersonState.DELETED if person_id in deleted else PersonState.OUT_OF_SCOPE
                    _save_gone(context, PersonGone(person_id, state), naming_context=naming_context)
    except Unreachable as failure:
        yield _skipped(naming_context, failure)
        return 0
    return left


def _deleted_among(context: RunContext, source: Source, naming_context: str, person_ids: set[str]) -> set[str]:
    """Return who was deleted among those whose anchor somebody else has now; a deleted person claims no anchor."""
    claimed = claimed_by_others(context.db, person_ids)
    return set(claimed).difference(source.existing(naming_context, claimed)) if claimed else set()


def _read_one(
    context: RunContext, source: Source, naming_context: str, *, is_last_hope: bool
) -> Summaries[Unreachable | None]:
    """Read one naming context; return the error if it cannot be read. Raises SignInRefused.

    `is_last_hope`: no other was read, so the error ends the run, whose message is the place of the cause.
    """
    try:
        context.stop_when_out_of_time()
        # pictures are chosen in the transaction of the cookie, so that a stop after it loses no choice
        with transaction(context.db):
            yield from _read_context(context, source, naming_context)
            choose_pictures(context)
    except Unreachable as failure:
        if isinstance(failure, SignInRefused):
            raise
        explained = _explained(context, source, naming_context, failure)
        yield _skipped(naming_context, explained, has_cause=not is_last_hope)
        return explained
    return None


def _explained(context: RunContext, source: Source, naming_context: str, failure: Unreachable) -> Unreachable:
    """Return the failure, with the new place of a base that was moved where the source finds its people."""
    if not isinstance(source, FindsMovedBase):
        return failure
    return source.explain_missing(naming_context, failure, people_rows.people_below(context.db, naming_context))


def _skipped(naming_context: str, failure: Unreachable, *, has_cause: bool = True) -> Summary:
    """Return the summary of a context that could not be read; its people stay as they are."""
    level = logging.WARNING if has_cause else logging.INFO  # the message of the run has the cause
    log.log(level, "context %s was not read: %s", naming_context, failure)
    left = f"No changes were made for the users of {naming_context}"
    return Summary(
        notices=(f"{left}: {failure}" if has_cause else f"{left}.",),
        exit_codes=frozenset({failure.exit_code}),
        unread_contexts=frozenset({naming_context}),
    )


def _read_context(context: RunContext, source: Source, naming_context: str) -> Summaries[None]:
    fingerprint = source.shape()
    reads_all = _reads_all(context, naming_context)
    cursor, stored_fingerprint = load_any_cursor(context.db, naming_context) or (None, "")
    is_other = cursor is not None and stored_fingerprint != fingerprint and not reads_all
    in_full = reads_all or stored_fingerprint != fingerprint
    context.progress.phase("people")
    cookie = Cookie(cursor.content_bytes, cursor.server) if cursor else None
    reading = source.read(naming_context, cookie, in_full=in_full)
    yield Summary(read_modes=frozenset({reading.mode}))
    nameless = _save_pages(context, reading, naming_context=naming_context, fingerprint=fingerprint)
    # only now: a reading that failed must not say that everybody was read
    yield Summary(notices=(reading.notice,))
    if is_other:
        yield notice(f"Scope settings for {naming_context} changed; a full read was performed.")
    if reading.mode is Mode.CHANGES:
        nameless += _compare_roster(context, source, naming_context)
        _read_unread(context, source, naming_context)
    yield from notice_unidentified(list(dict.fromkeys(nameless)))
    keep_untyped(context, source, naming_context)
    believe_emptied(context, source, naming_context)
    yield from read_memberships(context, source, naming_context)
    if in_full:
        yield from _drop_unasked(context, naming_context)
        people_rows.mark_context_changed(context.db, naming_context, run=context.run)
    note_anchor_setting(context.db, naming_context, context.settings.ldap_anchor)


def _save_pages(context: RunContext, reading: Reading, *, naming_context: str, fingerprint: str) -> list[str]:
    """Store a reading page by page, and return the names of entries without a readable id.

    The last page has the cookie, and after it the people not seen are marked.
    """
    nameless: list[str] = []
    for page in prepared_pages(context, reading.pages):
        context.stop_when_out_of_time()
        save_page(context, page, naming_context=naming_context, mode=reading.mode)
        nameless += [event.name for event in page.events if isinstance(event, Unidentified)]
        if page.cookie is not None:
            end = SyncCursor(page.cookie, reading.server)
            save_cursor(context.db, naming_context, end, shape=fingerprint, run=context.run)
        if page.complete and reading.mode is Mode.FULL:
            _mark_unseen(context, naming_context, are_cleared=reading.absent_is_cleared)
            save_full_reading(context.db, naming_context, now=context.clock())
    return nameless


def _read_unread(context: RunContext, source: Source, naming_context: str) -> None:
    """Read people with unread values again: a permission that is granted again is no change of the person."""
    for person_ids in unread_in(context.db, naming_context, unmet_in=context.run):
        save_events(context, source.fetch(person_ids), naming_context=naming_context)


def _reads_all(context: RunContext, naming_context: str) -> bool:
    """Return True if a context is read in full: with `--full`, or SYNC_REREAD_DAYS after the last full reading."""
    days = context.settings.sync_reread_days
    return context.options.full or is_full_reading_due(context.db, naming_context, days=days, now=context.clock())


def _drop_unasked(context: RunContext, naming_context: str) -> Summaries[None]:
    """Forget attributes that LDAP_PHOTO_ATTRIBUTES no longer names; the cloud photos stay."""
    left = forget_dropped_attributes(context.db, naming_context, attributes=context.attribute_order)
    people_rows.drop_other_attributes(context.db, naming_context, attributes=context.attribute_order)
    drop_unread(context.db, naming_context, attributes=context.attribute_order)
    if left:
        yield notice(
            f"{left} people of {naming_context} have a photo only in an attribute that is not read any more; "
            "their cloud photos stay."
        )


def save_page(context: RunContext, page: Page, *, naming_context: str, mode: Mode) -> None:
    """Store a page's people and whose photos are which; the pictures are stored already."""
    for event in page.events:
        if isinstance(event, PersonRead):
            known = naming_context or people_rows.context_of(context.db, event.person.id)
            _save_read(context, event, naming_context=known, mode=mode)
        elif isinstance(event, Unidentified):
            note_unidentified(context.db, naming_context, event.name, run=context.run)
        elif people_rows.context_of(context.db, event.person_id) == naming_context:
            _save_event(context, event)
    context.progress.step(len(page.events))


def _save_gone(context: RunContext, event: PersonGone, *, naming_context: str) -> None:
    """Mark a person as gone, unless the person has moved to another naming context."""
    if people_rows.context_of(context.db, event.person_id) == naming_context:
        _save_event(context, event)


def _save_event(context: RunContext, event: PersonGone | Emptied) -> None:
    """Store an event without an entry: that a person left, or which attributes were cleared."""
    if isinstance(event, Emptied):
        empty(context.db, event.person_id, event.attributes, run=context.run)
        return
    if people_rows.mark_gone(context.db, event.person_id, event.state, run=context.run):
        record_left_scope(context, event.person_id, event.state)
    if event.cleared:
        empty(context.db, event.person_id, event.cleared, run=context.run)


def _save_read(context: RunContext, event: PersonRead, *, naming_context: str, mode: Mode) -> None:
    """Store one person; a value that is missing without being cleared is unread, and its last value stays."""
    photos = [(photo.attribute, photo.source_sha256) for photo in event.photos]
    seen = {photo.attribute for photo in event.photos}
    person, missing = as_known(context, event, naming_context=naming_context, seen=seen)
    people_rows.save_person(context.db, person, context=naming_context, run=context.run)
    people_rows.save_photos(context.db, person.id, photos, keep=missing, run=context.run)
    remember_type(context, event)
    is_counted = mode is Mode.FULL and not context.source_traits.absence_is_known
    note_unread(context.db, person.id, missing, run=context.run, is_counted=is_counted, reason=event.unread_reason)


def _mark_unseen(context: RunContext, naming_context: str, *, are_cleared: bool) -> None:
    """Mark people out of scope that a complete read did not show; with `are_cleared` clear their photos instead."""
    for person_id in people_rows.unseen(context.db, naming_context, run=context.run):
        if are_cleared and people_rows.clear_photos(context.db, person_id, run=context.run):
            continue
        _save_gone(context, PersonGone(person_id, PersonState.OUT_OF_SCOPE), naming_context=naming_context)


def _compare_roster(context: RunContext, source: Source, naming_context: str) -> list[str]:
    """Read new members of the group, mark former ones out of scope, and return who shows no id.

    DirSync does not report memberships.
    """
    members = source.roster(naming_context)
    if members is None:
        return []
    nameless: list[str] = []
    roster.note_roster(context.db, _with_ids(members, nameless))
    for name in nameless:
        note_unidentified(context.db, naming_context, name, run=context.run)
    for person_id in chain.from_iterable(roster.left(context.db, naming_context, run=context.run)):
        _save_gone(context, PersonGone(person_id, PersonState.OUT_OF_SCOPE), naming_context=naming_context)
    for person_ids in roster.joined(context.db):
        save_events(context, source.fetch(person_ids), naming_context=naming_context)
    return nameless


def _with_ids(members: Iterable[str | Unidentified], nameless: list[str]) -> Iterator[str]:
    """Yield the ids of members, and gather the names of those whose ids cannot be read."""
    for member in members:
        if isinstance(member, Unidentified):
            nameless.append(member.name)
        else:
            yield member


def save_events(context: RunContext, events: Iterable[PersonRead], *, naming_context: str = "") -> None:
    """Store people who were read by name or by id, in the given naming context or else in their known one."""
    for page in prepared_pages(context, _paged(events)):
        save_page(context, page, naming_context=naming_context, mode=Mode.CHANGES)


def _paged(events: Iterable[PersonRead]) -> Iterator[Page]:
    """Divide events into pages of at most FETCHED_PAGE people or about FETCHED_BYTES of photos."""
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
    """Match people with accounts by the rules of the settings."""
    traits = context.source_traits
    with transaction(context.db):
        match_people(
            context.db,
            traits.match_rules,
            from_folder=traits.matches_any_account,
            check_sid=context.settings.match_check_sid,
            leave_managed=context.settings.sync_cloud_managed is CloudManaged.LEAVE,
            external=context.settings.match_external,
        )


def notice_none_synced(context: RunContext) -> Summaries[None]:
    """Yield a notice that names the setting if no account is synced and all matched people are therefore left alone."""
    count, _, is_any_synced = left_managed(context.db)
    if count and not is_any_synced and not context.options.only:
        yield notice(NONE_SYNCED.format(count=count))
