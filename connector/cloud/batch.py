"""How are twenty things asked at once? By JSON batches of GETs, whose throttled items are asked again.

Source: https://learn.microsoft.com/graph/json-batching
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

from connector.cloud.answer import Answer
from connector.cloud.gate import Ticket
from connector.cloud.retry import Wait, Who, is_trouble, tries_allowed, wait_after
from connector.cloud.transport import Transport

BATCH_SIZE = 20
MISSING = Answer(0, note="the batch's answer left this item out")
OTHER_ALPHABET = str.maketrans("-_", "+/")


def batch_get(transport: Transport, urls: Mapping[str, str]) -> dict[str, Answer]:
    """Ask for at most `BATCH_SIZE` addresses below the root, by any keys; return each key's answer.

    Items that met trouble are asked again after the longest wait among them; what still has none in the end keeps
    its last answer. An answer's body is a JSON value: an object, or base64 text (see `decode_photo`).
    """
    if len(urls) > BATCH_SIZE:
        raise ValueError(f"a batch holds at most {BATCH_SIZE} requests")
    answers: dict[str, Answer] = {}
    open_keys = list(urls)
    tries = 0
    while open_keys:
        tries += 1
        ticket = transport.gate.ticket()
        answers |= _ask(transport, {key: urls[key] for key in open_keys})
        open_keys = [key for key in open_keys if is_trouble(answers[key]) and tries < tries_allowed(answers[key])]
        if open_keys:
            _sit_out(transport, [wait_after(answers[key], tries) for key in open_keys], ticket)
    return answers


def decode_photo(body: object) -> bytes | None:
    """Decode an item's picture: base64 in either alphabet, padded or not; None where it is none.

    Strict: a picture that was cut short or mixed with something else must not be taken for one.
    """
    if isinstance(body, bytes):
        return body or None
    if not isinstance(body, str) or not body:
        return None
    text = body.translate(OTHER_ALPHABET) if "-" in body or "_" in body else body
    text = text.rstrip("=")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True) or None
    except (binascii.Error, ValueError):
        return None


def _ask(transport: Transport, urls: Mapping[str, str]) -> dict[str, Answer]:
    keys = dict(enumerate(urls))
    requests = [{"id": str(number), "method": "GET", "url": urls[key]} for number, key in keys.items()]
    whole = transport.request("POST", "/$batch", json={"requests": requests}, safe=True)
    if whole.status == 401 or not whole.ok:
        return dict.fromkeys(urls, whole)
    items = _by_id(whole.json_object().get("responses"), date=whole.headers.get("date", ""))
    return {key: items.get(str(number), MISSING) for number, key in keys.items()}


def _by_id(responses: object, *, date: str) -> dict[str, Answer]:
    if not isinstance(responses, list):
        return {}
    named = (one for one in responses if isinstance(one, dict) and isinstance(one.get("id"), str | int))
    return {str(one["id"]): _item(one, date=date) for one in named}


def _item(response: Mapping[str, Any], *, date: str) -> Answer:
    """Make an item's answer; it was given when the whole was, by the service's clock (`date`)."""
    status = response.get("status")
    headers = response.get("headers")
    given = headers.items() if isinstance(headers, dict) else ()
    own = {name.lower(): str(value) for name, value in given if isinstance(value, str | int | float)}
    named = {"date": date, **own}
    return Answer(status if isinstance(status, int) else 0, named, response.get("body"))


def _sit_out(transport: Transport, waits: list[Wait], ticket: Ticket) -> None:
    """Wait the longest wait: all workers where the service said so, else only this one."""
    for_all = max((wait.seconds for wait in waits if wait.who is Who.ALL), default=0.0)
    for_one = max((wait.seconds for wait in waits if wait.who is Who.ONE), default=0.0)
    if for_all:
        transport.gate.slow(ticket)
        transport.hold(for_all)
    if for_one:
        transport.gate.pause(for_one)
