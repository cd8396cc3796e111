"""What the connections of our own LDAP server share: the tree, the switches, and what was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.ldapserver_tree import Tree

READER, PASSWORD = "reader@contoso.test", "correct horse battery staple"

# As AD words them, with the NUL at the end.
STALE_PAGE = "00000057: LdapErr: DSID-0C090B01, comment: Error processing control, data 0, v4563\x00"
STALE_DIRSYNC = "0000203D: LdapErr: DSID-0C090E0F, comment: Error processing control, data 0, v4563\x00"
UNSIGNED = (
    "00002028: LdapErr: DSID-0C090254, comment: The server requires binds to turn on integrity checking"
    " if SSL\\TLS are not already active on the connection, data 0, v4563\x00"
)
NOT_BOUND = (
    "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be"
    " completed on the connection., data 0, v4563\x00"
)
NO_OBJECT = "0000208D: NameErr: DSID-03100241, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'DC=contoso'\n\x00"
ELSEWHERE = "0000202B: RefErr: DSID-031007F9, data 0, 1 access points\x00"
NO_RIGHT = "00002105: SecErr: DSID-0315260D, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0\x00"


def logon_refusal(data: str) -> tuple[int, str]:
    """Return result 49 as AD words it for one of its sub-codes, e.g. 52e."""
    return 49, f"80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data {data}, v4563\x00"


@dataclass(slots=True)
class Knobs:
    """Make the server misbehave; each may be turned while it runs. Pages and rounds are counted from 1.

    `hidden` names attributes that nobody shows, `hidden_of` those of one entry, by objectGUID; in lower case.
    """

    refuse_bind: tuple[int, str] | None = None
    forgets_sign_in: bool = False
    refuse_page: dict[int, tuple[int, str]] = field(default_factory=dict)
    refuse_dirsync: tuple[int, str] | None = None
    refuse_cookie: tuple[int, str] | None = None
    refuse_round: dict[int, tuple[int, str]] = field(default_factory=dict)
    refuse_look_up: tuple[int, str] | None = None
    drop_on_page: int = 0
    drop_on_look_up: bool = False
    stall_on_page: int = 0
    idle_seconds: float | None = None
    page_entries: int = 0
    most_values: int = 1500
    # every part of such a list begins at its first value, and tells that there are more
    repeats_values: bool = False
    # of such a list only the first part is shown
    withholds_values: bool = False
    round_entries: int = 0
    empty_rounds: int = 0
    endless_pages: bool = False
    offers_dirsync: bool = True
    tells_deletions: bool = True
    tells_each_change: bool = False  # an object comes once for each of its changes: another DC may repeat what one told
    offers_start_tls: bool = True
    is_ad: bool = True
    drops_controls: bool = False
    ignores_paging: bool = False
    repeats_first: bool = False
    refers: bool = False
    hidden: frozenset[str] = frozenset()
    hidden_of: dict[bytes, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Remember one search that came in; `size` is that of the page, 0 without paging."""

    base: str
    filter: str
    attributes: tuple[str, ...]
    controls: frozenset[str]
    size: int = 0


@dataclass(slots=True)
class World:
    """What all connections of one server see."""

    tree: Tree
    tls: ssl.SSLContext | None
    immediate: bool
    knobs: Knobs = field(default_factory=Knobs)
    asked: list[Asked] = field(default_factory=list)
    binds: list[str] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=lambda: {READER: PASSWORD})
    entries_sent: int = 0
    # makes other bytes of an answer, and says whether the connection goes on
    garble: Callable[[bytes], tuple[bytes, bool]] | None = None
    closing: threading.Event = field(default_factory=threading.Event)
