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
    """The meaning of a refusal if it concerns everybody; refusals with one `key` are of the same kind."""

    key: str
    what: str
    fix: str


class RefusedPerson(PersonError):
    """Raised for an answer that may concern everybody: `cause` states its meaning then, `said` is its text."""

    def __init__(self, reason: Reason, message: str, *, cause: Cause, said: str) -> None:
        super().__init__(reason, message)
        self.cause = cause
        self.said = said


class EverybodyRefused(Unreachable):
    """Raised when too many people in a row were refused; `refused` holds those of the last batch, by account id."""

    def __init__(self, system: str, error: RefusedPerson, refused: Mapping[str, PersonError]) -> None:
        met = f"{IN_A_ROW} people in a row were refused; the last answer was {error.said}."
        super().__init__(system, f"{error.cause.what}: {met}", error.cause.fix)
        self.refused = refused


class RefusalLimit:
    """Count refusals over all threads, for one kind of request to one system.

    `failing` are accounts that failed in the run before. They are not counted: the same ten would otherwise end
    every run, and the people after them would never be reached.
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

    def report_success(self) -> None:
        """Reset the counts after a success."""
        self._has_passed = True
        if self._counts:
            with self._lock:
                self._counts.clear()

    def count_batch(self, answers: Mapping[str, object]) -> None:
        """Count the results of one batch: one success ends the row, since all were asked together."""
        errors = {account_id: error for account_id, error in answers.items() if isinstance(error, PersonError)}
        if len(errors) < len(answers):
            self.report_success()
            return
        for account_id, error in errors.items():
            self.count(error, account_id, refused=errors)

    def count(self, error: PersonError, account_id: str, *, refused: Mapping[str, PersonError] = NOBODY) -> None:
        """Count the error of one account; raise EverybodyRefused for the tenth of its kind in a row."""
        if not isinstance(error, RefusedPerson) or account_id in self._failing:
            return
        with self._lock:
            self._counts[error.cause.key] += 1
            enough = self._counts[error.cause.key] >= IN_A_ROW
        if enough:
            raise EverybodyRefused(self._system, error, refused)
