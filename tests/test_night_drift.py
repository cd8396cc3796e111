"""Other writers of photos: everybody is compared within a known number of runs, and nobody is fought."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest

from connector.photo import read_print
from tests.company import Colleague, Company, face
from tests.lab.pictures import reencoded
from tests.runner import CommandResult, shown

_PHOTO = re.compile(r"/users/([^/]+)/photo")
# more than the report and `check` pass over in silence
CROWD = 22


def looked_at(company: Company) -> Counter[str]:
    """Count by account id how often the cloud was asked about a photo since the last time, and forget it."""
    paths = [item.path for record in company.cloud.requests for item in record.items]
    paths += [record.path for record in company.cloud.requests]
    company.cloud.log.clear()
    return Counter(found.group(1) for found in map(_PHOTO.search, paths) if found)


def notices(told: CommandResult) -> str:
    """Return what the report says beside the people."""
    return " ".join(told.report["notices"])


# The share


@pytest.mark.parametrize("percent", [15, 30, 100])
def test_everybody_is_seen_within_a_known_number_of_nights_whoever_comes_and_goes(
    company: Company, percent: int
) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = str(percent)
    team = company.team(20)
    company.sync()
    looked_at(company)
    nights, seen = math.ceil(100 / percent), Counter[str]()

    for night in range(nights):
        company.hire(f"new{night}")
        company.paint(team[night], face(f"new {night}"))
        company.ldap.tree.change(team[-1 - night].entry.guid, userAccountControl="514")
        assert company.sync(days=1).code == 0
        seen += looked_at(company)

    stayed = {one.account_id for one in team[: len(team) - nights]}
    assert stayed <= set(seen), f"not seen within {nights} nights"


def test_each_night_those_come_first_whose_last_look_is_the_oldest(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "25"
    team = company.team(8)
    company.sync()
    looked_at(company)

    turns = []
    for _ in range(8):
        company.sync(days=1)
        turns.append(looked_at(company))

    assert [sum(turn.values()) for turn in turns] == [2] * 8, "a quarter of eight, each asked once"
    assert [set(turn) for turn in turns[:4]] == [set(turn) for turn in turns[4:]]
    assert set().union(*turns[:4]) == {one.account_id for one in team}


def test_a_full_night_asks_about_everybody_and_sends_nothing_again(company: Company) -> None:
    team = company.team(45)
    company.sync()
    looked_at(company)

    told = company.sync("--full", days=1)

    assert (told.code, told.report["mode"], told.reasons()) == (0, "full", {"unchanged": 45})
    assert sorted(len(record.items) for record in company.cloud.requests if record.items) == [5, 20, 20]
    assert looked_at(company) == Counter(one.account_id for one in team)
    assert len(company.cloud.tenant.writes()) == 45


def test_an_edit_in_the_cloud_is_found_when_its_turn_comes(company: Company) -> None:
    company.settings.update(SYNC_VERIFY_PERCENT="25", SYNC_CONFLICT="report")
    team = company.team(8)
    company.sync()
    for one in team:
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))

    nights = [company.sync(days=1) for _ in range(4)]

    assert [told.reasons().get("cloud-changed") for told in nights] == [2] * 4
    assert [told.totals["conflicts"] for told in nights] == [2, 4, 6, 8]
    assert all(shown(company.cloud, one.account_id).shows_same(read_print(face(f"own {one.name}"))) for one in team)


# The second writer


def thumbnail(name: str, what: str) -> bytes:
    """Return somebody's thumbnailPhoto: a small copy of their jpegPhoto, or an older picture."""
    return reencoded(face(name, 200), 96) if what == "copies" else face(f"{name} long ago")


def connect_writes(company: Company, team: list[Colleague], *, what: str) -> None:
    """Write the thumbnails of Entra Connect into the cloud: copies of the person's own picture, or older ones."""
    for one in team:
        company.cloud.tenant.set_photo(one.account_id, thumbnail(one.name, what))


def staff(company: Company, what: str, count: int = CROWD) -> list[Colleague]:
    """Hire people with a large jpegPhoto, and a thumbnailPhoto that Entra Connect writes to the cloud."""
    names = [f"staff{number:02}" for number in range(count)]
    return [company.hire(name, photo=face(name, 200), thumbnailPhoto=thumbnail(name, what)) for name in names]


@pytest.mark.parametrize("what", ["older pictures", "copies"])
def test_entra_connect_is_recognised_named_and_not_fought_every_night(company: Company, what: str) -> None:
    company.settings.update(SYNC_VERIFY_PERCENT="100", SYNC_MAX_CHANGES_PERCENT="100")
    team = staff(company, what)
    company.sync()
    uploads = len(company.cloud.tenant.writes())

    nights = []
    for _ in range(5):
        connect_writes(company, team, what=what)
        nights.append(company.sync(days=1))

    fights = CROWD if what == "copies" else 0
    assert [told.code for told in nights] == [0] * 5
    assert len(company.cloud.tenant.writes()) - uploads == fights, "a copy is made better once, then left alone"
    assert all(told.reasons() == {"competing-writer": CROWD} for told in nights[1:])
    assert all("Entra Connect" in notices(told) and "thumbnailPhoto" in notices(told) for told in nights[1:])
    assert [told.totals["conflicts"] for told in nights] == [0] * 5
    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))
    (line,) = [line for line in checked.out.splitlines() if "Competing writers" in line]
    assert line.startswith("!")
    assert f"{CROWD} people" in line


def test_a_copy_is_made_better_once_in_thirty_days(company: Company) -> None:
    company.settings.update(SYNC_VERIFY_PERCENT="100")
    team = staff(company, "copies", 2)
    company.sync()

    told = []
    for days in (1, 1, 27, 2, 1):
        connect_writes(company, team, what="copies")
        told.append(company.sync(days=days).reasons())

    better, left = {"better-quality": 2}, {"competing-writer": 2}
    assert told == [better, left, left, better, left]


def test_a_few_second_writes_are_told_without_naming_anybody(company: Company) -> None:
    company.settings.update(SYNC_VERIFY_PERCENT="100")
    team = staff(company, "older pictures", 3)
    company.sync()
    connect_writes(company, team, what="older pictures")

    told = company.sync(days=1)

    assert (told.code, told.reasons()) == (0, {"competing-writer": 3})
    assert "Entra Connect" not in notices(told)
