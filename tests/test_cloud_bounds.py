"""The HTTP wire: addresses side by side, one deadline for an answer, a limit of size counted after decoding."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from connector.cloud import open_cloud
from connector.cloud.http import MOST_BYTES, HttpClient, Proxies, tls_context
from connector.cloud.network_errors import NetworkError, RequestFailure
from connector.errors import Unreachable
from connector.model import RequestCounters
from tests.cloud_stories import Scripted, settings_for
from tests.lab.graph import Emulator
from tests.test_sources_line import name_of, silent_addresses

pytestmark = pytest.mark.usefixtures("no_proxy_settings")


@pytest.fixture
def wire() -> Iterator[HttpClient]:
    made = HttpClient(tls_context(None), Proxies(), lanes=1)
    yield made
    made.close()


@contextmanager
def server(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each client without TLS, as the machine's own identity endpoint does; return the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line, suppress(OSError):
                    line.recv(1000)
                    speak(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def well(line: socket.socket) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


def test_a_name_with_dead_addresses_is_reached_by_the_one_that_lives(wire: HttpClient) -> None:
    with server(well) as port, silent_addresses(4) as dead, name_of("many.test", [*dead, ("127.0.0.1", port)]):
        wire.probe(f"http://many.test:{port}/")
        assert wire.send("GET", f"http://many.test:{port}/", headers={}).body == b"ok"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 100 Continue\r\n\r\n", b""])
def test_a_head_that_drips_is_given_up(wire: HttpClient, head: bytes) -> None:
    def drip(line: socket.socket) -> None:
        line.sendall(head)
        while line.send(head if head.endswith(b"\r\n\r\n") else b"x"):
            time.sleep(0.02)

    with server(drip) as port, pytest.raises(NetworkError) as caught:
        wire.send("GET", f"http://127.0.0.1:{port}/", headers={}, read_seconds=0.5)
    assert caught.value.fault in (RequestFailure.TIMEOUT, RequestFailure.DROPPED)


def test_a_body_that_is_unpacked_to_too_much_is_given_up(cloud: Emulator, tmp_path: Path) -> None:
    packed = gzip.compress(bytes(MOST_BYTES + (1 << 20)))
    assert len(packed) < 100_000
    with Scripted(lambda *_: (200, {"Content-Encoding": "gzip"}, packed)) as graph:
        settings = graph.settings(cloud, tmp_path)
        with open_cloud(settings, RequestCounters()) as opened, pytest.raises(Unreachable, match="more than 32 MB"):
            opened.transport.request("GET", "/users")
    assert len(graph.asked) <= 2


def test_an_error_has_a_smaller_limit(wire: HttpClient) -> None:
    def long_error(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 2000000\r\n\r\n" + bytes(2_000_000))

    with server(long_error) as port, pytest.raises(NetworkError, match="more than 1 MB") as caught:
        wire.send("GET", f"http://127.0.0.1:{port}/", headers={})
    assert caught.value.fault is RequestFailure.TOO_LARGE


def test_a_bundle_that_is_set_is_not_advised_again(cloud: Emulator, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with open_cloud(settings_for(cloud, http_ca_file=str(stranger)), RequestCounters()) as opened:
        with pytest.raises(Unreachable, match="unable to get local issuer certificate") as caught:
            opened.token_source.token()
        assert "HTTP_CA_FILE is set, but" in caught.value.fix
        assert "set HTTP_CA_FILE" not in caught.value.fix
