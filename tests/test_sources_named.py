"""DNs in settings: every spelling is one name, and a name of nothing is an error, over our own LDAP server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connector.config import Settings
from connector.config.dn import parse_dn
from connector.errors import Unreachable
from tests.lab.ldapserver_house import PEOPLE, House, told

ROOT = "DC=contoso,DC=test"


@pytest.fixture
def house() -> Iterator[House]:
    """Open an empty directory."""
    with House() as one:
        yield one


# Names


@pytest.mark.parametrize("name", [r"Former\ ", r"Smith\, Jones", "Straße", r"\#1 \+ more", "Ünit"])
def test_every_spelling_of_a_unit_is_that_unit(house: House, name: str) -> None:
    unit = f"OU={name},{ROOT}"
    hexadecimal = "".join(f"\\{byte:02x}" for byte in parse_dn(unit)[0][0][1].encode())
    other_spelling = f"ou = {hexadecimal} , {ROOT.lower()}"
    house.person("anna")
    gone = house.person("gone", unit)

    for spelling in (unit, other_spelling):
        settings = Settings.model_validate({"ldap_exclude_dn": spelling, "ldap_base_dn": spelling})
        assert told(house.source(ldap_exclude_dn=settings.ldap_exclude_dn)).names == {"anna"}
        inside = house.source(ldap_base_dn=settings.ldap_base_dn)
        assert told(inside).names == {"gone"}
        assert [read.person.name for read in inside.find(gone.dn)] == [gone.dn]


def test_sharp_s_is_not_ss_in_a_units_name(house: House) -> None:
    house.person("anna", f"OU=Strasse,{ROOT}")
    house.person("bert", f"OU=Straße,{ROOT}")
    assert told(house.source(ldap_exclude_dn=(f"OU=Straße,{ROOT}",))).names == {"anna"}


# Names that name nothing


def test_an_exclusion_may_name_one_person(house: House) -> None:
    house.person("anna")
    robot = house.person("robot")
    mine: dict[str, Any] = {"ldap_exclude_dn": (robot.dn,)}
    start = told(house.source(**mine))
    assert start.names == {"anna"}
    house.tree.change(robot.guid, jpegPhoto=b"new")
    assert told(house.source(**mine), start.cookie).read == {}


@pytest.mark.parametrize("what", ["unit", "person", "another domain"])
def test_an_exclusion_that_names_nothing_lets_nobody_in(house: House, what: str) -> None:
    house.person("anna")
    house.person("robot", f"OU=Bots,{PEOPLE}")
    dn = {
        "unit": f"OU=Robots,{PEOPLE}",
        "person": f"CN=robot,{PEOPLE}",
        "another domain": "OU=Robots,DC=contso,DC=test",
    }
    source = house.source(ldap_exclude_dn=(dn[what],))
    with pytest.raises(Unreachable, match=f"LDAP_EXCLUDE_DN.*{dn[what]}|{dn[what]}.*LDAP_EXCLUDE_DN"):
        told(source)
    with pytest.raises(Unreachable, match="LDAP_EXCLUDE_DN"):
        source.find("robot")


def test_an_exclusion_that_is_renamed_is_missed_in_the_same_night(house: House) -> None:
    unit = house.tree.add(f"OU=Robots,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    house.person("anna")
    robot = house.person("robot", unit.dn)
    mine: dict[str, Any] = {"ldap_exclude_dn": (unit.dn,)}
    start = told(house.source(**mine))
    assert start.names == {"anna"}
    house.tree.move(unit.guid, f"OU=Bots,{PEOPLE}")
    robot.dn = f"CN=robot,OU=Bots,{PEOPLE}"
    with pytest.raises(Unreachable, match=r"OU=Robots.*LDAP_EXCLUDE_DN"):
        told(house.source(**mine), start.cookie)


@pytest.mark.parametrize("group", [f"CN=Nobody,{ROOT}", "nobody"])
def test_a_group_that_is_not_there_is_an_error_not_an_empty_list(house: House, group: str) -> None:
    house.person("anna")
    with pytest.raises(Unreachable, match="no group"):
        told(house.source(ldap_group=group))
