"""Read the accounts of the tenant, in full or what changed since the last link, and store them as rows."""

from __future__ import annotations

import hashlib
import json
import logging

from connector.cloud.accounts import FIELDS, LinkExpired, changes, latest_link, list_accounts
from connector.cloud.transport import Transport
from connector.config import cloud_urls
from connector.ledger import accounts as account_rows
from connector.ledger.places import (
    Place,
    has_place,
    is_full_reading_due,
    load_place,
    save_full_reading,
    save_place,
)
from connector.ledger.store import transaction
from connector.sync.night import Night

log = logging.getLogger("connector.sync")

ACCOUNTS = "accounts"


def read_accounts(night: Night, transport: Transport) -> None:
    """Refresh the accounts: what changed since the last link, or the whole listing."""
    plans = len(night.settings.targets) > 1
    shape = _shape(night.settings.azure_tenant_id, cloud_urls(night.settings).graph_url, plans, *FIELDS)
    lists_all = _lists_all(night)
    place = None if lists_all else load_place(night.db, ACCOUNTS, shape=shape)
    if place is None and not lists_all and has_place(night.db, ACCOUNTS):
        night.tell("The settings that shape the list of accounts are others than last time; all were listed again.")
    night.progress.phase("accounts")
    if place is not None:
        try:
            _follow_accounts(night, transport, place.content_bytes.decode(), shape=shape, plans=plans)
            return
        except LinkExpired as expired:
            night.tell(f"{expired} All accounts were listed again.")
    _list_accounts(night, transport, shape=shape, plans=plans)


def _lists_all(night: Night) -> bool:
    """Return True if all accounts are listed: with `--full`, or SYNC_RELIST_DAYS after the last full listing."""
    days = night.settings.sync_relist_days
    return night.options.full or is_full_reading_due(night.db, ACCOUNTS, days=days, now=night.clock())


def _follow_accounts(night: Night, transport: Transport, link: str, *, shape: str, plans: bool) -> None:
    with transaction(night.db):
        for page in changes(transport, link, plans=plans):
            account_rows.save_accounts(night.db, page.accounts, run=night.run)
            account_rows.drop_accounts(night.db, page.removed_ids)
            night.progress.step(len(page.accounts))
            if page.next_delta_link:
                place = Place(page.next_delta_link.encode(), "")
                save_place(night.db, ACCOUNTS, place, shape=shape, run=night.run)


def _list_accounts(night: Night, transport: Transport, *, shape: str, plans: bool) -> None:
    """List everybody; the link is asked for first, so that nothing falls between it and the listing."""
    link = latest_link(transport, plans=plans)
    with transaction(night.db):
        for page in list_accounts(transport, plans=plans):
            account_rows.save_accounts(night.db, page, run=night.run)
            night.progress.step(len(page))
        account_rows.drop_unseen(night.db, run=night.run)
        save_place(night.db, ACCOUNTS, Place(link.encode(), ""), shape=shape, run=night.run)
        save_full_reading(night.db, ACCOUNTS, now=night.clock())


def _shape(*values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
