"""Our own LDAP server for a test: a tree, trusted TLS, and sources that are closed at the end."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pydantic import SecretStr

from connector.config import Settings
from connector.model import PersonState, RequestCounters
from connector.sources import Cookie, Mode, PersonGone, PersonRead, Reading
from connector.sources.ldap import LdapSource
from tests.lab.ldapserver import LdapServer, server_context
from tests.lab.ldapserver_tree import Entry, Tree
from tests.lab.ldapserver_world import PASSWORD, READER
from tests.lab.pki import Authority

PEOPLE = "OU=People,DC=contoso,DC=test"


@functools.cache
def authority() -> Authority:
    """Return the one authority of this process's servers."""
    return Authority()


class DirectoryServer:
    """Run one server and hand out settings and sources for it; a context manager."""

    def __init__(self, tree: Tree | None = None, *, start_tls: bool = False, plain: bool = False) -> None:
        self.tree = tree or Tree()
        tls = None if plain else server_context(authority().issue("localhost", "127.0.0.1"))
        self.server = LdapServer(self.tree, tls=tls, start_tls=start_tls)
        self.knobs = self.server.knobs
        self._sources: list[LdapSource] = []

    def __enter__(self) -> DirectoryServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources:
            source.close()
        self.server.close()

    def settings(self, **changes: Any) -> Settings:
        """Return settings that reach the server, with changes."""
        usual: dict[str, Any] = {
            "ldap_uri": (self.server.uri,),
            "ldap_ca_file": authority().ca_file,
            "ldap_user": READER,
            "ldap_password": SecretStr(PASSWORD),
        }
        return Settings(**(usual | changes))

    def source(self, traffic: RequestCounters | None = None, *, patience: int = 20, **changes: Any) -> LdapSource:
        """Return a source for the server, closed with the server."""
        source = LdapSource(self.settings(**changes), traffic or RequestCounters(), patience=patience)
        self._sources.append(source)
        return source

    def person(self, name: str, /, ou: str = PEOPLE, **attributes: Any) -> Entry:
        """Add a person with the attributes that everybody has."""
        usual = {"userPrincipalName": f"{name}@contoso.test", "mail": f"{name}@contoso.test", "sAMAccountName": name}
        return self.tree.add(f"CN={name},{ou}", **(usual | attributes))


class ReadResult:
    """What a reading told, by person id."""

    def __init__(self, reading: Reading) -> None:
        self.mode, self.notice, self.server = reading.mode, reading.notice, reading.server
        self.pages = list(reading.pages)
        events = [event for page in self.pages for event in page.events]
        self.read = {event.person.id: event for event in events if isinstance(event, PersonRead)}
        self.gone = {event.person_id: event.state for event in events if isinstance(event, PersonGone)}
        self.times_read = sum(isinstance(event, PersonRead) for event in events)
        self.complete = bool(self.pages) and self.pages[-1].complete
        self.cookie = Cookie(self.pages[-1].cookie, self.server) if self.complete and self.pages[-1].cookie else None

    @property
    def names(self) -> set[str]:
        """Return the sAMAccountNames of those who were read."""
        return {read.person.sam_account_name for read in self.read.values()}

    def photos(self, person_id: str) -> Sequence[tuple[str, bytes]]:
        """Return the photo values of one who was read."""
        return [(photo.attribute, photo.content_bytes) for photo in self.read[person_id].photos]


def read_context(source: LdapSource, cookie: Cookie | None = None) -> ReadResult:
    """Read the source's only context to the end."""
    (context,) = source.contexts()
    return ReadResult(source.read(context, cookie))


__all__ = ["PEOPLE", "DirectoryServer", "Entry", "Mode", "PersonState", "ReadResult", "authority", "read_context"]
