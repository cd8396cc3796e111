"""What the tests of the cloud share: settings for the emulator, certificates, a proxy, and a silent host."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID
from PIL import Image, ImageDraw

from connector.config import Settings, load_settings
from tests.lab.graph import Emulator

DIRECTORY = {"LDAP_URI": "ldaps://dc.lab", "LDAP_USER": "reader@lab", "LDAP_PASSWORD": "unused"}


@pytest.fixture
def no_proxy_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine's own environment says about proxies and authorities."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def settings_for(cloud: Emulator, **others: str) -> Settings:
    """Load real settings for the lab's cloud; an empty value takes one away."""
    values = {**DIRECTORY, **cloud.environ(), **{name.upper(): value for name, value in others.items()}}
    return load_settings(None, {name: value for name, value in values.items() if value}).settings


def picture(number: int = 0, *, edge: int = 240, quality: int = 90) -> bytes:
    """Draw a JPEG that differs visibly for each number."""
    image = Image.new("RGB", (edge, edge), ((37 * number) % 256, (91 * number + 40) % 256, (17 * number + 90) % 256))
    ImageDraw.Draw(image).ellipse((edge // 4, edge // 8, edge // 2 + number % 50, edge // 2), fill=(240, 210, 180))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def noisy_picture(edge: int = 300) -> bytes:
    """Draw a JPEG well above 100 KB."""
    image = Image.effect_noise((edge, edge), 120).convert("RGB")
    out = io.BytesIO()
    image.save(out, "JPEG", quality=98)
    assert len(out.getvalue()) > 100_000 * (edge / 600)
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class KeyAndCertificate:
    """What an administrator makes with one line of PowerShell or openssl."""

    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, password: str = "") -> bytes:
        locked = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)

    def pfx(self, password: str = "") -> bytes:
        locked = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        assert isinstance(self.key, rsa.RSAPrivateKey)
        return pkcs12.serialize_key_and_certificates(b"connector", self.key, self.certificate, None, locked)


def new_certificate(*, curve: bool = False, days: int = 30) -> KeyAndCertificate:
    """Make a self-signed certificate with an RSA key, or with one on a curve."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "photo-connector")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    return KeyAndCertificate(key, builder.sign(key, hashes.SHA256()))


def write(path: Path, content_bytes: bytes) -> str:
    """Write a file and return its path as a setting."""
    path.write_bytes(content_bytes)
    return str(path)


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def silent_host() -> Iterator[str]:
    """Listen, accept nothing and say nothing, as behind a firewall that swallows answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@dataclass(slots=True)
class Proxy:
    """Be a CONNECT proxy on a real port; `tunnels` are the hosts asked for, `login` what it wants of its users.

    The next `refusals` tunnels are refused with 503. `leads` says where a host and port truly lie. With `page_status`,
    a web page with this status comes in place of each tunnel.
    """

    login: str = ""
    refusals: int = 0
    page_status: int = 0
    tunnels: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    leads: dict[str, int] = field(default_factory=dict)
    _listener: socket.socket = field(default_factory=socket.socket)

    def __enter__(self) -> Proxy:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            self._answer(client, head.decode("latin-1"))

    def _answer(self, client: socket.socket, head: str) -> None:
        host, _, port = head.split()[1].partition(":")
        sent = [line.split()[-1] for line in head.splitlines() if line.lower().startswith("proxy-authorization:")]
        self.logins += [base64.b64decode(text).decode() for text in sent]
        if self.login and self.login not in self.logins:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if self.page_status:
            kind = "Content-Type: text/html\r\nLocation: https://portal.corp.example/login?user=1\r\n"
            client.sendall(f"HTTP/1.1 {self.page_status} Page\r\n{kind}Content-Length: 6\r\n\r\n<html>".encode())
            return
        if self.refusals:
            self.refusals -= 1
            client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        self.tunnels.append(f"{host}:{port}")
        led = self.leads.get(f"{host}:{port}")
        with socket.create_connection((host, int(port)) if led is None else ("127.0.0.1", led), timeout=120) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            _pump(client, server)
            back.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


Reply = tuple[int, dict[str, str], bytes]


class Scripted:
    """Answer Graph's requests over HTTPS exactly as a test says, where the emulator is too well-behaved.

    `say(method, path with query, body)` returns status, headers and body; `asked` keeps what came. With `drip`, a
    body comes byte by byte with so many seconds between.
    """

    def __init__(self, say: Callable[[str, str, bytes], Reply], *, drip: float = 0.0) -> None:
        self.say = say
        self.drip = drip
        self.asked: list[tuple[str, str, bytes]] = []
        self._authority = trustme.CA()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body leave together

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, body))
                status, headers, content_bytes = outer.say(self.command, self.path, body)
                self.send_response_only(status)
                usual = {"Content-Length": str(len(content_bytes)), "Date": self.date_time_string()}
                for name, value in (usual | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client may have left
                    for piece in _drops(content_bytes) if outer.drip else [content_bytes]:
                        self.wfile.write(piece)
                        self.wfile.flush()
                        time.sleep(outer.drip)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # named by the library

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Scripted:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def settings(self, cloud: Emulator, folder: Path, **others: str) -> Settings:
        """Load settings with this host for Graph, and the lab's issuer for tokens."""
        bundle = Path(cloud.ca_file).read_bytes() + self._authority.cert_pem.bytes()
        return settings_for(cloud, graph_url=self.url, http_ca_file=write(folder / "both.pem", bundle), **others)


def _drops(content_bytes: bytes) -> list[bytes]:
    return [content_bytes[place : place + 1] for place in range(len(content_bytes))]


def as_json(value: object, status: int = 200) -> Reply:
    """Return a JSON answer."""
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()
