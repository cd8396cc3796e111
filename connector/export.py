"""Write all that the state folder holds about one person into a ZIP file: JSON, pictures, reports and log lines.

What is written is found by the same rules as what `forget` deletes.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connector.disk import reason, write_whole
from connector.errors import ConnectorError
from connector.forget import Subject, find_subject, kept_reports, lines_with, log_files, log_pattern, text_pattern
from connector.ledger.codec import load_print
from connector.ledger.retention import rows_of, texts_about_others
from connector.ledger.state import State
from connector.model import safe

README = """All that photo-connector holds about one person on this server.

database.json    the rows of the database about the person and their accounts, by table
mentions.json    texts of the database about other people, or about runs, in which the person is named
backups/         photos of the person in Microsoft 365 that were replaced or removed, and are kept
spool/           pictures of the person that are prepared to be sent; empty while no run is at work
reports/         kept reports that name the person; they name other people, too
logs/            lines of the logs that name the person

Fingerprints are shown as their width, height and 24 x 24 grey values. Not in this file: the photo that the directory
holds, the photo that Microsoft 365 shows, reports that were mailed or written elsewhere, copies of the state folder.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """Count what was written."""

    rows: int
    pictures: int
    reports: int
    log_lines: int


def export_person(state: State, name: str, path: Path) -> Exported:
    """Write the file, for its owner only and whole or not at all; UsageError where the name fits nobody, or several."""
    subject = find_subject(state.db, name)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", README)
        tables = {table: [_row_json(row, state.db) for row in found] for table, found in _tables(state.db, subject)}
        _add_json(archive, "database.json", tables)
        mentions = list(_mentions(state.db, subject))
        _add_json(archive, "mentions.json", mentions)
        pictures = [*_pictures(state, subject)]
        for member, picture in pictures:
            archive.writestr(member, picture)
        reports = kept_reports(state.folder, subject)
        for report in reports:
            archive.writestr(f"reports/{report.name}", report.read_bytes())
        lines = 0
        for log in log_files(state.folder):
            found = lines_with(log, log_pattern(subject))
            lines += len(found)
            if found:
                archive.writestr(f"logs/{log.name}", "".join(found))
    try:
        write_whole(path, content.getvalue())
    except OSError as error:
        fix = "Name a file in a folder that this account may write."
        raise ConnectorError(f"The file {str(path)!r} could not be written: {reason(error)}.", fix) from error
    return Exported(sum(map(len, tables.values())) + len(mentions), len(pictures), len(reports), lines)


def as_line(exported: Exported, path: Path) -> str:
    """Return what was written, as one line."""
    return (
        f"Written to {safe(str(path))}: {exported.rows} rows of the database, {exported.pictures} pictures, "
        f"{exported.reports} kept reports, {exported.log_lines} lines of the logs."
    )


def _tables(db: sqlite3.Connection, subject: Subject) -> Iterator[tuple[str, list[sqlite3.Row]]]:
    for table, found in rows_of(db, subject.person.id, account_ids=subject.account_ids):
        if found:
            yield table, found


def _row_json(row: sqlite3.Row, db: sqlite3.Connection) -> dict[str, object]:
    return {name: _value(db, name, row[name]) for name in row.keys()}  # noqa: SIM118 - a row iterates over its values


def _value(db: sqlite3.Connection, name: str, value: object) -> object:
    """Return a column's value for JSON; a fingerprint with its cells."""
    if name.endswith("_print") and isinstance(value, int):
        shown = load_print(db, value)
        return None if shown is None else {"width": shown.width, "height": shown.height, "cells": shown.cells.hex()}
    return value


def _mentions(db: sqlite3.Connection, subject: Subject) -> Iterator[dict[str, object]]:
    """Yield the texts about others and about runs that name the person."""
    named = text_pattern(subject)
    for table, column, run, text in texts_about_others(db):
        if named.search(text):
            yield {"table": table, "run": run, "column": column, "text": text}


def _pictures(state: State, subject: Subject) -> Iterator[tuple[str, bytes]]:
    for sha in subject.backups:
        content_bytes = state.backups.load(sha)
        if content_bytes is not None:
            yield f"backups/{sha}.jpg", content_bytes
    for sha in subject.sources:
        if state.spool.has(sha):
            yield f"spool/{sha}.jpg", state.spool.load(sha)


def _add_json(archive: zipfile.ZipFile, name: str, content: object) -> None:
    archive.writestr(name, json.dumps(content, indent=1, ensure_ascii=False))
