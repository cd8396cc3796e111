"""Check Microsoft 365: network, clock, credential, token, roles, users, photos, photo policy and SharePoint."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.hashes import SHA1

from connector import addresses
from connector.cloud.accounts import list_accounts
from connector.cloud.auth import credential_expiry, load_certificate
from connector.cloud.http import Proxies
from connector.cloud.photo_errors import POLICY_URL, PolicyUnread, read_policy
from connector.cloud.retry import http_date
from connector.cloud.transport import HEADERS
from connector.config import Settings, cloud_urls
from connector.doctor.context import CheckContext
from connector.doctor.directory import format_difference
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn, words_of
from connector.errors import ConnectorError, PersonError
from connector.model import ENDS_SOON, Account
from connector.model.reasons import ADVICE, count_of
from connector.targets.graph import GraphTarget

LEAST = ("User.Read.All", "ProfilePhoto.ReadWrite.All")
OPTIONAL = "PeopleSettings.Read.All"
# Roles that include the right to list users or to write photos.
_INSTEAD = {
    "User.Read.All": {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
    "ProfilePhoto.ReadWrite.All": {"User.ReadWrite.All"},
}
_WARN_SECONDS, _FAIL_SECONDS = 60, 300
_SET_CLOCK = "Set this machine's clock; Linux: timedatectl set-ntp true, Windows: w32tm /resync."


def check_way_out(context: CheckContext) -> Iterator[CheckResult]:
    """Connect to the token issuer and to Graph, directly or through the proxy."""
    settings = context.settings
    urls = cloud_urls(settings)
    proxies = Proxies(settings.https_proxy, settings.no_proxy)
    wanted = [urls.graph_url] if settings.azure_managed_identity else [urls.authority_host, urls.graph_url]
    for url in dict.fromkeys(wanted):
        host, route = urlsplit(url).hostname, _route(proxies.proxy_for(url))
        try:
            context.cloud.http.probe(url)
        except ConnectorError as error:
            yield fail(f"{host}, {route}: {words_of(error)}", error.fix)
        else:
            yield ok(f"{host} can be reached, {route}")


def check_graph(context: CheckContext) -> Iterator[CheckResult]:
    """Send Graph a request without a token: it must answer 401, with a certificate that is trusted."""
    url = f"{cloud_urls(context.settings).graph_url}/v1.0/users?$top=1"
    answer = context.cloud.http.send("GET", url, headers=HEADERS)
    context.cloud_date = answer.headers.get("date", "")
    if answer.status != 401:
        host = urlsplit(url).hostname
        yield warn(
            f"{host} answered HTTP {answer.status} where Graph requires a token: another server may answer",
            "Check GRAPH_URL, HTTPS_PROXY, and whether a proxy requires a login or answers with its own page.",
        )
        return
    yield ok("answers, and its certificate is trusted")


def check_cloud_clock(context: CheckContext) -> Iterator[CheckResult]:
    """Compare this machine's clock with the Date header of Graph."""
    theirs = http_date(context.cloud_date)
    if theirs is None:
        yield skipped("Graph sent no date")
        return
    seconds = abs((context.clock() - theirs).total_seconds())
    if seconds < _WARN_SECONDS:
        yield ok("Graph and this machine agree within a minute")
        return
    sign = fail if seconds >= _FAIL_SECONDS else warn
    yield sign(f"Graph and this machine differ by {format_difference(seconds)}, so tokens may be refused", _SET_CLOCK)


def check_credential(context: CheckContext) -> Iterator[CheckResult]:
    """Report when the credential expires; only a certificate can be read."""
    settings = context.settings
    portal = f"{_app(settings)} > Certificates & secrets"
    if settings.azure_client_certificate_path is not None:
        yield _certificate(context, portal)
    elif settings.azure_client_secret is not None and (ends := credential_expiry(settings)):
        yield _secret(context, ends, portal)
    elif settings.azure_client_secret is not None:
        yield warn(
            "a client secret: its expiry date cannot be read from here; it lasts two years at most",
            f"See 'Expires' in {portal}, and put it into AZURE_CLIENT_SECRET_EXPIRES;"
            " or use a certificate (AZURE_CLIENT_CERTIFICATE_PATH), which is checked.",
        )
    elif settings.azure_federated_token_file is not None:
        yield ok(f"the token in {settings.azure_federated_token_file}, renewed by the platform")
    else:
        yield ok("the machine's managed identity, renewed by Azure")


def check_token(context: CheckContext) -> Iterator[CheckResult]:
    """Request a token for Graph."""
    claims = context.cloud.token_source.claims()
    tenant, app = (
        claims.get("tid", context.settings.azure_tenant_id),
        claims.get("appid", context.settings.azure_client_id),
    )
    yield ok(f"issued to application {app} in tenant {tenant}")


def check_roles(context: CheckContext) -> Iterator[CheckResult]:
    """Compare the app roles in the token with the two required ones and the optional one."""
    roles = context.cloud.token_source.roles()
    missing = [role for role in LEAST if role not in roles and not _INSTEAD[role] & roles]
    extra = sorted(roles - {*LEAST, OPTIONAL})
    portal = f"{_app(context.settings)} > API permissions"
    for role in missing:
        yield fail(
            f"the token lacks {role}",
            f"{portal} > Add a permission > Microsoft Graph > Application permissions > {role}, then Grant admin"
            f" consent. {_identity(context.settings)}A new token carries it within some minutes.",
        )
    if extra:
        swap = [role for role in LEAST if role not in roles and role not in missing]
        first = f"First add {' and '.join(swap)} there and grant consent; then remove" if swap else "Remove"
        yield warn(
            f"more than needed: {', '.join(extra)}. Required are {' and '.join(LEAST)}; {OPTIONAL} is optional",
            f"{portal}: {first} {', '.join(extra)} (Remove permission, and Revoke admin consent).",
        )
    if not missing and not extra:
        yield ok(", ".join(sorted(roles)))


def _certificate(context: CheckContext, portal: str) -> CheckResult:
    certificate = load_certificate(context.settings)
    thumbprint = certificate.chain[0].fingerprint(SHA1()).hex().upper()  # noqa: S303 - as the portal shows it
    text = f"certificate {thumbprint}, valid until {certificate.expires:%Y-%m-%d}"
    how = addresses.page("permissions", "a-certificate")
    fix = f"Make a new one ({how}), upload its public part at {portal}, then change the file."
    left = certificate.expires - context.clock()
    if left.total_seconds() <= 0:
        return fail(f"{text}: it has expired", fix)
    return warn(f"{text}: {left.days} days are left", fix) if left < ENDS_SOON else ok(text)


def _secret(context: CheckContext, ends: datetime, portal: str) -> CheckResult:
    text = f"client secret, valid until {ends:%Y-%m-%d} (AZURE_CLIENT_SECRET_EXPIRES)"
    fix = f"Make a new one at {portal}, then change AZURE_CLIENT_SECRET and AZURE_CLIENT_SECRET_EXPIRES."
    left = ends - context.clock()
    if left.total_seconds() <= 0:
        return fail(f"{text}: it has expired", fix)
    return warn(f"{text}: {left.days} days are left", fix) if left < ENDS_SOON else ok(text)


def _app(settings: Settings) -> str:
    if settings.azure_managed_identity:
        return "Entra admin center > Enterprise applications > Managed identities > this machine's"
    return f"Entra admin center > App registrations > {settings.azure_client_id}"


def _identity(settings: Settings) -> str:
    if settings.azure_managed_identity:
        how = addresses.page("permissions")
        return f"A managed identity gets it by New-MgServicePrincipalAppRoleAssignment: {how} "
    return ""


def _route(proxy: str) -> str:
    """Return the proxy without its login, in words."""
    parts = urlsplit(proxy)
    return f"through the proxy {parts.hostname}:{parts.port or 80}" if proxy else "without a proxy"


_POLICY_FIX = (
    f"As People Administrator in Graph Explorer: PATCH {POLICY_URL}"
    ' with {"source":"cloud","allowedRoles":[]}; it takes effect within 24 hours.'
)
# https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread
SHAREPOINT_ROLES = ("Sites.FullControl.All", "User.ReadWrite.All")


def check_users(context: CheckContext) -> Iterator[CheckResult]:
    """List one page of users."""
    context.pages = list_accounts(context.cloud.transport)
    for page in context.pages:
        context.first_page = page
        if page:
            synced = sum(account.is_synced for account in page)
            yield ok(
                f"the first page lists {count_of(len(page), 'account')}, {synced} of them synchronised from a directory"
            )
            return
    yield fail("the tenant lists no account", "Check AZURE_TENANT_ID: it must be the tenant of these users.")


def check_photo(context: CheckContext) -> Iterator[CheckResult]:
    """Request the photo tags of one batch of accounts, and fetch one photo."""
    target = GraphTarget(context.cloud.transport)
    asked = sorted(context.first_page, key=lambda account: (account.is_guest, not account.has_exchange))
    asked = asked[: target.batch_size]
    tags = target.tags(asked)
    refused = [tag for tag in tags.values() if isinstance(tag, PersonError)]
    shown = next((account for account in asked if not isinstance(tags[account.id], PersonError | None)), None)
    if shown is not None:
        yield _fetched(target, shown)
    elif len(refused) == len(asked):
        yield fail(
            refused[0].message,
            ADVICE[refused[0].reason].cure,
        )
    else:
        yield ok(f"tested {count_of(len(asked), 'account')}: photos can be read, none of these has one")


def check_policy(context: CheckContext) -> Iterator[CheckResult]:
    """Read photoUpdateSettings, which may forbid writes in the cloud."""
    try:
        policy = read_policy(context.cloud.transport)
    except PolicyUnread as error:
        if OPTIONAL in context.cloud.token_source.roles():
            yield warn(words_of(error), error.fix)
        else:
            yield skipped(f"{OPTIONAL} is not granted; it is optional", error.fix)
        return
    if policy.source == "onpremises":
        yield warn("photos may be updated on-premises only, so the cloud may refuse every write", _POLICY_FIX)
    if policy.allowed_roles:
        roles = ", ".join(policy.allowed_roles)
        yield warn(f"only these roles may update photos ({roles}), so the cloud may refuse every write", _POLICY_FIX)
    if not policy.may_block:
        yield ok(f"photos may be updated in the cloud (source: {policy.source or 'not set, either side'})")


def check_sharepoint(context: CheckContext) -> Iterator[CheckResult]:
    """Request a token for SharePoint and check its roles, if SharePoint is a target."""
    settings = context.settings
    if "sharepoint" not in settings.targets:
        yield skipped("TARGETS does not name sharepoint")
        return
    for url in (settings.sharepoint_admin_url, settings.sharepoint_my_site_url):
        host = urlsplit(url or "").hostname
        missing = set(SHAREPOINT_ROLES) - context.cloud.token_source.roles(f"https://{host}/.default")
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
        return fail(photo.message, ADVICE[photo.reason].cure)
    size = len(photo.content_bytes) if photo is not None else 0
    return ok(f"the photo of {account.upn} was read ({size:,} bytes)")
