"""Changes of the accounts since a token was given: /users/delta; photos never appear (facts 8)."""

from __future__ import annotations

from typing import Any

from tests.lab.graph.answers import Answer, Ask, Refused, told
from tests.lab.graph.filters import ids_of, unsupported
from tests.lab.graph.tenant import CloudAccount
from tests.lab.graph.users import fields_asked, open_token, page_size, projected, sealed
from tests.lab.graph.world import World


def delta_users(world: World, ask: Ask) -> Answer:
    """Answer GET /users/delta: a snapshot, a further page, the changes since a token, or just a fresh token."""
    token = ask.query.get("$deltatoken", "")
    if world.switches.delta_refused:
        raise Refused(world.switches.delta_refused, "Request_UnsupportedQuery", "Delta is not supported here.")
    if token == "latest" and world.switches.delta_begins_with_page:
        state = _first_state(world, ask) | {"after": world.tenant.last_number}
        return _page(world, ask, state=state, found=[], more=True)
    if token == "latest":
        return _page(world, ask, state=_first_state(world, ask), found=[])
    if token:
        return _changes(world, ask, _living(world, ask, token))
    if "$skiptoken" in ask.query:
        return _continue(world, ask, _living(world, ask, ask.query["$skiptoken"]))
    return _continue(world, ask, _first_state(world, ask))


def _first_state(world: World, ask: Ask) -> dict[str, Any]:
    filtered = ids_of(ask.query["$filter"]) if "$filter" in ask.query else []
    if filtered is None or len(filtered) > 50:
        raise unsupported("Unsupported Query.")
    return {
        "since": 0,
        "until": world.tenant.sequence,
        "after": 0,
        "select": list(fields_asked(ask)),
        "all": "$select" not in ask.query,
        "top": page_size(ask),
        "ids": filtered,
    }


def _living(world: World, ask: Ask, token: str) -> dict[str, Any]:
    """Open a token; raises Refused for one that expired or was never ours."""
    state = open_token(token)
    expired = world.switches.delta_expired if ask.query.get("$deltatoken") else 0
    if state is None or "until" not in state or state["until"] < world.tenant.delta_floor:
        expired = expired or 400
    if expired == 410:
        fresh = {"Location": f"{world.base_url}/{ask.version}/users/delta?$deltatoken="}
        raise Refused(410, "syncStateNotFound", "The sync state is too old; begin anew.", headers=fresh)
    if expired or state is None:
        raise Refused(400, "syncStateNotFound", "The sync state generation is not found.")
    return state


def _changes(world: World, ask: Ask, state: dict[str, Any]) -> Answer:
    state |= {"since": state["until"], "until": world.tenant.sequence, "after": 0}
    return _continue(world, ask, state)


def _continue(world: World, ask: Ask, state: dict[str, Any]) -> Answer:
    """Give the next page of a round that began earlier; removals come on its last page."""
    if world.switches.empty_page and state["after"] == 0 and not state.get("turned"):
        return _page(world, ask, state=state | {"turned": True}, found=[], more=True)
    silent = world.switches.delta_silent if state["since"] else ()
    found = [a for a in world.tenant.everybody() if a.number > state["after"] and _concerns(a, state)]
    found = [account for account in found if account.id not in silent]
    if world.switches.same_next_link:
        return _page(world, ask, state=state | {"turned": True}, found=found, more=True)
    size = min(state["top"], world.switches.page_cap)
    if len(found) <= size:
        return _page(world, ask, state=state, found=found)
    return _page(world, ask, state=state | {"after": found[size - 1].number}, found=found[:size], more=True)


def _concerns(account: CloudAccount, state: dict[str, Any]) -> bool:
    if state["ids"] and account.id not in state["ids"]:
        return False
    if state["since"] == 0:
        return True
    if state["all"]:
        return any(at > state["since"] for at in account.changed.values())
    return any(account.changed.get(name, 0) > state["since"] for name in state["select"])


def _page(world: World, ask: Ask, *, state: dict[str, Any], found: list[CloudAccount], more: bool = False) -> Answer:
    root = f"{world.base_url}/{ask.version}"
    body: dict[str, Any] = {"@odata.context": f"{root}/$metadata#users"}
    left_out = world.switches.delta_leaves_out if state["since"] else ()
    value = [_told(account, state, minimal=_is_minimal(ask), left_out=left_out) for account in found]
    if more:
        body["@odata.nextLink"] = f"{root}/users/delta?$skiptoken={sealed(state)}"
    else:
        if ask.query.get("$deltatoken") != "latest":
            value += _removals(world, state)
        body["@odata.deltaLink"] = f"{root}/users/delta?$deltatoken={sealed(state)}"
    return told(body | {"value": value})


def _removals(world: World, state: dict[str, Any]) -> list[dict[str, Any]]:
    if state["since"] == 0:
        return []
    gone = world.tenant.removed_since(state["since"])
    gone = [(key, reason) for key, reason in gone if key not in world.switches.delta_silent]
    wanted = [(key, reason) for key, reason in gone if not state["ids"] or key in state["ids"]]
    return [{"id": key, "@removed": {"reason": reason}} for key, reason in wanted]


def _told(
    account: CloudAccount, state: dict[str, Any], *, minimal: bool, left_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    names = [name for name in state["select"] if name not in left_out]
    if minimal and state["since"]:
        names = [name for name in names if account.changed.get(name, 0) > state["since"]]
    return projected(account, names) | {"id": account.id}


def _is_minimal(ask: Ask) -> bool:
    return "return=minimal" in ask.headers.get("prefer", "").replace(" ", "").casefold()
