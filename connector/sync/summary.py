"""Return values of the steps of a run: what a step found, and the sum over all steps."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from connector.errors import ExitCode
from connector.report.from_ledger import ConflictPhotos

Result = TypeVar("Result")
# A step yields what it found as soon as it is known, so that nothing is lost where the step is stopped halfway.
Summaries = Generator["Summary", None, Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Contain what one step found, or the sum of several.

    `unread_contexts` are the naming contexts that could not be read. `read_modes` are the modes of the readings.
    `chosen_ids` are the people of `--only`. `sent_elsewhere` counts the people whose changed photo the cloud showed
    before this server had sent it. `conflict_photos` are by target and account id.
    """

    notices: tuple[str, ...] = ()
    exit_codes: frozenset[ExitCode] = frozenset()
    unread_contexts: frozenset[str] = frozenset()
    read_modes: frozenset[str] = frozenset()
    chosen_ids: tuple[str, ...] = ()
    uploads: int = 0
    sent_elsewhere: int = 0
    conflict_photos: Mapping[tuple[str, str], ConflictPhotos] = field(default_factory=dict)

    def __add__(self, other: Summary) -> Summary:
        """Return the sum; a notice is listed once, an empty one never."""
        return Summary(
            notices=tuple(dict.fromkeys(text for text in (*self.notices, *other.notices) if text)),
            exit_codes=self.exit_codes | other.exit_codes,
            unread_contexts=self.unread_contexts | other.unread_contexts,
            read_modes=self.read_modes | other.read_modes,
            chosen_ids=(*self.chosen_ids, *other.chosen_ids),
            uploads=self.uploads + other.uploads,
            sent_elsewhere=self.sent_elsewhere + other.sent_elsewhere,
            conflict_photos={**self.conflict_photos, **other.conflict_photos},
        )


def notice(text: str) -> Summary:
    """Return the summary of a step that has one sentence for the report."""
    return Summary(notices=(text,))


class RunTotals:
    """Add up the summaries of a run; only `sync.run` has one."""

    def __init__(self) -> None:
        self.summary = Summary()

    def add(self, summary: Summary) -> None:
        """Add one summary."""
        self.summary += summary

    def collect(self, step: Summaries[Result]) -> Result:
        """Run a step, add everything it yields, also before an exception, and return its result."""
        with closing(step):
            while True:
                try:
                    summary = next(step)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                self.add(summary)
