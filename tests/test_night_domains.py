"""Runs over several domains and several controllers, of which one fails in the middle of its answer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector.photo import read_print
from tests.company import Colleague, Company, face, total
from tests.lab.graph import Emulator
from tests.lab.ldapserver_directory import DirectoryServer
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_wire import DIRSYNC
from tests.lab.ldapserver_world import STALE_DIRSYNC
from tests.runner import CommandResult, shown

ROOT, EMEA = "DC=contoso,DC=test", "DC=emea,DC=contoso,DC=test"
OFFICE, BRANCH = f"OU=People,{ROOT}", f"OU=People,{EMEA}"

# what Active Directory answers where it cuts a search short: time, size, administrative limit, busy, unavailable
CUT_SHORT = {3: "time limit", 4: "size limit", 11: "administrative limit", 51: "busy", 52: "unavailable"}


@dataclass(frozen=True, slots=True)
class Forest:
    """Two domains of one forest, each with a controller of its own, behind one cloud."""

    company: Company
    branch: DirectoryServer

    def hire_in_branch(self, name: str) -> Colleague:
        """Add a person in the other domain, with an account."""
        return self.company.register(name, self.branch.person(name, ou=BRANCH, jpegPhoto=face(name)))

    def paint_in_branch(self, one: Colleague, name: str) -> None:
        """Give somebody of the other domain another source photo."""
        self.branch.tree.change(one.entry.guid, jpegPhoto=face(name))

    def cookies(self) -> dict[str, tuple[str, bytes]]:
        """Return the server and the bytes of each naming context's cookie."""
        with closing(sqlite3.connect(self.company.runner.state / "ledger.sqlite3")) as db:
            rows = db.execute("SELECT context, server, cookie FROM cookies WHERE context <> 'accounts'").fetchall()
        return {context: (server, cookie) for context, server, cookie in rows}


@pytest.fixture(params=[(OFFICE, BRANCH), (BRANCH, OFFICE)], ids=["root first", "child first"])
def forest(company: Company, request: pytest.FixtureRequest) -> Iterator[Forest]:
    """Open a forest; the order of the base DNs is the order of the reading."""
    with DirectoryServer(Tree(EMEA)) as branch:
        company.settings["LDAP_URI"] = f"{company.ldap.server.uri} {branch.server.uri}"
        company.settings["LDAP_BASE_DN"] = ";".join(request.param)
        yield Forest(company, branch)


def writes(company: Company) -> int:
    """Count the writes so far."""
    return len(company.cloud.tenant.writes())


def shows(cloud: Emulator, one: Colleague, name: str) -> bool:
    """Return True if the cloud shows the face of this name."""
    return shown(cloud, one.account_id).shows_same(read_print(face(name)))


def is_quiet(told: CommandResult) -> bool:
    """Return True if a night read nobody, wrote nothing, asked once for accounts, said nothing, and ended well."""
    costs = told.requests["http"], told.requests["ldap_entries"]
    return (told.code, costs, told.report["notices"]) == (0, (1, 0), [])


# Several domains


def test_each_domain_has_its_own_reader_and_its_own_cookie(forest: Forest) -> None:
    anna, bert = forest.company.hire("anna"), forest.hire_in_branch("bert")

    first, quiet = forest.company.sync(), forest.company.sync(days=1)

    assert (first.code, first.totals["created"]) == (0, 2), first.err
    assert is_quiet(quiet)
    servers = {context: server for context, (server, _) in forest.cookies().items()}
    assert servers == {ROOT: forest.company.ldap.server.name, EMEA: forest.branch.server.name}
    forest.paint_in_branch(bert, "new")
    changed = forest.company.sync(days=1)
    assert (changed.report["mode"], changed.of(bert.upn), changed.of(anna.upn)) == (
        *("changes", ("replace", "source-changed"), None),
    )


@pytest.mark.parametrize("how", ["a page", "a round", "the line", "the server"])
def test_a_domain_that_fails_leaves_its_people_untouched_and_the_others_are_done(forest: Forest, how: str) -> None:
    company = forest.company
    company.settings["SYNC_REMOVED"] = "remove"
    team, abroad = company.team(3), [forest.hire_in_branch(f"abroad{number}") for number in range(3)]
    company.sync()
    before = forest.cookies()
    company.paint(team[0], face("new"))
    forest.paint_in_branch(abroad[0], "new abroad")
    forest.branch.tree.change(abroad[1].entry.guid, jpegPhoto=[])
    forest.branch.tree.change(abroad[2].entry.guid, userAccountControl="514")
    options = ["--full"] if how in ("a page", "the line") else []
    if how == "a page":
        forest.branch.knobs.page_entries, forest.branch.knobs.refuse_page[2] = 1, (51, "")
    elif how == "a round":
        forest.branch.knobs.round_entries, forest.branch.knobs.refuse_round[2] = 1, (51, "")
    elif how == "the line":
        forest.branch.knobs.drop_on_page = 1
    else:
        forest.branch.server.close()

    told = company.sync(*options, days=1)

    assert told.code == 5, told.err
    assert any(EMEA in notice and "No changes were made" in notice for notice in told.report["notices"])
    assert told.of(team[0].upn) == ("replace", "source-changed")
    assert {told.of(one.upn) for one in abroad} == {("skip", "source-unread")}
    assert all(shows(company.cloud, one, one.name) for one in abroad)
    assert (total(told.totals), told.totals["people"]) == (6, 6)
    assert forest.cookies()[EMEA] == before[EMEA]
    assert forest.cookies()[ROOT][1] != before[ROOT][1]
    if how == "the server":
        return
    forest.branch.knobs.refuse_page.clear()
    forest.branch.knobs.refuse_round.clear()
    forest.branch.knobs.drop_on_page = 0
    mended = company.sync(days=1)
    assert (mended.code, mended.report["mode"]) == (0, "changes"), mended.err
    assert [mended.of(one.upn) for one in abroad] == [
        *(("replace", "source-changed"), ("remove", "source-removed"), ("skip", "disabled")),
    ]
    assert is_quiet(company.sync(days=1))


def test_where_every_domain_fails_the_night_ends_before_anything_is_asked_or_written(forest: Forest) -> None:
    forest.company.hire("anna")
    forest.hire_in_branch("bert")
    forest.company.sync()
    for knobs in (forest.company.knobs, forest.branch.knobs):
        knobs.refuse_dirsync = (52, "")
    forest.company.cloud.log.clear()

    told = forest.company.sync(days=1)

    assert (told.code, writes(forest.company)) == (5, 2)
    assert "unavailable" in told.err
    assert [one.path for one in forest.company.cloud.requests if "photo" in one.path or "batch" in one.path] == []


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["changes", "full"])
def test_who_moves_to_another_domain_is_the_same_person_all_along(forest: Forest, options: tuple[str, ...]) -> None:
    """Between domains of a forest the objectGUID stays; the old domain is left with a tombstone."""
    company = forest.company
    company.settings["SYNC_REMOVED"] = "remove"
    anna, bert = company.hire("anna"), company.hire("bert")
    company.sync()
    company.ldap.tree.delete(anna.entry.guid)
    kept: dict[str, Any] = {
        "userPrincipalName": anna.upn,
        "mail": anna.upn,
        "sAMAccountName": "anna",
        "jpegPhoto": face("anna"),
    }
    forest.branch.tree.add(f"CN=anna,{BRANCH}", objectGUID=anna.entry.guid, **kept)

    told = company.sync(*options, days=1)

    assert (told.code, told.totals["people"], told.totals["unchanged"]) == (0, 2, 2), told.report["outcomes"]
    assert told.of(anna.upn) == (("keep", "unchanged") if options else None)
    assert writes(company) == 2
    assert is_quiet(company.sync(days=1))
    forest.branch.tree.change(anna.entry.guid, jpegPhoto=face("anna, abroad"))
    assert company.sync(days=1).of(anna.upn) == ("replace", "source-changed")
    assert shows(company.cloud, bert, "bert")


def test_a_domain_that_cannot_be_read_is_no_brake_for_the_others(forest: Forest) -> None:
    company = forest.company
    company.settings["SYNC_MAX_REMATCHES"] = "2"
    anna, abroad = company.hire("anna"), [forest.hire_in_branch(f"abroad{number}") for number in range(4)]
    company.sync()
    forest.branch.knobs.tells_deletions = False
    for one in abroad[1:]:
        forest.branch.tree.delete(one.entry.guid)
        company.cloud.tenant.remove_account(one.account_id)
    company.paint(anna, face("new"))
    forest.branch.knobs.refuse_dirsync = (51, "")

    told = company.sync(days=1)

    assert (told.code, told.of(anna.upn)) == (5, ("replace", "source-changed")), told.err
    assert {told.of(one.upn) for one in abroad} == {("skip", "source-unread")}, "who was not read is not judged"
    forest.branch.knobs.refuse_dirsync = None
    mended = company.sync(days=1)
    assert (mended.code, mended.of(abroad[0].upn)) == (0, None), mended.err
    assert {mended.of(one.upn) for one in abroad[1:]} == {("skip", "out-of-scope")}


def test_the_people_of_a_domain_that_is_no_longer_named_leave_and_come_back_with_it(forest: Forest) -> None:
    company = forest.company
    company.settings["SYNC_REMOVED"] = "remove"
    anna, bert = company.hire("anna"), forest.hire_in_branch("bert")
    company.sync()
    both, company.settings["LDAP_BASE_DN"] = company.settings["LDAP_BASE_DN"], OFFICE

    left, after = company.sync(days=1), company.sync(days=1)
    company.settings["LDAP_BASE_DN"] = both
    back = company.sync(days=1)

    assert (left.code, left.of(bert.upn), left.of(anna.upn)) == (0, ("skip", "out-of-scope"), None), left.err
    assert any(EMEA in notice and "no longer" in notice for notice in left.report["notices"])
    assert set(forest.cookies()) == {ROOT, EMEA}
    assert (is_quiet(after), after.totals["people"]) == (True, 1)
    assert (back.code, back.totals["unchanged"], back.totals["people"], writes(company)) == (0, 2, 2, 2)
    assert is_quiet(company.sync(days=1))


def test_another_server_that_answers_for_another_domain_takes_nobody_out_of_the_scope(forest: Forest) -> None:
    """Without a base DN the first server that answers names the domain; here it is not there one night."""
    company = forest.company
    company.settings["LDAP_BASE_DN"] = ""
    anna, bert = company.hire("anna"), forest.hire_in_branch("bert")
    assert company.sync().totals["people"] == 1
    company.ldap.server.close()

    told = company.sync(days=1)

    assert (told.code, told.of(anna.upn), told.of(bert.upn)) == (0, None, ("create", "first-upload")), told.err
    assert told.totals["people"] == 2


def test_from_a_folder_to_a_directory_nobodys_photo_is_sent_again(company: Company, tmp_path: Path) -> None:
    anna = company.hire("anna")
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / f"{anna.upn}.jpg").write_bytes(face("anna"))
    os.utime(folder / f"{anna.upn}.jpg", (0, 0))
    company.settings.update(SOURCE="folder", FOLDER_PATH=str(folder), SYNC_REMOVED="remove")
    assert company.sync().totals["created"] == 1
    company.settings["SOURCE"] = "ldap"

    told, after = company.sync(days=1), company.sync(days=1)

    assert (told.code, told.totals["people"], writes(company)) == (0, 2, 1), told.err
    assert told.reasons() == {"out-of-scope": 1, "adopted": 1}
    assert (is_quiet(after), after.totals["people"]) == (True, 1)
    assert shows(company.cloud, anna, "anna")


def test_what_passed_while_a_domain_was_down_does_not_add_up_to_a_brake(forest: Forest) -> None:
    company = forest.company
    company.settings["SYNC_MAX_REMATCHES"] = "2"
    team, abroad = company.team(6), [forest.hire_in_branch(f"abroad{number}") for number in range(3)]
    company.sync()
    forest.branch.knobs.refuse_dirsync = (51, "")

    nights = []
    for pair in (team[:2], team[2:4]):
        for one in pair:
            company.cloud.tenant.update_account(one.account_id, immutable_id="")
        nights.append(company.sync(days=1))
    for one in abroad:
        company.cloud.tenant.update_account(one.account_id, immutable_id="")
    nights.append(company.sync(days=1))
    forest.branch.knobs.refuse_dirsync = None
    back = company.sync(days=1)

    assert [told.code for told in nights] == [5, 5, 5], "two at a time pass"
    assert back.code == 4, "the three of the domain that was down are judged when it is back"
    assert "3 people changed or lost their account since the last run" in back.err


def test_a_new_member_of_the_group_belongs_to_the_domain_that_has_them(forest: Forest) -> None:
    group = f"CN=Pilot,{ROOT}"
    for tree in (forest.company.ldap.tree, forest.branch.tree):
        tree.add(group, objectClass=["group"], objectCategory="group", sAMAccountType=[])
    forest.company.settings["LDAP_GROUP"] = group
    anna, bert = forest.company.hire("anna", memberOf=group), forest.hire_in_branch("bert")
    forest.company.sync()
    forest.branch.tree.change(bert.entry.guid, memberOf=group)

    nights = [forest.company.sync(days=1) for _ in range(3)]

    assert nights[0].of(bert.upn) == ("create", "first-upload")
    assert [told.totals["people"] for told in nights] == [2, 2, 2]
    assert [told.of(one.upn) for told in nights[1:] for one in (anna, bert)] == [None] * 4


# Several controllers of one domain


def test_the_cookies_controller_is_asked_first_and_another_takes_over_with_the_same_cookie(company: Company) -> None:
    anna = company.hire("anna")
    with DirectoryServer(company.ldap.tree) as second:
        company.settings["LDAP_URI"] = second.server.uri
        company.sync()
        company.settings["LDAP_URI"] = f"{company.ldap.server.uri} {second.server.uri}"
        company.ldap.server.asked.clear()

        first_choice = company.sync(days=1)

        assert is_quiet(first_choice)
        assert [asked.base for asked in company.ldap.server.asked] == [""], "only which domain it is"
    company.paint(anna, face("new"))

    told = company.sync(days=1)

    assert (told.code, told.report["mode"], told.report["notices"]) == (0, "changes", []), told.err
    assert told.of(anna.upn) == ("replace", "source-changed")
    assert len([asked for asked in company.ldap.server.asked if DIRSYNC in asked.controls]) == 1
    assert is_quiet(company.sync(days=1))


def test_another_controller_that_refuses_the_cookie_reads_everybody_and_says_so(forest: Forest) -> None:
    company = forest.company
    company.settings["LDAP_BASE_DN"] = OFFICE
    team = company.team(3)
    company.sync()
    company.paint(team[0], face("new"))
    with DirectoryServer(company.ldap.tree) as second:
        company.settings["LDAP_URI"] = f"{company.ldap.server.uri} {second.server.uri}"
        second.knobs.refuse_cookie = (12, STALE_DIRSYNC)
        company.ldap.server.close()

        told = company.sync(days=1)

        assert (told.code, told.report["mode"], told.of(team[0].upn)) == (0, "full", ("replace", "source-changed"))
        (notice,) = told.report["notices"]
        assert notice.startswith(f"{second.server.name} refused the cookie of the last reading")
        assert forest.cookies()[ROOT][0] == second.server.name
        second.knobs.refuse_cookie = None
        assert is_quiet(company.sync(days=1))


def test_a_controller_that_is_merely_busy_is_no_reason_to_read_everybody(company: Company) -> None:
    anna = company.hire("anna")
    company.sync()
    company.paint(anna, face("new"))
    company.knobs.refuse_dirsync = (51, "")

    told = company.sync(days=1)

    assert (told.code, writes(company)) == (5, 1)
    assert "busy" in told.err
    company.knobs.refuse_dirsync = None
    assert company.sync(days=1).report["mode"] == "changes"


# An answer that is cut short


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize("code", CUT_SHORT)
def test_an_error_on_any_page_is_exit_5_and_nobody_changes(company: Company, code: int, page: int) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(6)
    company.sync()
    company.paint(team[0], face("new"))
    company.paint(team[4], None)
    company.ldap.tree.delete(team[5].entry.guid)
    newcomer = company.hire("zoe")
    company.knobs.page_entries, company.knobs.refuse_page[page] = 2, (code, "")

    told = company.sync("--full", days=1)

    assert told.code == 5
    assert CUT_SHORT[code] in told.err
    assert f"page {page}" in told.err
    assert (writes(company), company.photo(newcomer)) == (6, None)
    assert told.totals["people"] == 6, "nobody came, nobody left"
    company.knobs.refuse_page.clear()
    mended = company.sync(days=1)
    assert (mended.code, mended.of(newcomer.upn)) == (0, ("create", "first-upload")), mended.err
    assert mended.of(team[4].upn) == ("remove", "source-removed")
    assert mended.of(team[5].upn) == ("skip", "deleted")


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("code", CUT_SHORT)
def test_an_error_in_any_round_is_exit_5_and_nobody_changes(company: Company, code: int, number: int) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(6)
    company.sync()
    for one in team[:4]:
        company.paint(one, None if one is team[1] else face(f"new {one.name}"))
    company.knobs.round_entries, company.knobs.refuse_round[number] = 1, (code, "")

    told = company.sync(days=1)

    assert told.code == 5
    assert CUT_SHORT[code] in told.err
    assert f"round {number}" in told.err
    assert (writes(company), told.totals["people"]) == (6, 6)
    company.knobs.refuse_round.clear()
    mended = company.sync(days=1)
    assert (mended.code, mended.report["mode"]) == (0, "changes"), mended.err
    assert (mended.totals["replaced"], mended.totals["removed"]) == (3, 1)


def test_changes_that_take_many_rounds_are_all_done_in_one_night(company: Company) -> None:
    team = company.team(9)
    company.sync()
    for one in team:
        company.paint(one, face(f"new {one.name}"))
    company.knobs.round_entries = 2
    company.settings["SYNC_MAX_CHANGES_PERCENT"] = "100"

    told = company.sync(days=1)

    assert (told.code, told.totals["replaced"], told.requests["ldap_entries"]) == (0, 9, 18), told.err
    assert len([asked for asked in company.ldap.server.asked if DIRSYNC in asked.controls]) == 1 + 5
    assert is_quiet(company.sync(days=1))


# Units


def unit(company: Company, name: str, below: str, kind: str = "organizationalUnit") -> tuple[bytes, str]:
    """Add a unit or a container; returns its objectGUID and DN."""
    dn = f"{'CN' if kind == 'container' else 'OU'}={name},{below}"
    entry = company.ldap.tree.add(dn, objectClass=["top", kind], sAMAccountType=[], userAccountControl=[])
    return entry.guid, dn


def move(company: Company, guid: bytes, dn: str, people: list[Colleague]) -> None:
    """Move a unit with its people; as in AD, of the people nothing is told."""
    company.ldap.tree.move(guid, dn)
    for one in people:
        one.entry.dn = f"CN={one.name},{dn}"


@pytest.mark.parametrize("kind", ["organizationalUnit", "container"])
def test_a_moved_unit_takes_its_people_into_the_scope_and_out_of_it_and_back(company: Company, kind: str) -> None:
    company.settings.update(LDAP_BASE_DN=OFFICE, LDAP_EXCLUDE_DN=f"OU=Robots,{OFFICE}", SYNC_REMOVED="remove")
    unit(company, "Robots", OFFICE)
    guid, dn = unit(company, "Team", f"OU=Elsewhere,{ROOT}", kind)
    name = dn.partition(",")[0]
    people = [company.register(one, company.ldap.person(one, ou=dn, jpegPhoto=face(one))) for one in ("anna", "bert")]
    stays = company.hire("stays")
    assert company.sync().totals["people"] == 1

    move(company, guid, f"{name},{OFFICE}", people)
    entered = company.sync(days=1)
    move(company, guid, f"{name},OU=Robots,{OFFICE}", people)
    excluded = company.sync(days=1)
    move(company, guid, f"{name},{OFFICE}", people)
    again = company.sync(days=1)
    move(company, guid, f"{name},OU=Elsewhere,{ROOT}", people)
    outside = company.sync(days=1)

    assert {entered.report["mode"], excluded.report["mode"], again.report["mode"]} == {"changes"}
    assert [entered.of(one.upn) for one in people] == [("create", "first-upload")] * 2
    assert [excluded.of(one.upn) for one in people] == [("skip", "out-of-scope")] * 2
    assert (again.totals["unchanged"], again.totals["people"]) == (3, 3)
    assert [outside.of(one.upn) for one in people] == [("skip", "out-of-scope")] * 2
    assert (writes(company), outside.of(stays.upn)) == (3, None)
    assert all(company.photo(one) is not None for one in people)


@pytest.mark.parametrize("kind", ["organizationalUnit", "container"])
def test_a_unit_that_stays_where_it_is_costs_nobody_below_it_a_reading(company: Company, kind: str) -> None:
    company.settings["LDAP_FILTER"] = "(!(description=robot))"
    guid, dn = unit(company, "Team", OFFICE, kind)
    for name in ("anna", "bert"):
        company.register(name, company.ldap.person(name, ou=dn, jpegPhoto=face(name)))
    company.sync()
    company.ldap.tree.change(guid, description="The team that moved in last")

    told = company.sync(days=1)

    assert (told.code, told.report["mode"], told.totals["unchanged"]) == (0, "changes", 2)
    assert told.requests["ldap_entries"] <= 2, "the unit's change, and perhaps what it is"


def test_a_base_that_was_renamed_is_an_error_and_nobody_leaves(company: Company) -> None:
    guid, dn = unit(company, "Staff", ROOT)
    company.settings["LDAP_BASE_DN"] = dn
    anna = company.register("anna", company.ldap.person("anna", ou=dn, jpegPhoto=face("anna")))
    company.sync()
    move(company, guid, f"OU=Employees,{ROOT}", [anna])

    told = company.sync(days=1)

    assert told.code == 5
    assert "LDAP_BASE_DN" in told.err
    assert told.totals["people"] == 1, "nobody left"
    company.settings["LDAP_BASE_DN"] = f"OU=Employees,{ROOT}"
    mended = company.sync(days=1)
    assert (mended.code, mended.report["mode"], mended.totals["unchanged"], writes(company)) == (0, "full", 1, 1)


# What is watched


def test_who_enters_or_leaves_the_filter_is_seen_although_nothing_else_changed(company: Company) -> None:
    company.settings["LDAP_FILTER"] = "(&(department=Sales)(!(employeeType=Robot)))"
    anna, bert = company.hire("anna", department="Sales"), company.hire("bert", department="IT")
    carl = company.hire("carl", department="Sales", employeeType="Person")
    company.sync()
    company.ldap.tree.change(anna.entry.guid, department="IT")
    company.ldap.tree.change(bert.entry.guid, department="Sales")
    company.ldap.tree.change(carl.entry.guid, employeeType="Robot")

    told = company.sync(days=1)

    assert (told.report["mode"], told.of(anna.upn)) == ("changes", ("skip", "out-of-scope"))
    assert (told.of(bert.upn), told.of(carl.upn)) == (("create", "first-upload"), ("skip", "out-of-scope"))
    assert is_quiet(company.sync(days=1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"(memberOf=CN=Staff,{ROOT})", "memberOf"),
        ("(userAccountControl:1.2.840.113556.1.4.803:=512)", "userAccountControl:1.2.840.113556.1.4.803:=512"),
    ],
)
def test_a_filter_that_cannot_be_followed_is_read_whole_each_night_and_check_says_so(
    company: Company, text: str, why: str
) -> None:
    company.settings["LDAP_FILTER"] = text
    company.ldap.tree.add(ROOT, objectClass=["top", "domainDNS"], sAMAccountType=[])
    anna = company.hire("anna", memberOf=f"CN=Staff,{ROOT}")
    company.sync()
    company.ldap.tree.change(anna.entry.guid, memberOf=[], userAccountControl="514")

    told = company.sync(days=1)
    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert (told.code, told.report["mode"], told.totals["skipped"]) == (0, "full", 1)
    assert told.of(anna.upn) in (("skip", "out-of-scope"), ("skip", "disabled"))
    assert any("LDAP_FILTER" in notice and why in notice for notice in told.report["notices"])
    (line,) = [line for line in checked.out.splitlines() if line.startswith("! Filter")]
    assert why in line


@pytest.mark.parametrize("anchor", ["employeeNumber", "uid", "UID", "sAMAccountName"])
def test_a_person_whose_anchor_attribute_changes_gets_the_other_account(company: Company, anchor: str) -> None:
    company.settings["LDAP_ANCHOR"] = anchor
    anna = company.ldap.person("anna", jpegPhoto=face("anna"), **{anchor: "one"})
    one = company.register("one", anna, immutable_id="one")
    two = company.register("two", anna, immutable_id="two")
    assert company.sync().code == 0
    company.ldap.tree.change(anna.guid, **{anchor: "two"})

    told = company.sync(days=1)

    assert (told.code, told.report["mode"]) == (0, "changes"), told.err
    assert shows(company.cloud, one, "anna")
    assert shows(company.cloud, two, "anna")
    assert is_quiet(company.sync(days=1))


def test_contacts_are_followed_with_their_mail_their_photo_and_their_end(company: Company) -> None:
    company.settings["LDAP_INCLUDE_CONTACTS"] = "true"
    kind: dict[str, Any] = {"objectClass": ["top", "person", "contact"], "objectCategory": "person"}
    plain = {
        **kind,
        **{name: [] for name in ("sAMAccountType", "userAccountControl", "sAMAccountName", "userPrincipalName")},
    }
    guest, other = "guest@fabrikam.com", "other@fabrikam.com"
    entry = company.ldap.person("guest", mail=guest, jpegPhoto=face("guest"), **plain)
    first = company.register("guest", entry, mail=guest, immutable_id="", synced=None, user_type="Guest")
    second = company.register("other", entry, mail=other, immutable_id="", synced=None, user_type="Guest")
    assert company.sync().totals["created"] == 1

    company.ldap.tree.change(entry.guid, jpegPhoto=face("new"))
    painted = company.sync(days=1)
    company.ldap.tree.change(entry.guid, mail=other)
    renamed = company.sync(days=1)
    company.ldap.tree.change(entry.guid, mail=[])
    nameless = company.sync(days=1)
    company.ldap.tree.change(entry.guid, mail=other)
    company.sync(days=1)
    company.ldap.tree.delete(entry.guid)
    deleted = company.sync(days=1)

    assert {one.report["mode"] for one in (painted, renamed, nameless, deleted)} == {"changes"}
    assert painted.reasons() == {"source-changed": 1}
    assert renamed.reasons() == {"first-upload": 1}
    assert (nameless.reasons(), deleted.reasons()) == ({"out-of-scope": 1}, {"deleted": 1})
    assert shows(company.cloud, first, "new")
    assert shows(company.cloud, second, "new")


def test_an_exclusion_whose_unit_was_renamed_changes_nobody_and_check_says_so(company: Company) -> None:
    guid, dn = unit(company, "Robots", OFFICE)
    company.settings["LDAP_EXCLUDE_DN"] = dn
    anna = company.hire("anna")
    robot = company.register("robot", company.ldap.person("robot", ou=dn, jpegPhoto=face("robot")))
    company.cloud.tenant.set_photo(robot.account_id, face("what its owner chose"))
    company.sync()
    before = company.photo(robot)
    move(company, guid, f"OU=Bots,{OFFICE}", [robot])
    company.paint(anna, face("new"))

    told = company.sync(days=1)
    chosen = company.sync("--only", robot.upn, days=1)
    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert (told.code, chosen.code, checked.code) == (5, 5, 5)
    assert "there is no such entry 'OU=Robots" in told.err
    assert "✗ Base DNs" in checked.out
    assert "there is no such entry 'OU=Robots" in checked.out
    assert (company.photo(robot), writes(company)) == (before, 1)

    company.settings["LDAP_EXCLUDE_DN"] = f"ou = Bots, {OFFICE}"
    mended = company.sync(days=1)

    assert (mended.code, mended.of(anna.upn), mended.of(robot.upn)) == (0, ("replace", "source-changed"), None)

    move(company, guid, f"OU=Bots,OU=Archive,{OFFICE}", [robot])
    moved = company.sync(days=1)
    assert moved.code == 5
    assert f"there is one of this name, 'OU=Bots,OU=Archive,{OFFICE}'" in moved.err
