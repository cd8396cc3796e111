"""What does one look leave for the next? Settings, open sessions, a sample of people and of accounts."""

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
    """Hold what the looks of one visit share; nothing of it is written anywhere.

    Directory sessions and passes are by naming context; `account` is who we are there. `scope_count` is how many
    people are in scope, as far as they were counted; `sample` the first of them, without photos.
    """

    env_file: Path | None
    clock: Clock
    traffic: RequestCounters = field(default_factory=RequestCounters)
    loaded: Loaded | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    passes: dict[str, ContextReader] = field(default_factory=dict)
    account: str = ""
    scope_count: int = 0
    scope_cut: bool = False
    sample: list[Person] = field(default_factory=list)
    pages: Iterator[list[Account]] = field(default_factory=lambda: iter(()))
    first_page: list[Account] = field(default_factory=list)
    last_run: RunRow | None = None
    competing: int = 0
    cloud_date: str = ""
    _cloud: Cloud | None = None

    @property
    def settings(self) -> Settings:
        """Return the settings; only what needs them may ask."""
        if self.loaded is None:
            raise RuntimeError("a look at what needs the settings came before them")
        return self.loaded.settings

    @property
    def cloud(self) -> Cloud:
        """Return what talks to Microsoft, made when first asked for."""
        if self._cloud is None:
            self._cloud = open_cloud(self.settings, self.traffic)
        return self._cloud

    def end(self) -> None:
        """Close every connection."""
        for session in self.sessions.values():
            session.close()
        if self._cloud is not None:
            self._cloud.close()


def counted(number: int, *, cut: bool) -> str:
    """Write a count with its thousands, and whether it was cut off there."""
    return f"{number:,} or more" if cut else f"{number:,}"
