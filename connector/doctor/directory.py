"""Check the directory: DNS, TLS, sign-in, clock, base DNs, group, DirSync and filter."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import ldap3

from connector.config import Settings
from connector.config.dn import root_of_domain
from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, fail, ok, skipped, warn, words_of
from connector.errors import ConnectorError, Unreachable
from connector.ledger.memberships import GROUP_SETTINGS
from connector.ledger.people import people_below
from connector.ledger.store import LEDGER_NAME
from connector.model import ENDS_SOON
from connector.model.reasons import people
from connector.sources import dirsync
from connector.sources.connect import ServerRequirements, open_session
from connector.sources.endpoints import Endpoint, endpoints
from connector.sources.entries import Reader
from connector.sources.groups import (
    Forest,
    hidden_member,
    members,
    moved_fix,
    moved_people,
    named_in,
    new_base,
    require_visible,
)
from connector.sources.ldap_errors import SignInRefused
from connector.sources.pages import Weight
from connector.sources.read import ContextReader, dirsync_query, roster
from connector.sources.scope import Scope, bases_in, context_of, filter_can_be_followed
from connector.sources.session import Kind, Session
from connector.sources.tls import ServerCertificate, read_certificate

MOST_SERVERS = 20
_WARN_SECONDS = 60
_HIDDEN_FIX = (
    "Let the service account read memberOf of all users (`photo-connector config grant-read`, with -Attribute"
    " memberOf); until then a run goes by the group's own list, too."
)
_SET_CLOCK = "Linux: timedatectl set-ntp true; Windows: w32tm /resync. Then check that the domain controllers agree."


def check_dns(context: CheckContext) -> Iterator[CheckResult]:
    """Find the servers: SRV records for LDAP_DOMAIN, addresses for the names of LDAP_URI."""
    settings = context.settings
    known_servers = servers(settings)
    unknown = [server for server in known_servers if not _resolves(server)]
    sign = warn if len(unknown) < len(known_servers) else fail
    fix = "Correct the spelling in LDAP_URI, or let this machine use the domain's DNS servers; try: nslookup {}"
    yield from (sign(f"{server.host} is not known to DNS", fix.format(server.host)) for server in unknown)
    if len(unknown) < len(known_servers):
        how = f"SRV of {settings.ldap_domain}" if settings.ldap_domain else "LDAP_URI"
        yield ok(f"{how}: {_listed([server.name for server in known_servers if server not in unknown])}")


def check_tls(context: CheckContext) -> Iterator[CheckResult]:
    """Make a TLS handshake with every server and check chain, name, expiry and protocol."""
    settings = context.settings
    tried = [(server, _presented(settings, server)) for server in servers(settings)[:MOST_SERVERS]]
    failed = [shown for _, shown in tried if isinstance(shown, ConnectorError)]
    for server, shown in tried:
        if isinstance(shown, ServerCertificate):
            yield _certificate(server, shown, context.clock())
            continue
        command = f" To see its certificate: openssl s_client -connect {server.host}:{server.port} -showcerts"
        sign = fail if len(failed) == len(tried) else warn
        yield sign(words_of(shown), shown.fix + (command if "certificate" in shown.message else ""))


def check_sign_in(context: CheckContext) -> Iterator[CheckResult]:
    """Sign in once for each domain, as a run does, and read the account's name."""
    settings = context.settings
    for naming_context in wanted_contexts(settings):
        try:
            session = open_session(
                settings, context.traffic, ServerRequirements(naming_context, bases_in(settings, naming_context))
            )
        except Unreachable as error:
            yield fail(words_of(error), error.fix)
            if isinstance(error, SignInRefused):
                return  # each attempt may count towards a lockout
            continue
        context.sessions[naming_context or context_of(session.root.default_context)] = session
        context.account = session.who_am_i().removeprefix("u:") or settings.ldap_user or "the account this runs as"
        yield ok(f"{session.server}: signed in as {context.account}")


def check_clock(context: CheckContext) -> Iterator[CheckResult]:
    """Compare this machine's clock with each domain controller's."""
    for session in context.sessions.values():
        text = session.root_values("currentTime").get("currenttime", (b"",))[0].decode("ascii", "replace")
        try:
            theirs = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            yield skipped(f"{session.server} does not return its time")
            continue
        seconds = abs((context.clock() - theirs).total_seconds())
        if seconds < _WARN_SECONDS:
            yield ok(f"{session.server} and this machine agree within a minute")
            continue
        difference = f"{session.server} and this machine differ by {format_difference(seconds)}"
        yield warn(f"{difference}; Kerberos allows five minutes at most", _SET_CLOCK)


def check_bases(context: CheckContext) -> Iterator[CheckResult]:
    """Read every base DN and every excluded subtree."""
    settings = context.settings
    for naming_context, session in context.sessions.items():
        for base in bases_in(settings, naming_context):
            problem = _entry_problem(session, base)
            moved = _new_base(settings, naming_context, session, base=base) if problem else ""
            if problem:
                where = f"; {moved_people(moved)}" if moved else ""
                fix = f"{moved_fix(moved)} " if moved else ""
                yield fail(f"LDAP_BASE_DN {base}: {problem}{where}", fix + _dn_fix("LDAP_BASE_DN", session))
            else:
                yield ok(f"{base} on {session.server}")
        yield from _excluded(context, naming_context, session)


def _excluded(context: CheckContext, naming_context: str, session: Session) -> Iterator[CheckResult]:
    """Read the exclusions of a naming context, as a run does; a run reads no person where one does not exist."""
    forest = Forest(context.settings, context.traffic)
    for named in named_in(context.settings, naming_context, _contexts(context)):
        if named.setting != "LDAP_EXCLUDE_DN":
            continue
        try:
            forest.require(session, named)
        except Unreachable as error:
            yield fail(words_of(error), f"{error.fix} {_dn_fix(named.setting, session)}")


def check_group(context: CheckContext) -> Iterator[CheckResult]:
    """Find LDAP_GROUP, and prepare to read its members, or all people."""
    settings = context.settings
    reader = Reader((), settings.ldap_anchor, settings.ldap_include_contacts)
    forest = Forest(settings, context.traffic)
    for naming_context, session in context.sessions.items():
        weight = Weight(reader.photos)
        contexts = _contexts(context)
        context.readers[naming_context] = ContextReader.of(
            session, naming_context, reader=reader, weight=weight, forest=forest, contexts=contexts
        )
        if settings.ldap_group:
            yield ok(f"{settings.ldap_group} exists; nested members count, and each run reads it again")
    if not settings.ldap_group:
        yield skipped("LDAP_GROUP is not set: all people below the base DNs")


def check_policy_groups(context: CheckContext) -> Iterator[CheckResult]:
    """Read the members of OPT_OUT_GROUP, KEEP_CLOUD_GROUP and SOURCE_WINS_GROUP, as a run does."""
    forest = Forest(context.settings, context.traffic)
    named = {name: getattr(context.settings, name.lower()) for name in GROUP_SETTINGS}
    for setting, group in named.items():
        for reader in context.readers.values() if group else ():
            try:
                found = members(reader.session, group, reader.context, forest=forest, setting=setting)
                number = sum(len(page) for page in roster(reader.session, reader.scope, found))
                if not number:
                    require_visible(reader.session, found, reader.context, setting=setting)
                hidden = hidden_member(reader.session, found, reader.context)
            except Unreachable as error:
                yield fail(words_of(error), error.fix)
                continue
            nobody = "" if number else f" (or {context.account} may not read its members: both look the same)"
            text = f"{setting}: {people(number)} in scope in {reader.context}, members of {group}{nobody}"
            yield warn(f"{text}; {hidden} is one by the group's own list only", _HIDDEN_FIX) if hidden else ok(text)
    if not any(named.values()):
        yield skipped(f"{', '.join(GROUP_SETTINGS)} are not set")


def check_dirsync(context: CheckContext) -> Iterator[CheckResult]:
    """Request a DirSync cookie, and report whether changes can be followed."""
    for context_reader in context.readers.values():
        server = context_reader.session.server
        if context_reader.session.root.kind is Kind.OTHER:
            yield ok(f"{server} is not Active Directory: every run is a full read")
        elif (
            not dirsync.is_offered(context_reader.session)
            or dirsync.fresh_cookie(context_reader.session, dirsync_query(context_reader, context.settings)) is None
        ):
            yield warn(
                f"{server} refuses DirSync, so every run is a full read",
                "Name a writable domain controller of the domain in LDAP_URI, not a proxy and not a Global Catalog.",
            )
        else:
            yield ok(f"{server} returns what changed; no special right is needed")


def check_filter(context: CheckContext) -> Iterator[CheckResult]:
    """Test LDAP_FILTER, and report whether its changes can be followed."""
    text = context.settings.ldap_filter
    if not text:
        yield skipped("LDAP_FILTER is not set: all enabled users")
        return
    for context_reader in context.readers.values():
        answer = context_reader.session.page(
            context_reader.scope.bases[0], context_reader.scope.people, attributes=["objectGUID"], size=1, cookie=b""
        )
        if answer.code != 0:
            raise context_reader.session.trouble(answer, "trying LDAP_FILTER")
    reason = filter_can_be_followed(text)
    if reason:
        yield warn(
            f"LDAP_FILTER: {reason}, so every run is a full read",
            "Use attributes of the person itself in LDAP_FILTER, and LDAP_GROUP for a group.",
        )
        return
    yield ok(f"{text} can be followed by DirSync")


def servers(settings: Settings) -> list[Endpoint]:
    """Return the servers of every domain that is read, each once."""
    found = [server for naming_context in wanted_contexts(settings) for server in endpoints(settings, naming_context)]
    return list(dict.fromkeys(found))


def wanted_contexts(settings: Settings) -> list[str]:
    """Return the naming contexts that a run reads; one empty text if the server that answers decides."""
    if settings.ldap_base_dn:
        return list(dict.fromkeys(context_of(base) for base in settings.ldap_base_dn))
    return [root_of_domain(settings.ldap_domain) if settings.ldap_domain else ""]


def _contexts(context: CheckContext) -> list[str]:
    """Return the naming contexts that a run reads, also those without a session."""
    return [naming_context for naming_context in wanted_contexts(context.settings) if naming_context] or list(
        context.sessions
    )


def format_difference(seconds: float) -> str:
    """Return the difference between two clocks in words."""
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


def _certificate(server: Endpoint, certificate: ServerCertificate, now: datetime) -> CheckResult:
    if certificate.expires is None:
        return ok(f"{server.name}: reached; Kerberos encrypts the connection, without TLS")
    until = f"valid until {certificate.expires:%Y-%m-%d}"
    names = f"certificate for {_listed(certificate.names)} by {certificate.issuer}"
    text = f"{server.name}: {certificate.protocol}, {names}, {until}"
    if certificate.expires - now < ENDS_SOON:
        return warn(text, f"Renew the certificate of {server.host} before that day; runs fail from then on.")
    return ok(text)


def _entry_problem(session: Session, dn: str) -> str:
    """Return why an entry cannot be read, or empty text."""
    answer = session.search(
        dn, "(objectClass=*)", attributes=["objectClass"], operation="looking for it", scope=ldap3.BASE
    )
    if answer.code != 0:
        return session.trouble(answer, "looking for it").cause
    return "" if answer.entries else "it does not exist, or the service account cannot read it"


def _dn_fix(name: str, session: Session) -> str:
    root = session.root.default_context
    return (
        f"Correct {name}; `Get-ADOrganizationalUnit -Filter * | Select DistinguishedName` lists what is below {root}."
    )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _new_base(settings: Settings, context: str, session: Session, *, base: str) -> str:
    """Return the DN below which people stand now who were read below this base; empty text if none is found there."""
    scope = Scope.of(settings, context, kind=session.root.kind)
    return new_base(session, scope, context, base=base, people=_were_read(settings.state_dir / LEDGER_NAME, context))


def _were_read(ledger: Path, context: str) -> Iterator[tuple[str, str]]:
    """Yield id and DN, when they were read, of the people of a context; nobody without a database."""
    if not ledger.exists():
        return
    try:
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as db:
            yield from people_below(db, context)
    except sqlite3.DatabaseError:
        return
