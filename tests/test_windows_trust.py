"""Trust in servers under CPython for Windows (Wine), as far as Wine can judge it.

Every server here shows its authority's certificate as well: where that is missing, Wine's
CertVerifyCertificateChainPolicy accepts what Windows refuses (tests/README.md).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.lab.windows import Process

pytestmark = pytest.mark.windows

UNTRUSTED_ROOT = 0x800B0109


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[int]:
    """Give the port of a TLS server of an authority that no store knows.

    Its keys are RSA: Wine 8 calls an ECDSA signature wrong (0x80096004) where a number in it begins with a zero byte.
    """
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    certificate = authority.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    shown = tmp_path / "shown.pem"
    shown.write_bytes(
        certificate.private_key_pem.bytes() + certificate.cert_chain_pems[0].bytes() + authority.cert_pem.bytes()
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(shown)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, tls), daemon=True).start()
        yield listening.getsockname()[1]


def _serve(listening: socket.socket, tls: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            line, _ = listening.accept()
            with suppress(OSError), tls.wrap_socket(line, server_side=True) as answered:
                answered.recv(1)


def test_a_certificate_of_an_unknown_authority_is_refused_by_directory_cloud_and_mail(
    windows_python: Process, stranger: int
) -> None:
    program = """
        import os, socket
        from connector.cloud.http import BUNDLE_VARIABLES, tls_context
        from connector.config import load_settings
        from connector.notify.mail import try_mail_server
        from connector.sources.tls import verifying_context

        def asked(context):
            with socket.create_connection(("localhost", port)) as line:
                try:
                    context.wrap_socket(line, server_hostname="localhost").close()
                except OSError as error:
                    return getattr(error, "verify_code", str(error))
            return "accepted"

        values = {
            "SOURCE": "folder", "FOLDER_PATH": "C:/", "AZURE_TENANT_ID": "contoso.onmicrosoft.com",
            "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555", "AZURE_CLIENT_SECRET": "secret",
            "REPORT_MAIL_TO": "it@contoso.com", "REPORT_MAIL_FROM": "photos@contoso.com",
            "SMTP_URL": f"smtps://localhost:{port}",
        }
        kept = {name: os.environ.pop(name) for name in BUNDLE_VARIABLES if name in os.environ}
        try:
            answer = [asked(verifying_context(None)), asked(tls_context(None))]
        finally:
            os.environ.update(kept)
        answer.append(try_mail_server(load_settings(None, values).settings))
    """
    directory, cloud, mail = windows_python.execute(program, port=stranger)

    assert (directory, cloud) == (UNTRUSTED_ROOT, UNTRUSTED_ROOT)
    assert mail.startswith("localhost: its certificate is not trusted")


def test_a_connection_that_is_being_opened_does_not_switch_off_the_check_of_another(
    windows_python: Process, stranger: int
) -> None:
    program = """
        import os, socket, threading
        from connector.cloud.http import BUNDLE_VARIABLES, tls_context

        kept = {name: os.environ.pop(name) for name in BUNDLE_VARIABLES if name in os.environ}
        try:
            shared = tls_context(None)
        finally:
            os.environ.update(kept)

        def open_one(port, seconds):
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.settimeout(seconds)
                try:
                    shared.wrap_socket(line, server_hostname="another.example").close()
                except OSError as error:
                    return getattr(error, "verify_code", type(error).__name__)
            return "accepted"

        with socket.create_server(("127.0.0.1", 0)) as silent:
            first = threading.Thread(target=open_one, args=(silent.getsockname()[1], 3))
            first.start()
            line, _ = silent.accept()
            line.recv(1)  # its hello is here, so the first one is in the middle of its handshake
            answer = open_one(port, 60)
            first.join()
            line.close()
    """
    assert windows_python.execute(program, port=stranger) == UNTRUSTED_ROOT
