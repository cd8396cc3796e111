"""Read the accounts of the tenant, in full or what changed since the last link, and store them as rows."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from connector.cloud.accounts import (
    FIELDS,
    AccountPage,
    LinkExpired,
    NoDelta,
    PartialAccount,
    changes,
    find_by_anchor,
    latest_link,
    list_pages,
    look_up,
)
from connector.cloud.transport import Transport
from connector.config import cloud_urls
from connector.errors import Unreachable
from connector.ledger import accounts as account_rows
from connector.ledger.accounts import AskedFor
from connector.ledger.cursors import (
    SyncCursor,
    drop_cursor,
    has_cursor,
    is_full_reading_due,
    load_cursor,
    save_cursor,
    save_full_reading,
)
from connector.ledger.store import transaction
from connector.model import Account
from connector.sync.context import RunContext
from connector.sync.summary import Summaries, notice

log = logging.getLogger("connector.sync")

ACCOUNTS = "accounts"
# How many lost accounts are asked for by id and by anchor (fifty batches); more are listed anew.
MAX_LOST = 500
NOBODY_LISTED = "the list of accounts came without a single one, although some are known, so it is not believed"


def read_accounts(context: RunContext, transport: Transport) -> Summaries[bool]:
    """Refresh the accounts by the last delta link, or list all; return True if all were listed."""
    plans, fingerprint = _reads_plans(context), _settings_fingerprint(context)
    lists_all = _lists_all(context)
    cursor = None if lists_all else load_cursor(context.db, ACCOUNTS, shape=fingerprint)
    if cursor is None and not lists_all and has_cursor(context.db, ACCOUNTS):
        yield notice("Settings for the list of accounts changed; all accounts were listed again.")
    context.progress.phase("accounts")
    if cursor is not None:
        try:
            link = cursor.content_bytes.decode("ascii", "replace")
            _follow_accounts(context, transport, link, fingerprint=fingerprint, plans=plans)
            return False
        except LinkExpired as expired:
            yield notice(f"{expired} All accounts were listed again.")
    yield from _list_accounts(context, transport, fingerprint=fingerprint, plans=plans)
    return True


def find_lost_accounts(context: RunContext, transport: Transport) -> Summaries[bool]:
    """Ask for the accounts that people lost in this run, since delta may be late; return True if one is there.

    More than MAX_LOST are not asked for; all accounts are listed instead.
    """
    lost = account_rows.lost_accounts(context.db, most=MAX_LOST + 1)
    if len(lost) > MAX_LOST:
        fingerprint = _settings_fingerprint(context)
        yield from _list_accounts(context, transport, fingerprint=fingerprint, plans=_reads_plans(context))
        return True
    if not lost:
        return False
    return (yield from _ask_for(context, transport, lost))


def drop_gone_accounts(context: RunContext, transport: Transport) -> Summaries[None]:
    """Ask for the accounts whose photo requests said that they do not exist; drop those that the tenant does not know.

    The next run matches these people anew.
    """
    gone = account_rows.gone_accounts(context.db, context.run, most=MAX_LOST)
    if gone and not context.is_out_of_time:
        yield from _ask_for(context, transport, gone)


def _ask_for(context: RunContext, transport: Transport, wanted: Sequence[AskedFor]) -> Summaries[bool]:
    """Read accounts by id and by immutable ID, store what is there, drop what is not; return True if one is there."""
    plans = _reads_plans(context)
    found = look_up(transport, [account.account_id for account in wanted], plans=plans)
    anchors = [account.anchor for account in wanted if account.anchor and account.account_id not in found.accounts]
    by_anchor = find_by_anchor(transport, list(dict.fromkeys(anchors)), plans=plans)
    partial = (*found.partial.values(), *by_anchor.found)
    refused = [*found.refused.values(), *by_anchor.refused.values()]
    if refused:
        yield notice(
            f"Graph did not say whether {len(refused)} lost accounts are there; the first answer: {refused[0]}."
        )
    with transaction(context.db):
        _save_page(context, AccountPage(tuple(found.accounts.values()), tuple(found.absent), None, partial))
    return bool(found.accounts or partial)


def _lists_all(context: RunContext) -> bool:
    """Return True if all accounts are listed: with `--full`, or SYNC_RELIST_DAYS after the last full listing."""
    days = context.settings.sync_relist_days
    return context.options.full or is_full_reading_due(context.db, ACCOUNTS, days=days, now=context.clock())


def _follow_accounts(context: RunContext, transport: Transport, link: str, *, fingerprint: str, plans: bool) -> None:
    with transaction(context.db):
        for page in changes(transport, link, plans=plans):
            context.stop_when_out_of_time()
            _save_page(context, page)
            if page.next_delta_link:
                cursor = SyncCursor(page.next_delta_link.encode(), "")
                save_cursor(context.db, ACCOUNTS, cursor, shape=fingerprint, run=context.run)


def _list_accounts(context: RunContext, transport: Transport, *, fingerprint: str, plans: bool) -> Summaries[None]:
    """List all accounts; the delta link is asked for first, so that no change is lost between it and the listing."""
    link = yield from _latest_link(transport, plans=plans)
    with transaction(context.db):
        for page in list_pages(transport, plans=plans):
            context.stop_when_out_of_time()
            _save_page(context, page)
        if account_rows.is_nobody_listed(context.db, run=context.run):
            raise Unreachable(transport.system, NOBODY_LISTED, "Start again later; nobody was changed.")
        account_rows.drop_unseen(context.db, run=context.run)
        if link:
            save_cursor(context.db, ACCOUNTS, SyncCursor(link.encode(), ""), shape=fingerprint, run=context.run)
        else:
            drop_cursor(context.db, ACCOUNTS)
        save_full_reading(context.db, ACCOUNTS, now=context.clock())


def _latest_link(transport: Transport, *, plans: bool) -> Summaries[str]:
    """Return a delta link, empty if the service gives none; then all accounts are listed in each run."""
    try:
        return latest_link(transport, plans=plans)
    except NoDelta as missing:
        yield notice(f"{missing} All accounts are listed in each run until it gives one.")
        return ""


def _save_page(context: RunContext, page: AccountPage) -> None:
    account_rows.save_accounts(context.db, page.accounts, run=context.run)
    save_partial_accounts(context, page.partial)
    account_rows.drop_accounts(context.db, page.removed_ids)
    context.progress.step(len(page.accounts) + len(page.partial))


def save_partial_accounts(context: RunContext, parts: Iterable[PartialAccount]) -> None:
    """Store accounts, with known values for the properties that Graph left out."""
    account_rows.save_accounts(context.db, [_with_known_values(context, part) for part in parts], run=context.run)


def _with_known_values(context: RunContext, part: PartialAccount) -> Account:
    """Return an account with known values for the properties that Graph left out.

    Without a row a property stays empty; unknown plans count as Exchange Online, so that SharePoint's legacy photo
    is not written for a mailbox.
    """
    known = account_rows.find_account(context.db, part.account.id)
    if known is None:
        return replace(part.account, has_exchange=part.account.has_exchange or "has_exchange" in part.unknown)
    return replace(part.account, **{name: getattr(known, name) for name in part.unknown})


def _reads_plans(context: RunContext) -> bool:
    return len(context.settings.targets) > 1


def _settings_fingerprint(context: RunContext) -> str:
    """Return a hash of the settings that decide which accounts and properties are listed."""
    settings = context.settings
    values = (settings.azure_tenant_id, cloud_urls(settings).graph_url, _reads_plans(context), *FIELDS)
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
