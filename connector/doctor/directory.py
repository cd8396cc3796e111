"""Does the directory let us in, and show us what a night needs? DNS, TLS, sign-in, scope, DirSync, clock."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import ldap3

from connector.config import Settings
from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn
from connector.errors import ConnectorError, Unreachable
from connector.sources import dirsync
from connector.sources.connect import ServerRequirements, open_session
from connector.sources.dn import root_of_domain
from connector.sources.endpoints import Endpoint, endpoints
from connector.sources.entries import Reader
from connector.sources.groups import Forest, named_in
from connector.sources.ldap_errors import SignInRefused
from connector.sources.pages import Weight
from connector.sources.read import ContextReader, dirsync_query
from connector.sources.scope import bases_in, context_of, filter_can_be_followed
from connector.sources.session import Kind, Session
from connector.sources.tls import ServerCertificate, read_certificate

MOST_SERVERS = 20
SOON = timedelta(days=30)
_DOUBTFUL_SECONDS = 60
_SET_CLOCK = "Linux: timedatectl set-ntp true; Windows: w32tm /resync. Then check that the domain controllers agree."


def check_dns(visit: CheckContext) -> Iterator[CheckResult]:
    """Find the servers: SRV records for LDAP_DOMAIN, addresses for the names of LDAP_URI."""
    settings = visit.settings
    found = servers(settings)
    unknown = [server for server in found if not _resolves(server)]
    sign = warn if len(unknown) < len(found) else fail
    fix = "Correct the spelling in LDAP_URI, or let this machine use the domain's DNS servers; try: nslookup {}"
    yield from (sign(f"{server.host} is not known to DNS", fix.format(server.host)) for server in unknown)
    if len(unknown) < len(found):
        how = f"SRV of {settings.ldap_domain}" if settings.ldap_domain else "LDAP_URI"
        yield ok(f"{how}: {_listed([server.name for server in found if server not in unknown])}")


def check_tls(visit: CheckContext) -> Iterator[CheckResult]:
    """Shake hands with every server: chain, name, expiry, protocol."""
    settings = visit.settings
    found = servers(settings)[:MOST_SERVERS]
    tried = [(server, _presented(settings, server)) for server in found]
    failed = [one for _, one in tried if isinstance(one, ConnectorError)]
    for server, one in tried:
        if isinstance(one, ServerCertificate):
            yield _shown(server, one, visit.clock())
            continue
        show = f" What it shows: openssl s_client -connect {server.host}:{server.port} -showcerts"
        sign = fail if len(failed) == len(tried) else warn
        yield sign(one.message, one.fix + (show if "certificate" in one.message else ""))


def check_sign_in(visit: CheckContext) -> Iterator[CheckResult]:
    """Sign in once for each domain, as a night does, and ask who we are."""
    settings = visit.settings
    for context in wanted_contexts(settings):
        try:
            session = open_session(settings, visit.traffic, ServerRequirements(context, bases_in(settings, context)))
        except Unreachable as error:
            yield fail(error.message, error.fix)
            if isinstance(error, SignInRefused):
                return  # each try may count towards a lockout
            continue
        visit.sessions[context or context_of(session.root.default_context)] = session
        visit.account = session.who_am_i().removeprefix("u:") or settings.ldap_user or "the account this runs as"
        yield ok(f"{session.server}: signed in as {visit.account}")


def check_clock(visit: CheckContext) -> Iterator[CheckResult]:
    """Compare this machine's clock with each domain controller's."""
    for session in visit.sessions.values():
        told = session.root_values("currentTime").get("currenttime", (b"",))[0].decode("ascii", "replace")
        try:
            theirs = datetime.strptime(told[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            yield skipped(f"{session.server} does not tell its time")
            continue
        seconds = abs((visit.clock() - theirs).total_seconds())
        if seconds < _DOUBTFUL_SECONDS:
            yield ok(f"{session.server} and this machine agree within a minute")
            continue
        told = (
            f"{session.server} and this machine differ by {format_difference(seconds)}; "
            "Kerberos bears five minutes at most"
        )
        yield warn(told, _SET_CLOCK)


def check_bases(visit: CheckContext) -> Iterator[CheckResult]:
    """Look for every base DN and every excluded subtree."""
    settings = visit.settings
    for context, session in visit.sessions.items():
        for base in bases_in(settings, context):
            found = _entry(session, base)
            if found:
                yield fail(f"LDAP_BASE_DN {base}: {found}", _dn_fix("LDAP_BASE_DN", session))
            else:
                yield ok(f"{base} on {session.server}")
        yield from _excluded(visit, context, session)


def _excluded(visit: CheckContext, context: str, session: Session) -> Iterator[CheckResult]:
    """Look for the exclusions of a context as a night does, which reads nobody where one is not there."""
    forest = Forest(visit.settings, visit.traffic)
    for named in named_in(visit.settings, context, _contexts(visit)):
        if named.setting != "LDAP_EXCLUDE_DN":
            continue
        try:
            forest.require(session, named)
        except Unreachable as error:
            yield fail(error.message, f"{error.fix} {_dn_fix(named.setting, session)}")


def check_group(visit: CheckContext) -> Iterator[CheckResult]:
    """Look for LDAP_GROUP, and make ready to read its members, or everybody."""
    settings = visit.settings
    reader = Reader((), settings.ldap_anchor, settings.ldap_include_contacts)
    forest = Forest(settings, visit.traffic)
    for context, session in visit.sessions.items():
        weight = Weight(reader.photos)
        contexts = _contexts(visit)
        visit.passes[context] = ContextReader.of(
            session, context, reader=reader, weight=weight, forest=forest, contexts=contexts
        )
        if settings.ldap_group:
            yield ok(f"{settings.ldap_group} is there; nested members count, and it is asked anew each night")
    if not settings.ldap_group:
        yield skipped("LDAP_GROUP is not set: everybody below the base DNs")


def check_dirsync(visit: CheckContext) -> Iterator[CheckResult]:
    """Ask for a DirSync cookie, and say what of the scope changes can be followed."""
    for on in visit.passes.values():
        server = on.session.server
        if on.session.root.kind is Kind.OTHER:
            yield ok(f"{server} is no Active Directory: every night reads everybody")
        elif (
            not dirsync.is_offered(on.session)
            or dirsync.fresh_cookie(on.session, dirsync_query(on, visit.settings)) is None
        ):
            yield warn(
                f"{server} refuses DirSync, so every night reads everybody",
                "Name a writable domain controller of the domain in LDAP_URI, no proxy and no Global Catalog.",
            )
        else:
            yield ok(f"{server} tells what changed; no special right is needed")


def check_filter(visit: CheckContext) -> Iterator[CheckResult]:
    """Try LDAP_FILTER, and say whether its changes can be followed."""
    text = visit.settings.ldap_filter
    if not text:
        yield skipped("LDAP_FILTER is not set: all enabled users")
        return
    for on in visit.passes.values():
        answer = on.session.page(on.scope.bases[0], on.scope.people, attributes=["objectGUID"], size=1, cookie=b"")
        if answer.code != 0:
            raise on.session.trouble(answer, "trying LDAP_FILTER")
    reason = filter_can_be_followed(text)
    if reason:
        yield warn(
            f"LDAP_FILTER: {reason}, so every night reads everybody",
            "Use attributes of the person itself in LDAP_FILTER, and LDAP_GROUP for a group.",
        )
        return
    yield ok(f"{text} can be followed by DirSync")


def servers(settings: Settings) -> list[Endpoint]:
    """List the servers of every domain that is read, each once."""
    found = [server for context in wanted_contexts(settings) for server in endpoints(settings, context)]
    return list(dict.fromkeys(found))


def wanted_contexts(settings: Settings) -> list[str]:
    """Name the naming contexts that a night reads; one empty text where the server that answers decides."""
    if settings.ldap_base_dn:
        return list(dict.fromkeys(context_of(base) for base in settings.ldap_base_dn))
    return [root_of_domain(settings.ldap_domain) if settings.ldap_domain else ""]


def _contexts(visit: CheckContext) -> list[str]:
    """Name the contexts that a night reads, also those that could not be signed in to."""
    return [context for context in wanted_contexts(visit.settings) if context] or list(visit.sessions)


def format_difference(seconds: float) -> str:
    """Write how far two clocks are apart."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _resolves(server: Endpoint) -> bool:
    try:
        socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return True


def _presented(settings: Settings, server: Endpoint) -> ServerCertificate | ConnectorError:
    try:
        return read_certificate(settings, server)
    except ConnectorError as error:
        return error


def _shown(server: Endpoint, one: ServerCertificate, now: datetime) -> CheckResult:
    if one.expires is None:
        return ok(f"{server.name}: reached; Kerberos encrypts the line, there is no TLS")
    until = f"valid until {one.expires:%Y-%m-%d}"
    told = f"{server.name}: {one.protocol}, certificate for {_listed(one.names)} by {one.issuer}, {until}"
    if one.expires - now < SOON:
        return warn(told, f"Renew the certificate of {server.host} before that day; nights fail from then on.")
    return ok(told)


def _entry(session: Session, dn: str) -> str:
    """Return why an entry cannot be seen, or empty text."""
    answer = session.search(
        dn, "(objectClass=*)", attributes=["objectClass"], operation="looking for it", scope=ldap3.BASE
    )
    if answer.code != 0:
        return session.trouble(answer, "looking for it").message.partition(": ")[2]
    return "" if answer.entries else "it is not there, or the service account may not see it"


def _dn_fix(name: str, session: Session) -> str:
    root = session.root.default_context
    return f"Correct {name}; Get-ADOrganizationalUnit -Filter * | Select DistinguishedName lists what is below {root}."


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
