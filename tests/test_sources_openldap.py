"""A directory that is not AD: a real OpenLDAP server, read in full every time, by entryUUID."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources import Mode
from connector.sources.ldap import LdapSource
from tests.company import face
from tests.lab.graph import Emulator
from tests.lab.ldapserver_directory import read_context
from tests.lab.openldap import MANAGER, READER, ROOT, OpenLdap, need_slapd
from tests.runner import Runner

PEOPLE = f"ou=people,{ROOT}"
INNER, OUTER = f"cn=inner,{ROOT}", f"cn=outer,{ROOT}"
Open = Callable[..., LdapSource]


def person(name: str, **attributes: list[str | bytes]) -> tuple[str, dict[str, list[str | bytes]]]:
    usual: dict[str, list[str | bytes]] = {"objectClass": ["inetOrgPerson"], "sn": [name], "cn": [name], "uid": [name]}
    return f"uid={name},{PEOPLE}", usual | {"mail": [f"{name}@example.org"]} | attributes


ENTRIES: list[tuple[str, dict[str, list[str | bytes]]]] = [
    (ROOT, {"objectClass": ["organization", "dcObject"], "o": ["Example"], "dc": ["example"]}),
    (PEOPLE, {"objectClass": ["organizationalUnit"], "ou": ["people"]}),
    (READER, {"objectClass": ["organizationalRole", "simpleSecurityObject"], "userPassword": ["only for this reader"]}),
    person("anna", jpegPhoto=[b"\xff\xd8anna"], employeeNumber=["0815"]),
    person("ben"),
    person("dora", jpegPhoto=[face("dora")], employeeNumber=["0817"]),
    person("emil", jpegPhoto=[face("emil")], employeeNumber=["0818"]),
    person("cleo", jpegPhoto=[face("cleo")], employeeNumber=["0816"]),
    *(person(f"crowd{number}") for number in range(600)),
    (INNER, {"objectClass": ["groupOfNames"], "cn": ["inner"], "member": [f"uid=ben,{PEOPLE}", OUTER]}),
    (OUTER, {"objectClass": ["groupOfNames"], "cn": ["outer"], "member": [f"UID=Anna, {PEOPLE}", INNER]}),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenLdap]:
    need_slapd()
    folder: Path = tmp_path_factory.mktemp("openldap")
    with OpenLdap(folder, ENTRIES) as server:
        yield server


@pytest.fixture
def opened(server: OpenLdap) -> Iterator[Open]:
    sources: list[LdapSource] = []

    def open_one(**changes: Any) -> LdapSource:
        usual: dict[str, Any] = {
            **{"ldap_uri": (server.uri,), "ldap_ca_file": server.ca_file},
            **{"ldap_user": MANAGER, "ldap_password": SecretStr(server.password)},
        }
        sources.append(LdapSource(Settings(**(usual | changes)), RequestCounters()))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def test_everybody_is_read_in_full_every_night_and_the_report_says_why(opened: Open) -> None:
    night = read_context(opened())
    assert (night.mode, night.cookie, len(night.read)) == (Mode.FULL, None, 605)
    assert "does not offer DirSync" in night.notice
    assert night.gone == {}


def test_a_night_reads_everybody_says_why_and_sends_only_what_changed(
    server: OpenLdap, cloud: Emulator, tmp_path: Path
) -> None:
    cloud.tenant.add_account("cleo@contoso.test", mail="cleo@example.org", immutable_id="0816", synced=True)
    settings = {
        **{"LDAP_URI": server.uri, "LDAP_CA_FILE": str(server.ca_file), "LDAP_BASE_DN": PEOPLE},
        **{"LDAP_USER": MANAGER, "LDAP_PASSWORD": server.password, "LDAP_ANCHOR": "employeeNumber"},
    }
    runner = Runner(tmp_path, {**settings, **cloud.environ()})

    first, second = runner.sync(), runner.sync(days=1)

    assert (first.code, first.totals["people"], first.totals["created"]) == (0, 605, 1), first.err
    assert (second.code, second.report["mode"], second.requests["http"]) == (0, "full", 1)
    assert any("does not offer DirSync, so everybody was read" in notice for notice in second.report["notices"])
    assert second.totals["unchanged"] == 1
    assert len(cloud.tenant.writes()) == 1


def test_people_have_lasting_ids_and_are_found_by_name_and_id(opened: Open) -> None:
    source = opened(ldap_anchor="employeeNumber", ldap_base_dn=(PEOPLE,))
    (anna,) = source.find("anna")
    assert (anna.person.sam_account_name, anna.person.mail, anna.person.anchor) == ("anna", "anna@example.org", "0815")
    assert [(photo.attribute, photo.content_bytes) for photo in anna.photos] == [("jpegPhoto", b"\xff\xd8anna")]
    assert [read.person for read in source.fetch([anna.person.id])] == [anna.person]
    assert [read.person for read in source.find(f"uid=anna,{PEOPLE}")] == [anna.person]


def test_members_of_nested_groups_are_followed_even_in_a_circle(opened: Open) -> None:
    for group in (OUTER, "outer"):
        source = opened(ldap_group=group)
        night = read_context(source)
        assert night.names == {"anna", "ben"}
        (context,) = source.contexts()
        assert set(source.roster(context) or ()) == set(night.read)


@pytest.mark.parametrize("group", [INNER, OUTER])
def test_a_group_whose_members_are_hidden_is_never_nobody(server: OpenLdap, opened: Open, group: str) -> None:
    hands = server.hands()
    hands.modify(INNER, {"description": [("MODIFY_REPLACE", ["guarded"])]})
    reader = {"ldap_user": READER, "ldap_password": SecretStr("only for this reader")}
    try:
        with pytest.raises(Unreachable, match=r"the members of cn=inner,\S+ \(LDAP_GROUP\) cannot be read"):
            read_context(opened(ldap_group=group, **reader))
    finally:
        hands.modify(INNER, {"description": [("MODIFY_REPLACE", [])]})
        hands.unbind()
    assert read_context(opened(ldap_group=group, **reader)).names == {"anna", "ben"}


def test_a_group_that_is_not_there_is_an_error(opened: Open) -> None:
    with pytest.raises(Unreachable, match="no group"):
        read_context(opened(ldap_group="nobody"))


def test_a_wrong_password_and_a_wrong_base_are_told_in_words(opened: Open) -> None:
    with pytest.raises(Unreachable, match="user name or the password is wrong"):
        read_context(opened(ldap_password=SecretStr("wrong")))
    with pytest.raises(Unreachable, match="no such base DN"):
        read_context(opened(ldap_base_dn=(f"ou=nowhere,{ROOT}",)))


def test_a_photo_that_may_not_be_read_is_told_from_one_that_is_gone(
    server: OpenLdap, cloud: Emulator, tmp_path: Path
) -> None:
    account_ids = {}
    for name, number in (("dora", "0817"), ("emil", "0818")):
        upn = f"{name}@contoso.test"
        account_ids[name] = cloud.tenant.add_account(upn, immutable_id=number, synced=True)
    settings = {
        **{"LDAP_URI": server.uri, "LDAP_CA_FILE": str(server.ca_file), "LDAP_BASE_DN": PEOPLE},
        **{"LDAP_USER": READER, "LDAP_PASSWORD": "only for this reader", "LDAP_ANCHOR": "employeeNumber"},
    }
    runner = Runner(tmp_path, {**settings, **cloud.environ(), "SYNC_REMOVED": "remove"})
    first = runner.sync()
    assert (first.code, first.totals["created"]) == (0, 2), first.err
    hands = server.hands()
    hands.modify(f"uid=dora,{PEOPLE}", {"employeeType": [("MODIFY_REPLACE", ["guarded"])]})
    hands.modify(f"uid=emil,{PEOPLE}", {"jpegPhoto": [("MODIFY_REPLACE", [])]})

    told, again = runner.sync(days=1), runner.sync(days=1)

    assert (told.code, again.code) == (0, 0), told.err
    dora, emil = f"uid=dora,{PEOPLE}", f"uid=emil,{PEOPLE}"
    assert (told.of(dora), told.of(emil)) == (("skip", "source-unread"), ("remove", "source-removed"))
    assert again.of(dora) == ("skip", "source-unread")
    assert any("jpegPhoto: 1, mail: 1" in notice for notice in told.report["notices"])
    assert cloud.tenant.photo(account_ids["dora"]) is not None
    assert cloud.tenant.photo(account_ids["emil"]) is None

    hands.modify(f"uid=dora,{PEOPLE}", {"employeeType": [("MODIFY_REPLACE", [])]})
    assert runner.sync(days=1).totals["unchanged"] >= 1
    hands.unbind()
