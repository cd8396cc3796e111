"""Read everybody in pages sized by bytes, each checked; only an empty cookie ends the reading.

ldap3's own paged_search ends silently on an error in the middle, which would look like people who are gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector.errors import Unreachable
from connector.sources import ldap_errors
from connector.sources.raw_entry import RawEntry
from connector.sources.session import SearchResult, Session

REPEATS_FIX = "Look at the domain controller, or name another one first in LDAP_URI."
# Without photos an entry weighs what a name weighs: the first page, and all others.
FIRST_PLAIN, MOST = 250, 500
# A handful shows what photos weigh here; after it, at most ten times as many as were seen with one.
FIRST_PAGE, GROWTH = 8, 10
# AD's pages count objects, not bytes, and ldap3 holds a page about three times over. Over 10,000 people with 8 kB each,
# 2 MiB took 10 MiB of memory and 16 MiB took 34, in the same time.
PAGE_BYTES = 2 * 1024 * 1024
# A server that sends the same page again, or empty ones, has no end. Somebody modified while the walk goes on may come
# twice, alone on a page where photos are heavy: only so many repeated pages in one walk are a loop.
MOST_REPEATED, MOST_EMPTY, MOST_PAGES = 20, 100, 1_000_000
# Where all on a page weigh as much as the heaviest so far, it is no more than this.
HEAVIEST_PAGE_BYTES = 24 * 1024 * 1024


@dataclass(slots=True)
class Weight:
    """Measure the bytes of people with photos, and compute how many of them one answer may carry.

    Those without a photo do not count.
    """

    photos: tuple[str, ...]
    seen: int = 0
    heaviest: int = 0
    mean: int = 0

    def learn(self, entries: Sequence[RawEntry]) -> None:
        """Weigh the entries of an answer that have a photo."""
        names = [name.casefold() for name in self.photos]
        weights = [entry.size() for entry in entries if any(entry.values.get(name) for name in names)]
        if weights:
            self.seen += len(weights)
            self.heaviest = max(self.heaviest, *weights)
            self.mean = sum(weights) // len(weights)

    def most(self, limit: int) -> int:
        """Return how many people to ask for at once, at least one and at most `limit`."""
        by_mean = PAGE_BYTES // max(self.mean, 1)
        by_heaviest = HEAVIEST_PAGE_BYTES // max(self.heaviest, 1)
        return max(1, min(limit, max(FIRST_PAGE, GROWTH * self.seen), by_mean, by_heaviest))


@dataclass(frozen=True, slots=True)
class Query:
    """Define what to read: everybody below `base` whom `filter` matches; `weight` where photos are asked for."""

    base: str
    filter: str
    attributes: Sequence[str]
    weight: Weight | None = None
    controls: Sequence[Any] = ()


def walk(session: Session, query: Query) -> Iterator[Sequence[RawEntry]]:
    """Yield page after page; raises Unreachable, naming page and cause, when the walk is cut short.

    Some entries may be cut; a caller with a weight asks for those again.
    """
    cookie, number = b"", 1
    progress = _Progress(session)
    while True:
        size, photos = _size(query.weight, number), query.weight.photos if query.weight else ()
        answer = session.page(
            query.base,
            query.filter,
            attributes=query.attributes,
            size=size,
            cookie=cookie,
            photos=photos,
            controls=query.controls,
        )
        cookie = _next_cookie(session, answer, number)
        if query.weight is not None:
            query.weight.learn([entry for entry in answer.entries if not entry.is_cut])
        yield answer.entries
        if not cookie:
            return
        progress.check(answer.entries, number)
        del answer  # not kept while the next one is read
        number += 1


class _Progress:
    """Watch that a walk goes on: pages that repeat, or hold nobody, end it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: set[int] = set()
        self._repeated = self._empty = 0

    def check(self, entries: Sequence[RawEntry], number: int) -> None:
        """Raise Unreachable where the server sends the same pages, or empty ones, again and again."""
        key = hash(tuple(entry.dn for entry in entries))
        self._empty = 0 if entries else self._empty + 1
        self._repeated += bool(entries) and key in self._seen
        self._seen.add(key)
        if self._repeated > MOST_REPEATED or self._empty > MOST_EMPTY or number >= MOST_PAGES:
            what = "the same page came again" if self._empty <= MOST_EMPTY else "empty pages came without end"
            raise Unreachable(
                ldap_errors.SYSTEM,
                f"{self._session.server}: {what}, while reading page {number}; the reading was ended.",
                REPEATS_FIX,
            )


def _size(weight: Weight | None, number: int) -> int:
    if weight is not None:
        return weight.most(MOST)
    return FIRST_PLAIN if number == 1 else MOST


def _next_cookie(session: Session, answer: SearchResult, number: int) -> bytes:
    operation = f"reading page {number}"
    if answer.code != 0:
        raise session.trouble(answer, operation)
    if answer.cookie is None:
        raise Unreachable(
            ldap_errors.SYSTEM,
            f"{session.server}: it ignored the request for pages, so it is not known whether all came, while "
            f"{operation}.",
            "Name a server that supports paged results (RFC 2696), without a proxy in between.",
        )
    return answer.cookie
