"""Requests, answers and refusals of Graph, before they become HTTP."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One Graph request, from the wire or from inside a batch; header names are lower-case."""

    method: str
    version: str
    segments: tuple[str, ...]
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body_bytes: bytes = b""
    roles: frozenset[str] = frozenset()
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    in_batch: bool = False

    @property
    def client_request_id(self) -> str:
        """Return what the client named its request, or our own id."""
        return self.headers.get("client-request-id", self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One Graph answer; `payload` is JSON and wins over `content_bytes`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: object = None
    content_bytes: bytes = b""
    items: tuple[tuple[str, str, int], ...] = ()

    def body(self) -> bytes:
        """Return the bytes that go over the wire."""
        if self.payload is None:
            return self.content_bytes
        return json.dumps(self.payload, separators=(",", ":")).encode()


class Refused(Exception):
    """End a request with an error; `bare` errors carry no innerError detail of their own."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str = "",
        *,
        nested: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.nested = nested
        self.headers = dict(headers or {})


def zoneless_now() -> str:
    """Return the time as Graph writes it in innerError: UTC, without saying so."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def refusal(ask: Ask, why: Refused) -> Answer:
    """Put a refusal into Graph's error envelope (facts 3, 7 and 9)."""
    inner = {"date": zoneless_now(), "request-id": ask.request_id, "client-request-id": ask.client_request_id}
    code, message = why.code, why.message
    if why.status == 429 and code == "TooManyRequests":
        inner = {"code": "429", "date": inner["date"], "message": "Please retry after"} | inner | {"status": "429"}
    if why.nested:
        code, message = "UnknownError", json.dumps({"errorCode": why.code, "message": why.message, "target": None})
    error = {"code": code, "message": message, "innerError": inner}
    return Answer(status=why.status, headers={"Content-Type": JSON_TYPE} | why.headers, payload={"error": error})


def told(payload: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON, as Graph types it."""
    usual = {"Content-Type": JSON_TYPE, "OData-Version": "4.0", "Cache-Control": "no-cache"}
    return Answer(status=status, headers=usual | dict(headers or {}), payload=payload)


def common_headers(ask: Ask) -> dict[str, str]:
    """Return what stands in every Graph answer (facts 3)."""
    server = {"DataCenter": "Lab", "Slice": "E", "Ring": "5", "ScaleUnit": "001", "RoleInstance": "LAB0001"}
    return {
        "request-id": ask.request_id,
        "client-request-id": ask.client_request_id,
        "Strict-Transport-Security": "max-age=31536000",
        "x-ms-ags-diagnostic": json.dumps({"ServerInfo": server}, separators=(",", ":")),
    }
