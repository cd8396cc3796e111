"""The sockets of the emulated cloud: bound sockets, certificates, and connections that a test can have cut."""

from __future__ import annotations

import asyncio
import socket
import traceback
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.lab.graph.wire import ClientGone

HOSTS = ("127.0.0.1", "localhost", "::1")


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that holds its port from now on (0: any free one)."""
    # the protocol is named, since asyncio sends at once (TCP_NODELAY) only where it is
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def write_chain(path: Path, authority: trustme.CA, *hosts: str) -> None:
    """Write key and certificate chain for this machine and `hosts`."""
    issued = authority.issue_cert(*dict.fromkeys((*HOSTS, *hosts)))
    issued.private_key_and_cert_chain_pem.write_to_path(path)


def _protocol(transports: set[asyncio.Transport], mishaps: list[str]) -> type[H11Protocol]:
    """Return uvicorn's protocol with the transport in reach, so that a test can have a connection cut."""

    class Reachable(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transports.add(transport)
            inner = self.app

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                scope["lab.transport"] = transport
                try:
                    await inner(scope, receive, send)
                except ClientGone:
                    transport.abort()
                except Exception:
                    mishaps.append(traceback.format_exc())  # a fault of the lab itself: the fixture fails for it
                    raise

            self.app = app

        def connection_lost(self, exc: Exception | None) -> None:
            transports.discard(self.transport)
            super().connection_lost(exc)

    return Reachable


def server(
    app: ASGIApp, *, transports: set[asyncio.Transport], mishaps: list[str], chain_file: str = ""
) -> uvicorn.Server:
    """Return a server, not yet running; `transports` holds its open connections, `mishaps` its own faults."""
    secure: dict[str, Any] = {"ssl_certfile": chain_file, "ssl_keyfile": chain_file} if chain_file else {}
    config = uvicorn.Config(
        app,
        http=_protocol(transports, mishaps),
        interface="asgi3",
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=1,
        **secure,
    )
    return uvicorn.Server(config)
