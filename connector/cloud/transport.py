"""How is one request brought to its end? Signed, let through the gate, sent, and tried again where that is safe."""

from __future__ import annotations

import json as json_text
import logging
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from connector import __version__
from connector.cloud.auth import TokenSource
from connector.cloud.http import MOST_BYTES, READ_SECONDS, HttpClient
from connector.cloud.network_errors import CHECK_WAY_OUT, LASTING, MAYBE_DONE, NetworkError, RequestFailure
from connector.cloud.response import Response, one_line, read_refusal, web_page_came
from connector.cloud.retry import (
    ALONE_FROM,
    WaitScope,
    is_overload,
    is_retryable,
    may_have_succeeded,
    tries_allowed,
    wait_after,
)
from connector.cloud.throttle import PATIENCE_SECONDS, Throttle, WaitLimitExceeded
from connector.errors import Unreachable
from connector.model import RequestCounters

log = logging.getLogger("connector.cloud")

# https://learn.microsoft.com/sharepoint/dev/general-development/how-to-avoid-getting-throttled-or-blocked-in-sharepoint-online
USER_AGENT = f"NONISV|photo-connector|photo-connector/{__version__}"
HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Cache-Control": "no-cache",
    "x-ms-throttle-priority": "low",
}
# Before the first answer of all, a system that is silent is more likely unreachable than busy.
FIRST_READ_SECONDS = 12.0
TRIES_AT_FIRST = {
    RequestFailure.NAME: 2,
    RequestFailure.CONNECT: 2,
    RequestFailure.TLS: 2,
    RequestFailure.TIMEOUT: 2,
    RequestFailure.DROPPED: 5,
}
TRIES_AFTER_TIMEOUT = 4
TRIES_AFTER_TOO_LARGE = 2
# Twenty photos of some megabytes, in base64; an answer that everybody needs has a smaller limit.
MOST_BATCH_BYTES = 64 << 20
# How often a write may be sent again after an end that leaves open whether it was carried out.
REPEATS = 3
FRUITLESS_IN_A_ROW = 10
# RFC 3986: printable ASCII without space; the scheme is always https.
LINK = re.compile(r"https://[!-~]+")
LONGEST_SHOWN = 100
CLAIMS_FIX = (
    "Look at Entra's Conditional Access policies for workload identities (Entra admin center > Sign-in logs > Service "
    "principal sign-ins shows which one): exclude this application, or let it in from this machine's address."
)
COME_BACK = "Start again later; what was done is remembered."


@dataclass(frozen=True, slots=True)
class Call:
    """Hold what is to be asked; `repeats` is None where asking again changes nothing.

    `one_person` says that a token refused after its renewal is this person's trouble: the answer is returned.
    """

    method: str
    url: str
    body: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    repeats: int | None
    one_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Name a system: its address without a closing slash, the token's scope, what stands before relative paths."""

    root: str
    scope: str
    version: str = ""
    system: str = "Graph"
    refused_fix: str = "Check GRAPH_CLOUD, GRAPH_URL and AZURE_TENANT_ID: the token must be of the tenant's own cloud."


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address, in lower case; empty where it is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()


class Transport:
    """Bring requests to one system to their end; safe to share between threads."""

    def __init__(
        self,
        wire: HttpClient,
        tokens: TokenSource,
        traffic: RequestCounters,
        *,
        endpoint: Endpoint,
        lanes: int,
        read_seconds: float = READ_SECONDS,
        gate: Throttle | None = None,
    ) -> None:
        """Take a gate of its own, unless it shares one with another system."""
        self.root = endpoint.root
        self.origin = origin_of(endpoint.root)
        self.system = endpoint.system
        self._below = endpoint.root + endpoint.version
        self.gate = gate or Throttle(lanes)
        self._wire = wire
        self._tokens = tokens
        self._traffic = traffic
        self._scope = endpoint.scope
        self.refused_fix = endpoint.refused_fix
        self._read_seconds = read_seconds
        self._answered = False
        self._lock = threading.Lock()
        self._fruitless = 0
        self._pages_in_a_row: Counter[str] = Counter()

    def request(
        self,
        method: str,
        url: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool | None = None,
        repeats: int | None = None,
        one_person: bool = False,
    ) -> Response:
        """Ask, and return the last answer: any status, or 0 when none came after all tries.

        `url` begins with a slash (below the root) or is one that the same system gave us. `safe` says that asking
        twice changes nothing (GET by default). A request that may have been carried out is sent again at most `repeats`
        times (as often as is usual where it is safe, else `REPEATS` times). Raises Unreachable for what concerns
        everybody; a token that is refused after it was renewed does, unless the request is `one_person`'s.
        """
        own = dict(headers or {})
        if json is not None:
            body = json_text.dumps(json, separators=(",", ":")).encode()
            own["Content-Type"] = "application/json"
        is_safe = method == "GET" if safe is None else safe
        may_repeat = REPEATS if repeats is None and not is_safe else repeats
        return self._request_with_retries(Call(method, self._absolute(url), body, own, may_repeat, one_person))

    def token(self) -> str:
        """Return the token that requests are signed with now."""
        return self._tokens.token(self._scope)

    def renew(self, token: str) -> None:
        """Acquire another token in place of this one, unless that was done meanwhile."""
        self._tokens.renew(token, scope=self._scope)

    def may_ask(self, link: str) -> bool:
        """Return True if a link that the service gave is a whole address below our own host, where the token may go."""
        return LINK.fullmatch(link) is not None and origin_of(link) == self.origin

    def hold(self, seconds: float) -> None:
        """Let no worker send for so long, because the service said so; raises Unreachable beyond all patience."""
        self._traffic.add("waits")
        try:
            self.gate.block_all(seconds)
        except WaitLimitExceeded as error:
            message = f"we were told to wait {error.seconds:.0f} seconds more"
            raise Unreachable(self.system, message, COME_BACK) from error

    def pace(self) -> dict[str, float]:
        """Tell how the service let us go."""
        return self.gate.pace()

    def close(self) -> None:
        """Turn away all who wait, and close idle connections."""
        self.gate.close()
        self._wire.close()

    def _request_with_retries(self, call: Call) -> Response:
        unsure = renewals = tries = passed_by = 0
        while True:
            tries += 1
            before = self.gate.successes
            answer, pause, token = self._try(call, tries=tries, is_alone=passed_by >= ALONE_FROM - 1)
            if answer.status == 401 and self._may_renew(call, answer, renewals=renewals):
                renewals += 1
                self._tokens.renew(token, scope=self._scope)
                continue
            if not is_retryable(answer):
                self._fruitless = 0
                self._count_pages(call, answer)
                return answer
            unsure += may_have_succeeded(answer)
            passed_by += tries > 1 and self.gate.successes > before
            if tries >= self._most_tries(answer) or (call.repeats is not None and unsure > call.repeats):
                return self._give_up(answer)
            self.gate.pause(pause)

    def _try(self, call: Call, *, tries: int, is_alone: bool) -> tuple[Response, float, str]:
        """Send once; return the answer, the seconds this request should rest, and the token it was sent with.

        The gate is told how it went before the lane is free again, so that no worker slips through; not where the
        request is alone with its trouble, since others pass.
        """
        self._tokens.token(self._scope)  # acquired, if need be, outside the lanes
        with self.gate.lane() as ticket:
            token = self._tokens.token(self._scope)  # again, since it may have been renewed while we waited
            answer = self._send(call, token, again=tries > 1)
            if not is_retryable(answer):
                self.gate.report_success(ticket)
                return answer, 0.0, token
            wait = wait_after(answer, tries)
            if is_alone:
                return answer, wait.seconds, token
            if is_overload(answer):
                self.gate.reduce_concurrency(ticket)
            if wait.who is WaitScope.ONE:
                return answer, wait.seconds, token
            self.hold(wait.seconds)
            return answer, 0.0, token

    def _send(self, call: Call, token: str, *, again: bool) -> Response:
        request_id = str(uuid.uuid4())
        headers = {**HEADERS, **call.headers, "Authorization": f"Bearer {token}", "client-request-id": request_id}
        began = time.monotonic()
        answer = self._send_once(call, headers)
        if answer.sent:
            self._count(call, answer, again=again)
        log.debug(
            "%s %s %s -> %s in %d ms, request-id %s %s",
            *(self.system, call.method, urlsplit(call.url).path, answer.status or "no answer"),
            *(1000 * (time.monotonic() - began), answer.headers.get("request-id", request_id), answer.note),
        )
        return answer

    def _send_once(self, call: Call, headers: Mapping[str, str]) -> Response:
        seconds = self._read_seconds if self._answered else min(FIRST_READ_SECONDS, self._read_seconds)
        try:
            if not self._answered:
                self._wire.probe(call.url)
            most = MOST_BATCH_BYTES if call.url.endswith("$batch") else MOST_BYTES
            answer = self._wire.send(
                call.method, call.url, headers=headers, body=call.body, read_seconds=seconds, most_bytes=most
            )
        except NetworkError as error:
            return self._as_response(error)
        self._answered = True
        return answer

    def _as_response(self, error: NetworkError) -> Response:
        if error.fault in LASTING:
            raise Unreachable(self.system, error.message, error.fix) from error
        headers = {"fault": error.fault.value}
        return Response(0, headers, note=error.message, sent=error.fault in MAYBE_DONE)

    def _count(self, call: Call, answer: Response, *, again: bool) -> None:
        self._traffic.add("http")
        if again:
            self._traffic.add("http_retries")
        self._traffic.add("bytes_up", len(call.body or b""))
        self._traffic.add("bytes_down", len(answer.body))

    def _most_tries(self, answer: Response) -> int:
        fault = answer.headers.get("fault", "")
        if fault == RequestFailure.TOO_LARGE:
            return TRIES_AFTER_TOO_LARGE
        if fault and not self._answered:
            return TRIES_AT_FIRST[RequestFailure(fault)]
        return TRIES_AFTER_TIMEOUT if fault == RequestFailure.TIMEOUT else tries_allowed(answer)

    def _may_renew(self, call: Call, answer: Response, *, renewals: int) -> bool:
        """Return True if a new token may help, False where its refusal is one person's; raise Unreachable otherwise."""
        if answer.asks_for_claims:
            raise self.token_refused(answer)
        if not renewals:
            return True
        if call.one_person:
            return False
        raise self.token_refused(answer)

    def token_refused(self, answer: Response) -> Unreachable:
        """Return the end of a run whose token is refused, with the cause that the answer names."""
        if answer.asks_for_claims:
            message = f"our token was refused by Conditional Access (a claims challenge): {read_refusal(answer)}"
            return Unreachable(self.system, message, CLAIMS_FIX)
        message = f"our token was refused, also after it was renewed: {read_refusal(answer)}"
        return Unreachable(self.system, message, self.refused_fix)

    def _give_up(self, answer: Response) -> Response:
        """Return the last answer; raise instead when there is nothing to hope for in the next request either."""
        if not answer.sent or not self._answered:
            raise Unreachable(self.system, answer.note, CHECK_WAY_OUT)
        with self._lock:
            self._fruitless += 1
            enough = self._fruitless >= FRUITLESS_IN_A_ROW
        if enough or self.gate.seconds_in_trouble() > PATIENCE_SECONDS:
            message = f"nothing but trouble for a while; the last was: {read_refusal(answer)}"
            raise Unreachable(self.system, message, COME_BACK)
        return answer

    def _count_pages(self, call: Call, answer: Response) -> None:
        """Raise Unreachable when nothing but web pages comes in place of one kind of request; one may be one person's.

        Each method is counted for itself, since a filter may stop writes and let reads pass.
        """
        with self._lock:
            self._pages_in_a_row[call.method] += 1
            if not answer.is_web_page:
                self._pages_in_a_row[call.method] = 0
            enough = self._pages_in_a_row[call.method] >= FRUITLESS_IN_A_ROW
        if enough:
            raise web_page_came(answer, self.system, place=f"every answer to {call.method}")

    def _absolute(self, url: str) -> str:
        """Return the full address; refuse another origin, where our token has no business."""
        if url.startswith("/"):
            return self._below + url
        if not self.may_ask(url):
            host = origin_of(url)[:LONGEST_SHOWN] or "no address at all"
            message = f"it gave a link to another host ({one_line(host)}), where our token must not go"
            raise Unreachable(self.system, message, "Check GRAPH_URL, and what stands between this machine and Graph.")
        return url
