"""Answer a batch of twenty requests: items in any order, each with its own status and wait (facts 6)."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from tests.lab.graph.answers import Answer, Ask, Refused, refusal, told
from tests.lab.graph.routes import answer, split_target
from tests.lab.graph.world import World

LIMIT = 20
AT_ONCE_PER_MAILBOX = 4


class Instead(Exception):
    """End an item with a body that somebody else put in the place of the photo."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


def answer_batch(world: World, ask: Ask) -> Answer:
    """Answer POST /$batch; raises Refused (400) when the whole of it is malformed."""
    requests = _read(world, ask)
    answers: dict[str, Answer] = {}
    per_mailbox: dict[str, int] = {}
    items = []
    for request in requests:
        done = _one(world, ask, request, answers=answers, per_mailbox=per_mailbox)
        answers[str(request["id"]).casefold()] = done
        items.append((request["method"].upper(), _path(ask, request), done.status))
    told_items = [_told(world, request["id"], answers[str(request["id"]).casefold()]) for request in requests]
    if world.switches.batch_shuffled:
        world.dice.shuffle(told_items)
    whole = told({"responses": told_items})
    return replace(whole, items=tuple(items))


def _read(world: World, ask: Ask) -> list[dict[str, Any]]:
    try:
        requests = json.loads(ask.body_bytes)["requests"]
        ids = [str(request["id"]).casefold() for request in requests]
        if not requests or any("method" not in request or "url" not in request for request in requests):
            raise ValueError("an item without method or url")
    except (ValueError, KeyError, TypeError) as broken:
        raise Refused(400, "BadRequest", "Invalid batch payload format.") from broken
    if len(requests) > LIMIT:
        text = f"Number of batch request steps exceeds the maximum value of {LIMIT}."
        raise Refused(400, world.switches.batch_limit_code, text)
    if len(set(ids)) < len(ids):
        raise Refused(400, "BadRequest", "Request Id values must be unique within a batch.")
    return list(requests)


def _one(
    world: World,
    ask: Ask,
    request: Mapping[str, Any],
    *,
    answers: Mapping[str, Answer],
    per_mailbox: dict[str, int],
) -> Answer:
    inner = _inner(ask, request)
    try:
        _check_parents(request, answers)
        _check_item(world, inner, request, per_mailbox=per_mailbox)
    except Instead as other:
        return Answer(status=200, headers={"Content-Type": "image/jpeg"}, payload=other.body)
    except Refused as why:
        return refusal(inner, why)
    return answer(world, inner)


def _check_parents(request: Mapping[str, Any], answers: Mapping[str, Answer]) -> None:
    for parent in request.get("dependsOn", []):
        done = answers.get(str(parent).casefold())
        if done is None or done.status >= 400:
            raise Refused(424, "FailedDependency", "A request this one depends on failed.")


def _check_item(world: World, inner: Ask, request: Mapping[str, Any], *, per_mailbox: dict[str, int]) -> None:
    """Refuse an item for its form, a planned fault, a storm, or too many at once for one mailbox."""
    route = f"{inner.method} {inner.path}"
    world.log.check_item(inner.method, inner.path)
    if inner.segments == ("$batch",):
        raise Refused(400, "BadRequest", "A batch cannot hold a batch.")
    if request.get("body") is not None and "content-type" not in inner.headers:
        raise Refused(400, "BadRequest", "Content-Type is required when there is a body.")
    if inner.method != "GET" and "photo" in inner.segments and not world.switches.batch_put:
        raise Refused(400, "BadRequest", "Photos cannot be written in a batch.")
    fault = world.faults.take(f"ITEM {route}") or world.faults.storm(item=True)
    if fault is None and _too_many(inner, per_mailbox):
        fault = world.faults.throttled()
    if fault is not None and fault.kind == "item-body":
        raise Instead(fault.message)
    if fault is not None:
        if fault.retry_after:
            world.log.item_refused(inner.method, inner.path, fault.retry_after)
        raise fault.refusal()


def _too_many(inner: Ask, per_mailbox: dict[str, int]) -> bool:
    if len(inner.segments) < 3:
        return False
    mailbox = inner.segments[1].casefold()
    per_mailbox[mailbox] = per_mailbox.get(mailbox, 0) + 1
    return per_mailbox[mailbox] > AT_ONCE_PER_MAILBOX


def _path(ask: Ask, request: Mapping[str, Any]) -> str:
    return unquote(f"/{ask.version}/{str(request['url']).lstrip('/')}".partition("?")[0])


def _inner(ask: Ask, request: Mapping[str, Any]) -> Ask:
    _, segments, query = split_target(f"/{ask.version}/{str(request['url']).lstrip('/')}")
    headers = {name.casefold(): str(value) for name, value in (request.get("headers") or {}).items()}
    return Ask(
        method=str(request["method"]).upper(),
        version=ask.version,
        segments=segments,
        path=_path(ask, request),
        query=query,
        headers={"client-request-id": ask.client_request_id} | headers,
        body_bytes=_body(request.get("body"), headers),
        roles=ask.roles,
        request_id=str(uuid.uuid4()),
        in_batch=True,
    )


def _body(body: object, headers: Mapping[str, str]) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str) and "json" not in headers.get("content-type", ""):
        try:
            return base64.b64decode(body)
        except ValueError:
            return body.encode()
    return json.dumps(body).encode()


def _told(world: World, item_id: object, done: Answer) -> dict[str, Any]:
    headers = dict(done.headers)
    item: dict[str, Any] = {"id": item_id, "status": done.status, "headers": _cased(world, headers)}
    if done.payload is not None:
        item["body"] = done.payload
    elif done.content_bytes:
        item["body"] = _encoded(world, done.content_bytes)
    return item


def _encoded(world: World, content_bytes: bytes) -> str:
    form = world.switches.item_base64
    if form == "urlsafe":
        return base64.urlsafe_b64encode(content_bytes).decode()
    text = base64.b64encode(content_bytes).decode()
    return text.rstrip("=") if form == "unpadded" else text


def _cased(world: World, headers: dict[str, str]) -> dict[str, str]:
    case = world.switches.item_header_case
    if case == "lower" or (case == "mixed" and world.dice.random() < 0.5):
        return {name.lower(): value for name, value in headers.items()}
    return headers
