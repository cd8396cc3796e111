"""Represent one answer of a service, whether it came alone, inside a batch, or not at all, or as a web page instead."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from connector.errors import Unreachable
from connector.model import LONGEST_CODE, foreign

# A JSON escape: a pair of surrogates is one character and stays, one alone is none (RFC 8259, section 8.2).
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.S
)
_SURROGATE = re.compile(r"\\u[dD]")  # in a batch of photos five times as fast as a search for either text
SUCCESS = frozenset({200, 201, 202, 204})


def read_json(content: bytes | str) -> Any:
    """Return the value of a JSON text; None where it is none, or nested too deep. Half a character becomes U+FFFD."""
    text = content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else content
    if _SURROGATE.search(text):
        text = _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; status 0: none came, `note` is the cause in words, `sent` tells whether the request was sent.

    `headers` are by lower-case name. `body` is the raw bytes, or inside a batch the JSON value of the item.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default=b"", repr=False)
    note: str = ""
    sent: bool = True

    @property
    def ok(self) -> bool:
        """Return True if the request succeeded."""
        return self.status in SUCCESS

    @property
    def is_web_page(self) -> bool:
        """Return True if a page for people, or a redirect to one, came: a proxy or portal answered instead.

        No request of ours has an answer that redirects; 511 is a captive portal's own status (RFC 6585, section 6).
        """
        kind = self.headers.get("content-type", "").lower()
        return kind.startswith(("text/html", "application/xhtml")) or self.status == 511 or 300 <= self.status < 400

    @property
    def asks_for_claims(self) -> bool:
        """Return True if a 401 carries a claims challenge: Conditional Access wants more than the token shows.

        Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge
        """
        challenge = self.headers.get("www-authenticate", "").lower()
        return self.status == 401 and ("insufficient_claims" in challenge or "claims=" in challenge)

    def json(self) -> Any:
        """Return the body as a JSON value; None where it is none."""
        return read_json(self.body) if isinstance(self.body, bytes) else self.body

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty one where it is something else."""
        value = self.json()
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """The code, message and request id of an error answer."""

    status: int
    code: str
    message: str
    request_id: str

    def __str__(self) -> str:
        """Return one line for reports and messages."""
        said = ": ".join(part for part in (self.code, self.message) if part)
        number = f"HTTP {self.status}" if self.status else "no answer"
        suffix = f" (request-id {self.request_id})" if self.request_id else ""
        return f"{number}{', ' + said if said else ''}{suffix}"


def read_refusal(answer: Response) -> ErrorDetails:
    """Read the error envelope, also where the real error hides as JSON text in the message of an UnknownError.

    SharePoint has two of its own: OData 3 with a message in a language, and a bare description beside a 401.
    Source: https://learn.microsoft.com/graph/errors
    """
    body = answer.json_object()
    error = body.get("error") or body.get("odata.error")
    error = error if isinstance(error, dict) else {}
    text = error.get("message") or body.get("error_description")
    code, message = _text(error.get("code")), _text(text.get("value") if isinstance(text, dict) else text)
    inner = error.get("innerError") or error.get("innererror")
    request_id = answer.headers.get("request-id") or _text(inner.get("request-id") if isinstance(inner, dict) else "")
    nested = _nested(message)
    if nested:
        code = _text(nested.get("errorCode")) or _text(nested.get("code")) or code
        message = _text(nested.get("message"))
    shown, request_id = foreign(code, longest=LONGEST_CODE), foreign(request_id, longest=LONGEST_CODE)
    return ErrorDetails(answer.status, shown, foreign(message or answer.note), request_id)


def _nested(message: str) -> dict[str, Any]:
    if not message.lstrip().startswith("{"):
        return {}
    value = read_json(message)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


WEB_PAGE_FIX = (
    "Check HTTPS_PROXY and NO_PROXY: a proxy, a filter or a login portal answers on the way to Microsoft; let this"
    " machine reach Microsoft without a login page."
)
TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
# A title stands at the beginning; a page of many megabytes is not searched.
SEARCHED_BYTES = 20_000
LONGEST_TITLE = 80


def web_page_came(answer: Response, system: str, *, place: str) -> Unreachable:
    """Return the error that a page came in place of `place`, such as "the list of users"."""
    return Unreachable(system, f"a web page came in place of {place} ({describe_page(answer)})", WEB_PAGE_FIX)


def describe_page(answer: Response) -> str:
    """Return the status of a page and its redirect host or title; never a whole address, which may hold names."""
    host = _host(answer.headers.get("location", "")) if 300 <= answer.status < 400 else ""
    if host:
        return f"HTTP {answer.status} to {host}"
    title = _title(answer.body)
    return f"HTTP {answer.status}, titled '{title}'" if title else f"HTTP {answer.status}"


def _host(location: str) -> str:
    try:
        return foreign(urlsplit(location).hostname or "")
    except ValueError:
        return ""


def _title(body: object) -> str:
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    found = TITLE.search(content[:SEARCHED_BYTES]) if isinstance(content, bytes) else None
    return foreign(html.unescape(found.group(1).decode("utf-8", "replace")))[:LONGEST_TITLE] if found else ""
