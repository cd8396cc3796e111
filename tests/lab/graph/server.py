"""Start the emulated cloud: two listeners in one thread, HTTPS for the cloud, HTTP beside it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import trustme
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.lab.graph.faults import Fault, FaultBook
from tests.lab.graph.listeners import HOSTS, bound, server, write_chain
from tests.lab.graph.log import Record, RequestLog, Violation
from tests.lab.graph.side import APP_PATH, VM_PATH, serve_desk, serve_identity
from tests.lab.graph.switches import Switches
from tests.lab.graph.tenant import Tenant
from tests.lab.graph.tokens import Issuer
from tests.lab.graph.wire import Broken, as_json, deliver, serve_graph, serve_issuer
from tests.lab.graph.world import World, new_world
from tests.lab.pki import folder_of

ROOMS = ("tenant", "issuer", "faults", "log")


class Emulator:
    """Run the token issuer and Graph over HTTPS in a thread of this process; use it with `with`.

    `tenant`, `issuer`, `switches`, `log` and `faults` may be used from any thread at any time. `known_as` are the
    addresses of issuer and Graph by which clients know it, where a proxy leads them here.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        side_port: int = 0,
        tenant_id: str = "",
        folder: Path | None = None,
        host: str = HOSTS[0],
        known_as: tuple[str, str] | None = None,
    ) -> None:
        self._host, self._given_tenant, self._known_as = host, tenant_id, known_as
        self._folder = folder or folder_of(self, "lab-cloud-")
        self._socket, self._side_socket = bound(host, port), bound(host, side_port)
        self.port, self.side_port = self._socket.getsockname()[1], self._side_socket.getsockname()[1]
        own_url = f"https://{host}:{self.port}"
        self.authority_host, self.graph_url = known_as or (own_url, own_url)
        self.side_url = f"http://{host}:{self.side_port}"
        self.ca_file = str(self._folder / "cloud-ca.pem")
        self._server_file = str(self._folder / "cloud-server.pem")
        self._shown = Path(self._server_file)
        self._transports: set[asyncio.Transport] = set()
        self._servers: list[uvicorn.Server] = []
        self.mishaps: list[str] = []
        self._thread: threading.Thread | None = None
        self.world = self._fresh()

    # -- what a test uses

    @property
    def tenant(self) -> Tenant:
        """Return the accounts and photos."""
        return self.world.tenant

    @property
    def issuer(self) -> Issuer:
        """Return the app registration."""
        return self.world.issuer

    @property
    def switches(self) -> Switches:
        """Return the knobs."""
        return self.world.switches

    @property
    def log(self) -> RequestLog:
        """Return the record of requests."""
        return self.world.log

    @property
    def faults(self) -> FaultBook:
        """Return the planned faults."""
        return self.world.faults

    @property
    def tenant_id(self) -> str:
        """Return the tenant's id; a reset makes a new one, unless it was given."""
        return self.issuer.tenant_id

    @property
    def client_id(self) -> str:
        """Return the id of the app registration."""
        return self.issuer.client_id

    @property
    def client_secret(self) -> str:
        """Return the app's secret."""
        return self.issuer.client_secret

    @property
    def requests(self) -> list[Record]:
        """Return the finished requests."""
        return self.log.records()

    def counts(self) -> dict[str, int]:
        """Return the counters of `RequestLog.counts`."""
        return self.log.counts()

    def violations(self) -> list[Violation]:
        """Return requests inside a wait, and two writes at once for one person."""
        return self.log.violations()

    def fail_next(self, route_pattern: str, fault: Fault, times: int = 1) -> None:
        """Make the next requests that fit go wrong; see `FaultBook.fail_next`."""
        self.faults.fail_next(route_pattern, fault, times)

    def set(self, **switches: Any) -> None:
        """Set switches by name."""
        with self.world.lock:
            self.switches.change(**switches)

    def reset(self) -> None:
        """Begin anew: an empty tenant, fresh credentials, default switches, no faults, no records."""
        self.world = self._fresh()
        self.mishaps.clear()
        if self._shown != Path(self._server_file):
            self.restore_certificate()

    def facts(self) -> dict[str, str]:
        """Return all that a client needs to be told."""
        names = ("authority_host", "graph_url", "side_url", "ca_file", "tenant_id", "client_id", "client_secret")
        return {name: getattr(self, name) for name in names}

    def environ(self) -> dict[str, str]:
        """Return the product's settings for this cloud, with the secret as credential."""
        return {
            "AZURE_TENANT_ID": self.tenant_id,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.client_secret,
            "AZURE_AUTHORITY_HOST": self.authority_host,
            "GRAPH_URL": self.graph_url,
            "HTTP_CA_FILE": self.ca_file,
        }

    def identity_environ(self, form: str = "vm") -> dict[str, str]:
        """Return what MSAL reads to find the machine's identity: `vm` or `app-service`."""
        if form == "vm":
            return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.side_url}
        return {"IDENTITY_ENDPOINT": self.side_url + APP_PATH, "IDENTITY_HEADER": self.issuer.identity_header}

    def drop_connections(self) -> None:
        """Cut every open connection; they are cut when it returns."""

        async def cut() -> None:
            for transport in list(self._transports):
                transport.abort()

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(120)

    def change_certificate(self) -> None:
        """Show a certificate of another authority from now on, until a reset, and cut what is connected."""
        other = self._folder / "cloud-other.pem"
        write_chain(other, trustme.CA())
        self._show(other)

    def restore_certificate(self) -> None:
        """Show the right certificate again."""
        self._show(Path(self._server_file))

    def _show(self, chain: Path) -> None:
        context = self._servers[0].config.ssl
        assert context is not None
        context.load_cert_chain(chain)
        self._shown = chain
        self.drop_connections()

    def call(self, name: str, args: Iterable[Any], named: dict[str, Any]) -> Any:
        """Carry out a call of the control desk, e.g. `tenant.add_account`, `set`, `get:client_id`."""
        if name.startswith("get:"):
            rooms, attribute = name[4:].rpartition(".")[::2]
            return getattr(getattr(self, rooms) if rooms else self, attribute)
        room, _, method = name.rpartition(".")
        if method.startswith("_") or room not in ("", *ROOMS):
            raise AttributeError(name)
        return getattr(getattr(self, room) if room else self, method)(*args, **named)

    # -- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; returns when both ports answer."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        names = [urlsplit(url).hostname or "" for url in self._known_as or ()]
        write_chain(Path(self._server_file), authority, self._host, *names)
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="lab-cloud", daemon=True)
        self._thread.start()
        if not ready.wait(120):
            raise RuntimeError("the cloud of the lab did not start within 120 s")

    def stop(self) -> None:
        """Stop listening and cut what is connected."""
        if self._thread is None:
            return
        self.drop_connections()
        for running in self._servers:
            running.should_exit = running.force_exit = True
        self._thread.join(120)
        self._thread = None

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._servers = [
            server(
                self._cloud_app,
                transports=self._transports,
                mishaps=self.mishaps,
                chain_file=self._server_file,
            ),
            server(self._side_app, transports=set(), mishaps=self.mishaps),
        ]
        sockets = [self._socket, self._side_socket]
        tasks = [
            asyncio.create_task(running.serve(sockets=[listener]))
            for running, listener in zip(self._servers, sockets, strict=True)
        ]
        while not all(running.started for running in self._servers) and not any(task.done() for task in tasks):
            await asyncio.sleep(0.005)
        ready.set()
        await asyncio.gather(*tasks)

    async def _cloud_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith(("/v1.0/", "/beta/")):
            await serve_graph(self.world, scope, receive, send)
        elif path.endswith(("/v2.0/.well-known/openid-configuration", "/oauth2/v2.0/token")):
            await serve_issuer(self.world, scope, receive, send)
        else:
            await deliver(Broken.of(as_json({"error": "nothing here"}, 404)), scope=scope, send=send)

    async def _side_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in (VM_PATH, APP_PATH):
            await serve_identity(self.world, scope, receive, send)
        elif scope["path"].startswith("/_lab/"):
            await serve_desk(self.call, scope, receive, send)
        else:
            await deliver(Broken.of(as_json({"error": "nothing here"}, 404)), scope=scope, send=send)

    def _fresh(self) -> World:
        authority = self._known_as[0] if self._known_as else ""
        return new_world(self.graph_url, authority=authority, tenant_id=self._given_tenant)
