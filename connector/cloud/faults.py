"""Why did no answer come? The wire's errors in words, each with its fix, in this one place."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import urlsplit

from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from connector.cloud.answer import one_line
from connector.errors import ConnectorError

TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d{3})")
CHECK_WAY_OUT = "Check the network, the firewall (TCP 443 out) and, if this machine goes out by a proxy, HTTPS_PROXY."


class Fault(StrEnum):
    """Say at which step a request ended without an answer."""

    NAME = "name"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    PROXY = "proxy"
    TIMEOUT = "timeout"
    DROPPED = "dropped"


# After these the request may have been carried out, although nobody said so.
MAYBE_DONE = frozenset({Fault.TLS, Fault.TIMEOUT, Fault.DROPPED})
# These do not mend themselves within a night.
LASTING = frozenset({Fault.CERTIFICATE, Fault.PROXY})


class WireError(ConnectorError):
    """Say that no answer came, at which step, and why."""

    def __init__(self, fault: Fault, message: str, fix: str = CHECK_WAY_OUT) -> None:
        super().__init__(message, fix)
        self.fault = fault


def translate(error: BaseException, url: str) -> WireError:
    """Put an error of urllib3, ssl or socket into words; hosts are named, headers and bodies never.

    A `url` without a scheme says that nothing but a connection was asked for.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    causes = list(_causes(error))
    if any(isinstance(cause, ProxyError) for cause in causes):
        return _proxy(causes)
    if any(isinstance(cause, NameResolutionError | socket.gaierror) for cause in causes):
        return WireError(Fault.NAME, f"the name {host} cannot be resolved", f"Check DNS. {CHECK_WAY_OUT}")
    if any(_is_refused_tls(cause) for cause in causes):
        return _tls(host, causes)
    if not parts.scheme or any(isinstance(cause, ConnectTimeoutError | NewConnectionError) for cause in causes):
        return _connect(host, causes)
    if any(isinstance(cause, ReadTimeoutError | TimeoutError) for cause in causes):
        return WireError(Fault.TIMEOUT, f"{host} was reached and did not answer in time")
    return WireError(Fault.DROPPED, f"{host} ended the connection before its answer was complete")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it wraps; urllib3 keeps the inner one as an argument."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [part for part in (*cause.args, cause.__cause__, cause.__context__) if isinstance(part, Exception)]


def _is_refused_tls(cause: BaseException) -> bool:
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return False
    return isinstance(cause, ssl.SSLError) or (isinstance(cause, SSLError) and "EOF" not in str(cause))


def _connect(host: str, causes: list[BaseException]) -> WireError:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return WireError(Fault.CONNECT, f"{host} refused the connection")
    if any(isinstance(cause, ConnectTimeoutError | TimeoutError) for cause in causes):
        return WireError(Fault.CONNECT, f"{host} does not answer")
    return WireError(Fault.CONNECT, f"{host} cannot be reached: {one_line(str(causes[-1]))}")


def _tls(host: str, causes: list[BaseException]) -> WireError:
    found = [cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)]
    if not found:
        return WireError(Fault.TLS, f"no encrypted connection to {host}: {one_line(str(causes[0]))}")
    why = one_line(getattr(found[0], "verify_message", "") or str(found[0]))
    fix = (
        "If a proxy here opens TLS, or the host has a certificate of your own authority, set HTTP_CA_FILE to the PEM "
        "bundle of the authority that signs it; there is no switch to skip verification."
    )
    return WireError(Fault.CERTIFICATE, f"the certificate of {host} was not accepted: {why}", fix)


def _proxy(causes: list[BaseException]) -> WireError:
    said = one_line(" ".join(str(cause) for cause in causes if isinstance(cause, OSError)) or str(causes[0]))
    found = TUNNEL_STATUS.search(said)
    status = int(found.group(1)) if found else 0
    if status == 407:
        return WireError(
            Fault.PROXY,
            "the proxy wants a login (407)",
            "Set HTTPS_PROXY to http://user:password@proxy:port, or exempt this host in NO_PROXY.",
        )
    # A proxy that is down or overloaded may come back; one that says no will say it again.
    fault = Fault.PROXY if 400 <= status < 500 else Fault.CONNECT
    return WireError(fault, f"the proxy did not let us through: {said}", "Check HTTPS_PROXY and NO_PROXY.")
