"""Count people who lost a photo attribute, in all and in units where nobody has one any more."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator

_FIRST_NAME = re.compile(r"(?:\\.|[^\\,])*,")  # up to the first comma that is none of the name's own, RFC 4514
# A known value that a full reading missed counts as lost, though it stands; others have run 0 in unread_values.
_HAD = """
    SELECT photos.person_id, photos.attribute, people.name, COALESCE(MAX(u.run), MAX(gone_run)) AS gone_run,
           CASE WHEN MAX(u.run) IS NULL THEN SUM(gone_run IS NULL) ELSE 0 END AS live
    FROM photos JOIN people ON people.id = photos.person_id AND people.state = 'in-scope'
    LEFT JOIN unread_values u ON u.person_id = photos.person_id AND u.attribute = photos.attribute AND u.run > 0
    {condition} GROUP BY photos.person_id, photos.attribute"""


def vanished(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Count by attribute: people in scope who had a value until the last night that passed, and who lost it."""
    query = f"""SELECT attribute, COUNT(*) AS had, SUM(live = 0) AS lost FROM ({_HAD.format(condition="")})
        GROUP BY attribute"""
    lost = "SELECT 1 FROM photos WHERE gone_run IS NOT NULL UNION SELECT 1 FROM unread_values WHERE run > 0 LIMIT 1"
    if db.execute(lost).fetchone() is None:
        return {}
    return {row["attribute"]: (row["had"], row["lost"]) for row in db.execute(query)}


def vanished_units(
    db: sqlite3.Connection, attribute: str, *, at_least: int, changes_run: int = 0, in_folders: bool = False
) -> dict[str, int]:
    """Count, by the highest unit that holds them, the people of units in which everybody lost the attribute.

    A right that is taken away on one unit looks as if all below it had cleared their photos. Only a full reading can be
    deceived so: what a run of changes (an earlier one, or `changes_run`) was told is cleared. `in_folders`: names are
    those of files, and a unit is a folder, which may be a share that is gone.
    """
    units_of = _folders if in_folders else _units
    had = f"SELECT name, live, gone_run FROM ({_HAD.format(condition='WHERE photos.attribute = ?')})"
    untold = "live = 0 AND gone_run <> ? AND gone_run NOT IN (SELECT id FROM runs WHERE mode = 'changes')"
    rows = db.execute(f"{had} WHERE {untold}", (attribute, changes_run))
    lost = Counter(unit for row in rows for unit in units_of(row["name"]))
    found = {unit: count for unit, count in lost.items() if count >= at_least}
    for row in db.execute(f"{had} WHERE live > 0", (attribute,)):
        if not found:
            break
        for unit in units_of(row["name"]):
            found.pop(unit, None)
    return {unit: count for unit, count in found.items() if not any(above in found for above in units_of(unit))}


def _units(name: str) -> Iterator[str]:
    """Yield the units above a DN, the nearest first."""
    while match := _FIRST_NAME.match(name):
        name = name[match.end() :]
        yield name


def _folders(name: str) -> Iterator[str]:
    """Yield the folders above a file, the nearest first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def settle_vanished(db: sqlite3.Connection, *, unread: Collection[str] = ()) -> None:
    """Forget the values that are gone, but for contexts in `unread`, and the pictures nobody has: the brakes passed."""
    others = f"SELECT id FROM people WHERE context IN ({', '.join('?' * len(unread))})"
    gone = f"DELETE FROM photos WHERE gone_run IS NOT NULL AND person_id NOT IN ({others})"
    if db.execute(gone, tuple(unread)).rowcount:
        db.execute(
            "DELETE FROM pictures WHERE NOT EXISTS "
            "(SELECT 1 FROM photos WHERE photos.source_sha256 = pictures.source_sha256) "
            "AND source_sha256 NOT IN (SELECT source_sha256 FROM people WHERE context = 'guests')"
        )
