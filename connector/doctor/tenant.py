"""What does the tenant show us? A page of users, one photo, its photo policy, and SharePoint where it is a target."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from connector.cloud.accounts import list_accounts
from connector.cloud.policy import PolicyUnread, read_policy
from connector.doctor.cloud import OPTIONAL
from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn
from connector.errors import PersonError
from connector.model import Account
from connector.targets.graph import GraphTarget

_POLICY_FIX = (
    "As People Administrator in Graph Explorer: PATCH https://graph.microsoft.com/beta/admin/people/photoUpdateSettings"
    ' with {"source":"cloud","allowedRoles":[]}; it acts within 24 hours.'
)
# https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread
SHAREPOINT_ROLES = ("Sites.FullControl.All", "User.ReadWrite.All")


def check_users(visit: CheckContext) -> Iterator[CheckResult]:
    """List one page of users."""
    visit.pages = list_accounts(visit.cloud.transport)
    for page in visit.pages:
        visit.first_page = page
        if page:
            synced = sum(account.is_synced for account in page)
            yield ok(f"the first page lists {len(page)} accounts, {synced} of them synchronised from a directory")
            return
    yield fail("the tenant lists no account", "Check AZURE_TENANT_ID: is it the tenant of these people?")


def check_photo(visit: CheckContext) -> Iterator[CheckResult]:
    """Ask for the photos of one batch of accounts, and fetch one."""
    target = GraphTarget(visit.cloud.transport)
    asked = sorted(visit.first_page, key=lambda account: (account.is_guest, not account.has_exchange))
    asked = asked[: target.batch_size]
    tags = target.tags(asked)
    refused = [tag for tag in tags.values() if isinstance(tag, PersonError)]
    shown = next((account for account in asked if not isinstance(tags[account.id], PersonError | None)), None)
    if shown is not None:
        yield _fetched(target, shown)
    elif len(refused) == len(asked):
        yield fail(refused[0].message, refused[0].fix or "Run again; if it lasts, look at the roles in the token.")
    else:
        yield ok(f"asked for {len(asked)}: photos may be read, none of these has one")


def check_policy(visit: CheckContext) -> Iterator[CheckResult]:
    """Read photoUpdateSettings, which may forbid writes in the cloud."""
    try:
        policy = read_policy(visit.cloud.transport)
    except PolicyUnread as error:
        if OPTIONAL in visit.cloud.token_source.roles():
            yield warn(error.message, error.fix)
        else:
            yield skipped(f"{OPTIONAL} is not granted, and not needed for a night", error.fix)
        return
    if policy.source == "onpremises":
        yield warn("photos may be updated on-premises only, so the cloud may refuse every write", _POLICY_FIX)
    if policy.allowed_roles:
        roles = ", ".join(policy.allowed_roles)
        yield warn(f"only these roles may update photos ({roles}), so the cloud may refuse our writes", _POLICY_FIX)
    if not policy.may_block:
        yield ok(f"photos may be updated in the cloud (source: {policy.source or 'not set, either side'})")


def check_sharepoint(visit: CheckContext) -> Iterator[CheckResult]:
    """Get a token for SharePoint and look at the roles in it, where SharePoint is a target."""
    settings = visit.settings
    if "sharepoint" not in settings.targets:
        yield skipped("TARGETS does not name sharepoint")
        return
    for url in (settings.sharepoint_admin_url, settings.sharepoint_my_site_url):
        host = urlsplit(url or "").hostname
        missing = set(SHAREPOINT_ROLES) - visit.cloud.token_source.roles(f"https://{host}/.default")
        if missing:
            yield fail(
                f"the token for {host} lacks {', '.join(sorted(missing))}",
                "Entra admin center > App registrations > your app > API permissions > Add a permission > SharePoint >"
                f" Application permissions > {' and '.join(sorted(missing))}, then Grant admin consent.",
            )
        else:
            yield ok(f"the token for {host} has {' and '.join(SHAREPOINT_ROLES)}")


def _fetched(target: GraphTarget, account: Account) -> CheckResult:
    photo = target.photos([account])[account.id]
    if isinstance(photo, PersonError):
        return fail(photo.message, photo.fix or "Run again; it may have been a moment.")
    size = len(photo.content_bytes) if photo is not None else 0
    return ok(f"that of {account.upn} was read ({size:,} bytes)")
