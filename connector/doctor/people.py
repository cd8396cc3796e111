"""Check people: how many are in scope, whose photos and anchors are readable, and who has an account."""

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
from connector.config.values import Include
from connector.doctor.context import CheckContext, counted
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn
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
from connector.sources.scope import FLAGS, RECIPIENT_TYPE, USERS, all_of, of_types, types_of

# Enough for a check; a run reads all people.
MOST_COUNTED = 20_000
SAMPLE = 500


def check_people(context: CheckContext) -> Iterator[CheckResult]:
    """Count the people in scope, and read a sample of them."""
    if not source_traits(context.settings).is_ldap:
        yield from _in_folder(context)
        return
    for naming_context, reader in context.readers.items():
        number, truncated = _count(reader, "")
        context.scope_count += number
        context.scope_truncated = context.scope_truncated or truncated
        if not number:
            yield fail(
                f"no person is in scope below {'; '.join(reader.scope.bases)}",
                "Check LDAP_BASE_DN, LDAP_FILTER, LDAP_GROUP and LDAP_EXCLUDE_DN, and that the service account may"
                f" list that container: `Get-ADUser -LDAPFilter {_word(reader.scope.people)} -SearchBase"
                f" {_word(reader.scope.bases[0])}`",
            )
            continue
        context.sample += _sample(reader, SAMPLE - len(context.sample))
        yield ok(f"{counted(number, truncated=truncated)} people in scope in {naming_context}")
        yield from _enabled(context, reader)


def _enabled(context: CheckContext, reader: ContextReader) -> Iterator[CheckResult]:
    """Warn of people who do not show whether their accounts are enabled; every user has userAccountControl in AD."""
    if not reader.scope.disabled:
        return
    number, truncated = _count(reader, f"(&{USERS}(!({FLAGS}=*)))")
    if number:
        yield warn(
            f"{FLAGS}: {counted(number, truncated=truncated)} people in scope do not show it, so that {context.account}"
            " cannot see whether their accounts are enabled: disabled accounts count as enabled",
            _grant(context, FLAGS),
        )


def check_photos(context: CheckContext) -> Iterator[CheckResult]:
    """Count the people with a readable value of each photo attribute; an unreadable value looks empty."""
    counts = {name: _with(context, name) for name in context.settings.ldap_photo_attributes}
    is_none = not any(number for number, _ in counts.values())
    for name, (number, truncated) in counts.items():
        people = counted(context.scope_count, truncated=context.scope_truncated)
        if number:
            yield ok(f"{name}: {counted(number, truncated=truncated)} of {people} people have a readable value")
            continue
        text = f"{name}: 0 readable. Either there is none, or {context.account} may not read it: both look the same"
        yield (fail if is_none else warn)(
            text, f"{_grant(context, name)} {_alternative(context, name, is_none=is_none)}"
        )


def check_anchor(context: CheckContext) -> Iterator[CheckResult]:
    """Count the people with a readable anchor; with `auto`, an unreadable one is replaced by objectGUID."""
    wanted = context.settings.ldap_anchor
    name = CONSISTENCY_GUID if wanted == AUTO else wanted
    number, truncated = _with(context, name)
    people = counted(context.scope_count, truncated=context.scope_truncated)
    if not number and wanted == AUTO:
        yield warn(
            f"{name}: 0 readable of {people} people, so objectGUID is the anchor of all. That is right only if Entra"
            f" Connect uses objectGUID; or {context.account} may not read it",
            "See Entra Connect > View current configuration > SOURCE ANCHOR. If it says objectGUID, set"
            " LDAP_ANCHOR=objectGUID. If it says mS-DS-ConsistencyGuid, the account may not read it."
            f" {_grant(context, name)}",
        )
    elif not number:
        yield fail(
            f"{name}: 0 readable of {people} people, so no person can be matched by the anchor",
            f"Set LDAP_ANCHOR to the source anchor that Entra Connect shows. {_grant(context, name)}",
        )
    else:
        yield ok(f"{name}: {counted(number, truncated=truncated)} of {people} people have a readable value")


def check_mailboxes(context: CheckContext) -> Iterator[CheckResult]:
    """Count the mailboxes of each kind that LDAP_INCLUDE names beside users."""
    kinds = [kind for kind in context.settings.ldap_include if kind is not Include.USERS]
    for kind in kinds:
        counts = [_count(reader, of_types(types_of(kind))) for reader in context.readers.values()]
        number, truncated = sum(count for count, _ in counts), any(cut for _, cut in counts)
        if number:
            yield ok(f"{kind}: {counted(number, truncated=truncated)} in scope")
            continue
        yield warn(
            f"{kind}: 0 in scope. Either there is none, or {context.account} may not read {RECIPIENT_TYPE}: both look"
            " the same",
            f"{_grant(context, RECIPIENT_TYPE)} If there is none, take {kind} out of LDAP_INCLUDE.",
        )
    if not kinds:
        yield skipped("LDAP_INCLUDE=users: no mailboxes of disabled accounts")


def _in_folder(context: CheckContext) -> Iterator[CheckResult]:
    """Read the file names, as a run does; the pictures are not opened."""
    with closing(open_source(context.settings, context.traffic)) as source:
        for naming_context in source.contexts():
            for page in source.read(naming_context, None).pages:
                read = [event.person for event in page.events if isinstance(event, PersonRead)]
                context.scope_count += len(read)
                context.sample += read[: SAMPLE - len(context.sample)]
                if context.scope_count >= MOST_COUNTED:
                    context.scope_truncated = True
                    break
    people = counted(context.scope_count, truncated=context.scope_truncated)
    if context.scope_count:
        yield ok(f"{people} people have a picture in {context.settings.folder_path}")
    else:
        yield fail(f"{context.settings.folder_path} contains no picture", "Correct FOLDER_PATH and FOLDER_KEY.")


def _with(context: CheckContext, attribute: str) -> tuple[int, bool]:
    counts = [_count(reader, f"({attribute}=*)") for reader in context.readers.values()]
    return sum(number for number, _ in counts), any(truncated for _, truncated in counts)


def _count(reader: ContextReader, extra: str) -> tuple[int, bool]:
    """Count people by their ids; True if there may be more."""
    number = 0
    query = reader.members.narrowed(all_of(reader.scope.people, extra))
    for base in reader.scope.bases:
        for entries in walk(reader.session, Query(base, query, ["objectGUID"])):
            number += sum(reader.scope.not_excluded(entry.dn) and reader.members.has(entry) for entry in entries)
            if number >= MOST_COUNTED:
                return number, True
    return number, False


def _sample(reader: ContextReader, size: int) -> list[Person]:
    people: list[Person] = []
    for page in read_all(reader, None):
        people += [event.person for event in page.events if isinstance(event, PersonRead)]
        if len(people) >= size:
            break
    return people[: max(size, 0)]


def _grant(context: CheckContext, attribute: str) -> str:
    """Return the commands that grant the service account read access to one attribute, for each base."""
    bases = [base for reader in context.readers.values() for base in reader.scope.bases]
    right = _word(f"{context.account}:RP;{attribute};user")
    commands = [f"`dsacls {_word(base)} /I:S /G {right}`" for base in bases]
    return f"Grant read access, as a domain administrator, in PowerShell: {' and '.join(commands)}."


def _word(text: str) -> str:
    """Quote for PowerShell; in double quotes the $ of a gMSA would begin a variable."""
    return quoted(text, windows=True)


def _alternative(context: CheckContext, name: str, *, is_none: bool) -> str:
    if is_none:
        return f"Compare with an administrator's view: `Get-ADUser -LDAPFilter '({name}=*)'`"
    rest = ",".join(attribute for attribute in context.settings.ldap_photo_attributes if attribute != name)
    return f"If there is none, set LDAP_PHOTO_ATTRIBUTES={rest}."


# About twenty pages; in a larger tenant the sample's accounts are requested by anchor and UPN.
MOST_LISTED = 20_000
EXAMPLES = 5
ENOUGH_PERCENT = 90
_FIX = (
    "Compare one of them in Graph Explorer: GET https://graph.microsoft.com/v1.0/users/UPN?"
    "$select=onPremisesImmutableId,onPremisesSyncEnabled,onPremisesSecurityIdentifier; then see LDAP_ANCHOR,"
    " MATCH_FALLBACK, and whether Entra Connect synchronises their OU (LDAP_BASE_DN, LDAP_FILTER leave others out)."
)


def check_match(context: CheckContext) -> Iterator[CheckResult]:
    """Match the sample, and name some of the people without an account."""
    accounts, listed = _accounts(context)
    temporary = tempfile.TemporaryDirectory(prefix="photo-connector-check-")
    with temporary as folder, closing(open_ledger(Path(folder))[0]) as db:
        _match(db, context, accounts)
        people, matched = count_matched(db)
        unmatched = _unmatched(db)
        managed = left_managed(db, EXAMPLES)
    of_total = f"of the first {people}" if people < context.scope_count or context.scope_truncated else f"of {people}"
    how = "all accounts were listed" if listed else "accounts requested by anchor and UPN, as the tenant is large"
    yield from _managed(*managed)
    text = f"{matched} {of_total} people have an account ({how})"
    if not unmatched:
        yield ok(text)
        return
    examples = f"{text}; without: {'; '.join(unmatched)}"
    if matched * 100 >= people * ENOUGH_PERCENT:
        yield ok(examples)
        return
    yield (warn if matched else fail)(examples, _FIX)


def _managed(count: int, examples: Sequence[str], is_any_synced: bool) -> Iterator[CheckResult]:
    """Report the people who are skipped because their accounts are managed in the cloud."""
    if not count:
        return
    text = f"{count} people are skipped, because their accounts are managed in the cloud: {'; '.join(examples)}"
    if is_any_synced:
        yield ok(f"{text} (SYNC_CLOUD_MANAGED=follow includes them)")
        return
    fix = "If another service than Entra Connect creates the accounts, set SYNC_CLOUD_MANAGED=follow."
    yield warn(f"none of the accounts tested is synced from a directory, so {text}", fix)


def _match(db: sqlite3.Connection, context: CheckContext, accounts: Sequence[Account]) -> None:
    settings = context.settings
    traits = source_traits(settings)
    leaves = settings.sync_cloud_managed is CloudManaged.LEAVE
    with transaction(db):
        for person in context.sample:
            people_rows.save_person(db, person, context="", run=1)
        account_rows.save_accounts(db, accounts, run=1)
        match_people(
            db,
            traits.match_rules,
            from_folder=traits.matches_any_account,
            check_sid=settings.match_check_sid,
            leave_managed=leaves,
            external=settings.match_external,
        )


def _unmatched(db: sqlite3.Connection) -> list[str]:
    query = "SELECT name, upn, match_problem FROM people WHERE account_id = '' ORDER BY upn, name LIMIT ?"
    rows = db.execute(query, (EXAMPLES,))
    return [f"{row['upn'] or row['name']} ({row['match_problem']})" for row in rows]


def _accounts(context: CheckContext) -> tuple[list[Account], bool]:
    """Return the tenant's accounts and True, or in a large tenant those of the sample and False."""
    accounts = list(context.first_page)
    for page in context.pages:
        accounts += page
        if len(accounts) >= MOST_LISTED:
            return _requested(context.cloud.transport, context.sample), False
    return accounts, True


def _requested(transport: Transport, people: Sequence[Person]) -> list[Account]:
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
