"""Turn a directory entry into a person with an id, an anchor and photo values."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from ldap3.protocol.formatters.formatters import format_sid

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import Person, SourcePhoto
from connector.sources import DECIDING, PersonRead
from connector.sources.ldap_errors import SYSTEM
from connector.sources.raw_entry import RawEntry
from connector.sources.scope import FLAGS, RECIPIENT_TYPE, recipient_types

AUTO = "auto"
CONSISTENCY_GUID = "mS-DS-ConsistencyGuid"
_OCTETS = frozenset(("objectguid", "ms-ds-consistencyguid", "objectsid"))
_DISABLED = 0x2
_DECIDING = {"upn": "userPrincipalName", "mail": "mail", "sid": "objectSid"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Turn entries into people, by the settings that name photos and anchor."""

    photos: tuple[str, ...]
    anchor: str
    contacts: bool
    types: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Reader:
        """Take what concerns people from the settings."""
        types = bool(recipient_types(settings))
        return cls(settings.ldap_photo_attributes, settings.ldap_anchor, settings.ldap_include_contacts, types)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Name what a search must ask for; entryUUID is the id where there is no objectGUID."""
        anchor = CONSISTENCY_GUID if self.anchor == AUTO else self.anchor
        plain = ("objectGUID", "entryUUID", "objectSid", "userPrincipalName", "mail", "sAMAccountName", "uid")
        kind = (*(("objectClass",) if self.contacts else ()), *((RECIPIENT_TYPE,) if self.types else ()))
        return _each_once((*plain, *kind, anchor, *self.photos))

    @property
    def watched(self) -> tuple[str, ...]:
        """Name what counts as a change of a person; name and isDeleted show moves and deletions."""
        idle = {"entryuuid", "uid"} - {self.anchor.casefold()}
        own = (name for name in self.attributes if name.casefold() not in idle)
        return _each_once((*own, FLAGS, "name", "isDeleted"))

    def person(self, entry: RawEntry) -> Person:
        """Describe the person of an entry; raises Unreachable when the entry's id cannot be read."""
        classes = {value.lower() for value in entry.values.get("objectclass", ())}
        return Person(
            id=person_id(entry),
            name=entry.dn,
            upn=entry.text("userPrincipalName"),
            mail=entry.text("mail"),
            sam_account_name=entry.text("sAMAccountName") or entry.text("uid"),
            sid=str(format_sid(sid)) if (sid := entry.first("objectSid")) else "",
            anchor=self._anchor(entry),
            is_contact=b"contact" in classes,
        )

    def read(self, entry: RawEntry, *, cleared: frozenset[str] = frozenset()) -> PersonRead:
        """Return the person with all photo values; `cleared` keeps only what is empty now."""
        photos = tuple(
            SourcePhoto(name, value) for name in self.photos for value in entry.values.get(name.casefold(), ()) if value
        )
        filled = {photo.attribute for photo in photos}
        filled.update(name for name in DECIDING if entry.first(self.attribute_of(name)))
        stands_in = self.anchor == AUTO and not entry.first(CONSISTENCY_GUID)
        shown = recipient_type(entry) if self.types else ""
        filled.update((RECIPIENT_TYPE,) if shown else ())
        return PersonRead(
            self.person(entry), photos, frozenset(cleared - filled), stands_in=stands_in, recipient_type=shown
        )

    def cleared(self, change: RawEntry) -> frozenset[str]:
        """Name what a change reports as emptied, i.e. present without a value: photo attributes, and what decides."""
        names = (*self.photos, *DECIDING, *((RECIPIENT_TYPE,) if self.types else ()))
        return frozenset(name for name in names if change.values.get(self.attribute_of(name).casefold(), (b"",)) == ())

    def attribute_of(self, name: str) -> str:
        """Return the attribute that holds one of DECIDING; a photo attribute is its own."""
        if name == "anchor":
            return CONSISTENCY_GUID if self.anchor == AUTO else self.anchor
        return _DECIDING.get(name, name)

    def _anchor(self, entry: RawEntry) -> str:
        """Return the anchor: any mS-DS-ConsistencyGuid, of whatever length, comes before objectGUID."""
        if self.anchor != AUTO:
            return _as_text(self.anchor, entry.first(self.anchor))
        return _base64(entry.first(CONSISTENCY_GUID) or entry.first("objectGUID"))


def has_id(entry: RawEntry) -> bool:
    """Return True if the entry's id can be read."""
    return len(entry.first("objectGUID")) == 16 or bool(entry.first("entryUUID"))


def person_id(entry: RawEntry) -> str:
    """Return objectGUID (mixed-endian on the wire) or entryUUID as lower-case text."""
    guid = entry.first("objectGUID")
    if len(guid) == 16:
        return str(uuid.UUID(bytes_le=guid))
    if entry.text("entryUUID"):
        return entry.text("entryUUID").lower()
    raise no_id(entry)


def no_id(entry: RawEntry) -> Unreachable:
    """Return the error of an entry whose id cannot be read."""
    return Unreachable(
        SYSTEM,
        f"neither objectGUID nor entryUUID of {entry.dn} can be read.",
        "Let the service account read it; without it no entry can be recognised in the next run.",
    )


def is_deleted(change: RawEntry) -> bool:
    """Return True if a change reports a tombstone."""
    return change.first("isDeleted").upper() == b"TRUE"


def recipient_type(entry: RawEntry) -> str:
    """Return the Exchange recipient type that an entry shows; empty where it shows none."""
    return entry.text(RECIPIENT_TYPE)


def is_disabled(entry: RawEntry) -> bool | None:
    """Return True if an entry's account is disabled; None where the entry does not show it."""
    flags = entry.text(FLAGS)
    return bool(int(flags) & _DISABLED) if flags.lstrip("-").isdigit() else None


def _each_once(attributes: Iterable[str]) -> tuple[str, ...]:
    """Return the attributes, each once, in whatever letter case."""
    found: dict[str, str] = {}
    for name in attributes:
        found.setdefault(name.casefold(), name)
    return tuple(found.values())


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _as_text(name: str, value: bytes) -> str:
    """Return text as it stands and bytes as base64; without a schema the bytes decide."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return _base64(value)
    return text if text.isprintable() and name.casefold() not in _OCTETS else _base64(value)
