"""Erase one person from the ledger, the backups, the kept reports and the logs, and list what remains elsewhere."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from connector.command import word_for
from connector.config import Settings
from connector.disk import delete, reason
from connector.errors import StateError, UsageError
from connector.ledger import retention as rows
from connector.ledger.history import find_one, one_person
from connector.ledger.proofs import open_proofs
from connector.ledger.runs import find_run
from connector.ledger.state import State
from connector.ledger.store import transaction
from connector.ledger.writes import is_backup_wanted
from connector.model import Person, utc_now
from connector.model.reasons import count_of
from connector.report import save_report
from connector.report.from_ledger import load_report

_REPORT = re.compile(r"run-(\d+)(?:-preview)?\.html")
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """Count what was deleted, and list what could not be reached."""

    rows: int
    backups: int
    reports: int
    log_lines: int
    beyond: tuple[str, ...]


OPEN_PROOF = (
    "A test of `photo-connector check --prove PERSON` on this user's account was cut short; without the backup nothing"
    " could be put back."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Represent a person with accounts, names, backups, and the runs whose reports mention the person.

    `sources` are the sha256 of the person's source photos.
    """

    person: Person
    account_ids: tuple[str, ...]
    names: tuple[str, ...]
    runs: frozenset[int]
    backups: tuple[str, ...]
    sources: tuple[str, ...]


def is_held(state: State, name: str) -> bool:
    """Return True if the database holds a person, or an account, of this name; UsageError for several."""
    return find_one(state.db, name) is not None


def forget_person(state: State, settings: Settings, name: str) -> ForgetResult:
    """Delete everything in the state folder about a person; UsageError if the name is unknown or ambiguous."""
    db, subject = state.db, find_subject(state.db, name)
    if any(write.account_id in subject.account_ids for write in open_proofs(db)):
        raise UsageError(OPEN_PROOF, "Run `photo-connector sync` first, which finishes it; then forget this user.")
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):  # committed last: the next attempt can still find the person by name
        count = _drop_rows(db, subject)
        kept, stay = _drop_backups(state, subject.backups)
        reports = _rewrite_reports(state, settings, set(subject.runs), list(subject.names), stay=stay)
        lines = sum(_without(path, log_pattern(subject), stay) for path in log_files(state.folder))
        if stay:
            files, person = "; ".join(stay), subject.person
            name = word_for((person.upn, person.name), person.id)
            again = f"or correct their permissions, then run `photo-connector forget {name}` again"
            fix = f"Close the programs that use them, {again}: {files}."
            raise StateError(
                f"{len(stay)} files could not be changed, so {person.upn or person.name} was not erased.", fix
            )
    rows.vacuum(db)
    return ForgetResult(count, kept, reports, lines, tuple(_beyond(state.folder, settings)))


def preview(state: State, settings: Settings, name: str) -> ForgetResult:
    """Count what `forget_person` would delete, and delete nothing."""
    db, subject = state.db, find_subject(state.db, name)
    db.execute("BEGIN IMMEDIATE")
    try:
        count = _drop_rows(db, subject)
    finally:
        db.execute("ROLLBACK")
    kept = sum(state.backups.has(sha256) for sha256 in subject.backups)
    reports = len(kept_reports(state.folder, subject))
    lines = sum(len(lines_with(path, log_pattern(subject))) for path in log_files(state.folder))
    return ForgetResult(count, kept, reports, lines, tuple(_beyond(state.folder, settings)))


def find_subject(db: sqlite3.Connection, name: str) -> Subject:
    """Find a person, or an account without one; UsageError if the name is unknown or ambiguous."""
    person = find_one(db, name) or one_person(db, name)
    account_ids = rows.accounts_of(db, person.id)
    names = _names(person, {*rows.upns(db, account_ids), *rows.old_names_of(db, person.id)}, account_ids)
    runs, backups = rows.runs_mentioning(db, person.id), rows.backups_of(db, person.id)
    sources = rows.sources_of(db, person.id)
    return Subject(person, tuple(account_ids), tuple(names), frozenset(runs), tuple(backups), sources)


def _drop_rows(db: sqlite3.Connection, subject: Subject) -> int:
    count = rows.drop_person(db, subject.person.id, account_ids=subject.account_ids)
    return count + rows.redact(db, text_pattern(subject))


def text_pattern(subject: Subject) -> re.Pattern[str]:
    """Return a pattern that finds the person in texts about others and about runs."""
    return pattern_of(subject.names, subject.person.sam_account_name, where=r"(?<=--only ){}(?=:)")


def log_pattern(subject: Subject) -> re.Pattern[str]:
    """Return a pattern that finds the person in a line of a log."""
    return pattern_of(subject.names, subject.person.sam_account_name, where=r"\b{}\b")


def kept_reports(folder: Path, subject: Subject) -> list[Path]:
    """Return the kept reports that mention the person."""
    mentioned = pattern_of(subject.names)
    paths = sorted((folder / "reports").iterdir())
    return [path for path in paths if _is_mentioned_in(path, subject.runs, mentioned)]


def log_files(folder: Path) -> list[Path]:
    """Return the log files of a state folder."""
    return sorted((folder / "logs").glob("*.log*"))


def lines_with(path: Path, names: re.Pattern[str]) -> list[str]:
    """Return the lines of a log that name the person."""
    lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines if names.search(line)]


def _is_mentioned_in(path: Path, runs: Iterable[int], mentioned: re.Pattern[str]) -> bool:
    """Return True if a kept report is of one of the runs, or names the person."""
    match = _REPORT.fullmatch(path.name)
    is_of_run = match is not None and int(match[1]) in runs
    return is_of_run or (path.is_file() and mentioned.search(path.read_text("utf-8", "replace")) is not None)


def _drop_backups(state: State, backups: Iterable[str]) -> tuple[int, list[str]]:
    """Delete a person's backups, and those without a write; returns their number, and what stays and why."""
    dropped, stay = 0, []
    for backup in backups:
        try:
            state.backups.drop(backup)
            dropped += 1
        except OSError as error:
            stay.append(f"{error.filename or backup}: {reason(error)}")
    # a backup of a stopped run has no owner, so it may be the person's; a minute ahead for coarse clocks
    later = utc_now() + timedelta(minutes=1)
    unnamed, held = state.backups.sweep(is_wanted=lambda sha256: is_backup_wanted(state.db, sha256), before=later)
    return dropped + unnamed, [*stay, *held]


def _names(person: Person, others: Iterable[str], account_ids: Iterable[str]) -> list[str]:
    """Return every text that names only this person, the longest first."""
    known = {person.id, person.name, person.upn, person.mail, person.sid, person.anchor, *others, *account_ids}
    return sorted((name for name in known if len(name) >= _SHORTEST), key=len, reverse=True)


def pattern_of(names: Iterable[str], short_name: str = "", *, where: str = "{}") -> re.Pattern[str]:
    """Return a pattern that finds the names as text, in JSON and in HTML, ignoring case.

    A short name may be an ordinary word, so it counts only in the places of the pattern `where`.
    """
    spelled = {spelling for name in names for spelling in _spellings(name)}
    parts = [re.escape(spelling) for spelling in sorted(spelled, key=len, reverse=True)]
    short = [where.format(re.escape(short_name))] if short_name else []
    return re.compile("|".join([*parts, *short]), re.IGNORECASE)


def _spellings(name: str) -> set[str]:
    quoted = json.dumps(name)[1:-1]
    in_page = "".join(f"\\u{ord(character):04x}" if character in "<>&" else character for character in quoted)
    return {name, quoted, in_page, json.dumps(name, ensure_ascii=False)[1:-1], html.escape(name)}


def _rewrite_reports(state: State, settings: Settings, runs: set[int], names: list[str], *, stay: list[str]) -> int:
    """Rewrite the kept reports that mention the person; delete one whose run is no longer known.

    `stay` gets the path, and why, of each that could not be changed.
    """
    mentioned, count = pattern_of(names), 0
    for path in (state.folder / "reports").iterdir():
        found = _REPORT.fullmatch(path.name)
        run = int(found[1]) if found else 0
        try:
            if not _is_mentioned_in(path, runs, mentioned):
                continue
            row = find_run(state.db, run) if run else None
            delete(path)
            if row is not None:
                report = load_report(
                    state.db, row, backups=state.backups, spool=state.spool, tenant=settings.azure_tenant_id
                )
                save_report(report, path, pictures=settings.report_pictures)
        except OSError as error:
            stay.append(f"{path}: {reason(error)}")
        else:
            count += 1
    return count


def _without(path: Path, names: re.Pattern[str], stay: list[str]) -> int:
    """Remove the lines that name the person from a log; returns their number. `stay` gets an unchangeable log."""
    try:
        named = lines_with(path, names)
        if named:
            lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True)
            path.write_text("".join(line for line in lines if not names.search(line)), encoding="utf-8")
    except OSError as error:
        stay.append(f"{path}: {reason(error)}")
        return 0
    return len(named)


def _beyond(folder: Path, settings: Settings) -> Iterator[str]:
    """Yield a sentence for each place that this command cannot change."""
    yield (
        "The photo in the cloud stays: remove it with Remove-MgUserPhotoContent -UserId ID (Microsoft Graph "
        "PowerShell), or clear it in the source."
    )
    yield "Reports that were mailed, or written elsewhere by --report or by --output, may name the person."
    if settings.report_mail_to:
        yield f"Mailed reports went to {', '.join(settings.report_mail_to)}."
    for damaged in sorted(folder.glob("ledger-damaged-*")):
        yield f"{damaged} is a damaged database that may contain the person's rows: delete the file."
    yield "System logs, and copies or backups of the state folder, are not changed."
    yield (
        "The next run is a full read. A user who is still in the source and in scope is then added as a new one: "
        "to prevent that, exclude the user first by LDAP_FILTER, LDAP_GROUP or LDAP_EXCLUDE_DN."
    )


def as_lines(result: ForgetResult, *, opening: str = "Erased") -> Iterator[str]:
    """Yield what was erased, or would be, and what is not changed, as plain lines."""
    yield (
        f"{opening}: {count_of(result.rows, 'row')} of the database, {count_of(result.backups, 'kept photo')}, "
        f"{count_of(result.reports, 'kept report')} (rewritten without the user), "
        f"{count_of(result.log_lines, 'line')} of the logs."
    )
    yield "Not changed:"
    yield from (f"  - {line}" for line in result.beyond)
