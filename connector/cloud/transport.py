"""Send a request to one service until it is answered: sign it, respect the throttle, retry where that is safe."""

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
from connector.cloud.network_errors import AMBIGUOUS, CHECK_NETWORK_FIX, PERMANENT, NetworkError, RequestFailure
from connector.cloud.response import Response, read_refusal, web_page_came
from connector.cloud.retry import (
    ALONE_FROM,
    WaitScope,
    is_overload,
    is_retryable,
    may_have_succeeded,
    tries_allowed,
    wait_after,
)
from connector.cloud.throttle import WAIT_LIMIT_SECONDS, SlowDown, Throttle, WaitLimitExceeded
from connector.errors import Unreachable
from connector.model import RequestCounters, foreign

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
# Before the first answer, a silent service is more likely unreachable than busy.
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
# How often a write may be sent again when it is not known whether it was carried out.
REPEATS = 3
FRUITLESS_IN_A_ROW = 10
# RFC 3986: printable ASCII without space; the scheme is always https.
LINK = re.compile(r"https://[!-~]+")
LONGEST_SHOWN = 100
CLAIMS_FIX = (
    "Look at Entra's Conditional Access policies for workload identities (Entra admin center > Sign-in logs > Service "
    "principal sign-ins shows which one): exclude this application, or let it in from this machine's address."
)
RETRY_LATER_FIX = "Start again later; what was done is remembered."


@dataclass(frozen=True, slots=True)
class Call:
    """A request; `repeats` is None where sending it again changes nothing.

    `one_person`: a token that is refused after its renewal concerns only this person, and the answer is returned.
    """

    method: str
    url: str
    body: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    repeats: int | None
    one_person: bool = False

    @property
    def kind(self) -> str:
        """Return what takes equally long: the method, and for a batch whether it asks for photos or for their tags."""
        if not self.url.endswith("/$batch"):
            return self.method
        return "batch of photos" if b"$value" in (self.body or b"") else "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a service: root without a closing slash, the token's scope, and the prefix of relative paths."""

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
    """Send requests to one service; safe to share between threads."""

    def __init__(
        self,
        http: HttpClient,
        tokens: TokenSource,
        traffic: RequestCounters,
        *,
        endpoint: Endpoint,
        throttle: Throttle,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Share the throttle with all that asks the same cloud."""
        self.root = endpoint.root
        self.origin = origin_of(endpoint.root)
        self.system = endpoint.system
        self._below = endpoint.root + endpoint.version
        self.throttle = throttle
        self._http = http
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
        """Send a request and return the last answer: any status, or 0 when none came after all tries.

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

    def block_all(self, seconds: float) -> None:
        """Start no request for so long, because the service asked for it; raise Unreachable beyond the limit."""
        self._traffic.add("waits")
        try:
            self.throttle.block_all(seconds)
        except WaitLimitExceeded as error:
            message = f"the service asked to wait {error.seconds:.0f} seconds more"
            raise Unreachable(self.system, message, RETRY_LATER_FIX) from error

    def pace(self) -> dict[str, float]:
        """Return the throttle's figures of the run."""
        return self.throttle.pace()

    def close(self) -> None:
        """Cancel all waiting requests and close idle connections."""
        self.throttle.close()
        self._http.close()

    def _request_with_retries(self, call: Call) -> Response:
        unsure = renewals = tries = passed_by = 0
        while True:
            tries += 1
            before = self.throttle.successes
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
            passed_by += tries > 1 and self.throttle.successes > before
            if tries >= self._most_tries(answer) or (call.repeats is not None and unsure > call.repeats):
                return self._give_up(answer)
            self.throttle.pause(pause)

    def _try(self, call: Call, *, tries: int, is_alone: bool) -> tuple[Response, float, str]:
        """Send once; return the answer, the seconds to wait before the next try, and the token it was sent with.

        The throttle learns the result before the lane is free, so that no request starts in between; not where only
        this request fails and others succeed.
        """
        self._tokens.token(self._scope)  # acquired, if needed, outside the lanes
        with self.throttle.lane(call.kind) as permit:
            token = self._tokens.token(self._scope)  # again, since it may have been renewed during the wait
            answer = self._send(call, token, again=tries > 1)
            if not is_retryable(answer):
                self.throttle.report_success(permit)
                return answer, 0.0, token
            wait = wait_after(answer, tries)
            if is_alone:
                return answer, wait.seconds, token
            if is_overload(answer):
                self.throttle.reduce_concurrency(permit, SlowDown.REFUSED if answer.status else SlowDown.UNANSWERED)
            if wait.scope is WaitScope.ONE:
                return answer, wait.seconds, token
            self.block_all(wait.seconds)
            return answer, 0.0, token

    def _send(self, call: Call, token: str, *, again: bool) -> Response:
        request_id = str(uuid.uuid4())
        headers = {**HEADERS, **call.headers, "Authorization": f"Bearer {token}", "client-request-id": request_id}
        began = time.monotonic()
        answer = self._send_once(call, headers)
        if answer.sent:
            self._count(call, answer, again=again)
        if log.isEnabledFor(logging.DEBUG):
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
                self._http.probe(call.url)
            most = MOST_BATCH_BYTES if call.url.endswith("$batch") else MOST_BYTES
            answer = self._http.send(
                call.method, call.url, headers=headers, body=call.body, read_seconds=seconds, most_bytes=most
            )
        except NetworkError as error:
            return self._as_response(error)
        self._answered = True
        return answer

    def _as_response(self, error: NetworkError) -> Response:
        if error.fault in PERMANENT:
            raise Unreachable(self.system, error.message, error.fix) from error
        headers = {"fault": error.fault.value}
        return Response(0, headers, note=error.message, sent=error.fault in AMBIGUOUS)

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
        """Return the error for a refused token, with the cause that the answer names."""
        if answer.asks_for_claims:
            message = f"our token was refused by Conditional Access (a claims challenge): {read_refusal(answer)}"
            return Unreachable(self.system, message, CLAIMS_FIX)
        message = f"our token was refused, also after it was renewed: {read_refusal(answer)}"
        return Unreachable(self.system, message, self.refused_fix)

    def _give_up(self, answer: Response) -> Response:
        """Return the last answer; raise Unreachable if later requests would fail, too."""
        if not answer.sent or not self._answered:
            raise Unreachable(self.system, answer.note, CHECK_NETWORK_FIX)
        with self._lock:
            self._fruitless += 1
            enough = self._fruitless >= FRUITLESS_IN_A_ROW
        if enough or self.throttle.seconds_in_trouble() > WAIT_LIMIT_SECONDS:
            message = f"every request failed for a while; the last answer was: {read_refusal(answer)}"
            raise Unreachable(self.system, message, RETRY_LATER_FIX)
        return answer

    def _count_pages(self, call: Call, answer: Response) -> None:
        """Raise Unreachable after ten web pages in a row for one method; a single page may concern one person.

        Each method is counted separately, since a filter may block writes and let reads pass.
        """
        with self._lock:
            self._pages_in_a_row[call.method] += 1
            if not answer.is_web_page:
                self._pages_in_a_row[call.method] = 0
            enough = self._pages_in_a_row[call.method] >= FRUITLESS_IN_A_ROW
        if enough:
            raise web_page_came(answer, self.system, place=f"every answer to {call.method}")

    def _absolute(self, url: str) -> str:
        """Return the full address; raise Unreachable for another origin, which must not get the token."""
        if url.startswith("/"):
            return self._below + url
        if not self.may_ask(url):
            host = origin_of(url)[:LONGEST_SHOWN] or "no address at all"
            message = f"it gave a link to another host ({foreign(host)}), where our token must not go"
            raise Unreachable(self.system, message, "Check GRAPH_URL, and what stands between this machine and Graph.")
        return url
