"""Who are we to the cloud? A token from MSAL, renewed before it ends, one acquisition at a time."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import msal

from connector.cloud.credentials import credential
from connector.cloud.json_text import read_json
from connector.cloud.token_errors import IssuerAway, token_refused
from connector.cloud.token_http import TokenHttp
from connector.config import Settings, cloud_urls
from connector.model import RequestCounters

# A token is replaced this long before it ends, so that no request ends after it; a short-lived one at four fifths.
AHEAD_SECONDS = 300.0
AHEAD_SHARE = 0.2
# An issuer that was away is asked again so many seconds later.
AGAIN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Token:
    """Hold a token and the seconds of the monotonic clock from which on it should be replaced, and is of no use."""

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
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._credential = credential(settings)

    def token(self, scope: str | None = None) -> str:
        """Return a token that lasts for the next request; raises Unreachable with the issuer's words."""
        wanted = scope or self._scope
        held = self._tokens.get(wanted)
        if held is not None and time.monotonic() < held.renew_at:
            return held.text
        with self._lock:
            held = self._tokens.get(wanted)
            if held is None or time.monotonic() >= held.renew_at:
                held = self._tokens[wanted] = self._renewed(wanted, held)
            return held.text

    def renew(self, refused: str, *, scope: str | None = None) -> str:
        """Return another token than the refused one; of several threads that ask, one acquires."""
        wanted = scope or self._scope
        with self._lock:
            held = self._tokens.get(wanted)
            if held is not None and held.text == refused:
                del self._tokens[wanted]
        return self.token(wanted)

    def roles(self, scope: str | None = None) -> frozenset[str]:
        """Return the application permissions that stand in the token; empty where it does not tell."""
        roles = self.claims(scope).get("roles")
        return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()

    def claims(self, scope: str | None = None) -> dict[str, Any]:
        """Return what the token says; not verified, since it is for Graph and only shown by us."""
        parts = self.token(scope).split(".")
        if len(parts) != 3:
            return {}
        try:
            value = read_json(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (binascii.Error, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _renewed(self, scope: str, held: Token | None) -> Token:
        """Return a new token; while the issuer is away and the held one is still good, go on with that for a while."""
        try:
            return self._acquire(scope)
        except IssuerAway:
            now = time.monotonic()
            if held is None or now >= held.ends_at:
                raise
            return replace(held, renew_at=min(held.ends_at, now + AGAIN_SECONDS))

    def _acquire(self, scope: str) -> Token:
        began = time.monotonic()
        result = self._ask(scope)
        if "access_token" not in result:
            text = f"{result.get('error', '')}: {result.get('error_description', '')}"
            raise token_refused(text, secrets=self._secrets())
        seconds = float(result.get("expires_in") or 0)
        ahead = min(AHEAD_SECONDS, seconds * AHEAD_SHARE)
        return Token(str(result["access_token"]), began + seconds - ahead, began + seconds)

    def _ask(self, scope: str) -> dict[str, Any]:
        """Ask MSAL anew each time: its own cache would give back the very token that was refused."""
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
            # The host comes from our own table or from the administrator, so nobody else need vouch for it.
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
