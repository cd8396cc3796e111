"""Share what all commands need: options, loading of settings, output of a run."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console

from connector import __version__
from connector.cli.console import begin_logs, is_one_file, is_quiet, is_terminal, quiet_option
from connector.command import pasteable, use_env_file
from connector.config import Settings, load_database_settings, load_settings
from connector.config.env_file import find
from connector.errors import ConnectorError, ExitCode
from connector.model import RunReport, safe
from connector.notify import deliver_report
from connector.report import save_report, write_report, write_screen

LISTED = 20
Command = TypeVar("Command", bound=Callable[..., Any])


def common(command: Command) -> Command:
    """Add the options that every command has."""
    options = (
        click.option(
            "-c",
            "--env-file",
            type=click.Path(path_type=Path),
            help="Settings file (default: .env in the current directory).",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Log each step to standard error."),
        quiet_option,
        click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Format of log lines."),
        click.version_option(__version__, prog_name="photo-connector"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def start_command(env_file: Path | None, *, verbose: bool, log_format: str, database_only: bool = False) -> Settings:
    """Load the settings and start the log; warnings go to standard error.

    With `database_only`, only STATE_DIR is needed, and neither a password nor a certificate is read.
    """
    begin_logs(verbose=verbose, form=log_format)
    use_env_file(find(env_file)[0])
    loaded = load_database_settings(env_file) if database_only else load_settings(env_file)
    for warning in loaded.warnings:
        echo_error(f"Warning: {warning}")
    return loaded.settings


def show_and_deliver(
    report: RunReport, settings: Settings, reports: tuple[Path, ...], *, folder: Path, verbose: bool = False
) -> int:
    """Show the run, write the requested reports and deliver the report; returns the exit code.

    A report that cannot be written does not prevent the others.
    """
    try:
        if not is_quiet():
            show_report(report, limit=LISTED, verbose=verbose)
    except ConnectorError as error:
        echo_error(f"Warning: {error}")
    for path in reports:
        try:
            save_report(report, path, pictures=settings.report_pictures)
        except ConnectorError as error:
            echo_error(f"Warning: {error}")
    is_shown = not is_quiet() and (is_terminal(utf8_stdout()) or is_one_output())
    if report.message and not is_shown:
        echo_error(report.message)
    for warning in deliver_report(report, settings, folder):
        if warning:
            echo_error(f"Warning: {warning}")
    return report.exit_code if report.exit_code is not None else ExitCode.FAULT


def is_one_output() -> bool:
    """Return True if standard output and standard error lead to the same pipe or file, so that each reads both."""
    try:
        return is_one_file(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or no file
        return False


def show_report(report: RunReport, *, limit: int | None = None, verbose: bool = False) -> None:
    """Show a run on standard output: with tables and colours on a terminal, else in plain lines.

    `limit` caps each list of people, `verbose` adds identifiers. Raises ConnectorError if the output cannot be written.
    """
    out = utf8_stdout()
    if is_terminal(out):
        write_screen(report, Console(file=out), limit=limit, verbose=verbose)
    else:
        write_report(report, "text", out, limit=limit, verbose=verbose)
    out.flush()


def utf8_stdout() -> TextIO:
    """Return standard output as UTF-8 with unchanged newlines, whatever the console's code page."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    return sys.stdout


def echo_error(text: str) -> None:
    """Write one line to standard error, without control characters."""
    click.echo(pasteable(safe(text)), err=True)
