"""Make nonsense of right answers, from seeded dice: JSON, HTTP heads, and the BER of LDAP messages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

DEEP = "@@ 200,000 deep @@"
NESTED = "[" * 200_000 + "]" * 200_000
VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda: None, lambda: True, lambda: -1, lambda: 0, lambda: 10**400, lambda: 1e308, list, dict),
    *(lambda: [[]], lambda: {"a": {}}, lambda: "", lambda: "\ud800", lambda: "x\udfffy", lambda: "x" * 50_000),
    *(
        lambda: "\x00\x1b[31m\u202e",
        lambda: "https://127.0.0.1:1/",
        lambda: "https://[::1",
        lambda: "00:99",
        lambda: DEEP,
    ),
    *(lambda: ["\udc00", {}], lambda: "=" * 9, lambda: "99999999999", lambda: float("nan"), lambda: "<html>"),
)
# Statuses that tell of load are rare here: after them the program rests.
STATUSES = (
    *(200, 201, 204, 206, 299, 301, 302, 400, 401, 402, 403, 404, 405, 409, 410, 412, 413, 418, 451, 499, 511, 600),
)
RESTING = (408, 429, 500, 502, 503, 504)
HEADERS = {
    "Retry-After": ("9" * 400, "Thu, 01 Jan 99999 00:00:00 GMT", "-1", "1e999", "", "nan", "\u00b2"),
    "Date": ("Mon, 99 Foo 99999999999999999999 99:99:99 GMT", "", "0", "Thu, 01 Jan 0000 00:00:00 -9999"),
    "Content-Type": ("text/html", "", "image/gif", "application/json;;;=", "\u00ff" * 500),
    "ETag": ("", 'W/"\u00ff"', "x" * 5_000),
    "Location": ("", "https://[", "//", "javascript:1"),
    "request-id": ("\x1b[2J".replace("\x1b", ""), "x" * 5_000, ""),
    "WWW-Authenticate": ("Bearer", "Bearer error=", 'Bearer error="insufficient_claims", claims="%%%"', "\u00ff"),
}
JUNK = (
    b"\xed\xa0\x80",
    b"\xff",
    b"\x00",
    b"\\ud800",
    b"\\",
    b'"',
    b"[",
    b"{",
    b"}",
    b"9" * 400,
    b"\xef\xbb\xbf",
    b"<html>",
)
Path = tuple[str | int, ...]
Reply = tuple[int, dict[str, str], bytes]


class Garbler:
    """Garble about one answer in so many; `count` tells how many were garbled."""

    def __init__(self, seed: int, *, one_in: int = 3) -> None:
        self.dice, self.one_in, self.count = random.Random(seed), one_in, 0

    def http(self, status: int, headers: dict[str, str], body: bytes) -> Reply:
        """Return another HTTP answer."""
        if self.dice.randrange(self.one_in):
            return status, headers, body
        self.count += 1
        what = self.dice.random()
        if what < 0.6:
            return status, headers, self._json(body)
        if what < 0.75:
            return status, headers, self._bytes(body)
        if what < 0.87:
            return status, self._head(headers), body
        return self._refusal(headers, body)

    def ldap(self, encoded: bytes) -> tuple[bytes, bool]:
        """Return other LDAP messages, and whether the connection goes on: not where the client would wait for more."""
        if self.dice.randrange(2 * self.one_in):
            return encoded, True
        self.count += 1
        if self.dice.random() < 0.2:
            return self._bytes(encoded), False
        try:
            nodes = list(read_ber(encoded))
        except (IndexError, ValueError):
            return encoded, True
        heads = [_head_of(node) for node in nodes]
        chosen = self.dice.randrange(len(nodes)) if nodes else -1
        parts = [self._message(node) if index == chosen else node.encoded() for index, node in enumerate(nodes)]
        return b"".join(parts), heads == [_head_of(node) for node in nodes]

    def _json(self, body: bytes) -> bytes:
        try:
            value = json.loads(body)
        except ValueError:
            return self._bytes(body)
        for _ in range(self.dice.choice((1, 1, 2, 5))):
            value = self._changed(value)
        return json.dumps(value).replace(f'"{DEEP}"', NESTED).encode()

    def _changed(self, value: Any) -> Any:
        path = self.dice.choice(list(paths(value)))
        new = self.dice.choice(VALUES)()
        if not path:
            return new if self.dice.random() < 0.2 else value
        holder = value
        for step in path[:-1]:
            holder = holder[step]
        match self.dice.randrange(4):
            case 0 if isinstance(holder, dict):
                del holder[path[-1]]
            case 1 if isinstance(holder, list):
                holder.append(new)
            case 2:
                holder[path[-1]] = [holder[path[-1]], new]
            case _:
                holder[path[-1]] = new
        return value

    def _bytes(self, content: bytes) -> bytes:
        if not content:
            return self.dice.choice(JUNK)
        place = self.dice.randrange(len(content))
        match self.dice.randrange(4):
            case 0:
                return content[:place]
            case 1:
                return content[:place] + self.dice.choice(JUNK) + content[place:]
            case 2:
                return content[:place] + bytes([self.dice.randrange(256)]) + content[place + 1 :]
        return content + self.dice.choice((b"\n<html>appended</html>", content, b"}"))

    def _head(self, headers: dict[str, str]) -> dict[str, str]:
        name = self.dice.choice(list(HEADERS))
        return {**headers, name: self.dice.choice(HEADERS[name])}

    def _refusal(self, headers: dict[str, str], body: bytes) -> Reply:
        rests = self.dice.random() < 0.1
        status = self.dice.choice(RESTING if rests else STATUSES)
        error = {"error": {"code": self.dice.choice(VALUES)(), "message": self.dice.choice(VALUES)()}}
        text = json.dumps(error).replace(f'"{DEEP}"', NESTED).encode()
        wait = {"Retry-After": "0.01"} if rests else {}
        content = b"" if status in (204, 304) else self.dice.choice((body, text, text, b"", b"<html>no</html>"))
        if status == 204:
            headers = {name: value for name, value in headers.items() if name != "Content-Length"}
        return status, {**headers, **wait}, content

    def _message(self, node: Ber) -> bytes:
        """Change one element of a message, and encode it with lengths that fit again."""
        spots = list(spots_of(node))
        self._spoil(self.dice.choice(spots))
        return node.encoded()

    def _spoil(self, node: Ber) -> None:
        match self.dice.randrange(6):
            case 0:
                node.tag = self.dice.randrange(256)
            case 1 if node.inner:
                node.inner.pop(self.dice.randrange(len(node.inner)))
            case 2 if node.inner:
                node.inner.append(self.dice.choice(node.inner))
            case 3:
                node.inner, node.content = [], b"\xff" * self.dice.choice((0, 1, 9, 300))
            case _:
                node.inner, node.content = [], self._bytes(node.content)


class Ber:
    """One element of BER: its tag, and its content or the elements in it (X.690, section 8.1)."""

    def __init__(self, tag: int, content: bytes) -> None:
        self.tag, self.content, self.inner = tag, content, list[Ber]()
        if tag & 0x20:
            self.inner = list(read_ber(content))

    def encoded(self) -> bytes:
        """Encode it with the length that it has now."""
        content = b"".join(one.encoded() for one in self.inner) if self.inner else self.content
        size = len(content)
        length = bytes([size]) if size < 128 else b"\x84" + size.to_bytes(4, "big")
        return bytes([self.tag]) + length + content


def _head_of(message: Ber) -> tuple[bytes, int]:
    """Return what a client needs to know whom a message answers, and whether it is the last one."""
    if len(message.inner) < 2:
        return b"", -1
    return message.inner[0].encoded(), message.inner[1].tag


def read_ber(encoded: bytes) -> Iterator[Ber]:
    """Read elements one after the other; raises ValueError or IndexError for what is none."""
    place = 0
    while place < len(encoded):
        tag, size, place = encoded[place], encoded[place + 1], place + 2
        if size >= 128:
            count = size - 128
            size, place = int.from_bytes(encoded[place : place + count], "big"), place + count
        if place + size > len(encoded):
            raise ValueError("an element is cut short")
        yield Ber(tag, encoded[place : place + size])
        place += size


def spots_of(node: Ber) -> Iterator[Ber]:
    """Yield an element and all in it, but for the message's own number: who answers nobody is not listened to."""
    for index, inner in enumerate(node.inner):
        if index or node.tag != 0x30 or inner.tag != 0x02:
            yield inner
            yield from spots_of(inner)
    if not node.inner:
        yield node


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """Yield the way to every node of a JSON value."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from paths(one, (*above, step))
