"""Runs over a real domain: changes, a group, a moved unit, as the least privileged account sees them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from connector.photo import read_print
from tests.company import face
from tests.lab.directory import Directory, Entry
from tests.lab.exchange_schema import add_exchange_attributes
from tests.lab.graph import Emulator
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.runner import CommandResult, Runner, shown

pytestmark = pytest.mark.samba


@dataclass(slots=True)
class SambaCompany:
    """A domain's OU, a tenant, and the people that stories hire into both."""

    directory: Directory
    ou: str
    cloud: Emulator
    runner: Runner
    people: dict[str, Entry] = field(default_factory=dict)
    account_ids: dict[str, str] = field(default_factory=dict)

    def hire(self, name: str, *, below: str = "") -> None:
        """Add a person with a face, and the account that Entra Connect makes of them."""
        upn = f"{name}@contoso.test"
        photo = [face(name)]
        entry = self.directory.add_person(below or self.ou, name, userPrincipalName=upn, mail=upn, jpegPhoto=photo)
        self.people[name] = entry
        self.account_ids[name] = self.cloud.tenant.add_account(upn, mail=upn, immutable_id=entry.anchor, synced=True)

    def dn(self, name: str) -> str:
        """Return somebody's DN as it was when they were hired."""
        return self.people[name].dn

    def told(self, night: CommandResult) -> dict[str, tuple[str, str]]:
        """Return what a night told of each person, by name."""
        found = {name: night.of(f"{name}@contoso.test") for name in self.people}
        return {name: told for name, told in found.items() if told is not None}

    def shows(self, name: str, picture: str) -> bool:
        """Return True if the cloud shows this face for somebody."""
        return shown(self.cloud, self.account_ids[name]).shows_same(read_print(face(picture)))


@pytest.fixture
def samba_company(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> SambaCompany:
    """Found a company in an OU of the domain."""
    settings = {**ldap_settings(domain, ou), **cloud.environ(), "SYNC_MAX_CHANGES_PERCENT": "100"}
    return SambaCompany(directory, ou, cloud, Runner(tmp_path, settings))


def is_quiet(told: CommandResult) -> bool:
    """Return True if a night asked once on each side, read nobody, and had nothing to say."""
    costs = told.requests["http"], told.requests["ldap_entries"]
    return (told.code, told.report["mode"], costs, told.report["notices"]) == (0, "changes", (1, 0), [])


def test_a_days_changes_are_each_told_and_cost_two_entries_a_person(samba_company: SambaCompany) -> None:
    domain, runner = samba_company.directory, samba_company.runner
    runner.settings["SYNC_REMOVED"] = "remove"
    robots = domain.add_ou("Robots", samba_company.ou)
    runner.settings["LDAP_EXCLUDE_DN"] = robots
    changing = ("paints", "clears", "leaves", "moves", "renames")
    for name in (*changing, *(f"quiet{number}" for number in range(10))):
        samba_company.hire(name)
    assert runner.sync().totals["created"] == 15
    domain.set_photo(samba_company.dn("paints"), face("painted"))
    domain.set_photo(samba_company.dn("clears"))
    domain.disable(samba_company.dn("leaves"))
    domain.move(samba_company.dn("moves"), robots)
    renamed = domain.rename(samba_company.dn("renames"), "Married")
    domain.set(renamed, userPrincipalName="married@contoso.test", mail="married@contoso.test")
    samba_company.hire("joins")

    told = runner.sync(days=1)

    assert (told.code, told.report["mode"], told.report["notices"]) == (0, "changes", []), told.err
    assert samba_company.told(told) == {
        "paints": ("replace", "source-changed"),
        "clears": ("remove", "source-removed"),
        "leaves": ("skip", "disabled"),
        "moves": ("skip", "out-of-scope"),
        "joins": ("create", "first-upload"),
    }
    changed = len(changing) + 1
    assert told.requests["ldap_entries"] <= 2 * changed + 5
    assert told.requests["http"] <= 1.3 * changed + 5
    assert samba_company.shows("paints", "painted")
    assert samba_company.shows("joins", "joins")
    assert all(samba_company.shows(name, name) for name in ("leaves", "moves", "renames"))
    assert is_quiet(runner.sync(days=1))


def test_joining_and_leaving_a_nested_opt_out_group_acts_the_same_night(samba_company: SambaCompany) -> None:
    for name in ("joins", "stays"):
        samba_company.hire(name)
    suffix = uuid.uuid4().hex[:8]
    domain, runner = samba_company.directory, samba_company.runner
    inner = domain.add_group(samba_company.ou, f"council{suffix}")
    outer = domain.add_group(samba_company.ou, f"opted-out{suffix}", [inner.dn])
    # a forest without Exchange does not know the attribute of LDAP_INCLUDE, which harms nobody
    runner.settings |= {"OPT_OUT_GROUP": outer.dn, "LDAP_INCLUDE": "users,shared,rooms"}
    assert runner.sync().totals["created"] == 2

    domain.add_members(inner.dn, samba_company.dn("joins"))
    told = runner.sync(days=1)
    assert (told.code, told.report["mode"]) == (0, "changes"), told.err
    assert samba_company.told(told) == {"joins": ("remove", "opted-out")}
    assert samba_company.cloud.tenant.photo(samba_company.account_ids["joins"]) is None

    domain.remove_members(inner.dn, samba_company.dn("joins"))
    told = runner.sync(days=1)
    assert (told.report["mode"], samba_company.told(told)) == ("changes", {"joins": ("create", "first-upload")})
    assert samba_company.shows("joins", "joins")
    quiet = runner.sync(days=1)
    assert (quiet.code, quiet.report["mode"], quiet.requests["http"]) == (0, "changes", 1)
    seen = "the group, its nested one, and once more the group's own list, since nobody was found in it"
    assert quiet.requests["ldap_entries"] <= 3, seen


def test_members_whose_memberof_may_not_be_read_are_never_nobody(samba_company: SambaCompany) -> None:
    samba_company.hire("anna")
    domain, runner = samba_company.directory, samba_company.runner
    opted_out = domain.add_group(samba_company.ou, f"hidden{uuid.uuid4().hex[:8]}", [samba_company.dn("anna")])
    runner.settings["OPT_OUT_GROUP"] = opted_out.dn
    domain.hide([samba_company.dn("anna")], "memberOf")

    hidden = runner.sync()

    assert (hidden.code, samba_company.cloud.tenant.photo(samba_company.account_ids["anna"])) == (5, None)
    assert f"names {opted_out.dn}, which has {samba_company.dn('anna')} as a member" in hidden.err
    domain.show([samba_company.dn("anna")], "memberOf")
    assert samba_company.told(runner.sync(days=1)) == {"anna": ("skip", "opted-out")}


def test_a_member_whose_own_unit_hides_memberof_is_one_by_the_groups_lists(samba_company: SambaCompany) -> None:
    for name in ("shown", "hidden", "inner", "other"):
        samba_company.hire(name)
    domain, runner, suffix = samba_company.directory, samba_company.runner, uuid.uuid4().hex[:8]
    inner = domain.add_group(samba_company.ou, f"in{suffix}", [samba_company.dn("inner")])
    members = [inner.dn, samba_company.dn("shown"), samba_company.dn("hidden")]
    runner.settings["OPT_OUT_GROUP"] = domain.add_group(samba_company.ou, f"out{suffix}", members).dn
    domain.hide([samba_company.dn("hidden"), samba_company.dn("inner")], "memberOf")

    told = runner.sync()

    opted_out = dict.fromkeys(("shown", "hidden", "inner"), ("skip", "opted-out"))
    assert samba_company.told(told) == {**opted_out, "other": ("create", "first-upload")}, told.err
    assert "2 people are members only by the group's own list" in " ".join(told.report["notices"])


def test_a_groups_members_come_and_go_without_a_change_of_their_own(samba_company: SambaCompany) -> None:
    for name in ("stays", "leaves", "joins", "nested"):
        samba_company.hire(name)
    domain, suffix = samba_company.directory, uuid.uuid4().hex[:8]
    inner = domain.add_group(samba_company.ou, f"inner{suffix}")
    outer = domain.add_group(
        samba_company.ou, f"outer{suffix}", [samba_company.dn("stays"), samba_company.dn("leaves"), inner.dn]
    )
    samba_company.runner.settings["LDAP_GROUP"] = outer.dn
    assert samba_company.runner.sync().totals["created"] == 2
    domain.remove_members(outer.dn, samba_company.dn("leaves"))
    domain.add_members(outer.dn, samba_company.dn("joins"))
    domain.add_members(inner.dn, samba_company.dn("nested"))

    told, quiet = samba_company.runner.sync(days=1), samba_company.runner.sync(days=1)

    assert told.report["mode"] == "changes"
    assert samba_company.told(told) == {
        "leaves": ("skip", "out-of-scope"),
        "joins": ("create", "first-upload"),
        "nested": ("create", "first-upload"),
    }
    assert samba_company.shows("leaves", "leaves")
    assert (quiet.code, quiet.requests["http"], quiet.totals["people"], samba_company.told(quiet)) == (0, 1, 3, {})


def test_people_move_with_their_unit_into_the_scope_and_out_of_it(
    samba_company: SambaCompany, domain: DomainController
) -> None:
    outside = samba_company.directory.add_ou(f"Team {uuid.uuid4().hex[:6]}", domain.base_dn)
    samba_company.hire("anna", below=outside)
    samba_company.hire("bert")
    assert samba_company.runner.sync().totals["people"] == 1

    inside = samba_company.directory.move(outside, samba_company.ou)
    entered = samba_company.runner.sync(days=1)
    back = samba_company.directory.move(inside, domain.base_dn)
    left = samba_company.runner.sync(days=1)
    samba_company.directory.delete(back)

    assert (entered.report["mode"], samba_company.told(entered)) == ("changes", {"anna": ("create", "first-upload")})
    assert (left.report["mode"], samba_company.told(left)) == ("changes", {"anna": ("skip", "out-of-scope")})
    assert samba_company.shows("anna", "anna")
    assert is_quiet(samba_company.runner.sync(days=1))


def test_a_filter_is_followed_by_the_attribute_it_names(samba_company: SambaCompany) -> None:
    samba_company.runner.settings["LDAP_FILTER"] = "(department=Sales)"
    for name in ("anna", "bert"):
        samba_company.hire(name)
    samba_company.directory.set(samba_company.dn("anna"), department="Sales")
    assert samba_company.runner.sync().totals["people"] == 1
    samba_company.directory.set(samba_company.dn("anna"), department="IT")
    samba_company.directory.set(samba_company.dn("bert"), department="Sales")

    told = samba_company.runner.sync(days=1)

    assert (told.report["mode"], samba_company.told(told)) == (
        "changes",
        {"anna": ("skip", "out-of-scope"), "bert": ("create", "first-upload")},
    )
    assert is_quiet(samba_company.runner.sync(days=1))


@pytest.fixture
def exchange_forest(directory: Directory) -> None:
    """Extend the schema for the last story of this file, so that those before it see a forest without Exchange."""
    add_exchange_attributes(directory)


@pytest.mark.usefixtures("exchange_forest")
def test_shared_mailboxes_rooms_and_equipment_have_photos_and_leavers_have_none(samba_company: SambaCompany) -> None:
    kinds = {"shared": "4", "room": "16", "car": "32", "remote": "34359738368"}
    leavers = {"left": "1", "linked": "2", "never": ""}
    samba_company.hire("anna")
    for name, kind in {**kinds, **leavers}.items():
        samba_company.hire(name)
        samba_company.directory.disable(samba_company.dn(name))
        samba_company.directory.set(samba_company.dn(name), msExchRecipientTypeDetails=kind or [])
    samba_company.runner.settings["LDAP_INCLUDE"] = "users,shared,rooms,equipment"

    first = samba_company.runner.sync()

    assert (first.code, first.totals["people"]) == (0, 5), first.err
    assert samba_company.told(first) == dict.fromkeys(("anna", *kinds), ("create", "first-upload"))
    assert is_quiet(samba_company.runner.sync(days=1))

    samba_company.directory.set(samba_company.dn("shared"), msExchRecipientTypeDetails="1")
    samba_company.directory.set(samba_company.dn("left"), msExchRecipientTypeDetails="4")
    samba_company.directory.set_photo(samba_company.dn("room"), face("room anew"))
    samba_company.directory.disable(samba_company.dn("anna"))
    told = samba_company.runner.sync(days=1)

    assert (told.code, told.report["mode"]) == (0, "changes"), told.err
    assert samba_company.told(told) == {
        "shared": ("skip", "disabled"),
        "left": ("create", "first-upload"),
        "room": ("replace", "source-changed"),
        "anna": ("skip", "disabled"),
    }
    assert all(samba_company.shows(name, name) for name in ("shared", "anna", "car", "remote"))
    assert is_quiet(samba_company.runner.sync(days=1))
