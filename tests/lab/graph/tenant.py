"""The tenant: accounts, their photos, and the order of all changes."""

from __future__ import annotations

import base64
import dataclasses
import random
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.graph.pictures import Photo, new_tag, stored
from tests.lab.graph.switches import Switches

NAMES = {
    "upn": "userPrincipalName",
    "mail": "mail",
    "display_name": "displayName",
    "immutable_id": "onPremisesImmutableId",
    "sid": "onPremisesSecurityIdentifier",
    "sam_account_name": "onPremisesSamAccountName",
    "distinguished_name": "onPremisesDistinguishedName",
    "domain_name": "onPremisesDomainName",
    "on_premises_upn": "onPremisesUserPrincipalName",
    "employee_id": "employeeId",
    "user_type": "userType",
    "enabled": "accountEnabled",
    "synced": "onPremisesSyncEnabled",
    "proxy_addresses": "proxyAddresses",
    "created": "createdDateTime",
}
EXCHANGE_PLAN = "efb87545-963c-4e0d-99df-69c6916d9eb0"


@dataclass(slots=True)
class CloudAccount:
    """One user object: its Graph properties, when each last changed, and its photo."""

    id: str
    number: int
    properties: dict[str, Any]
    changed: dict[str, int] = field(default_factory=dict)
    photo: Photo | None = None
    trouble: str = ""
    before: Photo | None = None
    lag_until: float = 0.0
    lag_reads: int = 0
    reads: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of a photo that the cloud carried out; `sent_sha256` is empty for a removal."""

    account_id: str
    writer: str
    sent_sha256: str
    at: float


def property_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn Python's names into Graph's; `exchange` becomes an assigned plan; Graph's own names pass."""
    values = {NAMES.get(name, name): value for name, value in given.items() if name != "exchange"}
    if "exchange" in given:
        plan = {"assignedDateTime": "2024-01-01T00:00:00Z", "capabilityStatus": "Enabled", "service": "exchange"}
        values["assignedPlans"] = [plan | {"servicePlanId": EXCHANGE_PLAN}] if given["exchange"] else []
    return values


def immutable_id(guid: uuid.UUID) -> str:
    """Return an objectGUID as Entra Connect writes it: base64 of the raw little-endian bytes."""
    return base64.b64encode(guid.bytes_le).decode()


class Tenant:
    """Keep the tenant's state; every public method is safe to call from any thread."""

    def __init__(self, switches: Switches, lock: threading.RLock, *, seed: int = 1) -> None:
        self._switches, self._lock = switches, lock
        self._dice = random.Random(seed)
        self._by_id: dict[str, CloudAccount] = {}
        self._by_upn: dict[str, str] = {}
        self._removed: dict[str, tuple[int, str]] = {}
        self._number = 0
        self._writes: list[Write] = []
        self.sequence = 1
        self.delta_floor = 0

    # -- accounts

    def add_account(self, upn: str, *, id: str = "", trouble: str = "", **given: Any) -> str:
        """Add one account and return its object id; further names are those of `NAMES` or Graph's own."""
        with self._lock:
            account_id = id or str(uuid.UUID(int=self._dice.getrandbits(128), version=4))
            self._number += 1
            values = {"accountEnabled": True, "userType": "Member", "displayName": upn.split("@")[0]}
            values |= property_values({"exchange": True} | given) | {"id": account_id, "userPrincipalName": upn}
            account = CloudAccount(account_id, self._number, values, trouble=trouble)
            self._by_id[account_id] = account
            self._by_upn[upn.casefold()] = account_id
            self._removed.pop(account_id, None)
            self._touch(account, values)
            return account_id

    def add_accounts(self, people: Iterable[Mapping[str, Any]]) -> list[str]:
        """Add many; each entry holds the arguments of `add_account`."""
        with self._lock:
            return [self.add_account(**person) for person in people]

    def update_account(self, account_id: str, **given: Any) -> None:
        """Change properties, or `trouble`; a delta query will tell of the properties."""
        with self._lock:
            account = self._by_id[account_id]
            account.trouble = given.pop("trouble", account.trouble)
            values = property_values(given)
            if "userPrincipalName" in values:
                self._by_upn.pop(account.properties["userPrincipalName"].casefold(), None)
                self._by_upn[values["userPrincipalName"].casefold()] = account_id
            account.properties.update(values)
            self._touch(account, values)

    def remove_account(self, account_id: str, reason: str = "changed") -> None:
        """Delete an account: `changed` can be restored in real life, `deleted` is for good."""
        with self._lock:
            account = self._by_id.pop(account_id)
            self._by_upn.pop(account.properties["userPrincipalName"].casefold(), None)
            self.sequence += 1
            self._removed[account_id] = (self.sequence, reason)

    def account(self, account_id: str) -> dict[str, Any]:
        """Return a copy of an account's Graph properties."""
        with self._lock:
            return dict(self._by_id[account_id].properties)

    def account_ids(self) -> list[str]:
        """Return all ids, oldest first."""
        with self._lock:
            return list(self._by_id)

    def id_of(self, upn: str) -> str:
        """Return the id behind a UPN, in any letter case; KeyError when nobody has it."""
        with self._lock:
            return self._by_upn[upn.casefold()]

    def expire_delta(self) -> None:
        """Make every delta token given so far worthless."""
        with self._lock:
            self.sequence += 1
            self.delta_floor = self.sequence

    def _touch(self, account: CloudAccount, names: Iterable[str]) -> None:
        self.sequence += 1
        account.changed.update(dict.fromkeys(names, self.sequence))

    # -- photos

    def set_photo(self, account_id: str, content_bytes: bytes, writer: str = "somebody") -> str:
        """Store a photo as the service would (re-encoded, new tag); returns the tag. Raises Refused."""
        with self._lock:
            photo = stored(content_bytes, writer, switches=self._switches, dice=self._dice)
            self.replace(self._by_id[account_id], photo, writer)
            return photo.tag

    def set_photos(self, pictures: Mapping[str, bytes], writer: str = "somebody") -> None:
        """Store many photos, by account id."""
        for account_id, content_bytes in pictures.items():
            self.set_photo(account_id, content_bytes, writer)

    def clear_photo(self, account_id: str, writer: str = "somebody") -> None:
        """Remove a photo; nothing happens when there is none."""
        with self._lock:
            self.replace(self._by_id[account_id], None, writer)

    def touch_tag(self, account_id: str) -> str:
        """Give a photo a new tag without an edit (it is unknown whether that happens); returns the tag."""
        with self._lock:
            account = self._by_id[account_id]
            assert account.photo is not None, "there is no photo whose tag could change"
            self._retag(account)
            return account.photo.tag

    def photo(self, account_id: str) -> Photo | None:
        """Return the photo as it truly is, without any read lag."""
        with self._lock:
            return self._by_id[account_id].photo

    def photos(self) -> dict[str, Photo]:
        """Return all photos, by account id."""
        with self._lock:
            return {key: account.photo for key, account in self._by_id.items() if account.photo}

    def writes(self, writer: str = "graph") -> list[Write]:
        """Return the writes carried out for one kind of writer: `graph` is the client under test."""
        with self._lock:
            return [write for write in self._writes if write.writer == writer]

    def _retag(self, account: CloudAccount) -> None:
        photo = account.photo
        if photo is None:
            return
        account.photo = dataclasses.replace(photo, tag=new_tag(self._dice), header_tag=new_tag(self._dice))

    # -- what the routes need; the caller holds the lock

    def find(self, key: str) -> CloudAccount | None:
        """Return the account by object id or UPN."""
        found = self._by_id.get(key) or self._by_id.get(key.lower())
        return found or self._by_id.get(self._by_upn.get(key.casefold(), ""))

    @property
    def last_number(self) -> int:
        """Return the number of the newest account."""
        return self._number

    def has_mail(self, address: str) -> bool:
        """Return True if somebody receives mail at an address that is not his UPN."""
        return any((a.properties.get("mail") or "").casefold() == address.casefold() for a in self._by_id.values())

    def everybody(self) -> list[CloudAccount]:
        """Return all accounts, oldest first."""
        return list(self._by_id.values())

    def removed_since(self, sequence: int) -> list[tuple[str, str]]:
        """Return ids and reasons of the accounts deleted after a point in time."""
        return [(key, reason) for key, (at, reason) in self._removed.items() if at > sequence]

    def replace(self, account: CloudAccount, photo: Photo | None, writer: str) -> None:
        """Put a photo in place, or none, and remember the past for as long as reads lag."""
        if writer == "graph":
            account.before = account.photo
            account.lag_until = time.monotonic() + self._switches.read_lag_seconds
            account.lag_reads = self._switches.read_lag_reads
        else:
            account.before, account.lag_until, account.lag_reads = None, 0.0, 0
        account.photo = photo
        sent = photo.sent_sha256 if photo else ""
        self._writes.append(Write(account_id=account.id, writer=writer, sent_sha256=sent, at=time.monotonic()))

    def seen_photo(self, account: CloudAccount) -> Photo | None:
        """Return what a reader is shown now, counting the read: after a write perhaps the past."""
        account.reads += 1
        if not self._switches.stable_tags and account.reads % 10 == 0:
            self._retag(account)
        lagging = account.lag_reads > 0 or time.monotonic() < account.lag_until
        account.lag_reads = max(0, account.lag_reads - 1)
        if not lagging:
            return account.photo
        if self._switches.read_lag_shows == "missing":
            return None
        if self._switches.read_lag_shows == "old" or account.photo is None or account.before is None:
            return account.before
        return dataclasses.replace(account.photo, tag=account.before.tag, header_tag=account.before.header_tag)
