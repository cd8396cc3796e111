"""List the files of a folder by person, by name or by FOLDER_MAP, in a temporary SQLite file; memory stays small."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path, PurePath

from connector.errors import SettingsError, Unreachable
from connector.model import fold
from connector.model.formats import readable_endings
from connector.windows_acl import is_link

_FIX = "Check FOLDER_PATH and the rights on it and on everything below; nothing was changed for anybody."


SHOWN = 10  # so many names stand in a notice
# Folders and files of file servers and desktops, beside all whose names begin with a dot: snapshots, waste, indexes.
_SYSTEM = frozenset(
    {
        *("#recycle", "#snapshot", "@eadir", "@recycle", "@recently-snapshot", "@tmp", "~snapshot", "$recycle.bin"),
        *("lost+found", "system volume information", "recycler", "found.000", "network trash folder"),
        *("temporary items", "thedesktopdb", "thevolumesettingsfolder", "thefindbyfolder", "__macosx"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
# Endings that say what a file is, though it is no picture that can be read here.
_OTHER_ENDINGS = frozenset(
    {
        *(".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".jpf", ".psd", ".svg", ".ico", ".raw", ".cr2", ".cr3"),
        *(".nef", ".arw", ".dng", ".orf", ".pdf", ".doc", ".docx", ".pptx", ".txt", ".csv", ".html", ".htm", ".xmp"),
        *(".zip", ".mp4", ".mov", ".bak", ".old", ".tmp", ".part", ".crdownload", ".filepart"),
    }
)
_MAPPED = """CREATE TABLE mapped (
    key TEXT, file TEXT, person TEXT, period TEXT, PRIMARY KEY (key, file, person, period)) WITHOUT ROWID"""
_NOT_YET = """SELECT key, MIN(file) FROM mapped m WHERE period = 'before'
    AND NOT EXISTS (SELECT 1 FROM files f WHERE f.key = m.key)"""


class FolderIndex:
    """List the names of a folder's files by the key that each is filed under: Unicode NFC without letter case.

    Names are relative, with slashes. Hidden and system files and folders are left out, symbolic links and junctions
    are not followed. A file that no picture's ending has counts where its person has no other one, and where
    `may_name` takes its name for a person's. Raises Unreachable where the folder, or one below it, cannot be listed
    to its end.
    """

    def __init__(self, folder: Path, may_name: Callable[[str], bool]) -> None:
        self.nameless = 0  # files whose names are not UTF-8, which identify nobody
        self.nameless_shown: list[str] = []
        # without a name it is a file of its own in the temporary folder, which nobody else sees and which goes with it
        self._db = sqlite3.connect("")
        try:
            self._db.execute(
                "CREATE TABLE files (key TEXT, other INT, name TEXT, PRIMARY KEY (key, other, name)) WITHOUT ROWID"
            )
            self._db.execute("CREATE TABLE waiting (key TEXT PRIMARY KEY, state TEXT, at REAL) WITHOUT ROWID")
            self._db.execute("CREATE INDEX waiting_at ON waiting (at)")  # each take asks who is first
            self._db.execute(_MAPPED)
            with self._db:
                self._db.executemany("INSERT INTO files VALUES (?, ?, ?)", self._rows_of(folder, may_name))
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise unreadable(folder, f"the list of its files cannot be kept ({error})") from error
            raise

    def apply_map(self, folder_map: Path, folder: Path) -> None:
        """File what FOLDER_MAP names under its people, and no more under its own name, whatever the dates.

        Outside all their dates people keep a file that is named after them.
        """
        self._db.create_function("folded", 1, fold, deterministic=True)
        rows = ((fold(row.person), row.file, row.person, row.period) for row in map_rows(folder_map))
        try:
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO mapped VALUES (?, ?, ?, ?)", rows)
                self._db.execute(
                    "DELETE FROM files WHERE folded(name) IN (SELECT folded(file) FROM mapped) OR name = ?",
                    (_below(folder_map, folder),),
                )
                self._db.execute("DELETE FROM files WHERE key IN (SELECT key FROM mapped WHERE period = 'within')")
                self._db.execute("INSERT OR IGNORE INTO files SELECT key, 0, file FROM mapped WHERE period = 'within'")
        except sqlite3.Error as error:
            raise unreadable(folder, f"the list of its files cannot be kept ({error})") from error

    def not_yet(self, key: str) -> str:
        """Return the file that the map names for a person from a later day on, while they have no other; else empty."""
        row = self._db.execute(f"{_NOT_YET} AND key = ? GROUP BY key", (key,)).fetchone()
        return str(row[1]) if row else ""

    def all_not_yet(self) -> Iterator[tuple[str, str]]:
        """Yield each person whose file counts only from a later day on, and that file."""
        return ((str(key), str(file)) for key, file in self._db.execute(f"{_NOT_YET} GROUP BY key ORDER BY key"))

    def spelling(self, key: str) -> str:
        """Return a person as the map writes them; empty if it does not name them."""
        row = self._db.execute("SELECT person FROM mapped WHERE key = ? LIMIT 1", (key,)).fetchone()
        return str(row[0]) if row else ""

    def names(self, key: str) -> list[str]:
        """Return the files of one person."""
        rows = self._db.execute("SELECT key, other, name FROM files WHERE key = ? ORDER BY other, name", (key,))
        return next((names for _, names in _by_person(rows)), [])

    def key_of(self, name: str) -> str:
        """Return the key under which a file is filed; empty for a file that is not there."""
        key, _ = _filed(PurePath(name).name, readable_endings())
        row = self._db.execute("SELECT key FROM files WHERE key = ? AND name = ?", (key, name))
        return str((row.fetchone() or ("",))[0])

    def people(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each person who has files, in the order of the keys."""
        return _by_person(self._db.execute("SELECT key, other, name FROM files ORDER BY key, other, name"))

    def several(self) -> Iterator[list[str]]:
        """Yield the files of people who have more than one."""
        return (names for _, names in self.people() if len(names) > 1)

    def put_off(self, key: str, state: str, at: float) -> None:
        """Store that a person's file has to be examined again, and its state at that time."""
        self._db.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", (key, state, at))

    def take_put_off(self) -> Iterator[tuple[str, str, float]]:
        """Yield whose files have to be looked at again, and forget them."""
        while row := self._db.execute("SELECT key, state, at FROM waiting ORDER BY at LIMIT 1").fetchone():
            self._db.execute("DELETE FROM waiting WHERE key = ?", (row[0],))
            yield row[0], row[1], row[2]

    def close(self) -> None:
        """Drop it."""
        self._db.close()

    def _rows_of(self, folder: Path, may_name: Callable[[str], bool]) -> Iterator[tuple[str, int, str]]:
        endings = readable_endings()
        for below, file in _walk(folder):
            name = below + file
            if _is_unicode(name):
                key, is_other = _filed(file, endings)
                if not is_other or may_name(key):
                    yield key, int(is_other), name
            elif _split(file)[1].lower() in endings:
                self.nameless += 1
                if self.nameless <= SHOWN:
                    self.nameless_shown.append(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _below(path: Path, folder: Path) -> str:
    """Return a path relative to the folder, with slashes; empty if it is elsewhere."""
    path, folder = path.absolute(), folder.absolute()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""


def _by_person(rows: Iterable[tuple[str, int, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield each person's files: those with a picture's ending, or where there are none, the others."""
    for key, group in groupby(rows, key=lambda row: row[0]):
        files = list(group)
        yield key, [name for _, other, name in files if other == files[0][1]]


def _filed(name: str, endings: Collection[str]) -> tuple[str, bool]:
    """Return the key of a file, and whether it has another ending than a readable picture.

    What follows the last dot of `anna@contoso.com` is no ending; `anna.jpg.bak` is filed under `anna`.
    """
    stem, ending = _split(name)
    if ending.lower() in endings:
        return fold(stem), False
    shorter, inner = _split(stem)
    if inner.lower() in endings:
        return fold(shorter), True
    is_ending = ending.lower() in _OTHER_ENDINGS or "@" not in stem
    return fold(stem if is_ending else name), True


def _split(name: str) -> tuple[str, str]:
    """Return a file's name before its ending, and the ending with its dot; a dot at either end begins none.

    Plain text, as everywhere where the many names pass: pathlib enters each part of a path into Python's table of
    interned strings. Python 3.12 keeps them until it ends, and 3.13 enlarges the table in pieces of megabytes.
    """
    at = name.rfind(".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, "")


def unreadable(folder: Path | str, why: str) -> Unreachable:
    """Return the error of a folder that could not be read to its last file."""
    shown = str(folder)
    shown = shown if len(shown) <= 300 else f"{shown[:200]}…{shown[-99:]}"
    return Unreachable("folder", f"{shown} could not be read: {why}.", _FIX)


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield every regular file below a folder, but for the system's; no list of all names is ever held.

    Each comes as the folders above it, relative and with slashes, each ending in one, and its name.
    """
    waiting = [(os.fspath(folder), "")]
    while waiting:
        place, below = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.lower() in _SYSTEM:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if not is_link(entry):  # a junction of Windows stands for another folder, perhaps one above it
                            waiting.append((entry.path, f"{below}{entry.name}/"))
                    elif entry.is_file(follow_symlinks=False):
                        yield below, entry.name
        except OSError as error:
            raise unreadable(place, error.strerror or str(error)) from error


def _is_unicode(name: str) -> bool:
    """Return True if a name is text: on Linux it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


_NEEDED, _OPTIONAL = ("person", "file"), ("from", "until")


class Period(StrEnum):
    """Define where today is relative to the dates of a row."""

    BEFORE = "before"
    WITHIN = "within"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class MapRow:
    """Represent one row: a person, their file relative to FOLDER_PATH with slashes, and where today is."""

    person: str
    file: str
    period: Period


def map_problem(path: Path) -> str:
    """Return why the map cannot be used, with the line; empty if it can."""
    try:
        for _ in map_rows(path):
            pass
    except SettingsError as error:
        return error.problems[0]
    return ""


def map_rows(path: Path) -> Iterator[MapRow]:
    """Yield the rows in their order; raise SettingsError for a map that is not there, has no row or does not parse.

    A row counts from its first day to its last day, both included, by the clock of this machine.
    """
    today = datetime.now().astimezone().date()
    line = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            separator = _separator(stream.readline())
            stream.seek(0)
            table = csv.reader(stream, delimiter=separator, strict=True)
            header: list[str] = []
            count = 0
            for cells in table:
                line = table.line_num
                if not header:
                    header = _header(cells)
                elif cells:
                    count += 1
                    yield _row(header, cells, today)
    except OSError as error:
        raise _refused(path, 0, f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise _refused(path, line + 1, "is not UTF-8 text; export it as UTF-8") from error
    except (csv.Error, ValueError) as error:
        raise _refused(path, line or 1, str(error)) from error
    if not count:
        raise _refused(path, line or 1, "there is no row; an export that failed is not taken for nobody")


def _separator(header: str) -> str:
    return ";" if ";" in header and "," not in header else ","


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    known = (*_NEEDED, *_OPTIONAL)
    if len(set(names)) != len(names) or not set(_NEEDED) <= set(names) <= set(known):
        raise ValueError("the first line must be person,file or person,file,from,until")
    return names


def _row(header: Sequence[str], cells: Sequence[str], today: date) -> MapRow:
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells where the first line has {len(header)}")
    values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name in _NEEDED:
        if not values[name] or not values[name].isprintable():
            raise ValueError(f"{name} is empty or has characters that cannot be printed")
    starts, ends = _day(values.get("from", "")), _day(values.get("until", ""))
    if starts and ends and ends < starts:
        raise ValueError("until is before from")
    period = Period.BEFORE if starts and today < starts else Period.AFTER if ends and ends < today else Period.WITHIN
    return MapRow(values["person"], _relative(values["file"]), period)


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text} is not a date; write 2027-01-31 (ISO 8601)") from error


def _relative(file: str) -> str:
    """Return a path below FOLDER_PATH with slashes; raise ValueError for any other."""
    parts = re.split(r"[/\\]", file)  # both kinds of slash
    if not parts[0] or re.match("[A-Za-z]:", file) or ".." in parts:
        raise ValueError(f"{file} must be a path below FOLDER_PATH, without ..")
    return os.path.normpath(file).replace(os.sep, "/")


def _refused(path: Path, line: int, why: str) -> SettingsError:
    where = f"{path}, line {line}" if line else str(path)
    return SettingsError([f"FOLDER_MAP: {where}: {why}."])
