"""Keep known values that a reading does not show, until the source reports that they were cleared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.errors import ExitCode
from connector.ledger import people as people_rows
from connector.ledger import unread_values as unread
from connector.model import Person
from connector.sources import DECIDING, HasRecipientTypes, PersonRead, Source
from connector.sources.scope import recipient_types
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, Summary, notice

# How many entries without a readable id the report names.
MAX_NAMED = 10
UNREAD = (
    "{count} people show no value where one was known, and the directory did not say that it was cleared ({what}): "
    "perhaps the reading account may not read it. They stay as they were (source-unread)."
)
UNIDENTIFIED = "{count} entries were left out, because their objectGUID (entryUUID) cannot be read: {names}."


def as_known(context: RunContext, event: PersonRead, *, naming_context: str, seen: set[str]) -> tuple[Person, set[str]]:
    """Return the person completed with known values, and the names of the values that the reading did not show.

    A folder shows everything, except what the reading names as unread.
    """
    if context.source_traits.absence_is_known:
        return event.person, set(event.unread)
    known_photos = people_rows.known_attributes(context.db, event.person.id) & set(context.attribute_order)
    missing = (known_photos - seen - event.cleared) | event.unread
    lost = _lost(context, event, naming_context=naming_context)
    return replace(event.person, **lost), missing | lost.keys()


def _lost(context: RunContext, event: PersonRead, *, naming_context: str) -> dict[str, Any]:
    """Return the known identifiers that the reading does not show; an objectGUID that stands in is no anchor then."""
    shown = {name: getattr(event.person, name) for name in DECIDING}
    absent = [name for name in DECIDING if not shown[name] or (name == "anchor" and event.stands_in)]
    silent = [name for name in absent if name not in event.cleared]
    if not silent:
        return {}
    known = unread.deciding_of(context.db, event.person.id)
    if unread.anchor_setting(context.db, naming_context) not in (None, context.settings.ldap_anchor):
        known.pop("anchor", None)  # those were the values of another attribute
    return {name: known[name] for name in silent if known.get(name) and known[name] != shown[name]}


def believe_emptied(context: RunContext, source: Source, naming_context: str) -> None:
    """Clear the values of which the source confirms that they are empty."""
    for attribute in unread.unread_attributes(context.db, naming_context):
        if attribute == unread.IDENTITY:
            continue
        for person_ids in unread.unread_in(context.db, naming_context, attribute=attribute):
            for person_id in source.emptied(naming_context, person_ids, attribute):
                unread.empty(context.db, person_id, [attribute], run=context.run)


def remember_type(context: RunContext, event: PersonRead) -> None:
    """Store the recipient type by which LDAP_INCLUDE takes a person in; one that is not shown stays known."""
    shown = event.recipient_type
    if shown or unread.RECIPIENT_TYPE in event.cleared:
        kept = shown if shown in recipient_types(context.settings) else ""
        unread.save_recipient_type(context.db, event.person.id, kept)


def keep_untyped(context: RunContext, source: Source, naming_context: str) -> None:
    """Keep mailboxes as they are whose recipient type is known and not shown: that is no leaver.

    They count as gone until now; only the few who left in this run are asked for.
    """
    types = recipient_types(context.settings)
    if not types or not isinstance(source, HasRecipientTypes):
        return
    left = unread.left_by_type(context.db, naming_context, types, run=context.run)
    if left:
        unread.keep_untyped(context.db, left, set(source.untyped(naming_context, left)), run=context.run)


def notice_unread(context: RunContext, chosen_ids: tuple[str, ...] | None = None) -> Summaries[None]:
    """Yield a notice that counts the people who keep known values, of all or of those chosen."""
    if context.source_traits.absence_is_known:
        return
    count, counts = unread.count_unread(context.db, chosen=chosen_ids)
    if count:
        what = ", ".join(f"{context.source_traits.attribute_name(name)}: {number}" for name, number in counts.items())
        yield notice(UNREAD.format(count=count, what=what))


def notice_unidentified(names: list[str]) -> Summaries[None]:
    """Yield a notice that names the entries without a readable id, and the exit code for failed people."""
    if names:
        shown = "; ".join(names[:MAX_NAMED])
        more = f"; and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        text = UNIDENTIFIED.format(count=len(names), names=shown + more)
        yield Summary(notices=(text,), exit_codes=frozenset({ExitCode.SOME_FAILED}))
