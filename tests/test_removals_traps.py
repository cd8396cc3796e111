"""A broken or changed read of a real domain never takes somebody's photo: each trap, with SYNC_REMOVED=remove."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.company import Company, anchor_of, face, total
from tests.lab.directory import Directory, Entry
from tests.lab.graph import Emulator
from tests.lab.ldapserver_directory import DirectoryServer
from tests.lab.ldapserver_tree import Tree
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.runner import CommandResult, Runner

COUNT = 6
COMMA = ","


@dataclass
class SixPeople:
    """Six people of a real domain whose photos we have sent: three in each of two units."""

    directory: Directory
    cloud: Emulator
    runner: Runner
    ou: str
    units: tuple[str, str]
    people: list[Entry]
    account_ids: list[str]
    group: Entry

    def set(self, **settings: str) -> None:
        self.runner.settings.update(settings)

    def assert_nobody_lost_anything(self, told: CommandResult) -> None:
        """Assert that everybody is accounted for and keeps the photo, and that no removal was even tried."""
        assert told.totals["removed"] == 0
        assert total(told.totals) == told.totals["people"]
        assert all(self.cloud.tenant.photo(one) is not None for one in self.account_ids)
        assert not [record for record in self.cloud.requests if record.method == "DELETE"]
        assert len(self.cloud.tenant.writes()) == COUNT


@pytest.fixture
def six_people(domain: DomainController, directory: Directory, ou: str, cloud: Emulator, tmp_path: Path) -> SixPeople:
    """Settle six people, and go on with a policy that removes."""
    units = directory.add_ou("North", ou), directory.add_ou("South", ou)
    people, account_ids = [], []
    for number in range(COUNT):
        name = f"trap{number}"
        upn = f"{name}@contoso.test"
        entry = directory.add_person(units[number % 2], name, userPrincipalName=upn, jpegPhoto=face(name))
        people.append(entry)
        account_ids.append(cloud.tenant.add_account(upn, mail=upn, immutable_id=entry.anchor, synced=True))
    group = directory.add_group(ou, f"Everybody of {ou[3:].partition(COMMA)[0]}", [one.dn for one in people])
    runner = Runner(tmp_path, {**ldap_settings(domain, ou), **cloud.environ(), "SYNC_REMOVED": "remove"})
    first = runner.sync()
    assert (first.code, first.totals["created"]) == (0, COUNT), first.err
    return SixPeople(directory, cloud, runner, ou, units, people, account_ids, group)


Undo = Callable[[], object]


def unreadable_attribute(six_people: SixPeople) -> Undo:
    dns = [one.dn for one in six_people.people]
    six_people.directory.hide(dns, "jpegPhoto")
    return lambda: six_people.directory.show(dns, "jpegPhoto")


def unreadable_attribute_of_a_unit(six_people: SixPeople) -> Undo:
    dns = [one.dn for one in six_people.people[::2]]
    six_people.directory.hide(dns, "jpegPhoto")
    return lambda: six_people.directory.show(dns, "jpegPhoto")


def changed_filter(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_FILTER="(department=Nobody)")
    return lambda: six_people.runner.settings.pop("LDAP_FILTER")


def changed_base(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_BASE_DN=six_people.directory.add_ou("Elsewhere", six_people.ou))
    return lambda: six_people.set(LDAP_BASE_DN=six_people.ou)


def mistyped_base(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_BASE_DN=f"OU=Mistyped,{six_people.ou}")
    return lambda: six_people.set(LDAP_BASE_DN=six_people.ou)


def changed_group(six_people: SixPeople) -> Undo:
    six_people.set(
        LDAP_GROUP=six_people.directory.add_group(
            six_people.ou, f"Nobody of {six_people.ou[3:].partition(COMMA)[0]}"
        ).dn
    )
    return lambda: six_people.runner.settings.pop("LDAP_GROUP")


def emptied_group(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_GROUP=six_people.group.dn)
    assert six_people.runner.sync(days=1).totals["unchanged"] == COUNT
    dns = [one.dn for one in six_people.people]
    six_people.directory.remove_members(six_people.group.dn, *dns)
    return lambda: six_people.directory.add_members(six_people.group.dn, *dns)


def renamed_unit(six_people: SixPeople) -> Undo:
    renamed = six_people.directory.rename_ou(six_people.units[0], "Renamed")
    return lambda: six_people.directory.rename_ou(renamed, "North")


def renamed_base(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_BASE_DN=";".join(six_people.units))
    assert six_people.runner.sync(days=1).totals["unchanged"] == COUNT
    return renamed_unit(six_people)


def disabled_people(six_people: SixPeople) -> Undo:
    for one in six_people.people:
        six_people.directory.disable(one.dn)

    def enable() -> None:
        for one in six_people.people:
            six_people.directory.enable(one.dn)

    return enable


def people_moved_out(six_people: SixPeople) -> Undo:
    six_people.set(LDAP_BASE_DN=";".join(six_people.units))
    assert six_people.runner.sync(days=1).totals["unchanged"] == COUNT
    moved = [(six_people.directory.move(one.dn, six_people.ou), one.dn.partition(",")[2]) for one in six_people.people]
    return lambda: [six_people.directory.move(dn, unit) for dn, unit in moved]


def lost_right_to_a_part(six_people: SixPeople) -> Undo:
    reader = six_people.directory.entry(six_people.directory.controller.reader_dn).sid
    change = json.dumps({"dns": [six_people.units[0]], "aces": f"(D;CI;RPLCLORC;;;{reader})"})
    six_people.directory.controller.tool("deny", [change])
    return lambda: six_people.directory.controller.tool("allow", [change])


@dataclass(frozen=True)
class Trap:
    """A trap with how its three nights end (changes, full, changes), and what is said of how many."""

    spring: Callable[[SixPeople], Undo]
    codes: tuple[int, int, int]
    words: str = ""
    reasons: tuple[tuple[str, int], ...] = ()


OUT, NO_BASE = (("out-of-scope", COUNT),), "there is no such base DN"
TRAPS = [
    Trap(unreadable_attribute, (0, 4, 4), "jpegPhoto vanished for 6 of the 6 people who had it"),
    Trap(unreadable_attribute_of_a_unit, (0, 4, 4), "jpegPhoto below OU=North,"),
    Trap(changed_filter, (0, 0, 0), reasons=OUT),
    Trap(changed_base, (0, 0, 0), reasons=OUT),
    Trap(mistyped_base, (5, 5, 5), NO_BASE),
    Trap(changed_group, (0, 0, 0), reasons=OUT),
    Trap(emptied_group, (0, 0, 0), reasons=OUT),
    Trap(renamed_unit, (0, 0, 0)),
    Trap(renamed_base, (5, 5, 5), NO_BASE),
    Trap(disabled_people, (0, 0, 0), reasons=(("disabled", COUNT),)),
    Trap(people_moved_out, (0, 0, 0), reasons=OUT),
    Trap(lost_right_to_a_part, (0, 0, 0), reasons=(("out-of-scope", COUNT // 2),)),
]


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.spring.__name__)
def test_a_trap_of_a_real_domain_removes_nobodys_photo(six_people: SixPeople, trap: Trap) -> None:
    undo = trap.spring(six_people)

    nights = [six_people.runner.sync(days=1), six_people.runner.sync("--full", days=1), six_people.runner.sync(days=1)]

    assert tuple(told.code for told in nights) == trap.codes, [told.err for told in nights]
    assert trap.words in nights[1].err
    left = {reason: count for told in nights for reason, count in told.reasons().items()}
    assert dict(trap.reasons).items() <= left.items()
    for told in nights:
        six_people.assert_nobody_lost_anything(told)
    undo()
    mended = six_people.runner.sync("--full", days=1)
    assert (mended.code, mended.totals["unchanged"]) == (0, COUNT), mended.err
    six_people.assert_nobody_lost_anything(mended)
    assert six_people.runner.sync(days=1).requests["http"] == 1


# ----------------------------------------------------------------------------- traps that need no Samba


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["changes", "full"])
def test_a_directory_that_answers_empty_removes_nobodys_photo(company: Company, options: tuple[str, ...]) -> None:
    """Restored from nothing: it is there, lets us in, and knows nobody."""
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(COUNT)
    assert company.sync().code == 0
    with DirectoryServer(Tree()) as empty:
        company.settings["LDAP_URI"] = empty.server.uri

        told = company.sync(*options, days=1)

    assert told.code == 0, told.err
    assert (told.totals["removed"], total(told.totals)) == (0, told.totals["people"])
    assert all(company.photo(one) for one in team)
    assert len(company.cloud.tenant.writes()) == COUNT


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["changes", "full"])
def test_half_of_a_forest_that_is_unreachable_loses_no_photo(company: Company, options: tuple[str, ...]) -> None:
    with DirectoryServer(Tree("DC=branch,DC=test")) as branch:
        company.settings.update(
            SYNC_REMOVED="remove",
            LDAP_URI=f"{company.ldap.server.uri} {branch.server.uri}",
            LDAP_BASE_DN="DC=contoso,DC=test;DC=branch,DC=test",
        )
        team = company.team(3)
        abroad = [branch.person(f"abroad{number}", "DC=branch,DC=test", jpegPhoto=face(number)) for number in range(3)]
        ids = [
            company.cloud.tenant.add_account(
                f"abroad{number}@contoso.test", immutable_id=anchor_of(one.guid), synced=True
            )
            for number, one in enumerate(abroad)
        ]
        first = company.sync()
        assert (first.code, first.totals["created"]) == (0, 6), first.err
        branch.tree.change(abroad[0].guid, jpegPhoto=[])
        company.paint(team[0], None)
    # the branch's controller is down now

    told = company.sync(*options, days=1)

    assert told.code == 5, told.err
    assert (told.totals["removed"], told.totals["people"]) == (1, 6), "who can be read is served"
    assert all(company.cloud.tenant.photo(one) is not None for one in ids)
    assert company.photo(team[0]) is None
