"""How is everybody read without missing anybody? In pages sized by bytes, each checked; done at an empty cookie only.

ldap3's own paged_search ends silently on an error in the middle, which would look like people who are gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connector.errors import Unreachable
from connector.sources import trouble
from connector.sources.session import Answer, RawEntry, Session

FIRST_PAGE, FEWEST, MOST = 250, 50, 500
# AD's pages count objects, not bytes, and ldap3 holds a page about three times over. Over 10,000 people with 8 kB each,
# 2 MiB took 10 MiB of memory and 16 MiB took 34, in the same time.
PAGE_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Query:
    """Hold what to walk through: everybody below `base` whom `filter` matches."""

    base: str
    filter: str
    attributes: Sequence[str]


def walk(session: Session, query: Query) -> Iterator[Sequence[RawEntry]]:
    """Yield page after page; raises Unreachable, naming page and cause, when the walk is cut short."""
    cookie, number, size = b"", 1, FIRST_PAGE
    while True:
        answer = session.page(query.base, query.filter, attributes=query.attributes, size=size, cookie=cookie)
        cookie = _next_cookie(session, answer, number)
        yield answer.entries
        if not cookie:
            return
        number, size = number + 1, _next_size(answer.entries, size)


def _next_cookie(session: Session, answer: Answer, number: int) -> bytes:
    doing = f"reading page {number}"
    if answer.code != 0:
        raise session.trouble(answer, doing)
    if answer.cookie is None:
        raise Unreachable(
            trouble.SYSTEM,
            f"{session.server}: it ignored the request for pages, so nobody knows whether all came, while {doing}.",
            "Name a server that supports paged results (RFC 2696), without a proxy in between.",
        )
    return answer.cookie


def _next_size(entries: Sequence[RawEntry], size: int) -> int:
    if not entries:
        return size
    mean = sum(entry.size() for entry in entries) // len(entries)
    return min(MOST, max(FEWEST, PAGE_BYTES // max(mean, 1)))
