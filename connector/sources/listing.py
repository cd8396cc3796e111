"""Which files are in a folder, and whose? A list by person in a temporary SQLite file, so that memory stays small."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

from connector.errors import Unreachable
from connector.model import fold

_FIX = "Check FOLDER_PATH and the rights on it and on everything below; nothing was changed for anybody."


SHOWN = 10  # so many names stand in a notice


class Listing:
    """Hold the names of a folder's files by the key that each is filed under: Unicode NFC without letter case.

    Names are relative, with slashes. Hidden files are left out, symbolic links are not followed. Raises Unreachable
    where the folder, or one below it, cannot be listed to its end.
    """

    def __init__(self, folder: Path, endings: Collection[str]) -> None:
        self.nameless = 0  # files whose names are not UTF-8, so that nobody can be told by them
        self.nameless_shown: list[str] = []
        # without a name it is a file of its own in the temporary folder, which nobody else sees and which goes with it
        self._db = sqlite3.connect("")
        try:
            self._db.execute("CREATE TABLE files (key TEXT, name TEXT, PRIMARY KEY (key, name)) WITHOUT ROWID")
            with self._db:
                self._db.executemany("INSERT INTO files VALUES (?, ?)", self._found(folder, endings))
        except sqlite3.Error as error:
            raise unreadable(folder, f"the list of its files cannot be kept ({error})") from error

    def names(self, key: str) -> list[str]:
        """Return the files of one person."""
        return [name for (name,) in self._db.execute("SELECT name FROM files WHERE key = ?", (key,))]

    def key_of(self, name: str) -> str:
        """Return the key under which a file is filed; empty for a file that is not there."""
        row = self._db.execute("SELECT key FROM files WHERE key = ? AND name = ?", (folded(Path(name).stem), name))
        return str((row.fetchone() or ("",))[0])

    def people(self) -> Iterator[tuple[str, list[str]]]:
        """Yield who has files, in the order of the keys."""
        rows = self._db.execute("SELECT key, name FROM files ORDER BY key, name")
        for key, group in groupby(rows, key=lambda row: str(row[0])):
            yield key, [name for _, name in group]

    def duplicates(self) -> Iterator[list[str]]:
        """Yield the files of people who have more than one."""
        return (names for _, names in self.people() if len(names) > 1)

    def count_duplicates(self) -> int:
        """Count the people who have more than one file."""
        query = "SELECT COUNT(*) FROM (SELECT 1 FROM files GROUP BY key HAVING COUNT(*) > 1)"
        count: int = self._db.execute(query).fetchone()[0]
        return count

    def close(self) -> None:
        """Drop it."""
        self._db.close()

    def _found(self, folder: Path, endings: Collection[str]) -> Iterator[tuple[str, str]]:
        for path in _walk(folder):
            if path.suffix.lower() not in endings or path.name.startswith("."):
                continue
            name = path.relative_to(folder).as_posix()
            if _is_unicode(name):
                yield folded(path.stem), name
                continue
            self.nameless += 1
            if self.nameless <= SHOWN:
                self.nameless_shown.append(os.fsencode(name).decode("utf-8", "backslashreplace"))


def folded(name: str) -> str:
    """Return a name as files are told apart: Unicode NFC without letter case."""
    return fold(name)


def unreadable(folder: Path | str, why: str) -> Unreachable:
    """Say that a folder could not be read to its last file."""
    return Unreachable("folder", f"{folder} could not be read: {why}.", _FIX)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every regular file below a folder; no list of all names is ever held."""
    waiting = [os.fspath(folder)]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield Path(entry.path)
        except OSError as error:
            raise unreadable(place, error.strerror or str(error)) from error


def _is_unicode(name: str) -> bool:
    """Say whether a name is text: on Linux it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
