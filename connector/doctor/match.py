"""Would people find their accounts? A sample is matched in a ledger of its own, by the night's own rules."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from connector.cloud.accounts import get_accounts
from connector.cloud.batch import BATCH_SIZE, batch_get
from connector.cloud.transport import Transport
from connector.config import SourceKind
from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, fail, ok, warn
from connector.ledger import accounts as account_rows
from connector.ledger import people as people_rows
from connector.ledger.matching import count_matched, left_managed, match_people
from connector.ledger.store import open_ledger, transaction
from connector.model import Account, CloudManaged, MatchRule, Person, fold

# About twenty pages; in a bigger tenant the sample's accounts are asked for by anchor and UPN.
MOST_LISTED = 20_000
EXAMPLES = 5
ENOUGH_PERCENT = 90
_FIX = (
    "Compare one of them in Graph Explorer: GET https://graph.microsoft.com/v1.0/users/UPN?"
    "$select=onPremisesImmutableId,onPremisesSyncEnabled,onPremisesSecurityIdentifier; then see LDAP_ANCHOR,"
    " MATCH_FALLBACK, and whether Entra Connect synchronises their OU (LDAP_BASE_DN, LDAP_FILTER leave others out)."
)


def check_match(visit: CheckContext) -> Iterator[CheckResult]:
    """Match the sample, and name some of those who have no account."""
    accounts, listed = _accounts(visit)
    place = tempfile.TemporaryDirectory(prefix="photo-connector-check-")
    with place as folder, closing(open_ledger(Path(folder))[0]) as db:
        _match(db, visit, accounts)
        people, matched = count_matched(db)
        left = _left(db)
        managed = left_managed(db, EXAMPLES)
    of_whom = f"of the first {people}" if people < visit.scope_count or visit.scope_cut else f"of {people}"
    how = "all accounts were listed" if listed else "accounts asked for by anchor and UPN, the tenant being large"
    yield from _managed(*managed)
    told = f"{matched} {of_whom} people have an account ({how})"
    if not left:
        yield ok(told)
        return
    examples = f"{told}; not: {'; '.join(left)}"
    if matched * 100 >= people * ENOUGH_PERCENT:
        yield ok(examples)
        return
    yield (warn if matched else fail)(examples, _FIX)


def _managed(count: int, examples: Sequence[str], is_any_synced: bool) -> Iterator[CheckResult]:
    """Name who is left alone because the account is managed in the cloud."""
    if not count:
        return
    told = f"{count} people are left alone, their accounts being managed in the cloud: {'; '.join(examples)}"
    if is_any_synced:
        yield ok(f"{told} (SYNC_CLOUD_MANAGED=follow takes them in)")
        return
    cure = "If another service than Entra Connect makes the accounts, set SYNC_CLOUD_MANAGED=follow."
    yield warn(f"none of the accounts looked at is synced from a directory, so {told}", cure)


def _match(db: sqlite3.Connection, visit: CheckContext, accounts: Sequence[Account]) -> None:
    settings = visit.settings
    from_folder = settings.source is SourceKind.FOLDER
    rules = (settings.folder_key,) if from_folder else (MatchRule.ANCHOR, *settings.match_fallback)
    leaves = settings.sync_cloud_managed is CloudManaged.LEAVE
    with transaction(db):
        for person in visit.sample:
            people_rows.save_person(db, person, context="", run=1)
        account_rows.save_accounts(db, accounts, run=1)
        match_people(db, rules, from_folder=from_folder, check_sid=settings.match_check_sid, leave_managed=leaves)


def _left(db: sqlite3.Connection) -> list[str]:
    query = "SELECT name, upn, match_problem FROM people WHERE account_id = '' ORDER BY upn, name LIMIT ?"
    rows = db.execute(query, (EXAMPLES,))
    return [f"{row['upn'] or row['name']} ({row['match_problem']})" for row in rows]


def _accounts(visit: CheckContext) -> tuple[list[Account], bool]:
    """Return the tenant's accounts and True, or in a big tenant those of the sample alone and False."""
    found = list(visit.first_page)
    for page in visit.pages:
        found += page
        if len(found) >= MOST_LISTED:
            return _asked(visit.cloud.transport, visit.sample), False
    return found, True


def _asked(transport: Transport, people: Sequence[Person]) -> list[Account]:
    anchors = list(dict.fromkeys(person.anchor for person in people if person.anchor))
    ids: list[str] = []
    for start in range(0, len(anchors), BATCH_SIZE):
        part = anchors[start : start + BATCH_SIZE]
        answers = batch_get(transport, {anchor: _by_anchor(anchor) for anchor in part})
        for answer in answers.values():
            rows = answer.json_object().get("value")
            ids += [str(row["id"]) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    by_id = get_accounts(transport, ids)
    known = {fold(account.upn) for account in by_id}
    upns = dict.fromkeys(person.upn for person in people if person.upn and fold(person.upn) not in known)
    by_upn = get_accounts(transport, list(upns))
    return list({account.id: account for account in (*by_id, *by_upn)}.values())


def _by_anchor(anchor: str) -> str:
    value = quote(anchor.replace("'", "''"), safe="")
    return f"/users?$filter=onPremisesImmutableId%20eq%20'{value}'&$select=id"
