"""Open a session: server after server, verified TLS, one sign-in; a refused sign-in is not repeated elsewhere."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass

import ldap3

from connector.config import LdapAuth, Settings
from connector.errors import SettingsError, Unreachable
from connector.model import RequestCounters
from connector.sources import ldap_errors
from connector.sources.endpoints import Endpoint, Security, endpoints, preferred_first
from connector.sources.session import Session, close_quietly
from connector.sources.tls import open_connection, seal

# A connection is quick or fails: the seconds for one server, the least and the most, and for all together.
_LEAST_SECONDS, _MOST_SECONDS, _SHARED_SECONDS, _ALL_SERVERS_SECONDS = 3.0, 8.0, 15.0, 60.0
# A first page may take AD's whole MaxQueryDuration (120 s).
READ_SECONDS = 150

_INSTALL = "run: pip install 'photo-connector[kerberos]'"
_KERBEROS_MISSING = f"LDAP_AUTH: kerberos needs a Kerberos library, which is not installed; {_INSTALL}"
_SEALING_MISSING = (
    "LDAP_AUTH: kerberos on ldap:// needs an ldap3 that can encrypt the session, and this one cannot;"
    f" {_INSTALL}, or use ldaps:// or LDAP_START_TLS=true"
)


@dataclass(frozen=True, slots=True)
class ServerRequirements:
    """Describe the server that is needed: one that holds the context with these bases, and which to try first.

    `patience` is how many seconds of silence within an answer end the session.
    """

    context: str = ""
    bases: Sequence[str] = ()
    prefer: str = ""
    patience: int = READ_SECONDS


def kerberos_problem(settings: Settings) -> str:
    """Return why Kerberos cannot work with what is installed, or empty text."""
    if settings.ldap_auth is not LdapAuth.KERBEROS:
        return ""
    if not any(importlib.util.find_spec(library) for library in ("gssapi", "winkerberos")):
        return _KERBEROS_MISSING
    plain = any(endpoint.line is Security.PLAIN for endpoint in endpoints(settings)) if settings.ldap_uri else False
    return _SEALING_MISSING if plain and not can_seal() else ""


def can_seal() -> bool:
    """Return True if the installed ldap3 can encrypt a Kerberos session (2.10 and later)."""
    return hasattr(ldap3, "ENCRYPT")


def open_session(settings: Settings, traffic: RequestCounters, where: ServerRequirements) -> Session:
    """Open a session with the first server that will do; one error names each server and why it did not."""
    deadline = time.monotonic() + _ALL_SERVERS_SECONDS
    failures: list[Unreachable] = []
    candidates = preferred_first(endpoints(settings, where.context), where.prefer)
    seconds = min(_MOST_SECONDS, max(_LEAST_SECONDS, _SHARED_SECONDS / max(1, len(candidates))))
    for endpoint in candidates:
        if time.monotonic() > deadline:
            failures.append(
                Unreachable(
                    ldap_errors.SYSTEM, f"{endpoint.name} and those after it: not tried, because the time was over."
                )
            )
            break
        try:
            return _fitting(_signed_in(settings, traffic, endpoint, patience=where.patience, seconds=seconds), where)
        except ldap_errors.SignInRefused:
            raise
        except Unreachable as failure:
            failures.append(failure)
    raise _all_failed(failures)


def _fitting(session: Session, where: ServerRequirements) -> Session:
    if not where.context or session.serves(where.context, where.bases):
        return session
    session.close()
    raise Unreachable(
        ldap_errors.SYSTEM,
        f"{session.server}: it does not hold {where.context}.",
        "Name a server of that domain in LDAP_URI, too, or correct LDAP_BASE_DN.",
    )


def _all_failed(failures: Sequence[Unreachable]) -> Unreachable:
    if len(failures) == 1:
        return failures[0]
    causes = " ".join(failure.cause for failure in failures)
    fixes = dict.fromkeys(failure.fix for failure in failures if failure.fix)
    return Unreachable(ldap_errors.SYSTEM, f"none of {len(failures)} servers can be used. {causes}", " ".join(fixes))


def _signed_in(
    settings: Settings, traffic: RequestCounters, endpoint: Endpoint, *, patience: int, seconds: float
) -> Session:
    connection = open_connection(settings, endpoint, seconds=seconds, **_credentials(settings, endpoint))
    try:
        _bind(connection, endpoint)
        # From here on the server may take as long as a search may.
        connection.socket.settimeout(patience)
        return Session(connection, server=endpoint.name, traffic=traffic)
    except BaseException:
        close_quietly(connection)
        raise


def _bind(connection: ldap3.Connection, endpoint: Endpoint) -> None:
    try:
        accepted = connection.bind(read_server_info=False)
    except Exception as error:
        raise ldap_errors.from_exception(endpoint.name, "signing in", error) from error
    if not accepted:
        raise ldap_errors.from_bind(endpoint.name, connection.result or {})
    if getattr(connection, "session_security", None):
        seal(connection)


def _credentials(settings: Settings, endpoint: Endpoint) -> dict[str, object]:
    if settings.ldap_auth is LdapAuth.KERBEROS:
        return _kerberos(settings, endpoint)
    if endpoint.line is Security.PLAIN:
        raise SettingsError(["LDAP_URI: would send the password unencrypted; use ldaps:// or LDAP_START_TLS=true."])
    # As bytes, which go as they stand: ldap3 puts text through SASLprep (RFC 4013), which changes `²` and refuses NBSP,
    # and a domain controller compares the letters that were typed.
    password = settings.ldap_password.get_secret_value().encode() if settings.ldap_password else b""
    return {"authentication": ldap3.SIMPLE, "user": settings.ldap_user, "password": password}


def _kerberos(settings: Settings, endpoint: Endpoint) -> dict[str, object]:
    """Sign in with the ticket cache, the client keytab, or the Windows logon; over TLS ldap3 binds to the channel."""
    problem = kerberos_problem(settings)
    if problem:
        raise SettingsError([problem])
    chosen: dict[str, object] = {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.KERBEROS}
    if settings.ldap_user:
        account, _, realm = settings.ldap_user.partition("@")
        chosen["user"] = f"{account}@{realm.upper()}" if realm else account
    if endpoint.line is Security.PLAIN:
        chosen["session_security"] = ldap3.ENCRYPT
    return chosen
