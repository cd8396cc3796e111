"""Keep what later checks need from earlier ones: settings, sessions, a sample of people and of accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from connector.cloud import Cloud, open_cloud
from connector.config import Loaded, Settings
from connector.ledger.runs import RunRow
from connector.model import Account, Clock, Person, RequestCounters
from connector.sources.read import ContextReader
from connector.sources.session import Session


@dataclass(slots=True, kw_only=True)
class CheckContext:
    """Carry the state that the checks of one run share; none of it is stored.

    Directory sessions and readers are by naming context; `account` is the account that signed in there. `scope_count`
    is the number of people in scope, as far as they were counted; `sample` holds the first of them, without photos.
    """

    env_file: Path | None
    clock: Clock
    traffic: RequestCounters = field(default_factory=RequestCounters)
    loaded: Loaded | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    readers: dict[str, ContextReader] = field(default_factory=dict)
    account: str = ""
    scope_count: int = 0
    scope_truncated: bool = False
    sample: list[Person] = field(default_factory=list)
    pages: Iterator[list[Account]] = field(default_factory=lambda: iter(()))
    first_page: list[Account] = field(default_factory=list)
    is_ledger_old: bool = False
    last_run: RunRow | None = None
    competing: int = 0
    sent_elsewhere: int = 0
    cloud_date: str = ""
    _cloud: Cloud | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings; RuntimeError before they are loaded."""
        if self.loaded is None:
            raise RuntimeError("a check that needs the settings ran before they were loaded")
        return self.loaded.settings

    @property
    def cloud(self) -> Cloud:
        """Return the client of Microsoft 365; it is opened at the first use."""
        if self._cloud is None:
            self._cloud = open_cloud(self.settings, self.traffic)
        return self._cloud

    def close(self) -> None:
        """Close every connection."""
        for session in self.sessions.values():
            session.close()
        if self._cloud is not None:
            self._cloud.close()


def counted(number: int, *, truncated: bool) -> str:
    """Return a count with thousands separators, and "or more" if counting stopped there."""
    return f"{number:,} or more" if truncated else f"{number:,}"
