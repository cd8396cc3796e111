"""How do bytes leave this machine? Over kept connections, with verified certificates, through the usual proxies."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from connector.cloud.answer import Answer
from connector.cloud.faults import Fault, WireError, translate
from connector.cloud.proxies import Proxies
from connector.config import without_login

CONNECT_SECONDS = 8.0
READ_SECONDS = 60.0
BODY_SECONDS = 120.0
# A firewall that drops packets would otherwise cost the timeout of every address that a name resolves to.
REACH_SECONDS = 10.0
PIECE = 1 << 16


class Wire:
    """Send requests and read answers whole; safe to share between threads.

    Raises WireError when no answer came; never retries, never follows a redirect.
    """

    def __init__(
        self, tls: ssl.SSLContext, proxies: Proxies, *, lanes: int, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._tls = tls
        self._proxies = proxies
        self._lanes = lanes
        self._body_seconds = body_seconds
        self._lock = threading.Lock()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._reached: set[str] = set()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> Answer:
        """Send one request and return the answer, whatever its status."""
        pool = self._pool(url)
        try:
            response = pool.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            return _whole(response, self._body_seconds)
        except (HTTPError, OSError) as error:
            raise translate(error, url) from error

    def reach(self, url: str) -> None:
        """Open and close one connection to the host (or its proxy), with one deadline for all its addresses.

        Once per host; raises WireError. The name is looked up in a thread of its own, since a resolver has
        deadlines of its own.
        """
        parts = urlsplit(self._proxies.proxy_for(url) or url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self._reached:
            return
        problem: queue.SimpleQueue[WireError | None] = queue.SimpleQueue()
        port = parts.port or (443 if parts.scheme == "https" else 80)
        threading.Thread(target=_knock, args=(parts.hostname or "", port, problem), daemon=True).start()
        try:
            found = problem.get(timeout=REACH_SECONDS)
        except queue.Empty:
            found = WireError(Fault.CONNECT, f"{parts.hostname} does not answer on port {port}")
        if found is not None:
            raise found
        self._reached.add(origin)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        pool = self._pools.get(origin)
        if pool is not None:
            return pool
        with self._lock:
            return self._pools.setdefault(origin, self._new_pool(url))

    def _new_pool(self, url: str) -> urllib3.PoolManager:
        proxy = self._proxies.proxy_for(url)
        if not proxy:
            return urllib3.PoolManager(maxsize=self._lanes, ssl_context=self._tls)
        return urllib3.ProxyManager(
            without_login(proxy).geturl(),
            proxy_headers=self._proxies.headers(proxy),
            proxy_ssl_context=self._tls,
            maxsize=self._lanes,
            ssl_context=self._tls,
        )


def _whole(response: urllib3.BaseHTTPResponse, body_seconds: float) -> Answer:
    """Read the body under one deadline; a body that drips would otherwise never time out."""
    deadline = time.monotonic() + body_seconds
    pieces: list[bytes] = []
    try:
        while piece := response.read1(PIECE):
            pieces.append(piece)
            if time.monotonic() > deadline:
                raise TimeoutError("the answer's body came too slowly")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _knock(host: str, port: int, problem: queue.SimpleQueue[WireError | None]) -> None:
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS / 2).close()
    except OSError as error:
        problem.put(translate(error, f"//{host}:{port}"))
    else:
        problem.put(None)
