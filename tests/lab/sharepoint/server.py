"""Start the emulated SharePoint: two HTTPS hosts beside the cloud, which take that issuer's tokens."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import trustme

from tests.lab.graph import Emulator, app_certificate
from tests.lab.sharepoint.farm import Farm, Said

ROLES = frozenset({"Sites.FullControl.All", "User.ReadWrite.All"})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived, `status` as it was answered."""

    host: str
    method: str
    path: str
    user_agent: str
    started: float
    status: int


class SharePointLab:
    """Run both hosts in threads of this process; use it with `with`, for one test.

    `planned` are the next answers, whatever is asked; `trouble` are answers to requests with a text in path or
    body, `once` to the first such request.
    A request with the text `held` in it is counted in `waiting` and never answered: `let_go` closes its line.
    """

    def __init__(self, cloud: Emulator, folder: Path) -> None:
        self.cloud = cloud
        self.farm = Farm()
        self.roles = ROLES
        self.asked: list[Asked] = []
        self.planned: deque[Said] = deque()
        self.trouble: dict[str, Said] = {}
        self.once: dict[str, Said] = {}
        self.held, self.waiting, self.let_go = "", 0, threading.Event()
        self._folder = folder
        authority = trustme.CA()
        self.ca_file = folder / "bundle.pem"
        self.ca_file.write_bytes(Path(cloud.ca_file).read_bytes() + authority.cert_pem.bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._servers = {name: self._server(name, context) for name in ("my-site", "admin")}
        self.certificate = app_certificate(folder, name="sharepoint")
        cloud.issuer.register_certificate(self.certificate.public_pem)

    def url(self, host: str) -> str:
        """Return the address of `my-site` or `admin`."""
        return f"https://127.0.0.1:{self._servers[host].server_address[1]}"

    def environ(self) -> dict[str, str]:
        """Return the product's settings for cloud and SharePoint, with a certificate as credential."""
        return self.cloud.environ() | {
            "AZURE_CLIENT_SECRET": "",
            "AZURE_CLIENT_CERTIFICATE_PATH": str(self.certificate.pem_file),
            "HTTP_CA_FILE": str(self.ca_file),
            "TARGETS": "sharepoint",
            "SHAREPOINT_MY_SITE_URL": self.url("my-site"),
            "SHAREPOINT_ADMIN_URL": self.url("admin"),
        }

    def writes(self) -> int:
        """Count the requests that change something."""
        return sum(one.method != "GET" for one in self.asked)

    def __enter__(self) -> Self:
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def answer(self, host: str, method: str, target: str, *, authorization: str, body: bytes) -> Said:
        """Answer one request: what a test planned first, then the token, then the farm."""
        with self.farm.lock:
            if self.planned:
                return self.planned.popleft()
            if refused := self._refused(host, authorization):
                return refused
            for text in [text for text in self.once if _has(text, target, body)]:
                return self.once.pop(text)
            for text, said in self.trouble.items():
                if _has(text, target, body):
                    return said
            answers = self.farm.on_admin if host == "admin" else self.farm.on_my_site
            return answers(method, target, body)

    def _refused(self, host: str, authorization: str) -> Said | None:
        fault, claims = self.cloud.issuer.claims_of(authorization, audience=self.url(host))
        if fault:
            return Said(401, {"error_description": fault}, {"WWW-Authenticate": "Bearer"})
        if claims["appidacr"] != "2":
            return Said(401, {"error_description": "Unsupported app only token."})
        if not self.roles >= ROLES:
            return Said.no(403, "-2147024891, System.UnauthorizedAccessException", "Access denied.")
        return None

    def _server(self, host: str, context: ssl.SSLContext) -> ThreadingHTTPServer:
        lab = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                started = time.monotonic()
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                authorization = self.headers.get("Authorization", "")
                if lab.held and _has(lab.held, self.path, body):
                    lab.waiting += 1
                    lab.let_go.wait(60)
                    return
                said = lab.answer(host, self.command, self.path, authorization=authorization, body=body)
                agent = self.headers.get("User-Agent", "")
                lab.asked.append(Asked(host, self.command, unquote(self.path), agent, started, said.status))
                content = json.dumps(said.body).encode() if isinstance(said.body, dict) else said.body
                self.send_response(said.status)
                for name, value in {"Content-Type": "application/json", **said.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # names that http.server looks for

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet; `asked` is the record."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server


def _has(text: str, target: str, body: bytes) -> bool:
    return text in unquote(target) or text.encode() in body
