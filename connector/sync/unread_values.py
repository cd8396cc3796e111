"""Let known values stand where a reading does not show them, until the source says that they were emptied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.ledger import people as people_rows
from connector.ledger import unread_values as unread
from connector.model import Person
from connector.sources import DECIDING, PersonRead, Source
from connector.sync.context import RunContext

# So many entries without a readable id are named in the report.
MOST_NAMED = 10
UNREAD = (
    "{count} people show no value where one was known, and the directory did not say that it was cleared ({what}): "
    "perhaps the reading account may not read it. They stay as they were (source-unread)."
)
UNIDENTIFIED = "{count} entries were left out, because their objectGUID (entryUUID) cannot be read: {names}."


def as_known(context: RunContext, event: PersonRead, *, naming_context: str, seen: set[str]) -> tuple[Person, set[str]]:
    """Return the person with what is known of them, and what the reading did not show of it.

    In a folder a reading is the whole truth, but for what it names as unread itself.
    """
    if context.source_traits.absence_is_known:
        return event.person, set(event.unread)
    known_photos = people_rows.known_attributes(context.db, event.person.id) & set(context.trust)
    missing = (known_photos - seen - event.cleared) | event.unread
    lost = _lost(context, event, naming_context=naming_context)
    return replace(event.person, **lost), missing | lost.keys()


def _lost(context: RunContext, event: PersonRead, *, naming_context: str) -> dict[str, Any]:
    """Return what decides about the person beside photos, was known, and is not shown: objectGUID is no anchor then."""
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
    """Ask the source which values that were not shown are certainly empty; one that cannot tell says none."""
    for attribute in unread.unread_attributes(context.db, naming_context):
        if attribute == unread.IDENTITY:
            continue
        for person_ids in unread.unread_in(context.db, naming_context, attribute=attribute):
            for person_id in source.emptied(naming_context, person_ids, attribute):
                unread.empty(context.db, person_id, [attribute], run=context.run)


def tell_unread(context: RunContext) -> None:
    """Count those who stay as they were, by what could not be read of them."""
    if context.source_traits.absence_is_known:
        return
    count, counts = unread.count_unread(context.db, chosen=context.chosen_ids if context.options.only else None)
    if count:
        what = ", ".join(f"{context.source_traits.attribute_name(name)}: {number}" for name, number in counts.items())
        context.add_notice(UNREAD.format(count=count, what=what))


def tell_unidentified(context: RunContext, names: list[str]) -> None:
    """Name the entries that were left out."""
    if names:
        shown = "; ".join(names[:MOST_NAMED])
        more = f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        context.add_notice(UNIDENTIFIED.format(count=len(names), names=shown + more))
