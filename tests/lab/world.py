"""Join directory and cloud: settings that point at a domain, and a tenant filled with the people's accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.lab.people import Registered
from tests.lab.samba import DomainController

if TYPE_CHECKING:
    from tests.lab.graph.tenant import Tenant


def ldap_settings(domain: DomainController, *base_dns: str) -> dict[str, str]:
    """Return the settings by which the product reads these subtrees of the domain as its reading account."""
    return {
        "LDAP_URI": domain.uri,
        "LDAP_CA_FILE": str(domain.ca_file),
        "LDAP_USER": domain.reader,
        "LDAP_PASSWORD": domain.reader_password,
        "LDAP_BASE_DN": ";".join(base_dns),
    }


def fill(tenant: Tenant, registered: Iterable[Registered]) -> None:
    """Give the tenant these accounts, with the photos that they show already."""
    for one in registered:
        account = one.account
        tenant.add_account(
            account.upn,
            id=account.id,
            mail=account.mail or None,
            sam_account_name=account.sam_account_name or None,
            immutable_id=account.immutable_id or None,
            sid=account.sid or None,
            user_type="Guest" if account.is_guest else "Member",
            enabled=account.is_enabled,
            synced=account.is_synced or None,
            exchange=account.has_exchange,
        )
        if one.photo_bytes:
            tenant.set_photo(account.id, one.photo_bytes)
