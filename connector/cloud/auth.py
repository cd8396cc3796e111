"""Acquire tokens with MSAL: load the credential, renew a token before it ends, one acquisition at a time."""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msal
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

from connector import addresses
from connector.cloud.response import read_json
from connector.cloud.throttle import WAIT_SLICE_SECONDS
from connector.cloud.token_http import IssuerAway, TokenHttp, token_refused
from connector.config import Settings, cloud_urls
from connector.errors import SettingsError, Unreachable
from connector.model import ENDS_SOON, RequestCounters

PEM_KEY = re.compile(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)
CERTIFICATE_PATH = "AZURE_CLIENT_CERTIFICATE_PATH"
CERTIFICATE_PASSWORD = "AZURE_CLIENT_CERTIFICATE_PASSWORD"  # noqa: S105  # the setting's name


@dataclass(frozen=True, slots=True)
class Certificate:
    """A private key, its own certificate, and the certificates of its issuers."""

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


def credential_expiry(settings: Settings) -> datetime | None:
    """Return when certificate or secret ends, as the certificate or AZURE_CLIENT_SECRET_EXPIRES says; else None.

    A certificate that cannot be read gives None, too: signing in reports it.
    """
    if settings.azure_client_certificate_path is not None:
        try:
            return load_certificate(settings).expires
        except SettingsError:
            return None
    day = settings.azure_client_secret_expires
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if settings.azure_client_secret and day else None


def expiry_notice(settings: Settings, *, now: datetime) -> str:
    """Return the sentence about a certificate or secret that ends within 30 days; else empty text."""
    ends = credential_expiry(settings)
    if ends is None or ends - now >= ENDS_SOON:
        return ""
    what = "client secret" if settings.azure_client_certificate_path is None else "certificate"
    signs = f"The {what} that signs in to Microsoft 365"
    how = f"make a new one ({addresses.page('permissions', 'a-certificate')})"
    if ends <= now:
        correct = ", or correct AZURE_CLIENT_SECRET_EXPIRES" if what == "client secret" else ""
        return f"{signs} ended on {ends:%Y-%m-%d}: {how}{correct}."
    days = (ends - now).days
    return f"{signs} ends on {ends:%Y-%m-%d}, in {days} {'day' if days == 1 else 'days'}: {how}."


def load_certificate(settings: Settings) -> Certificate:
    """Read `AZURE_CLIENT_CERTIFICATE_PATH`: PEM with key and certificate in any order, or PFX."""
    path = settings.azure_client_certificate_path
    password = settings.azure_client_certificate_password
    phrase = password.get_secret_value().encode() if password is not None else None
    try:
        content_bytes = path.read_bytes() if path is not None else b""
    except OSError as error:
        raise SettingsError([f"{CERTIFICATE_PATH}: {path} cannot be read: {error.strerror}"]) from error
    key, chain = _pem(content_bytes, phrase) if b"-----BEGIN " in content_bytes else _pfx(content_bytes, phrase)
    if not isinstance(key, RSAPrivateKey):
        raise SettingsError(
            [f"{CERTIFICATE_PATH}: {path} has no RSA key; Microsoft takes RSA keys of 2048 bits or more"]
        )
    return Certificate(key, _own_first(key, chain, path=path))


def _pem(content_bytes: bytes, phrase: bytes | None) -> tuple[object, list[x509.Certificate]]:
    found = PEM_KEY.search(content_bytes)
    if found is None:
        raise SettingsError([f"{CERTIFICATE_PATH}: holds no private key; put key and certificate into one PEM file"])
    try:
        is_locked = b"ENCRYPTED" in found.group()
        key = load_pem_private_key(found.group(), phrase if is_locked else None)
        has_certificate = b"BEGIN CERTIFICATE" in content_bytes
        return key, x509.load_pem_x509_certificates(content_bytes) if has_certificate else []
    except TypeError as error:
        raise SettingsError([f"{CERTIFICATE_PASSWORD}: is needed, the key is encrypted"]) from error
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
        problem = "is neither PEM nor a PFX without a password; if it has one, set"
        return f"{CERTIFICATE_PATH}: {problem} {CERTIFICATE_PASSWORD}"
    return f"{CERTIFICATE_PASSWORD}: does not open the file, or the file is damaged; check the password"


def _own_first(key: RSAPrivateKey, chain: list[x509.Certificate], *, path: Path | None) -> tuple[x509.Certificate, ...]:
    """Return the key's own certificate first: Entra looks up its thumbprint."""
    mine = _public(key.public_key())
    own = [certificate for certificate in chain if _public(certificate.public_key()) == mine]
    if not own:
        raise SettingsError([f"{CERTIFICATE_PATH}: {path} holds no certificate for its key; put both into the file"])
    return (own[0], *(certificate for certificate in chain if certificate is not own[0]))


def _public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _for_msal(certificate: Certificate) -> dict[str, str]:
    key = certificate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(issued.public_bytes(Encoding.PEM) for issued in certificate.chain)
    return {"private_key": key.decode(), "public_certificate": chain.decode()}


def _reader(path: Path) -> Callable[[], str]:
    """Return a function that reads the file at each token request: the platform replaces it every hour."""

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            fix = "Check AZURE_FEDERATED_TOKEN_FILE and what writes it."
            raise Unreachable("token", f"{path} cannot be read: {error}", fix) from error

    return read


# A token is replaced this long before it ends, so that no request ends after it; a short-lived one at four fifths.
RENEW_MARGIN_SECONDS = 300.0
RENEW_MARGIN_SHARE = 0.2
# An issuer that was away is asked again so many seconds later.
AWAY_RETRY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token, with the seconds of the monotonic clock at which it should be renewed and at which it ends."""

    text: str = field(repr=False)
    renew_at: float
    ends_at: float


class TokenSource:
    """Give tokens, one per scope, to any number of threads."""

    def __init__(self, settings: Settings, traffic: RequestCounters, http: TokenHttp) -> None:
        self._settings = settings
        self._traffic = traffic
        self._http = http
        self._scope = cloud_urls(settings).scope
        self._turn = threading.Condition()
        self._is_asking = False
        self._tokens: dict[str, Token] = {}
        self._credential = credential(settings)

    def token(self, scope: str | None = None) -> str:
        """Return a token that lasts for the next request; raises Unreachable with the issuer's words."""
        wanted = scope or self._scope
        current = self._tokens.get(wanted)
        if current is not None and time.monotonic() < current.renew_at:
            return current.text
        with self._one_at_a_time():
            current = self._tokens.get(wanted)
            if current is None or time.monotonic() >= current.renew_at:
                current = self._tokens[wanted] = self._renewed(wanted, current)
            return current.text

    def renew(self, refused: str, *, scope: str | None = None) -> str:
        """Return another token than the refused one; of several threads that ask, one acquires."""
        wanted = scope or self._scope
        with self._one_at_a_time():
            current = self._tokens.get(wanted)
            if current is not None and current.text == refused:
                del self._tokens[wanted]
        return self.token(wanted)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Admit one thread at a time; the others wait in slices, so that Ctrl+C is heeded on Windows, too."""
        is_mine = False
        try:
            with self._turn:
                while self._is_asking:
                    self._turn.wait(WAIT_SLICE_SECONDS)
                self._is_asking = is_mine = True
            yield
        finally:
            if is_mine:
                with self._turn:
                    self._is_asking = False
                    self._turn.notify()

    def roles(self, scope: str | None = None) -> frozenset[str]:
        """Return the application permissions in the token; empty if it has none."""
        roles = self.claims(scope).get("roles")
        return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()

    def claims(self, scope: str | None = None) -> dict[str, Any]:
        """Return the token's claims; not verified, since they are only shown."""
        parts = self.token(scope).split(".")
        if len(parts) != 3:
            return {}
        try:
            value = read_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (binascii.Error, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _renewed(self, scope: str, current: Token | None) -> Token:
        """Return a new token; if the issuer is away and the current one is valid, return that one for a while."""
        try:
            return self._acquire(scope)
        except IssuerAway:
            now = time.monotonic()
            if current is None or now >= current.ends_at:
                raise
            return replace(current, renew_at=min(current.ends_at, now + AWAY_RETRY_SECONDS))

    def _acquire(self, scope: str) -> Token:
        began = time.monotonic()
        result = self._ask(scope)
        if "access_token" not in result:
            text = f"{result.get('error', '')}: {result.get('error_description', '')}"
            raise token_refused(text, secrets=self._secrets())
        seconds = float(result.get("expires_in") or 0)
        ahead = min(RENEW_MARGIN_SECONDS, seconds * RENEW_MARGIN_SHARE)
        return Token(str(result["access_token"]), began + seconds - ahead, began + seconds)

    def _ask(self, scope: str) -> dict[str, Any]:
        """Ask MSAL without its cache, which would return the refused token."""
        try:
            result = self._managed(scope) if self._settings.azure_managed_identity else self._application(scope)
        except (ValueError, msal.ManagedIdentityError) as error:
            raise token_refused(str(error), secrets=self._secrets()) from error
        return result if isinstance(result, dict) else {}

    def _application(self, scope: str) -> Any:
        settings = self._settings
        app = msal.ConfidentialClientApplication(
            settings.azure_client_id,
            client_credential=self._credential,
            authority=f"{cloud_urls(settings).authority_host}/{settings.azure_tenant_id}",
            # The host comes from the program's own table or from the administrator, so discovery is not needed.
            instance_discovery=False,
            http_client=self._http,
        )
        return app.acquire_token_for_client(scopes=[scope])

    def _managed(self, scope: str) -> Any:
        identity = (
            msal.UserAssignedManagedIdentity(client_id=self._settings.azure_client_id)
            if self._settings.azure_client_id
            else msal.SystemAssignedManagedIdentity()
        )
        client = msal.ManagedIdentityClient(identity, http_client=self._http)
        return client.acquire_token_for_client(resource=scope.removesuffix("/.default"))

    def _secrets(self) -> tuple[str, ...]:
        secret = self._settings.azure_client_secret
        return (secret.get_secret_value(),) if secret is not None else ()
