"""List accounts in pages: /users, /users/{id} and /users/delta (facts 8)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tests.lab.graph.answers import Answer, Ask, Refused, told
from tests.lab.graph.filters import ids_of, parsed, unsupported
from tests.lab.graph.tenant import CloudAccount
from tests.lab.graph.world import World

DEFAULT_FIELDS = (
    *("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation"),
    *("preferredLanguage", "surname", "userPrincipalName", "id"),
)
KNOWN_OPTIONS = {"$select", "$top", "$filter", "$count", "$skiptoken", "$deltatoken", "$expand"}
GONE = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
LISTS = ("businessPhones", "assignedPlans", "proxyAddresses")


def one_user(world: World, ask: Ask, key: str) -> Answer:
    """Answer GET /users/{id|upn}."""
    account = world.tenant.find(key)
    if account is None:
        raise Refused(404, "Request_ResourceNotFound", GONE.format(key))
    context = f"{world.base_url}/{ask.version}/$metadata#users/$entity"
    return told({"@odata.context": context} | projected(account, fields_asked(ask)))


def count_users(world: World, ask: Ask) -> Answer:
    """Answer GET /users/$count: text, and only with the header."""
    if ask.headers.get("consistencylevel", "").casefold() != "eventual":
        raise Refused(400, "Request_BadRequest", "$count is not currently supported.")
    number = str(len(world.tenant.everybody()))
    return Answer(status=200, headers={"Content-Type": "text/plain"}, content_bytes=number.encode())


def list_users(world: World, ask: Ask) -> Answer:
    """Answer GET /users, one page."""
    _check_options(ask)
    state = _opened(ask.query["$skiptoken"]) if "$skiptoken" in ask.query else {"after": 0, "turn": 0}
    size = min(page_size(ask), world.switches.page_cap)
    if world.switches.empty_page and state["turn"] == 0:
        size = 0
    everybody = [account for account in _chosen(world, ask) if account.number > state["after"]]
    page = everybody[:size]
    body: dict[str, Any] = {"@odata.context": f"{world.base_url}/{ask.version}/$metadata#users"}
    if is_advanced(ask) and state["turn"] == 0:
        body["@odata.count"] = len(everybody)
    if len(page) < len(everybody):
        after = page[-1].number if page else state["after"]
        body["@odata.nextLink"] = _next_link(world, ask, {"after": after, "turn": state["turn"] + 1})
    if world.switches.same_next_link:
        body["@odata.nextLink"] = _next_link(world, ask, {"after": 0, "turn": 1})
    body["value"] = [projected(account, fields_asked(ask)) for account in page]
    return told(body, headers={"x-ms-resource-unit": "1"})


def fields_asked(ask: Ask) -> Sequence[str]:
    """Return the names in $select, or the eleven that come unasked; `photo` is silently dropped."""
    asked = [name.strip() for name in ask.query.get("$select", "").split(",") if name.strip()]
    return [name for name in asked if name != "photo"] or DEFAULT_FIELDS


def projected(account: CloudAccount, names: Sequence[str]) -> dict[str, Any]:
    """Return the chosen properties; what was never set is null, or an empty list."""
    values = account.properties
    return {name: values.get(name, [] if name in LISTS else None) for name in names}


def page_size(ask: Ask) -> int:
    """Return $top; raises Refused outside 1 to 999."""
    text = ask.query.get("$top", "100")
    if not text.isdigit() or not 1 <= int(text) <= 999:
        raise unsupported(f"Invalid page size specified: '{text}'. Must be between 1 and 999 inclusive.")
    return int(text)


def is_advanced(ask: Ask) -> bool:
    """Return True if both marks of an advanced query are there."""
    counted = ask.query.get("$count", "").casefold() == "true"
    return counted and ask.headers.get("consistencylevel", "").casefold() == "eventual"


def sealed(state: Mapping[str, Any]) -> str:
    """Return an opaque token that holds a position."""
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")


def _opened(token: str) -> dict[str, Any]:
    return open_token(token) or _refuse_token()


def open_token(token: str) -> dict[str, Any] | None:
    """Return the position in a token, None when it is not one of ours."""
    try:
        state = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except ValueError:
        return None
    return state if isinstance(state, dict) else None


def _refuse_token() -> dict[str, Any]:
    raise Refused(400, "Directory_ExpiredPageToken", "The specified page token value has expired.")


def _check_options(ask: Ask) -> None:
    if "$skip" in ask.query:
        raise Refused(400, "Request_BadRequest", "'$skip' is not supported by the service.")
    strange = [name for name in ask.query if name.startswith("$") and name not in KNOWN_OPTIONS]
    if strange:
        raise unsupported("Unsupported Query.")


def _chosen(world: World, ask: Ask) -> Sequence[CloudAccount]:
    text = ask.query.get("$filter", "")
    if not text:
        return [] if world.switches.lists_nobody else world.tenant.everybody()
    ids = ids_of(text)
    if ids is not None:
        found = {account.number: account for account in map(world.tenant.find, ids) if account}
        return [found[number] for number in sorted(found)]
    test = parsed(text, advanced=is_advanced(ask))
    return [account for account in world.tenant.everybody() if test(account.properties)]


def _next_link(world: World, ask: Ask, state: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in ask.query.items() if name != "$skiptoken"}
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in kept.items())
    root = world.switches.foreign_next_link or world.base_url
    return f"{root}/{ask.version}/users?{pairs}{'&' if pairs else ''}$skiptoken={sealed(state)}"
