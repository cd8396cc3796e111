"""Store and count what the runs have seen for `coverage`: departments, looks at cloud photos, ages of source photos."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from connector.decide.case import PersonRule
from connector.ledger.codec import pack_time, unpack_time
from connector.ledger.memberships import RULE
from connector.model import Account, Reason

# The triggers keep these tables free of accounts and people that are gone, and of looks that a memory has replaced.
TABLES = """
CREATE TABLE account_details (
  account_id TEXT PRIMARY KEY,
  department TEXT NOT NULL,
  company TEXT NOT NULL
) WITHOUT ROWID;

-- What a cloud photo of which nothing else is remembered was like when it was looked at: 'photo', 'none' or 'refused'.
CREATE TABLE cloud_looks (
  target TEXT NOT NULL,
  account_id TEXT NOT NULL,
  state TEXT NOT NULL,
  width INTEGER NOT NULL,
  height INTEGER NOT NULL,
  checked_at TEXT NOT NULL,
  PRIMARY KEY (target, account_id)
) WITHOUT ROWID;

-- Since when a person has the source photo that was chosen; for photos known before version 6, at the latest.
CREATE TABLE source_since (
  person_id TEXT PRIMARY KEY,
  source_sha256 TEXT NOT NULL,
  since TEXT NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER account_details_gone AFTER DELETE ON accounts BEGIN
  DELETE FROM account_details WHERE account_id = OLD.id;
  DELETE FROM cloud_looks WHERE account_id = OLD.id;
END;
CREATE TRIGGER source_since_gone AFTER DELETE ON people BEGIN
  DELETE FROM source_since WHERE person_id = OLD.id;
END;
CREATE TRIGGER cloud_looks_replaced AFTER INSERT ON photo_state BEGIN
  DELETE FROM cloud_looks WHERE target = NEW.target AND account_id = NEW.account_id;
END;
"""
MIGRATION = f"""
{TABLES}
INSERT INTO source_since SELECT p.id, p.source_sha256, r.started FROM people p JOIN runs r ON r.id = p.changed_run
  WHERE p.state = 'in-scope' AND p.source_sha256 <> '';
"""
_SIZE = struct.Struct(">II")
SMALL = 240


class CloudState(StrEnum):
    """Name whose photo the cloud shows, as far as the runs have seen."""

    OURS = "ours"
    SOURCE = "source"
    OTHER = "other"
    NONE = "none"
    UNKNOWN = "unknown"


class CoverageRow(NamedTuple):
    """Represent one account, one person in scope, or both, with what is known of the photos of each side.

    `is_member` is True for an enabled member account, `in_scope` for a person in scope. `edge` is the longest edge of
    the cloud photo in pixels, 0 where that is not known. `opted_out_by` names the settings that say so, and
    `removed_at` when this tool last removed a photo since then.
    """

    account_id: str
    person_id: str
    name: str
    upn: str
    department: str
    company: str
    is_member: bool
    in_scope: bool
    match_problem: str
    cloud: CloudState
    edge: int
    checked_at: datetime | None
    source_sha256: str
    source_reason: str
    source_since: datetime | None
    opted_out_since: datetime | None = None
    opted_out_by: str = ""
    removed_at: datetime | None = None

    @property
    def is_small(self) -> bool:
        """Return True if the cloud photo is known to be smaller than 240 pixels."""
        return 0 < self.edge < SMALL


def save_details(db: sqlite3.Connection, accounts: Iterable[Account]) -> None:
    """Store department and company of accounts."""
    db.executemany(
        "INSERT INTO account_details VALUES (?, ?, ?) ON CONFLICT (account_id) DO UPDATE SET "
        "department = excluded.department, company = excluded.company "
        "WHERE (department, company) <> (excluded.department, excluded.company)",
        ((account.id, account.department, account.company) for account in accounts),
    )


def find_details(db: sqlite3.Connection, account_id: str) -> tuple[str, str]:
    """Return department and company of an account; empty where nothing is known."""
    query = "SELECT department, company FROM account_details WHERE account_id = ?"
    row = db.execute(query, (account_id,)).fetchone()
    return ("", "") if row is None else (row["department"], row["company"])


def save_look(
    db: sqlite3.Connection, target: str, account_id: str, *, state: str, size: tuple[int, int], now: datetime
) -> None:
    """Store what a look at the cloud photo of somebody without a source photo showed."""
    values = (target, account_id, state, *size, pack_time(now))
    db.execute("INSERT OR REPLACE INTO cloud_looks VALUES (?, ?, ?, ?, ?, ?)", values)


def save_source_since(db: sqlite3.Connection, run: int, *, now: datetime) -> None:
    """Store since when people have their source photo, for those whose photo changed in this run."""
    db.execute(
        """INSERT INTO source_since SELECT id, source_sha256, ? FROM people
        WHERE changed_run = ? AND state = 'in-scope' AND source_sha256 <> ''
        ON CONFLICT (person_id) DO UPDATE SET source_sha256 = excluded.source_sha256, since = excluded.since
        WHERE source_since.source_sha256 <> excluded.source_sha256""",
        (pack_time(now), run),
    )
    db.execute("DELETE FROM source_since WHERE person_id IN (SELECT id FROM people WHERE source_sha256 = '')")


def coverage_rows(db: sqlite3.Connection) -> Iterator[CoverageRow]:
    """Yield every enabled member account, and every person in scope without one."""
    for row in db.execute(_ROWS):
        edge = max(_SIZE.unpack(row["size"])) if row["size"] else row["look_edge"] or 0
        cloud = CloudState(row["cloud"])
        yield CoverageRow(
            account_id=row["account_id"] or "",
            person_id=row["person_id"] or "",
            name=row["name"] or "",
            upn=row["upn"] or "",
            department=row["department"] or "",
            company=row["company"] or "",
            is_member=bool(row["is_member"]),
            in_scope=row["person_id"] is not None,
            match_problem=row["match_problem"] or "",
            cloud=cloud,
            edge=0 if cloud in (CloudState.NONE, CloudState.UNKNOWN) else edge,
            checked_at=unpack_time(row["checked_at"] or ""),
            source_sha256=row["source_sha256"] or "",
            source_reason=row["source_reason"] or "",
            source_since=unpack_time(row["since"] or ""),
            opted_out_since=unpack_time(row["opted_out_since"] or ""),
            opted_out_by=row["opted_out_by"] or "",
            removed_at=unpack_time(row["removed_at"] or ""),
        )


def count_coverage(db: sqlite3.Connection) -> Mapping[str, Mapping[str, int]]:
    """Count enabled member accounts, and people in scope, by whose photo the cloud shows."""
    counts: dict[str, dict[str, int]] = {
        kind: {state.value: 0 for state in CloudState} for kind in ("accounts", "people")
    }
    query = f"SELECT cloud, SUM(is_member) AS members, SUM(person_id IS NOT NULL) AS people FROM ({_ROWS}) GROUP BY 1"
    for row in db.execute(query):
        counts["accounts"][row["cloud"]] = row["members"]
        counts["people"][row["cloud"]] = row["people"]
    return counts


_OPTED_OUT = f"FROM memberships g WHERE g.person_id = p.id AND g.rule = {int(PersonRule.OPTED_OUT)}"
_COLUMNS = f"""
    (SELECT MIN(g.since) {_OPTED_OUT}) AS opted_out_since,
    (SELECT group_concat(g.setting, ' ') {_OPTED_OUT}) AS opted_out_by,
    (SELECT MAX(w.written_at) FROM writes w WHERE w.person_id = p.id AND w.action = 'remove'
       AND w.written_at >= (SELECT MIN(g.since) {_OPTED_OUT})) AS removed_at,
    a.id AS account_id, p.id AS person_id, COALESCE(p.name, a.upn) AS name,
    COALESCE(NULLIF(p.upn, ''), a.upn) AS upn, d.department, d.company,
    COALESCE(a.is_enabled AND NOT a.is_guest, 0) AS is_member, p.match_problem, p.source_sha256, p.source_reason,
    s.since, COALESCE(m.checked_at, l.checked_at) AS checked_at,
    CASE WHEN i.accepted_at <> '' THEN CASE WHEN i.sent_sha256 = '' THEN 'none' ELSE 'ours' END
         WHEN m.presence = 'ours' THEN CASE WHEN m.sent_sha256 = '' THEN 'source' ELSE 'ours' END
         WHEN m.presence = 'theirs' THEN 'other'
         WHEN m.presence = 'cleared' OR l.state = 'none' THEN 'none'
         WHEN l.state = 'photo' THEN 'other'
         ELSE 'unknown' END AS cloud,
    (SELECT substr(f.packed, 1, 8) FROM fingerprints f
      WHERE f.id = COALESCE(i.sent_print, m.read_print, m.sent_print)) AS size, max(l.width, l.height) AS look_edge"""
# What is remembered of the account in one target: in Graph before SharePoint.
_JOINS = """
    LEFT JOIN account_details d ON d.account_id = a.id
    LEFT JOIN photo_state m ON m.account_id = a.id
      AND m.target = (SELECT MIN(target) FROM photo_state WHERE account_id = a.id)
    LEFT JOIN intents i ON i.account_id = a.id AND i.target = COALESCE(m.target, 'graph')
    LEFT JOIN cloud_looks l ON l.account_id = a.id AND l.target = 'graph'
    LEFT JOIN source_since s ON s.person_id = p.id"""
_IN_SCOPE = "p.state = 'in-scope' AND p.context <> 'guests'"
_ROWS = f"""
    SELECT {_COLUMNS} FROM accounts a
    LEFT JOIN people p ON p.account_id = a.id AND p.account_id <> '' AND {_IN_SCOPE} {_JOINS}
    WHERE a.is_enabled AND NOT a.is_guest
    UNION ALL
    SELECT {_COLUMNS} FROM people p LEFT JOIN accounts a ON a.id = p.account_id AND p.account_id <> '' {_JOINS}
    WHERE {_IN_SCOPE} AND (a.id IS NULL OR NOT a.is_enabled OR a.is_guest)"""


def count_ruled(db: sqlite3.Connection) -> Mapping[str, int]:
    """Count the people in scope who are treated by a rule of their own, or left alone as managed in the cloud."""
    counts = {rule.name.lower().replace("_", "-"): 0 for rule in PersonRule if rule}
    for row in db.execute(f"SELECT {RULE} AS rule, COUNT(*) AS number FROM people p WHERE {_IN_SCOPE} GROUP BY 1"):
        if row["rule"]:
            counts[PersonRule(row["rule"]).name.lower().replace("_", "-")] = row["number"]
    managed = f"SELECT COUNT(*) FROM people p WHERE {_IN_SCOPE} AND match_problem = ?"
    return {**counts, "cloud-managed": db.execute(managed, (Reason.CLOUD_MANAGED,)).fetchone()[0]}
