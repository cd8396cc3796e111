"""Translate errors of urllib3, ssl and socket into a failure, a sentence and a fix."""

from __future__ import annotations

import re
import socket
from enum import StrEnum
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)

from connector.errors import ConnectorError
from connector.model import foreign
from connector.network import NetworkFailure, TlsFailure, causes_of, network_failure, tls_failure

TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")
CHECK_NETWORK_FIX = (
    "Check the network, the firewall (TCP 443 out) and, if this machine goes out by a proxy, HTTPS_PROXY."
)


class RequestFailure(StrEnum):
    """The step at which a request ended without an answer."""

    NAME = "name"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    DROPPED = "dropped"
    TOO_LARGE = "too-large"


# After these the request may have been carried out, although no answer came.
AMBIGUOUS = frozenset({RequestFailure.TLS, RequestFailure.TIMEOUT, RequestFailure.DROPPED, RequestFailure.TOO_LARGE})
# These last longer than a run.
PERMANENT = frozenset({RequestFailure.CERTIFICATE, RequestFailure.PROXY})


class NetworkError(ConnectorError):
    """Raised when no answer came; states the step and the cause."""

    def __init__(self, fault: RequestFailure, message: str, fix: str = CHECK_NETWORK_FIX) -> None:
        super().__init__(message, fix)
        self.fault = fault


def translate(error: BaseException, url: str, *, bundle: str = "") -> NetworkError:
    """Return an error of urllib3, ssl or socket as NetworkError, by number; hosts are named, headers and bodies never.

    A `url` without a scheme says that nothing but a connection was asked for. `bundle` names the setting whose
    authorities the certificate was checked against.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    causes = list(causes_of(error))
    if any(isinstance(cause, ProxyError) for cause in causes):
        return _proxy(causes)
    if any(isinstance(cause, NameResolutionError | socket.gaierror) for cause in causes):
        return NetworkError(
            RequestFailure.NAME, f"the name {host} cannot be resolved", f"Check DNS. {CHECK_NETWORK_FIX}"
        )
    failure = tls_failure(causes)
    if failure is not None:
        return _tls(host, failure, bundle=bundle)
    if not parts.scheme or any(isinstance(cause, ConnectTimeoutError | NewConnectionError) for cause in causes):
        return _connect(host, causes)
    if any(isinstance(cause, ReadTimeoutError | TimeoutError) for cause in causes):
        return NetworkError(RequestFailure.TIMEOUT, f"{host} was reached and did not answer in time")
    return NetworkError(RequestFailure.DROPPED, f"{host} ended the connection before its answer was complete")


def _connect(host: str, causes: list[BaseException]) -> NetworkError:
    why = network_failure(causes)
    if why is NetworkFailure.REFUSED:
        return NetworkError(RequestFailure.CONNECT, f"{host} refused the connection")
    if why is NetworkFailure.SILENT or any(isinstance(cause, ConnectTimeoutError) for cause in causes):
        return NetworkError(RequestFailure.CONNECT, f"{host} does not answer")
    if why is NetworkFailure.NO_ROUTE:
        return NetworkError(RequestFailure.CONNECT, f"there is no route to {host}")
    return NetworkError(RequestFailure.CONNECT, f"{host} cannot be reached: {foreign(str(causes[-1]))}")


def _tls(host: str, failure: TlsFailure, *, bundle: str) -> NetworkError:
    said = f"{failure.meaning} (TLS: {foreign(failure.text)})"
    if not failure.is_certificate:
        return NetworkError(
            RequestFailure.TLS, f"no encrypted connection to {host}: {said}", f"{failure.fix} {CHECK_NETWORK_FIX}"
        )
    fix = failure.fix
    if failure.is_untrusted and bundle:
        fix = (
            f"{bundle} is set, but the authority that signed it is not in there: add its certificate. Where a proxy"
            " opens TLS, that is the proxy's own authority."
        )
    elif failure.is_untrusted:
        fix = (
            "If a proxy here opens TLS, or the host has a certificate of your own authority, set HTTP_CA_FILE to the"
            " PEM bundle of the authority that signs it; there is no switch to skip verification."
        )
    return NetworkError(RequestFailure.CERTIFICATE, f"the certificate of {host} was not accepted: {said}", fix)


def _proxy(causes: list[BaseException]) -> NetworkError:
    said = foreign(" ".join(str(cause) for cause in causes if isinstance(cause, OSError)) or str(causes[0]))
    found = TUNNEL_STATUS.search(said)
    status = int(found.group(1)) if found else 0
    if status == 407:
        return NetworkError(
            RequestFailure.PROXY,
            "the proxy requires a login (407)",
            "Set HTTPS_PROXY to http://user:password@proxy:port, or exempt this host in NO_PROXY.",
        )
    # A proxy that is down or overloaded may come back; one that refuses will refuse again.
    fault = RequestFailure.PROXY if 400 <= status < 500 else RequestFailure.CONNECT
    return NetworkError(fault, f"the proxy refused the connection: {said}", "Check HTTPS_PROXY and NO_PROXY.")
