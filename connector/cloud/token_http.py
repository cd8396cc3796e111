"""Ask the token issuer for MSAL: same trust and proxies as Graph, with timeouts, tries, and errors in words.

Each answer is reduced to what MSAL reads of it, each member of the kind that it must be. MSAL trusts its issuer: a list
for an object, a number of 400 digits or a text with half a character would end in its own errors, and an answer that is
no JSON is logged with the token in it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from connector.cloud.http import HttpClient
from connector.cloud.network_errors import CHECK_NETWORK_FIX, PERMANENT, NetworkError, RequestFailure
from connector.cloud.response import Response, read_json, web_page_came
from connector.cloud.retry import backoff, is_retryable, retry_after
from connector.errors import Unreachable
from connector.model import RequestCounters, foreign

CODE = re.compile(r"AADSTS(\d+)")
# What follows is of no use to people. Blanks before it are not searched for, since that is quadratic.
TRAILER = re.compile(r"(Correlation ID|Timestamp):.*", re.DOTALL)
LONGEST_SEARCHED = 20_000


class IssuerAway(Unreachable):
    """Raised when the issuer gave no usable answer; a later try may succeed."""


REGISTRATION = "Entra admin center > App registrations > your app > Certificates & secrets"

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes; the codes may change, so the issuer's
# own text is always shown beside these.
ISSUER_CODES = {
    "7000215": (
        "the client secret is wrong",
        f"Copy the secret's value, not its ID, into AZURE_CLIENT_SECRET ({REGISTRATION}).",
    ),
    "7000222": ("the client secret has expired", f"Create a new one, or better a certificate ({REGISTRATION})."),
    "700016": (
        "the application is not in this tenant",
        "Check AZURE_CLIENT_ID and AZURE_TENANT_ID, and GRAPH_CLOUD for a national cloud.",
    ),
    "90002": ("there is no such tenant", "Check AZURE_TENANT_ID, and GRAPH_CLOUD for a national cloud."),
    "900023": ("there is no such tenant", "Check AZURE_TENANT_ID: the directory (tenant) ID or a domain of it."),
    "700027": (
        "the certificate is not registered for the application, or its key does not fit",
        f"Upload the certificate's public part ({REGISTRATION}).",
    ),
    "700021": (
        "the federated token is not meant for this application",
        "Compare its subject with the federated credential of the app registration.",
    ),
    "700023": (
        "the federated token's subject is another one",
        "Compare its subject with the federated credential of the app registration.",
    ),
    "70021": ("no federated credential fits the token", "Compare issuer, subject and audience with the registration."),
    "7000218": ("no credential reached the issuer", "Set AZURE_CLIENT_CERTIFICATE_PATH or AZURE_CLIENT_SECRET."),
    "700024": (
        "the signed assertion's time is out of range",
        "Set this machine's clock; Linux: timedatectl set-ntp true, Windows: w32tm /resync.",
    ),
    "7000112": ("the application is disabled", "Enable it: Entra admin center > Enterprise applications > Properties."),
    "500011": ("the resource is not known in this tenant", "Check GRAPH_CLOUD and GRAPH_URL."),
    "53003": ("a Conditional Access policy blocks the application", "Exempt it in the policy for workload identities."),
}
OTHERWISE = ("no token was given", "Look the code up at https://login.microsoftonline.com/error, and check AZURE_*.")


def token_refused(text: str, *, secrets: tuple[str, ...] = ()) -> Unreachable:
    """Return the stop of the run for an issuer's error text; the text is shown, secrets in it are not."""
    text = text[:LONGEST_SEARCHED]
    found = CODE.search(text)
    what, fix = ISSUER_CODES.get(found.group(1), OTHERWISE) if found else OTHERWISE
    shown = foreign(TRAILER.sub("", text))
    for secret in secrets:
        shown = shown.replace(secret, "…") if secret else shown
    return Unreachable("token", f"{what}: {shown}", fix)


# RFC 6749, sections 5.1 and 5.2; Microsoft's own members of an error; OpenID Connect Discovery 1.0, section 3.
TEXTS = (
    "token_type",
    "error",
    "error_description",
    "suberror",
    "timestamp",
    "trace_id",
    "correlation_id",
    "resource",
    "message",
)
ADDRESSES = ("token_endpoint", "authorization_endpoint", "device_authorization_endpoint", "issuer")
NUMBERS = ("expires_in", "ext_expires_in", "expires_on", "not_before", "statusCode")
# A Unix time fits, and so does every lifetime.
MOST_SECONDS = 10_000_000_000
LONGEST_TEXT = 4_000
HTTPS = re.compile(r"https://[!-~]+", re.IGNORECASE)
TOKEN = re.compile(r"[!-~]+")
ISSUER_FIX = (
    "Start again later; check HTTPS_PROXY, and AZURE_AUTHORITY_HOST where it is set: something may answer instead."
)


def clean_answer(answer: Response) -> str:
    """Return the answer as JSON text for MSAL; raises Unreachable for a success that is no JSON object, or no token.

    A refusal in another form (Azure Arc's challenge has no body) becomes an error of the kind that MSAL knows.
    """
    value = read_json(answer.body)
    if not isinstance(value, dict) and answer.status >= 400:
        said = foreign(answer.body.decode("utf-8", "replace")[:LONGEST_TEXT])
        return json.dumps({"error": f"HTTP {answer.status}", "error_description": said})
    if 200 < answer.status < 400:
        raise Unreachable(
            "token",
            f"the token issuer answered with HTTP {answer.status}, which is no answer to a request for a token",
            ISSUER_FIX,
        )
    if not isinstance(value, dict):
        kind = "JSON, but no object" if value is not None else "no JSON"
        raise Unreachable("token", f"the token issuer's answer (HTTP {answer.status}) is {kind}", ISSUER_FIX)
    return json.dumps({**_texts(value), **_numbers(value), **_token(value)})


def check_discovery(text: str) -> None:
    """Raise Unreachable for a discovery document without https addresses: the secret goes where it leads."""
    value = read_json(text)
    for name in ("authorization_endpoint", "token_endpoint"):
        if not isinstance(value, dict) or not HTTPS.fullmatch(str(value.get(name, ""))):
            raise Unreachable(
                "token", f"the token issuer's discovery document has no https address as {name}", ISSUER_FIX
            )


def _texts(value: dict[str, Any]) -> dict[str, str]:
    kept = {name: value[name][:LONGEST_TEXT] for name in TEXTS if isinstance(value.get(name), str)}
    links = {
        name: value[name] for name in ADDRESSES if isinstance(value.get(name), str) and len(value[name]) < LONGEST_TEXT
    }
    return {**kept, **links}


def _numbers(value: dict[str, Any]) -> dict[str, int]:
    """Return the lifetimes and the like: numbers, or digits as the identity endpoints send them."""
    given = {name: str(value[name]) for name in NUMBERS if isinstance(value.get(name), str | int)}
    return {
        name: int(text)
        for name, text in given.items()
        if text.isdecimal() and len(text) <= 11 and int(text) <= MOST_SECONDS
    }


def _token(value: dict[str, Any]) -> dict[str, str]:
    token = value.get("access_token")
    if token is None:
        return {}
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise Unreachable("token", "the token issuer gave a token with characters that no token has", ISSUER_FIX)
    return {"access_token": token}


TRIES = 4
TRIES_WHEN_SILENT = 2
READ_SECONDS = 12.0
# A token has some kilobytes, a discovery document two.
MOST_TOKEN_BYTES = 1 << 20
LONGEST_WAIT_SECONDS = 30.0
# The identity endpoint of a virtual machine answers 404 or 410 while it is updated, for 70 seconds at most.
# https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
IDENTITY, IDENTITY_SECONDS, IDENTITY_UPDATING = "/metadata/identity/oauth2/token", 70.0, frozenset({404, 410})
DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """An answer with the attributes that MSAL reads."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Raise Unreachable for an error that MSAL does not handle."""
        if self.status_code >= 400:
            raise _broken(Response(self.status_code, self.headers, self.text.encode()))


class TokenHttp:
    """Implement MSAL's `http_client`; each request may be repeated, since asking twice for a token does no harm.

    `pause` waits, and raises PersonError as soon as the run was ended meanwhile.
    """

    def __init__(self, http: HttpClient, traffic: RequestCounters, *, pause: Callable[[float], None]) -> None:
        self._http = http
        self._traffic = traffic
        self._pause = pause

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
        """Do nothing: the HTTP client is closed by its owner."""

    def _request_with_retries(
        self, method: str, url: str, body: bytes | None, *, headers: dict[str, str]
    ) -> TokenAnswer:
        tries = 0
        until = time.monotonic() + IDENTITY_SECONDS if urlsplit(url).path.endswith(IDENTITY) else 0.0
        while True:
            tries += 1
            self._pause(0.0)  # a run that was ended asks no more
            answer = self._try(method, url, body, headers=headers, tries=tries)
            is_updating = bool(until) and answer.status in IDENTITY_UPDATING
            if not is_retryable(answer) and not is_updating:
                _refuse_web_page(answer)
                return TokenAnswer(answer.status, clean_answer(answer), answer.headers)
            wait = retry_after(answer.headers) or backoff(tries)
            is_last = time.monotonic() + wait > until if until and answer.status else tries >= TRIES
            if is_last or wait > LONGEST_WAIT_SECONDS:
                raise _broken(answer)
            self._pause(wait)

    def _try(self, method: str, url: str, body: bytes | None, *, headers: dict[str, str], tries: int) -> Response:
        try:
            self._http.probe(url)
            self._traffic.add("token_requests")
            return self._http.send(
                method, url, headers=headers, body=body, read_seconds=READ_SECONDS, most_bytes=MOST_TOKEN_BYTES
            )
        except NetworkError as error:
            if error.fault in PERMANENT or (tries >= TRIES_WHEN_SILENT and error.fault is not RequestFailure.DROPPED):
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
    said = answer.note or f"HTTP {answer.status}: {foreign(answer.body.decode('utf-8', 'replace'))}"
    again = f"Start again in {wait:.0f} seconds." if wait else "Start again later."
    fix = again if answer.status else f"{again} {CHECK_NETWORK_FIX}"
    return IssuerAway("token", f"the token issuer gave no usable answer: {said}", fix)
