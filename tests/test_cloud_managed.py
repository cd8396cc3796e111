"""Accounts whose source of authority is the cloud are left alone, unless the settings say otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.company import Company, face


def test_an_account_that_is_managed_in_the_cloud_now_is_left_alone_and_listed_once(company: Company) -> None:
    anna, bert = company.hire("anna"), company.hire("bert")
    company.sync()
    shown_before = company.photo(anna)
    company.cloud.tenant.update_account(anna.account_id, synced=False)
    company.ldap.tree.change(anna.entry.guid, jpegPhoto=face("new anna"))

    first, second = company.sync(days=1), company.sync(days=1)

    assert first.of(anna.upn) == ("skip", "cloud-managed")
    assert (first.code, first.totals["skipped"]) == (0, 1)
    assert "SYNC_CLOUD_MANAGED" not in first.err, "others of this tenant are synced"
    assert second.of(anna.upn) is None, "it was listed the night before"
    assert (second.code, second.totals["skipped"], second.totals["unchanged"]) == (0, 1, 1)
    assert company.photo(anna) == shown_before
    assert company.sync("--only", anna.upn, days=1).of(anna.upn) == ("skip", "cloud-managed")
    assert company.photo(bert)


def test_what_was_remembered_is_there_when_such_accounts_are_followed(company: Company) -> None:
    anna = company.hire("anna")
    company.hire("bert")
    company.sync()
    company.cloud.tenant.update_account(anna.account_id, synced=False)
    assert company.sync(days=1).of(anna.upn) == ("skip", "cloud-managed")

    company.settings["SYNC_CLOUD_MANAGED"] = "follow"
    quiet = company.sync(days=1)
    company.ldap.tree.change(anna.entry.guid, jpegPhoto=face("new anna"))
    changed = company.sync(days=1)

    assert (quiet.of(anna.upn), quiet.totals["unchanged"]) == (None, 2)
    assert changed.of(anna.upn) == ("replace", "source-changed")


def test_a_tenant_where_nobody_is_synced_is_told_which_setting_takes_its_people_in(company: Company) -> None:
    anna = company.hire("anna")
    company.cloud.tenant.update_account(anna.account_id, synced=False)

    told = company.sync()

    assert told.of(anna.upn) == ("skip", "cloud-managed")
    assert any("SYNC_CLOUD_MANAGED=follow" in notice for notice in told.report["notices"])

    company.settings["SYNC_CLOUD_MANAGED"] = "follow"
    assert company.sync(days=1).of(anna.upn) == ("create", "first-upload")


def test_check_counts_them_with_examples_the_evening_before_and_tells_a_tenant_where_nobody_is_synced(
    company: Company,
) -> None:
    team = company.team(9)
    for one in team[:7]:
        company.cloud.tenant.update_account(one.account_id, synced=False)

    some = _check(company)
    for one in team[7:]:
        company.cloud.tenant.update_account(one.account_id, synced=False)
    none = _check(company)
    company.settings["SYNC_CLOUD_MANAGED"] = "follow"
    followed = _check(company)

    assert "✓ " in (line := next(line for line in some if "managed in the cloud" in line))
    assert "7 people are skipped, because their accounts are managed in the cloud" in line
    assert len([one for one in team if one.upn in line]) == 5, "some of them as examples, none of the others"
    assert not [one for one in team[7:] if one.upn in line]
    assert "includes them" in line
    assert "! " in (line := next(line for line in none if "managed in the cloud" in line))
    assert "none of the accounts tested is synced from a directory, so 9 people are skipped" in line
    assert any("set SYNC_CLOUD_MANAGED=follow" in line for line in none)
    assert not any("managed in the cloud" in line for line in followed)
    assert company.cloud.tenant.writes() == []


def test_the_metrics_count_who_is_treated_by_a_rule_of_their_own(company: Company, tmp_path: Path) -> None:
    managed, opted_out, *_ = company.team(5)
    company.cloud.tenant.update_account(managed.account_id, synced=False)
    (tmp_path / "out.txt").write_text(f"{opted_out.upn}\n", "utf-8")
    company.settings.update(OPT_OUT_FILE=str(tmp_path / "out.txt"), METRICS_FILE=str(tmp_path / "photo.prom"))

    for _ in range(2):  # also where they are no news any more
        assert company.sync(days=1).code == 0

        lines = (tmp_path / "photo.prom").read_text("utf-8").splitlines()
        told = [line.rpartition(",")[2] for line in lines if line.startswith("photo_connector_ruled_people{")]
        counts = {"opted-out": 1, "keep-cloud": 0, "source-wins": 0, "external": 0, "cloud-managed": 1}
        assert told == [f'rule="{rule}"}} {number}' for rule, number in counts.items()]


def _check(company: Company) -> list[str]:
    told = company.runner.type("check", "--env-file", str(company.runner.env_file()))
    assert "✓ Listing users" in told.out, told.out  # no code: the lab's clock may still be that of another test's day
    return told.out.splitlines()
