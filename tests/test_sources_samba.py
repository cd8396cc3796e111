"""A real domain controller: photos against ldapsearch, changes, rights, groups, sign-ins."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from connector.config import Settings
from connector.errors import Unreachable
from connector.model import PersonState, RequestCounters
from connector.sources import Cookie, Mode
from connector.sources.ldap import LdapSource
from tests.lab.directory import Directory, Record, Value
from tests.lab.ldapserver_directory import ReadResult, read_context
from tests.lab.samba import DomainController

pytestmark = pytest.mark.samba

Open = Callable[..., LdapSource]


@pytest.fixture
def opened(domain: DomainController, ou: str) -> Iterator[Open]:
    """Open sources over this test's OU, read by the least-privilege account."""
    sources: list[LdapSource] = []

    def open_one(traffic: RequestCounters | None = None, **changes: Any) -> LdapSource:
        usual: dict[str, Any] = {
            **{"ldap_uri": (domain.uri,), "ldap_ca_file": domain.ca_file, "ldap_base_dn": (ou,)},
            **{"ldap_user": domain.reader, "ldap_password": SecretStr(domain.reader_password)},
        }
        sources.append(LdapSource(Settings(**(usual | changes)), traffic or RequestCounters()))
        return sources[-1]

    yield open_one
    for source in sources:
        source.close()


def by_ldapsearch(domain: DomainController, ou: str) -> dict[str, str]:
    """Read {objectGUID: sha256 of jpegPhoto} by another client."""
    done = subprocess.run(
        [
            *("ldapsearch", "-H", domain.uri, "-x", "-D", domain.reader, "-w", domain.reader_password, "-LLL"),
            *("-o", "ldif-wrap=no", "-E", "pr=100/noprompt", "-b", ou, "(sAMAccountType=805306368)"),
            *("objectGUID", "jpegPhoto"),
        ],
        env={"LDAPTLS_CACERT": str(domain.ca_file), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for block in done.stdout.split("\n\n"):
        values = dict(line.split(":: ", 1) for line in block.splitlines() if ":: " in line)
        if "objectGUID" in values:
            guid = uuid.UUID(bytes_le=base64.b64decode(values["objectGUID"]))
            found[str(guid)] = hashlib.sha256(base64.b64decode(values.get("jpegPhoto", ""))).hexdigest()
    return found


def by_us(everybody: ReadResult) -> dict[str, str]:
    return {
        key: hashlib.sha256(b"".join(photo.content_bytes for photo in read.photos)).hexdigest()
        for key, read in everybody.read.items()
    }


def test_another_client_reads_the_same_photos_of_the_same_people(
    opened: Open, directory: Directory, domain: DomainController, ou: str
) -> None:
    directory.load(_records(ou, 620))
    traffic = RequestCounters()
    everybody = read_context(opened(traffic))
    assert len(everybody.read) == 620
    assert by_us(everybody) == by_ldapsearch(domain, ou)
    assert traffic.counts()["ldap_entries"] == 620 + 1  # the base DN is looked up, too


def _records(ou: str, count: int) -> Iterator[Record]:
    for number in range(count):
        photo = hashlib.shake_256(str(number).encode()).digest(2000 + number)
        attributes: dict[str, Value] = {
            "objectClass": "user",
            "sAMAccountName": f"x{uuid.uuid4().hex[:12]}",
            "jpegPhoto": photo,
        }
        yield Record(f"CN=Person {number},{ou}", attributes)


def test_a_person_is_told_with_all_that_matching_needs(opened: Open, directory: Directory, ou: str) -> None:
    consistency = uuid.uuid4().bytes
    made = directory.add_person(
        *(ou, "Zoë, von \\ Ü"),
        sAMAccountName="zoe",
        userPrincipalName="zoe@contoso.test",
        mail="zoe@contoso.com",
        thumbnailPhoto=b"small",
        jpegPhoto=[b"one", b"two"],
        **{"mS-DS-ConsistencyGuid": consistency},
    )
    source = opened()
    (read,) = read_context(source).read.values()
    person = read.person
    assert (person.id, person.sid, person.name.casefold()) == (made.guid, made.sid, made.dn.casefold())
    assert (person.upn, person.mail, person.sam_account_name) == ("zoe@contoso.test", "zoe@contoso.com", "zoe")
    assert person.anchor == base64.b64encode(consistency).decode()
    assert {(photo.attribute, photo.content_bytes) for photo in read.photos} == {
        *(("jpegPhoto", b"one"), ("jpegPhoto", b"two"), ("thumbnailPhoto", b"small"))
    }
    for name in ("zoe", "zoe@contoso.test", "zoe@contoso.com", made.dn):
        assert [found.person.id for found in source.find(name)] == [made.guid]


def test_without_consistency_guid_the_anchor_stems_from_the_object_guid(
    opened: Open, directory: Directory, ou: str
) -> None:
    made = directory.add_person(ou, "Anna")
    assert read_context(opened()).read[made.guid].person.anchor == made.anchor


def test_a_night_of_changes_as_the_least_privileged_account_sees_it(
    opened: Open, directory: Directory, ou: str
) -> None:
    people = {
        name: directory.add_person(ou, name, jpegPhoto=b"old") for name in ("set", "clear", "off", "away", "same")
    }
    elsewhere = directory.add_ou("Elsewhere", ou)
    mine = {"ldap_exclude_dn": (elsewhere,)}
    start = read_context(opened(**mine))
    directory.set_photo(people["set"].dn, b"new")
    directory.set_photo(people["clear"].dn)
    directory.disable(people["off"].dn)
    directory.move(people["away"].dn, elsewhere)
    traffic = RequestCounters()
    night = read_context(opened(traffic, **mine), start.cookie)
    assert night.mode is Mode.CHANGES
    assert night.photos(people["set"].guid) == [("jpegPhoto", b"new")]
    assert night.photos(people["clear"].guid) == []
    assert night.read[people["clear"].guid].cleared == {"jpegPhoto"}
    assert set(night.read) == {people["set"].guid, people["clear"].guid}
    assert night.gone == {people["off"].guid: PersonState.DISABLED, people["away"].guid: PersonState.OUT_OF_SCOPE}
    assert traffic.counts()["ldap_entries"] <= 2 * 4 + 5
    quiet = RequestCounters()
    assert read_context(opened(quiet, **mine), night.cookie).read == {}
    assert quiet.counts()["ldap_entries"] == 0


def test_a_photo_that_becomes_unreadable_is_no_clearing(opened: Open, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna", jpegPhoto=b"a")
    start = read_context(opened())
    directory.hide([anna.dn], "jpegPhoto")
    directory.set(anna.dn, mail="anna@contoso.com")
    night = read_context(opened(), start.cookie)
    assert (night.photos(anna.guid), night.read[anna.guid].cleared) == ([], frozenset())


def test_a_unit_that_moves_brings_its_people(
    opened: Open, directory: Directory, ou: str, domain: DomainController
) -> None:
    unit = directory.add_ou(f"Team {uuid.uuid4().hex[:6]}", domain.base_dn)
    anna = directory.add_person(unit, "Anna", jpegPhoto=b"a")
    start = read_context(opened())
    assert start.read == {}
    moved = directory.move(unit, ou)
    entered = read_context(opened(), start.cookie)
    assert entered.photos(anna.guid) == [("jpegPhoto", b"a")]
    back = directory.move(moved, domain.base_dn)
    assert read_context(opened(), entered.cookie).gone == {anna.guid: PersonState.OUT_OF_SCOPE}
    directory.delete(back)


def test_a_container_that_moves_brings_its_people(
    opened: Open, directory: Directory, ou: str, domain: DomainController
) -> None:
    container = f"CN=Team {uuid.uuid4().hex[:6]},{domain.base_dn}"
    directory.load([Record(container, {"objectClass": "container"})])
    anna = directory.add_person(container, "Anna", jpegPhoto=b"a")
    start = read_context(opened())
    assert start.read == {}
    moved = directory.move(container, ou)
    entered = read_context(opened(), start.cookie)
    assert (entered.mode, entered.photos(anna.guid)) == (Mode.CHANGES, [("jpegPhoto", b"a")])
    back = directory.move(moved, domain.base_dn)
    left = read_context(opened(), entered.cookie)
    assert left.gone[anna.guid] is PersonState.OUT_OF_SCOPE
    directory.delete(back)
    assert read_context(opened(), left.cookie).read == {}


def test_a_base_that_moves_away_is_an_error_and_nobody_leaves(opened: Open, directory: Directory, ou: str) -> None:
    base, elsewhere = directory.add_ou("Staff", ou), directory.add_ou("Elsewhere", ou)
    directory.add_person(base, "Anna", jpegPhoto=b"a")
    start = read_context(opened(ldap_base_dn=(base,)))
    directory.move(base, elsewhere)
    with pytest.raises(Unreachable, match=r"no such base DN.*\(LDAP_BASE_DN\)"):
        read_context(opened(ldap_base_dn=(base,)), start.cookie)


def test_who_is_there_is_told_by_id_without_photos(opened: Open, directory: Directory, ou: str) -> None:
    people = [directory.add_person(ou, name, jpegPhoto=b"x") for name in ("stays", "goes", "off")]
    directory.delete(people[1].dn)
    directory.disable(people[2].dn)
    traffic = RequestCounters()
    source = opened(traffic)
    (context,) = source.contexts()
    assert list(source.present(context, [person.guid for person in people])) == [people[0].guid]
    assert traffic.counts()["ldap_entries"] == 1


@pytest.mark.parametrize("anchor", ["uid", "OBJECTGUID", "mail", "JPEGPHOTO"])
def test_an_anchor_is_followed_whatever_attribute_it_is(
    opened: Open, directory: Directory, ou: str, anchor: str
) -> None:
    anna = directory.add_person(ou, "Anna", uid="one", mail="one", jpegPhoto=b"one")
    start = read_context(opened(ldap_anchor=anchor))
    directory.set(anna.dn, uid="two", mail="two", jpegPhoto=b"two")
    night = read_context(opened(ldap_anchor=anchor), start.cookie)
    before, after = start.read[anna.guid].person.anchor, night.read[anna.guid].person.anchor
    assert (before, after) == ((anna.anchor, anna.anchor) if anchor == "OBJECTGUID" else ("one", "two"))


def test_a_group_is_followed_through_nesting_and_primary_membership(
    opened: Open, directory: Directory, ou: str
) -> None:
    names = ("direct", "nested", "primary", "outside")
    people = {name: directory.add_person(ou, name, jpegPhoto=b"x") for name in names}
    inner = directory.add_group(ou, f"in{uuid.uuid4().hex[:8]}", [people["nested"].dn, people["primary"].dn])
    outer = directory.add_group(ou, f"out{uuid.uuid4().hex[:8]}", [people["direct"].dn, inner.dn])
    directory.set(people["primary"].dn, primaryGroupID=inner.sid.rpartition("-")[2])
    members = {people[name].guid for name in ("direct", "nested", "primary")}
    source = opened(ldap_group=outer.dn)
    start = read_context(source)
    assert set(start.read) == members
    (context,) = source.contexts()
    assert set(source.roster(context) or ()) == members
    directory.remove_members(outer.dn, people["direct"].dn)
    directory.add_members(inner.dn, people["outside"].dn)
    later = opened(ldap_group=outer.dn)
    assert read_context(later, start.cookie).mode is Mode.CHANGES
    assert set(later.roster(context) or ()) == {people[name].guid for name in ("nested", "primary", "outside")}
    # A group that is somebody's primary group cannot be deleted with the OU.
    directory.set(people["primary"].dn, primaryGroupID="513")


def test_contacts_are_read_and_followed_where_wanted(opened: Open, directory: Directory, ou: str) -> None:
    guest = directory.add_contact(ou, "Guest", mail="guest@fabrikam.com", thumbnailPhoto=b"g")
    assert read_context(opened()).read == {}
    start = read_context(opened(ldap_include_contacts=True))
    assert start.read[guest.guid].person.is_contact
    directory.set_photo(guest.dn, b"new", attribute="thumbnailPhoto")
    night = read_context(opened(ldap_include_contacts=True), start.cookie)
    assert night.photos(guest.guid) == [("thumbnailPhoto", b"new")]


def test_disabled_people_are_named_or_read(opened: Open, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna", jpegPhoto=b"a")
    directory.disable(anna.dn)
    assert read_context(opened()).gone == {anna.guid: PersonState.DISABLED}
    assert set(read_context(opened(ldap_include_disabled=True)).read) == {anna.guid}


def test_ldap_filter_is_applied_by_the_server(opened: Open, directory: Directory, ou: str) -> None:
    anna, ben = directory.add_person(ou, "Anna", department="Sales"), directory.add_person(ou, "Ben")
    start = read_context(opened(ldap_filter="(department=Sales)"))
    assert set(start.read) == {anna.guid}
    directory.set(ben.dn, department="Sales")
    assert set(read_context(opened(ldap_filter="(department=Sales)"), start.cookie).read) == {ben.guid}


def test_a_cookie_of_another_making_is_refused_and_everybody_read(opened: Open, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna")
    night = read_context(opened(), Cookie(b"\x00" * 40, ""))
    assert (night.mode, set(night.read)) == (Mode.FULL, {anna.guid})
    assert "refused the cookie" in night.notice


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ldap_password": SecretStr("wrong")}, "data 52e"),
        ({"ldap_user": "nobody@contoso.test"}, "user name or the password is wrong"),
        ({"ldap_ca_file": None}, "certificate is not trusted"),
        ({"ldap_base_dn": ("OU=Nowhere,DC=contoso,DC=test",)}, "no such base DN"),
    ],
    ids=["password", "user", "authority", "base"],
)
def test_a_real_controllers_refusals_are_told_in_words(opened: Open, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unreachable, match=words) as caught:
        read_context(opened(**changes))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"userAccountControl": "514"}, "data 533"),
        ({"accountExpires": "1"}, "data 701"),
        ({"pwdLastSet": "0"}, "data 773"),
    ],
    ids=["disabled", "expired", "must change"],
)
def test_the_state_of_the_reading_account_is_told(
    opened: Open, directory: Directory, domain: DomainController, changes: dict[str, str], data: str
) -> None:
    usual = {"userAccountControl": "512", "accountExpires": "0", "pwdLastSet": "-1"}
    directory.set(domain.reader_dn, **changes)
    try:
        with pytest.raises(Unreachable, match=data):
            read_context(opened())
    finally:
        directory.set(domain.reader_dn, **{name: usual[name] for name in changes})
    assert read_context(opened()).complete


def test_start_tls_works_on_the_plain_port(
    opened: Open, directory: Directory, domain: DomainController, ou: str
) -> None:
    anna = directory.add_person(ou, "Anna")
    assert set(read_context(opened(ldap_uri=(domain.plain_uri,), ldap_start_tls=True)).read) == {anna.guid}


def test_the_whole_domain_is_read_where_no_base_is_set(opened: Open, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna")
    everybody = read_context(opened(ldap_base_dn=()))
    assert anna.guid in everybody.read
    assert all(read.person.sam_account_name.lower() != "krbtgt" for read in everybody.read.values())


def test_a_restarted_controller_is_found_again(
    opened: Open, directory: Directory, domain: DomainController, ou: str
) -> None:
    anna = directory.add_person(ou, "Anna", jpegPhoto=b"a")
    source = opened()
    start = read_context(source)
    domain.restart()
    assert [read.person.id for read in source.fetch([anna.guid])] == [anna.guid]
    assert read_context(source, start.cookie).mode is Mode.CHANGES
