"""Classify network and TLS failures by number, independent of the language of the text.

Where a number has no known cause, none is stated. Sources of the TLS part: openssl/x509_vfy.h and
openssl-verification-options(1), https://learn.microsoft.com/windows/win32/api/wincrypt/ns-wincrypt-cert_chain_policy_status
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class NetworkFailure(StrEnum):
    """Name the reason why a connection could not be made, or ended."""

    NAME = "name"
    REFUSED = "refused"
    NO_ROUTE = "no-route"
    SILENT = "silent"
    RESET = "reset"


# Winsock's numbers (https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2) beside errno's.
_NUMBERS = {
    NetworkFailure.REFUSED: {errno.ECONNREFUSED, 10061},
    NetworkFailure.NO_ROUTE: {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, 10065, 10051, 10049},
    NetworkFailure.SILENT: {errno.ETIMEDOUT, errno.EAGAIN, 10060, 10035},
    NetworkFailure.RESET: {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENOTCONN, 10053, 10054, 10057},
}


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all errors it wraps, the outermost first; urllib3 passes the inner one as an argument."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [part for part in (*cause.args, cause.__cause__, cause.__context__) if isinstance(part, Exception)]


def network_failure(causes: Iterable[BaseException]) -> NetworkFailure | None:
    """Return the failure of the first cause whose number is known; None if there is none."""
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return NetworkFailure.NAME
        if isinstance(cause, TimeoutError):
            return NetworkFailure.SILENT
        if not isinstance(cause, OSError):
            continue
        numbers = {cause.errno, getattr(cause, "winerror", None)}
        found = next((failure for failure, known in _NUMBERS.items() if known & numbers), None)
        if found is not None:
            return found
    return None


# What a Windows store answers, by way of truststore, and OpenSSL's number for the same.
_WINDOWS = {
    0x800B0101: 10,  # CERT_E_EXPIRED: expired, or not valid yet
    0x800B010F: 62,  # CERT_E_CN_NO_MATCH
    0x800B0109: 19,  # CERT_E_UNTRUSTEDROOT
    0x800B010A: 20,  # CERT_E_CHAINING
    0x800B0110: 26,  # CERT_E_WRONG_USAGE
    0x800B010C: 23,  # CERT_E_REVOKED
    0x80092010: 23,  # CRYPT_E_REVOKED
}
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21, 27})
# Checks of VERIFY_X509_STRICT, which Python 3.13 switches on: certificates that older versions took.
_STRICT = frozenset(range(80, 95))


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """A TLS failure and its fix; `text` is the library's own text.

    `meaning` is a clause about the server. `is_certificate`: it lasts until somebody changes a certificate.
    `is_untrusted`: another bundle of authorities may be the cure.
    """

    meaning: str
    fix: str
    text: str
    is_certificate: bool = False
    is_untrusted: bool = False


_CERTIFICATE: dict[int, tuple[str, str]] = {
    9: (
        "its certificate, or one of an issuer, is not valid yet",
        "Compare this machine's clock with the certificate's dates.",
    ),
    10: (
        "its certificate has expired, or one of an issuer has",
        "Renew the one that has expired, the server's own or an authority's above it.",
    ),
    23: ("its certificate was revoked", "Give it another certificate."),
    26: (
        "its certificate is not made for servers",
        "Give it one whose enhanced key usage names Server Authentication (1.3.6.1.5.5.7.3.1).",
    ),
    62: (
        "its certificate is for another host name, or names none",
        "Use a name that stands in the certificate's subject alternative names.",
    ),
    64: ("its certificate does not name this IP address", "Use the server's DNS name."),
    66: ("its certificate has a key that is too weak", "Give it one with an RSA key of 2048 bits or more."),
    67: ("its certificate is of an authority whose key is too weak", "Renew that authority with a stronger key."),
    68: (
        "its certificate is of an authority that is signed with a weak digest, such as SHA-1",
        "Renew that authority's certificate with SHA-256.",
    ),
    79: ("its certificate is of an issuer that is no authority", "Issue it by a certificate authority."),
}
_NOT_STRICT = (
    "its certificate, or one of an issuer, is malformed for this version of Python",
    "Issue it again with what is named; until then Python 3.12 and older take it.",
)
_UNTRUSTED = ("its certificate is not trusted", "")
_SOMETHING = ("its certificate is not accepted", "Look at the certificate and those above it.")

# By OpenSSL's reason, as the ssl module names it.
_HANDSHAKE: tuple[tuple[str, str, str], ...] = (
    (
        "UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|NO_PROTOCOLS_AVAILABLE|INAPPROPRIATE_FALLBACK",
        "it offers no version of TLS that this machine accepts",
        "Switch TLS 1.2 or 1.3 on there.",
    ),
    (
        "NO_SHARED_CIPHER|NO_CIPHERS_AVAILABLE|HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY|WRONG_CIPHER|UNKNOWN_CIPHER",
        "it and this machine found no way to encrypt in common",
        "Compare cipher suites and curves of both; those with AES-GCM and ECDHE do.",
    ),
    ("DH_KEY_TOO_SMALL", "it uses a Diffie-Hellman key that is too weak", "Switch on cipher suites with ECDHE there."),
    (
        "WRONG_VERSION_NUMBER|HTTP_REQUEST|UNKNOWN_PROTOCOL|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG",
        "it does not speak TLS there",
        "Check the port.",
    ),
    (
        "CERTIFICATE_REQUIRED|ALERT_UNKNOWN_CA|ALERT_BAD_CERTIFICATE",
        "it requires a certificate from its clients",
        "Let it accept clients without one.",
    ),
    (
        "EE_KEY_TOO_SMALL|CA_KEY_TOO_SMALL|CA_MD_TOO_WEAK|WRONG_SIGNATURE_TYPE",
        "its certificate is too weak",
        "Renew it.",
    ),
)


def tls_failure(causes: Iterable[BaseException]) -> TlsFailure | None:
    """Return the TLS failure; None if there is no TLS error, or the other side only closed the connection."""
    found = [cause for cause in causes if isinstance(cause, ssl.SSLError)]
    refused = next((cause for cause in found if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if refused is not None:
        return _of_certificate(refused)
    spoken = [cause for cause in found if not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)]
    return _of_handshake(spoken[0]) if spoken else None


def _of_certificate(error: ssl.SSLCertVerificationError) -> TlsFailure:
    given = getattr(error, "verify_code", 0)
    number = (given if isinstance(given, int) else 0) & 0xFFFFFFFF
    code = _WINDOWS.get(number, number)
    text = str(getattr(error, "verify_message", "") or error)
    if code in _UNKNOWN_ISSUER:
        return TlsFailure(*_UNTRUSTED, text, is_certificate=True, is_untrusted=True)
    meaning, fix = _NOT_STRICT if code in _STRICT else _CERTIFICATE.get(code, _SOMETHING)
    return TlsFailure(meaning, fix, text, is_certificate=True)


def _of_handshake(error: ssl.SSLError) -> TlsFailure:
    reason = error.reason or ""
    text = reason.replace("_", " ").lower() or str(error)
    for names, meaning, fix in _HANDSHAKE:
        if re.search(names, reason):
            return TlsFailure(meaning, fix, text)
    return TlsFailure("it ended the TLS handshake", "Look at the server's own log for the cause.", text)
