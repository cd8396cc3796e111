"""Define the commands restore, history and forget."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from connector import forget as forgetting
from connector import history as histories
from connector.cli.console import is_terminal, log_to_file, show_table
from connector.cli.heartbeat import tracked_progress
from connector.cli.options import common, show_and_deliver, start_command, utf8_stdout
from connector.errors import UsageError
from connector.ledger.state import open_state, view_state
from connector.model import safe
from connector.report import format_of
from connector.sync.context import Options
from connector.sync.restore import choose_undo
from connector.sync.run import run_night


@click.command()
@common
@click.option("--run", type=int, metavar="N", help="Undo what this run wrote.")
@click.option("--last", is_flag=True, help="Undo the latest run that wrote something.")
@click.option("--person", metavar="PERSON", help="Undo the last write for this user.")
@click.option("-n", "--dry-run", is_flag=True, help="Preview: plan and check the safety limits; write nothing.")
@click.option("--force", is_flag=True, help="Override the safety limits for this run.")
@click.option("--report", "reports", multiple=True, type=click.Path(path_type=Path), help="Write .html/.csv/.json/.txt")
def restore(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    run: int | None,
    last: bool,
    person: str | None,
    reports: tuple[Path, ...],
    **flags: bool,
) -> None:
    """Undo a run. What it replaced or removed is put back, and what it created is removed."""
    for path in reports:
        format_of(path)
    settings = start_command(env_file, verbose=verbose, log_format=log_format)
    if settings.sync_staging and not flags["dry_run"]:
        raise UsageError("SYNC_STAGING is on: this server does not write.", "Set SYNC_STAGING=false, or add --dry-run.")
    with open_state(settings.state_dir) as state:
        log_to_file(state.folder / "logs", form=log_format)
        options = Options(only=(), approval=None, undo=choose_undo(state, run=run, person=person, last=last), **flags)
        followed = tracked_progress(state.folder, "restore")
        with followed as shown, run_night(state, settings, options, progress=shown) as report:
            shown.end()
            code = show_and_deliver(report, settings, reports, folder=state.folder, verbose=verbose)
    sys.exit(code)


@click.command()
@common
@click.argument("person")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Output format.")
def history(*, env_file: Path | None, verbose: bool, log_format: str, person: str, form: str) -> None:
    """Show a user's photo history and available actions."""
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        found = histories.history_of(state, person)
    if form == "json":
        utf8_stdout().write(json.dumps(histories.as_json(found), indent=1) + "\n")
    elif found.events and is_terminal(sys.stdout):
        show_table(histories.heading(found), histories.rows(found, verbose=verbose), histories.endings(found))
    else:
        utf8_stdout().writelines(f"{line}\n" for line in histories.as_lines(found, verbose=verbose))


@click.command()
@common
@click.argument("person")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("-n", "--dry-run", is_flag=True, help="Preview: show what would be deleted; delete nothing.")
def forget(*, env_file: Path | None, verbose: bool, log_format: str, person: str, yes: bool, dry_run: bool) -> None:
    """Erase all local data about a user."""
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    out = utf8_stdout()
    asks = not yes and not dry_run and is_terminal(sys.stdin) and is_terminal(out)
    with open_state(settings.state_dir) as state:
        if not forgetting.is_held(state, person):
            out.write(f"{safe(person)}: nothing is stored about a user or an account of this name.\n")
            return
        if dry_run or asks:
            counted = forgetting.preview(state, settings, person)
            out.writelines(f"{line}\n" for line in forgetting.as_lines(counted, opening="To be deleted"))
    if dry_run:
        return
    if asks:  # without the lock, so that a scheduled run does not wait for the answer
        click.confirm("Delete all this for good?", abort=True)
    with open_state(settings.state_dir) as state:
        result = forgetting.forget_person(state, settings, person)
    out.writelines(f"{line}\n" for line in forgetting.as_lines(result))
