"""Which source did the administrator choose? The one that SOURCE names, ready to be read."""

from __future__ import annotations

from connector.config import Settings, SourceKind
from connector.errors import SettingsError
from connector.model import Traffic
from connector.sources import Source
from connector.sources.directory import LdapSource


def open_source(settings: Settings, traffic: Traffic) -> Source:
    """Return the source of these settings; nothing is contacted yet. Raises SettingsError for what cannot work."""
    if settings.source is SourceKind.FOLDER:
        raise SettingsError(["SOURCE: folder is not available yet; use ldap."])
    return LdapSource(settings, traffic)
