"""Who opted out has no photo of this tool: nothing is sent, what it uploaded is removed, and coming back is new."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.company import Colleague, Company, face
from tests.test_restore import restore

BASE = "DC=contoso,DC=test"
GROUP = f"CN=No photo,OU=Groups,{BASE}"
INNER = f"CN=Works council,OU=Groups,{BASE}"


def group(company: Company, dn: str = GROUP, **attributes: str) -> bytes:
    kind = {"objectClass": "group", "objectCategory": "group", "sAMAccountType": "268435456", "userAccountControl": []}
    return company.ldap.tree.add(dn, **kind, sAMAccountName=dn[3:9], **attributes).guid


def join(company: Company, one: Colleague, *groups: str) -> None:
    company.ldap.tree.change(one.entry.guid, memberOf=list(groups))


@pytest.fixture
def grouped(company: Company) -> Company:
    """Open a company with the group, which is nested, and a setting that names it."""
    group(company)
    group(company, INNER, memberOf=GROUP)
    company.settings["OPT_OUT_GROUP"] = GROUP
    return company


def test_joining_a_nested_group_removes_our_photo_the_same_night_and_leaving_it_is_a_first_upload(
    grouped: Company,
) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    assert grouped.sync().of(anna.upn) == ("create", "first-upload")

    join(grouped, anna, INNER)
    out = grouped.sync(days=1)
    assert (out.of(anna.upn), out.of(bert.upn), out.code) == (("remove", "opted-out"), None, 0)
    assert grouped.photo(anna) is None
    assert grouped.photo(bert)

    grouped.paint(anna, face("new anna"))
    quiet = grouped.sync(days=1)
    assert quiet.of(anna.upn) == ("skip", "opted-out")
    assert grouped.sync("--full", days=1).of(anna.upn) == ("skip", "opted-out")
    assert grouped.sync("--resend", days=1).of(anna.upn) == ("skip", "opted-out")
    assert grouped.sync("--only", anna.upn, "--overwrite", days=1).of(anna.upn) == ("skip", "opted-out")
    assert grouped.photo(anna) is None

    join(grouped, anna)
    assert grouped.sync(days=1).of(anna.upn) == ("create", "first-upload")
    assert grouped.photo(anna)


def test_an_opt_out_does_not_wait_for_a_usable_source_picture(grouped: Company) -> None:
    anna = grouped.hire("anna")
    grouped.sync()
    grouped.paint(anna, b"no picture")
    assert grouped.sync(days=1).of(anna.upn) == ("skip", "not-an-image")

    join(grouped, anna, GROUP)
    assert grouped.sync(days=1).of(anna.upn) == ("remove", "opted-out")
    assert grouped.photo(anna) is None
    assert grouped.sync(days=1).of(anna.upn) == ("skip", "opted-out")

    join(grouped, anna)
    assert grouped.sync(days=1).of(anna.upn) == ("skip", "not-an-image")
    grouped.paint(anna, face("anna"))
    assert grouped.sync(days=1).of(anna.upn) == ("create", "first-upload")


def test_a_photo_of_somebody_else_stays_and_is_nobodys_to_remove(grouped: Company) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    grouped.cloud.tenant.set_photos({anna.account_id: face("own choice")})
    join(grouped, anna, GROUP)
    grouped.sync()
    grouped.cloud.tenant.set_photos({bert.account_id: face("another choice")})
    join(grouped, bert, GROUP)

    told = grouped.sync(days=1)

    assert told.of(bert.upn) == ("skip", "opted-out")
    assert told.totals["removed"] == 0
    assert grouped.photo(anna)
    assert grouped.photo(bert)


def test_the_removals_are_counted_by_the_removal_limit(grouped: Company) -> None:
    team = grouped.team(8)
    grouped.sync()
    for one in team[:6]:
        join(grouped, one, GROUP)

    stopped = grouped.sync(days=1)
    assert stopped.code == 4
    assert all(grouped.photo(one) for one in team)

    assert grouped.sync("--force", days=1).totals["removed"] == 6


def test_a_dry_run_says_what_would_be_removed(grouped: Company) -> None:
    anna = grouped.hire("anna")
    grouped.sync()
    join(grouped, anna, GROUP)

    assert grouped.sync("--dry-run", days=1).of(anna.upn) == ("remove", "opted-out")
    assert grouped.photo(anna)
    assert grouped.sync(days=1).of(anna.upn) == ("remove", "opted-out")


def test_restore_puts_the_photo_back_until_the_next_run_deletes_the_backup(grouped: Company) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    grouped.sync()
    join(grouped, anna, GROUP)
    grouped.sync(days=1)
    env_file = str(grouped.runner.env_file())

    assert grouped.runner.type("restore", "--env-file", env_file, "--person", anna.upn, days=1).code == 0
    assert grouped.photo(anna)
    told = grouped.sync(days=1)
    assert told.of(anna.upn) == ("skip", "opted-out"), "it is the user's own photo now"
    assert grouped.photo(anna)

    join(grouped, bert, GROUP)
    grouped.sync(days=1)
    grouped.sync(days=1)
    assert not list((grouped.runner.state / "backups").rglob("*.jpg"))
    assert grouped.runner.type("restore", "--env-file", env_file, "--person", bert.upn, days=1).code != 0
    assert grouped.photo(bert) is None


@pytest.mark.parametrize("by", ["a group since the last run", "a group", "a file", "a group, out of scope"])
def test_restore_sends_nobody_a_photo_who_has_opted_out_since(grouped: Company, tmp_path: Path, by: str) -> None:
    grouped.settings["SYNC_REMOVED"] = "remove"
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    grouped.team(10)
    grouped.sync()
    for one in (anna, bert):
        grouped.paint(one, None)
    removed = grouped.sync(days=1)
    assert removed.totals["removed"] == 2
    if by == "a file":
        (tmp_path / "out.txt").write_text(f"{anna.upn}\n", "utf-8")
        grouped.settings["OPT_OUT_FILE"] = str(tmp_path / "out.txt")
    else:
        join(grouped, anna, INNER)
    if by == "a group":
        grouped.sync(days=1)
    if by == "a group, out of scope":
        grouped.sync(days=1)
        grouped.ldap.tree.change(anna.entry.guid, userAccountControl="514")
        grouped.sync(days=1)

    told = restore(grouped.runner, "--run", str(removed.report["run"]), days=1)

    assert (told.code, grouped.photo(anna), grouped.photo(bert) is None) == (0, None, False), told.err
    assert told.of(anna.upn) == ("skip", "opted-out")


def test_restoring_a_run_puts_back_what_an_opt_out_removed_only_for_those_who_came_back(grouped: Company) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    grouped.sync()
    for one in (anna, bert):
        join(grouped, one, GROUP)
    removed = grouped.sync(days=1)
    assert removed.totals["removed"] == 2
    join(grouped, bert)

    told = restore(grouped.runner, "--run", str(removed.report["run"]))

    assert (told.of(anna.upn), told.of(bert.upn)) == (("skip", "opted-out"), ("create", "restored")), told.err
    assert (grouped.photo(anna), grouped.photo(bert) is None) == (None, False)


def test_the_backup_of_who_opted_out_does_not_outlive_the_next_run_however_soon_that_is(grouped: Company) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    grouped.sync()
    join(grouped, anna, GROUP)
    grouped.sync(days=1)
    backups = grouped.runner.state / "backups"
    assert len(list(backups.rglob("*.jpg"))) == 1

    grouped.sync("--dry-run")
    assert len(list(backups.rglob("*.jpg"))) == 1
    grouped.sync("--only", bert.upn)
    assert list(backups.rglob("*.jpg")) == []


def test_a_picture_of_two_who_opted_out_together_does_not_outlive_the_next_run(grouped: Company) -> None:
    couple = [grouped.hire(name, photo=face("both of them")) for name in ("anna", "bert")]
    grouped.hire("cora")
    grouped.sync()
    for one in couple:
        join(grouped, one, GROUP)
    assert grouped.sync(days=1).totals["removed"] == 2
    backups = grouped.runner.state / "backups"
    assert len(list(backups.rglob("*.jpg"))) == 1, "one picture is one file"

    grouped.sync(days=1)

    assert list(backups.rglob("*.jpg")) == []


@pytest.mark.parametrize("are_apart", [False, True])
def test_the_backup_of_a_picture_that_somebody_else_needs_stays(grouped: Company, are_apart: bool) -> None:
    anna, bert, carl = (grouped.hire(name, photo=face("a bridge")) for name in ("anna", "bert", "carl"))
    grouped.sync()
    join(grouped, anna, GROUP)
    if are_apart:
        grouped.sync(days=1)
    join(grouped, bert, GROUP)
    grouped.sync(days=1)
    backups = grouped.runner.state / "backups"
    assert len(list(backups.rglob("*.jpg"))) == 1

    grouped.paint(carl, face("carl"))
    assert grouped.sync(days=1).of(carl.upn) == ("replace", "source-changed")
    assert len(list(backups.rglob("*.jpg"))) == 1, "it is the backup of carl's photo now, who has not opted out"
    assert grouped.runner.type("restore", "--env-file", str(grouped.runner.env_file()), "--person", carl.upn).code == 0


def test_a_picture_of_two_who_opted_out_one_after_the_other_is_deleted_also_when_one_is_back(grouped: Company) -> None:
    anna, bert = (grouped.hire(name, photo=face("a bridge")) for name in ("anna", "bert"))
    grouped.sync()
    join(grouped, anna, GROUP)
    grouped.sync(days=1)
    join(grouped, bert, GROUP)
    grouped.sync(days=1)
    join(grouped, anna)
    grouped.sync(days=1)

    assert list((grouped.runner.state / "backups").rglob("*.jpg")) == []


def test_who_came_back_has_backups_as_anybody(grouped: Company) -> None:
    anna = grouped.hire("anna")
    grouped.sync()
    before = grouped.photo(anna)
    join(grouped, anna, GROUP)
    grouped.sync(days=1)
    join(grouped, anna)
    grouped.sync(days=1)
    assert grouped.photo(anna) == before
    grouped.paint(anna, face("new anna"))
    assert grouped.sync(days=1).of(anna.upn) == ("replace", "source-changed")

    told = grouped.runner.type("restore", "--env-file", str(grouped.runner.env_file()), "--person", anna.upn)

    assert told.code == 0, "the very bytes that were deleted with the opt-out are a backup again"


def test_the_works_council_gets_one_csv_of_who_opted_out_and_since_when(grouped: Company, tmp_path: Path) -> None:
    anna, bert, carl = grouped.hire("anna"), grouped.hire("bert"), grouped.hire("carl")
    grouped.sync()
    join(grouped, anna, GROUP)
    grouped.sync(days=1)
    first = datetime.now(UTC) + timedelta(days=grouped.runner.days)
    listed = tmp_path / "opted-out.txt"
    listed.write_text(f"{bert.upn}\n{anna.upn}\n", "utf-8")
    grouped.settings["OPT_OUT_FILE"] = str(listed)
    grouped.sync(days=3)
    path = tmp_path / "works-council.csv"

    env_file = str(grouped.runner.env_file())
    assert grouped.runner.type("coverage", "--env-file", env_file, "--opted-out", "--output", str(path)).code == 0

    rows = {row["upn"]: row for row in csv.DictReader(path.read_text("utf-8-sig").splitlines())}
    assert set(rows) == {anna.upn, bert.upn}, carl.upn
    since = {upn: row["opted_out_since"] for upn, row in rows.items()}
    assert since[anna.upn].startswith(f"{first:%Y-%m-%dT}")
    assert since[anna.upn] < since[bert.upn]
    assert rows[anna.upn]["opted_out_by"] == "OPT_OUT_FILE OPT_OUT_GROUP"
    assert rows[bert.upn]["opted_out_by"] == "OPT_OUT_FILE"
    for row in rows.values():
        assert (row["cloud_photo"], row["photo_removed_at"] >= row["opted_out_since"]) == ("none", True)
    told = grouped.runner.type("coverage", "--env-file", env_file)
    assert f"in the directory: photo, opted out since {first.astimezone():%Y-%m-%d}" in told.out
    assert grouped.runner.type("coverage", "--env-file", env_file, "--opted-out", "--format", "html").code == 2


def test_history_shows_since_when(grouped: Company) -> None:
    anna = grouped.hire("anna")
    grouped.sync()
    join(grouped, anna, GROUP)
    grouped.sync(days=1)

    told = grouped.runner.type("history", "--env-file", str(grouped.runner.env_file()), anna.upn)

    assert "Opted out since " in told.out
    assert "OPT_OUT_GROUP" in told.out


@pytest.mark.parametrize(
    "content, why",
    [
        ("anna\nbert@contoso.test\n", "has no UPN and no mail address in line 1, 'anna'"),
        ("bert@contoso.test;anna@contoso.test\n", "has 2 addresses in line 1"),
    ],
    ids=["a first line that is no heading", "two in one line"],
)
def test_nobody_is_passed_over_in_a_line(company: Company, tmp_path: Path, content: str, why: str) -> None:
    anna = company.hire("anna")
    listed = tmp_path / "opted-out.txt"
    listed.write_text(content, "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = company.sync()

    assert (told.code, company.photo(anna)) == (2, None)
    assert why in told.err


@pytest.mark.parametrize("setting", ["OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP", "LDAP_GROUP"])
def test_a_group_that_is_not_there_is_never_nobody_in_run_and_check(grouped: Company, setting: str) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    join(grouped, anna, GROUP)
    grouped.sync()
    grouped.paint(bert, face("new bert"))
    grouped.settings[setting] = f"CN=Misspelt,OU=Groups,{BASE}"

    told = grouped.sync(days=1)
    checked = grouped.runner.type("check", "--env-file", str(grouped.runner.env_file()))

    assert (told.code, told.totals["replaced"], grouped.photo(anna)) == (5, 0, None)
    assert setting in told.out + told.err
    assert checked.code == 5
    assert f"there is no group 'CN=Misspelt,OU=Groups,{BASE}'" in checked.out
    assert f"→ Correct {setting}" in checked.out
    for said in (told.err, checked.out):
        assert "If the group was renamed, `Get-ADGroup -Filter * -Properties whenChanged" in said


@pytest.mark.parametrize("setting", ["OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP", "LDAP_GROUP"])
def test_a_group_that_was_moved_is_named_where_it_is_now_and_two_of_its_name_are_not(
    grouped: Company, setting: str
) -> None:
    guid, there = group(grouped, f"CN=Pilots,OU=Groups,{BASE}"), f"CN=Pilots,OU=Archive,{BASE}"
    grouped.settings[setting] = f"CN=Pilots,OU=Groups,{BASE}"
    anna = grouped.hire("anna")
    join(grouped, anna, grouped.settings[setting])
    grouped.ldap.tree.move(guid, there)

    told = grouped.sync()
    checked = grouped.runner.type("check", "--env-file", str(grouped.runner.env_file()))
    group(grouped, f"CN=Pilots,OU=Elsewhere,{BASE}", name="Pilots")
    unsure = grouped.sync()

    assert (told.code, checked.code, unsure.code, grouped.photo(anna)) == (5, 5, 5, None)
    for said in (told.err, checked.out):
        assert f"there is one of this name, '{there}'" in said
        assert f"If it was moved there, write that DN into {setting}." in said
        assert "If the group was renamed" not in said
    assert "of this name" not in unsure.err


def test_check_tells_how_many_are_in_each_group(grouped: Company) -> None:
    anna = grouped.hire("anna")
    join(grouped, anna, INNER)
    grouped.settings["KEEP_CLOUD_GROUP"] = INNER
    grouped.settings["SOURCE_WINS_GROUP"] = f"CN=Empty,OU=Groups,{BASE}"
    group(grouped, grouped.settings["SOURCE_WINS_GROUP"])

    told = grouped.runner.type("check", "--env-file", str(grouped.runner.env_file())).out

    assert f"OPT_OUT_GROUP: 1 person in scope in {BASE}, members of {GROUP}" in told
    assert "SOURCE_WINS_GROUP: 0 people in scope" in told
    assert "may not read its members: both look the same" in told


def test_a_file_names_upns_and_mails(company: Company, tmp_path: Path) -> None:
    anna, bert, carl = company.hire("anna"), company.hire("bert", mail="b.ert@contoso.test"), company.hire("carl")
    company.sync()
    listed = tmp_path / "opted-out.txt"
    listed.write_text(f"# works council\n\n{anna.upn.upper()}\nb.ert@contoso.test\nnobody@contoso.test\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = company.sync(days=1)

    assert (told.of(anna.upn), told.of(bert.upn)) == (("remove", "opted-out"),) * 2
    assert company.photo(carl)
    assert any("nobody@contoso.test" in notice for notice in told.report["notices"])

    listed.write_text("# nobody any more\n", "utf-8")
    assert company.sync(days=1).of(anna.upn) == ("create", "first-upload")


@pytest.mark.parametrize("content", ["", "\ufeff\r\n \r\n", "UPN;since\r\n"], ids=["no byte", "blank lines", "heading"])
def test_a_file_that_was_emptied_is_never_nobody(company: Company, tmp_path: Path, content: str) -> None:
    anna = company.hire("anna")
    listed = tmp_path / "opted-out.txt"
    listed.write_text(f"{anna.upn}\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)
    assert company.sync().of(anna.upn) == ("skip", "opted-out")

    listed.write_text(content, "utf-8")
    told = company.sync(days=1)

    assert (told.code, company.photo(anna)) == (2, None)
    assert f"OPT_OUT_FILE: {listed} names nobody" in told.err
    listed.write_text("# nobody\n", "utf-8")
    assert company.sync(days=1).of(anna.upn) == ("create", "first-upload")


def test_a_file_that_a_spreadsheet_saved_names_the_same_people(company: Company, tmp_path: Path) -> None:
    team = [company.hire(name) for name in ("anna", "bert", "carl", "dora", "o'neil", "frida")]
    company.hire("gina")
    listed = tmp_path / "opted-out.csv"
    lines = (
        *("\ufeffUPN;since", "anna@contoso.test;2026-11-01", '"bert@contoso.test"', "Carl;carl@contoso.test;"),
        *("dora@contoso.test,", "o'neil@contoso.test", '"Frida F., IT" <frida@contoso.test>', ";;", ""),
    )
    listed.write_text("\r\n".join(lines), "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = company.sync()

    assert [told.of(one.upn) for one in team] == [("skip", "opted-out")] * len(team)
    assert (told.code, told.totals["created"]) == (0, 1)


def test_who_was_renamed_since_stays_opted_out_and_the_line_is_told(company: Company, tmp_path: Path) -> None:
    anna = company.hire("anna")
    listed = tmp_path / "opted-out.txt"
    listed.write_text("Anna@contoso.test\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)
    company.sync()
    new = "anna.married@contoso.test"
    company.ldap.tree.change(anna.entry.guid, userPrincipalName=new, mail=new)
    company.cloud.tenant.update_account(anna.account_id, upn=new, mail=new)

    nights = [company.sync(days=1) for _ in range(3)]

    assert [told.of(new) for told in nights] == [("skip", "opted-out")] * 3
    assert all("a UPN that they had before: Anna@contoso.test" in told.report["notices"][0] for told in nights)
    listed.write_text("somebody.else@contoso.test\n", "utf-8")
    assert company.sync(days=1).of(new) == ("create", "first-upload")


def test_a_line_without_a_name_may_hide_somebody_and_is_refused(company: Company, tmp_path: Path) -> None:
    anna = company.hire("anna")
    listed = tmp_path / "opted-out.txt"
    listed.write_text("# works council\nbert@contoso.test\nanna\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = company.sync()

    assert (told.code, company.photo(anna)) == (2, None)
    assert f"OPT_OUT_FILE: {listed} has no UPN and no mail address in line 3, 'anna'" in told.err


@pytest.mark.parametrize("setting", ["OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP"])
def test_members_that_cannot_be_read_are_never_nobody_in_run_and_check(grouped: Company, setting: str) -> None:
    anna = grouped.hire("anna")
    grouped.settings.pop("OPT_OUT_GROUP")
    grouped.settings[setting] = GROUP
    (own,) = [entry for entry in grouped.ldap.tree.everyone() if entry.dn == GROUP]
    grouped.ldap.tree.change(own.guid, member=[f"CN=S-1-5-11,CN=ForeignSecurityPrincipals,{BASE}", anna.entry.dn])
    join(grouped, anna, GROUP)
    grouped.knobs.hidden = frozenset(("memberof",))

    told = grouped.sync()
    checked = grouped.runner.type("check", "--env-file", str(grouped.runner.env_file()))

    assert (told.code, grouped.photo(anna)) == (5, None)
    for said in (told.out + told.err, checked.out):
        assert f"{setting} names {GROUP}, which has {anna.entry.dn} as a member" in said
    assert checked.code == 5
    assert "-Attribute memberOf" in checked.out
    grouped.knobs.hidden = frozenset()
    assert grouped.sync(days=1).code == 0


def list_members(company: Company, dn: str, *members: str) -> None:
    """Give a group its own list, which a directory shows beside memberOf of the members."""
    (own,) = [entry for entry in company.ldap.tree.everyone() if entry.dn == dn]
    company.ldap.tree.change(own.guid, member=list(members))


def test_a_member_who_shows_no_membership_is_one_by_the_list_of_the_group_or_of_a_nested_one(grouped: Company) -> None:
    anna, bert, carl, dora = (grouped.hire(name) for name in ("anna", "bert", "carl", "dora"))
    extern = f"CN=S-1-5-11,CN=ForeignSecurityPrincipals,{BASE}"
    list_members(grouped, GROUP, extern, INNER, anna.entry.dn, "CN=gone,OU=Old,DC=contoso,DC=test", bert.entry.dn)
    list_members(grouped, INNER, extern, carl.entry.dn)
    for one, where in ((anna, GROUP), (bert, GROUP), (carl, INNER)):
        join(grouped, one, where)
    for one in (bert, carl):
        grouped.knobs.hidden_of[one.entry.guid] = frozenset(("memberof",))
    checked = grouped.runner.type("check", "--env-file", str(grouped.runner.env_file()))
    grouped.knobs.most_values = 2  # the lists come in parts

    told = grouped.sync()

    assert {told.of(one.upn) for one in (anna, bert, carl)} == {("skip", "opted-out")}
    assert (told.code, told.of(dora.upn)) == (0, ("create", "first-upload"))
    (said,) = [notice for notice in told.report["notices"] if "OPT_OUT_GROUP" in notice]
    assert "2 people are members only by the group's own list" in said
    assert f"{bert.entry.dn} is one by the group's own list only" in checked.out
    assert "-Attribute memberOf" in said + checked.out
    assert grouped.sync("--only", carl.upn, "--overwrite", days=1).of(carl.upn) == ("skip", "opted-out")

    list_members(grouped, INNER, extern)
    join(grouped, carl)
    assert grouped.sync(days=1).of(carl.upn) == ("create", "first-upload"), "no list names carl any more"


@pytest.mark.parametrize(
    ("knob", "trouble"),
    [
        ("repeats_values", "repeat from number 2 on"),
        ("withholds_values", "end after number 2, although the server announced more"),
    ],
    ids=["never ends", "breaks off"],
)
def test_a_list_of_members_that_cannot_be_read_whole_stops_the_reading_and_sends_nobody_a_photo(
    grouped: Company, knob: str, trouble: str
) -> None:
    team = [grouped.hire(name) for name in ("anna", "bert", "carl")]
    list_members(grouped, GROUP, *(one.entry.dn for one in team))
    for one in team:
        join(grouped, one, GROUP)
    grouped.knobs.most_values = 2
    setattr(grouped.knobs, knob, True)

    told = grouped.sync()

    assert (told.code, told.totals["created"]) == (5, 0)
    assert f"the members of {GROUP} (OPT_OUT_GROUP) {trouble}" in told.err
    assert "name another one first in LDAP_URI" in told.err
    setattr(grouped.knobs, knob, False)
    after = grouped.sync(days=1)
    assert (after.code, after.reasons()) == (0, {"opted-out": 3})


def test_a_right_that_is_taken_back_sends_nobody_a_photo(grouped: Company) -> None:
    anna, bert = grouped.hire("anna"), grouped.hire("bert")
    list_members(grouped, GROUP, anna.entry.dn, bert.entry.dn)
    for one in (anna, bert):
        join(grouped, one, GROUP)
    assert grouped.sync().totals["created"] == 0

    grouped.knobs.hidden_of[bert.entry.guid] = frozenset(("memberof",))
    told = grouped.sync("--full", days=1)

    assert (told.code, told.of(bert.upn), grouped.photo(bert)) == (0, ("skip", "opted-out"), None)


@pytest.mark.parametrize("content", [None, "anna@contoso.test\n".encode("utf-16")])
def test_a_file_that_cannot_be_read_is_a_problem_of_the_settings_before_anything_is_contacted(
    company: Company, tmp_path: Path, content: bytes | None
) -> None:
    anna = company.hire("anna")
    listed = tmp_path / "opted-out.txt"
    if content is not None:
        listed.write_bytes(content)
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = company.sync()
    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert (told.code, checked.code, company.photo(anna)) == (2, 2, None)
    assert "OPT_OUT_FILE" in told.err
    assert f"OPT_OUT_FILE: {listed} cannot be read" in checked.out
    assert "→ OPT_OUT_FILE: " in checked.out
    assert list(company.ldap.server.asked) == []
