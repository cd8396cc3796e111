"""A first run over the awkward people, with a real domain controller and a cloud over HTTPS."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.photo import Recipe, prepare
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.people import Populace, load
from tests.lab.samba import DomainController
from tests.lab.world import fill, ldap_settings
from tests.runner import CommandResult, Runner, shown


@pytest.fixture
def populace(directory: Directory, ou: str) -> Populace:
    """Bring the awkward people to life."""
    return load(directory, ou)


@pytest.fixture
def runner(populace: Populace, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path) -> Runner:
    """Point the product at their directory and their cloud."""
    fill(cloud.tenant, populace.registered())
    settings = {**ldap_settings(domain, ou), "LDAP_EXCLUDE_DN": populace.excluded_dn, **cloud.environ()}
    return Runner(tmp_path, settings)


def _wrong(populace: Populace, told: CommandResult) -> list[str]:
    wrong = []
    for one in populace.people:
        expected = one.case.expected
        seen = told.of(one.person.name)
        wanted = (expected.action.value, expected.reason.value)
        if seen != wanted and (expected.listed or seen is not None):
            wrong.append(f"{one.case.case}: {seen} instead of {wanted}")
    return wrong


def test_the_first_night_gives_everybody_the_right_picture_or_the_right_reason(
    runner: Runner, populace: Populace, cloud: Emulator
) -> None:
    told = runner.sync()

    assert _wrong(populace, told) == []
    assert told.code == 0, told.err
    for one in populace.people:
        if one.case.shows_bytes and one.case.expected.listed:
            picture = prepare(one.case.shows_bytes, Recipe())
            photo = shown(cloud, one.account.id)
            assert photo.shows_same(picture.sent) or photo.shows_same(picture.whole), one.case.case
    totals = told.totals
    assert totals["people"] == sum(
        totals[name] for name in ("created", "replaced", "removed", "unchanged", "skipped", "failed")
    )
    assert cloud.violations() == []


def test_the_second_night_writes_nothing(runner: Runner, cloud: Emulator) -> None:
    runner.sync()
    cloud.log.clear()

    told = runner.sync(days=1)

    assert told.code == 0, told.err
    graph = [record.path for record in cloud.requests if record.path.startswith("/v1.0")]
    assert graph == ["/v1.0/users/delta"]
    assert told.requests["ldap_entries"] == 0
    assert told.totals["created"] == told.totals["replaced"] == told.totals["removed"] == 0
