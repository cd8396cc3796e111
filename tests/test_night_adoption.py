"""A first run adopts the copies that are there and sends none again; a dry run writes nothing at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.company import Company, copy_of, face
from tests.lab.graph import Emulator
from tests.lab.pictures import encoded, jpeg, reencoded
from tests.lab.portraits import portrait
from tests.runner import Runner, shown

# What a dry run may touch: it is itself a run, with outcomes, and with a plan that can be approved.
_OF_RUNS = ("runs", "outcomes", "plans", "run_plans", "sqlite_sequence")


@pytest.fixture
def tall(company: Company) -> bytes:
    """Return a portrait that is cropped before it is sent."""
    return jpeg("somebody tall", (200, 300))


def dump(runner: Runner) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table of the ledger that is not about runs."""
    db = sqlite3.connect(runner.state / "ledger.sqlite3")
    try:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in tables if name not in _OF_RUNS}
    finally:
        db.close()


def test_square_and_uncropped_copies_are_adopted_without_an_upload(company: Company, tall: bytes) -> None:
    square = company.hire("square")
    uncropped = company.hire("uncropped", photo=tall)
    company.cloud.tenant.set_photo(square.account_id, copy_of("square"))
    company.cloud.tenant.set_photo(uncropped.account_id, reencoded(tall, 648))

    told = company.sync()

    assert told.code == 0, told.err
    assert company.cloud.tenant.writes() == []
    assert told.of(square.upn) == told.of(uncropped.upn) == ("keep", "adopted")
    assert company.sync(days=1).requests["http"] == 1, "the second night asks for changed accounts and nothing else"


def test_a_copy_that_another_tool_cropped_at_the_centre_is_adopted(company: Company, tall: bytes) -> None:
    centred = company.hire("centred", photo=tall)
    cropped = portrait("somebody tall", (200, 300)).crop((0, 50, 200, 250))
    company.cloud.tenant.set_photo(centred.account_id, reencoded(encoded(cropped), 648))

    told = company.sync()

    assert (told.code, told.of(centred.upn)) == (0, ("keep", "adopted")), told.err
    assert company.cloud.tenant.writes() == []


def test_a_picture_of_an_older_database_is_known_by_its_centre_once_it_is_read_again(
    company: Company, tall: bytes
) -> None:
    centred = company.hire("centred", photo=tall)
    company.sync()
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE pictures SET centre_print = NULL")
    cropped = portrait("somebody tall", (200, 300)).crop((0, 50, 200, 250))
    company.cloud.tenant.set_photo(centred.account_id, reencoded(encoded(cropped), 648))
    before = len(company.cloud.tenant.writes())

    told = company.sync("--full", days=1)

    assert (told.code, told.of(centred.upn)) == (0, ("keep", "unchanged")), told.err
    assert len(company.cloud.tenant.writes()) == before


def test_another_picture_and_a_clearly_smaller_copy_are_replaced_with_a_backup(company: Company) -> None:
    differs = company.hire("differs")
    smaller = company.hire("smaller", photo=face("smaller", 400))
    company.cloud.tenant.set_photo(differs.account_id, face("somebody else"))
    company.cloud.tenant.set_photo(smaller.account_id, reencoded(face("smaller", 400), 200))
    before = {company.photo(differs), company.photo(smaller)}

    told = company.sync()

    assert told.of(differs.upn) == ("replace", "cloud-differs")
    assert told.of(smaller.upn) == ("replace", "better-quality")
    assert told.totals["replaced"] == 2
    assert shown(company.cloud, smaller.account_id).edge == 400
    backups = {path.read_bytes() for path in (company.runner.state / "backups").glob("*/*.jpg")}
    assert backups == before


def test_a_dry_run_reads_and_tells_but_writes_nothing_anywhere(company: Company, cloud: Emulator) -> None:
    company.hire("adopted")
    cloud.tenant.set_photo(cloud.tenant.id_of("adopted@contoso.test"), copy_of("adopted"))
    company.sync()
    company.hire("new")
    company.hire("conflict")
    cloud.tenant.set_photo(cloud.tenant.id_of("conflict@contoso.test"), face("another"))
    company.hire("nobody", account=False)
    before = dump(company.runner)
    cloud.log.clear()

    told = company.sync("--dry-run", "--full", days=1)

    assert told.code == 0, told.err
    assert told.report["dry_run"] is True
    assert told.of("new@contoso.test") == ("create", "first-upload")
    assert told.of("conflict@contoso.test") == ("replace", "cloud-differs")
    assert told.of("nobody@contoso.test") == ("skip", "no-account")
    assert dump(company.runner) == before
    graph = [record for record in cloud.requests if record.kind == "graph"]
    assert {record.method for record in graph} == {"GET", "POST"}
    assert {record.path for record in graph if record.method == "POST"} == {"/v1.0/$batch"}
    assert {item.method for record in graph for item in record.items} == {"GET"}
    assert cloud.tenant.writes() == []
    assert not list((company.runner.state / "backups").glob("*/*"))
    assert not list(company.runner.state.glob("dry-run*"))


def test_a_dry_run_is_told_again_by_report_and_the_next_night_does_it(company: Company) -> None:
    company.hire("new")
    dry = company.sync("--dry-run")

    again = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "json")

    assert '"dry_run": true' in again.out
    assert '"first-upload"' in again.out
    assert dry.totals["created"] == 1
    assert company.sync(days=1).totals["created"] == 1


def test_a_dry_run_shows_the_plan_that_a_brake_would_stop(company: Company) -> None:
    team = company.team(21)
    for one in team:
        company.cloud.tenant.set_photo(one.account_id, face("somebody else"))
    company.settings["SYNC_MAX_OVERWRITES"] = "3"

    told = company.sync("--dry-run")

    assert told.code == 4
    assert told.totals["replaced"] == 21
    assert "SYNC_MAX_OVERWRITES" in told.err
    assert company.cloud.tenant.writes() == []


def test_a_dry_run_for_one_person_tells_of_nobody_else(company: Company) -> None:
    for name in ("one", "two"):
        company.hire(name, account=False)
    company.sync()

    told = company.sync("--dry-run", "--only", "one", days=1)

    assert [outcome["upn"] for outcome in told.report["outcomes"]] == ["one@contoso.test"]
    assert told.totals["people"] == told.totals["skipped"] == 1
