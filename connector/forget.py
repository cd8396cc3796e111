"""How is one person forgotten? In the ledger, the backups, the kept reports and the logs; the rest is named."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from connector.config import Settings
from connector.disk import delete, reason
from connector.errors import StateError
from connector.ledger import erasure as rows
from connector.ledger.history import find_one, one_person
from connector.ledger.runs import find_run
from connector.ledger.state import State
from connector.ledger.store import transaction
from connector.ledger.writes import is_backup_wanted
from connector.model import Person, utc_now
from connector.report import save_report
from connector.report.from_ledger import load_report

_REPORT = re.compile(r"run-(\d+)\.html")
_SHORTEST = 3


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """Count what was deleted, and say what could not be reached."""

    rows: int
    backups: int
    reports: int
    log_lines: int
    beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Subject:
    """Hold a person with all that they are found by: accounts, names, runs whose reports tell of them, backups."""

    person: Person
    account_ids: tuple[str, ...]
    names: tuple[str, ...]
    runs: frozenset[int]
    backups: tuple[str, ...]


def is_held(state: State, name: str) -> bool:
    """Return True if the database holds a person, or an account, of this name; UsageError for several."""
    return find_one(state.db, name) is not None


def forget_person(state: State, settings: Settings, name: str) -> ForgetResult:
    """Delete all that the state folder holds about a person; UsageError where the name fits nobody, or several."""
    db, subject = state.db, _subject(state.db, name)
    sam = subject.person.sam_account_name
    db.execute("PRAGMA secure_delete = ON")
    with transaction(db):  # the rows last: who is still in the ledger can be named by the next try
        count = _drop_rows(db, subject)
        kept, stay = _drop_backups(state, subject.backups)
        reports = _retold(state, settings, set(subject.runs), list(subject.names), stay=stay)
        logged = pattern_of(subject.names, sam, where=r"\b{}\b")
        lines = sum(_without(path, logged, stay) for path in log_files(state.folder))
        if stay:
            fix = f"Close or mend what holds them, then type `forget` again: {'; '.join(stay)}."
            person = subject.person
            raise StateError(f"{len(stay)} files are out of reach, so {person.upn or person.name} is still known.", fix)
    rows.vacuum(db)
    return ForgetResult(count, kept, reports, lines, tuple(_beyond(state.folder, settings)))


def preview(state: State, settings: Settings, name: str) -> ForgetResult:
    """Count what `forget_person` would delete, and delete nothing."""
    db, subject = state.db, _subject(state.db, name)
    db.execute("BEGIN IMMEDIATE")
    try:
        count = _drop_rows(db, subject)
    finally:
        db.execute("ROLLBACK")
    kept = sum(state.backups.has(one) for one in subject.backups)
    mentioned = pattern_of(subject.names)
    reports = sum(_is_told_in(path, subject.runs, mentioned) for path in (state.folder / "reports").iterdir())
    logged = pattern_of(subject.names, subject.person.sam_account_name, where=r"\b{}\b")
    lines = sum(len(lines_with(path, logged)) for path in log_files(state.folder))
    return ForgetResult(count, kept, reports, lines, tuple(_beyond(state.folder, settings)))


def _subject(db: sqlite3.Connection, name: str) -> _Subject:
    person = find_one(db, name) or one_person(db, name)
    account_ids = rows.accounts_of(db, person.id)
    names = _names(person, {*rows.upns(db, account_ids), *rows.old_names_of(db, person.id)}, account_ids)
    runs, backups = rows.runs_mentioning(db, person.id), rows.backups_of(db, person.id)
    return _Subject(person, tuple(account_ids), tuple(names), frozenset(runs), tuple(backups))


def _drop_rows(db: sqlite3.Connection, subject: _Subject) -> int:
    count = rows.drop_person(db, subject.person.id, account_ids=subject.account_ids)
    sam = subject.person.sam_account_name
    return count + rows.redact(db, pattern_of(subject.names, sam, where=r"(?<=--only ){}(?=:)"))


def log_files(folder: Path) -> list[Path]:
    """Return the log files of a state folder."""
    return sorted((folder / "logs").glob("*.log*"))


def lines_with(path: Path, names: re.Pattern[str]) -> list[str]:
    """Return the lines of a log that name the person."""
    lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines if names.search(line)]


def _is_told_in(path: Path, runs: Iterable[int], mentioned: re.Pattern[str]) -> bool:
    """Return True if a kept report is of one of the runs, or names the person."""
    found = _REPORT.fullmatch(path.name)
    is_one = found is not None and int(found[1]) in runs
    return is_one or (path.is_file() and mentioned.search(path.read_text("utf-8", "replace")) is not None)


def _drop_backups(state: State, backups: Iterable[str]) -> tuple[int, list[str]]:
    """Drop a person's backups, and those that nobody's write names; returns how many, and what stays and why."""
    dropped, stay = 0, []
    for backup in backups:
        try:
            state.backups.drop(backup)
            dropped += 1
        except OSError as error:
            stay.append(f"{error.filename or backup}: {reason(error)}")
    # what a stopped run kept is nobody's any more, so it may have been theirs; a moment ahead for coarse clocks
    later = utc_now() + timedelta(minutes=1)
    unnamed, held = state.backups.sweep(is_wanted=lambda one: is_backup_wanted(state.db, one), before=later)
    return dropped + unnamed, [*stay, *held]


def _names(person: Person, others: Iterable[str], account_ids: Iterable[str]) -> list[str]:
    """Return every text that names a person and nobody else, the longest first."""
    known = {person.id, person.name, person.upn, person.mail, person.sid, person.anchor, *others, *account_ids}
    return sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True)


def pattern_of(names: Iterable[str], short_name: str = "", *, where: str = "{}") -> re.Pattern[str]:
    """Return what finds the names as they are told in words, JSON and HTML, in any case of their letters.

    A short name may be a word of the language, so that it counts only `where` a pattern says.
    """
    spelled = {spelling for name in names for spelling in _spellings(name)}
    parts = [re.escape(spelling) for spelling in sorted(spelled, key=len, reverse=True)]
    short = [where.format(re.escape(short_name))] if short_name else []
    return re.compile("|".join([*parts, *short]), re.IGNORECASE)


def _spellings(name: str) -> set[str]:
    quoted = json.dumps(name)[1:-1]
    in_page = "".join(f"\\u{ord(sign):04x}" if sign in "<>&" else sign for sign in quoted)
    return {name, quoted, in_page, json.dumps(name, ensure_ascii=False)[1:-1], html.escape(name)}


def _retold(state: State, settings: Settings, runs: set[int], names: list[str], *, stay: list[str]) -> int:
    """Write the kept reports anew in which the person was; one whose run is no longer known is deleted.

    `stay` gets the path, and why, of each that could not be changed.
    """
    mentioned, count = pattern_of(names), 0
    for path in (state.folder / "reports").iterdir():
        found = _REPORT.fullmatch(path.name)
        run = int(found[1]) if found else 0
        try:
            if not _is_told_in(path, runs, mentioned):
                continue
            row = find_run(state.db, run) if run else None
            delete(path)
            if row is not None:
                told = load_report(state.db, row, backups=state.backups, spool=state.spool)
                save_report(told, path, pictures=settings.report_pictures)
        except OSError as error:
            stay.append(f"{path}: {reason(error)}")
        else:
            count += 1
    return count


def _without(path: Path, names: re.Pattern[str], stay: list[str]) -> int:
    """Take the lines that name the person out of a log; returns how many. `stay` gets a log that was out of reach."""
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
    """Name what is not in our hands."""
    yield (
        "The photo in the cloud stays: remove it with Remove-MgUserPhotoContent -UserId ID (Microsoft Graph "
        "PowerShell), or clear it in the source."
    )
    yield "Reports that were mailed, or written elsewhere by --report or `report --output`, may name the person."
    if settings.report_mail_to:
        yield f"Mailed reports went to {', '.join(settings.report_mail_to)}."
    for damaged in sorted(folder.glob("ledger-damaged-*")):
        yield f"{damaged} is a damaged ledger that may hold the person's rows: delete the file."
    yield "Logs of the system, and copies or backups of the state folder, are not touched."
    yield (
        "The next night reads everybody. Who is then still in the source and in scope is met as somebody new: "
        "leave the person out first, by LDAP_FILTER, LDAP_GROUP or LDAP_EXCLUDE_DN, if they are to stay forgotten."
    )


def as_lines(forgotten: ForgetResult, *, opening: str = "Forgotten") -> Iterator[str]:
    """Yield what was forgotten, or would be, and what is out of reach, as plain lines."""
    yield (
        f"{opening}: {forgotten.rows} rows of the ledger, {forgotten.backups} kept photos, {forgotten.reports} kept "
        f"reports (written anew without the person), {forgotten.log_lines} lines of the logs."
    )
    yield "Out of reach:"
    yield from (f"  - {line}" for line in forgotten.beyond)
