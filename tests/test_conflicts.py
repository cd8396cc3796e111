"""Conflicts: SYNC_CONFLICT decides when both sides changed; a lag or a new tag is never somebody's edit."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
import time_machine

from connector.photo import read_print
from tests.company import Colleague, Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult, shown
from tests.test_faults_directory import before_the_cloud_answers

POLICIES = ("source", "cloud", "report")


def shows(company: Company, one: Colleague, name: object) -> bool:
    """Return True if the cloud shows this portrait for somebody."""
    return shown(company.cloud, one.account_id).shows_same(read_print(face(name)))


def detail_of(told: CommandResult, one: Colleague) -> str:
    """Return what the JSON report says of somebody in words."""
    return next(str(outcome["detail"]) for outcome in told.report["outcomes"] if outcome["upn"] == one.upn)


def quiet_nights(company: Company, *, days: int = 3) -> list[CommandResult]:
    """Run several times, days apart, the last time with `--full`."""
    return [company.sync(*(("--full",) if day == days - 1 else ()), days=1) for day in range(days)]


@pytest.mark.parametrize(("conflict", "wins"), [("source", "source"), ("cloud", "cloud"), ("report", "cloud")])
def test_a_photo_edited_in_the_cloud_is_judged_by_the_setting(company: Company, conflict: str, wins: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    team = company.team(4)
    company.sync()
    company.cloud.tenant.set_photo(team[0].account_id, face("edited"))
    company.paint(team[0], face("newer"))
    edited = shown(company.cloud, team[0].account_id)

    told = company.sync(days=1)

    assert told.code == 0, told.err
    is_kept = shown(company.cloud, team[0].account_id).shows_same(edited)
    assert is_kept == (wins == "cloud"), told.of(team[0].upn)
    assert told.totals["conflicts"] == 1


# --------------------------------------------------------------------------------------- what the report says of both


@pytest.mark.parametrize("conflict", POLICIES)
def test_the_report_tells_the_facts_of_both_pictures_in_every_format(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    ada = company.hire("ada", photo=face("ada", 144))
    tag = company.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))
    theirs = hashlib.sha256(company.photo(ada) or b"").hexdigest()
    told = company.sync()

    facts = (
        f"Source: 144 × 144 pixels, sha256 {hashlib.sha256(face('ada', 144)).hexdigest()[:12]}; "
        f"cloud: 120 × 120 pixels, sha256 {theirs[:12]}, tag "
    )

    assert detail_of(told, ada).startswith(facts), tag
    assert ", seen 20" in detail_of(told, ada)
    assert "Source: 144 × 144 pixels; cloud: 120 × 120 pixels, seen 20" in told.out
    assert "sha256" not in told.out, "identifiers are for --verbose and for programs"
    for form in ("text", "csv", "html", "json"):
        command = ("report", "--env-file", str(company.runner.env_file()), "--format", form, "--verbose")
        again = company.runner.type(*command).out
        assert "144 × 144 pixels" in again or "144 \\u00d7 144 pixels" in again, form
        assert theirs[:12] in again, form


def test_a_photo_that_somebody_removed_is_told_as_none(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "cloud"
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.clear_photo(ada.account_id)

    told = company.sync("--full", days=1)

    assert told.of(ada.upn) == ("keep", "cloud-removed")
    assert "; cloud: no photo, seen 20" in detail_of(told, ada)


def test_a_dry_run_tells_the_facts_too(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))

    told = company.sync("--dry-run")

    assert told.of(ada.upn) == ("replace", "cloud-differs")
    assert "cloud: 120 × 120 pixels" in detail_of(told, ada)


def test_under_report_a_conflict_is_listed_with_both_pictures_each_night_until_it_ends(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "report"
    ada, bob = company.hire("ada"), company.hire("bob")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada", 120))
    company.sync()
    company.cloud.tenant.clear_photo(bob.account_id)
    company.sync("--full", days=1)

    for night in quiet_nights(company, days=4):
        assert night.totals["conflicts"] == 2
        assert {night.of(one.upn) for one in (ada, bob)} == {("keep", "conflict-standing")}
        assert "cloud: 120 × 120 pixels, sha256 " in detail_of(night, ada)
        assert "cloud: no photo" in detail_of(night, bob)

    for one in (ada, bob):
        company.cloud.tenant.set_photo(one.account_id, face(one.name))
    ended = company.sync("--full", days=1)
    assert ended.reasons() == {"adopted": 2}
    assert ended.totals["conflicts"] == 0
    assert company.sync(days=1).report["outcomes"] == []


@pytest.mark.parametrize("conflict", ["cloud", "report"])
def test_a_conflict_that_was_left_ends_when_the_policy_becomes_source(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    ada, bob = company.hire("ada"), company.hire("bob")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    company.cloud.tenant.clear_photo(bob.account_id)
    company.sync("--full", days=1)
    assert (shows(company, ada, "own ada"), company.photo(bob)) == (True, None)
    company.settings["SYNC_CONFLICT"] = "source"

    told = company.sync(days=1)

    assert (told.of(ada.upn), told.of(bob.upn)) == (("replace", "cloud-differs"), ("create", "first-upload"))
    assert shows(company, ada, "ada")
    assert shows(company, bob, "bob")


def listed(told: CommandResult) -> int:
    """Count the outcomes that the JSON report marks as conflicts."""
    return sum(bool(outcome["conflict"]) for outcome in told.report["outcomes"])


@pytest.mark.parametrize("conflict", POLICIES)
def test_as_many_conflicts_are_listed_as_are_counted(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    team = company.team(3)
    company.sync()
    company.cloud.tenant.set_photo(team[0].account_id, face("edited"))
    company.cloud.tenant.clear_photo(team[1].account_id)

    nights = [company.sync("--full", days=1), company.sync("--full", days=1), company.sync(days=1)]
    desk = company.sync("--only", team[0].name, "--overwrite", days=1)

    standing = 2 if conflict == "report" else 0
    assert [told.totals["conflicts"] for told in nights] == [2, standing, standing]
    assert [listed(told) for told in (*nights, desk)] == [told.totals["conflicts"] for told in (*nights, desk)]


# ------------------------------------------------------------------------------------------------ no edit at all


@pytest.mark.parametrize("conflict", POLICIES)
@pytest.mark.parametrize("shows", ["old", "old-tag", "missing"])
def test_a_read_that_lags_behind_a_write_is_no_conflict_and_no_second_upload(
    company: Company, shows: str, conflict: str
) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    company.cloud.set(read_lag_reads=3, read_lag_shows=shows)
    team = company.team(4)

    nights = [company.sync("--full", days=0.01) for _ in range(4)]
    for one in team[:2]:
        company.paint(one, face(f"newer {one.name}"))
    nights += [company.sync("--full", days=0.01) for _ in range(5)]

    assert [told.code for told in nights] == [0] * 9
    assert [told.totals["conflicts"] for told in nights] == [0] * 9
    assert len(company.cloud.tenant.writes()) == len(team) + 2
    company.cloud.set(read_lag_reads=0)
    last = company.sync("--full", days=1)
    assert (last.totals["open_intents"], last.reasons()) == (0, {"unchanged": len(team)})


def test_an_upload_that_is_accepted_and_never_shown_is_told_in_each_run_that_repeats_it(company: Company) -> None:
    company.hire("ada")
    company.cloud.set(read_lag_seconds=1e9)

    told = [company.sync(days=day) for day in (0, 0.5, 1.1)]

    assert [one.totals["created"] for one in told] == [1, 0, 1]
    assert [any("1 uploads that" in text for text in one.report["notices"]) for one in told] == [False, False, True]


@pytest.mark.parametrize("conflict", POLICIES)
def test_a_tag_that_moves_without_an_edit_is_no_conflict(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    team = company.team(4)
    company.sync()

    for _ in range(3):
        for one in team:
            company.cloud.tenant.touch_tag(one.account_id)
        told = company.sync("--full", days=1)
        assert (told.code, told.totals["conflicts"], told.reasons()) == (0, 0, {"unchanged": len(team)})

    assert len(company.cloud.tenant.writes()) == len(team)


@pytest.mark.parametrize("conflict", POLICIES)
def test_a_tag_that_moved_does_not_hinder_a_new_source_photo(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.touch_tag(ada.account_id)
    company.paint(ada, face("newer"))

    told = company.sync(days=1)

    assert (told.of(ada.upn), told.totals["conflicts"]) == (("replace", "source-changed"), 0)
    assert shows(company, ada, "newer")


@pytest.mark.parametrize("conflict", POLICIES)
def test_a_photo_chosen_between_the_look_and_the_write_is_not_lost(company: Company, conflict: str) -> None:
    company.settings.update(SYNC_CONFLICT=conflict, SYNC_REMOVED="remove")
    ada, bob, cora = company.team(3)
    company.sync()
    for one, photo in ((ada, face("new ada")), (bob, None), (cora, face("new cora"))):
        company.paint(one, photo)

    def choose() -> None:
        for one in (ada, bob):
            company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))

    beside = before_the_cloud_answers(company, choose)
    told = company.sync(days=1)
    beside.join()

    assert told.code == 0, told.err
    assert told.of(ada.upn) == told.of(bob.upn) == ("skip", "plan-outdated")
    assert told.of(cora.upn) == ("replace", "source-changed")
    assert shows(company, ada, f"own {ada.name}")
    assert shows(company, bob, f"own {bob.name}")
    decided = company.sync(days=1)
    assert decided.of(bob.upn) == ("keep", "source-removed-cloud-differs")
    assert decided.of(ada.upn) == ("replace" if conflict == "source" else "keep", "both-changed")


def test_a_photo_chosen_in_a_long_first_night_is_not_lost(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "cloud"
    ada, bob = company.team(2)

    def choose() -> None:
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
        clock.shift(timedelta(minutes=11))

    with time_machine.travel(datetime.now().astimezone(), tick=True) as clock:
        beside = before_the_cloud_answers(company, choose)
        told = company.sync()
        beside.join()

    assert (told.code, told.of(ada.upn)) == (0, ("skip", "plan-outdated")), told.err
    assert told.of(bob.upn) == ("create", "first-upload")
    assert shows(company, ada, "own ada")
    assert company.sync(days=1).of(ada.upn) == ("keep", "cloud-differs")


def test_a_photo_chosen_in_a_long_restore_is_not_lost(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    ada, bob = company.team(2)
    company.sync()
    for one in (ada, bob):
        company.paint(one, None)
    assert company.sync().totals["removed"] == 2

    def choose() -> None:
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
        clock.shift(timedelta(minutes=11))

    report = company.runner.folder / "restored.json"
    command = ("restore", "--env-file", str(company.runner.env_file()), "--last", "--report", str(report))
    with time_machine.travel(datetime.now().astimezone(), tick=True) as clock:
        beside = before_the_cloud_answers(company, choose)
        told = company.runner.type(*command)
        beside.join()

    outcomes = {one["upn"]: (one["action"], one["reason"]) for one in company.runner.read(report)["outcomes"]}
    assert told.code == 0, told.err
    assert outcomes == {ada.upn: ("skip", "changed-since"), bob.upn: ("create", "restored")}
    assert shows(company, ada, "own ada")


CONTRADICTIONS: dict[str, tuple[Fault | None, dict[str, object]]] = {
    "a photo without bytes": (Fault(status=404, code="ImageNotFound"), {}),
    "a GIF without a size": (None, {"photo_content_type": "image/gif", "photo_size_told": False}),
}


@pytest.mark.parametrize("answer", CONTRADICTIONS)
def test_a_photo_of_which_little_is_told_is_never_taken_for_none(company: Company, answer: str) -> None:
    company.settings["SYNC_CONFLICT"] = "cloud"
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("her own"))
    fault, switches = CONTRADICTIONS[answer]
    company.cloud.set(**switches)
    if fault is not None:
        company.cloud.fail_next(r"ITEM GET .*/photo/\$value", fault, times=-1)

    told = company.sync()

    expected = (0, ("keep", "cloud-differs")) if fault is None else (3, ("fail", "unreadable-answer"))
    assert (told.code, told.of(ada.upn)) == expected, told.err
    assert company.cloud.tenant.writes() == []


# ----------------------------------------------------------------------------------------------- for the help desk


@pytest.mark.parametrize("conflict", ["cloud", "report"])
def test_overwrite_sends_the_sources_photo_for_this_person_once_and_keeps_the_other(
    company: Company, conflict: str
) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    ada, bob = company.hire("ada"), company.hire("bob")
    for one in (ada, bob):
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    company.sync()

    told = company.sync("--only", "ada", "--overwrite", days=1)

    assert told.of(ada.upn) == ("replace", "overwritten")
    assert (shows(company, ada, "ada"), shows(company, bob, "own bob")) == (True, True)
    before = len(company.cloud.tenant.writes())
    nights = quiet_nights(company)
    assert nights[-1].of(ada.upn) == ("keep", "unchanged")
    assert len(company.cloud.tenant.writes()) == before
    back = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--person", "ada", days=1)
    assert back.code == 0, back.err
    assert shows(company, ada, "own ada")


def test_overwrite_brings_back_a_photo_that_clear_took_away(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    company.sync("--only", "ada", "--clear", days=1)

    told = company.sync("--only", "ada", "--overwrite", days=1)

    assert told.of(ada.upn) == ("create", "overwritten")
    assert shows(company, ada, "ada")
    assert quiet_nights(company)[-1].of(ada.upn) == ("keep", "unchanged")


@pytest.mark.parametrize("conflict", POLICIES)
def test_clear_takes_our_photo_away_until_the_source_changes(company: Company, conflict: str) -> None:
    company.settings["SYNC_CONFLICT"] = conflict
    ada, bob = company.hire("ada"), company.hire("bob")
    company.sync()

    told = company.sync("--only", "ada@contoso.test", "--clear", days=1)

    assert (told.code, told.of(ada.upn)) == (0, ("remove", "cleared-by-admin"))
    assert (company.photo(ada), shows(company, bob, "bob")) == (None, True)
    before = len(company.cloud.tenant.writes())
    for policy in POLICIES:
        company.settings["SYNC_CONFLICT"] = policy
        assert quiet_nights(company)[-1].of(ada.upn) == ("keep", "conflict-standing")
    assert len(company.cloud.tenant.writes()) == before
    assert company.photo(ada) is None

    company.settings["SYNC_CONFLICT"] = conflict
    company.paint(ada, face("newer"))
    assert company.sync(days=1).of(ada.upn) == ("create", "source-changed")
    assert shows(company, ada, "newer")


def test_clear_leaves_a_photo_that_is_not_ours(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))

    told = company.sync("--only", "ada", "--clear", days=1)

    assert told.of(ada.upn) == ("keep", "cloud-differs")
    assert len(quiet_nights(company)) == 3
    assert shows(company, ada, "own ada"), "and it is not touched until the source changes"


@pytest.mark.parametrize("option", ["--overwrite", "--clear"])
def test_the_help_desks_options_need_a_name(company: Company, option: str) -> None:
    company.hire("ada")

    told = company.sync(option)

    assert told.code == 2
    assert "--only" in told.err
    assert list(company.cloud.requests) == []
