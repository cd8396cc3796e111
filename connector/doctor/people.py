"""Whom can we read, and with which photos and anchors? Counted by the directory, a sample read for the match."""

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
from connector.command import quoted
from connector.doctor.context import CheckContext, counted
from connector.doctor.findings import CheckResult, fail, ok, warn
from connector.ledger import accounts as account_rows
from connector.ledger import people as people_rows
from connector.ledger.matching import count_matched, left_managed, match_people
from connector.ledger.store import open_ledger, transaction
from connector.model import Account, CloudManaged, Person, fold
from connector.sources import PersonRead
from connector.sources.entries import AUTO, CONSISTENCY_GUID
from connector.sources.open import open_source, source_traits
from connector.sources.pages import Query, walk
from connector.sources.read import ContextReader, read_all
from connector.sources.scope import all_of

# Enough to tell how it stands; a night reads everybody anyhow.
MOST_COUNTED = 20_000
SAMPLE = 500


def check_people(visit: CheckContext) -> Iterator[CheckResult]:
    """Count who is in scope, and read a sample of them."""
    if not source_traits(visit.settings).is_ldap:
        yield from _in_folder(visit)
        return
    for context, on in visit.passes.items():
        number, cut = _count(on, "")
        visit.scope_count += number
        visit.scope_cut = visit.scope_cut or cut
        if not number:
            yield fail(
                f"nobody is in scope below {'; '.join(on.scope.bases)}",
                "Look at LDAP_BASE_DN, LDAP_FILTER, LDAP_GROUP and LDAP_EXCLUDE_DN, and that the service account may"
                f" list that container: `Get-ADUser -LDAPFilter {_word(on.scope.people)} -SearchBase"
                f" {_word(on.scope.bases[0])}`",
            )
            continue
        visit.sample += _sample(on, SAMPLE - len(visit.sample))
        yield ok(f"{counted(number, cut=cut)} people in scope in {context}")


def check_photos(visit: CheckContext) -> Iterator[CheckResult]:
    """Count who has a readable value of each photo attribute; what may not be read looks empty."""
    counts = {name: _with(visit, name) for name in visit.settings.ldap_photo_attributes}
    nobody = not any(number for number, _ in counts.values())
    for name, (number, cut) in counts.items():
        people = counted(visit.scope_count, cut=visit.scope_cut)
        if number:
            yield ok(f"{name}: {counted(number, cut=cut)} of {people} people have one that we can read")
            continue
        told = f"{name}: 0 readable. Either nobody has one, or {visit.account} may not read it: both look alike"
        yield (fail if nobody else warn)(told, f"{_grant(visit, name)} {_others(visit, name, nobody=nobody)}")


def check_anchor(visit: CheckContext) -> Iterator[CheckResult]:
    """Count who has a readable anchor: what cannot be read silently becomes objectGUID."""
    wanted = visit.settings.ldap_anchor
    name = CONSISTENCY_GUID if wanted == AUTO else wanted
    number, cut = _with(visit, name)
    people = counted(visit.scope_count, cut=visit.scope_cut)
    if not number and wanted == AUTO:
        yield warn(
            f"{name}: 0 readable of {people} people, so objectGUID is the anchor of all. That is right only if Entra"
            f" Connect uses objectGUID; or {visit.account} may not read it",
            f"See Entra Connect > View current configuration > SOURCE ANCHOR. If it says mS-DS-ConsistencyGuid:"
            f" {_grant(visit, name)} If it says objectGUID, set LDAP_ANCHOR=objectGUID.",
        )
    elif not number:
        yield fail(
            f"{name}: 0 readable of {people} people, so nobody can be matched by the anchor",
            f"Set LDAP_ANCHOR to the source anchor that Entra Connect shows. {_grant(visit, name)}",
        )
    else:
        yield ok(f"{name}: {counted(number, cut=cut)} of {people} people have one that we can read")


def _in_folder(visit: CheckContext) -> Iterator[CheckResult]:
    """Read the pictures' names, as a night does; the pictures themselves are not opened."""
    with closing(open_source(visit.settings, visit.traffic)) as source:
        for context in source.contexts():
            for page in source.read(context, None).pages:
                read = [event.person for event in page.events if isinstance(event, PersonRead)]
                visit.scope_count += len(read)
                visit.sample += read[: SAMPLE - len(visit.sample)]
                if visit.scope_count >= MOST_COUNTED:
                    visit.scope_cut = True
                    break
    people = counted(visit.scope_count, cut=visit.scope_cut)
    if visit.scope_count:
        yield ok(f"{people} people have a picture in {visit.settings.folder_path}")
    else:
        yield fail(f"{visit.settings.folder_path} holds no picture", "Correct FOLDER_PATH and FOLDER_KEY.")


def _with(visit: CheckContext, attribute: str) -> tuple[int, bool]:
    found = [_count(on, f"({attribute}=*)") for on in visit.passes.values()]
    return sum(number for number, _ in found), any(cut for _, cut in found)


def _count(on: ContextReader, extra: str) -> tuple[int, bool]:
    """Count by ids alone; True when there may be more."""
    number = 0
    asked = on.members.narrowed(all_of(on.scope.people, extra))
    for base in on.scope.bases:
        for entries in walk(on.session, Query(base, asked, ["objectGUID"])):
            number += sum(on.scope.not_excluded(entry.dn) and on.members.has(entry) for entry in entries)
            if number >= MOST_COUNTED:
                return number, True
    return number, False


def _sample(on: ContextReader, size: int) -> list[Person]:
    found: list[Person] = []
    for page in read_all(on, None):
        found += [event.person for event in page.events if isinstance(event, PersonRead)]
        if len(found) >= size:
            break
    return found[: max(size, 0)]


def _grant(visit: CheckContext, attribute: str) -> str:
    """Return the command that lets the reading account read one attribute of the people, for each base."""
    bases = [base for on in visit.passes.values() for base in on.scope.bases]
    right = _word(f"{visit.account}:RP;{attribute};user")
    commands = [f"`dsacls {_word(base)} /I:S /G {right}`" for base in bases]
    return f"Let it read, as a domain administrator, in PowerShell: {' and '.join(commands)}."


def _word(text: str) -> str:
    """Quote for PowerShell, where these commands are: in double quotes a gMSA's $ would begin a variable."""
    return quoted(text, windows=True)


def _others(visit: CheckContext, name: str, *, nobody: bool) -> str:
    if nobody:
        return f"Compare with an administrator's view: `Get-ADUser -LDAPFilter '({name}=*)'`"
    left = ",".join(one for one in visit.settings.ldap_photo_attributes if one != name)
    return f"If nobody has one, set LDAP_PHOTO_ATTRIBUTES={left}."


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
    traits = source_traits(settings)
    leaves = settings.sync_cloud_managed is CloudManaged.LEAVE
    with transaction(db):
        for person in visit.sample:
            people_rows.save_person(db, person, context="", run=1)
        account_rows.save_accounts(db, accounts, run=1)
        match_people(
            db,
            traits.match_rules,
            from_folder=traits.matches_any_account,
            check_sid=settings.match_check_sid,
            leave_managed=leaves,
        )


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
