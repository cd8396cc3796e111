"""What is said when a domain controller's TLS is not what we need, by a night and by `check` alike."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.network import tls_failure
from connector.sources.endpoints import endpoints
from connector.sources.ldap import LdapSource
from connector.sources.tls import read_certificate

NOW = datetime.now(UTC)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
MAY_SIGN = x509.KeyUsage(
    key_cert_sign=True,
    **dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    ),
)


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def sign(name: str, by: Signed | None = None, *, bits: int = 2048, ca: bool = False, **changed: Any) -> Signed:
    """Make a certificate with all that Python 3.13 demands; `changed` may hold start, end and purpose."""
    key = rsa.generate_private_key(65537, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start, end = changed.get("start", NOW - timedelta(days=9)), changed.get("end", NOW + timedelta(days=90))
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(by.certificate.subject if by else subject)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    issuer_key = (by.key if by else key).public_key()
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    if ca:
        builder = builder.add_extension(MAY_SIGN, critical=True)
    else:
        purpose = x509.ExtendedKeyUsage([changed.get("purpose", SERVER)])
        builder = builder.add_extension(purpose, critical=False)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


ROOT = sign("Contoso Root CA", ca=True)
Handler = Callable[[socket.socket], None]


def reset(line: socket.socket) -> None:
    """Hang up at the first message, as a domain controller without a certificate does."""
    line.recv(100)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def end(line: socket.socket) -> None:
    line.recv(100)


def plain(line: socket.socket) -> None:
    line.recv(100)
    line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def shake(folder: Path, *chain: Signed, tweak: Callable[[ssl.SSLContext], None] | None = None) -> Handler:
    """Show a chain, the server's own first."""
    certificates, key = folder / "chain.pem", folder / "key.pem"
    certificates.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in chain))
    key.write_bytes(chain[0].key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def handle(line: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(certificates, key)
        if tweak is not None:
            tweak(context)
        with context.wrap_socket(line, server_side=True) as encrypted:
            encrypted.recv(1000)

    return handle


def old_versions(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1


def one_old_cipher(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")


def expired_issuer() -> list[Signed]:
    issuer = sign("Contoso Issuing CA 2019", ROOT, ca=True, end=NOW - timedelta(days=2))
    return [sign("localhost", issuer), issuer]


@contextmanager
def served(handler: Handler) -> Iterator[str]:
    """Run a handler on a port, and give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line, suppress(OSError):
                    handler(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"ldaps://localhost:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


HUNG_UP = "domain controller without a certificate"
STORIES: dict[str, tuple[Callable[[Path], Handler], str, str, str]] = {
    # what the server does: handler, our words, the other side's words, the fix
    "reset": (lambda _: reset, HUNG_UP, "", "36886"),
    "ended": (lambda _: end, HUNG_UP, "", "36886"),
    "no-tls": (lambda _: plain, "does not speak TLS", "(TLS: ", "636"),
    "old-versions": (
        lambda at: shake(at, sign("localhost", ROOT), tweak=old_versions),
        "no version of TLS",
        "protocol",
        "TLS 1.2",
    ),
    "no-common-cipher": (
        lambda at: shake(at, sign("localhost", ROOT), tweak=one_old_cipher),
        "no way to encrypt in common",
        "handshake failure",
        "cipher suites",
    ),
    "wrong-purpose": (
        lambda at: shake(at, sign("localhost", ROOT, purpose=CLIENT)),
        "not made for servers",
        "unsuitable certificate purpose",
        "Server Authentication",
    ),
    "not-valid-yet": (
        lambda at: shake(at, sign("localhost", ROOT, start=NOW + timedelta(days=1))),
        "not valid yet",
        "certificate is not yet valid",
        "clock",
    ),
    "weak-key": (
        lambda at: shake(at, sign("localhost", ROOT, bits=1024)),
        "key that is too weak",
        "EE certificate key too weak",
        "2048",
    ),
    "weak-issuer": (
        lambda at: shake(at, *weak_issuer()),
        "authority whose key is too weak",
        "CA certificate key too weak",
        "Renew that authority",
    ),
    "unknown-issuer": (
        lambda at: shake(at, sign("localhost", sign("Somebody's CA", ca=True))),
        "not trusted",
        "unable to get local issuer certificate",
        "LDAP_CA_FILE is set, but",
    ),
    "expired-issuer": (lambda at: shake(at, *expired_issuer()), "one of an issuer", "certificate has expired", "Renew"),
}


def weak_issuer() -> list[Signed]:
    issuer = sign("Contoso Old CA", ROOT, ca=True, bits=1024)
    return [sign("localhost", issuer), issuer]


@pytest.mark.parametrize(("story", "words", "theirs", "fix"), STORIES.values(), ids=STORIES)
def test_each_trouble_is_told_by_its_own_cause_in_night_and_check(
    tmp_path: Path, story: Callable[[Path], Handler], words: str, theirs: str, fix: str
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(ROOT.certificate.public_bytes(Encoding.PEM))
    with served(story(tmp_path)) as uri:
        settings = Settings(ldap_uri=(uri,), ldap_ca_file=bundle, ldap_user="a@b.c", ldap_password=SecretStr("unused"))
        with pytest.raises(Unreachable) as night:
            LdapSource(settings, RequestCounters()).contexts()
        with pytest.raises(Unreachable) as check:
            read_certificate(settings, endpoints(settings)[0])
    assert night.value.message == check.value.message
    assert words in night.value.message
    assert theirs.lower() in night.value.message.lower()
    assert fix in night.value.fix


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x800B010F, "another host name"),
        (-2146762481, "another host name"),  # the same with a sign
        (0x800B0101, "has expired"),
        (0x800B0109, "not trusted"),
        (0x800B010A, "not trusted"),
        (85, "malformed"),
        (92, "malformed"),
        (4711, "not accepted"),
    ],
)
def test_windows_numbers_and_strict_checks_are_known_whatever_the_language(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError(1, "Das Zertifikat wurde abgelehnt")
    error.verify_code, error.verify_message = code, "Der Name stimmt nicht überein"
    failure = tls_failure([error])
    assert failure is not None
    assert words in failure.meaning
    assert failure.text == "Der Name stimmt nicht überein"
