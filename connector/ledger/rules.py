"""Put what is decided without a look into a table, so that queries join the decision instead of repeating it."""

from __future__ import annotations

import sqlite3

from connector.decide.case import Policy
from connector.decide.standing import StandingRow, standing_rows
from connector.ledger.memberships import RULE

_STATE = (
    "rule",
    "is_guest",
    "has_photo",
    "presence",
    "is_of_person",
    "is_same_source",
    "conflict_policy",
    "is_final",
    "restored",
)

# One row for each person `p` with the memory `m`, or none for a state that no rule knows.
JOIN_RULES = f"""LEFT JOIN temp.rules q ON q.rule = {RULE}
    AND q.is_guest = (p.context = 'guests') AND q.has_photo = (p.source_sha256 <> '')
    AND q.presence = COALESCE(m.presence, '') AND q.is_of_person = COALESCE(m.person_id = p.id, 0)
    AND q.is_same_source = COALESCE(m.source_sha256 = p.source_sha256, 0)
    AND q.conflict_policy = COALESCE(m.conflict_policy, '') AND q.is_final = COALESCE(m.is_final, 0)
    AND q.restored = COALESCE(m.restored, 0)"""


def fill_rules(db: sqlite3.Connection, policy: Policy) -> None:
    """Write the decisions under this policy into the temporary table `rules`."""
    names = ", ".join(StandingRow._fields)
    db.execute("DROP TABLE IF EXISTS temp.rules")
    db.execute(f"CREATE TEMP TABLE rules ({names}, PRIMARY KEY ({', '.join(_STATE)})) WITHOUT ROWID")
    marks = ", ".join("?" * len(StandingRow._fields))
    db.executemany(f"INSERT INTO temp.rules ({names}) VALUES ({marks})", standing_rows(policy))
