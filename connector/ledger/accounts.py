"""Store the tenant's accounts, refreshed by a listing or by delta."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from connector.ledger.codec import key
from connector.ledger.coverage import find_details, save_details
from connector.model import Account

_FIELDS = (
    *("id", "upn", "upn_key", "mail", "mail_key", "sam_account_name", "sam_key", "employee_id"),
    *("immutable_id", "sid", "is_guest", "is_enabled", "is_synced", "has_exchange"),
)


def save_accounts(db: sqlite3.Connection, accounts: Iterable[Account], *, run: int) -> int:
    """Insert or refresh accounts; returns how many differ from their rows. A changed account may be asked again."""
    accounts, changed = list(accounts), 0
    save_details(db, accounts)
    for account in accounts:
        values = _values(account)
        known = db.execute(f"SELECT {', '.join(_FIELDS)} FROM accounts WHERE id = ?", (account.id,)).fetchone()
        if known is not None and tuple(known) == values:
            db.execute("UPDATE accounts SET seen_run = ? WHERE id = ?", (run, account.id))
            continue
        changed += 1
        marks = ", ".join("?" * (len(values) + 2))
        updates = ", ".join(f"{name} = excluded.{name}" for name in (*_FIELDS[1:], "seen_run", "changed_run"))
        db.execute(
            f"INSERT INTO accounts ({', '.join(_FIELDS)}, seen_run, changed_run) VALUES ({marks}) "
            f"ON CONFLICT (id) DO UPDATE SET {updates}",
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


def is_nobody_listed(db: sqlite3.Connection, *, run: int) -> bool:
    """Return True if a run saw none of the accounts that are known, and some are."""
    query = "SELECT EXISTS (SELECT 1 FROM accounts) AND NOT EXISTS (SELECT 1 FROM accounts WHERE seen_run = ?)"
    return bool(db.execute(query, (run,)).fetchone()[0])


class AskedFor(NamedTuple):
    """Name an account that may be there: by its id, and by the anchor of the person it belonged to."""

    account_id: str
    anchor: str


def lost_accounts(db: sqlite3.Connection, *, most: int) -> list[AskedFor]:
    """Return the accounts of people in scope who had one when the last night ended, and have none now."""
    query = (
        "SELECT confirmed_account_id, anchor FROM people WHERE state = 'in-scope' AND confirmed_account_id <> '' "
        "AND account_id = '' AND match_problem = 'no-account' ORDER BY id LIMIT ?"
    )
    return [AskedFor(*row) for row in db.execute(query, (most,))]


def gone_accounts(db: sqlite3.Connection, run: int, *, most: int) -> list[AskedFor]:
    """Return the accounts that are listed, and of which the service said in this run that they are not there."""
    query = (
        "SELECT DISTINCT a.id, COALESCE(p.anchor, '') FROM outcomes o JOIN accounts a ON a.id = o.account_id "
        "LEFT JOIN people p ON p.id = o.person_id WHERE o.run = ? AND o.reason = 'account-gone' ORDER BY a.id LIMIT ?"
    )
    return [AskedFor(*row) for row in db.execute(query, (run, most))]


def find_account(db: sqlite3.Connection, account_id: str) -> Account | None:
    """Return the account with this id."""
    row = db.execute("SELECT * FROM accounts WHERE id = ?", (account_id,)).fetchone()
    if row is None:
        return None
    department, company = find_details(db, account_id)
    return replace(to_account(row), department=department, company=company)


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


def shared_names(db: sqlite3.Connection, name_of: Callable[[str], str]) -> Iterator[str]:
    """Yield the names that two accounts of the tenant or more would have, by their UPNs; SQLite does the sorting.

    Memory does not grow with the number of accounts.
    """
    db.create_function("name_of", 1, name_of, deterministic=True)
    query = "SELECT name_of(upn) AS name FROM accounts WHERE upn <> '' GROUP BY name HAVING COUNT(*) > 1"
    for row in db.execute(query):
        yield row["name"]


def tags_in_use(db: sqlite3.Connection, target: str) -> Iterator[tuple[str, str]]:
    """Yield (UPN of today, tag) of every account whose photo in a target is remembered."""
    query = """SELECT a.upn, m.tag FROM photo_state m JOIN accounts a ON a.id = m.account_id
        WHERE m.target = ? AND m.tag <> ''"""
    for row in db.execute(query, (target,)):
        yield row["upn"], row["tag"]


def commonest_domain(db: sqlite3.Connection) -> str:
    """Return the domain that most member accounts have in their UPN; empty where no account is known."""
    domain = "LOWER(SUBSTR(upn, INSTR(upn, '@') + 1))"
    query = f"""SELECT {domain} AS domain FROM accounts WHERE upn LIKE '%@%' AND upn NOT LIKE '%#EXT#%'
        GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1"""
    row = db.execute(query).fetchone()
    return "" if row is None else str(row["domain"])
