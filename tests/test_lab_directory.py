"""The directory of the tests keeps its promises: a real controller, and a reader without rights."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

import ldap3
import pytest
from PIL import Image

from connector.model import Action, Fingerprint, Reason
from connector.photo import PictureRefused, Recipe, prepare, read_print
from tests.lab import loopback, pictures
from tests.lab.awkward import awkward_people
from tests.lab.cases import Case
from tests.lab.crowd import face, load_crowd, name_of
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.people import load
from tests.lab.pki import Authority
from tests.lab.samba import DomainController
from tests.lab.world import fill

PHOTOS = ("jpegPhoto", "thumbnailPhoto")
Hashes = dict[str, set[str]]


@contextmanager
def as_reader(domain: DomainController, *, uri: str = "") -> Iterator[ldap3.Connection]:
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(domain.ca_file))
    server = ldap3.Server(uri or domain.uri, tls=tls, get_info=ldap3.NONE, connect_timeout=120)
    connection = ldap3.Connection(server, domain.reader, domain.reader_password, receive_timeout=60)
    try:
        connection.bind()
        yield connection
    finally:
        connection.unbind()


def naming_context(domain: DomainController) -> str:
    with as_reader(domain) as connection:
        assert connection.bound
        connection.search("", "(objectClass=*)", ldap3.BASE, attributes=["defaultNamingContext"])
        [value] = connection.response[0]["raw_attributes"]["defaultNamingContext"]
        return str(value.decode())


def is_open(ip: str, port: int) -> bool:
    with socket.socket() as line:
        line.settimeout(20)
        return line.connect_ex((ip, port)) == 0


def greet(domain: DomainController, ca_file: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(ca_file))
    with socket.create_connection((domain.host, 636), timeout=120) as line:
        trusting.wrap_socket(line, server_hostname=domain.host).close()


def reading(domain: DomainController, dn: str) -> set[str]:
    with as_reader(domain) as connection:
        connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=[*PHOTOS, "mS-DS-ConsistencyGuid"])
        return {name for name, values in connection.response[0]["raw_attributes"].items() if values}


def records(ldif: str) -> Iterator[Mapping[str, list[bytes]]]:
    for block in ldif.replace("\n ", "").split("\n\n"):
        found: dict[str, list[bytes]] = {}
        for line in block.splitlines():
            name, colons, value = line.partition(": ")
            if colons and not line.startswith("#"):
                decoded = base64.b64decode(value) if name.endswith(":") else value.encode()
                found.setdefault(name.rstrip(":"), []).append(decoded)
        yield found


def hashed(rows: Iterator[Mapping[str, list[bytes]]]) -> Hashes:
    # ldbsearch writes objectGUID as text, LDAP as its bytes.
    people = [row for row in rows if "objectGUID" in row]
    return {guid_text(row["objectGUID"][0]): photo_hashes(row) for row in people}


def guid_text(value: bytes) -> str:
    return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else value.decode()


def photo_hashes(row: Mapping[str, list[bytes]]) -> set[str]:
    return {hashlib.sha256(value).hexdigest() for name in PHOTOS for value in row.get(name, [])}


def run(*command: str, **variables: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_ldapsearch(domain: DomainController, ou: str) -> Hashes:
    found = run(
        *("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=100/noprompt", "-x", "-H", domain.uri),
        *("-D", domain.reader, "-w", domain.reader_password, "-b", ou, "(objectClass=user)", "objectGUID", *PHOTOS),
        LDAPTLS_CACERT=str(domain.ca_file),
    )
    return hashed(records(found))


def by_ldbsearch(domain: DomainController, ou: str) -> Hashes:
    database = str(domain.folder / "private" / "sam.ldb")
    found = run("ldbsearch", "-H", database, "-b", ou, "(objectClass=user)", "objectGUID", *PHOTOS)
    return hashed(records(found))


# -- the controller


def test_the_reader_logs_on_over_verified_tls(domain: DomainController) -> None:
    assert naming_context(domain) == domain.base_dn


def test_a_certificate_of_another_authority_is_refused(domain: DomainController, tmp_path: Path) -> None:
    greet(domain, domain.ca_file)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
        greet(domain, Authority(tmp_path).ca_file)


def test_bad_certificates_are_shown_for_a_while_and_refused(domain: DomainController) -> None:
    expired, foreign = domain.authority.expired(domain.host), domain.authority.wrong_name()
    with domain.presenting(expired), pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        greet(domain, domain.ca_file)
    with domain.presenting(foreign), pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greet(domain, domain.ca_file)
    greet(domain, domain.ca_file)


def test_a_plain_text_logon_is_refused(domain: DomainController) -> None:
    with as_reader(domain, uri=domain.plain_uri) as connection:
        assert connection.result["description"] == "strongerAuthRequired"
        assert not connection.bound


def test_the_keytab_logs_the_reader_on_unattended(domain: DomainController, tmp_path: Path) -> None:
    variables = {**domain.kerberos_environment, "KRB5CCNAME": f"FILE:{tmp_path / 'tickets'}"}
    search = ("ldapsearch", "-LLL", "-Q", "-Y", "GSSAPI", "-b", domain.reader_dn, "-s", "base")
    for uri, seal in (domain.plain_uri, "minssf=56"), (domain.uri, "maxssf=0"):
        seen = run(*search, "-O", seal, "-H", uri, "cn", **variables, LDAPTLS_CACERT=str(domain.ca_file))
        assert "cn: svc-photo" in seen, uri


def test_a_second_domain_lives_beside_the_first(domain: DomainController, tmp_path: Path) -> None:
    address = loopback.claim("FABRIKAM.TEST")
    with DomainController(tmp_path / "fabrikam", address=address.ip, realm="FABRIKAM.TEST") as second:
        assert second.address != domain.address
        assert naming_context(second) == "DC=fabrikam,DC=test"
        assert naming_context(domain) == "DC=contoso,DC=test"
    with pytest.raises(ConnectionRefusedError):
        greet(second, second.ca_file)
    address.release()


def test_one_address_never_has_two_names() -> None:
    with pytest.raises(RuntimeError, match="has another name"):
        loopback.announce("dc-of-another-realm.invalid", "127.0.0.1")


def test_two_labs_never_share_an_address() -> None:
    claims = [loopback.claim(), loopback.claim(), loopback.claim("FABRIKAM.TEST")]
    assert len({claim.ip for claim in claims}) == 3
    assert len({claim.ip.rpartition(".")[0] for claim in claims}) == 2
    for claim in claims:
        claim.release()


def test_a_killed_test_run_leaves_no_controller_behind(domain: DomainController, tmp_path: Path) -> None:
    address = loopback.claim()
    story = (
        "import pathlib, sys, time; from tests.lab.samba import DomainController;"
        "lab = DomainController(pathlib.Path(sys.argv[1]), address=sys.argv[2]);"
        "lab.provision(); lab.start(); print(lab.host, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", story, str(tmp_path / "orphan"), address.ip]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as told:
        assert told.stdout is not None
        assert told.stdout.readline().startswith("dc")
        socket.create_connection((address.ip, 636), timeout=120).close()
        told.kill()
    ended = time.monotonic() + 120
    while time.monotonic() < ended and is_open(address.ip, 636):
        time.sleep(0.1)
    assert not is_open(address.ip, 636)
    address.release()


# -- the hands


def test_the_reader_sees_photos_and_anchor_but_may_not_write(
    domain: DomainController, directory: Directory, ou: str
) -> None:
    anna = directory.add_person(ou, "Anna", sAMAccountName="anna", jpegPhoto=b"large", thumbnailPhoto=b"small")
    directory.set(anna.dn, **{"mS-DS-ConsistencyGuid": b"0123456789abcdef"})
    assert reading(domain, anna.dn) == {*PHOTOS, "mS-DS-ConsistencyGuid"}
    with as_reader(domain) as connection:
        assert not connection.modify(anna.dn, {"jpegPhoto": [(ldap3.MODIFY_REPLACE, [b"another"])]})
        assert connection.result["description"] == "insufficientAccessRights"


@pytest.mark.parametrize("attribute", [*PHOTOS, "mS-DS-ConsistencyGuid"])
def test_an_attribute_is_hidden_from_the_reader_and_shown_again(
    domain: DomainController, directory: Directory, ou: str, attribute: str
) -> None:
    values = {"jpegPhoto": b"large", "thumbnailPhoto": b"small", "mS-DS-ConsistencyGuid": b"0123456789abcdef"}
    anna = directory.add_person(ou, "Anna", sAMAccountName="anna", **values)
    directory.hide([anna.dn], attribute)
    assert reading(domain, anna.dn) == set(values) - {attribute}
    assert directory.read(anna.dn, attribute)
    directory.show([anna.dn], attribute)
    assert reading(domain, anna.dn) == set(values)


def test_people_are_changed_disabled_renamed_moved_and_deleted(directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna, the + first", sAMAccountName="anna", jpegPhoto=[b"one", b"two"])
    assert sorted(directory.read(anna.dn, "jpegPhoto")["jpegPhoto"]) == [b"one", b"two"]
    directory.set_photo(anna.dn)
    assert directory.read(anna.dn, "jpegPhoto") == {}
    directory.disable(anna.dn)
    assert directory.search(ou, "(userAccountControl:1.2.840.113556.1.4.803:=2)", "cn")
    directory.enable(anna.dn)
    assert not directory.search(ou, "(userAccountControl:1.2.840.113556.1.4.803:=2)", "cn")
    moved = directory.move(directory.rename(anna.dn, "Anna, née #2"), directory.add_ou("Elsewhere", ou))
    assert directory.entry(moved).guid == anna.guid
    assert directory.find(ou, "anna").guid == anna.guid
    directory.delete(moved)
    with pytest.raises(LookupError, match="anna"):
        directory.find(ou, "anna")


def test_groups_nest(directory: Directory, ou: str) -> None:
    anna, bert = (directory.add_person(ou, name, sAMAccountName=name) for name in ("Anna", "Bert"))
    inner = directory.add_group(ou, "Inner", [anna.dn])
    outer = directory.add_group(ou, "Outer", [inner.dn, bert.dn])
    everybody = f"(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:={outer.dn}))"
    assert {dn for dn, _ in directory.search(ou, everybody, "cn")} == {anna.dn, bert.dn}
    directory.remove_members(outer.dn, bert.dn)
    assert [dn for dn, _ in directory.search(ou, everybody, "cn")] == [anna.dn]


def test_each_test_has_an_ou_of_its_own(directory: Directory, ou: str) -> None:
    assert directory.search(ou, "(objectClass=user)", "cn") == []


def test_the_hands_work_on_after_a_restart(domain: DomainController, directory: Directory, ou: str) -> None:
    anna = directory.add_person(ou, "Anna", sAMAccountName="anna")
    domain.restart()
    directory.set_photo(anna.dn, b"later")
    assert directory.read(anna.dn, "jpegPhoto") == {"jpegPhoto": [b"later"]}


def test_three_readers_agree_on_a_crowd(domain: DomainController, directory: Directory, ou: str) -> None:
    people = load_crowd(directory, ou, 600, edge=64)
    # 600 is more than two transactions of 250 and leaves a remainder.
    assert [person.sam_account_name for person in people] == [name_of(ou, n) for n in range(1, 601)]
    loaded = {person.id: {hashlib.sha256(face(n, 64)).hexdigest()} for n, person in enumerate(people, start=1)}
    assert by_ldapsearch(domain, ou) == loaded
    assert by_ldbsearch(domain, ou) == loaded


# -- the awkward people


def test_the_awkward_people_are_at_least_forty_and_all_stand_in_the_directory(
    domain: DomainController, directory: Directory, ou: str
) -> None:
    populace = load(directory, ou)
    assert len(populace.people) >= 40
    wanted = {
        one.person.id: {hashlib.sha256(v).hexdigest() for values in one.case.photos.values() for v in values}
        for one in populace.people
        if not one.case.is_contact
    }
    assert by_ldapsearch(domain, ou) == by_ldbsearch(domain, ou) == wanted
    for one in populace.people:
        assert directory.entry(one.person.name).guid == one.person.id
    assert {len(one.account.id) for one in populace.registered()} == {36}
    assert len({one.account.upn for one in populace.registered()}) == len(populace.registered())


def test_the_right_account_follows_from_what_the_directory_says(directory: Directory, ou: str) -> None:
    populace = load(directory, ou)
    conny = populace["consistency-guid"]
    assert conny.account.immutable_id == "RDHiRneDPkiofrZ2nbYu7Q=="
    assert conny.registered[1].account.immutable_id == directory.entry(conny.person.name).anchor
    assert populace["sid-fits"].account.sid == populace["sid-fits"].person.sid
    assert populace["sid-fits"].account.immutable_id not in {one.person.anchor for one in populace.people}
    assert populace["one-anchor-a"].person.anchor == populace["one-anchor-b"].person.anchor
    assert populace["one-mail-a"].person.mail == populace["one-mail-b"].person.mail
    nested = f"(memberOf:1.2.840.113556.1.4.1941:={populace.pilot_dn})"
    members = {dn for dn, _ in directory.search(ou, f"(&(objectClass=user){nested})", "cn")}
    assert members == {populace["ordinary-wide"].person.name, populace["nested-member"].person.name}
    assert populace["excluded-ou"].person.name.endswith(populace.excluded_dn)


@pytest.mark.parametrize("case", [one for one in awkward_people() if one.shows_bytes], ids=lambda one: one.case)
def test_the_drawing_beside_a_case_is_what_one_of_its_photos_shows(case: Case) -> None:
    drawing = read_print(case.shows_bytes)
    assert any(shows(value, drawing) for values in case.photos.values() for value in values)


def shows(value: bytes, drawing: Fingerprint) -> bool:
    try:
        return prepare(value, Recipe(square=False)).whole.shows_same(drawing)
    except PictureRefused:
        return False


def test_cases_that_are_kept_or_replaced_start_with_a_cloud_photo() -> None:
    for case in awkward_people():
        if case.expected.action in {Action.KEEP, Action.REPLACE}:
            assert case.accounts[0].photo_bytes, case.case
        if case.expected.action is Action.CREATE:
            assert not case.accounts[0].photo_bytes, case.case
    assert sum(case.expected.reason is Reason.PLACEHOLDER for case in awkward_people()) == 5


REFUSED = {Reason.NOT_AN_IMAGE, Reason.DAMAGED, Reason.TOO_LARGE, Reason.TOO_SMALL}


@pytest.mark.parametrize(
    "case", [one for one in awkward_people() if one.expected.reason in REFUSED], ids=lambda c: c.case
)
def test_an_unusable_picture_is_refused_for_the_reason_that_its_case_names(case: Case) -> None:
    [content_bytes] = case.photos["jpegPhoto"]
    with pytest.raises(PictureRefused) as refused:
        prepare(content_bytes, Recipe())
    assert refused.value.reason is case.expected.reason


def test_the_tenant_holds_the_accounts_and_photos_of_the_awkward_people(
    directory: Directory, ou: str, cloud: Emulator
) -> None:
    populace = load(directory, ou)
    fill(cloud.tenant, populace.registered())
    assert set(cloud.tenant.account_ids()) == {one.account.id for one in populace.registered()}
    for one in populace.registered():
        told = cloud.tenant.account(one.account.id)
        assert (told["onPremisesImmutableId"] or "") == one.account.immutable_id
        photo = cloud.tenant.photo(one.account.id)
        assert (photo is not None) == bool(one.photo_bytes)
        if photo is not None:
            assert read_print(photo.content_bytes).shows_same(read_print(one.photo_bytes))


# -- the pictures


def test_two_people_never_look_alike() -> None:
    prints = [read_print(face(number, 96)) for number in range(60)]
    assert min(one.distance(another) for one, another in combinations(prints, 2)) > 28


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert pictures.jpeg("anna") == pictures.jpeg("anna")
    assert pictures.jpeg("anna") != pictures.jpeg("bert")


def test_a_reencoded_copy_has_other_bytes_and_shows_the_same() -> None:
    original = pictures.jpeg("anna", (900, 1200))
    copy = pictures.reencoded(original, 648)
    with Image.open(io.BytesIO(copy)) as opened:
        assert opened.size == (486, 648)
    assert copy != original
    assert read_print(copy).shows_same(read_print(original))


def test_the_bomb_is_small_on_disk_and_huge_in_memory() -> None:
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(pictures.bomb()))
    assert len(pictures.bomb()) < 100_000


@pytest.mark.parametrize(
    "content_bytes, kind, mode",
    [
        (pictures.cmyk("anna", (80, 80)), "JPEG", "CMYK"),
        (pictures.png_16_bit("anna", (80, 80)), "PNG", "RGB"),
        (pictures.png_with_alpha("anna", (80, 80)), "PNG", "P"),
        (pictures.gif("anna", (80, 80)), "GIF", "P"),
    ],
    ids=["cmyk", "16-bit", "palette with alpha", "gif"],
)
def test_each_kind_of_bytes_is_what_it_says(content_bytes: bytes, kind: str, mode: str) -> None:
    with Image.open(io.BytesIO(content_bytes)) as opened:
        opened.load()
        assert (opened.format, opened.mode, opened.size) == (kind, mode, (80, 80))


def test_a_rotated_picture_is_upright_only_by_its_exif() -> None:
    with Image.open(io.BytesIO(pictures.rotated("anna", (200, 300)))) as opened:
        assert opened.size == (300, 200)
        assert opened.getexif()[0x0112] == 6
