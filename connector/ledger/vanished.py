"""Which photo attributes are gone, and for whom? Counted for all, and for units where nobody has one any more."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator

_FIRST_NAME = re.compile(r"(?:\\.|[^\\,])*,")  # up to the first comma that is none of the name's own, RFC 4514
_HAD = """
    SELECT photos.person_id, attribute, people.name, SUM(gone_run IS NULL) AS live, MAX(gone_run) AS gone_run
    FROM photos JOIN people ON people.id = photos.person_id AND people.state = 'in-scope'
    {condition} GROUP BY photos.person_id, attribute"""


def vanished(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Count by attribute: people in scope who had a value until the last night that passed, and who lost it."""
    query = f"""SELECT attribute, COUNT(*) AS had, SUM(live = 0) AS lost FROM ({_HAD.format(condition="")})
        GROUP BY attribute"""
    if db.execute("SELECT 1 FROM photos WHERE gone_run IS NOT NULL LIMIT 1").fetchone() is None:
        return {}
    return {row["attribute"]: (row["had"], row["lost"]) for row in db.execute(query)}


def vanished_units(db: sqlite3.Connection, attribute: str, *, at_least: int, changes_run: int = 0) -> dict[str, int]:
    """Count, by the highest unit that holds them, the people of units in which everybody lost the attribute.

    A right that is taken away on one unit looks as if all below it had cleared their photos. Only a full reading can be
    deceived so: what a run of changes (an earlier one, or `changes_run`) was told is cleared.
    """
    had = f"SELECT name, live, gone_run FROM ({_HAD.format(condition='WHERE attribute = ?')})"
    untold = "live = 0 AND gone_run <> ? AND gone_run NOT IN (SELECT id FROM runs WHERE mode = 'changes')"
    rows = db.execute(f"{had} WHERE {untold}", (attribute, changes_run))
    lost = Counter(unit for row in rows for unit in _units(row["name"]))
    found = {unit: count for unit, count in lost.items() if count >= at_least}
    for row in db.execute(f"{had} WHERE live > 0", (attribute,)):
        if not found:
            break
        for unit in _units(row["name"]):
            found.pop(unit, None)
    return {unit: count for unit, count in found.items() if not any(above in found for above in _units(unit))}


def _units(name: str) -> Iterator[str]:
    """Yield the units above a DN, the nearest first."""
    while match := _FIRST_NAME.match(name):
        name = name[match.end() :]
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
