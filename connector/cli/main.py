"""Define the command group, the error boundary and the exit codes."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import NoReturn

import click

from connector import __version__
from connector.cli.broken_pipe import ignore_broken_pipes
from connector.cli.commands import check, report, sync
from connector.cli.config_commands import config
from connector.cli.database_commands import runs
from connector.cli.options import echo_error
from connector.cli.past_runs import forget, history, restore
from connector.command import pasteable
from connector.errors import ConnectorError, ExitCode, SettingsError, StopRun, UsageError
from connector.notify.systemlog import write_system_log

log = logging.getLogger("connector.cli")

EPILOG = """Exit codes: 0 done; 1 a fault of the program; 2 usage or settings; 3 some people failed; 4 a brake stopped
the run; 5 a system could not be reached; 6 another run holds the lock; 7 finished at its limit; 130 interrupted."""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="photo-connector")
def commands() -> None:
    """Keep the photo in Active Directory the photo in Microsoft 365."""


for _command in (sync, check, report, restore, history, forget, runs, config):
    commands.add_command(_command)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the scheduler's stop signal end a run as Ctrl+C does: what was done is remembered."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and exit with the contract's code; what could not be printed changes none but 0."""
    ignore_broken_pipes()
    code = run(arguments)
    try:
        sys.stdout.flush()
    except ConnectorError as error:
        echo_error(str(error))
        code = code or ExitCode.FAULT
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code; every error becomes a sentence, a fault also a log file."""
    return copy_context().run(_run, arguments)  # what a command set for its own words ends with it


def _run(arguments: list[str] | None) -> int:
    try:
        with _interruptible():
            commands.main(
                args=_readable(sys.argv[1:] if arguments is None else arguments),
                prog_name="photo-connector",
                standalone_mode=False,
                windows_expand_args=False,  # a * or a %NAME% may be meant
            )
    except SystemExit as end:
        return int(end.code or 0)
    except (KeyboardInterrupt, click.Abort):
        echo_error("Interrupted.")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        _show_usage(error)
        return ExitCode.SETTINGS
    except StopRun as stop:
        for line in str(stop).split("\n") if isinstance(stop, SettingsError) else [str(stop)]:
            echo_error(line)
        _tell_system(arguments, stop.exit_code, str(stop))
        return stop.exit_code
    except ConnectorError as error:
        echo_error(str(error))
        return ExitCode.FAULT
    except Exception as fault:  # noqa: BLE001 - the one place that catches everything
        _tell_system(arguments, ExitCode.FAULT, f"A fault of the program itself: {type(fault).__name__}.")
        return _fault(fault)
    return ExitCode.OK


def _readable(arguments: list[str]) -> list[str]:
    """Return the arguments; UsageError where one is no text, since no name in a directory looks like it."""
    for argument in arguments:
        if not argument.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in argument):
            raise UsageError(f"The argument {argument} is not UTF-8 text.", "Type it anew, or name a file in UTF-8.")
    return arguments


def _show_usage(error: click.ClickException) -> None:
    """Show how the command is used, and what was wrong with its options."""
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    echo_error(f"Error: {error.format_message()}")


def _tell_system(arguments: list[str] | None, code: ExitCode, text: str) -> None:
    """Tell the system's log of a run that ended before it had a report: settings, lock, state folder, fault."""
    command = (sys.argv[1:] if arguments is None else arguments)[:1]
    if command in (["sync"], ["restore"]) and (warning := write_system_log(code, pasteable(text))):
        echo_error(f"Warning: {warning}")


def _fault(fault: Exception) -> int:
    log.error("a fault of the program itself", exc_info=fault)
    files = [handler for handler in logging.getLogger("connector").handlers if hasattr(handler, "baseFilename")]
    where = f" The log is {files[0].baseFilename}." if files else ""
    echo_error(f"A fault of the program itself: {type(fault).__name__}: {fault}.{where} Please report it.")
    return ExitCode.FAULT
