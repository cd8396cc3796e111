"""A photo leaves the cloud only when its owner's source is cleared, we made it, and a read confirms it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.company import Colleague, Company, face, total


def _settled(company: Company, count: int = 6) -> list[Colleague]:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(count)
    assert company.sync().code == 0
    return team


def test_a_cleared_photo_is_removed_when_it_is_ours(company: Company) -> None:
    team = _settled(company)
    company.paint(team[0], None)

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.totals["removed"] == 1
    assert [company.photo(one) is None for one in team] == [True] + [False] * 5
    assert company.sync(days=1).totals["removed"] == 0


def test_a_person_whom_a_round_of_changes_tells_twice_is_believed_in_both(company: Company) -> None:
    team = _settled(company)
    company.knobs.tells_each_change = True
    company.paint(team[0], None)
    company.ldap.tree.change(team[0].entry.guid, mail="new@contoso.test")

    told = company.sync(days=1)

    assert (told.code, told.of(team[0].upn)) == (0, ("remove", "source-removed")), told.err
    assert told.report["notices"] == [], "the directory did say that it was cleared"


def test_a_photo_that_its_owner_chose_is_not_removed(company: Company) -> None:
    team = _settled(company)
    company.cloud.tenant.set_photo(team[0].account_id, face("chosen by hand"))
    company.paint(team[0], None)

    told = company.sync(days=1)

    assert (told.code, told.totals["removed"]) == (0, 0), told.err
    assert told.of(team[0].upn) == ("keep", "source-removed-cloud-differs")
    assert company.photo(team[0]) is not None


def _hide(company: Company, team: list[Colleague]) -> None:
    company.knobs.hidden = frozenset({"jpegphoto", "jpegPhoto", "thumbnailPhoto", "thumbnailphoto"})


def _filter(company: Company, team: list[Colleague]) -> None:
    company.settings["LDAP_FILTER"] = "(sAMAccountName=person001)"


def _base(company: Company, team: list[Colleague]) -> None:
    unit = {"objectClass": ["organizationalUnit"], "sAMAccountType": [], "userAccountControl": []}
    company.ldap.tree.add("OU=Nobody,DC=contoso,DC=test", **unit)
    company.settings["LDAP_BASE_DN"] = "OU=Nobody,DC=contoso,DC=test"


def _disable(company: Company, team: list[Colleague]) -> None:
    for one in team:
        company.ldap.tree.change(one.entry.guid, userAccountControl="514")


def _delete(company: Company, team: list[Colleague]) -> None:
    for one in team:
        company.ldap.tree.delete(one.entry.guid)


def _move(company: Company, team: list[Colleague]) -> None:
    for one in team:
        company.ldap.tree.move(one.entry.guid, f"CN={one.name},DC=contoso,DC=test")


@pytest.mark.parametrize("trap", [_hide, _filter, _base, _disable, _delete, _move])
@pytest.mark.parametrize("options", [(), ("--full",)])
def test_a_trap_removes_nobodys_photo(
    company: Company, trap: Callable[[Company, list[Colleague]], None], options: tuple[str, ...]
) -> None:
    team = _settled(company)
    trap(company, team)

    told = company.sync(*options, days=1)

    braked = trap is _hide and bool(options)
    assert told.code == (4 if braked else 0), told.err
    assert told.totals["removed"] == 0
    assert total(told.totals) == told.totals["people"] == len(team)
    assert all(company.photo(one) for one in team), told.err
    assert not [record for record in company.cloud.requests if record.method == "DELETE"]
    assert len(company.cloud.tenant.writes()) == len(team)
