"""Kerberos signs us in without any password: a real domain, a keytab, sealed on 389 and bound to TLS on 636.

Run by .venv-kerberos (scripts/setup-kerberos), which has the extra; the usual environment runs it there. The sealing
itself is tried everywhere, over a pair of sockets.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources.connect import can_seal
from connector.sources.kerberos_sealing import SealedSocket
from connector.sources.ldap import LdapSource
from tests.lab.directory import Directory
from tests.lab.ldapserver_directory import read_context
from tests.lab.samba import DomainController

HOUSE = Path(__file__).parent.parent
EXTRA = HOUSE / ".venv-kerberos" / "bin" / "python"
HAS_EXTRA = can_seal() and importlib.util.find_spec("gssapi") is not None

with_extra = pytest.mark.skipif(not HAS_EXTRA, reason="run by .venv-kerberos")
Open = Callable[..., LdapSource]


@pytest.mark.samba
@pytest.mark.kerberos
@pytest.mark.skipif(HAS_EXTRA, reason="this is the environment with the extra")
def test_the_extra_does_what_the_rest_of_this_file_says() -> None:
    if not EXTRA.exists() and os.environ.get("CI"):
        pytest.fail("The Kerberos tests must run here; run scripts/setup-kerberos.")
    if not EXTRA.exists():
        pytest.skip("no .venv-kerberos; run scripts/setup-kerberos")
    done = subprocess.run(
        [EXTRA, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.fixture
def opened(domain: DomainController, ou: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open sources in a process that may log on by keytab, with a ticket cache of its own."""
    for name, value in domain.kerberos_environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'tickets'}")
    sources: list[LdapSource] = []

    def open_one(**changes: Any) -> LdapSource:
        usual: dict[str, Any] = {
            **{"ldap_uri": (domain.plain_uri,), "ldap_auth": "kerberos", "ldap_base_dn": (ou,)},
            "ldap_ca_file": domain.ca_file,
        }
        sources.append(LdapSource(Settings(**(usual | changes)), RequestCounters(), patience=20))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


@with_extra
@pytest.mark.samba
@pytest.mark.parametrize("line", ["sealed", "ldaps", "starttls"])
def test_photos_come_over_every_protected_line(
    opened: Open, domain: DomainController, directory: Directory, ou: str, line: str
) -> None:
    # Many packets of Kerberos in one answer, which ldap3's own reading of them does not survive.
    photos = {
        directory.add_person(ou, f"P{n}", jpegPhoto=bytes([n]) * 90_000).guid: bytes([n]) * 90_000 for n in range(40)
    }
    changes: dict[str, dict[str, Any]] = {"sealed": {}, "ldaps": {"ldap_uri": (domain.uri,)}}
    everybody = read_context(opened(**changes.get(line, {"ldap_start_tls": True})))
    assert {key: read.photos[0].content_bytes for key, read in everybody.read.items()} == photos


@with_extra
@pytest.mark.samba
def test_changes_are_followed_over_a_sealed_line(opened: Open, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna", jpegPhoto=b"old")
    start = read_context(opened())
    directory.set_photo(anna.dn, b"new")
    assert read_context(opened(), start.cookie).photos(anna.guid) == [("jpegPhoto", b"new")]


@with_extra
@pytest.mark.samba
def test_nothing_readable_goes_over_a_sealed_line(opened: Open, directory: Directory, ou: str) -> None:
    directory.add_person(ou, "Anna")
    source = opened()
    read_context(source)
    (on,) = source._passes.values()
    assert isinstance(on.session._connection.socket.line, SealedSocket)
    assert on.session._connection.session_security is None


@with_extra
@pytest.mark.samba
def test_a_named_account_is_taken_from_the_keytab_and_a_stranger_is_not(opened: Open, domain: DomainController) -> None:
    assert read_context(opened(ldap_user=domain.reader)).complete
    with pytest.raises(Unreachable, match="ticket"):
        read_context(opened(ldap_user=f"stranger@{domain.realm.lower()}"))


@with_extra
@pytest.mark.samba
def test_without_a_ticket_or_keytab_the_way_to_one_is_told(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KRB5_CLIENT_KTNAME")
    with pytest.raises(Unreachable, match="no ticket") as caught:
        read_context(opened())
    assert "KRB5_CLIENT_KTNAME" in caught.value.fix


@with_extra
@pytest.mark.samba
def test_an_address_without_a_service_principal_is_told(opened: Open, domain: DomainController) -> None:
    with pytest.raises(Unreachable, match="no service principal") as caught:
        read_context(opened(ldap_uri=(f"ldap://{domain.address}",)))
    assert "full host name" in caught.value.fix


# Sealing, with a wrapping that anybody can undo


def backwards(content_bytes: bytes) -> bytes:
    return content_bytes[::-1]


@pytest.fixture
def ends() -> Iterator[tuple[SealedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    yield SealedSocket(ours, backwards, backwards, 10), theirs
    ours.close()
    theirs.close()


def packet(plain: bytes) -> bytes:
    return len(plain).to_bytes(4, "big") + backwards(plain)


def test_packets_that_arrive_together_are_all_read(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, peer = ends
    peer.sendall(packet(b"first") + packet(b"second") + packet(b"third"))
    assert [line.recv(100), line.recv(100), line.recv(100)] == [b"first", b"second", b"third"]


def test_a_packet_in_pieces_is_read_whole_and_given_in_the_size_asked(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, peer = ends
    whole = packet(b"0123456789")
    for place in range(len(whole)):
        peer.sendall(whole[place : place + 1])
    assert [line.recv(4), line.recv(4), line.recv(4)] == [b"0123", b"4567", b"89"]


@pytest.mark.parametrize("kept", [0, 2, 4, 6])
def test_a_hang_up_anywhere_is_the_end(ends: tuple[SealedSocket, socket.socket], kept: int) -> None:
    line, peer = ends
    peer.sendall(packet(b"first")[:kept])
    peer.close()
    assert line.recv(100) == b""


def test_what_is_sent_is_wrapped_in_packets_the_server_can_hold(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, peer = ends
    line.sendall(b"0123456789abcde")
    assert peer.recv(100) == packet(b"0123456789") + packet(b"abcde")


def test_a_length_that_no_directory_sends_is_refused(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, peer = ends
    peer.sendall(b"HTTP/1.1 400")
    with pytest.raises(OSError, match="no sealed packet"):
        line.recv(100)


def test_silence_is_not_waited_for_for_ever(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, _ = ends
    line.settimeout(0.05)
    with pytest.raises(TimeoutError):
        line.recv(100)


def test_a_line_that_is_shut_down_and_closed_is_gone(ends: tuple[SealedSocket, socket.socket]) -> None:
    line, peer = ends
    line.shutdown(socket.SHUT_RDWR)
    line.close()
    assert peer.recv(100) == b""
