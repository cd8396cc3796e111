"""Send HTTP requests over kept connections, with verified certificates, through the system's or the set proxies."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import truststore
import urllib3
from pydantic import SecretStr
from requests.utils import select_proxy, should_bypass_proxies
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers, parse_url

from connector.cloud.connections import POOLS
from connector.cloud.network_errors import NetworkError, RequestFailure, translate
from connector.cloud.response import Response
from connector.config import proxy_problem, with_scheme, without_login
from connector.errors import SettingsError
from connector.network import connect

BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Proxies:
    """Choose the proxy of an address: the setting's, else the system's (Windows: its own settings)."""

    https_proxy: SecretStr | None = None
    no_proxy: str | None = None

    def proxy_for(self, url: str) -> str:
        """Return the proxy's URL, empty for a direct connection; raise SettingsError for one that cannot be used.

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
    """Return the origin of a proxy that is not in the settings."""
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


CONNECT_SECONDS = 8.0
READ_SECONDS = 60.0
BODY_SECONDS = 120.0
# A firewall that drops packets would otherwise cost the timeout of every address that a name resolves to.
PROBE_SECONDS = 10.0
PIECE = 1 << 16
# A page of 999 accounts with their plans has some megabytes, an error some kilobytes.
MOST_BYTES, MOST_ERROR_BYTES = 32 << 20, 1 << 20


class TooLarge(Exception):
    """Raised when an answer is larger than the limit for its kind."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class HttpClient:
    """Send requests and read answers whole; safe to share between threads.

    Raises NetworkError when no answer came; never retries, never follows a redirect.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        proxies: Proxies,
        *,
        lanes: int,
        body_seconds: float = BODY_SECONDS,
        bundle: str = "",
    ) -> None:
        """Take the context to verify with; `bundle` names the setting that chose its authorities, if one did."""
        self._bundle = bundle
        self._tls = tls
        self._proxies = proxies
        self._lanes = lanes
        self._body_seconds = body_seconds
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._probed: set[str] = set()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_seconds: float = READ_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> Response:
        """Send one request and return the answer, whatever its status.

        The head must come within `read_seconds`, the body within `body_seconds` of the client and `most_bytes`.
        """
        origin = _origin(url)
        try:
            response = self._pool(origin).urlopen(
                method,
                _target(url, origin),
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            return _whole(response, self._body_seconds, most_bytes=most_bytes)
        except TooLarge as error:
            message = f"{urlsplit(url).hostname} sent an answer of more than {error.most >> 20} MB"
            raise NetworkError(RequestFailure.TOO_LARGE, message) from error
        except (HTTPError, OSError) as error:
            raise translate(error, url, bundle=self._bundle) from error

    def probe(self, url: str) -> None:
        """Open and close one connection to the host (or its proxy), with one deadline for all its addresses.

        Once per host; raises NetworkError.
        """
        parts = urlsplit(self._proxies.proxy_for(url) or url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._probed:
            return
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        try:
            connect(host, port, seconds=PROBE_SECONDS).close()
        except TimeoutError as error:
            raise NetworkError(RequestFailure.CONNECT, f"{host} does not answer on port {port}") from error
        except OSError as error:
            raise translate(error, f"//{host}:{port}") from error
        self._probed.add(origin)

    def close(self) -> None:
        """Close every idle connection: those of a pool that nobody holds any more are closed."""
        with self._lock:
            self._pools.clear()

    def _pool(self, origin: str) -> urllib3.HTTPConnectionPool:
        pool = self._pools.get(origin)
        if pool is not None:
            return pool
        with self._lock:
            return self._pools.setdefault(origin, self._manager(origin).connection_from_url(origin))

    def _manager(self, origin: str) -> urllib3.PoolManager:
        """Return what makes the pool of an origin: direct connections, or a proxy's."""
        proxy = self._proxies.proxy_for(origin)
        if not proxy:
            direct = urllib3.PoolManager(maxsize=self._lanes, ssl_context=self._tls)
            direct.pool_classes_by_scheme = POOLS
            return direct
        manager = urllib3.ProxyManager(
            without_login(proxy).geturl(),
            proxy_headers=self._proxies.headers(proxy),
            proxy_ssl_context=self._tls,
            maxsize=self._lanes,
            ssl_context=self._tls,
        )
        manager.pool_classes_by_scheme = POOLS
        return manager


def _origin(url: str) -> str:
    """Return scheme, host and port of an address as they stand in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _target(url: str, origin: str) -> str:
    """Return the path and query of an address, without "." and ".." among the parts of its path."""
    target = url[len(origin) :]
    is_plain = target.startswith("/") and "/." not in target
    return target if is_plain else parse_url(url).request_uri


def _whole(response: urllib3.BaseHTTPResponse, body_seconds: float, *, most_bytes: int) -> Response:
    """Read the body under one deadline and one limit of size, counted after decoding: gzip can make much of little."""
    deadline = time.monotonic() + body_seconds
    most = min(most_bytes, MOST_ERROR_BYTES) if response.status >= 400 else most_bytes
    pieces: list[bytes] = []
    count = 0
    try:
        while piece := response.read1(PIECE):
            pieces.append(piece)
            count += len(piece)
            if count > most:
                raise TooLarge(most)
            if time.monotonic() > deadline:
                raise TimeoutError("the answer's body came too slowly")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status, headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))
