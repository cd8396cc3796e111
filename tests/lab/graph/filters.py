"""The $filter of Graph: which accounts it selects, and which filters the service refuses (facts 8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.lab.graph.answers import Refused

Test = Callable[[Mapping[str, Any]], bool]

PLAIN = {
    "id": {"eq", "in"},
    "onPremisesSyncEnabled": {"eq", "in"},
    "userType": {"eq", "in"},
    "accountEnabled": {"eq", "in"},
    "onPremisesImmutableId": {"eq", "ge", "le", "in", "startswith"},
    "onPremisesLastSyncDateTime": {"eq", "ge", "le", "in"},
    "onPremisesUserPrincipalName": {"eq", "in", "startswith"},
    "mail": {"eq", "startswith"},
    "userPrincipalName": {"eq", "startswith"},
}
ADVANCED = {"onPremisesSyncEnabled", "userType", "accountEnabled", "onPremisesImmutableId", "onPremisesSamAccountName"}
TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([(),])|([A-Za-z@][\w.]*|-?\d[\w:.\-]*))")
CASELESS = {"mail", "userPrincipalName", "onPremisesUserPrincipalName", "onPremisesSamAccountName", "id"}


def parsed(text: str, *, advanced: bool) -> Test:
    """Turn a filter into a test over an account's properties; raises Refused like the service."""
    reader = _Reader(text, advanced=advanced)
    test = reader.either()
    if reader.left():
        raise unsupported("Invalid filter clause")
    return test


def ids_of(text: str) -> list[str] | None:
    """Return the ids when a filter names nothing else, so that a big tenant need not be walked."""
    if re.fullmatch(r"\s*id in\s*\((\s*'[^']*'\s*,?)+\)\s*", text) or re.fullmatch(
        r"\s*id eq '[^']*'(\s+or\s+id eq '[^']*')*\s*", text
    ):
        return re.findall(r"'([^']*)'", text)
    return None


def unsupported(message: str) -> Refused:
    """Return the service's refusal of a query."""
    return Refused(400, "Request_UnsupportedQuery", message)


class _Reader:
    """Read a filter from left to right: or, and, not, brackets, comparisons, `in`, startsWith."""

    def __init__(self, text: str, *, advanced: bool) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at, self._advanced = 0, advanced
        position = 0
        while text[position:].strip():
            match = TOKEN.match(text, position)
            if match is None:
                raise unsupported("Invalid filter clause")
            kind = "text" if match[1] is not None else "sign" if match[2] else "word"
            self._tokens.append((kind, match[1].replace("''", "'") if kind == "text" else match[2] or match[3]))
            position = match.end()

    def left(self) -> bool:
        return self._at < len(self._tokens)

    def either(self) -> Test:
        tests = [self._both()]
        while self._taken("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda account: any(test(account) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._taken("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda account: all(test(account) for test in tests)

    def _one(self) -> Test:
        if self._taken("not"):
            if not self._advanced:
                raise unsupported("Unsupported Query.")
            inner = self._one()
            return lambda account: not inner(account)
        if self._taken("("):
            inner = self.either()
            self._expect(")")
            return inner
        word = self._next()[1]
        if word.casefold() == "startswith":
            return self._starts()
        return self._comparison(word)

    def _starts(self) -> Test:
        self._expect("(")
        name = self._next()[1]
        self._allow(name, "startswith")
        self._expect(",")
        value = self._next()[1].casefold()
        self._expect(")")
        return lambda account: str(account.get(name) or "").casefold().startswith(value)

    def _comparison(self, name: str) -> Test:
        operator = self._next()[1].casefold()
        self._allow(name, operator)
        if operator == "in":
            values = self._values(name)
            return lambda account: _folded(name, account.get(name)) in values
        value = self._value(name)
        if operator == "eq":
            return lambda account: _folded(name, account.get(name)) == value
        if operator == "ne":
            return lambda account: _folded(name, account.get(name)) != value
        sign = 1 if operator == "ge" else -1
        return lambda account: _compared(account.get(name), value) * sign >= 0

    def _values(self, name: str) -> list[object]:
        self._expect("(")
        values = [self._value(name)]
        while self._taken(","):
            values.append(self._value(name))
        self._expect(")")
        return values

    def _value(self, name: str) -> object:
        kind, text = self._next()
        words: dict[str, object] = {"true": True, "false": False, "null": None}
        return words.get(text, text) if kind == "word" else _folded(name, text)

    def _allow(self, name: str, operator: str) -> None:
        if operator in PLAIN.get(name, set()):
            return
        if self._advanced and name in ADVANCED:
            return
        raise unsupported(
            f"Unsupported or invalid query filter clause specified for property '{name}' of resource 'User'."
        )

    def _next(self) -> tuple[str, str]:
        if not self.left():
            raise unsupported("Invalid filter clause")
        self._at += 1
        return self._tokens[self._at - 1]

    def _taken(self, word: str) -> bool:
        if self.left() and self._tokens[self._at][0] != "text" and self._tokens[self._at][1].casefold() == word:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._taken(sign):
            raise unsupported("Invalid filter clause")


def _folded(name: str, value: object) -> object:
    return value.casefold() if isinstance(value, str) and name in CASELESS else value


def _compared(value: object, bound: object) -> int:
    if not isinstance(value, str) or not isinstance(bound, str):
        return -2 if value is None else 0
    return (value > bound) - (value < bound)
