"""Define the command group, the error boundary and the exit codes."""

from __future__ import annotations

import logging
import sys
from contextvars import copy_context
from typing import NoReturn

import click

from connector import __version__
from connector.cli.broken_pipe import ignore_broken_pipes
from connector.cli.commands import check, report, sync
from connector.cli.config_commands import config
from connector.cli.database_commands import coverage, export, runs
from connector.cli.options import echo_error
from connector.cli.past_runs import forget, history, restore
from connector.command import pasteable
from connector.errors import ConnectorError, ExitCode, SettingsError, StopRun, UsageError
from connector.interrupts import keep_signals, stop_signals, take_signals
from connector.notify.systemlog import write_system_log

log = logging.getLogger("connector.cli")

EPILOG = """Exit codes: 0 done; 1 internal error; 2 usage or settings; 3 some users failed; 4 stopped by a safety limit;
5 a system was unreachable or denied access; 6 another run is in progress; 7 finished at its limit; 130 interrupted."""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="photo-connector")
def commands() -> None:
    """Synchronize user photos from Active Directory to Microsoft 365."""


for _command in (sync, check, report, restore, history, forget, export, runs, coverage, config):
    commands.add_command(_command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the program and exit with the contract's code; output that cannot be written changes only code 0."""
    ignore_broken_pipes()
    take_signals()
    code = _run_command(arguments)
    keep_signals()
    try:
        sys.stdout.flush()
    except ConnectorError as error:
        echo_error(str(error))
        code = code or ExitCode.FAULT
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code; every error becomes a sentence, an internal error also a log entry."""
    with stop_signals():
        return _run_command(arguments)


def _run_command(arguments: list[str] | None) -> int:
    return copy_context().run(_run, arguments)  # variables that a command sets end with it


def _run(arguments: list[str] | None) -> int:
    try:
        commands.main(
            args=_readable(sys.argv[1:] if arguments is None else arguments),
            prog_name="photo-connector",
            standalone_mode=False,
            windows_expand_args=False,  # a * or a %NAME% may be intended
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
        _log_to_system(arguments, stop.exit_code, str(stop))
        return stop.exit_code
    except ConnectorError as error:
        echo_error(str(error))
        return ExitCode.FAULT
    except Exception as error:  # noqa: BLE001 - the only place that catches everything
        _log_to_system(arguments, ExitCode.FAULT, f"Internal error: {type(error).__name__}.")
        return _internal_error(error)
    return ExitCode.OK


def _readable(arguments: list[str]) -> list[str]:
    """Return the arguments; UsageError if one is not UTF-8 text."""
    for argument in arguments:
        if not argument.isprintable() and any("\ud800" <= character <= "\udfff" for character in argument):
            raise UsageError(f"The argument {argument} is not UTF-8 text.", "Write it in UTF-8.")
    return arguments


def _show_usage(error: click.ClickException) -> None:
    """Show the usage of the command and the error in its options; the whole help where no command was given."""
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and newer; older ones show the help by themselves
        click.echo(error.format_message(), err=True)
        return
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    echo_error(f"Error: {error.format_message()}")


def _log_to_system(arguments: list[str] | None, code: ExitCode, text: str) -> None:
    """Write an event for a run that ended before it had a report: settings, lock, state folder, internal error."""
    command = (sys.argv[1:] if arguments is None else arguments)[:1]
    if command in (["sync"], ["restore"]) and (warning := write_system_log(code, pasteable(text))):
        echo_error(f"Warning: {warning}")


def _internal_error(error: Exception) -> int:
    log.error("internal error", exc_info=error)
    files = [handler for handler in logging.getLogger("connector").handlers if hasattr(handler, "baseFilename")]
    where = f" The log is {files[0].baseFilename}." if files else ""
    echo_error(f"Internal error: {type(error).__name__}: {error}.{where} Please report it.")
    return ExitCode.FAULT
