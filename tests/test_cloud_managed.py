"""Accounts whose source of authority is the cloud are left alone, unless the settings say otherwise."""

from __future__ import annotations

from tests.office import Office, face


def test_an_account_that_is_managed_in_the_cloud_now_is_left_alone_and_listed_once(office: Office) -> None:
    anna, bert = office.hire("anna"), office.hire("bert")
    office.sync()
    shown_before = office.photo(anna)
    office.cloud.tenant.update_account(anna.account_id, synced=False)
    office.house.tree.change(anna.entry.guid, jpegPhoto=face("new anna"))

    first, second = office.sync(days=1), office.sync(days=1)

    assert first.of(anna.upn) == ("skip", "cloud-managed")
    assert (first.code, first.totals["skipped"]) == (0, 1)
    assert "SYNC_CLOUD_MANAGED" not in first.err, "others of this tenant are synced"
    assert second.of(anna.upn) is None, "it was listed the night before"
    assert (second.code, second.totals["skipped"], second.totals["unchanged"]) == (0, 1, 1)
    assert office.photo(anna) == shown_before
    assert office.sync("--only", anna.upn, days=1).of(anna.upn) == ("skip", "cloud-managed")
    assert office.photo(bert)


def test_what_was_remembered_is_there_when_such_accounts_are_followed(office: Office) -> None:
    anna = office.hire("anna")
    office.hire("bert")
    office.sync()
    office.cloud.tenant.update_account(anna.account_id, synced=False)
    assert office.sync(days=1).of(anna.upn) == ("skip", "cloud-managed")

    office.settings["SYNC_CLOUD_MANAGED"] = "follow"
    quiet = office.sync(days=1)
    office.house.tree.change(anna.entry.guid, jpegPhoto=face("new anna"))
    changed = office.sync(days=1)

    assert (quiet.of(anna.upn), quiet.totals["unchanged"]) == (None, 2)
    assert changed.of(anna.upn) == ("replace", "source-changed")


def test_a_tenant_where_nobody_is_synced_is_told_which_setting_takes_its_people_in(office: Office) -> None:
    anna = office.hire("anna")
    office.cloud.tenant.update_account(anna.account_id, synced=False)

    told = office.sync()

    assert told.of(anna.upn) == ("skip", "cloud-managed")
    assert any("SYNC_CLOUD_MANAGED=follow" in notice for notice in told.report["notices"])

    office.settings["SYNC_CLOUD_MANAGED"] = "follow"
    assert office.sync(days=1).of(anna.upn) == ("create", "first-upload")
