"""The line to a domain controller: passwords as they were typed, addresses side by side, bounds of time and size."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from pydantic import SecretStr

from connector.errors import Unreachable
from connector.network import connect
from connector.network.tcp import in_turns
from connector.sources.ldap_errors import SignInRefused
from connector.sources.receiving import MOST_ANSWER_BYTES, MOST_MESSAGE_BYTES, SizedLine, TimedLine
from tests.lab.ldapserver_directory import DirectoryServer, read_context
from tests.lab.ldapserver_world import PASSWORD, READER, logon_refusal


@pytest.fixture
def ldap() -> Iterator[DirectoryServer]:
    with DirectoryServer() as ldap:
        ldap.person("anna")
        yield ldap


# Passwords


@pytest.mark.parametrize(
    "password",
    [
        "Umlaut-Ä-2026",
        "Geheim²2026",
        "Halb½2026",
        "Drei\u00a0Worte",
        "Silben\u00adtrennung",
        "Scho\u0308n2026",
        "Tab\tzwei",
        "Abc\u05e1\u05d9\u05e1\u05de\u05d4",
        "\ufb01nal",
    ],
)
def test_a_password_is_sent_as_it_was_typed(ldap: DirectoryServer, password: str) -> None:
    ldap.server.users[READER] = password
    assert read_context(ldap.source(ldap_password=SecretStr(password))).names == {"anna"}


# Refusals that say nothing against the password


@pytest.mark.parametrize("data", ["52f", "569", "51f", "5b4", "6f7", "4711", "c000006d", "0"])
def test_another_controller_is_tried_where_it_is_not_the_password(ldap: DirectoryServer, data: str) -> None:
    with DirectoryServer() as troubled:
        troubled.knobs.refuse_bind = logon_refusal(data)
        source = ldap.source(ldap_uri=(troubled.server.uri, ldap.server.uri))
        assert read_context(source).server == ldap.server.name


@pytest.mark.parametrize("data", ["52f", "569", "51f", "5b4", "6f7", "4711"])
def test_a_refusal_that_is_not_the_passwords_is_told_so_with_its_code(ldap: DirectoryServer, data: str) -> None:
    ldap.knobs.refuse_bind = logon_refusal(data)
    with pytest.raises(Unreachable) as caught:
        ldap.source().contexts()
    assert not isinstance(caught.value, SignInRefused)
    assert "password is wrong" not in caught.value.message
    assert f"data {data}" in caught.value.message


# Addresses


@contextmanager
def silent_addresses(count: int) -> Iterator[list[tuple[str, int]]]:
    """Listen on so many addresses with a full queue: who connects there hears nothing, as of a broken network."""
    with ExitStack() as stack:
        found = []
        for number in range(1, count + 1):
            listener = stack.enter_context(socket.socket())
            listener.bind((f"127.0.9.{number}", 0))
            listener.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            found.append(listener.getsockname())
        yield found


@contextmanager
def name_of(name: str, addresses: list[tuple[str, int]]) -> Iterator[None]:
    """Give a name these addresses, as a resolver would return them; ports are the lab's."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *others: Any, **named: Any) -> Any:
        if host != name:
            return real(host, port, *others, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def test_a_name_with_dead_addresses_is_reached_by_the_one_that_lives(ldap: DirectoryServer) -> None:
    with silent_addresses(6) as dead, name_of("localhost", [*dead, ("127.0.0.1", ldap.server.port)]):
        assert read_context(ldap.source()).names == {"anna"}


def test_a_server_without_a_living_address_leaves_time_for_the_next(ldap: DirectoryServer) -> None:
    with silent_addresses(6) as dead, name_of("contoso.test", dead):
        source = ldap.source(ldap_uri=(f"ldaps://contoso.test:{dead[0][1]}", ldap.server.uri))
        assert read_context(source).server == ldap.server.name


def test_refused_addresses_are_passed_over_at_once(ldap: DirectoryServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()
    with name_of("localhost", [nobody] * 5 + [("127.0.0.1", ldap.server.port)]):
        connect("localhost", ldap.server.port, seconds=5).close()
    with name_of("localhost", [nobody]), pytest.raises(ConnectionRefusedError):
        connect("localhost", nobody[1], seconds=5)


def test_families_take_turns() -> None:
    six = [(socket.AF_INET6, 1, 6, "", (f"::{number}", 1, 0, 0)) for number in range(3)]
    four = [(socket.AF_INET, 1, 6, "", (f"10.0.0.{number}", 1)) for number in range(2)]
    assert in_turns([*six, *four]) == [six[0], four[0], six[1], four[1], six[2]]


# Bounds


Say = Callable[[socket.socket], None]


@contextmanager
def pair(say: Say) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()

    def speak() -> None:
        with theirs, suppress(OSError):
            say(theirs)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    with ours:
        yield ours
    thread.join()


def received(line: TimedLine | SizedLine, size: int) -> bytes:
    return b"".join(iter(lambda: line.recv(size), b""))


def test_an_answer_that_drips_ends() -> None:
    def drip(line: socket.socket) -> None:
        while line.send(b"\x30"):
            time.sleep(0.02)

    with pair(drip) as raw, pytest.raises(TimeoutError):
        received(TimedLine(raw, 0.4), 10)


class Scripted:
    """A socket whose answers are given: bytes, or an error that is raised."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self.answers = list(answers)

    def settimeout(self, seconds: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        assert len(answer) <= size
        return answer


@pytest.mark.parametrize("not_yet", [BlockingIOError(), ssl.SSLWantReadError(), ssl.SSLWantWriteError()])
def test_what_came_in_many_pieces_is_given_at_once(not_yet: OSError) -> None:
    line = TimedLine(Scripted(b"one ", b"two ", b"three", not_yet, b"later", not_yet), 5)
    assert line.recv(100) == b"one two three"
    assert line.recv(100) == b"later"


def test_no_more_is_given_than_asked_for() -> None:
    line = TimedLine(Scripted(b"12", b"34", b"56", BlockingIOError()), 5)
    assert [line.recv(4), line.recv(4)] == [b"1234", b"56"]


def test_an_end_and_a_failure_are_told_after_the_bytes_that_came_before_and_again() -> None:
    ended = TimedLine(Scripted(b"a whole answer", b""), 5)
    assert [ended.recv(100), ended.recv(100), ended.recv(100)] == [b"a whole answer", b"", b""]

    failed = TimedLine(Scripted(b"a whole answer", ConnectionResetError()), 5)
    assert failed.recv(100) == b"a whole answer"
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            failed.recv(100)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\x30\x84\x7f\xff\xff\xff", "announced a message of 2048 MB"),
        (b"\x30\x88" + b"\xff" * 8, "announced a message of"),
        (b"\x30\x05\x01\x02\x03\x04\x05\x30\x84\x7f\xff\xff\xff", "announced"),
        (b"HTTP/1.1 200 OK\r\n", "no LDAP message"),
        (b"\x30\x80\x00\x00", "no LDAP message"),
        (b"\x30\xff" + b"\x01" * 200, "no LDAP message"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 4096])
def test_a_message_that_announces_too_much_is_refused_before_it_is_read(sent: bytes, words: str, size: int) -> None:
    with pair(lambda line: line.sendall(sent)) as raw, pytest.raises(OSError, match=words):
        received(SizedLine(raw), size)


def test_an_answer_of_many_messages_is_given_up_at_256_megabytes() -> None:
    message = b"\x30\x83\x0f\xff\xfb" + bytes((1 << 20) - 5)
    assert MOST_ANSWER_BYTES == 256 << 20

    def flood(line: socket.socket) -> None:
        for _ in range(300):
            line.sendall(message)

    with pair(flood) as raw, pytest.raises(OSError, match="more than 256 MB in one answer"):
        received(SizedLine(raw), 1 << 20)


@pytest.mark.parametrize("size", [1, 2, 5, 7, 4096])
def test_messages_of_all_lengths_pass_unchanged_however_they_are_cut(size: int) -> None:
    messages = [b"\x30\x00", b"\x30\x05" + bytes(5), b"\x30\x82\x01\x00" + bytes(256), b"\x30\x84\0\0\0\x03abc"]
    with pair(lambda line: line.sendall(b"".join(messages))) as raw:
        assert received(SizedLine(raw), size) == b"".join(messages)


def test_a_server_that_announces_two_gigabytes_is_exit_5_material(ldap: DirectoryServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def announce() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                with client, ldap.server.world.tls.wrap_socket(client, server_side=True) as line:  # type: ignore[union-attr]
                    line.recv(1000)
                    line.sendall(b"\x30\x84\x7f\xff\xff\xff")
                    line.recv(1000)

        thread = threading.Thread(target=announce, daemon=True)
        thread.start()
        with pytest.raises(Unreachable, match="announced a message of 2048 MB") as caught:
            ldap.source(ldap_uri=(f"ldaps://localhost:{listener.getsockname()[1]}",)).contexts()
        thread.join()
    assert PASSWORD not in str(caught.value)
    assert MOST_MESSAGE_BYTES < 2**31
