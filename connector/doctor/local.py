"""Is this machine ready? The settings and what they name, the state folder, the ledger, the backups."""

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
from connector.errors import SettingsError, StateError
from connector.ledger.runs import RunRow, count_reason, find_run
from connector.ledger.schema import VERSION
from connector.ledger.store import LEDGER_NAME, make_state_folder
from connector.model import Reason
from connector.model.reasons import MANY_COMPETING, people
from connector.sources.open import local_problems
from connector.windows_acl import icacls, rights_of

# These have lines of their own.
_TOLD_ELSEWHERE = ("BACKUP_DAYS:", "AZURE_CLIENT_SECRET: a certificate")
CONNECT_FIX = (
    "End the race: take thumbnailPhoto out of Entra Connect (its wizard: Customize synchronization options > Azure AD "
    "app and attribute filtering > Attributes; whether that clears cloud photos is not documented: try it first), "
    "or let the cloud alone own photos, as People Administrator in Graph "
    f'Explorer: PATCH {POLICY_URL} with {{"source":"cloud"}}.'
)


def check_settings(visit: CheckContext) -> Iterator[CheckResult]:
    """Load the settings and try what they name on this machine; nothing is contacted."""
    try:
        loaded = load_settings(visit.env_file)
        problems = list(_offline_problems(loaded.settings))
    except SettingsError as error:
        problems = error.problems
    if problems:
        yield from (fail(*_split(problem)) for problem in problems)
        return
    visit.loaded = loaded
    advice = [warning for warning in loaded.warnings if not warning.startswith(_TOLD_ELSEWHERE)]
    yield from (warn(*_split(warning)) for warning in advice)
    if not advice:
        yield ok("complete, and they fit together")


def check_state_folder(visit: CheckContext) -> Iterator[CheckResult]:
    """Make the state folder and write into it, as a night does."""
    folder = visit.settings.state_dir
    try:
        make_state_folder(folder)
    except StateError as error:
        yield fail(error.message, error.fix)
        return
    others, fix = _lookers(folder)
    if others:
        yield warn(f"{folder}: {others} may look into it", fix)
        return
    yield ok(f"{folder} can be written, and is on a local disk")


def _lookers(folder: Path) -> tuple[str, str]:
    """Return who beside the account may look into the folder, and the command that ends it; empty where nobody may."""
    if os.name == "posix" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return "others on this machine", f"It holds photos. Run: chmod 700 {quoted(str(folder))}"
    readers = " and ".join(rights_of(folder).readers)
    return readers, f"It holds photos. As an administrator run: {icacls(folder, is_folder=True)}"


def check_ledger(visit: CheckContext) -> Iterator[CheckResult]:
    """Open the ledger to read only; a night alone may mend it or bring it forward."""
    path = visit.settings.state_dir / LEDGER_NAME
    if not path.exists():
        yield skipped("there is none yet; the first night makes it")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            yield _ledger(db, path, visit)
    except sqlite3.DatabaseError as error:
        yield warn(
            f"{path} is damaged ({error})",
            "The next night keeps it aside, begins a new one and adopts what the cloud shows; or put a copy of it back"
            " from a backup of this machine first.",
        )


def _ledger(db: sqlite3.Connection, path: Path, visit: CheckContext) -> CheckResult:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        fix = "Install the newer photo-connector that made it, or set another STATE_DIR."
        return fail(f"{path} is of version {version}; this program knows {VERSION}", fix)
    if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("its integrity check failed")
    visit.last_run = _last_night(db)
    if visit.last_run is None:
        return ok(f"{path} is sound; no night has been kept in it yet")
    visit.competing = count_reason(db, visit.last_run.id, Reason.COMPETING_WRITER)
    ended = visit.last_run.finished[:16].replace("T", " ")
    return ok(f"{path} is sound; the last night was run {visit.last_run.id}, {ended or 'which did not end'}")


def _last_night(db: sqlite3.Connection) -> RunRow | None:
    """Return the newest run over everybody that was no dry run."""
    run = find_run(db)
    number = run.id if run is not None else 0
    while number > 0 and (run is None or run.kind != "sync" or run.chosen or run.dry_run):
        number -= 1
        run = find_run(db, number)
    return run


def check_backups(visit: CheckContext) -> Iterator[CheckResult]:
    """Say whether what a night replaces could be put back."""
    days = visit.settings.backup_days
    if days == 0:
        yield warn(
            "BACKUP_DAYS=0: replaced cloud photos are not kept, so no run can be undone",
            "Set BACKUP_DAYS=30, or another number of days.",
        )
        return
    yield ok(f"replaced cloud photos are kept for {days} days")


def check_for_competitors(visit: CheckContext) -> Iterator[CheckResult]:
    """Say whether Entra Connect kept writing over us in the last night."""
    if visit.last_run is None:
        yield skipped("no night has been kept yet")
        return
    if visit.competing > MANY_COMPETING:
        told = f"in run {visit.last_run.id} the cloud showed a smaller copy for {people(visit.competing)}"
        yield warn(f"{told}: Entra Connect writes thumbnailPhoto", CONNECT_FIX)
        return
    yield ok(f"in run {visit.last_run.id} another writer was met for {people(visit.competing)}")


def _offline_problems(settings: Settings) -> Iterator[str]:
    """Yield what the settings name and this machine cannot use: Kerberos, bundles, the certificate."""
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
    """Part `NAME: what is wrong; what to do` into its halves."""
    what, _, cure = sentence.partition("; ")
    name = sentence.partition(":")[0]
    return what, f"{name}: {cure}." if cure else f"Correct {name}; `photo-connector config example` says what it takes."


def check_mail(visit: CheckContext) -> Iterator[CheckResult]:
    """Connect, encrypt and sign in as for a report, and ask whether the server would take it."""
    settings = visit.settings
    if settings.smtp_url is None or not settings.report_mail_to:
        yield skipped("REPORT_MAIL_TO is not set: no report is mailed")
        return
    from connector.notify.mail import try_mail_server  # loads Jinja2 and smtplib, which only mail needs

    problem = try_mail_server(settings)
    if problem:
        fix = "Correct SMTP_URL, REPORT_MAIL_FROM or REPORT_MAIL_TO; a night goes on without its mail."
        yield warn(f"the report cannot be mailed: {problem}", fix)
        return
    yield ok(f"the server takes reports for {', '.join(settings.report_mail_to)} ({settings.report_mail_when})")
