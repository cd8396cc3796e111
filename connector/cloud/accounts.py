"""Who is in the tenant? Everybody in pages, what changed since a link, or a few by id.

Source: https://learn.microsoft.com/graph/api/user-list and /graph/api/user-delta
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connector.cloud.answer import Answer, read_refusal
from connector.cloud.batch import BATCH_SIZE, batch_get
from connector.cloud.transport import Transport, origin_of
from connector.errors import ConnectorError, Unreachable
from connector.model import Account

PAGE_SIZE = 999
FIELDS = (
    *("id", "userPrincipalName", "mail", "userType", "accountEnabled", "employeeId"),
    *("onPremisesSyncEnabled", "onPremisesImmutableId", "onPremisesSecurityIdentifier", "onPremisesSamAccountName"),
)
# 400 syncStateNotFound and 410 are documented for a link that is too old; whatever else a link is refused with,
# reading everybody is the safe way on.
EXPIRED = frozenset({400, 404, 410})
ROLE_FIX = "Grant the application User.Read.All with admin consent; photo-connector check shows the roles it has."


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Carry accounts that are new or changed, ids of those gone, and on the last page the link for next time."""

    accounts: tuple[Account, ...]
    removed_ids: tuple[str, ...]
    next_delta_link: str | None


class LinkExpired(ConnectorError):
    """Say that a delta link is of no use any more: everybody has to be listed again."""


def list_accounts(transport: Transport, *, plans: bool = False) -> Iterator[list[Account]]:
    """Yield every account, page by page; with `plans` also whether each has Exchange Online.

    An empty page is not the end. Raises Unreachable when a page cannot be had.
    """
    url = f"/users?$select={_select(plans)}&$top={PAGE_SIZE}"
    while url:
        page = _page(transport.request("GET", url), transport.system)
        yield [_account(one) for one in page["value"]]
        url = _link(page, "@odata.nextLink")


def latest_link(transport: Transport, *, plans: bool = False) -> str:
    """Return a delta link that starts now; ask for it before the listing, so that nothing falls between."""
    answer = transport.request("GET", f"/users/delta?$select={_select(plans)}&$deltatoken=latest")
    url = _link(_page(answer, transport.system), "@odata.deltaLink")
    if not url:
        raise Unreachable(transport.system, "it gave no delta link", "Start again later; --full needs none.")
    return url


def changes(transport: Transport, link: str, *, plans: bool = False) -> Iterator[AccountPage]:
    """Yield what changed since the link; only the last page has the next one. Raises LinkExpired.

    An object that came without its UPN is a partial one, and read again; of one that came several times the last
    word counts, since accounts are deleted and restored.
    """
    url = link
    while url:
        page = _page(_follow(transport, url), transport.system)
        told = {_text(one, "id"): one for one in page["value"]}
        present = {key: one for key, one in told.items() if "@removed" not in one}
        whole = [_account(one) for one in present.values() if "userPrincipalName" in one]
        partial = [key for key, one in present.items() if "userPrincipalName" not in one]
        removed = tuple(key for key, one in told.items() if "@removed" in one)
        again = get_accounts(transport, partial, plans=plans) if partial else []
        url, next_delta = _link(page, "@odata.nextLink"), _link(page, "@odata.deltaLink")
        yield AccountPage((*whole, *again), removed, None if url else next_delta or None)


def get_accounts(transport: Transport, ids: Sequence[str], *, plans: bool = False) -> list[Account]:
    """Read these accounts by id (or UPN), in batches; those that are not there are left out."""
    found: list[Account] = []
    for start in range(0, len(ids), BATCH_SIZE):
        part = ids[start : start + BATCH_SIZE]
        answers = batch_get(transport, {one: f"/users/{quote(one, safe='')}?$select={_select(plans)}" for one in part})
        there = (answer for answer in answers.values() if answer.status != 404)
        found += [_account(_object(answer, transport.system)) for answer in there]
    return found


def _select(plans: bool) -> str:
    return ",".join((*FIELDS, "assignedPlans") if plans else FIELDS)


def _follow(transport: Transport, url: str) -> Answer:
    if origin_of(url) != transport.origin:
        raise LinkExpired("The remembered delta link is of another Graph host.")
    answer = transport.request("GET", url)
    if answer.status in EXPIRED:
        raise LinkExpired(f"The delta link is of no use any more: {read_refusal(answer)}.")
    return answer


def _page(answer: Answer, system: str) -> dict[str, Any]:
    page = _object(answer, system)
    if not isinstance(page.get("value"), list):
        raise _strange(answer, system)
    page["value"] = [one for one in page["value"] if isinstance(one, dict)]
    return page


def _object(answer: Answer, system: str) -> dict[str, Any]:
    """Return the JSON object of a success; everything else ends the run, since accounts must be complete."""
    if answer.status == 403:
        raise Unreachable(system, f"the application may not list users: {read_refusal(answer)}", ROLE_FIX)
    if answer.status != 200:
        raise Unreachable(system, f"users could not be listed: {read_refusal(answer)}", "Start again later.")
    value = answer.json_object()
    if not value:
        raise _strange(answer, system)
    return value


def _strange(answer: Answer, system: str) -> Unreachable:
    kind = answer.headers.get("content-type", "no content type")
    fix = "Check GRAPH_URL, and whether a proxy answers in Graph's place."
    return Unreachable(system, f"it did not answer as Graph does ({kind})", fix)


def _link(page: dict[str, Any], name: str) -> str:
    link = page.get(name)
    return link if isinstance(link, str) else ""


def _account(value: dict[str, Any]) -> Account:
    plans = value.get("assignedPlans")
    return Account(
        id=_text(value, "id"),
        upn=_text(value, "userPrincipalName"),
        mail=_text(value, "mail"),
        sam_account_name=_text(value, "onPremisesSamAccountName"),
        employee_id=_text(value, "employeeId"),
        immutable_id=_text(value, "onPremisesImmutableId"),
        sid=_text(value, "onPremisesSecurityIdentifier"),
        is_guest=_text(value, "userType").lower() == "guest",
        is_enabled=value.get("accountEnabled") is not False,
        is_synced=value.get("onPremisesSyncEnabled") is True,
        has_exchange=isinstance(plans, list) and any(_is_exchange(plan) for plan in plans if isinstance(plan, dict)),
    )


def _is_exchange(plan: dict[str, Any]) -> bool:
    return _text(plan, "service").lower() == "exchange" and _text(plan, "capabilityStatus") in ("Enabled", "Warning")


def _text(value: dict[str, Any], name: str) -> str:
    text = value.get(name)
    return text if isinstance(text, str) else ""
