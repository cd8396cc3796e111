"""Record every request of the client, and check two rules that it must not break."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime

from tests.lab.graph.switches import Switches

KEPT = (
    *("host", "user-agent", "content-type", "accept", "prefer", "consistencylevel", "client-request-id", "if-match"),
    *("x-ms-throttle-priority", "if-none-match", "content-length", "metadata", "accept-encoding", "connection"),
)
# Refused so often while others were served, a request is refused alone.
ALONE_AFTER = 3
PHOTO_WRITE = re.compile(r"/(?:v1\.0|beta)/users[/(]'?([^/')]+)'?\)?/photo(?:/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One request inside a batch."""

    method: str
    path: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request on the wire; times are monotonic seconds, `status` 0 means no whole answer.

    `kind`: graph, token or identity. `in_flight` counts the Graph requests under way, this one included.
    `pause` is how long the lab was told to take. Authorization and bodies are not kept.
    """

    number: int
    kind: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    started: float
    in_flight: int
    bytes_in: int = 0
    bytes_out: int = 0
    ended: float = 0.0
    status: int = 0
    retry_after: str = ""
    request_id: str = ""
    pause: float = 0.0
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken rule: `inside-wait` or `two-writes-in-flight`."""

    kind: str
    method: str
    path: str
    detail: str


@dataclass(slots=True)
class _Waits:
    everything_until: float = 0.0
    told_at: float = 0.0
    by_item: dict[str, tuple[float, float]] = field(default_factory=dict)


class RequestLog:
    """Keep the records; safe to read from any thread while requests come in."""

    def __init__(self, switches: Switches, lock: threading.RLock) -> None:
        self._switches, self._lock = switches, lock
        self._records: list[Record] = []
        self._open: dict[int, Record] = {}
        self._left: set[int] = set()
        self._writing: Counter[str] = Counter()
        self._violations: list[Violation] = []
        self._waits = _Waits()
        self._refusals: Counter[str] = Counter()
        self._served_at: dict[str, int] = {}
        self._served = 0
        self._number = 0

    # -- for tests

    def records(self) -> list[Record]:
        """Return the finished requests, in the order they ended."""
        with self._lock:
            return list(self._records)

    def violations(self) -> list[Violation]:
        """Return every broken rule."""
        with self._lock:
            return list(self._violations)

    def counts(self) -> dict[str, int]:
        """Count: each method and `graph` (requests to Graph), `batch`, `items`, `token`, `identity`, `photo_puts`."""
        with self._lock:
            graph = [record for record in self._records if record.kind == "graph"]
            counts = Counter(record.method for record in graph)
            counts["graph"] = len(graph)
            counts["batch"] = sum(record.path.endswith("/$batch") for record in graph)
            counts["items"] = sum(len(record.items) for record in graph)
            counts["photo_puts"] = sum(r.method in ("PUT", "PATCH") and "/photo" in r.path for r in graph)
            counts.update(record.kind for record in self._records if record.kind != "graph")
            return dict(counts)

    def in_flight(self) -> int:
        """Return how many requests are under way at this moment."""
        with self._lock:
            return len(self._open)

    def most_in_flight(self) -> int:
        """Return the highest number of Graph requests that were under way at once."""
        with self._lock:
            return max((record.in_flight for record in self._records if record.kind == "graph"), default=0)

    def clear(self) -> None:
        """Forget what was asked; requests under way stay counted."""
        with self._lock:
            self._records.clear()
            self._violations.clear()
            self._waits = _Waits()

    # -- for the wire; the caller holds the lock

    def begin(self, kind: str, method: str, *, path: str, query: str, headers: Mapping[str, str]) -> Record:
        """Record that a request has arrived."""
        now = time.monotonic()
        self._number += 1
        waiting = [record for number, record in self._open.items() if number not in self._left]
        busy = sum(record.kind == "graph" for record in waiting) + (kind == "graph")
        kept = {name: headers[name] for name in KEPT if name in headers}
        record = Record(
            number=self._number,
            kind=kind,
            method=method,
            path=path,
            query=query,
            headers=kept,
            started=now,
            in_flight=busy,
        )
        self._open[record.number] = record
        if kind == "graph":
            self._check_wait(record)
            self._check_writes(record)
        return record

    def photo_requests_open(self) -> int:
        """Count the requests for photos under way; a batch is one."""
        return sum("/photo" in record.path or "$batch" in record.path for record in self._open.values())

    def end(self, record: Record, **told: object) -> None:
        """Record how a request ended, once; `told` are the fields known by now."""
        if record.number not in self._open:
            return
        done = replace(record, ended=time.monotonic(), **told)  # type: ignore[arg-type]
        if record.number in self._left:
            self._left.discard(record.number)
            done = replace(done, status=0)
        elif who := _written(done):
            self._writing[who] -= 1
        del self._open[record.number]
        self._records.append(done)
        self._refused_alone(done)
        if done.retry_after and done.status in (429, 503) and self._refusals[_route(done)] <= ALONE_AFTER:
            self._waits.told_at = done.ended
            self._waits.everything_until = max(self._waits.everything_until, done.ended + seconds(done.retry_after))

    def _refused_alone(self, done: Record) -> None:
        """Count how often a request was refused in a row while others were served in between.

        For whom a Retry-After is meant is not documented; a request that is refused alone may wait alone.
        """
        route = _route(done)
        if done.status not in (429, 503):
            self._refusals.pop(route, None)
            self._served += 1
        elif self._served > self._served_at.get(route, -1):
            self._refusals[route] += 1
            self._served_at[route] = self._served

    def left(self, record: Record) -> None:
        """Record that the client hung up: the request is over for it, though the service may still carry it out."""
        if record.number not in self._open or record.number in self._left:
            return
        self._left.add(record.number)
        if who := _written(record):
            self._writing[who] -= 1

    def has_left(self, record: Record) -> bool:
        """Return True if the client of this request hung up."""
        return record.number in self._left

    def item_refused(self, method: str, path: str, retry_after: str) -> None:
        """Record that one item of a batch was told to wait."""
        now = time.monotonic()
        self._waits.by_item[f"{method} {path}"] = (now, now + seconds(retry_after))

    def check_item(self, method: str, path: str) -> None:
        """Record an item that came back before its own wait was over."""
        told_at, until = self._waits.by_item.get(f"{method} {path}", (0.0, 0.0))
        now = time.monotonic()
        if told_at + self._switches.wait_grace < now < until - 0.01:
            self._broken("inside-wait", method, path, f"{until - now:.3f} s too early, as a batch item")

    def _check_wait(self, record: Record) -> None:
        waits = self._waits
        if waits.told_at + self._switches.wait_grace < record.started < waits.everything_until - 0.01:
            early = waits.everything_until - record.started
            self._broken("inside-wait", record.method, record.path, f"{early:.3f} s too early")

    def _check_writes(self, record: Record) -> None:
        who = _written(record)
        if not who:
            return
        self._writing[who] += 1
        if self._writing[who] > 1:
            self._broken("two-writes-in-flight", record.method, record.path, f"for {who}")

    def _broken(self, kind: str, method: str, path: str, detail: str) -> None:
        self._violations.append(Violation(kind=kind, method=method, path=path, detail=detail))


def seconds(retry_after: str) -> float:
    """Return a Retry-After (number or HTTP date) as seconds from now; 0 when there is none."""
    if not retry_after:
        return 0.0
    try:
        return float(retry_after)
    except ValueError:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()


def _route(record: Record) -> str:
    return f"{record.method} {record.path}"


def _written(record: Record) -> str:
    if record.method not in ("PUT", "PATCH", "DELETE"):
        return ""
    match = PHOTO_WRITE.match(record.path)
    return match[1].casefold() if match else ""
