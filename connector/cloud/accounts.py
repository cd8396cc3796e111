"""Read the accounts of the tenant: all in pages, what changed since a link, or a few by id, name or anchor.

A property that Graph gives as null is empty; one that it leaves out is not known, and asked for by id.
Source: https://learn.microsoft.com/graph/api/user-list and /graph/api/user-delta
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connector.cloud.batch import BATCH_SIZE, batch_get
from connector.cloud.pages import (
    MOST_PAGES,
    ROLE_FIX,
    EndlessPages,
    Item,
    follow_pages,
    read_page,
    refuse_web_page,
    text_of,
)
from connector.cloud.response import Response, read_refusal
from connector.cloud.retry import is_retryable
from connector.cloud.transport import Transport
from connector.errors import ConnectorError, Unreachable
from connector.model import Account

PAGE_SIZE = 999
PLANS = "assignedPlans"
# Each property with the field of Account that it fills, and what it may be beside null.
PROPERTIES: Mapping[str, tuple[str, type]] = {
    "userPrincipalName": ("upn", str),
    "mail": ("mail", str),
    "userType": ("is_guest", str),
    "accountEnabled": ("is_enabled", bool),
    "employeeId": ("employee_id", str),
    "onPremisesSyncEnabled": ("is_synced", bool),
    "onPremisesImmutableId": ("immutable_id", str),
    "onPremisesSecurityIdentifier": ("sid", str),
    "onPremisesSamAccountName": ("sam_account_name", str),
    "department": ("department", str),
    "companyName": ("company", str),
    PLANS: ("has_exchange", list),
}
FIELDS = ("id", *(name for name in PROPERTIES if name != PLANS))
# Plans of the service Exchange that bring no mailbox: Foundation, Archive, Customer Lockbox, Analytics.
# https://learn.microsoft.com/entra/identity/users/licensing-service-plan-reference
PLANS_WITHOUT_MAILBOX = frozenset(
    {
        *("113feb6c-3fe4-4440-bddc-54d774bf0318", "176a09a6-7ec5-4039-ac02-b2791c6ba793"),
        *("9f431833-0334-42de-a7dc-70aa40db46db", "34c0d7a0-a70f-4668-9238-47f9fc208882"),
    }
)
# So many accounts of one reading are asked for by id: fifty batches.
MOST_BY_ID = 1_000
REFUSED_IN_A_ROW = 10
NOT_THERE = "Request_ResourceNotFound"


@dataclass(frozen=True, slots=True)
class PartialAccount:
    """An account of which some fields are not known: they were absent from the answer."""

    account: Account
    unknown: frozenset[str]


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Accounts that are new or changed, ids of removed ones, and on the last page the next delta link."""

    accounts: tuple[Account, ...]
    removed_ids: tuple[str, ...]
    next_delta_link: str | None
    partial: tuple[PartialAccount, ...] = ()


@dataclass(frozen=True, slots=True)
class LookupResult:
    """The result for each requested account, by its key; `refused` holds Graph's text."""

    accounts: Mapping[str, Account]
    partial: Mapping[str, PartialAccount]
    absent: frozenset[str]
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AnchorResult:
    """The accounts that have the requested immutable IDs; `refused` holds Graph's text for each that it refused."""

    found: tuple[PartialAccount, ...]
    refused: Mapping[str, str]


class LinkExpired(ConnectorError):
    """Raised when a delta link cannot be used any more: all accounts have to be listed again."""


class NoDelta(ConnectorError):
    """Raised when this tenant gives no delta link: all accounts have to be listed each time."""


def list_accounts(transport: Transport, *, plans: bool = False) -> Iterator[list[Account]]:
    """Yield every account, page by page; with `plans` also whether each has Exchange Online."""
    for page in list_pages(transport, plans=plans):
        yield [*page.accounts, *(part.account for part in page.partial)]


def list_pages(transport: Transport, *, plans: bool = False, most: int = MOST_PAGES) -> Iterator[AccountPage]:
    """Yield every account in pages; an empty page is not the end. Raises Unreachable when a page cannot be had."""
    url, asked = f"/users?$select={_select(plans)}&$top={PAGE_SIZE}", 0
    try:
        for page in follow_pages(lambda link: transport.request("GET", link), url, system=transport.system, most=most):
            read = [_read(item, plans=plans) for item in page.items]
            lacking = [part.account.id for part in read if part.unknown][: MOST_BY_ID - asked]
            asked += len(lacking)
            whole, partial = _completed(transport, read, lacking, plans=plans)
            yield AccountPage(whole, (), None, partial)
    except EndlessPages as error:
        raise _not_listed(transport, error) from error


def latest_link(transport: Transport, *, plans: bool = False) -> str:
    """Return a delta link that starts now; ask for it before the listing, so that nothing falls between.

    Raises NoDelta where the service refuses, or gives none that can be asked.
    """

    def ask(link: str) -> Response:
        answer = _asked(transport, link)
        if _is_refused(answer):
            raise NoDelta(f"Graph gave no delta link: {read_refusal(answer)}")
        return answer

    link, url = "", f"/users/delta?$select={_select(plans)}&$deltatoken=latest"
    try:
        for page in follow_pages(ask, url, system=transport.system):
            link = page.delta_link
    except EndlessPages as error:
        raise NoDelta(f"Graph gave no delta link: {error.message}") from error
    except LinkExpired as error:
        raise NoDelta("Graph gave no delta link: the next page cannot be asked for") from error
    if not transport.may_ask(link):
        raise NoDelta("Graph gave no delta link that can be used")
    return link


def changes(transport: Transport, link: str, *, plans: bool = False, most: int = MOST_PAGES) -> Iterator[AccountPage]:
    """Yield what changed since the link; only the last page has the next one. Raises LinkExpired.

    Of an object that comes several times the last version counts, since accounts are deleted and restored.
    """
    asked = 0
    try:
        for page in follow_pages(lambda url: _follow(transport, url), link, system=transport.system, most=most):
            latest = {text_of(item, "id"): item for item in page.items}
            read = [_read(item, plans=plans) for item in latest.values() if "@removed" not in item]
            removed = tuple(key for key, item in latest.items() if "@removed" in item)
            lacking = [part.account.id for part in read if part.unknown]
            asked += len(lacking)
            if asked > MOST_BY_ID:
                raise LinkExpired(f"Graph returned more than {MOST_BY_ID} changed accounts only in part.")
            whole, partial = _completed(transport, read, lacking, plans=plans)
            yield AccountPage(whole, removed, None if page.next_link else page.delta_link or None, partial)
    except EndlessPages as error:
        raise LinkExpired(f"The changes of accounts could not be read to the end: {error.message}.") from error


def get_accounts(transport: Transport, ids: Sequence[str], *, plans: bool = False) -> list[Account]:
    """Read these accounts by id (or UPN), in batches; those that are not there, or are refused, are left out."""
    found = look_up(transport, ids, plans=plans)
    return [*found.accounts.values(), *(part.account for part in found.partial.values())]


def look_up(transport: Transport, keys: Sequence[str], *, plans: bool = False) -> LookupResult:
    """Read accounts by id or UPN, in batches. Raises Unreachable when ten in a row are refused."""
    urls = {key: f"{_user_path(key)}?$select={_select(plans)}" for key in keys}
    read: dict[str, PartialAccount] = {}
    absent, refused, in_a_row = set(), {}, 0
    for key, answer in _answers(transport, urls):
        in_a_row = 0 if answer.status in (200, 404) else in_a_row + 1
        item = answer.json_object() if answer.status == 200 else {}
        if text_of(item, "id"):
            read[key] = _read(item, plans=plans)
        elif answer.status == 404 and read_refusal(answer).code == NOT_THERE:
            absent.add(key)
        else:
            refused[key] = _refused(transport, answer, in_a_row=in_a_row)
    whole = {key: part.account for key, part in read.items() if not part.unknown}
    partial = {key: part for key, part in read.items() if part.unknown}
    return LookupResult(whole, partial, frozenset(absent), refused)


def find_by_anchor(transport: Transport, immutable_ids: Sequence[str], *, plans: bool = False) -> AnchorResult:
    """Read the accounts that have these immutable IDs, in batches. Raises Unreachable when ten in a row are refused."""
    urls = {anchor: _by_anchor(anchor, plans=plans) for anchor in immutable_ids}
    found: list[PartialAccount] = []
    refused, in_a_row = {}, 0
    for anchor, answer in _answers(transport, urls):
        if answer.status == 200 and isinstance(answer.json_object().get("value"), list):
            in_a_row = 0
            found += [_read(item, plans=plans) for item in _with_later_pages(transport, answer)]
        else:
            in_a_row += 1
            refused[anchor] = _refused(transport, answer, in_a_row=in_a_row)
    return AnchorResult(tuple(found), refused)


def find_by_filter(
    transport: Transport, clause: str, *, plans: bool = False, advanced: bool = False
) -> list[PartialAccount]:
    """Read the accounts that a filter finds. Raises ConnectorError with Graph's words where it refuses the filter.

    Some properties can be filtered in an `advanced` query alone, e.g. onPremisesSamAccountName.
    Source: https://learn.microsoft.com/graph/aad-advanced-queries
    """
    url = f"/users?$filter={quote(clause, safe='')}&$select={_select(plans)}&$top={PAGE_SIZE}"
    headers = {"ConsistencyLevel": "eventual"} if advanced else None
    answer = transport.request("GET", f"{url}&$count=true" if advanced else url, headers=headers)
    if answer.status != 200:
        refuse_web_page(answer, transport.system)
        raise ConnectorError(str(read_refusal(answer)))
    return [_read(item, plans=plans) for item in _with_later_pages(transport, answer, headers=headers)]


def quoted(value: str) -> str:
    """Return a value as it stands in a filter."""
    return "'" + value.replace("'", "''") + "'"


def _with_later_pages(
    transport: Transport, first: Response, *, headers: Mapping[str, str] | None = None
) -> Iterator[Item]:
    """Yield what a filter found, from all pages: an empty one with a next link does not say that there is nobody."""
    page = read_page(first, transport.system)
    yield from page.items
    if not page.next_link:
        return
    try:
        for later in follow_pages(
            lambda link: transport.request("GET", link, headers=headers), page.next_link, system=transport.system
        ):
            yield from later.items
    except EndlessPages as error:
        raise _not_listed(transport, error) from error


def _not_listed(transport: Transport, error: EndlessPages) -> Unreachable:
    message = f"the accounts could not be listed to the end: {error.message}"
    return Unreachable(transport.system, message, "Start again later; no user was changed.")


def _answers(transport: Transport, urls: Mapping[str, str]) -> Iterator[tuple[str, Response]]:
    keys = list(urls)
    for start in range(0, len(keys), BATCH_SIZE):
        part = keys[start : start + BATCH_SIZE]
        yield from batch_get(transport, {key: urls[key] for key in part}).items()


def _refused(transport: Transport, answer: Response, *, in_a_row: int) -> str:
    """Return the text of a refusal; raise Unreachable for one that concerns everybody."""
    refuse_web_page(answer, transport.system)
    said = str(read_refusal(answer))
    if answer.status == 403:
        raise Unreachable(transport.system, f"the application may not list users: {said}", ROLE_FIX)
    if in_a_row >= REFUSED_IN_A_ROW:
        message = f"{in_a_row} accounts in a row could not be read; the last answer was {said}"
        raise Unreachable(transport.system, message, "Start again later.")
    return said


def _completed(
    transport: Transport, read: Sequence[PartialAccount], lacking: Sequence[str], *, plans: bool
) -> tuple[tuple[Account, ...], tuple[PartialAccount, ...]]:
    """Ask by id for accounts that came in part; those that are gone are left out, the rest stays as it came."""
    found = look_up(transport, lacking, plans=plans) if lacking else LookupResult({}, {}, frozenset(), {})
    here = [part for part in read if part.account.id not in found.absent]
    again = [found.partial.get(part.account.id, part) for part in here if part.account.id not in found.accounts]
    whole = [part.account for part in again if not part.unknown]
    return (*whole, *found.accounts.values()), tuple(part for part in again if part.unknown)


def _select(plans: bool) -> str:
    return ",".join((*FIELDS, PLANS) if plans else FIELDS)


def _user_path(key: str) -> str:
    """Return the path of a user; a name that begins with $ would be taken for a segment of its own.

    Source: https://learn.microsoft.com/graph/api/user-get
    """
    if key.startswith("$"):
        return f"/users('{quote(key.replace(chr(39), chr(39) * 2), safe='$')}')"
    return f"/users/{quote(key, safe='')}"


def _by_anchor(immutable_id: str, *, plans: bool) -> str:
    value = quote(quoted(immutable_id), safe="'")
    return f"/users?$filter=onPremisesImmutableId%20eq%20{value}&$select={_select(plans)}"


def _asked(transport: Transport, link: str) -> Response:
    """Request a link that Graph gave in this run or an earlier one."""
    if not link.startswith("/") and not transport.may_ask(link):
        raise LinkExpired("The remembered delta link is of another Graph host, or damaged.")
    return transport.request("GET", link)


def _follow(transport: Transport, link: str) -> Response:
    """Request the changes; raise LinkExpired for any refusal, since listing all accounts is safe.

    Documented are 400 syncStateNotFound and 410 for a link that is too old.
    """
    answer = _asked(transport, link)
    if answer.status != 403 and _is_refused(answer):
        raise LinkExpired(f"The delta link can no longer be used: {read_refusal(answer)}.")
    return answer


def _is_refused(answer: Response) -> bool:
    """Return True if Graph itself refuses, and not because it is busy; a 500 lasts as long as its link."""
    is_passing = is_retryable(answer) and answer.status != 500
    return answer.status != 200 and not is_passing and not answer.is_web_page


def _read(item: Item, *, plans: bool) -> PartialAccount:
    """Return an account; a property that is absent, or of another type, is not known."""
    wanted = {name: kind for name, kind in PROPERTIES.items() if plans or name != PLANS}
    unknown = {field for name, (field, kind) in wanted.items() if not _is_known(item, name, kind)}
    return PartialAccount(_account(item), frozenset(unknown))


def _is_known(item: Item, name: str, kind: type) -> bool:
    return name in item and (item[name] is None or isinstance(item[name], kind))


def _account(item: Item) -> Account:
    plans = item.get(PLANS)
    return Account(
        id=text_of(item, "id"),
        upn=text_of(item, "userPrincipalName"),
        mail=text_of(item, "mail"),
        sam_account_name=text_of(item, "onPremisesSamAccountName"),
        employee_id=text_of(item, "employeeId"),
        immutable_id=text_of(item, "onPremisesImmutableId"),
        sid=text_of(item, "onPremisesSecurityIdentifier"),
        department=text_of(item, "department"),
        company=text_of(item, "companyName"),
        is_guest=text_of(item, "userType").lower() == "guest",
        is_enabled=item.get("accountEnabled") is not False,
        is_synced=item.get("onPremisesSyncEnabled") is True,
        has_exchange=isinstance(plans, list) and any(_is_exchange(plan) for plan in plans if isinstance(plan, dict)),
    )


def _is_exchange(plan: dict[str, Any]) -> bool:
    """Return True if a plan brings a mailbox and is in force; a plan that is not on the list of the others does."""
    is_in_force = text_of(plan, "capabilityStatus") in ("Enabled", "Warning")
    is_exchange = text_of(plan, "service").lower() == "exchange"
    return is_exchange and is_in_force and text_of(plan, "servicePlanId").lower() not in PLANS_WITHOUT_MAILBOX
