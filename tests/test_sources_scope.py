"""Who is in scope, and where a name stands: DNs, filters, anchors and shapes, without any server."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.utils.dn import escape_rdn
from ldap3.utils.dn import parse_dn as parsed_by_ldap3

from connector.config import Settings
from connector.config import dn as names
from connector.config.dn import parse_dn, spell_dn
from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources.entries import Reader, is_disabled, person_id
from connector.sources.ldap import LdapSource
from connector.sources.open import open_source
from connector.sources.raw_entry import RawEntry
from connector.sources.scope import Scope, context_of, filter_attributes, filter_by_name, filter_can_be_followed
from connector.sources.session import Kind, compiled

GUID = uuid.UUID("f7cc07d7-7c15-447d-876d-c01b0e5a9e38")
CONTEXT = "DC=contoso,DC=com"


def settings(**changes: Any) -> Settings:
    return Settings(**({"ldap_uri": ("ldaps://dc1.contoso.com",)} | changes))


def entry(**values: bytes | tuple[bytes, ...]) -> RawEntry:
    plain = {name.replace("__", "-").lower(): value for name, value in values.items()}
    many = {name: (value,) if isinstance(value, bytes) else value for name, value in plain.items()}
    return RawEntry("CN=Anna,DC=contoso,DC=com", {"objectguid": (GUID.bytes_le,), **many})


@pytest.mark.parametrize(
    ("dn", "top", "below"),
    [
        ("CN=A,OU=Staff,DC=c", "OU=Staff,DC=c", True),
        ("CN=A,OU=Staff,DC=c", "ou=staff , dc=C", True),
        ("OU=Staff,DC=c", "OU=Staff,DC=c", True),
        ("CN=A,OU=Old Staff,DC=c", "OU=Staff,DC=c", False),
        (r"CN=A\,OU=Staff,DC=c", "OU=Staff,DC=c", False),
        (r"CN=A,OU=R\2CD,DC=c", r"OU=R\,D,DC=c", True),
        (r"CN=A,OU=Z\C3\BCrich,DC=c", "OU=Zürich,DC=c", True),
        ("CN=A,DC=c", "OU=Staff,DC=c", False),
        ("CN=A,DC=c", "", False),
    ],
)
def test_a_dn_stands_below_another_by_its_parts_not_its_text(dn: str, top: str, below: bool) -> None:
    assert names.is_below(names.parts(dn), [names.parts(top)]) is below


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OU=Former\\ ,DC=c", "ou=Former\\20,dc=C"),
        ("OU=\\ a,DC=c", "OU=\\20a,DC=c"),
        ("OU=a\\, b,DC=c", 'OU="a, b",DC=c'),
        ("OU=a\\+b,DC=c", "OU=a\\2bb;DC=c"),
        ("OU=Sales,DC=c", "2.5.4.11=Sales,OID.0.9.2342.19200300.100.1.25=c"),
        ("OU=ab,DC=c", "OU=#04024142,DC=c"),
        ("CN=a+UID=b,DC=c", "uid=B+cn=A,dc=c"),
        ("OU=x=y,DC=c", "OU=x\\3dy,DC=c"),
        ("OU=Zürich,DC=c", "OU=ZU\u0308RICH,DC=c"),
    ],
)
def test_every_spelling_of_a_name_is_one_name(one: str, other: str) -> None:
    assert names.parts(one) == names.parts(other)
    assert names.parts(spell_dn(parse_dn(other))) == names.parts(one)
    assert context_of(one) == context_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OU=Former\\ ,DC=c", "OU=Former,DC=c"),
        ("OU=Straße,DC=c", "OU=Strasse,DC=c"),
        ("OU=\u212aiel,DC=c", "OU=Kiel,DC=c"),
        ("OU=a\\,OU=b,DC=c", "OU=a,OU=b,DC=c"),
    ],
)
def test_another_name_is_never_the_same(one: str, other: str) -> None:
    assert names.parts(one) != names.parts(other)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=4))
def test_whatever_a_name_holds_it_comes_back(values: list[str]) -> None:
    dn = tuple((("CN", value),) for value in values)
    assert parse_dn(spell_dn(dn)) == dn


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=1, max_size=4))
def test_any_name_is_parsed_as_the_library_parses_it(values: list[str]) -> None:
    dn = ",".join(f"CN={escape_rdn(value)}" for value in values)
    try:
        expected = parsed_by_ldap3(dn)
    except LDAPInvalidDnError:
        return
    assert len(names.parts(dn)) == len(expected) == len(values)


@given(st.text())
def test_whatever_stands_where_a_name_should_is_taken_apart_and_back(text: str) -> None:
    assert isinstance(names.parts(text), tuple)
    assert names.parts("CN=a\\") == ()


def test_the_same_name_in_another_spelling_is_the_same_context() -> None:
    spellings = ("OU=A,DC=Contoso,DC=COM", "dc=contoso,dc=com", " ou=b , dc=contoso , dc=com")
    assert {context_of(dn) for dn in spellings} == {CONTEXT}
    assert context_of("ou=people,O=Company") == "ou=people,o=company"


def test_base_dns_below_each_other_are_read_once() -> None:
    assert names.outermost(["OU=B,OU=A,DC=c", "OU=A,DC=c", "ou=a,dc=c", "OU=C,DC=c"]) == ("OU=A,DC=c", "OU=C,DC=c")


def test_a_context_has_its_dns_domain_and_the_reverse() -> None:
    assert names.domain_of_root("DC=emea,DC=contoso,DC=com") == "emea.contoso.com"
    assert names.root_of_domain("EMEA.contoso.com.") == "DC=emea,DC=contoso,DC=com"
    assert names.domain_of_root("o=company") == ""


def test_contexts_are_known_without_a_connection_where_settings_name_them() -> None:
    bases = ("OU=A,DC=emea,DC=contoso,DC=com", "OU=B,DC=emea,DC=contoso,DC=com", "OU=C,DC=contoso,DC=com")
    source = LdapSource(settings(ldap_base_dn=bases), RequestCounters())
    assert source.contexts() == ("DC=emea,DC=contoso,DC=com", CONTEXT)
    by_domain = LdapSource(settings(ldap_uri=(), ldap_domain="Contoso.com"), RequestCounters())
    assert by_domain.contexts() == (CONTEXT,)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "(&(sAMAccountType=805306368)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))"),
        ({"ldap_include_disabled": True}, "(sAMAccountType=805306368)"),
        ({"ldap_include_disabled": True, "ldap_filter": "(l=Bonn)"}, "(&(sAMAccountType=805306368)(l=Bonn))"),
        (
            {"ldap_include_disabled": True, "ldap_include_contacts": True},
            "(|(sAMAccountType=805306368)(&(objectCategory=person)(objectClass=contact)(mail=*)))",
        ),
        (
            {"ldap_include": "users,shared", "ldap_filter": "(l=Bonn)"},
            (
                "(&(&(sAMAccountType=805306368)(|(!(userAccountControl:1.2.840.113556.1.4.803:=2))"
                "(|(msExchRecipientTypeDetails=4)(msExchRecipientTypeDetails=34359738368))))(l=Bonn))"
            ),
        ),
        (
            {"ldap_include": "rooms"},
            "(&(sAMAccountType=805306368)(|(msExchRecipientTypeDetails=16)(msExchRecipientTypeDetails=8589934592)))",
        ),
        ({"ldap_include": "users,equipment", "ldap_include_disabled": True}, "(sAMAccountType=805306368)"),
    ],
    ids=["enabled", "disabled too", "own filter", "contacts", "mailboxes too", "mailboxes alone", "all disabled"],
)
def test_the_built_in_filter_is_anded_with_ldap_filter(changes: dict[str, Any], expected: str) -> None:
    assert Scope.of(settings(**changes), CONTEXT, kind=Kind.ACTIVE_DIRECTORY).people == expected


def test_another_directory_is_asked_for_inet_org_people() -> None:
    scope = Scope.of(settings(ldap_filter="(l=Bonn)"), "o=company", kind=Kind.OTHER)
    assert scope.people == "(&(objectClass=inetOrgPerson)(l=Bonn))"
    assert scope.disabled == ""
    assert scope.by_id(["a*b"]) == r"(|(entryUUID=a\2ab))"


def test_names_are_escaped_in_filters() -> None:
    assert "(mail=a\\2a\\28b\\29\\5c)" in filter_by_name("a*(b)\\")


@pytest.mark.parametrize(
    "text",
    [
        "(department=Sales)",
        "(&(l=Bonn)(|(title=a*)(!(employeeType=x))))",
        r"(info=a:=b)",
        "(wWWHomePage=https://contoso.com:8080/=BL)",
        "(msDS-cloudExtensionAttribute1=1)",
    ],
)
def test_changes_are_followed_where_the_filter_looks_at_stored_attributes(text: str) -> None:
    assert filter_can_be_followed(text) is None


@pytest.mark.parametrize(
    ("text", "named_term"),
    [
        ("(memberOf=CN=Staff,DC=contoso,DC=com)", "memberOf"),
        ("(&(l=Bonn)(!(MEMBEROF=CN=x,DC=y)))", "MEMBEROF"),
        ("(userAccountControl:1.2.840.113556.1.4.803:=512)", "userAccountControl:1.2.840.113556.1.4.803:=512"),
        ("(lastLogon>=1)", "lastLogon"),
        ("(msDS-User-Account-Control-Computed=0)", "msDS-User-Account-Control-Computed"),
        ("(publicDelegatesBL=CN=x,DC=y)", "publicDelegatesBL"),
        ("(1.2.840.113556.1.2.102=CN=x,DC=y)", "1.2.840.113556.1.2.102"),
        ("(OID.1.2.840.113556.1.2.102=CN=x,DC=y)", "OID.1.2.840.113556.1.2.102"),
        ("(memberof=CN=Staff,DC=contoso,DC=com)", "memberof"),
        ("(publicdelegatesbl=CN=x,DC=y)", "publicdelegatesbl"),
        ("(msDS-KrbTgtLinkBl=CN=x,DC=y)", "msDS-KrbTgtLinkBl"),
        ("(msDS-PSOApplied=CN=x,DC=y)", "msDS-PSOApplied"),
        ("(anr=Anna)", "anr"),
    ],
)
def test_a_term_whose_changes_are_not_told_is_named(text: str, named_term: str) -> None:
    assert named_term in (filter_can_be_followed(text) or "")


def test_no_filter_can_always_be_followed() -> None:
    assert filter_can_be_followed(None) is None


def test_the_attributes_of_a_filter_are_all_found_once() -> None:
    text = "(&(department=Sales)(|(l>=B)(title~=x)(Department=*))(!(jpegPhoto;binary=*)))"
    assert filter_attributes(text) == ("Department", "l", "title", "jpegPhoto")


def test_the_anchor_is_consistency_guid_of_whatever_length_else_object_guid() -> None:
    reader = Reader.of(settings())
    other = uuid.uuid4().bytes
    assert reader.person(entry()).anchor == "1wfM9xV8fUSHbcAbDlqeOA=="
    assert reader.person(entry(mS__DS__ConsistencyGuid=other)).anchor == base64.b64encode(other).decode()
    assert reader.person(entry(mS__DS__ConsistencyGuid=b"short")).anchor == base64.b64encode(b"short").decode()
    assert reader.person(entry(mS__DS__ConsistencyGuid=bytes(17))).anchor == base64.b64encode(bytes(17)).decode()


@pytest.mark.parametrize(
    ("value", "anchor"),
    [(b"E-0815", "E-0815"), ("Ünal".encode(), "Ünal"), (b"\xff\xfe\x00", "//4A"), (b"\x01\x02", "AQI="), (b"", "")],
)
def test_a_named_anchor_is_text_as_it_stands_and_bytes_in_base64(value: bytes, anchor: str) -> None:
    reader = Reader.of(settings(ldap_anchor="employeeNumber"))
    assert reader.person(entry(employeeNumber=value)).anchor == anchor


def test_a_guid_that_happens_to_be_text_is_still_bytes() -> None:
    looks_like_text = uuid.UUID(bytes_le=b"sixteen letters!")
    reader = Reader.of(settings(ldap_anchor="objectGUID"))
    raw = RawEntry("CN=A", {"objectguid": (looks_like_text.bytes_le,)})
    assert reader.person(raw).anchor == base64.b64encode(b"sixteen letters!").decode()


def test_ids_are_text_and_an_entry_without_one_stops_the_reading() -> None:
    assert person_id(entry()) == str(GUID)
    assert person_id(RawEntry("uid=a", {"entryuuid": (b"F7CC07D7-7C15-447D-876D-C01B0E5A9E38",)})) == str(GUID)
    with pytest.raises(Unreachable, match="objectGUID"):
        person_id(RawEntry("uid=a", {}))


def test_the_sid_is_told_as_graph_tells_it() -> None:
    raw = bytes.fromhex("010500000000000515000000") + b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 1104))
    assert Reader.of(settings()).person(entry(objectSid=raw)).sid == "S-1-5-21-1-2-3-1104"


@pytest.mark.parametrize(("flags", "disabled"), [(b"514", True), (b"512", False), (b"-2147483646", True)])
def test_the_disabled_bit_is_read(flags: bytes, disabled: bool) -> None:
    assert is_disabled(entry(userAccountControl=flags)) is disabled
    assert is_disabled(entry()) is None


def test_all_photo_values_keep_the_configured_name_and_order() -> None:
    reader = Reader.of(settings(ldap_photo_attributes=("thumbnailPhoto", "jpegPhoto")))
    read = reader.read(entry(jpegphoto=(b"one", b"two"), thumbnailPhoto=b"small"))
    assert [(photo.attribute, photo.content_bytes) for photo in read.photos] == [
        ("thumbnailPhoto", b"small"),
        ("jpegPhoto", b"one"),
        ("jpegPhoto", b"two"),
    ]


SHAPING = {
    "ldap_base_dn": ("OU=A,DC=contoso,DC=com",),
    "ldap_filter": "(l=Bonn)",
    "ldap_include_disabled": True,
    "ldap_group": "CN=G,DC=contoso,DC=com",
    "ldap_exclude_dn": ("OU=B,DC=contoso,DC=com",),
    "ldap_photo_attributes": ("jpegPhoto",),
    "ldap_anchor": "employeeNumber",
    "ldap_include_contacts": True,
    "ldap_include": "users,shared",
}


@pytest.mark.parametrize("name", SHAPING)
def test_every_setting_that_shapes_a_reading_changes_its_shape(name: str) -> None:
    def shape(**changes: Any) -> str:
        return LdapSource(settings(**changes), RequestCounters()).shape()

    assert shape(**{name: SHAPING[name]}) != shape()
    assert shape(ldap_uri=("ldaps://dc2.contoso.com",), ldap_user="other") == shape()


def test_the_shape_holds_no_setting_in_clear() -> None:
    shape = LdapSource(settings(ldap_filter="(l=Bonn)"), RequestCounters()).shape()
    assert "Bonn" not in json.dumps(shape)
    assert len(shape) == 64


def test_the_source_is_a_directory_unless_settings_say_otherwise() -> None:
    assert isinstance(open_source(settings(), RequestCounters()), LdapSource)


@pytest.mark.parametrize("guid", [bytes(range(16)), b"\\5c\\41" + b"()*\\" + b"\xff" * 6, b"\\" * 16, bytes(16)])
def test_any_id_reaches_the_wire_as_its_bytes(guid: bytes) -> None:
    scope = Scope.of(settings(), CONTEXT, kind=Kind.ACTIVE_DIRECTORY)
    text = scope.by_id([str(uuid.UUID(bytes_le=guid))])
    assert bytes(compiled(text)["or"][0]["equalityMatch"]["assertionValue"]) == guid


@given(st.text(min_size=1).filter(lambda text: text.strip() == text and "\x00" not in text))
def test_any_name_reaches_the_wire_as_it_was_typed(name: str) -> None:
    sent = compiled(filter_by_name(name))["or"]
    assert {bytes(term["equalityMatch"]["assertionValue"]) for term in sent} == {name.encode("utf-8", "surrogatepass")}


def test_substrings_reach_the_wire_unescaped() -> None:
    parts = compiled(r"(cn=a\2a*b\29*c\5c)")["substringFilter"]["substrings"]
    assert [bytes(part.getComponent()) for part in parts] == [b"a*", b"b)", b"c\\"]
