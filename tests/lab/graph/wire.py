"""Handle HTTP between a socket and Graph: tokens, latency, caps, storms and broken answers; each request recorded."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.types import Receive, Scope, Send

from tests.lab.graph.answers import Answer, Ask, Refused, common_headers, refusal
from tests.lab.graph.batch import answer_batch
from tests.lab.graph.faults import Fault
from tests.lab.graph.log import Item, Record
from tests.lab.graph.routes import answer, check_token, split_target
from tests.lab.graph.tokens import TokenRefused
from tests.lab.graph.world import World

DRIPS = 10
PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Welcome</body></html>"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as it came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    body_bytes: bytes

    @property
    def path(self) -> str:
        """Return the decoded path, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> str:
        """Return the raw query."""
        return self.target.partition("?")[2]


@dataclass(frozen=True, slots=True)
class Broken:
    """What goes over the wire: an answer, or what a fault left of it; `whole` says that it is not cut off."""

    kind: str
    status: int
    headers: Mapping[str, str]
    body_bytes: bytes
    whole: bool
    drips: float = 0.0

    @classmethod
    def of(cls, done: Answer, fault: Fault | None = None, *, lengthless: bool = False) -> Broken:
        """Break an answer as the fault says; without one it stays right."""
        kind = fault.kind if fault else ""
        body, status, headers = done.body(), done.status, dict(done.headers)
        if kind in ("wrong-content", "empty"):
            body, status = (PAGE, fault.page_status) if fault and kind == "wrong-content" else (b"", 200)
            headers["Content-Type"] = "text/html" if kind == "wrong-content" else "application/json"
        if 300 <= status < 400 and kind == "wrong-content":
            body, headers = b"", {"Location": "https://portal.corp.example/login?user=1"}
        promised = len(body)
        if kind in ("truncated", "drop-mid"):
            body = body[: len(body) // 2]
            promised = len(body) if kind == "truncated" else promised or 1
        if status not in (204, 304) and not lengthless:
            headers["Content-Length"] = str(promised)
        drips = fault.seconds if fault and kind == "drip" else 0.0
        return cls(kind, status, headers, body, kind not in ("drop", "drop-mid"), drips)


class ClientGone(Exception):
    """Raised when a client hung up before its request was whole; nothing of it is carried out."""


async def arrived(scope: Scope, receive: Receive) -> Arrived:
    """Read a request to its end; raises ClientGone."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        more = message.get("more_body", False)
    raw = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    target = raw.decode("ascii", "replace") + (f"?{query.decode('ascii', 'replace')}" if query else "")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Arrived(scope["method"], target, headers, bytes(body))


async def serve_graph(world: World, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one Graph request on the wire."""
    with world.lock:  # a request counts from its head on: a slow upload is in flight too
        early = Arrived(scope["method"], scope["raw_path"].decode("ascii", "replace"), {}, b"")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        record = world.log.begin("graph", early.method, path=early.path, query=query, headers=headers)
    try:
        request = await arrived(scope, receive)
        watching = asyncio.create_task(_watch(world, record, receive))
        try:
            await _graph(world, request, record, scope=scope, send=send)
        finally:
            watching.cancel()
    finally:
        with world.lock:
            world.log.end(record)  # nothing to do but for a request that failed within the lab


async def _watch(world: World, record: Record, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    with world.lock:
        world.log.left(record)


async def _graph(world: World, request: Arrived, record: Record, *, scope: Scope, send: Send) -> None:
    ask = _asked(request)
    with world.lock:
        fault = _fault(world, request)
        pause = _pause(world, ask) + (fault.seconds if fault and fault.kind != "drip" else 0.0)
    await _until(record.started + pause / 2)
    await _held(world, record, fault, performed=False)
    with world.lock:
        done = _answered(world, ask, fault, request.headers.get("authorization", ""))
    await _until(record.started + pause)
    await _held(world, record, fault, performed=True)
    done = replace(done, headers=common_headers(ask) | dict(done.headers))
    broken = Broken.of(done, fault, lengthless=_lengthless(world, done))
    with world.lock:  # before the answer leaves, so that who has it finds it in the record
        world.log.end(record, **_told(request, ask, done=done, broken=broken), pause=pause)
    await deliver(_garbled(world, broken), scope=scope, send=send)


async def _until(moment: float) -> None:
    """Wait until a second of the monotonic clock: the lab's own work on a request is part of its latency."""
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


async def _held(world: World, record: Record, fault: Fault | None, *, performed: bool) -> None:
    """Wait until the test lets a held request go; raises ClientGone when its client has hung up."""
    if fault is None or fault.kind != "hold" or fault.performed != performed:
        return
    world.faults.held += 1
    while not world.faults.is_released:
        if world.log.has_left(record):
            raise ClientGone
        await asyncio.sleep(0.005)


def _told(request: Arrived, ask: Ask, *, done: Answer, broken: Broken) -> dict[str, Any]:
    return {
        "bytes_in": len(request.body_bytes),
        "bytes_out": len(broken.body_bytes),
        "status": broken.status if broken.whole else 0,
        "items": tuple(Item(method=method, path=path, status=status) for method, path, status in done.items),
        "retry_after": done.headers.get("Retry-After", ""),
        "request_id": ask.request_id,
    }


def _asked(request: Arrived) -> Ask:
    version, segments, query = split_target(request.target)
    return Ask(
        method=request.method,
        version=version,
        segments=segments,
        path=request.path,
        query=query,
        headers=request.headers,
        body_bytes=request.body_bytes,
    )


def _fault(world: World, request: Arrived) -> Fault | None:
    """Choose what goes wrong: a planned fault first, then the cap, then the storm."""
    planned = world.faults.take(f"{request.method} {request.path}")
    cap = world.switches.concurrency_cap
    about_photos = "/photo" in request.path or "$batch" in request.path
    if planned is None and cap and about_photos and world.log.photo_requests_open() > cap:
        return world.faults.throttled()
    return planned or world.faults.storm()


def _pause(world: World, ask: Ask) -> float:
    waves = 1
    if ask.segments == ("$batch",) and world.switches.batch_parallel:
        waves = math.ceil(ask.body_bytes.count(b'"method"') / world.switches.batch_parallel) or 1
    return world.switches.latency * waves + world.faults.slow_seconds()


def _answered(world: World, ask: Ask, fault: Fault | None, authorization: str) -> Answer:
    """Carry the request out, unless its fault says that it never got so far."""
    refused = fault is not None and fault.kind == "status"
    try:
        if fault is not None and not fault.performed and fault.kind in ("status", "drop", "wrong-content", "empty"):
            raise fault.refusal()
        allowed = replace(ask, roles=check_token(world, authorization))
        done = answer_batch(world, allowed) if _is_batch(ask) else answer(world, allowed)
    except Refused as why:
        return refusal(ask, why)
    return refusal(ask, fault.refusal()) if fault is not None and refused else done


def _is_batch(ask: Ask) -> bool:
    return ask.segments == ("$batch",) and ask.method == "POST"


def _lengthless(world: World, done: Answer) -> bool:
    return not world.switches.photo_content_length and done.payload is None and bool(done.content_bytes)


async def deliver(answer: Broken, *, scope: Scope, send: Send) -> None:
    """Send an answer, or what a fault left of it."""
    if answer.kind == "drop":
        scope["lab.transport"].abort()
        return
    pairs = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    body_bytes = answer.body_bytes
    if answer.drips:
        size = math.ceil(len(body_bytes) / DRIPS)
        for start in range(0, len(body_bytes), size or 1):
            await asyncio.sleep(answer.drips / DRIPS)
            await send({"type": "http.response.body", "body": body_bytes[start : start + size], "more_body": True})
        body_bytes = b""
    await send({"type": "http.response.body", "body": body_bytes, "more_body": not answer.whole})
    if not answer.whole:
        scope["lab.transport"].close()


async def serve_issuer(world: World, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the token issuer's two routes for any tenant."""
    request = await arrived(scope, receive)
    with world.lock:
        record = world.log.begin(
            "token", request.method, path=request.path, query=request.query, headers=request.headers
        )
        fault = world.faults.take(f"{request.method} {request.path}")
        answer = Broken.of(_issued(world, request, fault), fault)
    await asyncio.sleep(fault.seconds if fault else 0.0)
    await _held(world, record, fault, performed=True)
    with world.lock:
        world.log.end(record, status=answer.status if answer.whole else 0, bytes_out=len(answer.body_bytes))
    await deliver(_garbled(world, answer), scope=scope, send=send)


def _garbled(world: World, answer: Broken) -> Broken:
    if world.garble is None:
        return answer
    status, headers, body = world.garble(answer.status, dict(answer.headers), answer.body_bytes)
    if "Content-Length" in headers:
        headers["Content-Length"] = str(len(body))
    return replace(answer, status=status, headers=headers, body_bytes=body)


def _issued(world: World, request: Arrived, fault: Fault | None) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store, no-cache"}
    if fault is not None and fault.kind == "status":
        wait = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        body = {"error": fault.code or "temporarily_unavailable", "error_description": fault.message}
        return Answer(status=fault.status, headers=headers | wait, payload=body)
    tenant = request.path.strip("/").split("/")[0]
    try:
        if request.path.endswith("/openid-configuration"):
            return Answer(status=200, headers=headers, payload=world.issuer.discovery(tenant))
        form = dict(parse_qsl(request.body_bytes.decode()))
        return Answer(status=200, headers=headers, payload=world.issuer.token(tenant, form))
    except TokenRefused as why:
        return Answer(status=why.status, headers=headers, payload=why.body())


def as_json(payload: object, status: int = 200) -> Answer:
    """Return a plain JSON answer of the lab's own."""
    body = json.dumps(payload).encode()
    return Answer(status=status, headers={"Content-Type": "application/json"}, content_bytes=body)
