"""Define the commands sync, check and report."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from connector.cli.console import begin_logs, is_quiet, is_terminal, log_to_file
from connector.cli.heartbeat import tracked_progress
from connector.cli.options import common, show_and_deliver, show_report, start_command, utf8_stdout
from connector.command import use_env_file
from connector.config import Pictures
from connector.config.env_file import find
from connector.doctor import CheckOutput, examine, write_json
from connector.doctor import exit_code as exit_code_of
from connector.doctor.prove import prove
from connector.doctor.prove_output import write_proof, write_proof_json
from connector.errors import UsageError
from connector.ledger.runs import find_run
from connector.ledger.state import open_state, view_state
from connector.model import Reason, utc_now
from connector.report import FORMATS, format_of, save_report, write_report
from connector.report.from_ledger import load_report
from connector.report.kept_page import with_kept_photos
from connector.report.summary import of_reasons
from connector.sync.approval import approved_options
from connector.sync.context import Options
from connector.sync.run import run_night


@click.command()
@common
@click.option("-n", "--dry-run", is_flag=True, help="Preview: plan and check the safety limits; write nothing.")
@click.option("--full", is_flag=True, help="Full synchronization; re-reads both sides, re-uploads nothing unchanged.")
@click.option("--resend", is_flag=True, help="Treat every photo as changed; the safety limits apply.")
@click.option(
    "--only", multiple=True, metavar="PERSON", help="Only this user (UPN, mail, sAMAccountName or DN); repeatable."
)
@click.option("--overwrite", is_flag=True, help="With --only: replace the cloud photo in any case.")
@click.option("--clear", is_flag=True, help="With --only: remove the cloud photo, if photo-connector uploaded it.")
@click.option("--approve", type=int, metavar="RUN", help="Carry out the plan of this dry or stopped run, nothing else.")
@click.option(
    "--except",
    "except_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With --approve: only users still in this file (CSV report with rows deleted, or one UPN a line).",
)
@click.option("--force", is_flag=True, help="Last resort: pass every safety limit in this run; --approve is safer.")
@click.option("--report", "reports", multiple=True, type=click.Path(path_type=Path), help="Write .html/.csv/.json/.txt")
def sync(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    only: tuple[str, ...],
    approve: int | None,
    except_file: Path | None,
    reports: tuple[Path, ...],
    **flags: bool,
) -> None:
    """Synchronize changed photos (scheduled run)."""
    _check_usage(only, reports, **flags)
    _check_approval(approve, except_file, {"only": bool(only), **flags})
    settings = start_command(env_file, verbose=verbose, log_format=log_format)
    with open_state(settings.state_dir) as state:
        log_to_file(state.folder / "logs", form=log_format)
        options = Options(only=only, undo=None, approval=None, **flags)
        if approve is not None:
            options = approved_options(state, approve, except_file, now=utc_now())
        followed = tracked_progress(state.folder, "sync")
        with followed as shown, run_night(state, settings, options, progress=shown) as finished:
            shown.end()
            code = show_and_deliver(finished, settings, reports, folder=state.folder, verbose=verbose)
    sys.exit(code)


def _check_usage(only: tuple[str, ...], reports: tuple[Path, ...], **flags: bool) -> None:
    for name in ("overwrite", "clear"):
        if flags[name] and not only:
            raise UsageError(f"--{name} requires --only PERSON.", "Name the users.")
    if flags["overwrite"] and flags["clear"]:
        raise UsageError("--overwrite and --clear exclude each other.", "Use one of them.")
    for path in reports:
        format_of(path)


def _check_approval(approve: int | None, except_file: Path | None, flags: Mapping[str, bool]) -> None:
    """Refuse what does not go with a plan: it has the options of its run, and passes the limits that it named."""
    if except_file is not None and approve is None:
        raise UsageError("--except requires --approve RUN.", "`photo-connector runs` lists the runs.")
    given = [f"--{name.replace('_', '-')}" for name, is_given in flags.items() if is_given]
    if approve is not None and given:
        fix = "The plan of a run is carried out with the options of that run; only --except and --report go with it."
        raise UsageError(f"--approve excludes {', '.join(given)}.", fix)


@click.command()
@common
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option(
    "--prove", "person", metavar="PERSON", help="Upload a test picture for this user, read it back, and undo it."
)
def check(*, env_file: Path | None, verbose: bool, log_format: str, as_json: bool, person: str | None) -> None:
    """Test all prerequisites and show how to fix problems."""
    if person is not None:
        _prove(person, env_file, verbose=verbose, log_format=log_format, as_json=as_json)
        return
    begin_logs(verbose=verbose, form=log_format)
    use_env_file(find(env_file)[0])
    out, findings = utf8_stdout(), []
    shown = CheckOutput(out, console=Console(file=out) if is_terminal(out) else None, quiet=is_quiet())
    for finding in examine(env_file):
        findings.append(finding)
        if not as_json:
            shown.add(finding)
    if as_json:
        write_json(findings, out)
    else:
        shown.finish()
    sys.exit(exit_code_of(findings))


def _prove(person: str, env_file: Path | None, *, verbose: bool, log_format: str, as_json: bool) -> None:
    """Prove on one account how the service behaves, and exit with the code of the proof."""
    settings = start_command(env_file, verbose=verbose, log_format=log_format)
    with open_state(settings.state_dir) as state:
        log_to_file(state.folder / "logs", form=log_format)
        proof = prove(state, settings, person)
    if as_json:
        write_proof_json(proof, utf8_stdout())
    else:
        write_proof(proof, utf8_stdout())
    sys.exit(proof.exit_code)


@click.command("report")
@common
@click.argument("run", type=int, required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), help="text, json, csv or html (default: by --output).")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of standard output.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([reason.value for reason in Reason]),
    metavar="REASON",
    help="Only users with this reason; repeatable.",
)
def report(
    *,
    env_file: Path | None,
    verbose: bool,
    log_format: str,
    run: int | None,
    form: str | None,
    output: Path | None,
    reasons: tuple[str, ...],
) -> None:
    """Show the report of a run (default: latest)."""
    if output is not None and form is None:
        form = format_of(output)
    settings = start_command(env_file, verbose=verbose, log_format=log_format, database_only=True)
    with view_state(settings.state_dir) as state:
        row = find_run(state.db, run)
        if row is None:
            raise UsageError("There is no such run in the database.", "`photo-connector report` shows the latest one.")
        loaded = load_report(state.db, row, backups=state.backups, spool=state.spool, tenant=settings.azure_tenant_id)
        if form == "html" and settings.report_pictures is not Pictures.NONE:
            loaded = with_kept_photos(loaded, state.folder / "reports")
        if reasons:
            loaded = of_reasons(loaded, reasons)
        if output is not None:
            save_report(loaded, output, form=form or "text", pictures=settings.report_pictures)
        elif form is None:
            show_report(loaded, verbose=verbose)
        else:
            write_report(loaded, form, utf8_stdout(), pictures=settings.report_pictures, verbose=verbose)
