"""What does a server show before we sign in? Its certificate and protocol, verified as for a night."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from connector.config import Settings
from connector.sources.endpoints import Endpoint, Security
from connector.sources.opening import opened
from connector.sources.session import close_quietly

_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Hold what a verified server showed: protocol (`TLSv1.3`), its names, who issued its certificate, its end (UTC).

    All are empty for a line without TLS, on which Kerberos encrypts.
    """

    protocol: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    expires: datetime | None = None


def presented(settings: Settings, endpoint: Endpoint) -> ServerCertificate:
    """Connect to one server and say what it shows; raises Unreachable with the reason and its fix."""
    connection = opened(settings, endpoint, seconds=_SECONDS)
    try:
        if endpoint.line is Security.PLAIN:
            return ServerCertificate()
        return _seen(connection.socket.version() or "", connection.socket.getpeercert(binary_form=True))
    finally:
        close_quietly(connection)


def _seen(protocol: str, certificate_bytes: bytes) -> ServerCertificate:
    certificate = x509.load_der_x509_certificate(certificate_bytes)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = tuple(names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        dns_names = ()
    return ServerCertificate(protocol, dns_names, certificate.issuer.rfc4514_string(), certificate.not_valid_after_utc)
