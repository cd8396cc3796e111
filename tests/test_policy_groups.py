"""KEEP_CLOUD_GROUP and SOURCE_WINS_GROUP decide conflicts for their members, from the night of joining or leaving."""

from __future__ import annotations

import pytest

from tests.company import Company, face
from tests.lab.ldapserver_wire import DIRSYNC
from tests.test_opt_out import GROUP, INNER, group, join


@pytest.fixture
def grouped(company: Company) -> Company:
    """Open a company with two groups."""
    group(company)
    group(company, INNER)
    company.settings["KEEP_CLOUD_GROUP"] = GROUP
    company.settings["SOURCE_WINS_GROUP"] = INNER
    return company


def test_each_group_decides_for_its_members_and_in_both_the_cloud_wins(grouped: Company) -> None:
    grouped.settings["SYNC_CONFLICT"] = "cloud"
    anna, bert, carl = (grouped.hire(name) for name in ("anna", "bert", "carl"))
    grouped.cloud.tenant.set_photos({one.account_id: face("other") for one in (anna, bert, carl)})
    join(grouped, anna, INNER)
    join(grouped, bert, GROUP, INNER)

    told = grouped.sync()

    assert told.of(anna.upn) == ("replace", "cloud-differs")
    assert told.of(bert.upn) == ("keep", "cloud-differs")
    assert told.of(carl.upn) == ("keep", "cloud-differs")


def test_leaving_the_group_acts_the_same_night(grouped: Company) -> None:
    anna = grouped.hire("anna")
    grouped.cloud.tenant.set_photos({anna.account_id: face("other")})
    join(grouped, anna, GROUP)
    assert grouped.sync().of(anna.upn) == ("keep", "cloud-differs")
    assert grouped.sync(days=1).of(anna.upn) is None

    join(grouped, anna)

    assert grouped.sync(days=1).of(anna.upn) == ("replace", "cloud-differs")


def test_joining_the_group_acts_the_same_night(grouped: Company) -> None:
    grouped.settings["SYNC_CONFLICT"] = "cloud"
    anna = grouped.hire("anna")
    grouped.cloud.tenant.set_photos({anna.account_id: face("other")})
    assert grouped.sync().of(anna.upn) == ("keep", "cloud-differs")

    join(grouped, anna, INNER)

    assert grouped.sync(days=1).of(anna.upn) == ("replace", "cloud-differs")


@pytest.mark.parametrize("setting", ["OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP"])
def test_a_folder_has_no_groups(company: Company, setting: str) -> None:
    company.settings.update({"SOURCE": "folder", "FOLDER_PATH": str(company.runner.folder), setting: "Sales"})

    told = company.sync()

    assert told.code == 2
    assert setting in told.err


def test_a_quiet_night_costs_the_group_searches_and_no_request_more(grouped: Company) -> None:
    team = grouped.team(30)
    for one in team[:10]:
        join(grouped, one, GROUP)
    grouped.settings["OPT_OUT_GROUP"] = INNER
    join(grouped, team[10], INNER)
    grouped.sync()
    grouped.cloud.log.clear()
    grouped.ldap.server.asked.clear()

    told = grouped.sync(days=1)

    assert told.requests["http"] <= 3
    assert len([asked for asked in grouped.ldap.server.asked if DIRSYNC in asked.controls]) == 1
    groups = 3
    assert told.requests["ldap_searches"] <= groups * 3 + 3, "each group, its nested ones, and its members"
    assert told.requests["ldap_entries"] <= groups * 2 + 10 + 1 + 1, "groups, their nested ones, and their members"
