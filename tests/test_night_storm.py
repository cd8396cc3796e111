"""A fifth of all requests is throttled or fails; all work is done all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.photo import read_print
from tests.company import Company, face
from tests.lab.graph import Emulator
from tests.runner import CommandResult, shown

PEOPLE = 24
FORMS = ("integer", "decimal", "date", "absent", "one")


def night(cloud: Emulator, folder: Path, **storm: object) -> tuple[Company, CommandResult]:
    """Live the first night of a company in this weather."""
    folder.mkdir()
    company = Company(cloud, folder)
    try:
        company.team(PEOPLE)
        cloud.set(**storm)
        told = company.sync()
        cloud.set(storm_percent=0.0, item_storm_percent=0.0, slow_percent=0.0)
        if told.code == 3:  # somebody met trouble eight times in a row
            assert company.sync(days=1).code == 0
        return company, told
    finally:
        company.close()


def calm(cloud: Emulator, folder: Path) -> int:
    """Count the requests of the same night in fair weather."""
    _, told = night(cloud, folder / "calm")
    assert told.code == 0, told.err
    cloud.reset()
    return told.requests["http"]


def complete(company: Company) -> bool:
    """Return True if everybody shows their own face."""
    names = {company.cloud.tenant.id_of(f"person{number:03}@contoso.test"): number for number in range(PEOPLE)}
    return all(
        shown(company.cloud, account_id).shows_same(read_print(face(f"person{number:03}")))
        for account_id, number in names.items()
    )


def failed(cloud: Emulator) -> int:
    """Count the requests to Graph that were refused or broke off."""
    return sum(record.kind == "graph" and not 200 <= record.status < 300 for record in cloud.requests)


def failed_items(cloud: Emulator) -> int:
    """Count the items of batches that were told to wait."""
    return sum(item.status == 429 for record in cloud.requests for item in record.items)


@pytest.mark.parametrize("form", FORMS)
def test_a_night_in_which_a_fifth_is_throttled_ends_complete(cloud: Emulator, tmp_path: Path, form: str) -> None:
    usual = calm(cloud, tmp_path)

    company, told = night(
        cloud,
        tmp_path / "storm",
        storm_percent=20.0,
        retry_after_forms=(form,),
        retry_after_seconds=0.2,
    )

    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, PEOPLE, 0), told.err
    assert failed(cloud) > 0, "it was a storm"
    assert cloud.violations() == []
    assert complete(company)
    assert told.requests["http"] <= usual + failed(cloud)
    assert told.requests["http_retries"] <= failed(cloud)
    assert told.report["pace"]["slow_downs"] > 0
    assert told.report["pace"]["waits"] > 0
    assert told.report["pace"]["wait_seconds"] > 0


def test_a_night_of_all_troubles_at_once_ends_complete_and_sends_nobody_twice(cloud: Emulator, tmp_path: Path) -> None:
    usual = calm(cloud, tmp_path)

    company, told = night(
        cloud,
        tmp_path / "storm",
        storm_percent=20.0,
        storm_statuses=(429, 500, 502, 503, 504, 509),
        retry_after_forms=FORMS,
        retry_after_seconds=0.2,
    )

    assert told.code in (0, 3), told.err
    assert cloud.violations() == []
    assert complete(company)
    assert told.requests["http"] <= usual + failed(cloud)
    assert len(cloud.tenant.writes()) == PEOPLE, "what was refused was not carried out, so each is written once"


def test_batch_items_that_are_throttled_are_asked_again_and_no_others(cloud: Emulator, tmp_path: Path) -> None:
    usual = calm(cloud, tmp_path)

    company, told = night(
        cloud,
        tmp_path / "storm",
        item_storm_percent=20.0,
        retry_after_forms=FORMS,
        retry_after_seconds=0.2,
    )

    items = [item.path for record in cloud.requests for item in record.items]
    assert told.code in (0, 3), told.err
    assert failed_items(cloud) > 0, "it was a storm"
    assert cloud.violations() == []
    assert complete(company)
    assert told.requests["http"] <= usual + failed_items(cloud)
    assert len(items) <= len(set(items)) * 2 + failed_items(cloud), "each is asked before and after its write"


def test_a_cap_on_requests_at_a_time_slows_the_night_and_fails_nobody(cloud: Emulator, tmp_path: Path) -> None:
    company, told = night(
        cloud,
        tmp_path / "storm",
        concurrency_cap=2,
        latency=0.01,
        retry_after_forms=("decimal",),
        retry_after_seconds=0.1,
    )

    assert told.code == 0, told.err
    assert cloud.violations() == []
    assert complete(company)


@pytest.mark.parametrize("form", FORMS)
def test_a_later_night_in_a_storm_does_its_changes_and_its_share(cloud: Emulator, tmp_path: Path, form: str) -> None:
    company = Company(cloud, tmp_path, SYNC_VERIFY_PERCENT="100", SYNC_MAX_CHANGES_PERCENT="100")
    try:
        team = company.team(PEOPLE)
        company.sync()
        for one in team[:8]:
            company.paint(one, face(f"new {one.name}"))
        company.cloud.tenant.remove_account(team[8].account_id)
        company.hire("newcomer")
        cloud.log.clear()
        cloud.set(storm_percent=20.0, item_storm_percent=20.0)
        cloud.set(retry_after_forms=(form,), retry_after_seconds=0.2)

        told = company.sync()  # the same day: the lab's Date header does not travel through time

        looks = -(-(PEOPLE + 1) // 20) + 2  # tags of all, then tags and bytes of what was sent
        assert told.code == 0, told.err
        assert (told.totals["replaced"], told.totals["created"], told.totals["skipped"]) == (8, 1, 1)
        assert told.totals["unchanged"] == PEOPLE - 9
        assert cloud.violations() == []
        assert told.requests["http"] <= 1 + 9 + looks + 1 + failed(cloud) + failed_items(cloud)
    finally:
        company.close()


def test_the_night_after_a_storm_is_quiet(cloud: Emulator, tmp_path: Path) -> None:
    company = Company(cloud, tmp_path)
    try:
        company.team(8)
        cloud.set(storm_percent=20.0, retry_after_forms=("decimal",), retry_after_seconds=0.1)
        company.sync()
        cloud.set(storm_percent=0.0)
        company.sync(days=1)

        told = company.sync(days=1)

        assert (told.code, told.requests["http"], told.totals["unchanged"]) == (0, 1, 8)
    finally:
        company.close()
