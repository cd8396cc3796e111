"""Define the commands that read the database alone and contact nobody: runs, coverage and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connector import export as exporting
from connector import run_list
from connector.cli.console import is_terminal
from connector.cli.options import common, start_command, utf8_stdout
from connector.coverage import KINDS, read_coverage, save_coverage, write_coverage
from connector.errors import UsageError
from connector.ledger.runs import RunRow, all_runs
from connector.ledger.state import view_state
from connector.model import utc_now
from connector.report import FORMATS, format_of, refuse_device
from connector.report.summary import local_time


@click.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Write a list of objects, with times in UTC.")
def runs(*, env_file: Path | None, verbose: bool, log_format: str, as_json: bool) -> None:
    """List the runs that are kept, newest first."""
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        found = all_runs(state.db)
    out = utf8_stdout()
    if as_json:
        out.write(json.dumps(run_list.as_json(found), indent=1) + "\n")
    elif found and is_terminal(out):
        _show_runs(found)
    else:
        out.writelines(f"{line}\n" for line in run_list.as_lines(found))


def _show_runs(found: list[RunRow]) -> None:
    """Show the runs as a table; a run that needs attention stands in bold."""
    table = Table(box=SIMPLE, padding=0, show_edge=False)
    for name in run_list.HEADINGS:
        justify: Literal["left", "right"] = "right" if name in ("run", "exit") else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("run", "started", "exit"))
    for run, row in zip(found, run_list.rows(found), strict=True):
        style = "" if run.exit_code in (0, 7) else "bold"
        table.add_row(*(Text(cell, style=style) for cell in row))
    Console(file=utf8_stdout()).print(table)


@click.command()
@common
@click.option("--by", type=click.Choice(list(KINDS)), help="Also by organizational unit, department or company.")
@click.option("--opted-out", is_flag=True, help="Only who opted out, since when and by which setting, as CSV.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="text, json, csv or html (default: by --output).")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
def coverage(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    by: str | None,
    opted_out: bool,
    form: str | None,
    output: Path | None,
) -> None:
    """Show who has a photo in Microsoft 365, and whose it is."""
    chosen = form or (format_of(output) if output is not None else "csv" if opted_out else "text")
    if opted_out and (chosen != "csv" or by):
        raise UsageError("--opted-out writes a list of people as CSV.", "Leave out --by, and name a .csv file.")
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        found = read_coverage(state.db, now=utc_now())
    when = local_time(found.as_of)
    if output is not None:
        save_coverage(found, chosen, output, by=by or "", when=when, opted_out=opted_out)
    else:
        write_coverage(found, chosen, utf8_stdout(), by=by or "", when=when, opted_out=opted_out)


@click.command()
@common
@click.argument("person")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The ZIP file to write.")
def export(*, env_file: Path | None, verbose: bool, log_format: str, person: str, output: Path) -> None:
    """Write all local data about a user to a ZIP file. It holds JSON and pictures."""
    if output.suffix.lower() != ".zip":
        raise UsageError(f"The file {str(output)!r} does not end in .zip.", "Name a file that does.")
    refuse_device(output)
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        written = exporting.export_person(state, person, output)
    utf8_stdout().write(f"{exporting.as_line(written, output)}\n")
