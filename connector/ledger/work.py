"""Who is looked at tonight? The work list is a query: what differs from memory, is open, failed, or is due in turn."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from connector.ledger.memory import to_intent, to_memory
from connector.ledger.people import PictureRow, to_person
from connector.ledger.codec import unpack_print
from connector.model import Account, Intent, Memory, Person

# A person takes part where the read was whole, the account is certain and the picture can be judged.
_TAKES_PART = """p.state = 'in-scope' AND p.account_id <> '' AND p.context NOT IN (SELECT name FROM unread)
    AND (p.source_sha256 <> '' OR p.source_reason = 'no-photo') AND p.account_id IN (SELECT id FROM takers)"""
_JOINED = """people p
    LEFT JOIN memory m ON m.target = :target AND m.account_id = p.account_id
    LEFT JOIN intents i ON i.target = :target AND i.account_id = p.account_id
    LEFT JOIN refusals r ON r.target = :target AND r.account_id = p.account_id AND r.source_sha256 = p.source_sha256"""
_DIFFERS = """(
    i.account_id IS NOT NULL
    OR (p.retry AND (m.account_id IS NOT NULL OR p.source_sha256 <> ''))
    OR (r.account_id IS NULL AND p.source_sha256 <> '' AND (
        m.account_id IS NULL OR m.source_sha256 <> p.source_sha256 OR m.person_id <> p.id))
    OR (p.source_reason = 'no-photo' AND m.presence = 'ours' AND (m.policy <> 'kept' OR :removes))
    OR (m.presence IN ('theirs', 'cleared') AND m.policy <> 'source' AND :source_wins AND NOT m.restored))"""


class WorkItem(NamedTuple):
    """Hold all that the ledger knows for one decision."""

    position: int
    person: Person
    account: Account
    source_sha256: str
    picture: PictureRow | None
    memory: Memory | None
    intent: Intent | None
    is_due: bool


def begin_work(db: sqlite3.Connection, *, unread: Collection[str] = (), without_exchange: bool = False) -> None:
    """Begin the lists of a target's night: contexts that were not read, and the accounts that may take part."""
    for name, columns in (("unread", "name TEXT PRIMARY KEY"), ("work", "person_id TEXT PRIMARY KEY, due INTEGER")):
        db.execute(f"DROP TABLE IF EXISTS temp.{name}")
        db.execute(f"CREATE TEMP TABLE {name} ({columns})")
    db.executemany("INSERT INTO unread VALUES (?)", [(name,) for name in unread])
    db.execute("DROP VIEW IF EXISTS temp.takers")
    condition = "WHERE NOT has_exchange" if without_exchange else ""
    db.execute(f"CREATE TEMP VIEW takers AS SELECT id FROM accounts {condition}")


def list_different(db: sqlite3.Connection, target: str, *, source_wins: bool, removes: bool) -> int:
    """List everybody whose source, account or cloud is not as remembered; those who failed come last."""
    values = {"target": target, "source_wins": source_wins, "removes": removes}
    query = (
        f"INSERT INTO work SELECT p.id, 1 FROM {_JOINED} WHERE {_TAKES_PART} AND {_DIFFERS} "
        "ORDER BY i.account_id IS NULL, p.retry > 1, p.id"
    )
    return db.execute(query, values).rowcount


def list_everybody(db: sqlite3.Connection, target: str) -> int:
    """List everybody who takes part and has a photo or a memory (`--full`, `--resend`)."""
    query = (
        f"INSERT OR IGNORE INTO work SELECT p.id, 1 FROM {_JOINED} WHERE {_TAKES_PART} "
        "AND (p.source_sha256 <> '' OR m.account_id IS NOT NULL) ORDER BY p.id"
    )
    return db.execute(query, {"target": target}).rowcount


def list_chosen(db: sqlite3.Connection, target: str, person_ids: Sequence[str]) -> int:
    """List these people, where they take part (`--only`)."""
    query = f"INSERT OR IGNORE INTO work SELECT p.id, 1 FROM {_JOINED} WHERE {_TAKES_PART} AND p.id = :person"
    return sum(db.execute(query, {"target": target, "person": one}).rowcount for one in person_ids)


def list_share(db: sqlite3.Connection, target: str, percent: float) -> int:
    """Add the share of the quiet people whose last look is the oldest; returns how many are added."""
    quiet = f"FROM {_JOINED} WHERE {_TAKES_PART} AND m.account_id IS NOT NULL AND p.id NOT IN (SELECT person_id FROM work)"
    total = db.execute(f"SELECT COUNT(*) {quiet}", {"target": target}).fetchone()[0]
    share = math.ceil(total * percent / 100)
    query = f"INSERT INTO work SELECT p.id, 0 {quiet} ORDER BY m.looked_at, p.id LIMIT :share"
    return db.execute(query, {"target": target, "share": share}).rowcount if share else 0


def count_work(db: sqlite3.Connection) -> int:
    """Count the people on tonight's list."""
    count: int = db.execute("SELECT COUNT(*) FROM work").fetchone()[0]
    return count


def work_items(db: sqlite3.Connection, target: str, *, chunk: int = 200) -> Iterator[list[WorkItem]]:
    """Yield the work list in chunks, in its order; what happens to the ledger meanwhile does not disturb it."""
    position = 0
    while True:
        rows = db.execute(
            f"SELECT w.rowid AS position, w.due AS due, {_ITEM_COLUMNS} FROM work w JOIN people p ON p.id = w.person_id "
            f"{_ITEM_JOINS} WHERE w.rowid > :position ORDER BY w.rowid LIMIT :chunk",
            {"target": target, "position": position, "chunk": chunk},
        ).fetchall()
        if not rows:
            return
        position = rows[-1]["position"]
        yield [_item(row) for row in rows]


_ITEM_COLUMNS = """p.*,
    a.upn AS a_upn, a.mail AS a_mail, a.sam_account_name AS a_sam, a.employee_id AS a_employee,
    a.immutable_id AS a_immutable, a.sid AS a_sid, a.is_guest, a.is_enabled, a.is_synced, a.has_exchange,
    k.refused AS k_refused, k.detail AS k_detail, k.sent_print AS k_sent, k.whole_print AS k_whole,
    m.account_id AS m_known, m.person_id AS m_person, m.presence AS m_presence, m.source_sha256 AS m_source,
    m.recipe AS m_recipe, m.sent_sha256 AS m_sent_sha256, m.sent_print AS m_sent, m.read_sha256 AS m_read_sha256,
    m.read_print AS m_read, m.tag AS m_tag, m.policy AS m_policy, m.restored AS m_restored,
    m.improved_at AS m_improved,
    i.account_id AS i_known, i.person_id AS i_person, i.source_sha256 AS i_source, i.sent_sha256 AS i_sent_sha256,
    i.sent_print AS i_sent, i.tag_before AS i_tag, i.started_at AS i_started, i.accepted_at AS i_accepted,
    i.restores AS i_restores, i.reason AS i_reason, i.recipe AS i_recipe"""
_ITEM_JOINS = """JOIN accounts a ON a.id = p.account_id
    LEFT JOIN pictures k ON k.source_sha256 = p.source_sha256
    LEFT JOIN memory m ON m.target = :target AND m.account_id = p.account_id
    LEFT JOIN intents i ON i.target = :target AND i.account_id = p.account_id"""


def _item(row: sqlite3.Row) -> WorkItem:
    picture = None
    if row["k_refused"] is not None:
        shown = unpack_print(row["k_sent"]), unpack_print(row["k_whole"])
        picture = PictureRow(row["k_refused"], row["k_detail"], *shown)
    return WorkItem(
        position=row["position"],
        person=to_person(row),
        account=_account(row),
        source_sha256=row["source_sha256"],
        picture=picture,
        memory=to_memory(row, "m_") if row["m_known"] is not None else None,
        intent=to_intent(row, "i_") if row["i_known"] is not None else None,
        is_due=bool(row["due"]),
    )


def _account(row: sqlite3.Row) -> Account:
    return Account(
        id=row["account_id"],
        upn=row["a_upn"],
        mail=row["a_mail"],
        sam_account_name=row["a_sam"],
        employee_id=row["a_employee"],
        immutable_id=row["a_immutable"],
        sid=row["a_sid"],
        is_guest=bool(row["is_guest"]),
        is_enabled=bool(row["is_enabled"]),
        is_synced=bool(row["is_synced"]),
        has_exchange=bool(row["has_exchange"]),
    )
