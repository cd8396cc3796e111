"""Read who opted out, and for whom the cloud or the source wins, from the groups and the file of the settings."""

from __future__ import annotations

from connector.config.rules import OPT_OUT_FILE as FILE
from connector.config.rules import opt_out_names
from connector.errors import SettingsError
from connector.ledger.memberships import SETTINGS, drop_unset, people_named, save_members
from connector.ledger.store import transaction
from connector.sources import HasGroups, Source
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, notice

EXAMPLES = 5


def read_memberships(context: RunContext, source: Source, naming_context: str) -> None:
    """Store the members in one context of each group that a setting names; raises Unreachable without such a group."""
    for setting in SETTINGS:
        group = getattr(context.settings, setting.lower())
        if setting == FILE or not group:
            continue
        if not isinstance(source, HasGroups):
            raise SettingsError([f"{setting}: names a group, and this source has none; leave it out."])
        members = list(source.members_of(naming_context, group=group, setting=setting))
        save_members(context.db, setting, members, now=context.clock(), context=naming_context)


def read_opt_out_file(context: RunContext) -> Summaries[None]:
    """Store who is named in OPT_OUT_FILE, and forget the members of settings that are not set any more.

    Raises SettingsError where the file cannot be read any more.
    """
    set_now = [setting for setting in SETTINGS if getattr(context.settings, setting.lower())]
    unknown: list[str] = []
    with transaction(context.db):
        drop_unset(context.db, set_now)
        path = context.settings.opt_out_file
        if path is not None:
            found, unknown = people_named(context.db, opt_out_names(path))
            save_members(context.db, FILE, found, now=context.clock())
    if unknown and not context.options.only:
        named = ", ".join(unknown[:EXAMPLES]) + (", …" if len(unknown) > EXAMPLES else "")
        yield notice(f"{FILE}: {len(unknown)} lines match no known user: {named}.")
