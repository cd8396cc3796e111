"""Ask Active Directory for changes by its DirSync control, which needs no special right ([MS-ADTS] 3.1.1.3.4.1.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ldap3.protocol.microsoft import dir_sync_control

from connector.errors import Unreachable
from connector.sources.raw_entry import RawEntry
from connector.sources.session import DIRSYNC, SearchResult, Session

_OPERATION = "asking for changes"
# The reply's budget; AD sends the rest in further rounds.
_ROUND_BYTES = 8 * 1024 * 1024
# Matches nobody: the answer is a cookie alone, the state of the directory now.
_NOBODY = r"(objectGUID=\00)"
# unavailableCriticalExtension, unwillingToPerform, insufficientAccessRights: not offered, or the cookie is refused.
_REFUSALS = (12, 50, 53)
_STALE_COOKIE = "0000203D"

# So many rounds in a row that end where they began, or so many in all, are a loop.
MOST_STUCK, MOST_ROUNDS = 100, 1_000_000


@dataclass(frozen=True, slots=True)
class DirSyncQuery:
    """Define what counts as a change: the root of a naming context, a wide filter, and the attributes."""

    root: str
    filter: str
    attributes: Sequence[str]


@dataclass(frozen=True, slots=True)
class DirSyncPage:
    """Contain one round's changed entries, and the cookie that comes after them."""

    entries: Sequence[RawEntry]
    cookie: bytes
    more: bool


def is_offered(session: Session) -> bool:
    """Return True if the server knows the control."""
    return DIRSYNC in session.root.controls


def fresh_cookie(session: Session, query: DirSyncQuery) -> bytes | None:
    """Return a cookie of the directory as it is now, reading nobody; None where the server will not have it."""
    asked = DirSyncQuery(query.root, _NOBODY, query.attributes)
    first = first_round(session, asked, b"")
    if first is None:
        return None
    cookie = first.cookie
    for later in rounds(session, asked, first):
        cookie = later.cookie
    return cookie


def first_round(session: Session, query: DirSyncQuery, cookie: bytes) -> DirSyncPage | None:
    """Ask for what changed since the cookie; None where the server refuses it, which calls for a full reading."""
    answer = _ask(session, query, cookie)
    if answer.code in _REFUSALS or _STALE_COOKIE in str(answer.result.get("message")):
        return None
    return _round(session, answer, 1)


def rounds(session: Session, query: DirSyncQuery, first: DirSyncPage) -> Iterator[DirSyncPage]:
    """Yield the first round and all that follow it, until the server has no more."""
    current, number, stuck = first, 1, 0
    yield current
    while current.more:
        number += 1
        before = current.cookie
        current = _round(session, _ask(session, query, before), number)
        stuck = stuck + 1 if current.cookie == before else 0
        if stuck > MOST_STUCK or number > MOST_ROUNDS:
            raise Unreachable(
                "directory",
                f"{session.server}: DirSync says that more follows, but sends nothing new, after {number} rounds.",
                "Run again with --full, or name another domain controller first in LDAP_URI.",
            )
        yield current


def _ask(session: Session, query: DirSyncQuery, cookie: bytes) -> SearchResult:
    # Object security alone: incremental values concern links, and ldap3 encodes that flag wrongly on Linux.
    control = dir_sync_control(
        criticality=True,
        object_security=True,
        ancestors_first=False,
        public_data_only=False,
        incremental_values=False,
        max_length=_ROUND_BYTES,
        cookie=cookie,
    )
    return session.search(
        query.root, query.filter, attributes=query.attributes, operation=_OPERATION, controls=[control]
    )


def _round(session: Session, answer: SearchResult, number: int) -> DirSyncPage:
    operation = f"{_OPERATION}, round {number}"
    if answer.code != 0:
        raise session.trouble(answer, operation)
    if answer.cookie is None:
        raise Unreachable(
            "directory", f"{session.server}: no DirSync cookie came back, while {operation}.", "Run again."
        )
    return DirSyncPage(answer.entries, answer.cookie, answer.more)
