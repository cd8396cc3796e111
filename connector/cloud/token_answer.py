"""Reduce an issuer's answer to what MSAL reads of it, each member of the kind that it must be.

MSAL trusts its issuer: a list for an object, a number of 400 digits or a text in a half of a character would end in
its own errors, and an answer that is no JSON is logged with the token in it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from connector.cloud.json_text import read_json
from connector.cloud.response import Response, one_line
from connector.errors import Unreachable

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
FIX = "Start again later; check HTTPS_PROXY, and AZURE_AUTHORITY_HOST where it is set: something may answer instead."


def clean_answer(answer: Response) -> str:
    """Return the answer as JSON text for MSAL; raises Unreachable for a success that is no JSON object, or no token.

    A refusal in another form (Azure Arc's challenge has no body) becomes an error of the kind that MSAL knows.
    """
    value = read_json(answer.body)
    if not isinstance(value, dict) and answer.status >= 400:
        said = one_line(answer.body.decode("utf-8", "replace")[:LONGEST_TEXT])
        return json.dumps({"error": f"HTTP {answer.status}", "error_description": said})
    if 200 < answer.status < 400:
        raise Unreachable(
            "token", f"the token issuer answered with HTTP {answer.status}, which means nothing here", FIX
        )
    if not isinstance(value, dict):
        kind = "JSON, but no object" if value is not None else "no JSON"
        raise Unreachable("token", f"the token issuer's answer (HTTP {answer.status}) is {kind}", FIX)
    return json.dumps({**_texts(value), **_numbers(value), **_token(value)})


def check_discovery(text: str) -> None:
    """Raise Unreachable for a discovery document without https addresses: the secret goes where it leads."""
    value = read_json(text)
    for name in ("authorization_endpoint", "token_endpoint"):
        if not isinstance(value, dict) or not HTTPS.fullmatch(str(value.get(name, ""))):
            raise Unreachable("token", f"the token issuer's discovery document has no https address as {name}", FIX)


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
        raise Unreachable("token", "the token issuer gave a token with characters that no token has", FIX)
    return {"access_token": token}
