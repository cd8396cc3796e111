"""What can be typed? The commands, their options and exit codes; here is the one place that catches everything."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from connector import __version__
from connector.cli.broken_pipe import ignore_broken_pipes
from connector.cli.console import begin_logs, log_to_file, progress
from connector.cli.options import common, echo_error, show_and_deliver, show_report, start_command, utf8_stdout
from connector.cli.past_runs import forget, history, restore
from connector.command import pasteable, use_env_file
from connector.doctor import examine, write_json, write_line, write_verdict
from connector.doctor import exit_code as exit_code_of
from connector.errors import ConnectorError, ExitCode, SettingsError, StopRun, UsageError
from connector.ledger.runs import find_run
from connector.ledger.state import open_state, view_state
from connector.notify.systemlog import write_system_log
from connector.report import FORMATS, format_of, save_report, write_report
from connector.report.from_ledger import load_report
from connector.sync.context import Options
from connector.sync.run import run_night

log = logging.getLogger("connector.cli")

EPILOG = """Exit codes: 0 done; 1 a fault of the program; 2 usage or settings; 3 some people failed; 4 a brake stopped
the run; 5 a system could not be reached; 6 another run holds the lock; 7 finished at its limit; 130 interrupted."""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, prog_name="photo-connector")
def commands() -> None:
    """Keep the photo in Active Directory the photo in Microsoft 365."""


@commands.command()
@common
@click.option("--dry-run", is_flag=True, help="Do everything up to and including the brakes; write nothing.")
@click.option("--full", is_flag=True, help="Read everybody and ask the cloud about everybody.")
@click.option("--resend", is_flag=True, help="Treat every picture as changed; the brakes apply.")
@click.option("--only", multiple=True, metavar="PERSON", help="Just this person (UPN, mail, sAMAccountName or DN).")
@click.option("--overwrite", is_flag=True, help="With --only: the source wins over what the cloud shows.")
@click.option("--clear", is_flag=True, help="With --only: remove the cloud photo, if it is ours.")
@click.option("--force", is_flag=True, help="Pass the brakes for this run.")
@click.option("--report", "reports", multiple=True, type=click.Path(path_type=Path), help="Write .html/.csv/.json/.txt")
def sync(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    only: tuple[str, ...],
    reports: tuple[Path, ...],
    **flags: bool,
) -> None:
    """Bring changed photos to Microsoft 365: the nightly run."""
    _check_usage(only, reports, **flags)
    settings = start_command(env_file, verbose=verbose, log_format=log_format)
    options = Options(only=only, undo=None, **flags)
    with open_state(settings.state_dir) as state:
        log_to_file(state.folder / "logs", form=log_format)
        with progress() as shown, run_night(state, settings, options, progress=shown) as report:
            shown.end()
            code = show_and_deliver(report, settings, reports, folder=state.folder)
    sys.exit(code)


def _check_usage(only: tuple[str, ...], reports: tuple[Path, ...], **flags: bool) -> None:
    for name in ("overwrite", "clear"):
        if flags[name] and not only:
            raise UsageError(f"--{name} goes with --only PERSON.", "Name the people it is for.")
    if flags["overwrite"] and flags["clear"]:
        raise UsageError("--overwrite and --clear exclude each other.", "Use one of them.")
    for path in reports:
        format_of(path)


@commands.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Write the findings as a list of objects.")
def check(*, env_file: Path | None, verbose: bool, log_format: str, as_json: bool) -> None:
    """Try every prerequisite for real, and tell what mends it; writes to no directory and no cloud."""
    begin_logs(verbose=verbose, form=log_format)
    use_env_file(env_file)
    findings = []
    for finding in examine(env_file):
        findings.append(finding)
        if not as_json:
            write_line(finding, utf8_stdout())
    if as_json:
        write_json(findings, utf8_stdout())
    else:
        write_verdict(findings, utf8_stdout())
    sys.exit(exit_code_of(findings))


@commands.command("report")
@common
@click.argument("run", type=int, required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), help="text, json, csv or html (default: by --output).")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
def report_command(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    run: int | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Tell a finished run again (the newest, when no RUN is named)."""
    if output is not None and form is None:
        form = format_of(output)
    settings = start_command(env_file, verbose=verbose, log_format=log_format)
    with view_state(settings.state_dir) as state:
        row = find_run(state.db, run)
        if row is None:
            raise UsageError("There is no such run in the ledger.", "`photo-connector report` tells the newest one.")
        told = load_report(state.db, row, backups=state.backups, spool=state.spool)
        if output is not None:
            save_report(told, output, form=form or "text", pictures=settings.report_pictures)
        elif form is None:
            show_report(told)
        else:
            write_report(told, form, utf8_stdout(), pictures=settings.report_pictures)


for _command in (restore, history, forget):
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
