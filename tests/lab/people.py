"""Load the awkward people: put into the directory, read back, and given their accounts."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.model import Account, Person
from tests.lab.awkward import FORMER_STAFF, PILOT, PILOT_NESTED, awkward_people
from tests.lab.cases import AccountPlan, Case, Link
from tests.lab.directory import DISABLED, Directory, Entry, Value


@dataclass(frozen=True, slots=True)
class Registered:
    """An account of the tenant and the photo that it shows before the first night (empty for none)."""

    account: Account
    photo_bytes: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A case with what the directory made of it; `registered[0]` is the right account where one is right."""

    case: Case
    person: Person
    registered: tuple[Registered, ...]

    @property
    def account(self) -> Account:
        """Return the account that is rightly theirs; only cases whose action isn't skip have one."""
        return self.registered[0].account


@dataclass(frozen=True, slots=True)
class Populace:
    """Everybody: the resolved people, accounts that no person has, and the names that settings need."""

    people: tuple[Resolved, ...]
    strangers: tuple[Registered, ...]
    pilot_dn: str
    excluded_dn: str

    def __getitem__(self, case: str) -> Resolved:
        """Return one person by the case's name; raises KeyError."""
        for one in self.people:
            if one.case.case == case:
                return one
        raise KeyError(case)

    def registered(self) -> tuple[Registered, ...]:
        """Return every account that the tenant shall have."""
        return (*(account for one in self.people for account in one.registered), *self.strangers)


def load(directory: Directory, ou: str, cases: Sequence[Case] | None = None) -> Populace:
    """Put people (the awkward forty, unless told) below `ou`, with their groups; return them as they came to be."""
    suffix = directory.controller.realm.lower()
    places = {"": ou, FORMER_STAFF: directory.add_ou(FORMER_STAFF, ou)}
    people = []
    for case in awkward_people() if cases is None else cases:
        entry = _add(directory, case, ou=places[case.place], suffix=suffix)
        people.append(_resolved(case, entry, suffix))
    pilot = _add_groups(directory, ou, people)
    return Populace(tuple(people), _strangers(suffix), pilot, places[FORMER_STAFF])


def _add(directory: Directory, case: Case, *, ou: str, suffix: str) -> Entry:
    attributes: dict[str, Value] = {name: list(values) for name, values in case.photos.items()}
    attributes |= {"mail": _address(case.mail or case.case, suffix), "displayName": case.cn}
    if case.is_contact:
        return directory.add_contact(ou, case.cn, **attributes)
    attributes |= {"sAMAccountName": case.case, "userPrincipalName": _address(case.upn or case.case, suffix)}
    if case.consistency_guid:
        attributes["mS-DS-ConsistencyGuid"] = case.consistency_guid
    if case.is_disabled:
        attributes["userAccountControl"] = str(DISABLED)
    return directory.add_person(ou, case.cn, **attributes)


def _resolved(case: Case, entry: Entry, suffix: str) -> Resolved:
    anchor = base64.b64encode(case.consistency_guid).decode() if case.consistency_guid else entry.anchor
    person = Person(
        id=entry.guid,
        name=entry.dn,
        upn="" if case.is_contact else _address(case.upn or case.case, suffix),
        mail=_address(case.mail or case.case, suffix),
        sam_account_name="" if case.is_contact else case.case,
        sid=entry.sid,
        anchor=anchor,
        is_contact=case.is_contact,
    )
    plans = enumerate(case.accounts)
    return Resolved(case, person, tuple(_registered(f"{case.case} {n}", plan, person, entry) for n, plan in plans))


def _registered(name: str, plan: AccountPlan, person: Person, entry: Entry) -> Registered:
    suffix = person.mail.partition("@")[2]
    nobodys = base64.b64encode(uuid.uuid5(uuid.NAMESPACE_DNS, f"immutable {name}").bytes_le).decode()
    immutable_id = {Link.ANCHOR: person.anchor, Link.GUID: entry.anchor, Link.SID: nobodys, Link.NOTHING: ""}[plan.link]
    is_synced = plan.link is not Link.NOTHING
    account = Account(
        id=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"account {name}")),
        upn=_address(plan.upn, suffix) if plan.upn else person.upn,
        mail=_address(plan.mail, suffix) if plan.mail else person.mail,
        sam_account_name=person.sam_account_name if is_synced else "",
        immutable_id=immutable_id,
        sid=person.sid if plan.link in {Link.ANCHOR, Link.SID} else "",
        is_guest=plan.is_guest,
        is_enabled=plan.is_enabled,
        is_synced=is_synced,
        has_exchange=not plan.is_guest,
    )
    return Registered(account, plan.photo_bytes)


def _strangers(suffix: str) -> tuple[Registered, ...]:
    names = ("breakglass", "meeting-room-4")
    return tuple(
        Registered(Account(id=str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), upn=_address(name, suffix))) for name in names
    )


def _add_groups(directory: Directory, ou: str, people: Sequence[Resolved]) -> str:
    inner = directory.add_group(ou, PILOT_NESTED, _members(people, PILOT_NESTED))
    return directory.add_group(ou, PILOT, [inner.dn, *_members(people, PILOT)]).dn


def _members(people: Sequence[Resolved], group: str) -> list[str]:
    return [one.person.name for one in people if group in one.case.groups]


def _address(name: str, suffix: str) -> str:
    return name if "@" in name else f"{name}@{suffix}"
