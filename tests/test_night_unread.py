"""A value that one person's entry no longer shows is not empty: the last known one stands, and nothing is written."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.company import Colleague, Company, anchor_of, face
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.ldapserver_world import STALE_DIRSYNC
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.runner import CommandResult, Runner

OWN_ANCHOR = b"consistency guid"
SID = struct.pack("<BB6s5I", 1, 5, b"\0\0\0\0\0\x05", 21, 1, 2, 3, 1104)
SID_TEXT = "S-1-5-21-1-2-3-1104"
NOBODY = "(!(userAccountControl:1.2.840.113556.1.4.803:=65536))"
UPN = "anna@contoso.test"


@dataclass(frozen=True)
class Hidden:
    """What is hidden of one person, and by which rules the person's account was found until then."""

    attribute: str
    fallback: str
    account: dict[str, Any]
    other: dict[str, Any]


def anchored(**more: Any) -> dict[str, Any]:
    return {"immutable_id": base64.b64encode(OWN_ANCHOR).decode(), "mail": "", "synced": True, **more}


# `other` is the account that would be taken if the hidden value were believed to be empty.
CASES = {
    "photo": Hidden("jpegPhoto", "none", anchored(), {}),
    "anchor": Hidden("mS-DS-ConsistencyGuid", "none", anchored(), {"immutable_id": "objectGUID"}),
    "sid": Hidden("objectSid", "sid,upn", {"sid": SID_TEXT}, {"upn": UPN}),
    "mail": Hidden("mail", "mail,upn", {"mail": "anna.short@contoso.test"}, {"upn": UPN}),
    "upn": Hidden("userPrincipalName", "upn,mail", {"upn": UPN}, {"mail": "anna.short@contoso.test"}),
}
NIGHTS = ("changes", "full", "unfollowable filter")


def settle(company: Company, case: Hidden) -> tuple[Colleague, str, str]:
    """Hire somebody with a good photo and a small one of another day; return the person and both accounts."""
    values: dict[str, Any] = {"mail": "anna.short@contoso.test", "objectSid": SID, "thumbnailPhoto": face("long ago")}
    anna = company.hire("anna", account=False, photo=face("anna", 200), **values)
    company.ldap.tree.change(anna.entry.guid, **{"mS-DS-ConsistencyGuid": OWN_ANCHOR})
    usual = {"synced": True, "mail": ""}
    given = {**usual, "upn": "hers@contoso.test", **case.account}
    hers = company.cloud.tenant.add_account(given.pop("upn"), **given)
    given = {**usual, "upn": "another@contoso.test", **case.other}
    if given.get("immutable_id"):
        given["immutable_id"] = anchor_of(anna.entry.guid)
    another = company.cloud.tenant.add_account(given.pop("upn"), **given)
    return anna, hers, another


def touch(company: Company, anna: Colleague, case: Hidden) -> None:
    """Change something else of the person, so that a night of changes looks: a new face, where that is not hidden."""
    if case.attribute == "jpegPhoto":
        company.ldap.tree.change(anna.entry.guid, sAMAccountName="anna2")
    else:
        company.paint(anna, face("anna today", 200))


@pytest.mark.parametrize("removed", ["keep", "remove"])
@pytest.mark.parametrize("conflict", ["source", "cloud"])
@pytest.mark.parametrize("night", NIGHTS)
@pytest.mark.parametrize("name", CASES)
def test_one_hidden_value_of_one_person_writes_nothing(
    company: Company, name: str, night: str, conflict: str, removed: str
) -> None:
    case = CASES[name]
    company.settings.update(SYNC_REMOVED=removed, SYNC_CONFLICT=conflict, MATCH_FALLBACK=case.fallback)
    if night == "unfollowable filter":
        company.settings["LDAP_FILTER"] = NOBODY
    company.team(5)
    anna, hers, another = settle(company, case)
    first = company.sync()
    assert (first.code, first.totals["created"]) == (0, 6), first.err
    before = shown(company, hers)
    company.knobs.hidden_of[anna.entry.guid] = frozenset({case.attribute.casefold()})
    touch(company, anna, case)

    nights = [company.sync(*(["--full"] if night == "full" else []), days=1) for _ in range(2)]
    nights.append(company.sync("--resend", "--dry-run", days=1))
    nights.append(company.sync("--only", "anna@contoso.test" if name != "upn" else "anna", days=1))

    for told in nights:
        assert (told.code, told.of(anna.entry.dn)) == (0, ("skip", "source-unread")), told.err
        assert_is_counted(told, case)
    assert (shown(company, hers), shown(company, another)) == (before, None)
    assert len(company.cloud.tenant.writes()) == 6

    company.knobs.hidden_of.clear()
    mended = company.sync(days=1)

    expected = 0 if name == "photo" else 1
    assert (mended.code, mended.totals["replaced"], mended.totals["skipped"]) == (0, expected, 0), mended.err
    assert shown(company, another) is None
    assert not [notice for notice in mended.report["notices"] if "source-unread" in notice]


def shown(company: Company, account_id: str) -> bytes | None:
    photo = company.cloud.tenant.photo(account_id)
    return photo.content_bytes if photo else None


def assert_is_counted(told: CommandResult, case: Hidden) -> None:
    """Assert that one notice counts the person, by the attribute."""
    (notice,) = [notice for notice in told.report["notices"] if "source-unread" in notice]
    assert notice.startswith("1 people show no value")
    assert f"{case.attribute}: 1" in notice


# ----------------------------------------------------------------------------- what the source says was emptied


@pytest.mark.parametrize("night", NIGHTS)
def test_a_photo_that_the_directory_says_was_cleared_is_believed_in_every_mode(company: Company, night: str) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    if night == "unfollowable filter":
        company.settings["LDAP_FILTER"] = NOBODY
    anna, *_ = company.team(4)
    company.sync()
    company.paint(anna, None)

    told = company.sync(*(["--full"] if night == "full" else []), days=1)

    assert (told.code, told.of(anna.upn)) == (0, ("remove", "source-removed")), told.err
    assert company.photo(anna) is None
    assert company.sync(days=1).totals["removed"] == 0


def test_an_anchor_that_the_directory_says_was_cleared_gives_way_to_object_guid(company: Company) -> None:
    anna, _, another = settle(company, CASES["anchor"])
    company.sync()
    company.ldap.tree.change(anna.entry.guid, **{"mS-DS-ConsistencyGuid": []})
    company.paint(anna, face("anna today", 200))

    told = company.sync("--full", days=1)

    assert (told.code, told.totals["created"]) == (0, 1), told.err
    assert shown(company, another) is not None


@pytest.mark.parametrize("is_cleared", [True, False], ids=["cleared", "hidden"])
def test_where_the_old_cookie_is_refused_nobody_is_believed_to_have_cleared_anything(
    company: Company, is_cleared: bool
) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    anna, *_ = company.team(4)
    company.sync()
    if is_cleared:
        company.paint(anna, None)
    else:
        company.knobs.hidden_of[anna.entry.guid] = frozenset({"jpegphoto"})
    company.knobs.refuse_cookie = (12, STALE_DIRSYNC)

    told = company.sync("--full", days=1)

    assert (told.code, told.of(anna.upn)) == (0, ("skip", "source-unread")), told.err
    assert any("refused the cookie" in notice for notice in told.report["notices"])
    assert company.photo(anna) is not None


def test_a_right_that_is_given_back_is_seen_by_the_next_night_of_changes(company: Company) -> None:
    anna, *_ = company.team(2)
    company.sync()
    company.knobs.hidden_of[anna.entry.guid] = frozenset({"jpegphoto"})
    assert company.sync("--full", days=1).of(anna.upn) == ("skip", "source-unread")
    company.knobs.hidden_of.clear()

    told = company.sync(days=1)

    assert (told.code, told.totals["unchanged"], told.report["mode"]) == (0, 2, "changes"), told.err
    quiet = company.sync(days=1)
    assert (quiet.requests["http"], quiet.requests["ldap_entries"]) == (1, 0)


def test_another_anchor_setting_makes_nobody_unread(company: Company) -> None:
    company.team(2)
    company.sync()
    company.settings["LDAP_ANCHOR"] = "employeeID"

    told = company.sync("--dry-run", days=1)

    assert "source-unread" not in told.reasons()


def test_an_entry_without_a_readable_id_is_left_out_and_named_and_the_others_are_read(company: Company) -> None:
    anna, *_ = company.team(12)
    company.sync()
    company.knobs.hidden_of[anna.entry.guid] = frozenset({"objectguid"})

    told = company.sync("--full", days=1)

    assert (told.code, told.totals["people"], told.totals["unchanged"]) == (3, 12, 11), told.err
    assert told.of(anna.upn) == ("skip", "source-unread")
    assert any(anna.entry.dn in notice and "objectGUID" in notice for notice in told.report["notices"])


def test_a_member_without_a_readable_id_is_left_out_and_named_and_the_others_are_read(company: Company) -> None:
    group = "CN=Pilot,OU=Groups,DC=contoso,DC=test"
    company.ldap.tree.add(group, objectClass="group", objectCategory="group", sAMAccountName="Pilot")
    anna, *_ = [company.hire(f"person{number:03}", memberOf=group) for number in range(12)]
    company.settings["LDAP_GROUP"] = group
    assert company.sync().totals["created"] == 12
    company.knobs.hidden_of[anna.entry.guid] = frozenset({"objectguid"})

    told = company.sync("--full", days=1)

    assert (told.code, told.totals["people"], told.totals["unchanged"]) == (3, 12, 11), told.err
    assert told.of(anna.upn) == ("skip", "source-unread")
    assert any(anna.entry.dn in notice and "objectGUID" in notice for notice in told.report["notices"])
    company.knobs.hidden = frozenset({"objectguid"})
    assert company.sync("--full", days=1).code == 5


@pytest.mark.parametrize("is_grouped", [False, True], ids=["everybody", "group"])
def test_who_shows_no_id_any_more_is_named_by_a_night_of_changes_and_not_taken_for_gone(
    company: Company, is_grouped: bool
) -> None:
    group = "CN=Pilot,OU=Groups,DC=contoso,DC=test"
    if is_grouped:
        company.ldap.tree.add(group, objectClass="group", objectCategory="group", sAMAccountName="Pilot")
        company.settings["LDAP_GROUP"] = group
    anna, *_ = [company.hire(f"person{number:03}", memberOf=group) for number in range(12)]
    company.sync()
    company.knobs.hidden_of[anna.entry.guid] = frozenset({"objectguid"})
    company.paint(anna, face("anna anew"))

    told = company.sync(days=1)
    bert = company.hire("bert", memberOf=group)
    company.knobs.hidden_of[bert.entry.guid] = frozenset({"objectguid"})
    with_bert = company.sync(days=1)

    assert (told.code, told.totals["people"], told.totals["unchanged"]) == (3, 12, 11), told.err
    assert told.of(anna.upn) == ("skip", "source-unread")
    assert any(anna.entry.dn in notice and "objectGUID" in notice for notice in told.report["notices"])
    assert (with_bert.code, with_bert.totals["people"]) == (3, 12), with_bert.err
    assert any(bert.entry.dn in notice and "objectGUID" in notice for notice in with_bert.report["notices"])
    company.knobs.hidden_of.clear()
    after = company.sync(days=1)
    assert (after.code, after.of(anna.upn)) == (0, ("replace", "source-changed")), after.err


def test_many_who_show_no_id_any_more_hold_up_nobody_elses_change(company: Company) -> None:
    team = [company.hire(f"person{number:03}") for number in range(15)]
    company.sync()
    for one in team:
        company.paint(one, face(f"{one.upn} anew"))
    for one in team[:12]:
        company.knobs.hidden_of[one.entry.guid] = frozenset({"objectguid"})

    told = company.sync("--force", days=1)

    assert (told.code, told.totals["people"], told.totals["replaced"]) == (3, 15, 3), told.err
    assert told.reasons()["source-unread"] == 12
    quiet = company.sync(days=1)
    assert (quiet.totals["replaced"], quiet.reasons()) == (0, {"source-unread": 12}), quiet.err


def test_where_no_member_has_a_readable_id_a_night_of_changes_does_not_read_the_domain(company: Company) -> None:
    group = "CN=Pilot,OU=Groups,DC=contoso,DC=test"
    company.ldap.tree.add(group, objectClass="group", objectCategory="group", sAMAccountName="Pilot")
    company.settings["LDAP_GROUP"] = group
    for number in range(12):
        company.hire(f"person{number:03}", memberOf=group)
    company.sync()
    company.knobs.hidden = frozenset({"objectguid"})

    told = company.sync(days=1)

    assert told.code == 5, told.err
    assert "neither objectGUID nor entryUUID" in told.err
    company.knobs.hidden = frozenset()
    assert company.sync(days=1).totals["unchanged"] == 12


def test_where_nobody_has_a_readable_id_the_domain_is_not_read(company: Company) -> None:
    company.team(12)
    company.sync()
    company.knobs.hidden = frozenset({"objectguid"})

    told = company.sync("--full", days=1)

    assert told.code == 5
    assert "neither objectGUID nor entryUUID" in told.err


# ----------------------------------------------------------------------------- the same on a real domain


def test_hidden_values_of_a_real_domain_write_nothing_in_any_mode(
    domain: DomainController, directory: Directory, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    account_ids, dns = {}, {}
    for name, case in CASES.items():
        upn = f"hide-{name}@contoso.test"
        more: dict[str, Any] = {"mS-DS-ConsistencyGuid": OWN_ANCHOR, "mail": upn, "thumbnailPhoto": face("long ago")}
        entry = directory.add_person(ou, f"hide-{name}", userPrincipalName=upn, jpegPhoto=face(name, 200), **more)
        dns[name] = entry.dn
        if name != "anchor":
            directory.set(entry.dn, **{"mS-DS-ConsistencyGuid": name.encode()})
        anchor = base64.b64encode(OWN_ANCHOR if name == "anchor" else name.encode()).decode()
        account_ids[name] = cloud.tenant.add_account(upn, immutable_id=anchor, synced=True)
        if name == "anchor":
            cloud.tenant.add_account("other@contoso.test", immutable_id=entry.anchor, synced=True)
        assert case.attribute
    runner = Runner(tmp_path, {**ldap_settings(domain, ou), **cloud.environ(), "SYNC_REMOVED": "remove"})
    assert runner.sync().totals["created"] == len(CASES)
    for name, case in CASES.items():
        directory.hide([dns[name]], case.attribute)

    told = [runner.sync("--full", days=1)]
    for name in CASES:
        changes = {"department": "moved"} if name == "photo" else {"jpegPhoto": face(f"{name} today", 200)}
        directory.set(dns[name], **changes)
    told += [runner.sync(days=1), runner.sync("--full", days=1)]
    runner.settings["LDAP_FILTER"] = NOBODY
    told += [runner.sync(days=1), runner.sync(days=1)]

    for night in told:
        assert (night.code, night.reasons()) == (0, {"source-unread": len(CASES)}), night.err
    assert len(cloud.tenant.writes()) == len(CASES)
    for name, case in CASES.items():
        directory.show([dns[name]], case.attribute)
    mended = runner.sync(days=1)
    assert (mended.code, mended.totals["replaced"], mended.totals["unchanged"]) == (0, 4, 1), mended.err

    directory.set_photo(dns["photo"])
    directory.set_photo(dns["photo"], attribute="thumbnailPhoto")
    cleared = runner.sync("--full", days=1)
    assert (cleared.code, cleared.totals["removed"]) == (0, 1), cleared.err
