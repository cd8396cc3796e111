"""Which accounts does the tenant have? Rows refreshed by a listing or by delta, and the links that mark the place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from connector.ledger.codec import key
from connector.model import Account

_FIELDS = (
    *("id", "upn", "upn_key", "mail", "mail_key", "sam_account_name", "sam_key", "employee_id"),
    *("immutable_id", "sid", "is_guest", "is_enabled", "is_synced", "has_exchange"),
)


def save_accounts(db: sqlite3.Connection, accounts: Iterable[Account], *, run: int) -> int:
    """Insert or refresh accounts; returns how many differ from their rows. A changed account may be asked again."""
    changed = 0
    for account in accounts:
        values = _values(account)
        known = db.execute(f"SELECT {', '.join(_FIELDS)} FROM accounts WHERE id = ?", (account.id,)).fetchone()
        if known is not None and tuple(known) == values:
            db.execute("UPDATE accounts SET seen_run = ? WHERE id = ?", (run, account.id))
            continue
        changed += 1
        marks = ", ".join("?" * (len(values) + 2))
        db.execute(
            f"INSERT OR REPLACE INTO accounts ({', '.join(_FIELDS)}, seen_run, changed_run) VALUES ({marks})",
            (*values, run, run),
        )
        db.execute("DELETE FROM refusals WHERE account_id = ?", (account.id,))
    return changed


def _values(account: Account) -> tuple[object, ...]:
    return (
        *(account.id, account.upn, key(account.upn), account.mail, key(account.mail)),
        *(account.sam_account_name, key(account.sam_account_name), account.employee_id),
        *(account.immutable_id, account.sid, int(account.is_guest), int(account.is_enabled)),
        *(int(account.is_synced), int(account.has_exchange)),
    )


def drop_accounts(db: sqlite3.Connection, account_ids: Iterable[str]) -> int:
    """Forget accounts that the tenant no longer has; their memory is kept until LEDGER_DAYS."""
    return sum(db.execute("DELETE FROM accounts WHERE id = ?", (one,)).rowcount for one in account_ids)


def drop_unseen(db: sqlite3.Connection, *, run: int) -> int:
    """Forget the accounts that a complete listing did not show; returns how many."""
    return db.execute("DELETE FROM accounts WHERE seen_run < ?", (run,)).rowcount


def find_account(db: sqlite3.Connection, account_id: str) -> Account | None:
    """Return the account with this id."""
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    return None if row is None else to_account(row)


def to_account(row: sqlite3.Row) -> Account:
    """Make an account of a row of `accounts`."""
    return Account(
        id=row["id"],
        upn=row["upn"],
        mail=row["mail"],
        sam_account_name=row["sam_account_name"],
        employee_id=row["employee_id"],
        immutable_id=row["immutable_id"],
        sid=row["sid"],
        is_guest=bool(row["is_guest"]),
        is_enabled=bool(row["is_enabled"]),
        is_synced=bool(row["is_synced"]),
        has_exchange=bool(row["has_exchange"]),
    )
