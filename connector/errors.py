"""Define the errors: those that stop the run, and those of one person."""

from __future__ import annotations

from enum import IntEnum

from connector.model import ExceededLimit, Reason

CLOSE_THERE = "Close it there (a backup agent, a scanner), or leave the state folder out of what it looks at."


class ExitCode(IntEnum):
    """Define how a run ended, for schedulers (the contract's table)."""

    OK = 0
    FAULT = 1
    SETTINGS = 2
    SOME_FAILED = 3
    BRAKE = 4
    UNREACHABLE = 5
    LOCKED = 6
    LIMIT = 7
    INTERRUPTED = 130


class ConnectorError(Exception):
    """Represent an error: what happened and to whom (`message`), what to do next (`fix`); one sentence each."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        sentence = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        return f"{sentence} {self.fix}".strip()


class StopRun(ConnectorError):
    """End the whole run; nothing more is tried."""

    exit_code = ExitCode.FAULT


class SettingsError(StopRun):
    """Name every problem of the settings at once; raised before anything is contacted."""

    exit_code = ExitCode.SETTINGS

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UsageError(StopRun):
    """Refuse a command line that cannot be carried out, e.g. `--only` with a name that fits nobody."""

    exit_code = ExitCode.SETTINGS


class StateError(StopRun):
    """Refuse a state folder or ledger that cannot be used safely."""

    exit_code = ExitCode.SETTINGS


class DiskError(StopRun):
    """Represent a disk of the state folder, or of the temporary folder, that is full or fails during a run.

    `is_held` says that it is not the disk: another program has the file open.
    """

    exit_code = ExitCode.FAULT

    def __init__(self, why: object, *, temporary: str = "", is_held: bool = False) -> None:
        goes_on = "what was done is remembered, and the next run goes on."
        if temporary:
            fix = f"Make room there, or name a folder on another disk in TMPDIR; {goes_on}"
            super().__init__(f"The disk of the temporary folder {temporary} is full: {why}.", fix)
            return
        if is_held:
            super().__init__(f"STATE_DIR: {why}.", f"{CLOSE_THERE} What was done is remembered; run it again.")
            return
        super().__init__(
            f"STATE_DIR: its disk is full, or fails: {why}.", f"Make room there, or look at the disk; {goes_on}"
        )


# How the message of a safety limit begins, and what its advice begins with; a report shows these in other ways.
BRAKE_OPENING = "A safety limit stopped the {}; nothing was written: "
PREVIEW_FIRST = "Preview with `photo-connector sync --dry-run`; "


def approve_first(run: int) -> str:
    """Return what the advice of a safety limit names first: the approval of the plan of this run."""
    return f"carry out exactly this plan with `photo-connector sync --approve {run}`"


class BrakeError(StopRun):
    """Stop before the first write, with the numbers and the way past; `exceeded` are the limits."""

    exit_code = ExitCode.BRAKE

    def __init__(self, message: str, fix: str, *, exceeded: tuple[ExceededLimit, ...]) -> None:
        super().__init__(message, fix)
        self.exceeded = exceeded


class LimitReached(StopRun):
    """End the run because SYNC_MAX_MINUTES are over; nothing is half done, and the next run goes on."""

    exit_code = ExitCode.LIMIT

    def __init__(self, minutes: int) -> None:
        fix = "What was done is remembered, the next run goes on; raise SYNC_MAX_MINUTES if no run makes progress."
        super().__init__(f"The run reached its limit: SYNC_MAX_MINUTES={minutes}.", fix)


class Locked(StopRun):
    """Give way to another run that holds the lock."""

    exit_code = ExitCode.LOCKED


class Unreachable(StopRun):
    """Name the system (directory, token, Graph, SharePoint, folder) that could not be reached or refused us.

    `cause` is the message without the system.
    """

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, system: str, message: str, fix: str = "") -> None:
        super().__init__(f"{system}: {message}", fix)
        self.system = system
        self.cause = message


class PersonError(ConnectorError):
    """Represent the failure of one person; the run goes on. What to do about it stands with its reason (`ADVICE`).

    `skip` says that no later run would succeed (no mailbox, picture refused); otherwise the person counts as failed and
    is tried again in the next run.
    """

    def __init__(self, reason: Reason, message: str, *, skip: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.skip = skip
