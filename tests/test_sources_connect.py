"""Connecting and its refusals: servers, certificates, sign-ins and DNS, each refused for real."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from pydantic import SecretStr

from connector.errors import SettingsError, Unreachable
from connector.model import RequestCounters
from connector.sources import Cookie, Mode
from connector.sources.connect import can_seal
from connector.sources.endpoints import Endpoint, Security, Service, controllers, endpoints, ordered
from connector.sources.ldap import LdapSource
from connector.sources.ldap_errors import ConnectionLost, SignInRefused, from_exception
from tests.lab.ldapserver import LdapServer, server_context
from tests.lab.ldapserver_directory import DirectoryServer, authority, read_context
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_world import PASSWORD, READER, UNSIGNED, logon_refusal
from tests.lab.pki import Authority


@pytest.fixture
def ldap() -> Iterator[DirectoryServer]:
    with DirectoryServer() as ldap:
        ldap.person("anna")
        yield ldap


def refusal(ldap: DirectoryServer, **changes: Any) -> Unreachable:
    """Return how opening the source fails."""
    with pytest.raises(Unreachable) as caught:
        ldap.source(**changes).contexts()
    assert PASSWORD not in str(caught.value)
    return caught.value


# The sign-in


@pytest.mark.parametrize(
    ("data", "meaning", "fix"),
    [
        ("52e", "user name or the password is wrong", "LDAP_PASSWORD"),
        ("525", "no such user", "LDAP_USER"),
        ("530", "at this hour", "hours"),
        ("531", "from this computer", "Log On To"),
        ("532", "password has expired", "LDAP_PASSWORD"),
        ("533", "disabled", "Enable"),
        ("701", "account has expired", "expiry"),
        ("773", "must be changed", "must change"),
        ("775", "locked out", "Unlock"),
        ("568", "too many groups", "few memberships"),
    ],
)
def test_each_refused_sign_in_is_told_in_words_with_its_fix(
    ldap: DirectoryServer, data: str, meaning: str, fix: str
) -> None:
    ldap.knobs.refuse_bind = logon_refusal(data)
    failure = refusal(ldap)
    assert isinstance(failure, SignInRefused)
    assert meaning in failure.message
    assert fix in failure.fix
    assert f"data {data}" in failure.message


@pytest.mark.parametrize(
    ("code", "text", "meaning", "fix"),
    [
        (
            49,
            "80090346: LdapErr: DSID-0C0906B5, data 80090346, v4563\x00",
            "channel binding",
            "photo-connector[kerberos]",
        ),
        (8, UNSIGNED, "unprotected", "LDAP_START_TLS"),
        (8, "BindSimple: Transport encryption required.", "unprotected", "ldaps://"),
        (8, "SASL:[GSSAPI]: Sign or Seal are required.", "sealed", "ldap://"),
        (49, "", "user name or the password is wrong", "LDAP_USER"),
        (34, "invalid DN", "misspelt", "LDAP_USER"),
        (48, "", "not allowed", "LDAP_AUTH"),
        (51, "", "busy", "later"),
        (80, "unheard of", "refused the sign-in", "later"),
    ],
)
def test_each_other_refusal_is_told_in_words_with_its_fix(
    ldap: DirectoryServer, code: int, text: str, meaning: str, fix: str
) -> None:
    ldap.knobs.refuse_bind = (code, text)
    failure = refusal(ldap)
    assert meaning in failure.message
    assert fix in failure.fix
    assert "\x00" not in str(failure)


def test_a_wrong_password_is_tried_on_one_server_only(ldap: DirectoryServer) -> None:
    with DirectoryServer() as other:
        uris = (ldap.server.uri, other.server.uri)
        failure = refusal(ldap, ldap_uri=uris, ldap_password=SecretStr("wrong"))
        assert isinstance(failure, SignInRefused)
        assert (ldap.server.binds, other.server.binds) == ([READER], [])


def test_a_busy_server_hands_over_to_the_next(ldap: DirectoryServer) -> None:
    with DirectoryServer() as busy:
        busy.knobs.refuse_bind = (51, "")
        source = ldap.source(ldap_uri=(busy.server.uri, ldap.server.uri))
        assert read_context(source).server == ldap.server.name


def test_a_search_that_counts_as_anonymous_is_told_so(ldap: DirectoryServer) -> None:
    ldap.knobs.forgets_sign_in = True
    with pytest.raises(Unreachable, match="counted as anonymous") as caught:
        read_context(ldap.source())
    assert "LDAP_USER" in caught.value.fix


def test_the_password_never_goes_over_an_open_line() -> None:
    with DirectoryServer(plain=True) as ldap:
        with pytest.raises(SettingsError, match="unencrypted"):
            ldap.source().contexts()
        assert ldap.server.binds == []


# The servers


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def deaf_server() -> Iterator[str]:
    """Listen, and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ldaps://127.0.0.1:{listener.getsockname()[1]}"


def test_dead_servers_are_passed_over(ldap: DirectoryServer) -> None:
    source = ldap.source(ldap_uri=(f"ldaps://localhost:{closed_port()}", "ldaps://nowhere.invalid", ldap.server.uri))
    assert read_context(source).server == ldap.server.name


def test_when_all_fail_one_error_names_each_and_why(ldap: DirectoryServer, tmp_path: Path) -> None:
    stranger = server_context(Authority(tmp_path).issue("localhost"))
    with LdapServer(Tree(), tls=stranger) as distrusted:
        closed = f"localhost:{closed_port()}"
        uris = (f"ldaps://{closed}", "ldaps://nowhere.invalid", distrusted.uri)
        failure = refusal(ldap, ldap_uri=uris)
    assert failure.system == "directory"
    assert f"{closed}: connection refused" in failure.message
    assert "nowhere.invalid: its name is not known to DNS" in failure.message
    assert f"{distrusted.name}: its certificate is not trusted" in failure.message
    assert "LDAP_CA_FILE" in failure.fix


def test_a_server_that_says_nothing_does_not_hold_us_up_for_long(ldap: DirectoryServer) -> None:
    with deaf_server() as uri:
        assert "no answer in time" in refusal(ldap, ldap_uri=(uri,)).message


def test_many_servers_that_say_nothing_do_not_hold_us_up_for_long_either(ldap: DirectoryServer) -> None:
    with ExitStack() as stack:
        uris = [stack.enter_context(deaf_server()) for _ in range(4)]
        failure = refusal(ldap, ldap_uri=tuple(uris))
    assert failure.message.count("no answer in time") == 4, "each has its share of the time"


def test_a_server_is_known_by_its_name_and_the_cookies_server_comes_first(ldap: DirectoryServer) -> None:
    with DirectoryServer(ldap.tree) as second:
        uris = (ldap.server.uri, second.server.uri)
        start = read_context(second.source())
        assert start.server == second.server.name
        assert read_context(ldap.source(ldap_uri=uris), start.cookie).server == second.server.name


def test_another_server_of_the_domain_gets_the_same_cookie(ldap: DirectoryServer) -> None:
    start = read_context(ldap.source())
    with DirectoryServer(ldap.tree) as second:
        ldap.server.close()
        night = read_context(second.source(ldap_uri=(ldap.server.uri, second.server.uri)), start.cookie)
        assert (night.mode, night.server) == (Mode.CHANGES, second.server.name)


def test_each_context_is_read_from_a_server_that_holds_it() -> None:
    emea, apac = "DC=emea,DC=contoso,DC=test", "DC=apac,DC=contoso,DC=test"
    with DirectoryServer(Tree(emea)) as one, DirectoryServer(Tree(apac)) as two:
        anna, ben = one.person("anna", ou=f"OU=A,{emea}"), two.person("ben", ou=f"OU=B,{apac}")
        uris = (one.server.uri, two.server.uri)
        source = one.source(ldap_uri=uris, ldap_base_dn=(f"OU=A,{emea}", f"OU=B,{apac}"))
        read = {
            context: [e for page in source.read(context, None).pages for e in page.events]
            for context in source.contexts()
        }
        assert {context: len(events) for context, events in read.items()} == {emea: 1, apac: 1}
        assert {read.person.id for read in source.fetch([anna.id, ben.id])} == {anna.id, ben.id}
        two.server.close()
        # One domain is gone: the other is read as ever, and fetch fails only where somebody is missing.
        assert len(list(source.read(emea, None).pages)) > 0
        assert [read.person.id for read in source.fetch([anna.id])] == [anna.id]
        with pytest.raises(Unreachable):
            list(source.fetch([anna.id, ben.id]))
        with pytest.raises(Unreachable, match=rf"{one.server.name}: it does not hold {apac}.*{two.server.name}"):
            source.read(apac, Cookie(b"", ""))


def test_a_base_dn_of_no_server_is_named(ldap: DirectoryServer) -> None:
    source = ldap.source(ldap_base_dn=("OU=A,DC=other,DC=test",))
    with pytest.raises(Unreachable, match="does not hold DC=other,DC=test") as caught:
        read_context(source)
    assert "LDAP_URI" in caught.value.fix


# Certificates


def tls_failure(ldap: DirectoryServer, context: ssl.SSLContext, **changes: Any) -> Unreachable:
    with LdapServer(Tree(), tls=context) as server:
        return refusal(ldap, ldap_uri=(server.uri,), **changes)


def test_an_expired_certificate_is_refused(ldap: DirectoryServer) -> None:
    failure = tls_failure(ldap, server_context(authority().expired("localhost")))
    assert "certificate has expired" in failure.message
    assert isinstance(failure, ConnectionLost)


def test_a_certificate_for_another_host_is_refused(ldap: DirectoryServer) -> None:
    failure = tls_failure(ldap, server_context(authority().wrong_name()))
    assert "for another host name" in failure.message


def test_a_certificate_of_an_unknown_authority_is_refused(ldap: DirectoryServer, tmp_path: Path) -> None:
    failure = tls_failure(ldap, server_context(Authority(tmp_path).issue("localhost")))
    assert "not trusted" in failure.message
    assert "LDAP_CA_FILE" in failure.fix


@pytest.mark.skipif(
    sys.platform == "win32", reason="Wine accepts an authority that is not shown; test_windows_trust.py"
)
def test_the_systems_store_does_not_know_our_authority(ldap: DirectoryServer) -> None:
    assert "not trusted" in refusal(ldap, ldap_ca_file=None).message
    assert ldap.server.binds == []


def test_an_ip_address_is_fine_where_the_certificate_names_it(ldap: DirectoryServer) -> None:
    by_number = ldap.server.uri.replace("localhost", "127.0.0.1")
    assert read_context(ldap.source(ldap_uri=(by_number,))).names == {"anna"}


def test_an_unreadable_ca_file_is_a_setting_to_mend(ldap: DirectoryServer, tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate", encoding="utf-8")
    with pytest.raises(SettingsError, match="LDAP_CA_FILE"):
        ldap.source(ldap_ca_file=broken).contexts()


def test_start_tls_encrypts_before_the_sign_in() -> None:
    with DirectoryServer(start_tls=True) as ldap:
        ldap.person("anna")
        assert read_context(ldap.source(ldap_start_tls=True)).names == {"anna"}


def test_start_tls_that_is_not_offered_ends_before_the_sign_in() -> None:
    with DirectoryServer(start_tls=True) as ldap:
        ldap.knobs.offers_start_tls = False
        failure = refusal(ldap, ldap_start_tls=True)
        assert "StartTLS" in failure.message
        assert ldap.server.binds == []


def test_start_tls_verifies_too(ldap: DirectoryServer, tmp_path: Path) -> None:
    stranger = server_context(Authority(tmp_path).issue("localhost"))
    with LdapServer(Tree(), tls=stranger, start_tls=True) as server:
        failure = refusal(ldap, ldap_uri=(server.uri,), ldap_start_tls=True)
        assert "not trusted" in failure.message
        assert server.binds == []


def test_ldaps_towards_a_server_that_speaks_none_is_told(ldap: DirectoryServer) -> None:
    with DirectoryServer(plain=True) as plain:
        failure = refusal(ldap, ldap_uri=(plain.server.uri.replace("ldap:", "ldaps:"),))
    assert isinstance(failure, ConnectionLost)


# Kerberos


@pytest.mark.skipif(can_seal(), reason="this ldap3 can seal")
def test_kerberos_without_its_extra_is_a_setting_to_mend(ldap: DirectoryServer) -> None:
    with pytest.raises(SettingsError, match=r"photo-connector\[kerberos\]"):
        ldap.source(ldap_auth="kerberos")


class GSSError(Exception):
    """Look like gssapi's error, whose library these tests do without."""

    __module__ = "gssapi.raw.misc"


@pytest.mark.parametrize(
    ("text", "words", "fix"),
    [
        ("Major: No Kerberos credentials available (default cache: FILE:/tmp/x)", "no ticket", "KRB5_CLIENT_KTNAME"),
        ("Server ldap/dc@X not found in Kerberos database", "no service principal", "full host name"),
        ("Clock skew too great", "clocks differ", "clock"),
        ("Ticket expired", "ticket has expired", "KRB5_CLIENT_KTNAME"),
        ("Cannot contact any KDC for realm 'X'", "no KDC", "krb5.conf"),
        ("something else", "something else", "klist"),
    ],
)
def test_kerberos_errors_are_told_in_words(text: str, words: str, fix: str) -> None:
    failure = from_exception("dc1.contoso.test", "signing in", GSSError(text))
    assert words in failure.message
    assert fix in failure.fix


# Discovery


class NameServer:
    """Answer SRV questions over TCP alone, from a table."""

    def __init__(self, table: dict[str, list[tuple[int, int, int, str]]]) -> None:
        self.table = table
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], self.port
        return resolver

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, line.makefile("rb") as reader:
                (size,) = struct.unpack("!H", reader.read(2))
                wire = self._answer(dns.message.from_wire(reader.read(size))).to_wire()
                line.sendall(struct.pack("!H", len(wire)) + wire)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        name = query.question[0].name
        plain = name.to_text(omit_final_dot=True).lower()
        self.asked.append(plain)
        if plain not in self.table:
            answer.set_rcode(dns.rcode.NXDOMAIN)
            return answer
        records = [" ".join(map(str, record)) for record in self.table[plain]]
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *records))
        return answer


DC = "_ldap._tcp.dc._msdcs.contoso.test"
SITE = "_ldap._tcp.berlin._sites.dc._msdcs.contoso.test"


@contextmanager
def name_server(table: dict[str, list[tuple[int, int, int, str]]]) -> Iterator[NameServer]:
    """Make the process ask a name server of ours, as a machine of the domain asks the domain's."""
    server = NameServer(table)
    usual, dns.resolver.default_resolver = dns.resolver.default_resolver, server.resolver()
    try:
        yield server
    finally:
        dns.resolver.default_resolver = usual
        server.close()


def test_controllers_of_the_site_come_first_each_once_in_lower_case() -> None:
    table = {
        SITE: [(0, 100, 389, "DC3.contoso.test.")],
        DC: [(1, 1, 389, "far.contoso.test."), (0, 1, 389, "dc3.contoso.test."), (0, 1, 389, "dc1.contoso.test.")],
    }
    with name_server(table):
        assert controllers("contoso.test", "berlin") == ["dc3.contoso.test", "dc1.contoso.test", "far.contoso.test"]


def test_an_unknown_site_is_no_obstacle() -> None:
    with name_server({DC: [(0, 100, 389, "dc1.contoso.test.")]}) as server:
        assert controllers("contoso.test", "nowhere") == ["dc1.contoso.test"]
        assert len(server.asked) == 2


def test_more_controllers_than_a_datagram_holds_are_all_found() -> None:
    many = [(0, 100, 389, f"a-rather-long-host-name-{number}.contoso.test.") for number in range(200)]
    with name_server({DC: many}):
        assert len(controllers("contoso.test", "")) == 200


def test_a_domain_that_dns_does_not_know_is_named() -> None:
    with name_server({}), pytest.raises(Unreachable, match=r"no domain controller of contoso\.test") as caught:
        controllers("contoso.test", "berlin")
    assert "LDAP_DOMAIN" in caught.value.fix


def test_a_name_server_that_is_gone_is_told(ldap: DirectoryServer) -> None:
    with name_server({}) as server:
        server.close()
        with pytest.raises(Unreachable, match="DNS gave no answer"):
            ldap.source(ldap_uri=(), ldap_domain="contoso.test").read("DC=contoso,DC=test", None)


def test_controllers_are_asked_over_ldaps_or_start_tls_and_each_domain_at_its_own(ldap: DirectoryServer) -> None:
    emea = "_ldap._tcp.dc._msdcs.emea.contoso.test"
    with name_server({DC: [(0, 1, 389, "dc1.contoso.test.")], emea: [(0, 1, 389, "dc9.emea.contoso.test.")]}):
        by_dns = ldap.settings(ldap_uri=(), ldap_domain="contoso.test")
        assert endpoints(by_dns) == [Endpoint("dc1.contoso.test", 636, Security.LDAPS)]
        upgraded = ldap.settings(ldap_uri=(), ldap_domain="contoso.test", ldap_start_tls=True)
        assert endpoints(upgraded) == [Endpoint("dc1.contoso.test", 389, Security.START_TLS)]
        assert [end.host for end in endpoints(by_dns, "DC=emea,DC=contoso,DC=test")] == ["dc9.emea.contoso.test"]


def test_priority_decides_and_weight_shares_the_load() -> None:
    services = [Service(1, 50, "late", 389), Service(0, 90, "often", 389), Service(0, 9, "seldom", 389)]
    orders = [[service.host for service in ordered(services, chance=Random(seed))] for seed in range(200)]
    assert all(order[-1] == "late" for order in orders)
    first = [order[0] for order in orders].count("often")
    assert 150 < first < 200


def test_uris_keep_their_order_ports_and_protection(ldap: DirectoryServer) -> None:
    uris = ("ldaps://DC1.contoso.test", "ldap://dc2.contoso.test:10389", "ldaps://[::1]:10636")
    found = endpoints(ldap.settings(ldap_uri=uris))
    assert found == [
        Endpoint("dc1.contoso.test", 636, Security.LDAPS),
        Endpoint("dc2.contoso.test", 10389, Security.PLAIN),
        Endpoint("::1", 10636, Security.LDAPS),
    ]
    assert [endpoint.name for endpoint in found] == ["dc1.contoso.test", "dc2.contoso.test:10389", "::1:10636"]


def test_nothing_is_contacted_before_a_source_is_used(ldap: DirectoryServer) -> None:
    LdapSource(ldap.settings(), RequestCounters()).close()
    assert ldap.server.asked == []
