"""With what do we prove who we are? A certificate (PEM or PFX), a secret, or a token from a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from connector.config import Settings
from connector.errors import SettingsError, Unreachable

PEM_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
PATH = "AZURE_CLIENT_CERTIFICATE_PATH"
PASSWORD = "AZURE_CLIENT_CERTIFICATE_PASSWORD"  # noqa: S105  # the setting's name


@dataclass(frozen=True, slots=True)
class Certificate:
    """Hold a key, its own certificate, and those above it."""

    key: RSAPrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def expires(self) -> datetime:
        """Return when the certificate ends (UTC)."""
        return self.chain[0].not_valid_after_utc


def credential(settings: Settings) -> Any:
    """Return MSAL's `client_credential` for the one way to sign in that is set; managed identity has none.

    Raises SettingsError for a certificate that cannot be used; nothing is contacted.
    """
    if settings.azure_client_certificate_path is not None:
        return _for_msal(load_certificate(settings))
    if settings.azure_federated_token_file is not None:
        return {"client_assertion": _reader(settings.azure_federated_token_file)}
    secret = settings.azure_client_secret
    return secret.get_secret_value() if secret is not None else None


def load_certificate(settings: Settings) -> Certificate:
    """Read `AZURE_CLIENT_CERTIFICATE_PATH`: PEM with key and certificate in any order, or PFX."""
    path = settings.azure_client_certificate_path
    password = settings.azure_client_certificate_password
    phrase = password.get_secret_value().encode() if password is not None else None
    try:
        content_bytes = path.read_bytes() if path is not None else b""
    except OSError as error:
        raise SettingsError([f"{PATH}: {path} cannot be read: {error.strerror}"]) from error
    key, chain = _pem(content_bytes, phrase) if b"-----BEGIN " in content_bytes else _pfx(content_bytes, phrase)
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError([f"{PATH}: {path} has no RSA key; Microsoft takes RSA keys of 2048 bits or more"])
    return Certificate(key, _own_first(key, chain, path=path))


def _pem(content_bytes: bytes, phrase: bytes | None) -> tuple[object, list[x509.Certificate]]:
    found = PEM_KEY.search(content_bytes)
    if found is None:
        raise SettingsError([f"{PATH}: holds no private key; put key and certificate into one PEM file"])
    try:
        is_locked = b"ENCRYPTED" in found.group()
        key = load_pem_private_key(found.group(), phrase if is_locked else None)
        has_certificate = b"BEGIN CERTIFICATE" in content_bytes
        return key, x509.load_pem_x509_certificates(content_bytes) if has_certificate else []
    except TypeError as error:
        raise SettingsError([f"{PASSWORD}: is needed, the key is encrypted"]) from error
    except ValueError as error:
        raise SettingsError([_unusable(phrase)]) from error


def _pfx(content_bytes: bytes, phrase: bytes | None) -> tuple[object, list[x509.Certificate]]:
    try:
        key, own, others = pkcs12.load_key_and_certificates(content_bytes, phrase)
    except (ValueError, TypeError) as error:
        raise SettingsError([_unusable(phrase)]) from error
    return key, [*([own] if own else []), *others]


def _unusable(phrase: bytes | None) -> str:
    if phrase is None:
        return f"{PATH}: is neither PEM nor a PFX without a password; if it has one, set {PASSWORD}"
    return f"{PASSWORD}: does not open the file, or the file is damaged; check the password"


def _own_first(key: RSAPrivateKey, chain: list[x509.Certificate], *, path: Path | None) -> tuple[x509.Certificate, ...]:
    """Put the key's own certificate first: its thumbprint is what Entra looks up."""
    mine = _public(key.public_key())
    own = [one for one in chain if _public(one.public_key()) == mine]
    if not own:
        raise SettingsError([f"{PATH}: {path} holds no certificate for its key; put both into the file"])
    return (own[0], *(one for one in chain if one is not own[0]))


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _for_msal(certificate: Certificate) -> dict[str, str]:
    key = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(one.public_bytes(Encoding.PEM) for one in certificate.chain)
    return {"private_key": key.decode(), "public_certificate": chain.decode()}


def _reader(path: Path) -> Callable[[], str]:
    """Read the file at each request for a token: the platform replaces it every hour."""

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fix = "Check AZURE_FEDERATED_TOKEN_FILE and what writes it."
            raise Unreachable("token", f"{path} cannot be read: {error}", fix) from error

    return read
