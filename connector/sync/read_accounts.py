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
from connector.ledger import accounts as account_rows
from connector.ledger.accounts import AskedFor
from connector.ledger.cursors import (
    SyncCursor,
    drop_place,
    has_place,
    is_full_reading_due,
    load_place,
    save_full_reading,
    save_place,
)
from connector.ledger.store import transaction
from connector.model import Account
from connector.sync.context import RunContext

log = logging.getLogger("connector.sync")

ACCOUNTS = "accounts"
# So many lost accounts are asked for one by one: by id and by anchor, fifty batches.
MOST_LOST = 500


def read_accounts(context: RunContext, transport: Transport) -> bool:
    """Refresh the accounts: what changed since the last link, or the whole listing; returns True if all were listed."""
    plans, shape = _reads_plans(context), _shape_of(context)
    lists_all = _lists_all(context)
    place = None if lists_all else load_place(context.db, ACCOUNTS, shape=shape)
    if place is None and not lists_all and has_place(context.db, ACCOUNTS):
        context.add_notice(
            "The settings that shape the list of accounts are others than last time; all were listed again."
        )
    context.progress.phase("accounts")
    if place is not None:
        try:
            link = place.content_bytes.decode("ascii", "replace")
            _follow_accounts(context, transport, link, shape=shape, plans=plans)
            return False
        except LinkExpired as expired:
            context.add_notice(f"{expired} All accounts were listed again.")
    _list_accounts(context, transport, shape=shape, plans=plans)
    return True


def find_lost_accounts(context: RunContext, transport: Transport) -> bool:
    """Ask at once for the accounts that people lost tonight, since delta may not tell; returns True if one is there.

    Where they are very many, all accounts are listed instead.
    """
    lost = account_rows.lost_accounts(context.db, most=MOST_LOST + 1)
    if len(lost) > MOST_LOST:
        _list_accounts(context, transport, shape=_shape_of(context), plans=_reads_plans(context))
        return True
    return bool(lost) and _ask_for(context, transport, lost)


def drop_gone_accounts(context: RunContext, transport: Transport) -> None:
    """Ask again for the accounts that answered as not there; the next night matches those people anew.

    Only an account that the directory of the tenant does not know either is dropped.
    """
    gone = account_rows.gone_accounts(context.db, context.run, most=MOST_LOST)
    if gone and not context.is_out_of_time:
        _ask_for(context, transport, gone)


def _ask_for(context: RunContext, transport: Transport, wanted: Sequence[AskedFor]) -> bool:
    """Read accounts by id and by immutable ID, and store what is there and what is not; returns True if one is."""
    plans = _reads_plans(context)
    found = look_up(transport, [one.account_id for one in wanted], plans=plans)
    anchors = [one.anchor for one in wanted if one.anchor and one.account_id not in found.accounts]
    by_anchor = find_by_anchor(transport, list(dict.fromkeys(anchors)), plans=plans)
    partial = (*found.partial.values(), *by_anchor)
    with transaction(context.db):
        _save_page(context, AccountPage(tuple(found.accounts.values()), tuple(found.absent), None, partial))
    return bool(found.accounts or partial)


def _lists_all(context: RunContext) -> bool:
    """Return True if all accounts are listed: with `--full`, or SYNC_RELIST_DAYS after the last full listing."""
    days = context.settings.sync_relist_days
    return context.options.full or is_full_reading_due(context.db, ACCOUNTS, days=days, now=context.clock())


def _follow_accounts(context: RunContext, transport: Transport, link: str, *, shape: str, plans: bool) -> None:
    with transaction(context.db):
        for page in changes(transport, link, plans=plans):
            context.stop_when_out_of_time()
            _save_page(context, page)
            if page.next_delta_link:
                place = SyncCursor(page.next_delta_link.encode(), "")
                save_place(context.db, ACCOUNTS, place, shape=shape, run=context.run)


def _list_accounts(context: RunContext, transport: Transport, *, shape: str, plans: bool) -> None:
    """List everybody; the link is asked for first, so that nothing falls between it and the listing."""
    link = _latest_link(context, transport, plans=plans)
    with transaction(context.db):
        for page in list_pages(transport, plans=plans):
            context.stop_when_out_of_time()
            _save_page(context, page)
        account_rows.drop_unseen(context.db, run=context.run)
        if link:
            save_place(context.db, ACCOUNTS, SyncCursor(link.encode(), ""), shape=shape, run=context.run)
        else:
            drop_place(context.db, ACCOUNTS)
        save_full_reading(context.db, ACCOUNTS, now=context.clock())


def _latest_link(context: RunContext, transport: Transport, *, plans: bool) -> str:
    """Return a delta link, or none where there is none to be had: then all are listed each night."""
    try:
        return latest_link(transport, plans=plans)
    except NoDelta as missing:
        context.add_notice(f"{missing} All accounts are listed each night until it gives one.")
        return ""


def _save_page(context: RunContext, page: AccountPage) -> None:
    account_rows.save_accounts(context.db, page.accounts, run=context.run)
    save_partial_accounts(context, page.partial)
    account_rows.drop_accounts(context.db, page.removed_ids)
    context.progress.step(len(page.accounts) + len(page.partial))


def save_partial_accounts(context: RunContext, parts: Iterable[PartialAccount]) -> None:
    """Store accounts with what is known of them where Graph left a property out."""
    account_rows.save_accounts(context.db, [_with_known_values(context, part) for part in parts], run=context.run)


def _with_known_values(context: RunContext, part: PartialAccount) -> Account:
    """Fill in what is known of an account, where Graph left a property out.

    Without a row a property stays empty; plans that are not known count as Exchange Online, so that SharePoint's
    legacy photo is not written for somebody who has a mailbox.
    """
    known = account_rows.find_account(context.db, part.account.id)
    if known is None:
        return replace(part.account, has_exchange=part.account.has_exchange or "has_exchange" in part.unknown)
    return replace(part.account, **{name: getattr(known, name) for name in part.unknown})


def _reads_plans(context: RunContext) -> bool:
    return len(context.settings.targets) > 1


def _shape_of(context: RunContext) -> str:
    settings = context.settings
    return _shape(settings.azure_tenant_id, cloud_urls(settings).graph_url, _reads_plans(context), *FIELDS)


def _shape(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
