"""How does MSAL reach the token issuer? Over our wire: same trust, same proxies, with timeouts and a few tries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from connector.cloud.http import HttpClient
from connector.cloud.network_errors import LASTING, NetworkError, RequestFailure
from connector.cloud.response import Response, one_line
from connector.cloud.retry import backoff, is_retryable, retry_after
from connector.cloud.token_answer import check_discovery, clean_answer
from connector.cloud.token_errors import IssuerAway, token_refused
from connector.cloud.web_page import web_page_came
from connector.errors import Unreachable
from connector.model import RequestCounters

TRIES = 4
TRIES_WHEN_SILENT = 2
READ_SECONDS = 12.0
LONGEST_WAIT_SECONDS = 30.0
# The identity endpoint of a virtual machine answers 404 or 410 while it is updated, for 70 seconds at most.
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
IDENTITY, IDENTITY_SECONDS, IDENTITY_UPDATING = "/metadata/identity/oauth2/token", 70.0, frozenset({404, 410})
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Hold an answer in the shape that MSAL reads."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Stop the run on an error that MSAL makes nothing of."""
        if self.status_code >= 400:
            raise _broken(Response(self.status_code, self.headers, self.text.encode()))


class TokenHttp:
    """Serve as MSAL's `http_client`; each request is safe to repeat, since a token asked for twice harms nobody."""

    def __init__(self, wire: HttpClient, traffic: RequestCounters) -> None:
        self._wire = wire
        self._traffic = traffic

    def get(
        self, url: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> TokenAnswer:
        """Ask, with `params` as the query."""
        asked = f"{url}{'&' if '?' in url else '?'}{urlencode(params)}" if params else url
        answer = self._request_with_retries("GET", asked, None, headers=dict(headers or {}))
        if answer.status_code >= 400 and url.endswith(DISCOVERY):
            # MSAL would put words of its own in place of the issuer's
            raise token_refused(_description(answer.text))
        if url.endswith(DISCOVERY):
            check_discovery(answer.text)
        return answer

    def post(self, url: str, data: Any = None, headers: Mapping[str, str] | None = None, **_: Any) -> TokenAnswer:
        """Send `data` as a form."""
        body = urlencode(data).encode() if isinstance(data, Mapping) else str(data or "").encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._request_with_retries("POST", url, body, headers={**form, **(headers or {})})

    def close(self) -> None:
        """Leave the wire open; it belongs to its maker."""

    def _request_with_retries(
        self, method: str, url: str, body: bytes | None, *, headers: dict[str, str]
    ) -> TokenAnswer:
        tries = 0
        until = time.monotonic() + IDENTITY_SECONDS if urlsplit(url).path.endswith(IDENTITY) else 0.0
        while True:
            tries += 1
            answer = self._try(method, url, body, headers=headers, tries=tries)
            is_updating = bool(until) and answer.status in IDENTITY_UPDATING
            if not is_retryable(answer) and not is_updating:
                _refuse_web_page(answer)
                return TokenAnswer(answer.status, clean_answer(answer), answer.headers)
            wait = retry_after(answer.headers) or backoff(tries)
            is_last = time.monotonic() + wait > until if until and answer.status else tries >= TRIES
            if is_last or wait > LONGEST_WAIT_SECONDS:
                raise _broken(answer)
            time.sleep(wait)

    def _try(self, method: str, url: str, body: bytes | None, *, headers: dict[str, str], tries: int) -> Response:
        try:
            self._wire.probe(url)
            self._traffic.add("token_requests")
            return self._wire.send(method, url, headers=headers, body=body, read_seconds=READ_SECONDS)
        except NetworkError as error:
            if error.fault in LASTING or (tries >= TRIES_WHEN_SILENT and error.fault is not RequestFailure.DROPPED):
                raise _unreachable(error, url) from error
            return Response(0, note=error.message)


def _refuse_web_page(answer: Response) -> None:
    """Raise Unreachable if a page for people, or a redirect to one, came in the issuer's place."""
    if answer.is_web_page:
        raise web_page_came(answer, "token", place="the token issuer's answer")


def _description(text: str) -> str:
    """Return the issuer's own words out of its JSON, else the text as it stands."""
    said = Response(0, body=text.encode()).json_object().get("error_description")
    return said if isinstance(said, str) else text


def _unreachable(error: NetworkError, url: str) -> Unreachable:
    if (urlsplit(url).hostname or "").startswith("169.254."):
        fix = "AZURE_MANAGED_IDENTITY works only on a machine in Azure, or one joined to Azure Arc; use a certificate."
        return Unreachable("token", "this machine has no managed identity: nobody answers for it", fix)
    return IssuerAway("token", error.message, error.fix)


def _broken(answer: Response) -> Unreachable:
    wait = retry_after(answer.headers)
    when = f"in {wait:.0f} seconds" if wait else "later"
    said = answer.note or f"HTTP {answer.status}: {one_line(answer.body.decode('utf-8', 'replace'))}"
    return IssuerAway("token", f"the token issuer gives no answer of use: {said}", f"Start again {when}.")
