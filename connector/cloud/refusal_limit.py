"""Count refusals of single people: one refusal is that person's, ten of the same in a row end the run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from connector.errors import PersonError, Unreachable
from connector.model import Reason

IN_A_ROW = 10
NOBODY: Mapping[str, PersonError] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Cause:
    """Describe what a refusal would mean if everybody met it; refusals of one `key` are of the same kind."""

    key: str
    what: str
    fix: str


class RefusedPerson(PersonError):
    """Fail one person by an answer that may concern everybody: `cause` and `said` tell what it would mean then."""

    def __init__(self, reason: Reason, message: str, *, fix: str = "", cause: Cause, said: str) -> None:
        super().__init__(reason, message, fix=fix)
        self.cause = cause
        self.said = said


class EverybodyRefused(Unreachable):
    """End the run, since so many people in a row were refused; `refused` are those of the last look, by account id."""

    def __init__(self, system: str, error: RefusedPerson, refused: Mapping[str, PersonError]) -> None:
        met = f"{IN_A_ROW} people in a row were refused; the last answer was {error.said}."
        super().__init__(system, f"{error.cause.what}: {met}", error.cause.fix)
        self.refused = refused


class InARow:
    """Count refusals over all threads, for one kind of request to one system.

    `failing` are accounts that failed in the run before. They are not counted again: the same ten would otherwise end
    every run, and everybody behind them would wait night after night.
    """

    def __init__(self, system: str, *, failing: Collection[str] = ()) -> None:
        self._system = system
        self._failing = failing
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._has_passed = False

    @property
    def has_passed(self) -> bool:
        """Return True if anybody's request was carried out in this run."""
        return self._has_passed

    def passed(self) -> None:
        """Begin to count anew after a success."""
        self._has_passed = True
        if self._counts:
            with self._lock:
                self._counts.clear()

    def looked(self, answers: Mapping[str, object]) -> None:
        """Count what a look at several accounts gave: one that passed breaks the row, since all were asked at once."""
        errors = {account_id: error for account_id, error in answers.items() if isinstance(error, PersonError)}
        if len(errors) < len(answers):
            self.passed()
            return
        for account_id, error in errors.items():
            self.met(error, account_id, refused=errors)

    def met(self, error: PersonError, account_id: str, *, refused: Mapping[str, PersonError] = NOBODY) -> None:
        """Count what befell one account; raise EverybodyRefused when it is the tenth of its kind in a row."""
        if not isinstance(error, RefusedPerson) or account_id in self._failing:
            return
        with self._lock:
            self._counts[error.cause.key] += 1
            enough = self._counts[error.cause.key] >= IN_A_ROW
        if enough:
            raise EverybodyRefused(self._system, error, refused)
