"""The parts of an awkward person: what the directory holds, what the cloud holds, what the run must report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.model import Action, Reason


class Link(StrEnum):
    """By what an account belongs to its person."""

    ANCHOR = "anchor"
    """The immutable ID is the person's anchor, and the SID fits: what Entra Connect makes."""
    SID = "sid"
    """Only the SID fits; the immutable ID is nobody's."""
    GUID = "guid"
    """The immutable ID stems from the objectGUID although the person has another anchor: not theirs at all."""
    NOTHING = "nothing"
    """Neither immutable ID nor SID: made in the cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """Describe an account that the cloud shall have; `upn` and `mail` empty means: as the person's.

    Addresses without an @ get the domain's suffix. `photo_bytes` is what the account shows before the first night.
    """

    link: Link = Link.ANCHOR
    upn: str = ""
    mail: str = ""
    is_guest: bool = False
    is_enabled: bool = True
    photo_bytes: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the first run, with default settings, must report for a person.

    With `listed` false the person isn't in scope: the report says this, or leaves the person out.
    """

    action: Action
    reason: Reason
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Describe one awkward person; `case` tells the story and is the sAMAccountName, too.

    `shows_bytes` is an upright drawing, made without the product, of what the account must show afterwards: the
    whole picture, whatever crop is sent. Empty means: nothing new. `place` names a sub-OU.
    """

    case: str
    cn: str
    photos: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    accounts: tuple[AccountPlan, ...] = (AccountPlan(),)
    expected: Expected = Expected(Action.CREATE, Reason.FIRST_UPLOAD)
    shows_bytes: bytes = field(default=b"", repr=False)
    upn: str = ""
    mail: str = ""
    consistency_guid: bytes = b""
    is_disabled: bool = False
    is_contact: bool = False
    place: str = ""
    groups: tuple[str, ...] = ()
