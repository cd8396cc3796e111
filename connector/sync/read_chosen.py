"""Read the people of `--only` and their accounts, by the properties that accounts are matched by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.cloud.accounts import PartialAccount, find_by_anchor, find_by_filter, look_up, quoted
from connector.cloud.transport import Transport
from connector.errors import ConnectorError, Unreachable, UsageError
from connector.ledger import accounts as account_rows
from connector.ledger import people as people_rows
from connector.ledger.store import transaction
from connector.model import MatchRule, Person, foreign
from connector.sources import Mode, Source
from connector.sources.scope import context_above
from connector.sync.context import RunContext
from connector.sync.memberships import read_memberships
from connector.sync.pictures import choose_pictures
from connector.sync.read_accounts import save_partial_accounts
from connector.sync.read_people import save_events
from connector.sync.summary import Summaries, Summary, notice
from connector.sync.unread_values import believe_emptied, notice_unread


def read_chosen(context: RunContext, source: Source, transport: Transport) -> Summaries[None]:
    """Search the people of `--only` and read their accounts; cookies and delta links stay as they are.

    Raises UsageError if a name fits nobody or several people.
    """
    chosen_ids: list[str] = []
    contexts = source.contexts()
    for name in context.options.only:
        matches = source.find(name)
        if len(matches) != 1:
            raise _not_one(name, [event.person.name for event in matches])
        person = matches[0].person
        naming_context = context_above(person.name, contexts) or contexts[0]
        with transaction(context.db):
            save_events(context, matches, naming_context=naming_context)
            believe_emptied(context, source, naming_context)
            # with the known values that the entry does not show
            yield from _read_accounts_of(context, transport, people_rows.find_person(context.db, person.id) or person)
            choose_pictures(context)
            yield from read_memberships(context, source, naming_context)
        chosen_ids.append(person.id)
        yield Summary(chosen_ids=(person.id,))
    yield from notice_unread(context, tuple(chosen_ids))
    yield Summary(read_modes=frozenset({Mode.CHANGES}))


def _read_accounts_of(context: RunContext, transport: Transport, person: Person) -> Summaries[None]:
    """Store the accounts that may match this person: by id, by names, by the anchor, by the rules after it."""
    plans = len(context.settings.targets) > 1
    known = people_rows.account_of(context.db, person.id)
    keys = [key for key in dict.fromkeys((known, person.upn, person.mail)) if key]
    found = look_up(transport, keys, plans=plans)
    account_rows.save_accounts(context.db, found.accounts.values(), run=context.run)
    account_rows.drop_accounts(context.db, found.absent)
    for name, text in found.refused.items():
        yield notice(f"Graph did not say whether there is an account {foreign(name)}: {text}.")
    parts = list(found.partial.values())
    if person.anchor:
        by_anchor = find_by_anchor(transport, [person.anchor], plans=plans)
        parts += by_anchor.found
        for text in by_anchor.refused.values():
            yield notice(f"Graph did not say whether an account has the anchor of {foreign(person.name)}: {text}.")
    is_matched = person.anchor in [part.account.immutable_id for part in parts if part.account.immutable_id]
    for what, value in () if is_matched else _properties(context, person):
        parts += yield from _search(transport, what, value, plans=plans)
    save_partial_accounts(context, parts)


def _properties(context: RunContext, person: Person) -> Iterator[tuple[str, str]]:
    """Yield the property and value to search accounts by, for the rules that come after the anchor.

    Searching accounts by SID is not documented; accounts with the same sAMAccountName are read with their SID.
    """
    rules = context.source_traits.match_rules
    if person.sam_account_name and (MatchRule.SID in rules or MatchRule.SAM_ACCOUNT_NAME in rules):
        yield "onPremisesSamAccountName", person.sam_account_name
    if person.mail and (MatchRule.MAIL in rules or person.is_contact or context.settings.match_external):
        yield "mail", person.mail
    if person.employee_id and MatchRule.EMPLOYEE_ID in rules:
        yield "employeeId", person.employee_id


def _search(transport: Transport, what: str, value: str, *, plans: bool) -> Summaries[list[PartialAccount]]:
    is_advanced = what == "onPremisesSamAccountName"
    try:
        return find_by_filter(transport, f"{what} eq {quoted(value)}", plans=plans, advanced=is_advanced)
    except Unreachable:
        raise
    except ConnectorError as refused:
        yield notice(f"Accounts could not be searched by {what} ({refused}); a run without --only lists them all.")
        return []


def _not_one(name: str, found: Sequence[str]) -> UsageError:
    if not found:
        fix = "Check the spelling (UPN, mail, sAMAccountName or DN), and that LDAP_FILTER and LDAP_BASE_DN include it."
        return UsageError(f"--only {name}: no user in scope has this name.", fix)
    return UsageError(f"--only {name}: this fits {len(found)} people: {'; '.join(found)}.", "Name one by UPN or DN.")
