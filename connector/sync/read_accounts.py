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


def read_accounts(night: RunContext, transport: Transport) -> bool:
    """Refresh the accounts: what changed since the last link, or the whole listing; returns True if all were listed."""
    plans, shape = _reads_plans(night), _shape_of(night)
    lists_all = _lists_all(night)
    place = None if lists_all else load_place(night.db, ACCOUNTS, shape=shape)
    if place is None and not lists_all and has_place(night.db, ACCOUNTS):
        night.add_notice(
            "The settings that shape the list of accounts are others than last time; all were listed again."
        )
    night.progress.phase("accounts")
    if place is not None:
        try:
            link = place.content_bytes.decode("ascii", "replace")
            _follow_accounts(night, transport, link, shape=shape, plans=plans)
            return False
        except LinkExpired as expired:
            night.add_notice(f"{expired} All accounts were listed again.")
    _list_accounts(night, transport, shape=shape, plans=plans)
    return True


def find_lost_accounts(night: RunContext, transport: Transport) -> bool:
    """Ask at once for the accounts that people lost tonight, since delta may not tell; returns True if one is there.

    Where they are very many, all accounts are listed instead.
    """
    lost = account_rows.lost_accounts(night.db, most=MOST_LOST + 1)
    if len(lost) > MOST_LOST:
        _list_accounts(night, transport, shape=_shape_of(night), plans=_reads_plans(night))
        return True
    return bool(lost) and _ask_for(night, transport, lost)


def drop_gone_accounts(night: RunContext, transport: Transport) -> None:
    """Ask again for the accounts that answered as not there; the next night matches those people anew.

    Only an account that the directory of the tenant does not know either is dropped.
    """
    gone = account_rows.gone_accounts(night.db, night.run, most=MOST_LOST)
    if gone and not night.is_out_of_time:
        _ask_for(night, transport, gone)


def _ask_for(night: RunContext, transport: Transport, wanted: Sequence[AskedFor]) -> bool:
    """Read accounts by id and by immutable ID, and store what is there and what is not; returns True if one is."""
    plans = _reads_plans(night)
    found = look_up(transport, [one.account_id for one in wanted], plans=plans)
    anchors = [one.anchor for one in wanted if one.anchor and one.account_id not in found.accounts]
    by_anchor = find_by_anchor(transport, list(dict.fromkeys(anchors)), plans=plans)
    partial = (*found.partial.values(), *by_anchor)
    with transaction(night.db):
        _save_page(night, AccountPage(tuple(found.accounts.values()), tuple(found.absent), None, partial))
    return bool(found.accounts or partial)


def _lists_all(night: RunContext) -> bool:
    """Return True if all accounts are listed: with `--full`, or SYNC_RELIST_DAYS after the last full listing."""
    days = night.settings.sync_relist_days
    return night.options.full or is_full_reading_due(night.db, ACCOUNTS, days=days, now=night.clock())


def _follow_accounts(night: RunContext, transport: Transport, link: str, *, shape: str, plans: bool) -> None:
    with transaction(night.db):
        for page in changes(transport, link, plans=plans):
            night.stop_when_out_of_time()
            _save_page(night, page)
            if page.next_delta_link:
                place = SyncCursor(page.next_delta_link.encode(), "")
                save_place(night.db, ACCOUNTS, place, shape=shape, run=night.run)


def _list_accounts(night: RunContext, transport: Transport, *, shape: str, plans: bool) -> None:
    """List everybody; the link is asked for first, so that nothing falls between it and the listing."""
    link = _latest_link(night, transport, plans=plans)
    with transaction(night.db):
        for page in list_pages(transport, plans=plans):
            night.stop_when_out_of_time()
            _save_page(night, page)
        account_rows.drop_unseen(night.db, run=night.run)
        if link:
            save_place(night.db, ACCOUNTS, SyncCursor(link.encode(), ""), shape=shape, run=night.run)
        else:
            drop_place(night.db, ACCOUNTS)
        save_full_reading(night.db, ACCOUNTS, now=night.clock())


def _latest_link(night: RunContext, transport: Transport, *, plans: bool) -> str:
    """Return a delta link, or none where there is none to be had: then all are listed each night."""
    try:
        return latest_link(transport, plans=plans)
    except NoDelta as missing:
        night.add_notice(f"{missing} All accounts are listed each night until it gives one.")
        return ""


def _save_page(night: RunContext, page: AccountPage) -> None:
    account_rows.save_accounts(night.db, page.accounts, run=night.run)
    save_partial_accounts(night, page.partial)
    account_rows.drop_accounts(night.db, page.removed_ids)
    night.progress.step(len(page.accounts) + len(page.partial))


def save_partial_accounts(night: RunContext, parts: Iterable[PartialAccount]) -> None:
    """Store accounts with what is known of them where Graph left a property out."""
    account_rows.save_accounts(night.db, [_with_known_values(night, part) for part in parts], run=night.run)


def _with_known_values(night: RunContext, part: PartialAccount) -> Account:
    """Fill in what is known of an account, where Graph left a property out.

    Without a row a property stays empty; plans that are not known count as Exchange Online, so that SharePoint's
    legacy photo is not written for somebody who has a mailbox.
    """
    known = account_rows.find_account(night.db, part.account.id)
    if known is None:
        return replace(part.account, has_exchange=part.account.has_exchange or "has_exchange" in part.unknown)
    return replace(part.account, **{name: getattr(known, name) for name in part.unknown})


def _reads_plans(night: RunContext) -> bool:
    return len(night.settings.targets) > 1


def _shape_of(night: RunContext) -> str:
    settings = night.settings
    return _shape(settings.azure_tenant_id, cloud_urls(settings).graph_url, _reads_plans(night), *FIELDS)


def _shape(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
