"""Who opted out has no photo of this tool: nothing is sent, what it uploaded is removed, and coming back is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.office import Colleague, Office, face

BASE = "DC=contoso,DC=test"
GROUP = f"CN=No photo,OU=Groups,{BASE}"
INNER = f"CN=Works council,OU=Groups,{BASE}"


def group(office: Office, dn: str = GROUP, **attributes: str) -> bytes:
    entry = office.house.tree.add(dn, objectClass="group", objectCategory="group", sAMAccountName=dn[3:9], **attributes)
    return entry.guid


def join(office: Office, one: Colleague, *groups: str) -> None:
    office.house.tree.change(one.entry.guid, memberOf=list(groups))


@pytest.fixture
def house(office: Office) -> Office:
    """Open an office with the group, which is nested, and a setting that names it."""
    group(office)
    group(office, INNER, memberOf=GROUP)
    office.settings["OPT_OUT_GROUP"] = GROUP
    return office


def test_joining_a_nested_group_removes_our_photo_the_same_night_and_leaving_it_is_a_first_upload(
    house: Office,
) -> None:
    anna, bert = house.hire("anna"), house.hire("bert")
    assert house.sync().of(anna.upn) == ("create", "first-upload")

    join(house, anna, INNER)
    out = house.sync(days=1)
    assert (out.of(anna.upn), out.of(bert.upn), out.code) == (("remove", "opted-out"), None, 0)
    assert house.photo(anna) is None
    assert house.photo(bert)

    house.paint(anna, face("new anna"))
    quiet = house.sync(days=1)
    assert quiet.of(anna.upn) == ("skip", "opted-out")
    assert house.sync("--full", days=1).of(anna.upn) == ("skip", "opted-out")
    assert house.sync("--resend", days=1).of(anna.upn) == ("skip", "opted-out")
    assert house.sync("--only", anna.upn, "--overwrite", days=1).of(anna.upn) == ("skip", "opted-out")
    assert house.photo(anna) is None

    join(house, anna)
    assert house.sync(days=1).of(anna.upn) == ("create", "first-upload")
    assert house.photo(anna)


def test_a_photo_of_somebody_else_stays_and_is_nobodys_to_remove(house: Office) -> None:
    anna, bert = house.hire("anna"), house.hire("bert")
    house.cloud.tenant.set_photos({anna.account_id: face("own choice")})
    join(house, anna, GROUP)
    house.sync()
    house.cloud.tenant.set_photos({bert.account_id: face("another choice")})
    join(house, bert, GROUP)

    told = house.sync(days=1)

    assert told.of(bert.upn) == ("skip", "opted-out")
    assert told.totals["removed"] == 0
    assert house.photo(anna)
    assert house.photo(bert)


def test_the_removals_are_counted_by_the_removal_limit(house: Office) -> None:
    team = house.team(8)
    house.sync()
    for one in team[:6]:
        join(house, one, GROUP)

    stopped = house.sync(days=1)
    assert stopped.code == 4
    assert all(house.photo(one) for one in team)

    assert house.sync("--force", days=1).totals["removed"] == 6


def test_a_dry_run_says_what_would_be_removed(house: Office) -> None:
    anna = house.hire("anna")
    house.sync()
    join(house, anna, GROUP)

    assert house.sync("--dry-run", days=1).of(anna.upn) == ("remove", "opted-out")
    assert house.photo(anna)
    assert house.sync(days=1).of(anna.upn) == ("remove", "opted-out")


def test_restore_puts_the_photo_back_until_the_next_run_deletes_the_backup(house: Office) -> None:
    anna, bert = house.hire("anna"), house.hire("bert")
    house.sync()
    join(house, anna, GROUP)
    house.sync(days=1)
    env_file = str(house.nights.env_file())

    assert house.nights.type("restore", "--env-file", env_file, "--person", anna.upn, days=1).code == 0
    assert house.photo(anna)
    told = house.sync(days=1)
    assert told.of(anna.upn) == ("skip", "opted-out"), "it is the user's own photo now"
    assert house.photo(anna)

    join(house, bert, GROUP)
    house.sync(days=1)
    house.sync(days=1)
    assert not list((house.nights.state / "backups").rglob("*.jpg"))
    assert house.nights.type("restore", "--env-file", env_file, "--person", bert.upn, days=1).code != 0
    assert house.photo(bert) is None


def test_history_shows_since_when(house: Office) -> None:
    anna = house.hire("anna")
    house.sync()
    join(house, anna, GROUP)
    house.sync(days=1)

    told = house.nights.type("history", "--env-file", str(house.nights.env_file()), anna.upn)

    assert "Opted out since " in told.out
    assert "OPT_OUT_GROUP" in told.out


def test_a_group_that_is_not_there_is_never_nobody(house: Office) -> None:
    anna = house.hire("anna")
    join(house, anna, GROUP)
    house.sync()
    house.settings["OPT_OUT_GROUP"] = f"CN=Misspelt,OU=Groups,{BASE}"

    told = house.sync(days=1)

    assert told.code == 5
    assert "OPT_OUT_GROUP" in told.out + told.err
    assert house.photo(anna) is None


def test_a_file_names_upns_and_mails(office: Office, tmp_path: Path) -> None:
    anna, bert, carl = office.hire("anna"), office.hire("bert", mail="b.ert@contoso.test"), office.hire("carl")
    office.sync()
    listed = tmp_path / "opted-out.txt"
    listed.write_text(f"# works council\n\n{anna.upn.upper()}\nb.ert@contoso.test\nnobody@contoso.test\n", "utf-8")
    office.settings["OPT_OUT_FILE"] = str(listed)

    told = office.sync(days=1)

    assert (told.of(anna.upn), told.of(bert.upn)) == (("remove", "opted-out"),) * 2
    assert office.photo(carl)
    assert any("nobody@contoso.test" in notice for notice in told.report["notices"])

    listed.write_text("", "utf-8")
    assert office.sync(days=1).of(anna.upn) == ("create", "first-upload")


def test_a_file_that_is_not_there_is_a_problem_of_the_settings(office: Office, tmp_path: Path) -> None:
    anna = office.hire("anna")
    office.settings["OPT_OUT_FILE"] = str(tmp_path / "gone.txt")

    told = office.sync()

    assert (told.code, office.photo(anna)) == (2, None)
    assert "OPT_OUT_FILE" in told.err
