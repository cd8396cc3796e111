"""What if an attribute vanishes for many at once? A brake asks first; nobody gets a worse picture, or loses theirs."""

from __future__ import annotations

import pytest

from connector.photo import read_print
from tests.lab.ldapserver_house import PEOPLE
from tests.nights import shown
from tests.office import Colleague, Office, face

JPEG_PHOTO = frozenset({"jpegphoto"})


def with_thumbnails(office: Office, count: int) -> list[Colleague]:
    """Hire people who have a good photo and a small one, of another day."""
    people = []
    for number in range(count):
        name = f"two{number}"
        people.append(office.hire(name, photo=face(name, 200), thumbnailPhoto=face(f"{name} long ago")))
    return people


def shows_good(office: Office, one: Colleague) -> bool:
    """Say whether the cloud shows the good photo."""
    return shown(office.cloud, one.account_id).shows_same(read_print(face(one.name, 200)))


def test_an_attribute_that_nobody_has_any_more_downgrades_nobody(office: Office) -> None:
    team = with_thumbnails(office, 3)
    office.sync()
    office.knobs.hidden = JPEG_PHOTO

    stopped = office.sync("--full", days=1)
    again = office.sync(days=1)

    assert (stopped.code, again.code) == (4, 4)
    assert "jpegPhoto" in stopped.err
    assert "--force" in stopped.err
    assert len(office.cloud.tenant.writes()) == 3
    assert all(shows_good(office, one) for one in team)

    office.knobs.hidden = frozenset()
    mended = office.sync("--full", days=1)

    assert (mended.code, mended.totals["replaced"], mended.totals["unchanged"]) == (0, 0, 3), mended.err
    assert len(office.cloud.tenant.writes()) == 3
    assert office.sync(days=1).requests["http"] == 1


def test_whoever_means_it_passes_by_force_and_the_next_night_is_quiet(office: Office) -> None:
    team = with_thumbnails(office, 3)
    office.sync()
    office.knobs.hidden = JPEG_PHOTO
    office.sync("--full", days=1)

    forced = office.sync("--force", days=1)

    assert (forced.code, forced.totals["replaced"]) == (0, 3), forced.err
    assert any(
        "Safety limit overridden by --force" in notice and "jpegPhoto" in notice for notice in forced.report["notices"]
    )
    assert not any(shows_good(office, one) for one in team)
    quiet = office.sync(days=1)
    assert (quiet.code, quiet.requests["http"], quiet.totals["unchanged"]) == (0, 1, 3)
    assert office.sync("--full", days=1).code == 0


@pytest.mark.parametrize("forced", [False, True], ids=["braked", "forced"])
def test_a_vanished_attribute_removes_nothing_before_somebody_decides(office: Office, forced: bool) -> None:
    office.settings["SYNC_REMOVED"] = "remove"
    team = office.team(4)
    office.sync()
    office.knobs.hidden = JPEG_PHOTO

    told = office.sync("--full", *(["--force"] if forced else []), days=1)

    assert told.code == (0 if forced else 4)
    assert told.totals["removed"] == (4 if forced else 0)
    assert [office.photo(one) is None for one in team] == [forced] * 4
    if forced:
        backups = list((office.nights.state / "backups").glob("*/*.jpg"))
        assert len(backups) == 4
        assert office.sync(days=1).requests["http"] == 1


def test_two_people_who_clear_their_photos_are_no_vanished_attribute(office: Office) -> None:
    team = office.team(4)
    office.sync()
    for one in team[:2]:
        office.paint(one, None)

    told = office.sync(days=1)

    assert told.code == 0, told.err
    assert [told.of(one.upn) for one in team[:2]] == [("keep", "source-removed")] * 2


def test_a_whole_unit_that_clears_its_photos_is_believed_as_it_is_told(office: Office) -> None:
    office.settings["SYNC_REMOVED"] = "remove"
    elsewhere = office.team(31, "elsewhere")
    desk = [office.hire(f"desk{number}", ou=f"OU=Reception,{PEOPLE}") for number in range(3)]
    office.sync()
    for one in desk:
        office.paint(one, None)

    told = office.sync(days=1)

    assert (told.code, told.totals["removed"]) == (0, 3), told.err
    assert [office.photo(one) for one in desk] == [None] * 3
    assert all(office.photo(one) for one in elsewhere)


def test_a_whole_unit_that_a_full_reading_finds_without_photos_is_a_brake(office: Office) -> None:
    office.settings["SYNC_REMOVED"] = "remove"
    office.team(31, "elsewhere")
    desk = [office.hire(f"desk{number}", ou=f"OU=Reception,{PEOPLE}") for number in range(3)]
    office.sync()
    for one in desk:
        office.paint(one, None)

    stopped, next_night = office.sync("--full", days=1), office.sync(days=1)

    assert (stopped.code, next_night.code) == (4, 4)
    assert "jpegPhoto below OU=Reception" in stopped.err
    assert all(office.photo(one) for one in desk)


def test_the_brake_asks_for_people_who_lost_it_while_others_still_have_it(office: Office) -> None:
    team = office.team(40)
    office.settings.update(SYNC_REMOVED="remove", SYNC_MAX_REMOVALS="500")
    office.sync()
    for one in team[:21]:
        office.paint(one, None)

    told = office.sync(days=1)

    assert told.code == 4
    assert "21" in told.err
    assert len(office.cloud.tenant.photos()) == 40


def test_many_replacements_are_a_brake_and_a_new_recipe_is_none(office: Office) -> None:
    team = office.team(25)
    office.sync()
    office.settings["PHOTO_SIZE"] = "64"
    assert office.sync("--full", days=1).totals["unchanged"] == 25, "a new size changes nobody by itself"

    for one in team:
        office.paint(one, face(f"{one.name} anew"))
    stopped = office.sync(days=1)

    assert stopped.code == 4
    assert "SYNC_MAX_CHANGES_PERCENT" in stopped.err
    assert len(office.cloud.tenant.writes()) == 25
    forced = office.sync("--force", days=1)
    assert (forced.code, forced.totals["replaced"]) == (0, 25)
    assert office.sync(days=1).requests["http"] == 1


def test_the_removal_brake_counts_ten_percent_but_at_least_five(office: Office) -> None:
    office.settings["SYNC_REMOVED"] = "remove"
    team = office.team(30)
    office.sync()
    for one in team[:6]:
        office.paint(one, None)

    stopped = office.sync(days=1)
    office.paint(team[0], face(team[0].name))
    passed = office.sync(days=1)

    assert (stopped.code, stopped.totals["removed"]) == (4, 0)
    assert "6 photos would be removed" in stopped.err
    assert (passed.code, passed.totals["removed"]) == (0, 5), passed.err
    assert shown(office.cloud, team[0].account_id).edge == 96
