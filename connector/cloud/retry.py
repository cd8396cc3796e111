"""Decide whether and when a request is retried, from its answer and the number of tries; pure functions."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from connector.cloud.response import Response, read_refusal

TRIES = 8
TRIES_AFTER = {500: 6}
# Some mailboxes (Bookings) answer so for ever; others should not wait long for them.
STUBBORN_CODES = frozenset({"ErrorStoreInternalServerError"})
TRIES_AFTER_STUBBORN = 3
# SharePoint answers 500 where one person has no profile; asking again changes nothing.
ABOUT_ONE_PROFILE = "-1, Microsoft.Office.Server.UserProfiles."
# These tell of load; a plain 500 or 502 does not.
LOAD = frozenset({0, 408, 429, 503, 504, 509})
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 60.0
# Constant "Retry-After: 1" was seen while nothing got better; from this try on our own backoff counts, too.
DISTRUST_FROM = 3
# Refused so often while others passed in between, a request waits for itself: the service's load is not the cause.
ALONE_FROM = 3
REFUSED_FOR_NOW = frozenset({429, 503, 509})
BROKE_ON_THE_WAY = frozenset({0, 408, 500, 502, 504})
NUMBER = re.compile(r"\s*\d+(\.\d+)?\s*", re.ASCII)


class WaitScope(Enum):
    """Name what waits: all requests (the service asked for it), or only the one that failed."""

    ALL = "all"
    ONE = "one"


@dataclass(frozen=True, slots=True)
class Wait:
    """Describe the wait before the next try: how long, and for which requests."""

    seconds: float
    scope: WaitScope


def is_retryable(answer: Response) -> bool:
    """Return True if the answer is about the service's state and not about this request."""
    if answer.status == 500 and read_refusal(answer).code.startswith(ABOUT_ONE_PROFILE):
        return False
    return answer.status in REFUSED_FOR_NOW or answer.status in BROKE_ON_THE_WAY


def may_have_succeeded(answer: Response) -> bool:
    """Return True if the request may have been carried out although no success was reported."""
    return answer.sent and answer.status in BROKE_ON_THE_WAY


def is_overload(answer: Response) -> bool:
    """Return True if fewer concurrent requests would help."""
    return answer.status in LOAD


def tries_allowed(answer: Response) -> int:
    """Return how often a request that met this trouble may be sent in all."""
    if answer.status == 500 and read_refusal(answer).code in STUBBORN_CODES:
        return TRIES_AFTER_STUBBORN
    return TRIES_AFTER.get(answer.status, TRIES)


def wait_after(answer: Response, tries: int, *, now: datetime | None = None) -> Wait:
    """Return the wait after a failed try; `tries` counts the tries already made."""
    requested = retry_after(answer.headers, now=now)
    own = backoff(tries)
    if requested is None:
        return Wait(own, WaitScope.ALL if answer.status in REFUSED_FOR_NOW else WaitScope.ONE)
    return Wait(max(requested, own) if tries >= DISTRUST_FROM else requested, WaitScope.ALL)


def backoff(tries: int) -> float:
    """Return seconds: doubled at each try, capped, and drawn from the upper half so that workers spread out."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (tries - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret depends on it


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return Retry-After in seconds (whole, decimal, or an HTTP date); None if absent or invalid.

    `headers` are by lower-case name. A date is measured from the answer's own Date, since clocks differ.
    Source: RFC 9110, section 10.2.3; decimals: Graph's own documentation.
    """
    text = headers.get("retry-after", "")
    if NUMBER.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) and seconds > 0 else None
    until = http_date(text)
    if until is None:
        return None
    seconds = (until - (http_date(headers.get("date", "")) or now or datetime.now(UTC))).total_seconds()
    return seconds if seconds > 0 else None


def http_date(text: str) -> datetime | None:
    """Return an HTTP date with its time zone; None if the text is no date, or one that datetime cannot represent."""
    try:
        value = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
