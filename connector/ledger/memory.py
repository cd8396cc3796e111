"""What do we know of the cloud's photos? Memory, open intents and refusals by target and account, and retries."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from connector.ledger.codec import pack_print, pack_time, unpack_print, unpack_time
from connector.model import Intent, Memory, Presence


def save_memory(
    db: sqlite3.Connection, target: str, account_id: str, *, memory: Memory, run: int, now: datetime
) -> None:
    """Remember the state of one account's photo, as looked at now."""
    values = (
        *(target, account_id, memory.person_id, memory.presence, memory.source_sha256, memory.recipe),
        *(memory.sent_sha256, pack_print(memory.sent_print), memory.read_sha256, pack_print(memory.read_print)),
        *(memory.tag, memory.policy, int(memory.restored), pack_time(memory.improved_at), pack_time(now), run),
    )
    db.execute(f"INSERT OR REPLACE INTO memory VALUES ({', '.join('?' * len(values))})", values)


def find_memory(db: sqlite3.Connection, target: str, account_id: str) -> Memory | None:
    """Return what is remembered of one account's photo."""
    query = "SELECT * FROM memory WHERE target = ? AND account_id = ?"
    row = db.execute(query, (target, account_id)).fetchone()
    return None if row is None else to_memory(row)


def to_memory(row: sqlite3.Row, prefix: str = "") -> Memory:
    """Make a memory of a row, whose columns may carry a prefix (of the work list's join)."""
    names = _PREFIXED if prefix else _PLAIN
    return Memory(
        person_id=row[names["person"]],
        presence=Presence(row[names["presence"]]),
        source_sha256=row[names["source"]],
        recipe=row[names["recipe"]],
        sent_sha256=row[names["sent_sha256"]],
        sent_print=unpack_print(row[names["sent"]]),
        read_sha256=row[names["read_sha256"]],
        read_print=unpack_print(row[names["read"]]),
        tag=row[names["tag"]],
        policy=row[names["policy"]],
        restored=bool(row[names["restored"]]),
        improved_at=unpack_time(row[names["improved"]]),
    )


_PLAIN = {
    **{"person": "person_id", "presence": "presence", "source": "source_sha256", "recipe": "recipe"},
    **{"sent_sha256": "sent_sha256", "sent": "sent_print", "read_sha256": "read_sha256", "read": "read_print"},
    **{"tag": "tag", "policy": "policy", "restored": "restored", "improved": "improved_at"},
}
_PREFIXED = {name: f"m_{name}" for name in _PLAIN}


def drop_memory(db: sqlite3.Connection, target: str, account_id: str) -> None:
    """Forget one account's photo."""
    db.execute("DELETE FROM memory WHERE target = ? AND account_id = ?", (target, account_id))


def forget_dropped_attributes(db: sqlite3.Connection, context: str, *, attributes: Sequence[str]) -> int:
    """Forget the photos of people who have one only in attributes that are no longer asked for; returns how many.

    They did not clear it, so what the cloud shows is not ours to remove. Belongs before the values are dropped.
    """
    asked = f"f.attribute IN ({', '.join('?' * len(attributes))})"
    return db.execute(
        f"""DELETE FROM memory WHERE presence = 'ours' AND person_id IN (
          SELECT p.id FROM people p WHERE p.context = ?
            AND EXISTS (SELECT 1 FROM photos f WHERE f.person_id = p.id AND NOT {asked})
            AND NOT EXISTS (SELECT 1 FROM photos f WHERE f.person_id = p.id AND {asked} AND f.gone_run IS NULL))""",
        (context, *attributes, *attributes),
    ).rowcount


def mark_checked(db: sqlite3.Connection, target: str, account_id: str, *, now: datetime) -> None:
    """Note that the cloud was asked and nothing was to be done: its turn comes again when all others had theirs."""
    for table in ("memory", "refusals"):
        change = f"UPDATE {table} SET looked_at = ? WHERE target = ? AND account_id = ?"
        db.execute(change, (pack_time(now), target, account_id))


def clamp_future_check_times(db: sqlite3.Connection, target: str, *, now: datetime) -> None:
    """Date back to now what a clock that was wrong put into the future: its turn would not come before that day."""
    for table in ("memory", "refusals"):
        change = f"UPDATE {table} SET looked_at = :now WHERE target = :target AND looked_at > :now"
        db.execute(change, {"target": target, "now": pack_time(now)})


def open_intent(db: sqlite3.Connection, target: str, account_id: str, *, intent: Intent, run: int) -> None:
    """Write down a write before it happens."""
    values = (
        *(target, account_id, intent.person_id, intent.source_sha256, intent.sent_sha256),
        *(pack_print(intent.sent_print), intent.tag_before, pack_time(intent.started_at)),
        *(pack_time(intent.accepted_at), int(intent.restores), intent.reason, intent.recipe, run),
    )
    db.execute(f"INSERT OR REPLACE INTO intents VALUES ({', '.join('?' * len(values))})", values)


def accept_intent(db: sqlite3.Connection, target: str, account_id: str, *, now: datetime) -> None:
    """Note that the cloud accepted the write."""
    change = "UPDATE intents SET accepted_at = ? WHERE target = ? AND account_id = ?"
    db.execute(change, (pack_time(now), target, account_id))


def close_intent(db: sqlite3.Connection, target: str, account_id: str) -> None:
    """Drop an intent that is settled, or that the cloud refused."""
    db.execute("DELETE FROM intents WHERE target = ? AND account_id = ?", (target, account_id))


def find_intent(db: sqlite3.Connection, target: str, account_id: str) -> Intent | None:
    """Return the open intent of one account."""
    query = "SELECT * FROM intents WHERE target = ? AND account_id = ?"
    row = db.execute(query, (target, account_id)).fetchone()
    return None if row is None else to_intent(row)


def to_intent(row: sqlite3.Row, prefix: str = "") -> Intent:
    """Make an intent of a row, whose columns may carry a prefix (of the work list's join)."""
    names = {name: f"i_{name}" for name in _INTENT} if prefix else _INTENT
    started = unpack_time(row[names["started"]])
    if started is None:
        raise ValueError("an intent without a start")
    return Intent(
        person_id=row[names["person"]],
        source_sha256=row[names["source"]],
        sent_sha256=row[names["sent_sha256"]],
        sent_print=unpack_print(row[names["sent"]]),
        tag_before=row[names["tag"]],
        started_at=started,
        accepted_at=unpack_time(row[names["accepted"]]),
        restores=bool(row[names["restores"]]),
        reason=row[names["reason"]],
        recipe=row[names["recipe"]],
    )


_INTENT = {
    **{"person": "person_id", "source": "source_sha256", "sent_sha256": "sent_sha256", "sent": "sent_print"},
    **{"tag": "tag_before", "started": "started_at", "accepted": "accepted_at", "restores": "restores"},
    **{"reason": "reason", "recipe": "recipe"},
}


def count_intents(db: sqlite3.Connection) -> int:
    """Count the writes that are not settled yet."""
    count: int = db.execute("SELECT COUNT(*) FROM intents").fetchone()[0]
    return count


def save_refusal(
    db: sqlite3.Connection, target: str, account_id: str, *, source_sha256: str, reason: str, detail: str, now: datetime
) -> None:
    """Remember that the service will not take this picture for this account, so that it is not tried every night."""
    values = (target, account_id, source_sha256, reason, detail, pack_time(now))
    db.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?, ?, ?)", values)


def drop_refusal(db: sqlite3.Connection, target: str, account_id: str) -> None:
    """Forget a refusal: the service took a picture."""
    db.execute("DELETE FROM refusals WHERE target = ? AND account_id = ?", (target, account_id))


def failing_accounts(db: sqlite3.Connection, target: str, *, failed: int, most: int) -> frozenset[str]:
    """Return the ids of accounts whose people failed in the run before; none where they are more than so many."""
    rows = db.execute(
        "SELECT p.account_id FROM retries r JOIN people p ON p.id = r.person_id "
        "WHERE r.target = ? AND r.retry = ? AND p.account_id <> '' LIMIT ?",
        (target, failed, most + 1),
    )
    found = frozenset(row["account_id"] for row in rows)
    return found if len(found) <= most else frozenset()


def set_retry(db: sqlite3.Connection, target: str, person_id: str, *, retry: int) -> None:
    """Note whether a target is to look at the person again next night: 0 no, 1 postponed, 2 failed."""
    if retry:
        db.execute("INSERT OR REPLACE INTO retries VALUES (?, ?, ?)", (target, person_id, retry))
    else:
        db.execute("DELETE FROM retries WHERE target = ? AND person_id = ?", (target, person_id))
