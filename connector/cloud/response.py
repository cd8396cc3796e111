"""What did the cloud say? One answer, whether it came alone, inside a batch, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.cloud.json_text import read_json
from connector.model import LONGEST_CODE, foreign

SUCCESS = frozenset({200, 201, 202, 204})


@dataclass(frozen=True, slots=True)
class Response:
    """Hold an answer; status 0 means that none came, `note` says in words why, `sent` whether the request went out.

    `headers` are by lower-case name. `body` is the raw bytes, or inside a batch the JSON value of the item.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default=b"", repr=False)
    note: str = ""
    sent: bool = True

    @property
    def ok(self) -> bool:
        """Say whether the request was carried out."""
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
    """Hold what an error answer says of itself: Graph's code and message, and the id support asks for."""

    status: int
    code: str
    message: str
    request_id: str

    def __str__(self) -> str:
        """Say all of it in one line, fit for a report."""
        said = ": ".join(part for part in (self.code, self.message) if part)
        number = f"HTTP {self.status}" if self.status else "no answer"
        trail = f" (request-id {self.request_id})" if self.request_id else ""
        return f"{number}{', ' + said if said else ''}{trail}"


def read_refusal(answer: Response) -> ErrorDetails:
    """Read the error envelope, also where the real error hides as JSON text in the message of an UnknownError.

    SharePoint has two of its own: OData 3 with a message in a language, and a bare description beside a 401.
    Source: https://learn.microsoft.com/graph/errors
    """
    body = answer.json_object()
    error = body.get("error") or body.get("odata.error")
    error = error if isinstance(error, dict) else {}
    told = error.get("message") or body.get("error_description")
    code, message = _text(error.get("code")), _text(told.get("value") if isinstance(told, dict) else told)
    inner = error.get("innerError") or error.get("innererror")
    request_id = answer.headers.get("request-id") or _text(inner.get("request-id") if isinstance(inner, dict) else "")
    nested = _nested(message)
    if nested:
        code = _text(nested.get("errorCode")) or _text(nested.get("code")) or code
        message = _text(nested.get("message"))
    return ErrorDetails(answer.status, _short(code), one_line(message or answer.note), _short(request_id))


def one_line(text: str) -> str:
    """Fold text of foreign origin into one short line of printable characters."""
    return foreign(text)


def _short(text: str) -> str:
    return foreign(text, longest=LONGEST_CODE)


def _nested(message: str) -> dict[str, Any]:
    if not message.lstrip().startswith("{"):
        return {}
    value = read_json(message)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
