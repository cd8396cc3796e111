"""Read the people of `--only` and their accounts, by the properties that a night matches by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from connector.cloud.accounts import PartialAccount, find_by_anchor, find_by_filter, look_up, quoted
from connector.cloud.response import one_line
from connector.cloud.transport import Transport
from connector.errors import ConnectorError, Unreachable, UsageError
from connector.ledger import accounts as account_rows
from connector.ledger import people as people_rows
from connector.ledger.store import transaction
from connector.model import MatchRule, Person
from connector.sources import Mode, Source
from connector.sources.scope import context_above
from connector.sync.context import RunContext
from connector.sync.pictures import choose_pictures
from connector.sync.read_accounts import save_partial_accounts
from connector.sync.read_people import save_events
from connector.sync.unread_values import believe_emptied, tell_unread


def read_chosen(context: RunContext, source: Source, transport: Transport) -> None:
    """Read the people of `--only` by search and their accounts; no cookie and no link moves."""
    contexts = source.contexts()
    for name in context.options.only:
        found = source.find(name)
        if len(found) != 1:
            raise _not_one(name, [event.person.name for event in found])
        person = found[0].person
        naming_context = context_above(person.name, contexts) or contexts[0]
        with transaction(context.db):
            save_events(context, found, naming_context=naming_context)
            believe_emptied(context, source, naming_context)
            # with the values that stand where the entry does not show them
            _read_accounts_of(context, transport, people_rows.find_person(context.db, person.id) or person)
            choose_pictures(context)
        context.chosen_ids = (*context.chosen_ids, person.id)
    tell_unread(context)
    context.modes.add(Mode.CHANGES)


def _read_accounts_of(context: RunContext, transport: Transport, person: Person) -> None:
    """Store the accounts that may be this person's: by id and names, by the anchor, by what else a night looks at."""
    plans = len(context.settings.targets) > 1
    known = people_rows.account_of(context.db, person.id)
    found = look_up(transport, [one for one in dict.fromkeys((known, person.upn, person.mail)) if one], plans=plans)
    account_rows.save_accounts(context.db, found.accounts.values(), run=context.run)
    account_rows.drop_accounts(context.db, found.absent)
    for name, said in found.refused.items():
        context.add_notice(f"Graph did not tell whether there is an account {one_line(name)}: {said}.")
    parts = list(found.partial.values())
    if person.anchor:
        parts += find_by_anchor(transport, [person.anchor], plans=plans)
    is_found = person.anchor in [part.account.immutable_id for part in parts if part.account.immutable_id]
    for what, value in () if is_found else _properties(context, person):
        parts += _asked(context, transport, what, value, plans=plans)
    save_partial_accounts(context, parts)


def _properties(context: RunContext, person: Person) -> Iterator[tuple[str, str]]:
    """Yield what to search accounts by, for the rules that come after the anchor.

    Whether accounts can be searched by SID is not documented; those of the same sAMAccountName bring theirs.
    """
    rules = context.source_traits.match_rules
    if person.sam_account_name and (MatchRule.SID in rules or MatchRule.SAM_ACCOUNT_NAME in rules):
        yield "onPremisesSamAccountName", person.sam_account_name
    if person.mail and (MatchRule.MAIL in rules or person.is_contact):
        yield "mail", person.mail
    if person.employee_id and MatchRule.EMPLOYEE_ID in rules:
        yield "employeeId", person.employee_id


def _asked(context: RunContext, transport: Transport, what: str, value: str, *, plans: bool) -> list[PartialAccount]:
    is_advanced = what == "onPremisesSamAccountName"
    try:
        return find_by_filter(transport, f"{what} eq {quoted(value)}", plans=plans, advanced=is_advanced)
    except Unreachable:
        raise
    except ConnectorError as refused:
        context.add_notice(
            f"Accounts could not be searched by {what} ({refused}); a night without --only lists them all."
        )
        return []


def _not_one(name: str, found: Sequence[str]) -> UsageError:
    if not found:
        fix = "Check the spelling (UPN, mail, sAMAccountName or DN), and that LDAP_FILTER and LDAP_BASE_DN let them in."
        return UsageError(f"--only {name}: nobody in scope has this name.", fix)
    return UsageError(f"--only {name}: this fits {len(found)} people: {'; '.join(found)}.", "Name one by UPN or DN.")
