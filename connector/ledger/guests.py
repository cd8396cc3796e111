"""Store guests without a person as rows of their own, for the guests' default picture."""

from __future__ import annotations

import sqlite3

CONTEXT = "guests"

_LONE = """
    SELECT a.* FROM accounts a WHERE a.is_guest AND a.is_enabled AND NOT EXISTS (
      SELECT 1 FROM people p WHERE p.account_id = a.id AND p.account_id <> ''
      AND p.state = 'in-scope' AND p.context <> 'guests')"""


def save_guests(db: sqlite3.Connection, source_sha256: str, *, run: int) -> None:
    """Make every lone guest somebody with this picture; who is no longer one leaves the scope. Empty: nobody is one.

    No rule can match such a row: it has the account's name and nothing to compare.
    """
    lone = f"SELECT id FROM ({_LONE})"
    db.execute(
        f"""UPDATE people SET state = 'out-of-scope', changed_run = :run, account_id = ''
        WHERE context = 'guests' AND state = 'in-scope' AND (:sha = '' OR account_id NOT IN ({lone}))""",
        {"run": run, "sha": source_sha256},
    )
    if not source_sha256:
        return
    db.execute(
        f"""INSERT INTO people (id, context, name, upn, upn_key, mail, mail_key, sam_account_name, sam_key, employee_id,
            sid, anchor, is_contact, state, seen_run, changed_run, source_sha256, account_id, match_rule,
            confirmed_account_id)
        SELECT 'guest:' || id, 'guests', upn, upn, '', mail, '', '', '', '', '', '', 0,
            'in-scope', :run, :run, :sha, id, 'guest', id FROM ({_LONE}) WHERE true
        ON CONFLICT (id) DO UPDATE SET state = 'in-scope', seen_run = :run, changed_run = :run,
            source_sha256 = :sha, account_id = excluded.account_id
        WHERE (people.state, people.source_sha256, people.account_id)
            IS NOT ('in-scope', :sha, excluded.account_id)""",
        {"run": run, "sha": source_sha256},
    )
