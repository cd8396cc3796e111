"""Send up to twenty GETs in one JSON batch; ask again for throttled items, and in halves after a failure.

Source: https://learn.microsoft.com/graph/json-batching
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

from connector.cloud.response import Response
from connector.cloud.retry import ALONE_FROM, Wait, WaitScope, is_retryable, tries_allowed, wait_after
from connector.cloud.throttle import Permit
from connector.cloud.transport import Transport

BATCH_SIZE = 20
MISSING = Response(0, note="the batch's answer left this item out")
CONTRADICTORY = Response(0, note="the batch's answer has this item twice, with different contents")
# A batch that used up its tries as a whole has fewer tries in parts.
REPEATS_OF_A_HALF = 2
OTHER_ALPHABET = str.maketrans("-_", "+/")


def batch_get(transport: Transport, urls: Mapping[str, str]) -> dict[str, Response]:
    """Ask for at most `BATCH_SIZE` addresses below the root, by any keys; return each key's answer.

    Failed items are asked again after the longest wait among them; items whose token was refused once, with a new one.
    An item that still fails keeps its last answer. A batch that fails as a whole is asked in halves,
    down to one address: at most 2 n - 1 requests for n addresses. An answer's body is a JSON value: an object, or
    base64 text (see `decode_photo`).
    """
    if len(urls) > BATCH_SIZE:
        raise ValueError(f"a batch holds at most {BATCH_SIZE} requests")
    answers: dict[str, Response] = {}
    open_keys = list(urls)
    tries, is_renewed = 0, False
    while open_keys:
        tries += 1
        permit, token = transport.throttle.permit(), transport.token()
        items, failed = _ask(transport, {key: urls[key] for key in open_keys})
        answers |= items | failed
        waiting = [key for key in items if is_retryable(items[key]) and tries < tries_allowed(items[key])]
        refused = [key for key in items if items[key].status == 401 and not is_renewed]
        if refused:
            transport.renew(token)
            is_renewed = True
        if waiting:
            others_pass = tries >= ALONE_FROM and any(not is_retryable(answers[key]) for key in urls)
            waits = [wait_after(answers[key], tries) for key in waiting]
            _wait(transport, waits, permit, is_alone=others_pass)
        open_keys = waiting + refused + [key for key in failed if _may_be_a_slip(failed[key], tries)]
    return answers


def _may_be_a_slip(answer: Response, tries: int) -> bool:
    """Return True if a web page with a success status may be gone at the next try."""
    return answer.ok and answer.is_web_page and tries <= REPEATS_OF_A_HALF


def decode_photo(body: object) -> bytes | None:
    """Decode an item's picture: base64 in either alphabet, padded or not; None where it is none.

    Strict: a picture that is truncated or mixed with other text must not be accepted.
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


def _ask(
    transport: Transport, urls: Mapping[str, str], *, repeats: int | None = None
) -> tuple[dict[str, Response], dict[str, Response]]:
    """Return the items' answers, and the answers that came in place of a whole batch, which are final."""
    keys = dict(enumerate(urls))
    requests = [{"id": str(number), "method": "GET", "url": urls[key]} for number, key in keys.items()]
    whole = transport.request("POST", "/$batch", json={"requests": requests}, safe=True, repeats=repeats)
    if whole.ok and not whole.is_web_page:
        items = _by_id(whole.json_object().get("responses"), date=whole.headers.get("date", ""))
        return {key: items.get(str(number), MISSING) for number, key in keys.items()}, {}
    if len(urls) == 1:
        return {}, dict.fromkeys(urls, whole)
    return _ask_in_halves(transport, urls)


def _ask_in_halves(transport: Transport, urls: Mapping[str, str]) -> tuple[dict[str, Response], dict[str, Response]]:
    """Ask for both halves of a batch that failed as a whole, so that one bad address fails alone."""
    listed = list(urls)
    middle = len(listed) // 2
    items: dict[str, Response] = {}
    failed: dict[str, Response] = {}
    for half in (listed[:middle], listed[middle:]):
        own_items, own_failed = _ask(transport, {key: urls[key] for key in half}, repeats=REPEATS_OF_A_HALF)
        items |= own_items
        failed |= own_failed
    return items, failed


def _by_id(responses: object, *, date: str) -> dict[str, Response]:
    """Return the items by their ids; one that came twice and differs says nothing."""
    found: dict[str, Response] = {}
    for item in responses if isinstance(responses, list) else ():
        if isinstance(item, dict) and isinstance(item.get("id"), str | int):
            answer = _item(item, date=date)
            known = found.setdefault(str(item["id"]), answer)
            if known != answer:
                found[str(item["id"])] = CONTRADICTORY
    return found


def _item(response: Mapping[str, Any], *, date: str) -> Response:
    """Return an item's answer; `date` is the Date of the whole answer."""
    status = response.get("status")
    headers = response.get("headers")
    given = headers.items() if isinstance(headers, dict) else ()
    own = {name.lower(): str(value) for name, value in given if isinstance(value, str | int | float)}
    named = {"date": date, **own}
    return Response(status if isinstance(status, int) else 0, named, response.get("body"))


def _wait(transport: Transport, waits: list[Wait], permit: Permit, *, is_alone: bool) -> None:
    """Wait the longest of the waits: all workers if the service asked for it; if others succeed, only this one."""
    for_all = max((wait.seconds for wait in waits if wait.scope is WaitScope.ALL and not is_alone), default=0.0)
    for_one = max((wait.seconds for wait in waits if wait.scope is WaitScope.ONE or is_alone), default=0.0)
    if for_all:
        transport.throttle.reduce_concurrency(permit)
        transport.block_all(for_all)
    if for_one:
        transport.throttle.pause(for_one)
