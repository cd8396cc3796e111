"""What did the directory mean? LDAP's results and errors in our words, each with its fix: the only place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from connector.errors import Unreachable
from connector.model import foreign

SYSTEM = "directory"


class Dropped(Unreachable):
    """Tell that the connection was lost; asking again on a new one is worth one try."""


class Refused(Unreachable):
    """Tell that the account was refused; no other server is tried, since each try may count towards a lockout."""


@dataclass(frozen=True, slots=True)
class Words:
    """Hold what a code means, and what to do about it."""

    meaning: str
    fix: str


# Sub-codes that AD puts into result 49: `80090308: LdapErr: …, comment: AcceptSecurityContext error, data 52e, v…`
_LOGON = {
    "52e": Words("the user name or the password is wrong", "Correct LDAP_USER and LDAP_PASSWORD."),
    "525": Words("there is no such user", "Correct LDAP_USER: a UPN (svc@contoso.com) or a full DN."),
    "530": Words("the account may not sign in at this hour", "Allow it all hours, or run at another time."),
    "531": Words("the account may not sign in from this computer", "Add this computer to its 'Log On To' list."),
    "532": Words("the password has expired", "Set a new password, and LDAP_PASSWORD to it."),
    "533": Words("the account is disabled", "Enable the account, or use another in LDAP_USER."),
    "701": Words("the account has expired", "Extend the account's expiry date."),
    "773": Words(
        "the password must be changed before the first sign-in", "Set it without 'must change at next logon'."
    ),
    "775": Words("the account is locked out", "Unlock it, and find what keeps trying a wrong password."),
    "568": Words("the account is in too many groups to sign in", "Use a service account with few memberships."),
}

_LOGON_DATA = re.compile(r"\bdata ([0-9a-f]{3,4})\b", re.IGNORECASE)

_BINDINGS = Words(
    "the credentials are right, but the domain controller wants a channel binding token",
    "Use LDAP_AUTH=simple over ldaps://, or install photo-connector[kerberos] for LDAP_AUTH=kerberos.",
)
_SIGNING = Words(
    "the domain controller takes no sign-in over an unprotected connection",
    "Use an ldaps:// address or LDAP_START_TLS=true; for Kerberos on ldap:// install photo-connector[kerberos].",
)
_SEALING = Words(
    "the domain controller wants a Kerberos session sealed by itself, even inside TLS",
    "Use an ldap:// address with LDAP_AUTH=kerberos, or LDAP_AUTH=simple over ldaps://.",
)
_CREDENTIALS = Words("the user name or the password is wrong", "Correct LDAP_USER and LDAP_PASSWORD.")
_BUSY = "Try again later; if it lasts, look at the domain controller's load and its Directory Service log."

# Texts that decide, whatever the result code says; the first that occurs wins.
_TEXTS: tuple[tuple[str, Words], ...] = (
    ("80090346", _BINDINGS),
    ("00002028", _SIGNING),
    ("Transport encryption required", _SIGNING),
    ("Sign or Seal are required", _SEALING),
    ("000004DC", Words("the sign-in did not last; the search counted as anonymous", "Check LDAP_AUTH and LDAP_USER.")),
    ("0000203D", Words("the cookie of the last reading is not accepted", "The next run reads everybody.")),
    (
        "0000202B",
        Words("this base DN belongs to another domain", "Correct LDAP_BASE_DN, or name a server of that domain."),
    ),
    ("0000208D", Words("there is no such base DN", "Correct LDAP_BASE_DN.")),
)

_CODES = {
    1: Words("an operations error", "Look at the domain controller's Directory Service log."),
    3: Words("the server's time limit for a search was reached", "Narrow LDAP_BASE_DN, or raise MaxQueryDuration."),
    4: Words("the server cut the answer off at its size limit", "Let the service account read in pages (MaxPageSize)."),
    7: Words("this way to sign in is not offered", "Use another LDAP_AUTH."),
    8: _SIGNING,
    11: Words("an administrative limit of the server was reached", "Narrow LDAP_BASE_DN, or raise the limit."),
    12: Words(
        "the server does not accept a control that is needed", "Try again; a proxy in between may drop controls."
    ),
    32: Words("there is no such base DN", "Correct LDAP_BASE_DN (or LDAP_GROUP)."),
    34: Words("a DN is misspelt", "Correct LDAP_BASE_DN, LDAP_GROUP or LDAP_USER."),
    48: Words("this way to sign in is not allowed for the account", "Use another LDAP_AUTH, or another account."),
    49: _CREDENTIALS,
    50: Words("the service account lacks a right", "Let it read the people below LDAP_BASE_DN."),
    51: Words("the server is busy", _BUSY),
    52: Words("the server is unavailable", _BUSY),
    53: Words("the server is unwilling", _BUSY),
}

_CERTIFICATE: tuple[tuple[str, Words], ...] = (
    ("certificate has expired", Words("its certificate has expired", "Renew the server's certificate.")),
    ("Hostname mismatch", Words("its certificate is for another host name", "Use the name in the certificate.")),
    ("IP address mismatch", Words("its certificate does not name this IP address", "Use the server's DNS name.")),
    ("", Words("its certificate is not trusted", "Set LDAP_CA_FILE to the PEM file of the authority that issued it.")),
)

_NETWORK: tuple[tuple[str, Words], ...] = (
    ("timed out", Words("no answer in time", "Check the address, the firewall, and whether the server is up.")),
    ("Connection refused", Words("connection refused", "Check the port, and whether the server is up.")),
    ("actively refused", Words("connection refused", "Check the port, and whether the server is up.")),
    ("No route to host", Words("there is no route to it", "Check the address and the network.")),
    ("Network is unreachable", Words("there is no route to it", "Check the address and the network.")),
    ("invalid server address", Words("its name is not known to DNS", "Check the spelling and the DNS server in use.")),
    ("getaddrinfo", Words("its name is not known to DNS", "Check the spelling and the DNS server in use.")),
    (
        "WRONG_VERSION_NUMBER",
        Words("it does not speak TLS there", "Use ldaps:// with port 636, or LDAP_START_TLS=true."),
    ),
)

_KERBEROS: tuple[tuple[str, Words], ...] = (
    ("No Kerberos credentials", Words("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("No credentials", Words("there is no ticket", "Set KRB5_CLIENT_KTNAME to a keytab, or run kinit.")),
    ("can't find client principal", Words("no ticket is for LDAP_USER", "Leave LDAP_USER empty, or correct it.")),
    (
        "not found in Kerberos database",
        Words("it has no service principal", "Use the full host name of a DC in LDAP_URI."),
    ),
    ("Clock skew", Words("the clocks differ too much", "Set this machine's clock by the domain's.")),
    ("expired", Words("the ticket has expired", "Renew it, or set KRB5_CLIENT_KTNAME to a keytab.")),
    ("Cannot contact any KDC", Words("no KDC answers", "Check krb5.conf, DNS and the firewall (port 88).")),
)


def of_result(server: str, doing: str, result: dict[str, Any]) -> Unreachable:
    """Explain a result that is not success; `doing` completes "while …"."""
    code, text = int(result.get("result", -1)), _text(result)
    words = _by_text(_TEXTS, text) or _CODES.get(code) or Words("it answered with an error", _BUSY)
    return Unreachable(SYSTEM, f"{server}: {words.meaning}, while {doing}{_told(code, text)}.", words.fix)


def of_bind(server: str, result: dict[str, Any]) -> Unreachable:
    """Explain a refused sign-in; Refused when another try could do harm or would fail alike."""
    code, text = int(result.get("result", -1)), _text(result)
    data = _LOGON_DATA.search(text)
    known = _LOGON.get(data.group(1).lower()) if data and code == 49 else None
    words = _by_text(_TEXTS, text) or known or _CODES.get(code) or Words("it refused the sign-in", _BUSY)
    kind = Unreachable if code in (51, 52, 80, -1) else Refused
    return kind(SYSTEM, f"{server} refused the sign-in: {words.meaning}{_told(code, text)}.", words.fix)


def of_exception(server: str, doing: str, error: BaseException) -> Unreachable:
    """Explain whatever ldap3, TLS, Kerberos or the network raised."""
    text = _flat(error)
    if "certificate" in text.casefold():  # Windows and OpenSSL word it differently
        words = _by_text(_CERTIFICATE, text)
    elif "gssapi" in type(error).__module__ or "kerberos" in type(error).__module__:
        words = _by_text(_KERBEROS, text) or Words(f"Kerberos failed ({text})", "Check the ticket with klist.")
        return Unreachable(SYSTEM, f"{server}: {words.meaning}, while {doing}.", words.fix)
    else:
        words = _by_text(_NETWORK, text)
    if words is not None:
        return _lost(server, doing, words)
    if "startTLS failed" in text or "StartTLS" in text:
        fix = "Use ldaps://, or give the domain controller a certificate."
        return Unreachable(SYSTEM, f"{server}: it does not offer StartTLS.", fix)
    if "InvalidFilter" in type(error).__name__:
        return Unreachable(SYSTEM, f"the filter cannot be read, while {doing}.", "Correct LDAP_FILTER (RFC 4515).")
    return _lost(server, doing, Words(f"the connection failed ({type(error).__name__}: {text})", _BUSY))


def _lost(server: str, doing: str, words: Words) -> Unreachable:
    return Dropped(SYSTEM, f"{server}: {words.meaning}, while {doing}.", words.fix)


def _by_text(table: tuple[tuple[str, Words], ...], text: str) -> Words | None:
    lower = text.casefold()
    return next((words for mark, words in table if mark.casefold() in lower), None)


def _text(result: dict[str, Any]) -> str:
    # AD ends its messages with a NUL.
    return foreign(str(result.get("message") or "").replace("\x00", ""))


def _told(code: int, text: str) -> str:
    return f" (LDAP result {code}: {text[:200]})" if text else f" (LDAP result {code})"


def _flat(error: BaseException) -> str:
    """Return the error's words on one line; ldap3 hides the causes of several addresses in a list."""
    return foreign(str(error).replace("\x00", ""))
