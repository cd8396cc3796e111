"""Open the source that SOURCE names, and describe it: one registration for each source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from connector.config import Settings, SourceKind
from connector.model import RequestCounters
from connector.sources import Source, SourceTraits, folder, ldap


@dataclass(frozen=True, slots=True)
class Registration:
    """Register a source: how it is described and opened, and what is wrong on this machine before it is contacted.

    `open` raises SettingsError for what cannot work; `problems` returns sentences that begin with a setting's name.
    """

    traits: Callable[[Settings], SourceTraits]
    open: Callable[[Settings, RequestCounters], Source]
    problems: Callable[[Settings], list[str]]


SOURCES: Mapping[SourceKind, Registration] = {
    SourceKind.LDAP: Registration(ldap.traits, ldap.LdapSource, ldap.local_problems),
    SourceKind.FOLDER: Registration(folder.traits, folder.open_folder, folder.local_problems),
}


def open_source(settings: Settings, traffic: RequestCounters) -> Source:
    """Return the source of these settings; nothing is contacted yet. Raises SettingsError for what cannot work."""
    return SOURCES[settings.source].open(settings, traffic)


def source_traits(settings: Settings) -> SourceTraits:
    """Return what the source of these settings can do."""
    return SOURCES[settings.source].traits(settings)


def local_problems(settings: Settings) -> list[str]:
    """Return what the source of these settings lacks on this machine; nothing is contacted."""
    return SOURCES[settings.source].problems(settings)
