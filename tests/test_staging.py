"""A stand-by server knows everything and writes nothing, and takes over with one setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.company import Company, copy_of, face
from tests.lab.graph import Emulator
from tests.runner import CommandResult, Runner


@pytest.fixture
def standby(company: Company, tmp_path: Path) -> Runner:
    """Return a second server beside the active one, with a state folder of its own."""
    folder = tmp_path / "standby"
    folder.mkdir()
    own = {"STATE_DIR": str(folder / "state"), "SYNC_STAGING": "true"}
    return Runner(folder, {**company.settings, **own})


def check(runner: Runner) -> dict[str, str]:
    told = runner.type("check", "--json", "--env-file", str(runner.env_file()))
    return {one["id"]: one["detail"] for one in json.loads(told.out)}


def said(told: CommandResult) -> str:
    return " ".join(told.report["notices"])


def test_a_standby_server_plans_and_never_writes_and_every_report_says_so(
    cloud: Emulator, company: Company, standby: Runner
) -> None:
    new, other = company.hire("new"), company.hire("other")
    cloud.tenant.set_photo(other.account_id, face("somebody else"))

    told = standby.sync()

    assert told.code == 0, told.err
    assert cloud.tenant.writes() == []
    assert told.of(new.upn) == ("create", "first-upload")
    assert told.of(other.upn) == ("replace", "cloud-differs")
    assert told.report["staging"] is True
    assert told.report["dry_run"] is False
    assert "SYNC_STAGING is on" in said(told)
    assert "The stand-by run" in told.out
    assert "would be created" in told.out
    assert list((standby.state / "backups").glob("*/*.jpg")) == []
    page = next((standby.state / "reports").glob("*.html")).read_text("utf-8")
    assert "Stand-by (SYNC_STAGING): nothing was written" in page
    history = standby.type("history", "--env-file", str(standby.env_file()), new.upn)
    assert "would create" in history.out


def test_what_the_active_server_wrote_is_adopted_and_the_next_plan_is_empty(
    cloud: Emulator, company: Company, standby: Runner
) -> None:
    colleague = company.hire("new")
    assert standby.sync().of(colleague.upn) == ("create", "first-upload")
    assert company.sync(days=1).of(colleague.upn) == ("create", "first-upload")

    standby.days = 1
    assert standby.sync().of(colleague.upn) == ("keep", "adopted")
    company.paint(colleague, face("new and older"))
    assert standby.sync(days=1).of(colleague.upn) == ("replace", "source-changed")
    assert company.sync(days=1).of(colleague.upn) == ("replace", "source-changed")
    assert standby.sync(days=1).of(colleague.upn) == ("keep", "adopted")
    quiet = standby.sync(days=1)
    assert quiet.requests["http"] == 1, "the memory is warm: a quiet night costs what it costs the active server"
    assert len(cloud.tenant.writes()) == 2, "both are the active server's"


def test_one_setting_takes_over_what_was_planned_without_a_second_upload(
    cloud: Emulator, company: Company, standby: Runner
) -> None:
    there, missing = company.hire("there"), company.hire("missing")
    cloud.tenant.set_photo(there.account_id, copy_of("there"))
    assert standby.sync().of(there.upn) == ("keep", "adopted")

    standby.settings["SYNC_STAGING"] = "false"
    told = standby.sync(days=1)

    assert told.of(missing.upn) == ("create", "first-upload")
    assert told.report["staging"] is False
    assert "SYNC_STAGING" not in said(told)
    assert [write.account_id for write in cloud.tenant.writes()] == [missing.account_id]


def test_a_standby_server_would_be_stopped_by_the_limits_as_any_other(
    cloud: Emulator, company: Company, standby: Runner
) -> None:
    for colleague in company.team(3):
        cloud.tenant.set_photo(colleague.account_id, face(f"not {colleague.name}"))
    standby.settings["SYNC_MAX_OVERWRITES"] = "2"

    told = standby.sync()

    assert told.code == 4
    assert cloud.tenant.writes() == []


def test_check_says_that_a_standby_server_does_not_write(company: Company, standby: Runner) -> None:
    company.hire("somebody")

    assert "no run of this server writes" in check(standby)["staging"]
    assert "runs of this server write" in check(company.runner)["staging"]


def test_a_standby_server_restores_nothing(cloud: Emulator, company: Company, standby: Runner) -> None:
    company.hire("somebody")
    company.sync()
    standby.settings["STATE_DIR"] = company.settings["STATE_DIR"]

    told = standby.type("restore", "--run", "1", "--env-file", str(standby.env_file()))

    assert told.code == 2
    assert "SYNC_STAGING is on" in told.err
    assert len(cloud.tenant.writes()) == 1, "the upload"


def test_the_metrics_of_a_standby_server_say_so(company: Company, standby: Runner, tmp_path: Path) -> None:
    company.hire("somebody")
    standby.settings["METRICS_FILE"] = str(tmp_path / "standby.prom")

    standby.sync()

    assert "photo_connector_staging{" in (tmp_path / "standby.prom").read_text("utf-8")


def test_two_servers_that_both_write_are_found_out_by_whoever_comes_second(
    cloud: Emulator, company: Company, standby: Runner
) -> None:
    standby.settings["SYNC_STAGING"] = "false"
    team = company.team(3)
    company.sync()
    assert "another server" not in said(standby.sync()), "a first meeting says nothing"
    for one in team[:2]:
        company.paint(one, face(f"new {one.name}"))
    company.sync(days=1)
    assert "another server" not in said(standby.sync(days=1)), "two may be chance"
    for one in team:
        company.paint(one, face(f"newer {one.name}"))
    assert "another server" not in said(company.sync(days=1))

    second = standby.sync(days=1)

    assert {second.of(one.upn) for one in team} == {("keep", "adopted")}
    assert "3 new photos of the source were in Microsoft 365 already" in said(second)
    assert "another server may write, too" in check(standby)["competing-writer"]
    assert "another server" not in check(company.runner)["competing-writer"]
    assert len(cloud.tenant.writes()) == 8, "three, two and three, each sent once"
    assert "another server" not in said(standby.sync(days=1)), "the next quiet run is quiet"
