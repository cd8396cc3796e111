"""Whose photo wins when both sides changed? What SYNC_CONFLICT says; a lag or a new tag is never somebody's edit."""

from __future__ import annotations

import hashlib

import pytest

from connector.photo import read_print
from tests.nights import Told, shown
from tests.office import Colleague, Office, face

POLICIES = ("source", "cloud", "report")


def shows(office: Office, one: Colleague, name: object) -> bool:
    """Say whether the cloud shows this portrait for somebody."""
    return shown(office.cloud, one.account_id).shows_same(read_print(face(name)))


def detail_of(told: Told, one: Colleague) -> str:
    """Return what the JSON report says of somebody in words."""
    return next(str(outcome["detail"]) for outcome in told.report["outcomes"] if outcome["upn"] == one.upn)


def quiet_nights(office: Office, *, days: int = 3) -> list[Told]:
    """Let nights pass, the last of them with `--full`."""
    return [office.sync(*(("--full",) if day == days - 1 else ()), days=1) for day in range(days)]


@pytest.mark.parametrize(("conflict", "wins"), [("source", "source"), ("cloud", "cloud"), ("report", "cloud")])
def test_a_photo_edited_in_the_cloud_is_judged_by_the_setting(office: Office, conflict: str, wins: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    team = office.team(4)
    office.sync()
    office.cloud.tenant.set_photo(team[0].account_id, face("edited"))
    office.paint(team[0], face("newer"))
    edited = shown(office.cloud, team[0].account_id)

    told = office.sync(days=1)

    assert told.code == 0, told.err
    is_kept = shown(office.cloud, team[0].account_id).shows_same(edited)
    assert is_kept == (wins == "cloud"), told.of(team[0].upn)
    assert told.totals["conflicts"] == 1


# --------------------------------------------------------------------------------------- what the report says of both


@pytest.mark.parametrize("conflict", POLICIES)
def test_the_report_tells_the_facts_of_both_pictures_in_every_format(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    ada = office.hire("ada", photo=face("ada", 144))
    tag = office.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))
    theirs = hashlib.sha256(office.photo(ada) or b"").hexdigest()
    told = office.sync()

    facts = (
        f"Source: 144 × 144 pixels, sha256 {hashlib.sha256(face('ada', 144)).hexdigest()[:12]}; "
        f"cloud: 120 × 120 pixels, sha256 {theirs[:12]}, tag "
    )

    assert detail_of(told, ada).startswith(facts), tag
    assert ", seen 20" in detail_of(told, ada)
    assert "Source: 144 × 144 pixels; cloud: 120 × 120 pixels, seen 20" in told.out
    assert "sha256" not in told.out, "identifiers are for --verbose and for programs"
    for form in ("text", "csv", "html", "json"):
        command = ("report", "--env-file", str(office.nights.env_file()), "--format", form, "--verbose")
        again = office.nights.type(*command).out
        assert "144 × 144 pixels" in again or "144 \\u00d7 144 pixels" in again, form
        assert theirs[:12] in again, form


def test_a_photo_that_somebody_removed_is_told_as_none(office: Office) -> None:
    office.settings["SYNC_CONFLICT"] = "cloud"
    ada = office.hire("ada")
    office.sync()
    office.cloud.tenant.clear_photo(ada.account_id)

    told = office.sync("--full", days=1)

    assert told.of(ada.upn) == ("keep", "cloud-removed")
    assert "; cloud: no photo, seen 20" in detail_of(told, ada)


def test_a_dry_run_tells_the_facts_too(office: Office) -> None:
    ada = office.hire("ada")
    office.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))

    told = office.sync("--dry-run")

    assert told.of(ada.upn) == ("replace", "cloud-differs")
    assert "cloud: 120 × 120 pixels" in detail_of(told, ada)


def test_under_report_a_conflict_is_listed_with_both_pictures_each_night_until_it_ends(office: Office) -> None:
    office.settings["SYNC_CONFLICT"] = "report"
    ada, bob = office.hire("ada"), office.hire("bob")
    office.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))
    office.sync()
    office.cloud.tenant.clear_photo(bob.account_id)
    office.sync("--full", days=1)

    for night in quiet_nights(office, days=4):
        assert night.totals["conflicts"] == 2
        assert {night.of(one.upn) for one in (ada, bob)} == {("keep", "conflict-standing")}
        assert "cloud: 120 × 120 pixels, sha256 " in detail_of(night, ada)
        assert "cloud: no photo" in detail_of(night, bob)

    for one in (ada, bob):
        office.cloud.tenant.set_photo(one.account_id, face(one.name))
    ended = office.sync("--full", days=1)
    assert ended.reasons() == {"adopted": 2}
    assert ended.totals["conflicts"] == 0
    assert office.sync(days=1).report["outcomes"] == []


@pytest.mark.parametrize("conflict", ["cloud", "report"])
def test_a_conflict_that_was_left_ends_when_the_policy_becomes_source(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    ada, bob = office.hire("ada"), office.hire("bob")
    office.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    office.sync()
    office.cloud.tenant.clear_photo(bob.account_id)
    office.sync("--full", days=1)
    assert (shows(office, ada, "own ada"), office.photo(bob)) == (True, None)
    office.settings["SYNC_CONFLICT"] = "source"

    told = office.sync(days=1)

    assert (told.of(ada.upn), told.of(bob.upn)) == (("replace", "cloud-differs"), ("create", "first-upload"))
    assert shows(office, ada, "ada")
    assert shows(office, bob, "bob")


def listed(told: Told) -> int:
    """Count the outcomes that the JSON report marks as conflicts."""
    return sum(bool(outcome["conflict"]) for outcome in told.report["outcomes"])


@pytest.mark.parametrize("conflict", POLICIES)
def test_as_many_conflicts_are_listed_as_are_counted(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    team = office.team(3)
    office.sync()
    office.cloud.tenant.set_photo(team[0].account_id, face("edited"))
    office.cloud.tenant.clear_photo(team[1].account_id)

    nights = [office.sync("--full", days=1), office.sync("--full", days=1), office.sync(days=1)]
    desk = office.sync("--only", team[0].name, "--overwrite", days=1)

    standing = 2 if conflict == "report" else 0
    assert [told.totals["conflicts"] for told in nights] == [2, standing, standing]
    assert [listed(told) for told in (*nights, desk)] == [told.totals["conflicts"] for told in (*nights, desk)]


# ------------------------------------------------------------------------------------------------ no edit at all


@pytest.mark.parametrize("conflict", POLICIES)
@pytest.mark.parametrize("shows", ["old", "old-tag", "missing"])
def test_a_read_that_lags_behind_a_write_is_no_conflict_and_no_second_upload(
    office: Office, shows: str, conflict: str
) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    office.cloud.set(read_lag_reads=3, read_lag_shows=shows)
    team = office.team(4)

    nights = [office.sync("--full", days=0.01) for _ in range(4)]
    for one in team[:2]:
        office.paint(one, face(f"newer {one.name}"))
    nights += [office.sync("--full", days=0.01) for _ in range(5)]

    assert [told.code for told in nights] == [0] * 9
    assert [told.totals["conflicts"] for told in nights] == [0] * 9
    assert len(office.cloud.tenant.writes()) == len(team) + 2
    office.cloud.set(read_lag_reads=0)
    last = office.sync("--full", days=1)
    assert (last.totals["open_intents"], last.reasons()) == (0, {"unchanged": len(team)})


@pytest.mark.parametrize("conflict", POLICIES)
def test_a_tag_that_moves_without_an_edit_is_no_conflict(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    team = office.team(4)
    office.sync()

    for _ in range(3):
        for one in team:
            office.cloud.tenant.touch_tag(one.account_id)
        told = office.sync("--full", days=1)
        assert (told.code, told.totals["conflicts"], told.reasons()) == (0, 0, {"unchanged": len(team)})

    assert len(office.cloud.tenant.writes()) == len(team)


@pytest.mark.parametrize("conflict", POLICIES)
def test_a_tag_that_moved_does_not_hinder_a_new_source_photo(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    ada = office.hire("ada")
    office.sync()
    office.cloud.tenant.touch_tag(ada.account_id)
    office.paint(ada, face("newer"))

    told = office.sync(days=1)

    assert (told.of(ada.upn), told.totals["conflicts"]) == (("replace", "source-changed"), 0)
    assert shows(office, ada, "newer")


# ----------------------------------------------------------------------------------------------- for the help desk


@pytest.mark.parametrize("conflict", ["cloud", "report"])
def test_overwrite_sends_the_sources_photo_for_this_person_once_and_keeps_the_other(
    office: Office, conflict: str
) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    ada, bob = office.hire("ada"), office.hire("bob")
    for one in (ada, bob):
        office.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    office.sync()

    told = office.sync("--only", "ada", "--overwrite", days=1)

    assert told.of(ada.upn) == ("replace", "overwritten")
    assert (shows(office, ada, "ada"), shows(office, bob, "own bob")) == (True, True)
    before = len(office.cloud.tenant.writes())
    nights = quiet_nights(office)
    assert nights[-1].of(ada.upn) == ("keep", "unchanged")
    assert len(office.cloud.tenant.writes()) == before
    back = office.nights.type("restore", "--env-file", str(office.nights.env_file()), "--person", "ada", days=1)
    assert back.code == 0, back.err
    assert shows(office, ada, "own ada")


def test_overwrite_brings_back_a_photo_that_clear_took_away(office: Office) -> None:
    ada = office.hire("ada")
    office.sync()
    office.sync("--only", "ada", "--clear", days=1)

    told = office.sync("--only", "ada", "--overwrite", days=1)

    assert told.of(ada.upn) == ("create", "overwritten")
    assert shows(office, ada, "ada")
    assert quiet_nights(office)[-1].of(ada.upn) == ("keep", "unchanged")


@pytest.mark.parametrize("conflict", POLICIES)
def test_clear_takes_our_photo_away_until_the_source_changes(office: Office, conflict: str) -> None:
    office.settings["SYNC_CONFLICT"] = conflict
    ada, bob = office.hire("ada"), office.hire("bob")
    office.sync()

    told = office.sync("--only", "ada@contoso.test", "--clear", days=1)

    assert (told.code, told.of(ada.upn)) == (0, ("remove", "cleared-by-admin"))
    assert (office.photo(ada), shows(office, bob, "bob")) == (None, True)
    before = len(office.cloud.tenant.writes())
    for policy in POLICIES:
        office.settings["SYNC_CONFLICT"] = policy
        assert quiet_nights(office)[-1].of(ada.upn) == ("keep", "conflict-standing")
    assert len(office.cloud.tenant.writes()) == before
    assert office.photo(ada) is None

    office.settings["SYNC_CONFLICT"] = conflict
    office.paint(ada, face("newer"))
    assert office.sync(days=1).of(ada.upn) == ("create", "source-changed")
    assert shows(office, ada, "newer")


def test_clear_leaves_a_photo_that_is_not_ours(office: Office) -> None:
    ada = office.hire("ada")
    office.sync()
    office.cloud.tenant.set_photo(ada.account_id, face("own ada"))

    told = office.sync("--only", "ada", "--clear", days=1)

    assert told.of(ada.upn) == ("keep", "cloud-differs")
    assert len(quiet_nights(office)) == 3
    assert shows(office, ada, "own ada"), "and it is not touched until the source changes"


@pytest.mark.parametrize("option", ["--overwrite", "--clear"])
def test_the_help_desks_options_need_a_name(office: Office, option: str) -> None:
    office.hire("ada")

    told = office.sync(option)

    assert told.code == 2
    assert "--only" in told.err
    assert list(office.cloud.requests) == []
