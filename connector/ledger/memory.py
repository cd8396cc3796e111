"""Store the state of the cloud's photos, open intents and refusals by target and account, and retries."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from connector.ledger.codec import pack_time, packed_print, save_print, save_row, unpack_print, unpack_time
from connector.model import Intent, Memory, Presence


def save_memory(
    db: sqlite3.Connection, target: str, account_id: str, *, memory: Memory, run: int, now: datetime
) -> None:
    """Remember the state of one account's photo, as looked at now."""
    values = {
        "target": target,
        "account_id": account_id,
        "person_id": memory.person_id,
        "presence": memory.presence,
        "source_sha256": memory.source_sha256,
        "recipe": memory.recipe,
        "sent_sha256": memory.sent_sha256,
        "sent_print": save_print(db, memory.sent_print),
        "read_sha256": memory.read_sha256,
        "read_print": save_print(db, memory.read_print),
        "tag": memory.tag,
        "conflict_policy": memory.conflict_policy,
        "is_final": memory.is_final,
        "restored": memory.restored,
        "improved_at": pack_time(memory.improved_at),
        "checked_at": pack_time(now),
        "run": run,
    }
    save_row(db, "photo_state", values, key="target, account_id")


def find_memory(db: sqlite3.Connection, target: str, account_id: str) -> Memory | None:
    """Return what is remembered of one account's photo."""
    query = f"SELECT {MEMORY_COLUMNS} FROM photo_state m WHERE target = ? AND account_id = ?"
    row = db.execute(query, (target, account_id)).fetchone()
    return None if row is None else to_memory(row)


def to_memory(row: sqlite3.Row) -> Memory:
    """Make a memory of a row with `MEMORY_COLUMNS`."""
    return Memory(
        person_id=row["m_person_id"],
        presence=Presence(row["m_presence"]),
        source_sha256=row["m_source_sha256"],
        recipe=row["m_recipe"],
        sent_sha256=row["m_sent_sha256"],
        sent_print=unpack_print(row["m_sent_print"]),
        read_sha256=row["m_read_sha256"],
        read_print=unpack_print(row["m_read_print"]),
        tag=row["m_tag"],
        conflict_policy=row["m_conflict_policy"],
        is_final=bool(row["m_is_final"]),
        restored=bool(row["m_restored"]),
        improved_at=unpack_time(row["m_improved_at"]),
    )


def _columns(table: str, *names: str) -> str:
    """Return the columns of a table as `table_column`; a fingerprint's column gives the packed fingerprint."""
    values = {name: f"{table}.{name}" for name in names}
    texts = (packed_print(value) if name.endswith("_print") else value for name, value in values.items())
    return ", ".join(f"{text} AS {table}_{name}" for name, text in zip(names, texts, strict=True))


# Of photo_state as `m`, and of intents as `i`.
MEMORY_COLUMNS = _columns(
    *("m", "account_id", "person_id", "presence", "source_sha256", "recipe", "sent_sha256", "sent_print"),
    *("read_sha256", "read_print", "tag", "conflict_policy", "is_final", "restored", "improved_at"),
)
INTENT_COLUMNS = _columns(
    *("i", "account_id", "person_id", "source_sha256", "sent_sha256", "sent_print", "tag_before", "started_at"),
    *("accepted_at", "restores", "reason", "recipe", "run"),
)


def drop_memory(db: sqlite3.Connection, target: str, account_id: str) -> None:
    """Forget one account's photo."""
    db.execute("DELETE FROM photo_state WHERE target = ? AND account_id = ?", (target, account_id))


def forget_dropped_attributes(db: sqlite3.Connection, context: str, *, attributes: Sequence[str]) -> int:
    """Forget the photos of people who have one only in attributes that are no longer asked for; returns how many.

    They did not clear it, so what the cloud shows is not ours to remove. Belongs before the values are dropped.
    """
    asked = f"f.attribute IN ({', '.join('?' * len(attributes))})"
    return db.execute(
        f"""DELETE FROM photo_state WHERE presence = 'ours' AND person_id IN (
          SELECT p.id FROM people p WHERE p.context = ?
            AND EXISTS (SELECT 1 FROM photos f WHERE f.person_id = p.id AND NOT {asked})
            AND NOT EXISTS (SELECT 1 FROM photos f WHERE f.person_id = p.id AND {asked} AND f.gone_run IS NULL))""",
        (context, *attributes, *attributes),
    ).rowcount


def mark_checked(db: sqlite3.Connection, target: str, account_id: str, *, now: datetime) -> None:
    """Record that the cloud was asked and nothing was to be done: its turn comes again when all others had theirs."""
    for table in ("photo_state", "refusals"):
        change = f"UPDATE {table} SET checked_at = ? WHERE target = ? AND account_id = ?"
        db.execute(change, (pack_time(now), target, account_id))


def clamp_future_check_times(db: sqlite3.Connection, target: str, *, now: datetime) -> None:
    """Date back to now what a clock that was wrong put into the future: its turn would not come before that day."""
    for table in ("photo_state", "refusals"):
        change = f"UPDATE {table} SET checked_at = :now WHERE target = :target AND checked_at > :now"
        db.execute(change, {"target": target, "now": pack_time(now)})


def open_intent(db: sqlite3.Connection, target: str, account_id: str, *, intent: Intent) -> None:
    """Write down a write before it happens."""
    values = {
        "target": target,
        "account_id": account_id,
        "person_id": intent.person_id,
        "source_sha256": intent.source_sha256,
        "sent_sha256": intent.sent_sha256,
        "sent_print": save_print(db, intent.sent_print),
        "tag_before": intent.tag_before,
        "started_at": pack_time(intent.started_at),
        "accepted_at": pack_time(intent.accepted_at),
        "restores": intent.restores,
        "reason": intent.reason,
        "recipe": intent.recipe,
        "run": intent.run,
    }
    save_row(db, "intents", values, key="target, account_id")


def accept_intent(db: sqlite3.Connection, target: str, account_id: str, *, now: datetime) -> None:
    """Record that the cloud accepted the write."""
    change = "UPDATE intents SET accepted_at = ? WHERE target = ? AND account_id = ?"
    db.execute(change, (pack_time(now), target, account_id))


def close_intent(db: sqlite3.Connection, target: str, account_id: str) -> None:
    """Drop an intent that is settled, or that the cloud refused."""
    db.execute("DELETE FROM intents WHERE target = ? AND account_id = ?", (target, account_id))


def find_intent(db: sqlite3.Connection, target: str, account_id: str) -> Intent | None:
    """Return the open intent of one account."""
    query = f"SELECT {INTENT_COLUMNS} FROM intents i WHERE target = ? AND account_id = ?"
    row = db.execute(query, (target, account_id)).fetchone()
    return None if row is None else to_intent(row)


def to_intent(row: sqlite3.Row) -> Intent:
    """Make an intent of a row with `INTENT_COLUMNS`."""
    started = unpack_time(row["i_started_at"])
    if started is None:
        raise ValueError("an intent without a start")
    return Intent(
        person_id=row["i_person_id"],
        source_sha256=row["i_source_sha256"],
        sent_sha256=row["i_sent_sha256"],
        sent_print=unpack_print(row["i_sent_print"]),
        tag_before=row["i_tag_before"],
        started_at=started,
        accepted_at=unpack_time(row["i_accepted_at"]),
        restores=bool(row["i_restores"]),
        reason=row["i_reason"],
        recipe=row["i_recipe"],
        run=row["i_run"],
    )


def count_intents(db: sqlite3.Connection) -> int:
    """Count the writes that are not settled yet."""
    count: int = db.execute("SELECT COUNT(*) FROM intents").fetchone()[0]
    return count


def save_refusal(
    db: sqlite3.Connection, target: str, account_id: str, *, source_sha256: str, reason: str, detail: str, now: datetime
) -> None:
    """Remember that the service will not take this picture for this account, so that it is not tried every night."""
    values = (target, account_id, source_sha256, reason, detail, pack_time(now))
    names = "target, account_id, source_sha256, reason, detail, checked_at"
    db.execute(f"INSERT OR REPLACE INTO refusals ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)


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
    """Store whether a target looks at the person again in the next run: 0 no, 1 postponed, 2 failed."""
    if retry:
        db.execute(
            "INSERT OR REPLACE INTO retries (target, person_id, retry) VALUES (?, ?, ?)", (target, person_id, retry)
        )
    else:
        db.execute("DELETE FROM retries WHERE target = ? AND person_id = ?", (target, person_id))


def count_other_recipes(db: sqlite3.Connection, recipe: str) -> int:
    """Count the photos of ours that were made with another recipe, unless one was made with this recipe already."""
    if db.execute("SELECT 1 FROM photo_state WHERE recipe = ? LIMIT 1", (recipe,)).fetchone():
        return 0
    query = "SELECT COUNT(*) FROM photo_state WHERE recipe NOT IN ('', ?) AND presence = ?"
    count: int = db.execute(query, (recipe, Presence.OURS)).fetchone()[0]
    return count
