"""Explain the results and errors of LDAP, Kerberos, TLS and the network, each with its fix."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Any

from ldap3.core.exceptions import LDAPStartTLSError

from connector.errors import Unreachable
from connector.model import foreign
from connector.network import NetworkFailure, TlsFailure, causes_of, network_failure, tls_failure


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Explain a code: what it means, and what to do about it."""

    meaning: str
    fix: str


_KERBEROS_TEXTS: tuple[tuple[str, ErrorText], ...] = (
    ("No Kerberos credentials", ErrorText("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("No credentials", ErrorText("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("can't find client principal", ErrorText("no ticket is for LDAP_USER", "Leave LDAP_USER empty, or correct it.")),
    (
        "not found in Kerberos database",
        ErrorText("it has no service principal", "Use the full host name of a DC in LDAP_URI."),
    ),
    ("Clock skew", ErrorText("the clocks differ too much", "Set this machine's clock by the domain's.")),
    ("expired", ErrorText("the ticket has expired", "Renew it, or set KRB5_CLIENT_KTNAME to a keytab.")),
    ("Cannot contact any KDC", ErrorText("no KDC answers", "Check krb5.conf, DNS and the firewall (port 88).")),
)

# krb5_err.et: minor codes count from -1765328384; gssapi-python gives them without a sign.
_FIRST = -1765328384
_NUMBERS = {
    7: "not found in Kerberos database",  # KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN
    32: "expired",  # KRB5KRB_AP_ERR_TKT_EXPIRED
    37: "Clock skew",  # KRB5KRB_AP_ERR_SKEW
    141: "No credentials",  # KRB5_CC_NOTFOUND
    156: "Cannot contact any KDC",  # KRB5_KDC_UNREACH
    195: "No credentials",  # KRB5_FCC_NOFILE
}
_NO_CREDENTIAL, _EXPIRED = 7 << 16, 11 << 16  # GSS_S_NO_CRED, GSS_S_CREDENTIALS_EXPIRED (RFC 2744, section 3.9.1)


def kerberos_words(error: BaseException) -> ErrorText | None:
    """Return the meaning of an error of gssapi or winkerberos; None where it is not known."""
    by_number = _by_text(_KERBEROS_TEXTS, _mark(error))
    return by_number or _by_text(_KERBEROS_TEXTS, " ".join(str(error).split()))


def _mark(error: BaseException) -> str:
    minor, major = getattr(error, "min_code", None), getattr(error, "maj_code", None)
    if isinstance(minor, int):
        number = (minor & 0xFFFFFFFF) - (_FIRST & 0xFFFFFFFF)
        if number in _NUMBERS:
            return _NUMBERS[number]
    return {_NO_CREDENTIAL: "No credentials", _EXPIRED: "expired"}.get(major, "") if isinstance(major, int) else ""


SYSTEM = "directory"


class ConnectionLost(Unreachable):
    """Report that the connection was lost; asking again on a new one is worth one try."""


class SignInRefused(Unreachable):
    """Report that the account was refused; no other server is tried, since each try may count towards a lockout."""


# Sub-codes that AD puts into result 49: `80090308: LdapErr: …, comment: AcceptSecurityContext error, data 52e, v…`
_LOGON = {
    "52e": ErrorText("the user name or the password is wrong", "Correct LDAP_USER and LDAP_PASSWORD."),
    "525": ErrorText("there is no such user", "Correct LDAP_USER: a UPN (svc@contoso.com) or a full DN."),
    "530": ErrorText("the account may not sign in at this hour", "Allow it all hours, or run at another time."),
    "531": ErrorText("the account may not sign in from this computer", "Add this computer to its 'Log On To' list."),
    "532": ErrorText("the password has expired", "Set a new password, and LDAP_PASSWORD to it."),
    "533": ErrorText("the account is disabled", "Enable the account, or use another in LDAP_USER."),
    "701": ErrorText("the account has expired", "Extend the account's expiry date."),
    "773": ErrorText(
        "the password must be changed before the first sign-in", "Set it without 'must change at next logon'."
    ),
    "775": ErrorText("the account is locked out", "Unlock it, and find what keeps trying a wrong password."),
    "52f": ErrorText(
        "a restriction of the account forbids this sign-in",
        "Look at its policies, Protected Users and authentication silos; or use another account.",
    ),
    "569": ErrorText(
        "the account may not sign in to this domain controller over the network",
        "Grant it 'Access this computer from the network' there.",
    ),
    "51f": ErrorText(
        "the domain controller found none that could check the password", "Check its connection to the others."
    ),
    "5b4": ErrorText("the domain controller ran out of time while it checked the password", "Look at its load."),
    "6f7": ErrorText("the domain controller failed while it checked the password", "Look at its System event log."),
    "568": ErrorText("the account is in too many groups to sign in", "Use a service account with few memberships."),
}

_LOGON_DATA = re.compile(r"\bAcceptSecurityContext error, data ([0-9a-f]{1,8})\b", re.IGNORECASE)
# These say nothing against the password, nor against the account at another domain controller: the next one is tried.
_NOT_THE_PASSWORD = frozenset({"52f", "569", "51f", "5b4", "6f7"})
_UNKNOWN_LOGON = ErrorText(
    "the domain controller gives a reason that is not known here, so it need not be the password",
    "Look the code up among the system error codes of Windows (hexadecimal), and at its Security event log.",
)

_BINDINGS = ErrorText(
    "the credentials are right, but the domain controller wants a channel binding token",
    "Use LDAP_AUTH=simple over ldaps://, or install photo-connector[kerberos] for LDAP_AUTH=kerberos.",
)
_SIGNING = ErrorText(
    "the domain controller takes no sign-in over an unprotected connection",
    "Use an ldaps:// address or LDAP_START_TLS=true; for Kerberos on ldap:// install photo-connector[kerberos].",
)
_SEALING = ErrorText(
    "the domain controller wants a Kerberos session sealed by itself, even inside TLS",
    "Use an ldap:// address with LDAP_AUTH=kerberos, or LDAP_AUTH=simple over ldaps://.",
)
_CREDENTIALS = ErrorText("the user name or the password is wrong", "Correct LDAP_USER and LDAP_PASSWORD.")
_BUSY = "Try again later; if it lasts, look at the domain controller's load and its Directory Service log."

# Texts that decide, whatever the result code says; the first that occurs wins.
_TEXTS: tuple[tuple[str, ErrorText], ...] = (
    ("80090346", _BINDINGS),
    ("00002028", _SIGNING),
    ("Transport encryption required", _SIGNING),
    ("Sign or Seal are required", _SEALING),
    (
        "000004DC",
        ErrorText("the sign-in did not last; the search counted as anonymous", "Check LDAP_AUTH and LDAP_USER."),
    ),
    ("0000203D", ErrorText("the cookie of the last reading is not accepted", "The next run reads everybody.")),
    (
        "0000202B",
        ErrorText("this base DN belongs to another domain", "Correct LDAP_BASE_DN, or name a server of that domain."),
    ),
    ("0000208D", ErrorText("there is no such base DN", "Correct LDAP_BASE_DN.")),
)

_CODES = {
    1: ErrorText("an operations error", "Look at the domain controller's Directory Service log."),
    3: ErrorText("the server's time limit for a search was reached", "Narrow LDAP_BASE_DN, or raise MaxQueryDuration."),
    4: ErrorText(
        "the server cut the answer off at its size limit", "Raise that limit of the server (AD: MaxPageSize)."
    ),
    7: ErrorText("this way to sign in is not offered", "Use another LDAP_AUTH."),
    8: _SIGNING,
    11: ErrorText("an administrative limit of the server was reached", "Narrow LDAP_BASE_DN, or raise the limit."),
    12: ErrorText(
        "the server does not accept a control that is needed", "Try again; a proxy in between may drop controls."
    ),
    32: ErrorText("there is no such base DN", "Correct LDAP_BASE_DN (or LDAP_GROUP)."),
    34: ErrorText("a DN is misspelt", "Correct LDAP_BASE_DN, LDAP_GROUP or LDAP_USER."),
    48: ErrorText("this way to sign in is not allowed for the account", "Use another LDAP_AUTH, or another account."),
    49: _CREDENTIALS,
    50: ErrorText("the service account lacks a right", "Let it read the people below LDAP_BASE_DN."),
    51: ErrorText("the server is busy", _BUSY),
    52: ErrorText("the server is unavailable", _BUSY),
    53: ErrorText("the server is unwilling", _BUSY),
}

_NETWORK = {
    NetworkFailure.SILENT: ErrorText(
        "no answer in time", "Check the address, the firewall, and whether the server is up."
    ),
    NetworkFailure.REFUSED: ErrorText("connection refused", "Check the port, and whether the server is up."),
    NetworkFailure.NO_ROUTE: ErrorText("there is no route to it", "Check the address and the network."),
    NetworkFailure.NAME: ErrorText("its name is not known to DNS", "Check the spelling and the DNS server in use."),
    NetworkFailure.RESET: ErrorText("it ended the connection", _BUSY),
}
# The commonest of all: a domain controller listens on 636 without a certificate, and resets at the first message.
_HUNG_UP = ErrorText(
    "it ended the connection at the TLS handshake, as a domain controller without a certificate does",
    "Give it a certificate for Server Authentication in its computer store (event 36886 of Schannel says that there"
    " is none); else look for a firewall in between.",
)
_NO_TLS_THERE = "Use ldaps:// with port 636, or LDAP_START_TLS=true."


def from_result(server: str, operation: str, result: dict[str, Any]) -> Unreachable:
    """Explain a result that is not success; `doing` completes "while …"."""
    code, text = int(result.get("result", -1)), _text(result)
    explanation = _by_text(_TEXTS, text) or _CODES.get(code) or ErrorText("it answered with an error", _BUSY)
    return Unreachable(
        SYSTEM, f"{server}: {explanation.meaning}, while {operation}{_code_text(code, text)}.", explanation.fix
    )


def from_bind(server: str, result: dict[str, Any]) -> Unreachable:
    """Explain a refused sign-in; Refused when another try could do harm or would fail alike."""
    code, text = int(result.get("result", -1)), _text(result)
    found = _LOGON_DATA.search(text) if code == 49 else None
    data = found.group(1).lower() if found else ""
    known = _LOGON.get(data, _UNKNOWN_LOGON) if data else None
    explanation = _by_text(_TEXTS, text) or known or _CODES.get(code) or ErrorText("it refused the sign-in", _BUSY)
    harmless = code in (51, 52, 80, -1) or data in _NOT_THE_PASSWORD or explanation is _UNKNOWN_LOGON
    kind = Unreachable if harmless else SignInRefused
    return kind(
        SYSTEM, f"{server} refused the sign-in: {explanation.meaning}{_code_text(code, text)}.", explanation.fix
    )


def from_exception(server: str, operation: str, error: BaseException, *, has_ca_file: bool = False) -> Unreachable:
    """Explain whatever ldap3, TLS, Kerberos or the network raised, by its number where it has one."""
    causes = list(causes_of(error))
    if any(isinstance(cause, LDAPStartTLSError) for cause in causes):
        fix = "Use ldaps://, or give the domain controller a certificate."
        return Unreachable(SYSTEM, f"{server}: it does not offer StartTLS ({_flat(error)}).", fix)
    kerberos = next((cause for cause in causes if _is_of_kerberos(cause)), None)
    if kerberos is not None:
        explanation = kerberos_words(kerberos) or ErrorText(
            f"Kerberos failed ({_flat(kerberos)})", "Check the ticket with klist."
        )
        return Unreachable(SYSTEM, f"{server}: {explanation.meaning}, while {operation}.", explanation.fix)
    failure = tls_failure(causes)
    if failure is not None:
        return _of_tls(server, operation, failure, has_ca_file=has_ca_file)
    if "InvalidFilter" in type(error).__name__:
        return Unreachable(SYSTEM, f"the filter cannot be read, while {operation}.", "Correct LDAP_FILTER (RFC 4515).")
    return _lost(server, operation, _of_network(causes, error, operation))


def _of_tls(server: str, operation: str, failure: TlsFailure, *, has_ca_file: bool) -> Unreachable:
    fix = failure.fix
    if failure.is_untrusted and has_ca_file:
        fix = (
            "LDAP_CA_FILE is set, but the authority that issued it is not in that file: add its certificate, and those"
            " between the two that the server does not send."
        )
    elif failure.is_untrusted:
        fix = "Set LDAP_CA_FILE to the PEM file of the authority that issued it."
    elif "does not speak TLS" in failure.meaning:
        fix = _NO_TLS_THERE
    return ConnectionLost(
        SYSTEM, f"{server}: {failure.meaning} (TLS: {foreign(failure.text)}), while {operation}.", fix
    )


def _of_network(causes: list[BaseException], error: BaseException, operation: str) -> ErrorText:
    hung_up = any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in causes)
    why = network_failure(causes)
    if operation == "connecting" and (hung_up or why is NetworkFailure.RESET):
        return _HUNG_UP
    if why is NetworkFailure.RESET or hung_up:
        return ErrorText(f"it ended the connection ({_flat(error)})", _BUSY)
    if why is not None:
        return _NETWORK[why]
    bounded = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    said = foreign(bounded.strerror or "") if bounded else f"{type(error).__name__}: {_flat(error)}"
    return ErrorText(f"the connection failed ({said})", _BUSY)


def _is_of_kerberos(cause: BaseException) -> bool:
    module = type(cause).__module__
    return "gssapi" in module or "kerberos" in module


def _lost(server: str, operation: str, explanation: ErrorText) -> Unreachable:
    return ConnectionLost(SYSTEM, f"{server}: {explanation.meaning}, while {operation}.", explanation.fix)


def _by_text(table: tuple[tuple[str, ErrorText], ...], text: str) -> ErrorText | None:
    lower = text.casefold()
    return next((explanation for mark, explanation in table if mark.casefold() in lower), None)


def _text(result: dict[str, Any]) -> str:
    # AD ends its messages with a NUL.
    return foreign(str(result.get("message") or "").replace("\x00", ""))


def _code_text(code: int, text: str) -> str:
    return f" (LDAP result {code}: {text[:200]})" if text else f" (LDAP result {code})"


def _flat(error: BaseException) -> str:
    """Return the error's words on one line; ldap3 hides the causes of several addresses in a list."""
    return foreign(str(error).replace("\x00", ""))
