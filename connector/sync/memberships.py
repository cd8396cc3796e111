"""Read who opted out, and for whom the cloud or the source wins, from the groups and the file of the settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from connector.config.rules import OPT_OUT_FILE as FILE
from connector.config.rules import opt_out_names
from connector.errors import SettingsError
from connector.ledger.codec import key
from connector.ledger.memberships import (
    SETTINGS,
    drop_unset,
    members_named_before,
    people_among,
    people_named,
    save_members,
)
from connector.ledger.store import transaction
from connector.model import safe
from connector.model.reasons import people
from connector.sources import HasGroups, Source
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, notice

EXAMPLES = 5
HIDDEN = (
    "{setting}: {people} are members only by the group's own list, as {example}: a search does not find them, so the "
    "service account may not read their memberOf (`photo-connector config grant-read`, with -Attribute memberOf). They "
    "are treated as members."
)
RENAMED = (
    "{setting}: {count} lines name users by a UPN that they had before: {names}. They stay opted out; write the UPN "
    "that they have now."
)


def read_memberships(context: RunContext, source: Source, naming_context: str) -> Summaries[None]:
    """Store the members in one context of each group that a setting names; raises Unreachable without such a group.

    A member is found by a search or named by the group's own list: memberOf of a user may be hidden.
    """
    for setting in SETTINGS:
        group = getattr(context.settings, setting.lower())
        if setting == FILE or not group:
            continue
        if not isinstance(source, HasGroups):
            raise SettingsError([f"{setting}: names a group, and this source has none; leave it out."])
        members = source.members_of(naming_context, group=group, setting=setting)
        others = people_among(context.db, naming_context, members.listed - members.found)
        everyone = [*members.found, *(person.id for person in others)]
        save_members(context.db, setting, everyone, now=context.clock(), context=naming_context)
        hidden = [person for person in others if person.is_in_scope]
        if hidden:
            yield notice(HIDDEN.format(setting=setting, people=people(len(hidden)), example=safe(hidden[0].name)))


def read_opt_outs(context: RunContext, open_source: Callable[[], Source]) -> Summaries[None]:
    """Store who has opted out by now, before a restore; raises Unreachable where OPT_OUT_GROUP cannot be read."""
    if context.settings.opt_out_group:
        with closing(open_source()) as source:
            for naming_context in source.contexts():
                with transaction(context.db):
                    yield from read_memberships(context, source, naming_context)
    yield from read_opt_out_file(context)


def read_opt_out_file(context: RunContext) -> Summaries[None]:
    """Store who is named in OPT_OUT_FILE, and forget the members of settings that are not set any more.

    Raises SettingsError where the file cannot be read any more.
    """
    set_now = [setting for setting in SETTINGS if getattr(context.settings, setting.lower())]
    unknown: list[str] = []
    renamed: list[str] = []
    with transaction(context.db):
        drop_unset(context.db, set_now)
        path = context.settings.opt_out_file
        if path is not None:
            found, unknown = people_named(context.db, opt_out_names(path))
            before = members_named_before(context.db, FILE) if unknown else {}
            renamed = [name for name in unknown if key(name) in before]
            unknown = [name for name in unknown if key(name) not in before]
            members = found.union(*(before[key(name)] for name in renamed))
            save_members(context.db, FILE, members, now=context.clock())
    if unknown and not context.options.only:
        yield notice(f"{FILE}: {len(unknown)} lines match no known user: {_some(unknown)}.")
    if renamed:
        yield notice(RENAMED.format(setting=FILE, count=len(renamed), names=_some(renamed)))


def _some(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", …" if len(names) > EXAMPLES else "")
