"""Define the commands sync, check and report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from connector.cli.console import begin_logs, log_to_file, progress
from connector.cli.options import common, show_and_deliver, show_report, start_command, utf8_stdout
from connector.cli.quiet import is_quiet
from connector.command import use_env_file
from connector.doctor import Status, examine, write_json, write_line, write_verdict
from connector.doctor import exit_code as exit_code_of
from connector.errors import UsageError
from connector.ledger.runs import find_run
from connector.ledger.state import open_state, view_state
from connector.report import FORMATS, format_of, save_report, write_report
from connector.report.from_ledger import load_report
from connector.sync.context import Options
from connector.sync.run import run_night


@click.command()
@common
@click.option("-n", "--dry-run", is_flag=True, help="Do everything up to and including the brakes; write nothing.")
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
        with progress() as shown, run_night(state, settings, options, progress=shown) as finished:
            shown.end()
            code = show_and_deliver(finished, settings, reports, folder=state.folder)
    sys.exit(code)


def _check_usage(only: tuple[str, ...], reports: tuple[Path, ...], **flags: bool) -> None:
    for name in ("overwrite", "clear"):
        if flags[name] and not only:
            raise UsageError(f"--{name} goes with --only PERSON.", "Name the people it is for.")
    if flags["overwrite"] and flags["clear"]:
        raise UsageError("--overwrite and --clear exclude each other.", "Use one of them.")
    for path in reports:
        format_of(path)


@click.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Write the findings as a list of objects.")
def check(*, env_file: Path | None, verbose: bool, log_format: str, as_json: bool) -> None:
    """Try every prerequisite for real, and tell what mends it; writes to no directory and no cloud."""
    begin_logs(verbose=verbose, form=log_format)
    use_env_file(env_file)
    findings = []
    for finding in examine(env_file):
        findings.append(finding)
        if not as_json and not (is_quiet() and finding.status is Status.OK):
            write_line(finding, utf8_stdout())
    if as_json:
        write_json(findings, utf8_stdout())
    else:
        write_verdict(findings, utf8_stdout())
    sys.exit(exit_code_of(findings))


@click.command("report")
@common
@click.argument("run", type=int, required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), help="text, json, csv or html (default: by --output).")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
def report(
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
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        row = find_run(state.db, run)
        if row is None:
            raise UsageError("There is no such run in the ledger.", "`photo-connector report` tells the newest one.")
        loaded = load_report(state.db, row, backups=state.backups, spool=state.spool)
        if output is not None:
            save_report(loaded, output, form=form or "text", pictures=settings.report_pictures)
        elif form is None:
            show_report(loaded)
        else:
            write_report(loaded, form, utf8_stdout(), pictures=settings.report_pictures)
