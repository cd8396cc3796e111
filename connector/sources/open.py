"""Which source did the administrator choose? The one that SOURCE names, ready to be read."""

from __future__ import annotations

from connector.config import Settings, SourceKind
from connector.errors import SettingsError
from connector.model import RequestCounters
from connector.sources import Source
from connector.sources.folder import FolderSource
from connector.sources.ldap import LdapSource


def open_source(settings: Settings, traffic: RequestCounters) -> Source:
    """Return the source of these settings; nothing is contacted yet. Raises SettingsError for what cannot work."""
    if settings.source is SourceKind.FOLDER:
        if settings.folder_path is None:
            raise SettingsError(["FOLDER_PATH: is needed with SOURCE=folder."])
        return FolderSource(settings.folder_path, settings.folder_key)
    return LdapSource(settings, traffic)
