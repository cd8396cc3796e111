"""An attribute vanishes for many at once: a safety limit asks first; nobody gets a worse picture, or loses theirs."""

from __future__ import annotations

import pytest

from connector.photo import read_print
from tests.company import Colleague, Company, face
from tests.lab.ldapserver_directory import PEOPLE
from tests.runner import shown

JPEG_PHOTO = frozenset({"jpegphoto"})


def with_thumbnails(company: Company, count: int) -> list[Colleague]:
    """Hire people who have a good photo and a small one, of another day."""
    people = []
    for number in range(count):
        name = f"two{number}"
        people.append(company.hire(name, photo=face(name, 200), thumbnailPhoto=face(f"{name} long ago")))
    return people


def shows_good(company: Company, one: Colleague) -> bool:
    """Return True if the cloud shows the good photo."""
    return shown(company.cloud, one.account_id).shows_same(read_print(face(one.name, 200)))


def test_an_attribute_that_nobody_has_any_more_downgrades_nobody(company: Company) -> None:
    team = with_thumbnails(company, 3)
    company.sync()
    company.knobs.hidden = JPEG_PHOTO

    stopped = company.sync("--full", days=1)
    again = company.sync(days=1)

    assert (stopped.code, again.code) == (4, 4)
    assert "jpegPhoto" in stopped.err
    assert "--force" in stopped.err
    assert len(company.cloud.tenant.writes()) == 3
    assert all(shows_good(company, one) for one in team)

    company.knobs.hidden = frozenset()
    mended = company.sync("--full", days=1)

    assert (mended.code, mended.totals["replaced"], mended.totals["unchanged"]) == (0, 0, 3), mended.err
    assert len(company.cloud.tenant.writes()) == 3
    assert company.sync(days=1).requests["http"] == 1


def test_whoever_means_it_passes_by_force_and_the_next_night_is_quiet(company: Company) -> None:
    team = with_thumbnails(company, 3)
    company.sync()
    company.knobs.hidden = JPEG_PHOTO
    company.sync("--full", days=1)

    forced = company.sync("--force", days=1)

    assert (forced.code, forced.totals["replaced"]) == (0, 3), forced.err
    assert any(
        "Safety limit overridden by --force" in notice and "jpegPhoto" in notice for notice in forced.report["notices"]
    )
    assert not any(shows_good(company, one) for one in team)
    quiet = company.sync(days=1)
    assert (quiet.code, quiet.requests["http"], quiet.totals["unchanged"]) == (0, 1, 3)
    assert company.sync("--full", days=1).code == 0


@pytest.mark.parametrize("forced", [False, True], ids=["braked", "forced"])
def test_a_vanished_attribute_removes_nothing_before_somebody_decides(company: Company, forced: bool) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(4)
    company.sync()
    company.knobs.hidden = JPEG_PHOTO

    told = company.sync("--full", *(["--force"] if forced else []), days=1)

    assert told.code == (0 if forced else 4)
    assert told.totals["removed"] == (4 if forced else 0)
    assert [company.photo(one) is None for one in team] == [forced] * 4
    if forced:
        backups = list((company.runner.state / "backups").glob("*/*.jpg"))
        assert len(backups) == 4
        assert company.sync(days=1).requests["http"] == 1


def test_two_people_who_clear_their_photos_are_no_vanished_attribute(company: Company) -> None:
    team = company.team(4)
    company.sync()
    for one in team[:2]:
        company.paint(one, None)

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert [told.of(one.upn) for one in team[:2]] == [("keep", "source-removed")] * 2


def test_a_whole_unit_that_clears_its_photos_is_believed_as_it_is_told(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    elsewhere = company.team(31, "elsewhere")
    desk = [company.hire(f"desk{number}", ou=f"OU=Reception,{PEOPLE}") for number in range(3)]
    company.sync()
    for one in desk:
        company.paint(one, None)

    told = company.sync(days=1)

    assert (told.code, told.totals["removed"]) == (0, 3), told.err
    assert [company.photo(one) for one in desk] == [None] * 3
    assert all(company.photo(one) for one in elsewhere)


def test_a_whole_unit_that_a_full_reading_finds_without_photos_is_a_brake(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    company.team(31, "elsewhere")
    desk = [company.hire(f"desk{number}", ou=f"OU=Reception,{PEOPLE}") for number in range(3)]
    company.sync()
    for one in desk:
        company.paint(one, None)

    stopped, next_night = company.sync("--full", days=1), company.sync(days=1)

    assert (stopped.code, next_night.code) == (4, 4)
    assert "jpegPhoto below OU=Reception" in stopped.err
    assert all(company.photo(one) for one in desk)


def test_the_brake_asks_for_people_who_lost_it_while_others_still_have_it(company: Company) -> None:
    team = company.team(40)
    company.settings.update(SYNC_REMOVED="remove", SYNC_MAX_REMOVALS="500")
    company.sync()
    for one in team[:21]:
        company.paint(one, None)

    told = company.sync(days=1)

    assert told.code == 4
    assert "21" in told.err
    assert len(company.cloud.tenant.photos()) == 40


def test_many_replacements_are_a_brake_and_a_new_recipe_is_none(company: Company) -> None:
    team = company.team(25)
    company.sync()
    company.settings["PHOTO_SIZE"] = "64"
    assert company.sync("--full", days=1).totals["unchanged"] == 25, "a new size changes nobody by itself"

    for one in team:
        company.paint(one, face(f"{one.name} anew"))
    stopped = company.sync(days=1)

    assert stopped.code == 4
    assert "SYNC_MAX_CHANGES_PERCENT" in stopped.err
    assert len(company.cloud.tenant.writes()) == 25
    forced = company.sync("--force", days=1)
    assert (forced.code, forced.totals["replaced"]) == (0, 25)
    assert company.sync(days=1).requests["http"] == 1


def test_the_removal_brake_counts_ten_percent_but_at_least_five(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(30)
    company.sync()
    for one in team[:6]:
        company.paint(one, None)

    stopped = company.sync(days=1)
    company.paint(team[0], face(team[0].name))
    passed = company.sync(days=1)

    assert (stopped.code, stopped.totals["removed"]) == (4, 0)
    assert "6 photos would be removed" in stopped.err
    assert (passed.code, passed.totals["removed"]) == (0, 5), passed.err
    assert shown(company.cloud, team[0].account_id).edge == 96
