"""DNs in settings: every spelling is one name, and a name of nothing is an error, over our own LDAP server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connector.config import Settings
from connector.config.dn import parse_dn
from connector.errors import Unreachable
from tests.lab.ldapserver_directory import PEOPLE, DirectoryServer, read_context

ROOT = "DC=contoso,DC=test"


@pytest.fixture
def ldap() -> Iterator[DirectoryServer]:
    """Open an empty directory."""
    with DirectoryServer() as one:
        yield one


# Names


@pytest.mark.parametrize("name", [r"Former\ ", r"Smith\, Jones", "Straße", r"\#1 \+ more", "Ünit"])
def test_every_spelling_of_a_unit_is_that_unit(ldap: DirectoryServer, name: str) -> None:
    unit = f"OU={name},{ROOT}"
    hexadecimal = "".join(f"\\{byte:02x}" for byte in parse_dn(unit)[0][0][1].encode())
    other_spelling = f"ou = {hexadecimal} , {ROOT.lower()}"
    ldap.person("anna")
    gone = ldap.person("gone", unit)

    for spelling in (unit, other_spelling):
        settings = Settings.model_validate({"ldap_exclude_dn": spelling, "ldap_base_dn": spelling})
        assert read_context(ldap.source(ldap_exclude_dn=settings.ldap_exclude_dn)).names == {"anna"}
        inside = ldap.source(ldap_base_dn=settings.ldap_base_dn)
        assert read_context(inside).names == {"gone"}
        assert [read.person.name for read in inside.find(gone.dn)] == [gone.dn]


def test_sharp_s_is_not_ss_in_a_units_name(ldap: DirectoryServer) -> None:
    ldap.person("anna", f"OU=Strasse,{ROOT}")
    ldap.person("bert", f"OU=Straße,{ROOT}")
    assert read_context(ldap.source(ldap_exclude_dn=(f"OU=Straße,{ROOT}",))).names == {"anna"}


# Names that name nothing


def test_an_exclusion_may_name_one_person(ldap: DirectoryServer) -> None:
    ldap.person("anna")
    robot = ldap.person("robot")
    mine: dict[str, Any] = {"ldap_exclude_dn": (robot.dn,)}
    start = read_context(ldap.source(**mine))
    assert start.names == {"anna"}
    ldap.tree.change(robot.guid, jpegPhoto=b"new")
    assert read_context(ldap.source(**mine), start.cookie).read == {}


@pytest.mark.parametrize("what", ["unit", "person", "another domain"])
def test_an_exclusion_that_names_nothing_lets_nobody_in(ldap: DirectoryServer, what: str) -> None:
    ldap.person("anna")
    ldap.person("robot", f"OU=Bots,{PEOPLE}")
    dn = {
        "unit": f"OU=Robots,{PEOPLE}",
        "person": f"CN=robot,{PEOPLE}",
        "another domain": "OU=Robots,DC=contso,DC=test",
    }
    source = ldap.source(ldap_exclude_dn=(dn[what],))
    with pytest.raises(Unreachable, match=f"LDAP_EXCLUDE_DN.*{dn[what]}|{dn[what]}.*LDAP_EXCLUDE_DN"):
        read_context(source)
    with pytest.raises(Unreachable, match="LDAP_EXCLUDE_DN"):
        source.find("robot")


def test_an_exclusion_that_is_renamed_is_missed_in_the_same_night(ldap: DirectoryServer) -> None:
    unit = ldap.tree.add(f"OU=Robots,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    ldap.person("anna")
    robot = ldap.person("robot", unit.dn)
    mine: dict[str, Any] = {"ldap_exclude_dn": (unit.dn,)}
    start = read_context(ldap.source(**mine))
    assert start.names == {"anna"}
    ldap.tree.move(unit.guid, f"OU=Bots,{PEOPLE}")
    robot.dn = f"CN=robot,OU=Bots,{PEOPLE}"
    with pytest.raises(Unreachable, match=r"OU=Robots.*LDAP_EXCLUDE_DN"):
        read_context(ldap.source(**mine), start.cookie)


@pytest.mark.parametrize("group", [f"CN=Nobody,{ROOT}", "nobody"])
def test_a_group_that_is_not_there_is_an_error_not_an_empty_list(ldap: DirectoryServer, group: str) -> None:
    ldap.person("anna")
    with pytest.raises(Unreachable, match="no group"):
        read_context(ldap.source(ldap_group=group))
