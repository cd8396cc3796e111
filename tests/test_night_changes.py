"""Runs after a day's changes: accounts and people who come, change and go, and what is reported of them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from connector.photo import read_print
from tests.company import Colleague, Company, anchor_of, face, total
from tests.lab.graph import Fault
from tests.lab.ldapserver_world import STALE_DIRSYNC
from tests.runner import CommandResult, shown

ROOT = "DC=contoso,DC=test"
GROUP = f"CN=Pilot,{ROOT}"


def writes(company: Company) -> int:
    """Count the writes so far."""
    return len(company.cloud.tenant.writes())


def shows(company: Company, one: Colleague, name: str) -> bool:
    """Return True if the cloud shows the face of this name."""
    return shown(company.cloud, one.account_id).shows_same(read_print(face(name)))


def standing(company: Company) -> int:
    """Count the rows that tell what stands."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db:
        count: int = db.execute("SELECT COUNT(*) FROM standing_outcomes").fetchone()[0]
        return count


def places(company: Company) -> dict[str, bytes]:
    """Return where the last reading ended on each side: a cookie by naming context, a link for the accounts."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db:
        return dict(db.execute("SELECT context, cookie FROM cookies").fetchall())


def retold(company: Company, run: int) -> dict[str, Any]:
    """Type `report RUN` and read it."""
    told = company.runner.type("report", str(run), "--env-file", str(company.runner.env_file()), "--format", "json")
    assert told.code == 0, told.err
    return dict(json.loads(told.out))


def is_quiet(told: CommandResult) -> bool:
    """Return True if a night wrote nothing, asked once for accounts, and ended well."""
    return told.code == 0 and told.requests["http"] == 1


# Accounts


def test_new_people_and_new_accounts_come_by_changes_alone(company: Company) -> None:
    company.team(3)
    company.sync()
    company.hire("new")

    told = company.sync(days=1)

    assert told.of("new@contoso.test") == ("create", "first-upload")
    assert (told.report["mode"], told.totals["created"], told.totals["unchanged"]) == ("changes", 1, 3)
    assert told.report["notices"] == []
    assert is_quiet(company.sync(days=1))


def test_the_link_is_asked_for_before_the_listing_so_that_nobody_falls_between(company: Company) -> None:
    company.team(2)

    company.sync()

    asked = [(record.path, "deltatoken" in record.query) for record in company.cloud.requests if record.kind == "graph"]
    assert asked[:2] == [("/v1.0/users/delta", True), ("/v1.0/users", False)]


def test_a_link_that_expires_in_the_middle_of_its_pages_means_a_full_listing(company: Company) -> None:
    team = company.team(3)
    company.sync()
    for one in team:
        company.cloud.tenant.update_account(one.account_id, mail=f"{one.name}@mail.test")
    company.hire("new")
    company.cloud.set(page_cap=2)
    company.cloud.fail_next(r"GET /v1\.0/users/delta", Fault(status=400, code="syncStateNotFound", skip=1))

    told = company.sync(days=1)

    assert (told.code, told.of("new@contoso.test")) == (0, ("create", "first-upload")), told.err
    assert any("All accounts were listed again" in notice for notice in told.report["notices"])
    assert is_quiet(company.sync(days=1))


def test_a_listing_that_breaks_off_loses_nobodys_account(company: Company) -> None:
    team = company.team(4)
    company.sync()
    company.cloud.set(page_cap=2)
    company.cloud.fail_next(r"GET /v1\.0/users$", Fault(status=400, code="Directory_ExpiredPageToken", skip=1))

    told = company.sync("--full", days=1)

    assert told.code == 5
    assert "users could not be listed" in told.err
    assert told.totals["people"] == len(team)
    company.cloud.set(page_cap=999)
    assert is_quiet(company.sync(days=1))


def test_a_re_created_account_gets_its_photo_anew(company: Company) -> None:
    anna = company.hire("anna")
    company.sync()
    company.cloud.tenant.remove_account(anna.account_id)
    again = company.register("anna", anna.entry)

    told = company.sync(days=1)

    assert again.account_id != anna.account_id
    assert told.of(anna.upn) == ("create", "first-upload")
    assert shows(company, again, "anna")
    assert is_quiet(company.sync(days=1))


def test_a_re_anchored_account_shows_who_has_it_now(company: Company) -> None:
    anna, bert = company.hire("anna"), company.hire("bert", account=False)
    company.sync()
    company.cloud.tenant.update_account(anna.account_id, immutable_id=anchor_of(bert.entry.guid))

    told = company.sync(days=1)

    assert told.of(bert.upn) == ("replace", "source-changed")
    assert told.of(anna.upn) == ("skip", "no-account")
    assert shows(company, anna, "bert")


def test_a_removed_account_is_no_account_and_nothing_is_written(company: Company) -> None:
    team = company.team(2)
    company.sync()
    company.cloud.tenant.remove_account(team[0].account_id, reason="deleted")

    told = company.sync(days=1)

    assert (told.code, told.of(team[0].upn)) == (0, ("skip", "no-account"))
    assert (told.totals["unchanged"], told.totals["skipped"]) == (1, 1)
    assert writes(company) == 2


def test_a_renamed_account_is_the_same_account(company: Company) -> None:
    anna = company.hire("anna")
    company.sync()
    company.cloud.tenant.update_account(anna.account_id, upn="married@contoso.test", mail="married@contoso.test")

    assert is_quiet(company.sync(days=1))


@pytest.mark.parametrize("status", [400, 410])
def test_an_expired_link_means_a_full_listing_that_misses_nothing(company: Company, status: int) -> None:
    team = company.team(3)
    company.sync()
    company.cloud.tenant.remove_account(team[0].account_id)
    company.hire("new")
    company.cloud.set(delta_expired=status)

    told = company.sync(days=1)

    assert told.code == 0, told.err
    (notice,) = told.report["notices"]
    assert "The delta link can no longer be used" in notice
    assert "All accounts were listed again" in notice
    assert told.of(team[0].upn) == ("skip", "no-account")
    assert told.of("new@contoso.test") == ("create", "first-upload")
    assert writes(company) == 4
    company.cloud.set(delta_expired=0)
    quiet = company.sync(days=1)
    assert (is_quiet(quiet), quiet.report["notices"]) == (True, [])


# The directory


def test_a_refused_cookie_means_a_full_read_that_says_so(company: Company) -> None:
    team = company.team(4)
    company.sync()
    company.paint(team[0], face("new"))
    company.ldap.tree.delete(team[1].entry.guid)
    company.knobs.refuse_cookie = (12, STALE_DIRSYNC)

    told = company.sync(days=1)

    assert (told.code, told.report["mode"]) == (0, "full"), told.err
    assert any("refused the cookie of the last reading" in notice for notice in told.report["notices"])
    assert told.of(team[0].upn) == ("replace", "source-changed")
    assert told.of(team[1].upn) == ("skip", "out-of-scope"), "a full reading does not show who is deleted"
    assert writes(company) == 5
    company.knobs.refuse_cookie = None
    quiet = company.sync(days=1)
    assert (is_quiet(quiet), quiet.report["mode"], quiet.report["notices"]) == (True, "changes", [])


def test_a_directory_without_dirsync_is_read_whole_each_night_and_says_so(company: Company) -> None:
    company.knobs.offers_dirsync = False
    company.team(2)
    first, second = company.sync(), company.sync(days=1)

    assert (first.totals["created"], second.report["mode"]) == (2, "full")
    assert second.report["notices"]
    assert is_quiet(second)


def test_a_cleared_photo_is_kept_in_the_cloud_and_told(company: Company) -> None:
    anna = company.hire("anna")
    company.sync()
    company.paint(anna, None)

    results = [company.sync(days=1) for _ in range(3)]

    assert [told.of(anna.upn) for told in results] == [("keep", "source-removed")] * 3
    assert shows(company, anna, "anna")
    company.paint(anna, face("anna"))
    back = company.sync(days=1)
    assert (back.totals["unchanged"], back.of(anna.upn), writes(company)) == (1, None, 1)


def test_a_cleared_photo_is_removed_where_the_settings_say_so_unless_somebody_changed_it(company: Company) -> None:
    ours, theirs = company.hire("ours"), company.hire("theirs")
    company.settings["SYNC_REMOVED"] = "remove"
    company.sync()
    company.cloud.tenant.set_photo(theirs.account_id, face("own choice"))
    for one in (ours, theirs):
        company.paint(one, None)

    told = company.sync(days=1)

    assert told.of(ours.upn) == ("remove", "source-removed")
    assert told.of(theirs.upn) == ("keep", "source-removed-cloud-differs")
    assert company.photo(ours) is None
    assert shows(company, theirs, "own choice")
    later = company.sync(days=1)
    assert (is_quiet(later), later.of(ours.upn)) == (True, ("skip", "no-photo"))


def test_a_photo_that_merely_cannot_be_read_is_not_cleared(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    anna = company.hire("anna")
    company.sync()
    company.knobs.hidden = frozenset({"jpegphoto"})
    company.ldap.tree.change(anna.entry.guid, mail="anna.new@contoso.test")

    unread = company.sync(days=1)
    company.knobs.hidden = frozenset()
    company.ldap.tree.change(anna.entry.guid, mail="anna@contoso.test")
    mended = company.sync(days=1)

    assert (unread.code, unread.of(anna.upn)) == (0, ("skip", "source-unread"))
    assert (mended.of(anna.upn), mended.totals["unchanged"], writes(company)) == (None, 1, 1)


@pytest.mark.parametrize(
    ("leaves", "returns", "reason"),
    [
        ({"userAccountControl": "514"}, {"userAccountControl": "512"}, "disabled"),
        ({"sAMAccountType": "805306369"}, {"sAMAccountType": "805306368"}, "out-of-scope"),
    ],
)
def test_who_leaves_the_scope_is_told_once_and_comes_back_without_an_upload(
    company: Company, leaves: dict[str, str], returns: dict[str, str], reason: str
) -> None:
    anna, _ = company.team(2)
    company.settings["SYNC_REMOVED"] = "remove"
    company.settings["LDAP_FILTER"] = "(sAMAccountType=805306368)"
    company.sync()
    company.ldap.tree.change(anna.entry.guid, **leaves)

    left, after = company.sync(days=1), company.sync(days=1)
    company.ldap.tree.change(anna.entry.guid, **returns)
    back = company.sync(days=1)

    assert (left.of(anna.upn), left.totals["people"]) == (("skip", reason), 2)
    assert (after.of(anna.upn), after.totals["people"]) == (None, 1)
    assert (back.code, back.totals["unchanged"], back.totals["people"]) == (0, 2, 2)
    assert writes(company) == 2, "no photo was removed, and none sent again"


@pytest.mark.parametrize("removed", ["keep", "remove"])
def test_a_photo_that_was_cleared_while_somebody_was_away_is_cleared_when_they_are_back(
    company: Company, removed: str
) -> None:
    company.settings["SYNC_REMOVED"] = removed
    anna, _ = company.team(2)
    company.sync()
    company.ldap.tree.change(anna.entry.guid, userAccountControl="514")
    company.sync(days=1)
    company.paint(anna, None)
    away = company.sync(days=1)
    shown_meanwhile = company.photo(anna)
    company.ldap.tree.change(anna.entry.guid, userAccountControl="512")

    back = company.sync(days=1)

    assert (away.of(anna.upn), away.totals["people"]) == (None, 1)
    assert shown_meanwhile is not None, "who takes no part loses nothing"
    assert (back.code, back.of(anna.upn)) == (0, (removed, "source-removed"))
    assert (company.photo(anna) is None) is (removed == "remove")


def test_a_deleted_person_keeps_the_cloud_photo(company: Company) -> None:
    anna, _ = company.team(2)
    company.settings["SYNC_REMOVED"] = "remove"
    company.sync()
    company.ldap.tree.delete(anna.entry.guid)

    told = company.sync(days=1)

    assert (told.code, told.of(anna.upn)) == (0, ("skip", "deleted"))
    assert company.photo(anna) is not None
    assert company.sync(days=1).totals["people"] == 1


def test_a_renamed_or_moved_person_is_the_same_person(company: Company) -> None:
    anna = company.hire("anna")
    company.sync()
    company.ldap.tree.move(anna.entry.guid, f"CN=Anna Married,OU=Elsewhere,{ROOT}")
    company.ldap.tree.change(anna.entry.guid, userPrincipalName="married@contoso.test", mail="married@contoso.test")

    told = company.sync(days=1)

    assert (is_quiet(told), told.totals["unchanged"], writes(company)) == (True, 1, 1)
    assert company.sync("--full", days=1).of("married@contoso.test") == ("keep", "unchanged")


def test_who_moves_out_of_the_base_leaves_and_who_moves_in_comes(company: Company) -> None:
    company.settings["LDAP_BASE_DN"] = f"OU=People,{ROOT}"
    anna = company.hire("anna")
    bert = company.register("bert", company.ldap.person("bert", ou=f"OU=Elsewhere,{ROOT}", jpegPhoto=face("bert")))
    assert company.sync().totals["people"] == 1
    company.ldap.tree.move(anna.entry.guid, f"CN=anna,OU=Elsewhere,{ROOT}")
    company.ldap.tree.move(bert.entry.guid, f"CN=bert,OU=People,{ROOT}")

    told = company.sync(days=1)

    assert told.of(anna.upn) == ("skip", "out-of-scope")
    assert told.of(bert.upn) == ("create", "first-upload")
    assert company.photo(anna) is not None


def test_a_groups_new_members_come_and_its_old_ones_leave_although_no_entry_of_theirs_changed(company: Company) -> None:
    company.ldap.tree.add(GROUP, objectClass=["group"], objectCategory="group", sAMAccountType=[])
    company.settings["LDAP_GROUP"] = GROUP
    stays, leaves, comes = (
        company.hire("stays", memberOf=GROUP),
        company.hire("leaves", memberOf=GROUP),
        company.hire("comes"),
    )
    assert company.sync().totals["people"] == 2
    company.ldap.tree.change(leaves.entry.guid, memberOf=[])
    company.ldap.tree.change(comes.entry.guid, memberOf=GROUP)

    told = company.sync(days=1)

    assert told.report["mode"] == "changes"
    assert told.of(leaves.upn) == ("skip", "out-of-scope")
    assert told.of(comes.upn) == ("create", "first-upload")
    assert (told.totals["unchanged"], told.of(stays.upn)) == (1, None)
    assert company.photo(leaves) is not None
    quiet = company.sync(days=1)
    assert (is_quiet(quiet), quiet.totals["people"]) == (True, 2)


@pytest.mark.parametrize(
    ("name", "value", "people"),
    [
        ("LDAP_FILTER", "(!(sAMAccountName=person000))", 2),
        ("LDAP_EXCLUDE_DN", f"OU=Elsewhere,{ROOT}", 3),
        ("LDAP_PHOTO_ATTRIBUTES", "jpegPhoto", 3),
    ],
)
def test_other_settings_mean_a_full_read_that_says_so_and_sends_nothing_again(
    company: Company, name: str, value: str, people: int
) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    company.team(3)
    company.ldap.tree.add(f"OU=Elsewhere,{ROOT}", objectClass=["organizationalUnit"], sAMAccountType=[])
    company.sync()
    company.settings[name] = value

    told, after = company.sync(days=1), company.sync(days=1)

    assert (told.code, told.report["mode"]) == (0, "full"), told.err
    assert any("Scope settings for" in notice for notice in told.report["notices"])
    assert (writes(company), len(company.cloud.tenant.photos())) == (3, 3)
    assert (is_quiet(after), after.report["mode"], after.totals["people"]) == (True, "changes", people)


def test_a_photo_attribute_that_is_no_longer_asked_for_removes_nobodys_photo(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    small = [company.hire(f"small{n}", photo=None, thumbnailPhoto=face(f"small{n}")) for n in range(3)]
    both = company.hire("both", thumbnailPhoto=face("both long ago"))
    company.sync()
    company.settings["LDAP_PHOTO_ATTRIBUTES"] = "jpegPhoto"

    told, full = company.sync(days=1), company.sync("--full", days=1)

    assert (told.code, full.code) == (0, 0), told.err
    assert [full.of(one.upn) for one in small] == [("skip", "no-photo")] * 3
    assert any("3 people" in notice and "cloud photos stay" in notice for notice in told.report["notices"])
    assert (writes(company), len(company.cloud.tenant.photos())) == (4, 4)
    assert full.of(both.upn) == ("keep", "unchanged")

    company.settings["LDAP_PHOTO_ATTRIBUTES"] = "jpegPhoto,thumbnailPhoto"
    back = company.sync(days=1)

    assert back.reasons() == {"adopted": 3}
    assert writes(company) == 4


def test_from_one_attribute_to_another_is_a_change_and_no_vanishing(company: Company) -> None:
    company.settings["LDAP_PHOTO_ATTRIBUTES"] = "thumbnailPhoto"
    team = [company.hire(f"two{n}", thumbnailPhoto=face(f"long ago {n}")) for n in range(4)]
    company.sync()
    company.settings["LDAP_PHOTO_ATTRIBUTES"] = "jpegPhoto"

    told = company.sync(days=1)

    assert (told.code, told.totals["replaced"], told.totals["conflicts"]) == (0, 4, 0), told.err
    assert all(shows(company, one, one.name) for one in team)
    assert is_quiet(company.sync(days=1))


def test_another_tenant_of_accounts_is_listed_anew(company: Company) -> None:
    company.team(2)
    company.sync()
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE cookies SET settings_fingerprint = 'of another tenant' WHERE context = 'accounts'")

    told = company.sync(days=1)

    assert (told.code, told.requests["http"], told.totals["unchanged"]) == (0, 2, 2)
    assert any("Settings for the list of accounts changed" in notice for notice in told.report["notices"])
    assert is_quiet(company.sync(days=1))


def test_a_full_night_takes_a_new_cookie_and_a_new_link(company: Company) -> None:
    company.team(2)
    company.sync()
    before = places(company)
    company.hire("new")

    told = company.sync("--full", days=1)

    after = places(company)
    assert (told.code, told.report["mode"], told.report["notices"]) == (0, "full", [])
    assert before.keys() == after.keys() == {"accounts", ROOT}
    assert all(before[name] != after[name] for name in after)
    assert is_quiet(company.sync(days=1))


# What stands, and what was


@pytest.mark.parametrize("policy", ["source", "cloud", "report"])
def test_what_stands_is_told_each_night_and_written_once(company: Company, policy: str) -> None:
    company.settings["SYNC_CONFLICT"] = policy
    lost = company.hire("lost", account=False)
    bare = company.hire("bare", photo=None)
    broken = company.hire("broken", photo=b"no picture at all")
    company.team(2)
    company.sync()
    rows = standing(company)

    results = [company.sync(days=1) for _ in range(3)]

    for told in results:
        assert told.of(lost.upn) == ("skip", "no-account")
        assert told.of(bare.upn) == ("skip", "no-photo")
        assert told.of(broken.upn) == ("skip", "not-an-image")
        assert told.totals["skipped"] == 3
        assert total(told.totals) == told.totals["people"] == 5
        assert is_quiet(told)
    assert standing(company) == rows == 3


def test_an_older_run_is_told_as_it_was(company: Company) -> None:
    late, bare = company.hire("late", account=False), company.hire("bare", photo=None)
    company.team(2)
    first = company.sync()
    company.register("late", late.entry)
    company.paint(bare, face("bare"))
    company.ldap.tree.change(bare.entry.guid, userPrincipalName="married@contoso.test")
    second = company.sync(days=1)
    company.ldap.tree.delete(late.entry.guid)
    third = company.sync(days=1)

    for number, told in enumerate((first, second, third), 1):
        again = retold(company, number)
        assert again.pop("outcomes") == told.report["outcomes"], f"run {number}"
        assert again == {name: value for name, value in told.report.items() if name != "outcomes"}
    assert first.of(late.upn) == ("skip", "no-account")
    assert second.of(late.upn) == ("create", "first-upload")
    assert third.of(late.upn) == ("skip", "deleted")


def test_conflicts_are_counted_each_night_under_report_and_once_under_cloud(company: Company) -> None:
    counts = {}
    anna = company.hire("anna")
    company.cloud.tenant.set_photo(anna.account_id, face("own choice"))
    company.settings["SYNC_CONFLICT"] = "report"
    counts["report"] = [company.sync(days=1).totals["conflicts"] for _ in range(3)]
    rows = standing(company)
    listed = company.sync(days=1)
    assert standing(company) == rows
    company.settings["SYNC_CONFLICT"] = "cloud"
    counts["cloud"] = [company.sync(days=1).totals["conflicts"] for _ in range(2)]
    company.settings["SYNC_CONFLICT"] = "source"
    won = company.sync(days=1)

    assert counts == {"report": [1, 1, 1], "cloud": [0, 0]}
    assert listed.of(anna.upn) == ("keep", "conflict-standing")
    assert (won.of(anna.upn), won.totals["conflicts"]) == (("replace", "cloud-differs"), 1)
    assert company.sync(days=1).totals["conflicts"] == 0


def test_a_run_for_one_person_counts_no_conflict_but_theirs(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "report"
    anna, bert = company.team(2)
    company.cloud.tenant.set_photo(anna.account_id, face("own choice"))
    company.sync()

    for one, count in ((anna, 1), (bert, 0)):
        assert company.sync("--only", one.upn, days=1).totals["conflicts"] == count


def test_accounts_that_are_nobodys_are_counted_where_they_are_synced(company: Company) -> None:
    company.team(2)
    company.cloud.tenant.add_account("orphan@contoso.test", immutable_id="b3JwaGFu", synced=True)
    company.cloud.tenant.add_account("cloud-only@contoso.test")

    told = company.sync()

    assert told.totals["unmatched_accounts"] == 1


def test_writes_that_the_cloud_does_not_show_yet_are_counted_and_settled_the_next_night(company: Company) -> None:
    team = company.team(3)
    company.cloud.set(read_lag_reads=2)

    told = company.sync()
    company.cloud.set(read_lag_reads=0)
    later = company.sync(days=0.1)
    settled = company.sync(days=1)

    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, 3, 3)
    assert (settled.totals["open_intents"], settled.totals["unchanged"]) == (0, 3)
    assert later.code == 0
    assert writes(company) == len(team)
    assert is_quiet(company.sync(days=1))
