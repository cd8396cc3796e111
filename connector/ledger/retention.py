"""Delete what is older than LEDGER_DAYS and BACKUP_DAYS, and everything about one person."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from connector.ledger.codec import drop_unused_prints, pack_time, unpack_time
from connector.ledger.cursors import drop_cursor
from connector.ledger.files import Backups
from connector.ledger.memberships import expelled_backups
from connector.ledger.store import transaction
from connector.ledger.writes import is_backup_wanted

_DID_SOMETHING = "SELECT 1 FROM outcomes WHERE run = (SELECT MAX(id) FROM runs) LIMIT 1"
_OLD_RUNS = "SELECT id FROM runs WHERE started < ?"
# A backup that no run wrote down (a brake stopped it) is dropped after a day.
_UNWRITTEN = timedelta(days=1)
# So far a clock may have moved since the last run. A longer leap may be a clock that is wrong for one night, and what
# it made us forget could not be had back: it is believed by the run after.
_LEAP = timedelta(days=7)


def forget_old(
    db: sqlite3.Connection, backups: Backups, *, now: datetime, ledger_days: int, backup_days: int
) -> list[str]:
    """Drop what is older than the settings keep; a clock that leaps ahead is not believed at once.

    Returns a sentence for each backup that stays, since another program holds it.
    """
    now = min(now, _latest(db, now))
    old, stale = (pack_time(now - timedelta(days=days)) for days in (ledger_days, backup_days))
    with transaction(db):
        _forget_people(db, old)
        _forget_runs(db, old, stale=stale)
        if db.execute(_DID_SOMETHING).fetchone() is not None:  # a quiet run replaced no fingerprint
            drop_unused_prints(db)
    before = now - min(_UNWRITTEN, timedelta(days=backup_days))
    stay = backups.drop_each(expelled_backups(db))
    return [*stay, *backups.sweep(is_wanted=lambda one: is_backup_wanted(db, one, since=stale), before=before)[1]]


def _latest(db: sqlite3.Connection, now: datetime) -> datetime:
    """Return how late it can be, by the run before this one; `now` where there was none."""
    row = db.execute("SELECT started FROM runs ORDER BY id DESC LIMIT 1 OFFSET 1").fetchone()
    started = unpack_time(row["started"]) if row is not None else None
    return now if started is None else started + _LEAP


def _forget_people(db: sqlite3.Connection, old: str) -> None:
    gone = f"SELECT id FROM people WHERE state <> 'in-scope' AND seen_run IN ({_OLD_RUNS})"
    for table in ("photos", "unread_values", "photo_state", "intents", "retries"):
        db.execute(f"DELETE FROM {table} WHERE person_id IN ({gone})", (old,))
    db.execute(f"DELETE FROM people WHERE id IN ({gone})", (old,))
    for table, moment in (("photo_state", "checked_at"), ("refusals", "checked_at"), ("intents", "started_at")):
        db.execute(f"DELETE FROM {table} WHERE {moment} < ? AND account_id NOT IN (SELECT id FROM accounts)", (old,))


def _forget_runs(db: sqlite3.Connection, old: str, *, stale: str) -> None:
    """Forget old runs; what one wrote stays known as long as its backups are kept, for without it none can be used."""
    for table in ("outcomes", "plans", "run_plans", "approvals"):
        db.execute(f"DELETE FROM {table} WHERE run IN ({_OLD_RUNS})", (old,))
    db.execute(f"DELETE FROM standing_outcomes WHERE end_run IN ({_OLD_RUNS})", (old,))
    db.execute("DELETE FROM writes WHERE written_at < ?", (min(old, stale),))
    db.execute("DELETE FROM expelled_backups WHERE sha256 NOT IN (SELECT before_sha256 FROM writes)")
    db.execute(
        f"DELETE FROM runs WHERE id IN ({_OLD_RUNS}) AND id NOT IN (SELECT first_run FROM standing_outcomes)"
        " AND id NOT IN (SELECT seen_run FROM people) AND id NOT IN (SELECT run FROM writes)",
        (old,),
    )


HIDDEN = "(forgotten)"
ACCOUNTS = "accounts"
# Everything about one person: what is deleted, and what is exported.
PERSON_TABLES = (
    *("photos", "unread_values", "photo_state", "intents", "retries", "outcomes", "standing_outcomes", "writes"),
    *("source_since", "plans", "memberships", "expelled_backups", "recipient_types"),
)
ACCOUNT_TABLES = (
    *(("refusals", "account_id"), ("photo_state", "account_id"), ("account_details", "account_id")),
    *(("cloud_looks", "account_id"), ("accounts", "id")),
)
PICTURE_TABLES = ("pictures", "placeholders")
# Texts about others and about runs, in which a person may be named.
MENTIONS = (
    *(("outcomes", "detail"), ("standing_outcomes", "detail"), ("runs", "message"), ("runs", "notices")),
    *(("runs", "advice"), ("run_plans", "options")),
)


def accounts_of(db: sqlite3.Connection, person_id: str) -> list[str]:
    """Return the ids of the accounts that are, or were, a person's and nobody else's now."""
    tables = ("photo_state", "writes", "intents", "outcomes", "standing_outcomes")
    kept = " UNION ".join(f"SELECT account_id FROM {table} WHERE person_id = :id" for table in tables)
    account = "FROM people WHERE id = :id"
    now = f"SELECT account_id AS id {account} UNION SELECT confirmed_account_id {account}"
    others = "SELECT account_id FROM people WHERE id <> :id"
    itself = "SELECT id FROM accounts WHERE id = :id"  # of an account without a person, who goes by its id
    found = db.execute(
        f"SELECT id FROM ({now} UNION {kept} UNION {itself}) WHERE id <> '' AND id NOT IN ({others})", {"id": person_id}
    )
    return [row["id"] for row in found]


def upns(db: sqlite3.Connection, account_ids: Sequence[str]) -> set[str]:
    """Return by which UPNs and addresses the tenant knows these accounts."""
    names: set[str] = set()
    for account_id in account_ids:
        for row in db.execute("SELECT upn, mail FROM accounts WHERE id = ?", (account_id,)):
            names |= {row["upn"], row["mail"]}
    return names


def old_names_of(db: sqlite3.Connection, person_id: str) -> set[str]:
    """Return the names and UPNs of a person in the outcomes of earlier runs."""
    told = "SELECT name, upn FROM outcomes WHERE person_id = :id"
    query = f"{told} UNION SELECT name, upn FROM standing_outcomes WHERE person_id = :id"
    return {text for row in db.execute(query, {"id": person_id}) for text in row}


def runs_mentioning(db: sqlite3.Connection, person_id: str) -> set[int]:
    """Return the numbers of the runs whose reports name a person."""
    told = db.execute("SELECT run FROM outcomes WHERE person_id = ?", (person_id,)).fetchall()
    stood = db.execute(
        "SELECT r.id AS run FROM standing_outcomes s JOIN runs r ON r.id >= s.first_run "
        "AND (s.end_run IS NULL OR r.id < s.end_run) WHERE s.person_id = ?",
        (person_id,),
    ).fetchall()
    return {row["run"] for row in (*told, *stood)}


def backups_of(db: sqlite3.Connection, person_id: str) -> list[str]:
    """Return the backups that only a person's writes refer to."""
    query = """SELECT DISTINCT before_sha256 AS sha FROM writes w WHERE person_id = ? AND before_sha256 <> ''
        AND NOT EXISTS (
          SELECT 1 FROM writes o WHERE o.before_sha256 = w.before_sha256 AND o.before_sha256 <> ''
          AND o.person_id <> w.person_id)"""
    return [row["sha"] for row in db.execute(query, (person_id,))]


def drop_person(db: sqlite3.Connection, person_id: str, *, account_ids: Sequence[str]) -> int:
    """Delete all rows of a person and of their accounts, and what their pictures showed; returns how many rows.

    The places go too, so that the next night reads everybody: whoever is still there is met as somebody new.
    """
    pictures = db.execute("SELECT source_sha256 FROM photos WHERE person_id = ?", (person_id,)).fetchall()
    context = db.execute("SELECT context FROM people WHERE id = ?", (person_id,)).fetchone()
    count = 0
    for table in PERSON_TABLES:
        count += db.execute(f"DELETE FROM {table} WHERE person_id = ?", (person_id,)).rowcount
    count += db.execute("DELETE FROM people WHERE id = ?", (person_id,)).rowcount
    for account_id in account_ids:
        for table, column in ACCOUNT_TABLES:
            count += db.execute(f"DELETE FROM {table} WHERE {column} = ?", (account_id,)).rowcount
    for table in PICTURE_TABLES:
        query = (
            f"DELETE FROM {table} WHERE source_sha256 = ? AND source_sha256 NOT IN (SELECT source_sha256 FROM photos)"
        )
        count += sum(db.execute(query, (row["source_sha256"],)).rowcount for row in pictures)
    drop_unused_prints(db)
    for name in (ACCOUNTS, context["context"] if context else ""):
        drop_cursor(db, name)
    return count


def sources_of(db: sqlite3.Connection, person_id: str) -> tuple[str, ...]:
    """Return the sha256 of a person's source photos."""
    rows = db.execute("SELECT DISTINCT source_sha256 FROM photos WHERE person_id = ?", (person_id,))
    return tuple(row["source_sha256"] for row in rows)


def rows_of(
    db: sqlite3.Connection, person_id: str, *, account_ids: Sequence[str]
) -> Iterator[tuple[str, list[sqlite3.Row]]]:
    """Yield each table with all its rows of a person, of their accounts and of their pictures."""
    found: dict[str, list[sqlite3.Row]] = {}
    wanted: list[tuple[str, str, tuple[str, ...]]] = [("people", "id", (person_id,))]
    wanted += [(table, "person_id", (person_id,)) for table in PERSON_TABLES]
    wanted += [(table, column, tuple(account_ids)) for table, column in ACCOUNT_TABLES]
    wanted += [(table, "source_sha256", sources_of(db, person_id)) for table in PICTURE_TABLES]
    for table, column, values in wanted:
        marks = ", ".join("?" * len(values))
        for row in db.execute(f"SELECT * FROM {table} WHERE {column} IN ({marks})", values):
            if row not in found.setdefault(table, []):
                found[table].append(row)
    yield from found.items()


def texts_about_others(db: sqlite3.Connection) -> Iterator[tuple[str, str, int, str]]:
    """Yield (table, column, run, text) of all texts in which a person may be named."""
    keys = {"runs": "id", "outcomes": "run", "standing_outcomes": "first_run", "run_plans": "run"}
    for table, column in MENTIONS:
        for row in db.execute(f"SELECT {keys[table]}, {column} FROM {table} WHERE {column} <> ''"):
            yield table, column, row[0], row[1]


def redact(db: sqlite3.Connection, names: re.Pattern[str]) -> int:
    """Remove a person's names from texts about others and about runs; returns how many texts had one."""
    db.create_function("hidden", 1, lambda text: names.sub(HIDDEN, text), deterministic=True)
    count = 0
    for table, column in MENTIONS:
        change = f"UPDATE {table} SET {column} = hidden({column}) WHERE hidden({column}) <> {column}"
        count += db.execute(change).rowcount
    return count


def vacuum(db: sqlite3.Connection) -> None:
    """Write the file anew and empty its log, so that no deleted byte is left in either."""
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
