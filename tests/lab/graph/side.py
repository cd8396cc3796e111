"""Plain HTTP beside the cloud: the machine's identity endpoint, and the lab's own control endpoint under /_lab."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from tests.lab.graph.answers import Answer
from tests.lab.graph.codec import packed, unpacked
from tests.lab.graph.wire import Arrived, Broken, arrived, as_json, deliver
from tests.lab.graph.world import World

VM_PATH, APP_PATH = "/metadata/identity/oauth2/token", "/msi/token"


async def serve_identity(world: World, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the two forms of a managed identity endpoint (facts 10)."""
    request = await arrived(scope, receive)
    with world.lock:
        record = world.log.begin(
            "identity", request.method, path=request.path, query=request.query, headers=request.headers
        )
        fault = world.faults.take(f"{request.method} {request.path}")
        answer = Broken.of(_identity(world, request), fault)
        world.log.end(record, status=answer.status if answer.whole else 0, bytes_out=len(answer.body_bytes))
    await deliver(answer, scope=scope, send=send)


def _identity(world: World, request: Arrived) -> Answer:
    query = dict(parse_qsl(request.query))
    on_vm = request.path == VM_PATH
    allowed = (
        request.headers.get("metadata", "").casefold() == "true"
        if on_vm
        else request.headers.get("x-identity-header") == world.issuer.identity_header
    )
    version = "2018-02-01" if on_vm else "2019-08-01"
    if not allowed or query.get("api-version") != version or not query.get("resource"):
        body = {"error": "invalid_request", "error_description": "Required metadata header not specified"}
        return as_json(body, 400)
    if query.get("client_id", world.issuer.client_id) != world.issuer.client_id:
        return as_json({"error": "invalid_request", "error_description": "Identity not found"}, 400)
    issued = world.issuer.issued(query["resource"])
    expires = {"expires_in": str(issued["expires_in"]), "expires_on": str(int(time.time()) + issued["expires_in"])}
    token = {"access_token": issued["access_token"], "resource": query["resource"], "token_type": "Bearer"}
    return as_json(token | expires)


Call = Callable[[str, list[Any], dict[str, Any]], Any]


async def serve_desk(call: Call, scope: Scope, receive: Receive, send: Send) -> None:
    """Carry out POST /_lab/call {"name", "args", "named"}; what the method raises comes back as 400 with a text."""
    request = await arrived(scope, receive)
    try:
        wanted = json.loads(request.body_bytes)
        args, named = unpacked(wanted.get("args", [])), unpacked(wanted.get("named", {}))
        result = await asyncio.to_thread(call, wanted["name"], args, named)  # some calls wait for the loop itself
        done = as_json({"result": packed(result)})
    except Exception as wrong:  # noqa: BLE001 - told to the caller in the other process
        done = as_json({"error": f"{type(wrong).__name__}: {wrong}"}, 400)
    await deliver(Broken.of(done), scope=scope, send=send)
