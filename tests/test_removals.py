"""When does a photo leave the cloud? Only when its owner's source is cleared, we made it, and a read confirms it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.office import Colleague, Office, face, total


def _settled(office: Office, count: int = 6) -> list[Colleague]:
    office.settings["SYNC_REMOVED"] = "remove"
    team = office.team(count)
    assert office.sync().code == 0
    return team


def test_a_cleared_photo_is_removed_when_it_is_ours(office: Office) -> None:
    team = _settled(office)
    office.paint(team[0], None)

    told = office.sync(days=1)

    assert told.code == 0, told.err
    assert told.totals["removed"] == 1
    assert [office.photo(one) is None for one in team] == [True] + [False] * 5
    assert office.sync(days=1).totals["removed"] == 0


def test_a_photo_that_its_owner_chose_is_not_removed(office: Office) -> None:
    team = _settled(office)
    office.cloud.tenant.set_photo(team[0].account_id, face("chosen by hand"))
    office.paint(team[0], None)

    told = office.sync(days=1)

    assert (told.code, told.totals["removed"]) == (0, 0), told.err
    assert told.of(team[0].upn) == ("keep", "source-removed-cloud-differs")
    assert office.photo(team[0]) is not None


def _hide(office: Office, team: list[Colleague]) -> None:
    office.knobs.hidden = frozenset({"jpegphoto", "jpegPhoto", "thumbnailPhoto", "thumbnailphoto"})


def _filter(office: Office, team: list[Colleague]) -> None:
    office.settings["LDAP_FILTER"] = "(sAMAccountName=person001)"


def _base(office: Office, team: list[Colleague]) -> None:
    unit = {"objectClass": ["organizationalUnit"], "sAMAccountType": [], "userAccountControl": []}
    office.house.tree.add("OU=Nobody,DC=contoso,DC=test", **unit)
    office.settings["LDAP_BASE_DN"] = "OU=Nobody,DC=contoso,DC=test"


def _disable(office: Office, team: list[Colleague]) -> None:
    for one in team:
        office.house.tree.change(one.entry.guid, userAccountControl="514")


def _delete(office: Office, team: list[Colleague]) -> None:
    for one in team:
        office.house.tree.delete(one.entry.guid)


def _move(office: Office, team: list[Colleague]) -> None:
    for one in team:
        office.house.tree.move(one.entry.guid, f"CN={one.name},DC=contoso,DC=test")


@pytest.mark.parametrize("trap", [_hide, _filter, _base, _disable, _delete, _move])
@pytest.mark.parametrize("options", [(), ("--full",)])
def test_a_trap_removes_nobodys_photo(
    office: Office, trap: Callable[[Office, list[Colleague]], None], options: tuple[str, ...]
) -> None:
    team = _settled(office)
    trap(office, team)

    told = office.sync(*options, days=1)

    braked = trap is _hide and bool(options)
    assert told.code == (4 if braked else 0), told.err
    assert told.totals["removed"] == 0
    assert total(told.totals) == told.totals["people"] == len(team)
    assert all(office.photo(one) for one in team), told.err
    assert not [record for record in office.cloud.requests if record.method == "DELETE"]
    assert len(office.cloud.tenant.writes()) == len(team)
