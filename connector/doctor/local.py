"""Check this machine: settings and the files they name, state folder, database, backups, and the mail server."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from connector.cloud.auth import credential
from connector.cloud.http import Proxies, tls_context
from connector.cloud.photo_errors import POLICY_URL
from connector.command import quoted
from connector.config import Settings, cloud_urls, load_settings
from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn
from connector.errors import ExitCode, SettingsError, StateError
from connector.ledger.codec import unpack_time
from connector.ledger.runs import RunRow, count_reason, find_run
from connector.ledger.schema import VERSION
from connector.ledger.store import LEDGER_NAME, make_state_folder
from connector.model import STAGING, Reason
from connector.model.notices import MANY_COMPETING, MANY_SENT_ELSEWHERE
from connector.model.reasons import people
from connector.report.summary import local_time
from connector.run_list import counts_of, result_of
from connector.sources.open import local_problems
from connector.windows_acl import icacls, rights_of

_BEFORE_MIGRATION = "the next run brings the database to this version first"
# Other checks report these.
_REPORTED_ELSEWHERE = ("BACKUP_DAYS:", "AZURE_CLIENT_SECRET: use a certificate")
CONNECT_FIX = (
    "Stop the other writer: take thumbnailPhoto out of Entra Connect (its wizard: Customize synchronization options > "
    "Microsoft Entra app and attribute filtering > Attributes; whether that clears cloud photos is not "
    "documented: try it first), or let the cloud alone own photos, as People Administrator in Graph "
    f'Explorer: PATCH {POLICY_URL} with {{"source":"cloud"}}.'
)


def check_settings(context: CheckContext) -> Iterator[CheckResult]:
    """Load the settings and test the files that they name; nothing is contacted."""
    try:
        loaded = load_settings(context.env_file)
        problems = list(_offline_problems(loaded.settings))
    except SettingsError as error:
        yield from (fail(*_split(problem)) for problem in error.problems)
        return
    if problems:
        yield from (fail(*_split(problem)) for problem in problems)
        return
    context.loaded = loaded
    advice = [warning for warning in loaded.warnings if not warning.startswith(_REPORTED_ELSEWHERE)]
    yield from (warn(*_split(warning)) for warning in advice)
    if not advice:
        yield ok("complete and consistent")


def check_state_folder(context: CheckContext) -> Iterator[CheckResult]:
    """Create the state folder and write into it, as a run does."""
    folder = context.settings.state_dir
    try:
        make_state_folder(folder)
    except StateError as error:
        yield fail(error.message, error.fix)
        return
    others, fix = _readers(folder)
    if others:
        yield warn(f"{folder}: {others} can read it", fix)
        return
    yield ok(f"{folder} can be written, and is on a local disk")


def _readers(folder: Path) -> tuple[str, str]:
    """Return the other accounts that can read the folder, and the command that ends it; empty if there are none."""
    if os.name == "posix" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return "others on this machine", f"It contains photos. Run: chmod 700 {quoted(str(folder))}"
    readers = " and ".join(rights_of(folder).readers)
    return readers, f"It contains photos. As an administrator run: {icacls(folder, is_folder=True)}"


def check_ledger(context: CheckContext) -> Iterator[CheckResult]:
    """Open the database read-only; only a run may repair or migrate it."""
    path = context.settings.state_dir / LEDGER_NAME
    if not path.exists():
        yield skipped("created by the first sync")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            yield _ledger(db, path, context)
    except sqlite3.DatabaseError as error:
        yield warn(
            f"{path} is damaged ({error})",
            "The next run keeps it aside, creates a new one and recognises the photos in the cloud."
            " To keep the history, first restore it from a backup of this machine.",
        )


def _ledger(db: sqlite3.Connection, path: Path, context: CheckContext) -> CheckResult:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        fix = "Install the newer photo-connector that made it, or set another STATE_DIR."
        return fail(f"{path} is of version {version}; this program knows {VERSION}", fix)
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("its integrity check failed")
    if version < VERSION:
        context.is_ledger_old = True
        return ok(f"{path} is of version {version}; the next run brings it to version {VERSION}")
    context.last_run = _last_run(db)
    if context.last_run is not None:
        last = context.last_run.id
        context.competing = count_reason(db, last, Reason.COMPETING_WRITER)
        context.sent_elsewhere = context.last_run.sent_elsewhere
    return ok(f"{path} is sound")


def check_last_run(context: CheckContext) -> Iterator[CheckResult]:
    """Report how the last run over all people ended, and when."""
    run = context.last_run
    if run is None:
        yield skipped(_BEFORE_MIGRATION if context.is_ledger_old else "there is none yet")
        return
    when = local_time(unpack_time(run.finished) or unpack_time(run.started))
    told = f"run {run.id}, {when}: {result_of(run)}; {counts_of(run)}".removesuffix("; ")
    if run.exit_code in (ExitCode.OK, ExitCode.LIMIT):
        yield ok(told)
        return
    yield warn(told, f"See its report: `photo-connector report {run.id}`.")


def _last_run(db: sqlite3.Connection) -> RunRow | None:
    """Return the newest run over all people that was not a dry run."""
    run = find_run(db)
    number = run.id if run is not None else 0
    while number > 0 and (run is None or run.kind not in ("sync", STAGING) or run.chosen or run.dry_run):
        number -= 1
        run = find_run(db, number)
    return run


def check_staging(context: CheckContext) -> Iterator[CheckResult]:
    """Report whether runs of this server write."""
    if context.settings.sync_staging:
        yield ok("on stand-by: no run of this server writes a photo; SYNC_STAGING=false takes over")
        return
    yield ok("SYNC_STAGING is not set: runs of this server write")


def check_backups(context: CheckContext) -> Iterator[CheckResult]:
    """Report whether replaced photos can be restored."""
    days = context.settings.backup_days
    if days == 0:
        yield warn(
            "BACKUP_DAYS=0: replaced cloud photos are not kept, so no run can be undone",
            "Set BACKUP_DAYS=30, or another number of days.",
        )
        return
    yield ok(f"replaced cloud photos are kept for {days} days")


def check_for_competitors(context: CheckContext) -> Iterator[CheckResult]:
    """Report whether another program overwrote photos in the last run."""
    if context.last_run is None:
        yield skipped(_BEFORE_MIGRATION if context.is_ledger_old else "there is no run yet")
        return
    if context.sent_elsewhere >= MANY_SENT_ELSEWHERE:
        text = (
            f"in run {context.last_run.id} new photos of {people(context.sent_elsewhere)} were in Microsoft 365 already"
        )
        fix = "Set SYNC_STAGING=true on one of the two, or stop its timer; each has a database of its own."
        yield warn(f"{text}, and this server had not sent them: another server may write, too", fix)
    if context.competing > MANY_COMPETING:
        text = f"in run {context.last_run.id} the cloud showed a smaller copy for {people(context.competing)}"
        yield warn(f"{text}: Entra Connect writes thumbnailPhoto", CONNECT_FIX)
        return
    if context.sent_elsewhere < MANY_SENT_ELSEWHERE:
        yield ok(
            f"{people(context.competing) if context.competing else 'none'} in the last run ({context.last_run.id})"
        )


def _offline_problems(settings: Settings) -> Iterator[str]:
    """Yield problems with what the settings name on this machine: Kerberos, bundles, the certificate."""
    yield from local_problems(settings)
    yield from _problems(lambda: tls_context(settings.http_ca_file))
    proxies = Proxies(settings.https_proxy, settings.no_proxy)
    yield from _problems(lambda: proxies.proxy_for(cloud_urls(settings).graph_url))
    yield from _problems(lambda: credential(settings))


def _problems(make: Callable[[], object]) -> list[str]:
    try:
        make()
    except SettingsError as error:
        return error.problems
    return []


def _split(sentence: str) -> tuple[str, str]:
    """Split `NAME: what is wrong; what to do` at the semicolon into detail and fix."""
    what, _, cure = sentence.partition("; ")
    name = sentence.partition(":")[0]
    end = "" if cure.endswith("?") else "."
    return what, f"{name}: {cure}{end}" if cure else f"Correct {name}; see `photo-connector config example`."


def check_mail(context: CheckContext) -> Iterator[CheckResult]:
    """Connect to the mail server, sign in, and ask whether it accepts the report; no mail is sent."""
    settings = context.settings
    if settings.smtp_url is None or not settings.report_mail_to:
        yield skipped("REPORT_MAIL_TO is not set: no report is mailed")
        return
    from connector.notify.mail import try_mail_server  # loads Jinja2 and smtplib, which only mail needs

    problem = try_mail_server(settings)
    if problem:
        fix = "Correct SMTP_URL, REPORT_MAIL_FROM or REPORT_MAIL_TO; runs continue without mail."
        yield warn(f"the report cannot be mailed: {problem}", fix)
        return
    yield ok(f"the server accepts reports for {', '.join(settings.report_mail_to)} ({settings.report_mail_when})")
