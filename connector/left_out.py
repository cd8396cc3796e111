"""Find what excludes a person or an account from the scope, and what of that the database does not know."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from connector.ledger.accounts import find_account
from connector.ledger.history import PersonStatus, contexts_read, run_time
from connector.model import Account, PersonState
from connector.report.summary import format_utc

SCOPE_SETTINGS = "LDAP_BASE_DN, LDAP_EXCLUDE_DN, LDAP_GROUP and LDAP_FILTER (or FOLDER_PATH)"


def why_out_of_scope(db: sqlite3.Connection, status: PersonStatus) -> str:
    """Return in which state a person left the scope, since when, and by which setting."""
    run = status.seen_run
    since = f"since run {run}, {format_utc(run_time(db, run))}" if run_time(db, run) else f"since run {run}"
    if status.state == PersonState.DISABLED:
        return f"disabled {since}; left out unless LDAP_INCLUDE_DISABLED=true"
    if status.state == PersonState.DELETED:
        return f"deleted {since}"
    return f"out of scope {since}: no longer chosen by {SCOPE_SETTINGS}; by which of them, the database does not know"


def why_never_in_scope(db: sqlite3.Connection, account_id: str) -> Iterator[str]:
    """Yield what is known of an account that no person in scope ever had."""
    yield "In the source: no run has seen a person in scope with this name, so nothing was done."
    account = find_account(db, account_id)
    if account is None:
        return
    yield f"Account: {account.upn or account.id}, {_kind(account)}."
    yield from _why(account)
    read = [f"{name} (run {run})" for name, run in contexts_read(db)]
    yield f"The directory was read up to now in: {', '.join(read)}." if read else "The directory was not read so far."


def _kind(account: Account) -> str:
    kind = "a guest" if account.is_guest else "a member"
    state = "enabled" if account.is_enabled else "disabled"
    return f"{kind}, {state}, {'synchronized' if account.is_synced else 'not synchronized'} from a directory"


def _why(account: Account) -> Iterator[str]:
    if account.is_guest:
        yield "Left out: guests have no person in the directory, except contacts (LDAP_INCLUDE_CONTACTS)."
    elif account.is_synced:
        text = f"Left out: the account is synchronized, so there is a directory user, whom {SCOPE_SETTINGS} leave out"
        reasons = "or who is disabled there" if not account.is_enabled else "or whom the reading account may not see"
        yield f"{text}, {reasons}; which of them it is, the database does not know."
    else:
        yield (
            "Left out: the account is not synchronized, so it belongs to no directory user, or to one whom neither the "
            "anchor nor MATCH_FALLBACK finds."
        )
