"""Find where a base DN went: people who were read below it are looked up by their GUID, and have its new DN."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from connector.config import Settings
from connector.config import dn as names
from connector.ledger.people import people_below
from connector.ledger.store import LEDGER_NAME
from connector.sources.scope import Scope
from connector.sources.session import Session

MOST_ASKED = 5


def new_base(settings: Settings, context: str, session: Session, *, base: str) -> str:
    """Return the DN below which people stand now who were read below this base; empty text if none is found there."""
    scope = Scope.of(settings, context, kind=session.root.kind)
    found: Counter[str] = Counter()
    for person_id, old in islice(_were_below(settings.state_dir / LEDGER_NAME, context, base), MOST_ASKED):
        answer = session.search(
            context, scope.by_id([person_id]), attributes=["objectClass"], operation="looking for a moved person"
        )
        for entry in answer.entries if answer.code == 0 else ():
            below = _base_of(entry.dn, old, base)
            if below:
                found[below] += 1
    return found.most_common(1)[0][0] if found else ""


def _were_below(ledger: Path, context: str, base: str) -> Iterator[tuple[str, str]]:
    """Yield id and DN of people who were below this base when they were read."""
    if not ledger.exists():
        return
    try:
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as db:
            tops = [names.parts(base)]
            yield from (one for one in people_below(db, context) if names.is_below(names.parts(one[1]), tops))
    except sqlite3.DatabaseError:
        return


def _base_of(dn: str, old: str, base: str) -> str:
    """Return what stands in the place of the base in a person's DN; empty text where the person moved within it."""
    depth = len(names.parts(old)) - len(names.parts(base))
    if not names.parts(dn) or names.parts(dn)[:depth] != names.parts(old)[:depth]:
        return ""
    return names.spell_dn(names.parse_dn(dn)[depth:])
