"""Faults that are asked for by name, and storms drawn from seeded dice."""

from __future__ import annotations

import math
import random
import re
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate

from tests.lab.graph.answers import Refused
from tests.lab.graph.switches import Switches

TEXTS = {
    429: ("TooManyRequests", "Please retry again later."),
    500: ("InternalServerError", "An internal server error occurred."),
    502: ("BadGateway", "Bad gateway."),
    503: ("ServiceUnavailable", "The service is temporarily unavailable."),
    504: ("GatewayTimeout", "The gateway timed out."),
    509: ("BandwidthLimitExceeded", "Bandwidth limit exceeded."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Describe one thing that goes wrong.

    `kind`: status (answer with `status`, `code`, `message`, `retry_after`), drop (close without an answer),
    drop-mid (close in the middle of the body), truncated (a whole answer whose JSON or picture is cut),
    wrong-content (a web page with `page_status`, or a redirect to one), item-body (a batch item of 200 whose body is
    `message`), empty (200 with no body), slow (right, after `seconds`), drip (right; the body takes so many seconds).
    `performed`: the request was carried out before it went wrong. `skip`: so many pass unharmed first.
    """

    kind: str = "status"
    status: int = 503
    code: str = ""
    message: str = ""
    retry_after: str = ""
    nested: bool = False
    page_status: int = 200
    seconds: float = 0.0
    performed: bool = False
    skip: int = 0

    def refusal(self) -> Refused:
        """Return the error a `status` fault answers with."""
        code, usual = TEXTS.get(self.status, ("UnknownError", ""))
        message = self.message or ("" if self.code else usual)
        headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        return Refused(self.status, self.code or code, message, nested=self.nested, headers=headers)


@dataclass(slots=True)
class _Planned:
    pattern: re.Pattern[str]
    fault: Fault
    left: int
    skip: int


class FaultBook:
    """Keep the faults that wait for a request, and throw the dice of the storms."""

    def __init__(self, switches: Switches, lock: threading.RLock, *, seed: int) -> None:
        self._switches, self._lock = switches, lock
        self._planned: list[_Planned] = []
        self._dice = random.Random(seed)
        self._forms = 0
        self.held = 0
        self.is_released = False

    def fail_next(self, route_pattern: str, fault: Fault, times: int = 1) -> None:
        """Make the next requests that fit go wrong; `times` -1 is for ever.

        `route_pattern` is matched from the start of "METHOD /path", for batch items "ITEM METHOD /path".
        """
        with self._lock:
            self._planned.append(_Planned(re.compile(route_pattern), fault, times, fault.skip))

    def clear(self) -> None:
        """Forget all planned faults."""
        with self._lock:
            self._planned.clear()

    def let_go(self) -> None:
        """Release the requests that are held, and hold none from now on."""
        self.is_released = True

    def take(self, route: str) -> Fault | None:
        """Return the fault that waits for this request, and count it down."""
        for planned in self._planned:
            if planned.left == 0 or not planned.pattern.match(route):
                continue
            if planned.skip:
                planned.skip -= 1
                continue
            planned.left -= 1
            return planned.fault
        return None

    def storm(self, *, item: bool = False) -> Fault | None:
        """Throw the dice for one request, or for one item of a batch."""
        percent = self._switches.item_storm_percent if item else self._switches.storm_percent
        if not percent or self._dice.random() * 100 >= percent:
            return None
        status = 429 if item else self._dice.choice(self._switches.storm_statuses)
        return self.throttled(status)

    def slow_seconds(self) -> float:
        """Return how much longer this request takes than it should."""
        share = self._switches.slow_percent
        return self._switches.slow_seconds if share and self._dice.random() * 100 < share else 0.0

    def throttled(self, status: int = 429) -> Fault:
        """Return a refusal for load, with Retry-After in the form whose turn it is (429 and 503 carry one)."""
        code, message = TEXTS.get(status, ("UnknownError", ""))
        if status == 429 and self._switches.throttle_code != "TooManyRequests":
            code = self._switches.throttle_code
            message = "" if code == "UnknownError" else "Application is over its MailboxConcurrency limit."
        wait = self._retry_after() if status in (429, 503) else ""
        return Fault(status=status, code=code, message=message, retry_after=wait)

    def _retry_after(self) -> str:
        forms, seconds = self._switches.retry_after_forms, self._switches.retry_after_seconds
        form = forms[self._forms % len(forms)]
        self._forms += 1
        texts = {
            "integer": str(math.ceil(seconds)),
            "decimal": f"{seconds:.3f}",
            "date": formatdate(math.ceil(time.time() + seconds), usegmt=True),
            "one": "1",
            "absent": "",
        }
        return texts[form]
