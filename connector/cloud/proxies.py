"""Which way out, and whom do we trust on it? Proxies and certificate authorities, as everywhere."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import truststore
from pydantic import SecretStr
from requests.utils import select_proxy, should_bypass_proxies
from urllib3.util import make_headers

from connector.config import proxy_problem, with_scheme
from connector.errors import SettingsError

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Proxies:
    """Choose the proxy of an address; where no setting names one, what the system has (Windows: its own settings)."""

    https_proxy: SecretStr | None = None
    no_proxy: str | None = None

    def proxy_for(self, url: str) -> str:
        """Return the proxy's URL, empty where the way is direct; raises SettingsError for one that cannot be used.

        Plain http is spoken only to the machine's own identity endpoint, which no proxy can reach.
        """
        if not url.startswith("https://") or should_bypass_proxies(url, no_proxy=self.no_proxy):
            return ""
        if self.https_proxy:
            return with_scheme(self.https_proxy.get_secret_value())
        proxy = select_proxy(url, getproxies())
        if not proxy:
            return ""
        problem = proxy_problem(proxy)
        if problem:
            raise SettingsError([f"{_named_by(proxy)}: {problem}; HTTPS_PROXY and NO_PROXY win over it"])
        return with_scheme(proxy)

    def headers(self, proxy: str) -> dict[str, str]:
        """Return the login of a proxy's URL as headers, in UTF-8 (RFC 7617, section 2.1)."""
        parts = urlsplit(proxy)
        if not parts.username:
            return {}
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return dict(make_headers(proxy_basic_auth=login, proxy_basic_auth_encoding="utf-8"))


def _named_by(proxy: str) -> str:
    """Return where a proxy that no setting of ours names comes from."""
    is_variable = any(proxy == value for name, value in os.environ.items() if name.upper() == "ALL_PROXY")
    return "ALL_PROXY" if is_variable else "HTTPS_PROXY (not set; this system's own proxy settings are taken)"


def named_bundle(ca_file: Path | None) -> tuple[str, str]:
    """Return the setting that chooses the authorities, and its value; both are empty for the system's store."""
    named = [("HTTP_CA_FILE", str(ca_file))] if ca_file else []
    named += [(name, os.environ[name]) for name in BUNDLE_VARIABLES if os.environ.get(name)]
    return named[0] if named else ("", "")


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verify against `HTTP_CA_FILE`, else the bundle that the environment names, else the system's store.

    Raises SettingsError naming the bundle that cannot be read. Nothing skips verification.
    """
    name, path = named_bundle(ca_file)
    if not path:
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else "it is no PEM bundle"
        raise SettingsError([f"{name}: {path} cannot be used: {why}; name a readable PEM file"]) from error
