"""Match people to accounts by a join, rule by rule; an ambiguous match is never resolved."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence

from connector.model import MatchRule, Reason

# What must be equal. Anchors are case-sensitive (base64); names are folded.
# An index that leaves empty values out is used only where the query says of that same column that it is not empty.
_EQUAL = {
    MatchRule.ANCHOR: "a.immutable_id = p.anchor AND a.immutable_id <> '' AND p.anchor <> ''",
    MatchRule.SID: "a.sid = p.sid AND a.sid <> '' AND p.sid <> ''",
    MatchRule.UPN: "a.upn_key = p.upn_key AND a.upn_key <> '' AND p.upn_key <> ''",
    MatchRule.MAIL: "a.mail_key = p.mail_key AND a.mail_key <> '' AND p.mail_key <> ''",
    MatchRule.EMPLOYEE_ID: "a.employee_id = p.employee_id AND p.employee_id <> ''",
    MatchRule.SAM_ACCOUNT_NAME: "a.sam_key = p.sam_key AND p.sam_key <> ''",
    MatchRule.EXTERNAL: "a.mail_key = p.mail_key AND a.mail_key <> '' AND p.mail_key <> ''",
}
_UNCLAIMED = """NOT EXISTS (SELECT 1 FROM people q WHERE q.anchor = a.immutable_id AND q.anchor <> ''
                AND q.id <> p.id AND q.state <> 'deleted')"""
# What a fallback may take, beside being synced: an account that nobody else's anchor claims, or one without anchor.
_FALLBACK = {
    MatchRule.SID: f"a.is_synced AND {_UNCLAIMED}",
    MatchRule.UPN: "a.is_synced AND a.immutable_id = ''",
    MatchRule.MAIL: "a.is_synced AND a.immutable_id = ''",
}

# Invited, or made by cross-tenant synchronization, which names members so, too; nobody else in the tenant has its mail.
_EXTERNAL = """NOT p.is_contact AND NOT a.is_synced AND a.upn_key LIKE '%#ext#@%' AND NOT EXISTS (
    SELECT 1 FROM accounts b
    WHERE b.mail_key = a.mail_key AND b.mail_key <> '' AND b.id <> a.id AND b.upn_key NOT LIKE '%#ext#@%')"""
# It came from a directory, and none is its source of authority today.
_MANAGED = "a.immutable_id <> '' AND NOT a.is_synced AND NOT a.is_guest"


def match_people(
    db: sqlite3.Connection,
    rules: Sequence[MatchRule],
    *,
    from_folder: bool = False,
    check_sid: bool = True,
    leave_managed: bool = False,
    external: bool = False,
) -> None:
    """Give each person in scope the account that the first fitting rule finds, or the problem that there is.

    From a folder any account may be taken; from LDAP only what the contract's MATCH_FALLBACK allows.
    Contacts are matched to guests, by mail. With `check_sid` nobody gets an account whose SID is somebody else's.
    With `leave_managed` an account that is managed in the cloud is found and left alone. With `external` people without
    an account get the external one with their mail.
    """
    db.execute("DROP TABLE IF EXISTS temp.matched")
    db.execute("CREATE TEMP TABLE matched (person_id TEXT PRIMARY KEY, account_id TEXT, rule TEXT, problem TEXT)")
    db.execute("CREATE INDEX temp.matched_account ON matched (account_id)")
    for rule in rules:
        extra = f"NOT p.is_contact AND {'1' if from_folder else _FALLBACK.get(rule, '1')}"
        if check_sid:
            _refuse_disputed(db, rule, extra)
        if rule is MatchRule.ANCHOR:
            _refuse_shared_anchors(db)
        _apply_rule(db, rule, extra)
    _apply_rule(db, MatchRule.MAIL, "p.is_contact AND a.is_guest")
    if external:
        _apply_rule(db, MatchRule.EXTERNAL, _EXTERNAL)
    if leave_managed:
        managed = f"problem = '' AND account_id IN (SELECT a.id FROM accounts a WHERE {_MANAGED})"
        db.execute(f"UPDATE matched SET problem = '{Reason.CLOUD_MANAGED}' WHERE {managed}")
    _store(db)


def _refuse_disputed(db: sqlite3.Connection, rule: MatchRule, condition: str) -> None:
    """Match no person to an account of another SID, by this or a later rule; the account stays free."""
    db.execute(
        f"""INSERT OR IGNORE INTO matched (person_id, account_id, rule, problem)
        SELECT p.id, '', ?, 'anchor-disputed' FROM people p JOIN accounts a ON {_EQUAL[rule]}
        WHERE p.state = 'in-scope' AND {condition} AND p.sid <> '' AND a.sid <> '' AND p.sid <> a.sid
          AND p.id NOT IN (SELECT person_id FROM matched)
          AND a.id NOT IN (SELECT account_id FROM matched WHERE account_id <> '')""",
        (rule,),
    )


def _refuse_shared_anchors(db: sqlite3.Connection) -> None:
    """Match nobody, by no rule, whose anchor somebody else has, too: in scope, or known and not deleted.

    Whoever may write an anchor could give a photo to anybody out of scope otherwise. An account that has the person's
    own SID settles it against people out of scope: the person came from there, by a migration.
    """
    own = """SELECT 1 FROM accounts a
             WHERE a.immutable_id = p.anchor AND a.immutable_id <> '' AND a.sid = p.sid AND p.sid <> ''"""
    db.execute(
        f"""INSERT INTO matched (person_id, account_id, rule, problem)
        SELECT p.id, '', 'anchor', 'ambiguous-match' FROM people p
        WHERE p.state = 'in-scope' AND p.anchor <> '' AND p.id NOT IN (SELECT person_id FROM matched)
          AND EXISTS (SELECT 1 FROM people q WHERE q.anchor = p.anchor AND q.anchor <> '' AND q.id <> p.id
            AND (q.state = 'in-scope' OR (q.state <> 'deleted' AND NOT EXISTS ({own}))))"""
    )


def _apply_rule(db: sqlite3.Connection, rule: MatchRule, condition: str) -> None:
    db.execute("DROP TABLE IF EXISTS temp.pairs")
    db.execute(
        f"""CREATE TEMP TABLE pairs AS
        SELECT p.id AS person_id, a.id AS account_id FROM people p JOIN accounts a ON {_EQUAL[rule]}
        WHERE p.state = 'in-scope' AND {condition}
          AND p.id NOT IN (SELECT person_id FROM matched)
          AND a.id NOT IN (SELECT account_id FROM matched WHERE account_id <> '')"""
    )
    db.execute("CREATE INDEX temp.pairs_person ON pairs (person_id)")
    db.execute("CREATE INDEX temp.pairs_account ON pairs (account_id)")
    db.execute(
        """INSERT INTO matched (person_id, account_id, rule, problem)
        SELECT person_id, CASE WHEN lone THEN account_id ELSE '' END, ?,
               CASE WHEN lone THEN '' ELSE 'ambiguous-match' END
        FROM (SELECT person_id, account_id, COUNT(*) = 1 AND MAX(
                (SELECT COUNT(*) FROM pairs other WHERE other.account_id = pairs.account_id)) = 1 AS lone
              FROM pairs GROUP BY person_id)""",
        (rule,),
    )


def _store(db: sqlite3.Connection) -> None:
    db.execute(
        """UPDATE people SET account_id = m.account_id, match_rule = m.rule, match_problem = m.problem
        FROM (SELECT p.id, COALESCE(t.account_id, '') AS account_id, COALESCE(t.rule, '') AS rule,
                     COALESCE(t.problem, 'no-account') AS problem
              FROM people p LEFT JOIN matched t ON t.person_id = p.id
              WHERE p.state = 'in-scope' AND p.context <> 'guests') AS m
        WHERE people.id = m.id
          AND (people.account_id, people.match_rule, people.match_problem) IS NOT (m.account_id, m.rule, m.problem)"""
    )


_REMATCHED = """people p WHERE p.state = 'in-scope' AND (
    (p.confirmed_account_id <> '' AND p.account_id <> p.confirmed_account_id)
    OR (p.account_id <> p.confirmed_account_id AND EXISTS (
        SELECT 1 FROM photo_state m WHERE m.account_id = p.account_id AND m.person_id <> p.id)))"""


def count_rematched(
    db: sqlite3.Connection, *, unread: Collection[str] = (), chosen: Collection[str] | None = None
) -> int:
    """Count the people in scope whose account changed or was lost since the last run whose limits passed.

    Left out are the contexts in `unread`, where nothing happens tonight, and whoever is not among the `chosen`.
    """
    among = "" if chosen is None else f" AND p.id IN ({_marks(chosen)})"
    query = f"SELECT COUNT(*) FROM {_REMATCHED} AND p.context NOT IN ({_marks(unread)}){among}"
    count: int = db.execute(query, (*unread, *(chosen or ()))).fetchone()[0]
    return count


def rematched_unseen(db: sqlite3.Connection, context: str, *, run: int, chunk: int = 500) -> Iterator[list[str]]:
    """Yield in chunks the ids of those of them that this run has not read; chunks may be written meanwhile."""
    last = ""
    query = f"SELECT p.id FROM {_REMATCHED} AND p.context = ? AND p.seen_run < ? AND p.id > ? ORDER BY p.id LIMIT ?"
    while ids := [row["id"] for row in db.execute(query, (context, run, last, chunk))]:
        last = ids[-1]
        yield ids


def claimed_by_others(db: sqlite3.Connection, person_ids: Collection[str]) -> list[str]:
    """Return whose anchor of these somebody in scope has, too."""
    query = f"""SELECT q.id FROM people q WHERE q.id IN ({_marks(person_ids)}) AND q.anchor <> '' AND EXISTS (
        SELECT 1 FROM people p WHERE p.anchor = q.anchor AND p.id <> q.id AND p.state = 'in-scope') ORDER BY q.id"""
    return [row["id"] for row in db.execute(query, tuple(person_ids))]


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))


def count_matched(db: sqlite3.Connection) -> tuple[int, int]:
    """Count the people in scope, and those of them who have an account."""
    query = "SELECT COUNT(*), COALESCE(SUM(account_id <> ''), 0) FROM people WHERE state = 'in-scope'"
    people, matched = db.execute(query).fetchone()
    return people, matched


def left_managed(db: sqlite3.Connection, examples: int = 5) -> tuple[int, list[str], bool]:
    """Return how many people are left alone as cloud-managed, some of their UPNs, and True if any account is synced."""
    where = f"FROM people WHERE state = 'in-scope' AND match_problem = '{Reason.CLOUD_MANAGED}'"
    count: int = db.execute(f"SELECT COUNT(*) {where}").fetchone()[0]
    rows = db.execute(f"SELECT upn, name {where} ORDER BY upn, name LIMIT ?", (examples,))
    names = [row["upn"] or row["name"] for row in rows]
    return count, names, bool(db.execute("SELECT EXISTS (SELECT 1 FROM accounts WHERE is_synced)").fetchone()[0])


def count_settled(db: sqlite3.Connection, *, unread: Collection[str] = ()) -> int:
    """Count the people in scope, but for contexts in `unread`, with an account in the last night that passed."""
    query = "SELECT COUNT(*) FROM people WHERE state = 'in-scope' AND confirmed_account_id <> ''"
    count: int = db.execute(f"{query} AND context NOT IN ({_marks(unread)})", tuple(unread)).fetchone()[0]
    return count


def settle_matches(db: sqlite3.Connection, *, unread: Collection[str] = ()) -> None:
    """Store this run's accounts as those to compare with in the next run; called once the brakes passed.

    People of contexts in `unread` were not judged; they are compared with what they had as before.
    """
    db.execute(
        "UPDATE people SET confirmed_account_id = account_id WHERE state = 'in-scope' "
        f"AND confirmed_account_id <> account_id AND context NOT IN ({_marks(unread)})",
        tuple(unread),
    )


_NOBODYS = """accounts a WHERE a.is_synced AND NOT EXISTS (
    SELECT 1 FROM people p WHERE p.account_id = a.id AND p.account_id <> '' AND p.state = 'in-scope')"""


def unmatched_accounts(db: sqlite3.Connection) -> int:
    """Count synced accounts that are nobody's in scope."""
    count: int = db.execute(f"SELECT COUNT(*) FROM {_NOBODYS}").fetchone()[0]
    return count


def unmatched_upns(db: sqlite3.Connection) -> Iterator[str]:
    """Yield the UPNs of synced accounts that are nobody's in scope, in their order."""
    for row in db.execute(f"SELECT upn FROM {_NOBODYS} ORDER BY upn_key"):
        yield row["upn"]


def count_match_rules(db: sqlite3.Connection) -> dict[str, int]:
    """Count the people in scope who have an account, by the rule that found it."""
    query = """SELECT match_rule, COUNT(*) AS n FROM people
        WHERE account_id <> '' AND match_rule <> '' AND state = 'in-scope' GROUP BY match_rule"""
    return {row["match_rule"]: row["n"] for row in db.execute(query)}
