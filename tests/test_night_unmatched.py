"""People and accounts without a match are counted and listed on both sides."""

from __future__ import annotations

from tests.company import Company


def test_people_without_an_account_and_accounts_without_a_person_are_counted_and_listed(company: Company) -> None:
    company.hire("anna")
    company.hire("lone", account=False)
    stranger = "stranger@contoso.test"
    company.cloud.tenant.add_account(stranger, immutable_id="QUJDREVGR0hJSktMTU5PUA==", synced=True)
    company.cloud.tenant.add_account("cloud-only@contoso.test")

    told = company.sync()

    assert told.of("lone@contoso.test") == ("skip", "no-account")
    assert told.totals["unmatched_accounts"] == 1
    assert told.report["unmatched"] == [stranger]
    assert stranger in told.out
    assert "cloud-only@contoso.test" not in told.out
