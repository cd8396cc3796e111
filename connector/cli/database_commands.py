"""Define the commands that read the database alone and contact nobody: runs."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connector import run_list
from connector.cli.console import is_terminal
from connector.cli.options import common, start_command, utf8_stdout
from connector.ledger.runs import RunRow
from connector.ledger.state import view_state


@click.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Write a list of objects, with times in UTC.")
def runs(*, env_file: Path | None, verbose: bool, log_format: str, as_json: bool) -> None:
    """List the runs that are kept, newest first: number, time, result, counts."""
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        found = run_list.list_runs(state.db)
    out = utf8_stdout()
    if as_json:
        out.write(json.dumps(run_list.as_json(found), indent=1) + "\n")
    elif found and is_terminal(out):
        _show_runs(found)
    else:
        out.writelines(f"{line}\n" for line in run_list.as_lines(found))


def _show_runs(found: list[RunRow]) -> None:
    """Show the runs as a table; a run that needs attention stands in bold."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in run_list.HEADINGS:
        table.add_column(name, justify="right" if name in ("run", "exit") else "left", overflow="fold")
    for run, row in zip(found, run_list.rows(found), strict=True):
        style = "" if run.exit_code in (0, 7) else "bold"
        table.add_row(*(Text(cell, style=style) for cell in row))
    Console(file=utf8_stdout()).print(table)
