"""The token issuer: checks secrets, certificates and federated assertions for real (facts 10)."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.lab.graph.switches import Switches

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
GRAPH_ROOTS = (
    *("https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"),
    "https://microsoftgraph.chinacloudapi.cn",
)
WORKLOAD = "lab-workload"
LEAST_ROLES = ("User.Read.All", "ProfilePhoto.ReadWrite.All")
_LAB_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TokenRefused(Exception):
    """Refuse a token with an AADSTS number, its text, and OAuth's word for it."""

    def __init__(self, number: int, text: str, error: str = "invalid_client") -> None:
        super().__init__(f"AADSTS{number}: {text}")
        self.number = number
        self.error = error
        self.status = 401 if error == "invalid_client" else 400

    def body(self) -> dict[str, Any]:
        """Return the documented body."""
        now = datetime.now(UTC)
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = f"{now:%Y-%m-%d %H:%M:%SZ}"
        described = f"{self}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {stamp}"
        return {
            "error": self.error,
            "error_description": described,
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


class Issuer:
    """Keep one app registration of one tenant, and issue its access tokens."""

    def __init__(self, base_url: str, switches: Switches, *, tenant_id: str = "", graph_url: str = "") -> None:
        self._base_url, self._switches = base_url, switches
        self._graph_roots = (graph_url,) if graph_url else (base_url, *GRAPH_ROOTS)
        self.tenant_id = tenant_id or str(uuid.uuid4())
        self.client_id = str(uuid.uuid4())
        self.client_secret = f"lab~{uuid.uuid4().hex}"
        self.expired_secrets: set[str] = set()
        self.identity_header = uuid.uuid4().hex
        self.roles: tuple[str, ...] = LEAST_ROLES
        self._certificates: list[x509.Certificate] = []
        self._issued: dict[str, dict[str, Any]] = {}
        self._not_before = 0.0

    # -- for tests

    def set_roles(self, *roles: str) -> None:
        """Grant exactly these app roles; tokens issued from now on carry them."""
        self.roles = roles

    def audiences(self) -> set[str]:
        """Return for which resources tokens were issued."""
        return {claims["aud"] for claims in self._issued.values()}

    def expire_secret(self) -> None:
        """Expire the client secret: AADSTS7000222."""
        self.expired_secrets.add(self.client_secret)

    def expire_tokens(self) -> None:
        """Make every token issued so far count as expired."""
        self._issued = {token: claims | {"exp": 0} for token, claims in self._issued.items()}

    def register_certificate(self, pem: str) -> None:
        """Add a public certificate to the app registration."""
        self._certificates.append(x509.load_pem_x509_certificate(pem.encode()))

    def federated_assertion(self, *, audience: str = EXCHANGE_AUDIENCE, subject: str = "") -> str:
        """Return the token a workload's platform would put into AZURE_FEDERATED_TOKEN_FILE."""
        now = int(time.time())
        claims = {"iss": "https://platform.lab", "sub": subject or WORKLOAD, "aud": audience}
        return jwt.encode(claims | {"iat": now, "exp": now + 3600}, _LAB_KEY, algorithm="RS256")

    # -- for the wire

    def discovery(self, tenant: str) -> dict[str, Any]:
        """Return the OpenID document of a tenant."""
        self._check_tenant(tenant)
        root = f"{self._base_url}/{tenant}"
        return {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "issuer": f"{root}/v2.0",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def token(self, tenant: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a client-credentials request; raises TokenRefused."""
        self._check_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused(70003, "The app requested an unsupported grant type.", "unsupported_grant_type")
        if form.get("client_id") != self.client_id:
            text = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
            raise TokenRefused(700016, text, "unauthorized_client")
        self._check_credential(tenant, form)
        scope = form.get("scope", "")
        if not scope.endswith("/.default"):
            raise TokenRefused(70011, f"The input parameter 'scope' ({scope}) is not valid.", "invalid_scope")
        return self.issued(scope.removesuffix("/.default"), proof="2" if "client_assertion" in form else "1")

    def issued(self, audience: str, *, proof: str = "1") -> dict[str, Any]:
        """Issue an access token for a resource; `proof` is the claim appidacr: 1 for a secret, 2 for a certificate."""
        now, lifetime = int(time.time()), self._switches.token_lifetime
        claims = {"aud": audience, "iss": f"https://sts.windows.net/{self.tenant_id}/", "iat": now, "nbf": now}
        claims |= {"exp": now + lifetime, "appid": self.client_id, "tid": self.tenant_id, "roles": list(self.roles)}
        claims |= {"oid": str(uuid.uuid5(uuid.NAMESPACE_OID, self.client_id)), "ver": "1.0", "jti": uuid.uuid4().hex}
        claims["appidacr"] = proof
        token = jwt.encode(claims, _LAB_KEY, algorithm="RS256", headers={"kid": "lab"})
        self._issued[token] = claims
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    def fault_of(self, authorization: str) -> tuple[str, frozenset[str]]:
        """Return what is wrong with an Authorization header (empty: nothing), and the roles it carries."""
        kind, _, token = authorization.partition(" ")
        if kind.casefold() != "bearer" or not token.strip():
            return "Access token is empty.", frozenset()
        claims = self._issued.get(token.strip())
        if claims is None and token.count(".") != 2:
            return "IDX14100: JWT is not well formed, there are no dots (.) or the wrong number of them.", frozenset()
        if claims is None:
            return "CompactToken parsing failed with error code: 80049217", frozenset()
        if claims["aud"].rstrip("/") not in self._graph_roots:
            return "Access token validation failure. Invalid audience.", frozenset()
        if claims["exp"] <= time.time():
            return "Lifetime validation failed, the token is expired.", frozenset()
        return "", frozenset(claims["roles"])

    def claims_of(self, authorization: str, *, audience: str) -> tuple[str, dict[str, Any]]:
        """Return what is wrong with a header for another resource than Graph (empty: nothing), and the claims."""
        claims = self._issued.get(authorization.partition(" ")[2].strip())
        if claims is None:
            return "Invalid issuer or signature.", {}
        if claims["aud"].rstrip("/") != audience:
            return "Invalid audience.", {}
        if claims["exp"] <= time.time():
            return "The token is expired.", {}
        return "", claims

    def _check_tenant(self, tenant: str) -> None:
        if tenant.casefold() != self.tenant_id.casefold():
            text = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            raise TokenRefused(90002, text, "invalid_request")

    def _check_credential(self, tenant: str, form: Mapping[str, str]) -> None:
        if "client_assertion" in form and form.get("client_assertion_type") == JWT_BEARER:
            return self._check_assertion(tenant, form["client_assertion"])
        secret = form.get("client_secret", "")
        if not secret:
            text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            raise TokenRefused(7000218, text)
        if secret in self.expired_secrets:
            raise TokenRefused(7000222, "The provided client secret keys for app are expired.")
        if secret != self.client_secret:
            text = "Invalid client secret provided. Ensure the secret being sent is the value, not the secret ID."
            raise TokenRefused(7000215, text)
        return None

    def _check_assertion(self, tenant: str, assertion: str) -> None:
        try:
            head = jwt.get_unverified_header(assertion)
        except jwt.InvalidTokenError as broken:
            raise TokenRefused(50027, "JWT token is invalid or malformed.", "invalid_request") from broken
        if "x5t" not in head and "x5t#S256" not in head:
            claims = self._verified(assertion, _LAB_KEY.public_key(), alg="RS256", audience=EXCHANGE_AUDIENCE)
            if claims["sub"] != WORKLOAD:
                raise TokenRefused(700021, "No matching federated identity record found for presented subject.")
            return
        certificate = self._certificate_of(head)
        alg = "PS256" if "x5t#S256" in head else "RS256"
        endpoint = f"{self._base_url}/{tenant}/oauth2/v2.0/token"
        claims = self._verified(assertion, certificate.public_key(), alg=alg, audience=endpoint)
        if claims.get("iss") != self.client_id or claims.get("sub") != self.client_id:
            raise TokenRefused(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")

    def _certificate_of(self, head: Mapping[str, Any]) -> x509.Certificate:
        for certificate in self._certificates:
            if _unpadded(head, "x5t#S256") == _thumbprint(certificate, hashlib.sha256):
                return certificate
            if "x5t#S256" not in head and _unpadded(head, "x5t") == _thumbprint(certificate, hashlib.sha1):
                return certificate
        text = "The certificate with identifier used to sign the client assertion is not registered on application."
        raise TokenRefused(700027, text)

    def _verified(self, assertion: str, key: Any, *, alg: str, audience: str) -> dict[str, Any]:
        try:
            return jwt.decode(assertion, key, algorithms=[alg], audience=audience, options={"verify_iat": False})
        except jwt.InvalidAudienceError as wrong:
            raise TokenRefused(700023, "Client assertion audience claim does not match Realm issuer.") from wrong
        except jwt.ExpiredSignatureError as late:
            raise TokenRefused(700024, "Client assertion is not within its valid time range.") from late
        except jwt.InvalidTokenError as forged:
            raise TokenRefused(700027, "Client assertion failed signature validation.") from forged


def _unpadded(head: Mapping[str, Any], name: str) -> str:
    return str(head.get(name, "")).rstrip("=")  # MSAL leaves the padding on, which JWS does not


def _thumbprint(certificate: x509.Certificate, algorithm: Callable[[bytes], Any]) -> str:
    der = certificate.public_bytes(serialization.Encoding.DER)
    return base64.urlsafe_b64encode(algorithm(der).digest()).decode().rstrip("=")
