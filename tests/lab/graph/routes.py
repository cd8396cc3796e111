"""The routes of Graph, the roles they need, and the 401."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.lab.graph.answers import Answer, Ask, Refused, refusal, told
from tests.lab.graph.delta import delta_users
from tests.lab.graph.photos import photo_at_size, photo_metadata, photo_sizes, photo_value
from tests.lab.graph.users import count_users, list_users, one_user
from tests.lab.graph.world import World

DIRECTORY_ROLES = {"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
POLICY_READ, POLICY_WRITE = (
    {"PeopleSettings.Read.All", "PeopleSettings.ReadWrite.All"},
    {"PeopleSettings.ReadWrite.All"},
)
INSUFFICIENT = "Insufficient privileges to complete the operation."
CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)
KEYED = re.compile(r"^(users)\('(.+)'\)$")


def split_target(target: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """Split a raw request target into version, decoded segments and query."""
    parts = urlsplit(target)
    version, *rest = [unquote(part) for part in parts.path.strip("/").split("/")]
    segments: list[str] = []
    for part in rest:
        keyed = KEYED.match(part)
        segments += [keyed[1], keyed[2].replace("''", "'")] if keyed else [part]
    return version, tuple(segments), dict(parse_qsl(parts.query, keep_blank_values=True))


def answer(world: World, ask: Ask) -> Answer:
    """Answer one request, with an error envelope where the service refuses; the caller holds the lock."""
    try:
        return _routed(world, ask)
    except Refused as why:
        return refusal(ask, why)


def check_token(world: World, authorization: str) -> frozenset[str]:
    """Return the roles of a request; raises Refused (401) for a token that is no good."""
    fault, roles = world.issuer.fault_of(authorization)
    if fault:
        raise Refused(401, "InvalidAuthenticationToken", fault, headers={"WWW-Authenticate": CHALLENGE})
    return roles


def _routed(world: World, ask: Ask) -> Answer:
    match ask.segments:
        case ("users",):
            return list_users(world, _directory(ask))
        case ("users", "$count"):
            return count_users(world, _directory(ask))
        case ("users", "delta" | "delta()"):
            return delta_users(world, _directory(ask))
        case ("users", key):
            if key.startswith("$") and f"/users/{key}" in ask.path:  # such a name needs /users('$…') (facts 2)
                raise Refused(400, "BadRequest", f"Resource not found for the segment '{key}'.")
            return one_user(world, _directory(ask), key)
        case ("users", key, "photo"):
            return photo_metadata(world, ask, key)
        case ("users", key, "photo", "$value"):
            return photo_value(world, _only(ask, "GET", "PUT", "PATCH", "DELETE"), key)
        case ("users", key, "photos"):
            return photo_sizes(world, _only(ask, "GET"), key)
        case ("users", key, "photos", size):
            return photo_at_size(world, _only(ask, "GET"), key, size=size, value=False)
        case ("users", key, "photos", size, "$value"):
            return photo_at_size(world, _only(ask, "GET"), key, size=size, value=True)
    if ask.version == "beta" and [part.casefold() for part in ask.segments] == [
        "admin",
        "people",
        "photoupdatesettings",
    ]:
        return _policy(world, _only(ask, "GET", "PATCH", "DELETE"))
    strange = next((part for part in ask.segments if part != "users"), "")
    raise Refused(400, "BadRequest", f"Resource not found for the segment '{strange}'.")


def _only(ask: Ask, *methods: str) -> Ask:
    if ask.method not in methods:
        raise Refused(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
    return ask


def _directory(ask: Ask) -> Ask:
    if not ask.roles & DIRECTORY_ROLES:
        raise Refused(403, "Authorization_RequestDenied", INSUFFICIENT)
    return _only(ask, "GET")


def _policy(world: World, ask: Ask) -> Answer:
    """Answer GET, PATCH and DELETE of the tenant's photo policy (facts 5)."""
    if not ask.roles & (POLICY_READ if ask.method == "GET" else POLICY_WRITE):
        raise Refused(403, "Authorization_RequestDenied", INSUFFICIENT)
    switches = world.switches
    if ask.method == "DELETE":
        switches.change(policy_source=None, policy_allowed_roles=None)
        return Answer(status=204)
    if ask.method == "PATCH":
        wanted = json.loads(ask.body_bytes)
        switches.change(policy_source=wanted.get("source", switches.policy_source))
        switches.change(policy_allowed_roles=wanted.get("allowedRoles", switches.policy_allowed_roles))
    roles = switches.policy_allowed_roles
    context = f"{world.base_url}/beta/$metadata#admin/people/photoUpdateSettings/$entity"
    listed = None if roles is None else list(roles)
    return told({"@odata.context": context, "source": switches.policy_source, "allowedRoles": listed})
