"""Read FOLDER_MAP: a CSV that names people and their files, with the dates on which a row counts."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path, PurePath, PureWindowsPath

from connector.errors import SettingsError

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
    path = PureWindowsPath(file)  # understands both kinds of slash
    if path.anchor or file.startswith("/") or ".." in path.parts:
        raise ValueError(f"{file} must be a path below FOLDER_PATH, without ..")
    return PurePath(os.path.normpath(file)).as_posix()


def _refused(path: Path, line: int, why: str) -> SettingsError:
    where = f"{path}, line {line}" if line else str(path)
    return SettingsError([f"FOLDER_MAP: {where}: {why}."])
