"""Our own small LDAP server behind a real socket: honest but for its switches.

It answers sign-in, rootDSE, paged searches and DirSync in rounds over a `Tree`; it evaluates the filters it is sent
and holds no page in memory. `python -m tests.lab.ldapserver` runs it as a program of its own, for a bench.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import importlib
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import sansldap

from tests.lab.ldapserver_talk import Talk
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_world import World
from tests.lab.pki import Authority, ServerCertificate


def server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    """Return the TLS context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    return context


class LdapServer:
    """Serve one tree on a free port until closed; a context manager.

    Without `tls` it speaks plain LDAP; with `start_tls` it waits to be asked for TLS.
    """

    def __init__(
        self,
        tree: Tree,
        *,
        tls: ssl.SSLContext | None = None,
        start_tls: bool = False,
        host: str = "localhost",
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.world = World(tree, tls, tls is not None and not start_tls)
        self.tree, self.knobs = tree, self.world.knobs
        self.asked, self.binds, self.users = self.world.asked, self.world.binds, self.world.users
        self._listener = socket.create_server(address)
        self._talks: set[Talk] = set()
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.name = f"{host}:{self.port}"
        self.uri = f"{'ldaps' if self.world.immediate else 'ldap'}://{self.name}"
        self._start(self._accept)

    def __enter__(self) -> LdapServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, hang up on everybody, and wait for the threads."""
        self.world.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()

    def show(self, certificate: ServerCertificate) -> None:
        """Show another certificate from the next connection on."""
        self.world.tls = server_context(certificate)

    def hang_up(self) -> None:
        """Drop all connections, as a restarted server does."""
        for talk in list(self._talks):
            with contextlib.suppress(OSError):
                talk.line.shutdown(socket.SHUT_RDWR)
            if sys.platform == "win32":  # Wine does not always wake who reads
                talk.line.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.world.closing.is_set():
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            talk = Talk(self.world, line)
            self._talks.add(talk)
            self._start(lambda talk=talk: self._serve(talk))  # type: ignore[misc]

    def _serve(self, talk: Talk) -> None:
        # A client that goes away, or distrusts our certificate, is no error of the server.
        try:
            with contextlib.suppress(OSError, sansldap.LDAPError):
                talk.run()
        finally:
            talk.line.close()
            self._talks.discard(talk)


def main() -> None:
    """Serve a crowd until standard input closes; a line of JSON there changes one of them.

    The line {"number": 7, "attributes": {"jpegPhoto": ["<base64>"]}} is answered by `done`.
    """
    parser = argparse.ArgumentParser(prog="ldapserver", description=main.__doc__)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--make", required=True, help="module:function that makes (dn, attributes) of a number")
    parser.add_argument("--folder", type=Path, required=True, help="where ca.pem is written")
    wanted = parser.parse_args()
    module, _, function = wanted.make.partition(":")
    make = getattr(importlib.import_module(module), function)
    tls = server_context(Authority(wanted.folder).issue("localhost"))
    with LdapServer(Tree(people=wanted.people, make=make), tls=tls) as server:
        print(json.dumps({"uri": server.uri, "ca_file": str(wanted.folder / "ca.pem")}), flush=True)
        for line in sys.stdin:
            change = json.loads(line)
            values = {name: [base64.b64decode(one) for one in many] for name, many in change["attributes"].items()}
            server.tree.change(server.tree.nth(change["number"]).guid, **values)
            print("done", flush=True)


if __name__ == "__main__":
    main()
