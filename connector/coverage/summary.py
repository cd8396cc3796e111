"""Sum up what the runs have seen of everybody's photo: in all, and by organizational unit, department or company."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from connector.config.dn import parse_dn
from connector.ledger.codec import unpack_time
from connector.ledger.coverage import CloudState, CoverageRow, coverage_rows
from connector.report.summary import one_line_safe, short_name

STATE_LABELS: Mapping[CloudState, str] = {
    CloudState.OURS: "uploaded by photo-connector",
    CloudState.SOURCE: "the directory's photo, already there",
    CloudState.OTHER: "another photo",
    CloudState.NONE: "no photo",
    CloudState.UNKNOWN: "not yet known",
}
AGES = (
    ("within 30 days", timedelta(days=30)),
    ("within a year", timedelta(days=365)),
    ("within three years", timedelta(days=3 * 365)),
    ("longer ago", timedelta.max),
)
AGE_UNKNOWN = "not known"
# The first part of a DN with its separator; a comma in a value is escaped, or stands in quotes.
_LEAF = re.compile(r'\w[\w.-]*=(?:\\.|"(?:\\.|[^"\\])*"|[^,;\\"])*[,;]\s*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """Describe one person or account of the list: names, groups, and what is known of both photos."""

    row: CoverageRow
    name: str
    ou: str

    @property
    def has_photo(self) -> bool | None:
        """Return True or False for what the cloud shows; None where that is not yet known."""
        return None if self.row.cloud is CloudState.UNKNOWN else self.row.cloud is not CloudState.NONE

    @property
    def source(self) -> str:
        """Return what the directory holds: "photo", "no photo", why it cannot be used, or that it is not known."""
        if not self.row.in_scope:
            return "not in scope"
        if self.row.source_sha256:
            return "photo"
        return "no photo" if self.row.source_reason == "no-photo" else self.row.source_reason or AGE_UNKNOWN

    @property
    def opted_out(self) -> str:
        """Return a note with the day since which the person has opted out; empty where the person has not."""
        since = self.row.opted_out_since
        return "" if since is None else f", opted out since {since.astimezone():%Y-%m-%d}"

    @property
    def department(self) -> str:
        """Return the department of the account."""
        return self.row.department

    @property
    def company(self) -> str:
        """Return the company of the account."""
        return self.row.company


@dataclass(slots=True)
class PhotoTotals:
    """Count people or accounts by whose photo the cloud shows, and what else is asked of them."""

    states: dict[CloudState, int] = field(default_factory=lambda: dict.fromkeys(CloudState, 0))
    small: int = 0
    without_source_photo: int = 0
    without_account: int = 0
    opted_out: int = 0

    @property
    def total(self) -> int:
        """Return how many there are."""
        return sum(self.states.values())

    @property
    def with_photo(self) -> int:
        """Return how many are known to have a photo."""
        return self.states[CloudState.OURS] + self.states[CloudState.SOURCE] + self.states[CloudState.OTHER]

    @property
    def percent(self) -> int:
        """Return the share that is known to have a photo, rounded down, so that 100 means everybody."""
        return 100 * self.with_photo // self.total if self.total else 0

    def add(self, row: CoverageRow) -> None:
        """Count one more."""
        self.states[row.cloud] += 1
        self.small += row.is_small
        self.without_source_photo += row.in_scope and row.source_reason == "no-photo"
        self.without_account += not row.account_id
        self.opted_out += row.opted_out_since is not None


@dataclass(frozen=True, slots=True)
class Group:
    """Represent the counts of one unit, department or company; an empty name stands for those without one.

    `ages` count the people in scope with a source photo by how long ago it was first seen.
    """

    name: str
    accounts: PhotoTotals = field(default_factory=PhotoTotals)
    people: PhotoTotals = field(default_factory=PhotoTotals)
    ages: dict[str, int] = field(default_factory=lambda: dict.fromkeys([*(name for name, _ in AGES), AGE_UNKNOWN], 0))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Represent what is known of all enabled member accounts and all people in scope.

    `groups` are by kind: "ou", "department", "company". `run` and `as_of` name the newest run that was no dry run.
    """

    run: int
    as_of: datetime | None
    total: Group
    groups: Mapping[str, list[Group]]
    ages: Mapping[str, int]
    entries: list[Entry]

    def without_photo(self) -> list[Entry]:
        """Return the people who are known to have no photo in the cloud."""
        return [entry for entry in self.entries if entry.has_photo is False]

    def opted_out(self) -> list[Entry]:
        """Return everybody who opted out, as the last run read it."""
        return [entry for entry in self.entries if entry.row.opted_out_since is not None]


KINDS: Mapping[str, Callable[[Entry], str]] = {
    "ou": lambda entry: entry.ou,
    "department": lambda entry: entry.department,
    "company": lambda entry: entry.company,
}


def read_coverage(db: sqlite3.Connection, *, now: datetime) -> Coverage:
    """Sum up what the database knows; asks nobody."""
    entries = sorted(_entries(db), key=lambda entry: (entry.name.casefold(), entry.row.upn.casefold()))
    total = Group("")
    groups: dict[str, dict[str, Group]] = {kind: {} for kind in KINDS}
    for entry in entries:
        for group in (total, *(_group(groups[kind], name_of(entry)) for kind, name_of in KINDS.items())):
            _count(group, entry.row, now)
    row = db.execute("SELECT id, started FROM runs WHERE NOT dry_run ORDER BY id DESC LIMIT 1").fetchone()
    run, as_of = (row["id"], unpack_time(row["started"])) if row is not None else (0, None)
    return Coverage(run, as_of, total, {kind: _sorted(found) for kind, found in groups.items()}, total.ages, entries)


def ou_of(dn: str) -> str:
    """Return the container of a DN as a path from the domain: "contoso.com/People/Sales"; empty for no DN."""
    leaf = _LEAF.match(dn)
    return _path_of(dn[leaf.end() :]) if leaf else ""


@lru_cache(maxsize=4096)
def _path_of(container: str) -> str:
    try:
        parts = parse_dn(container)
    except ValueError:
        return ""
    named = [(attribute.upper(), value) for ((attribute, value), *_) in parts]
    domain = ".".join(value for attribute, value in named if attribute == "DC")
    path = [value for attribute, value in reversed(named) if attribute != "DC"]
    return one_line_safe("/".join([domain, *path] if domain else path))


def _entries(db: sqlite3.Connection) -> Iterator[Entry]:
    for row in coverage_rows(db):
        yield Entry(row, one_line_safe(short_name(row.name) or row.upn), ou_of(row.name) if row.in_scope else "")


def _group(groups: dict[str, Group], name: str) -> Group:
    if name not in groups:
        groups[name] = Group(name)
    return groups[name]


def _count(group: Group, row: CoverageRow, now: datetime) -> None:
    if row.is_member:
        group.accounts.add(row)
    if row.in_scope:
        group.people.add(row)
        if row.source_sha256:
            group.ages[_age(row, now)] += 1


def _sorted(groups: Mapping[str, Group]) -> list[Group]:
    """Return the groups by name; those without one last."""
    return sorted(groups.values(), key=lambda group: (not group.name, group.name.casefold()))


def _age(row: CoverageRow, now: datetime) -> str:
    if row.source_since is None:
        return AGE_UNKNOWN
    return next(name for name, longest in AGES if now - row.source_since <= longest)
