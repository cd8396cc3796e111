"""Stories of `coverage`: who has a photo in Microsoft 365, whose it is, who has none, and what is not known."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from tests.company import Colleague, Company, copy_of, face
from tests.runner import CommandResult
from tests.test_forget import rows


def coverage(company: Company, *options: str) -> CommandResult:
    """Type `coverage`."""
    told = company.runner.type("coverage", "--env-file", str(company.runner.env_file()), *options)
    assert (told.code, told.err) == (0, "")
    return told


def as_json(company: Company, *options: str) -> dict[str, Any]:
    """Type `coverage --format json`."""
    return dict(json.loads(coverage(company, "--format", "json", *options).out))


def table(company: Company) -> dict[str, dict[str, str]]:
    """Type `coverage --format csv`, and return its rows by UPN."""
    text = coverage(company, "--format", "csv").out.removeprefix("\ufeff")
    return {row["upn"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def states(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the states that anybody is in."""
    return {name: counts[name] for name in ("ours", "source", "other", "none", "unknown") if counts[name]}


@pytest.fixture
def every_kind(company: Company) -> Company:
    """Have one person of every kind, seen by two nights in which everybody has a turn."""
    company.settings.update(SYNC_CONFLICT="cloud", SYNC_VERIFY_PERCENT="100")
    company.hire("ours")
    source = company.hire("source")
    company.cloud.tenant.set_photo(source.account_id, copy_of("source"))
    other = company.hire("other")
    company.cloud.tenant.set_photo(other.account_id, face("own other", 300))
    company.hire("bare", photo=None)
    own = company.hire("own", photo=None)
    company.cloud.tenant.set_photo(own.account_id, face("own own", 120))
    company.hire("pending", account=False)
    company.cloud.tenant.add_account("cloud-only@contoso.test", department="Sales")
    company.cloud.tenant.add_account("left@contoso.test", enabled=False)
    company.cloud.tenant.add_account("guest@contoso.test", user_type="Guest")
    assert company.sync().code == 0
    assert company.sync(days=1).code == 0
    return company


def test_everybody_is_counted_by_whose_photo_the_cloud_shows(every_kind: Company) -> None:
    told = as_json(every_kind)

    assert states(told["people"]) == {"ours": 1, "source": 1, "other": 2, "none": 1, "unknown": 1}
    assert told["people"]["total"] == 6
    assert states(told["accounts"]) == {"ours": 1, "source": 1, "other": 2, "none": 1, "unknown": 1}
    assert told["accounts"]["total"] == 6, "neither guests nor disabled accounts"
    assert (told["people"]["without_source_photo"], told["people"]["without_account"]) == (2, 1)
    assert (told["people"]["small"], told["accounts"]["small"]) == (3, 3)


def test_one_row_a_person_answers_who_has_none(every_kind: Company) -> None:
    found = table(every_kind)

    assert {upn.partition("@")[0]: row["has_photo"] for upn, row in found.items()} == {
        **{"ours": "yes", "source": "yes", "other": "yes", "own": "yes", "bare": "no"},
        **{"pending": "not known", "cloud-only": "not known"},
    }
    assert (found["own@contoso.test"]["cloud_pixels"], found["own@contoso.test"]["small"]) == ("120", "yes")
    assert (found["source@contoso.test"]["cloud_photo"], found["other@contoso.test"]["cloud_photo"]) == (
        "source",
        "other",
    )
    assert found["bare@contoso.test"]["source_photo"] == "no photo"
    assert found["pending@contoso.test"]["match_problem"] == "no-account"
    assert found["cloud-only@contoso.test"]["in_scope"] == "no"
    listed = as_json(every_kind)["without_photo"]
    assert [row["upn"] for row in listed] == ["bare@contoso.test"]


def test_it_asks_nobody_and_needs_no_lock(every_kind: Company) -> None:
    every_kind.cloud.log.clear()
    every_kind.ldap.server.asked.clear()

    assert "bare <bare@contoso.test>, in the directory: no photo" in coverage(every_kind).out
    assert list(every_kind.cloud.requests) == []
    assert list(every_kind.ldap.server.asked) == []


def test_groups_are_departments_companies_and_units(company: Company) -> None:
    for name, department, firm in (("ada", "Sales", "Contoso"), ("bob", "Sales", "Fabrikam"), ("eve", None, None)):
        one = company.hire(name, photo=None if name == "bob" else face(name))
        company.cloud.tenant.update_account(one.account_id, department=department, companyName=firm)
    company.sync()

    groups = as_json(company)["groups"]

    def told(kind: str) -> list[tuple[str, int, int]]:
        return [(one["name"], one["people"]["total"], one["people"]["with_photo"]) for one in groups[kind]]

    assert told("department") == [("Sales", 2, 1), ("", 1, 1)]
    assert told("company") == [("Contoso", 1, 1), ("Fabrikam", 1, 0), ("", 1, 1)]
    assert told("ou") == [("contoso.test/People", 3, 2)]
    assert set(as_json(company, "--by", "company")["groups"]) == {"company"}
    text = coverage(company, "--by", "department").out
    assert "(no department)" in text
    assert "Sales" in text


def test_a_department_that_changes_is_followed_by_delta_alone(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.update_account(ada.account_id, department="Service")
    company.cloud.log.clear()

    company.sync(days=1)

    assert table(company)[ada.upn]["department"] == "Service"
    assert not any("delta" not in record.path and record.path.endswith("/users") for record in company.cloud.requests)


def test_the_age_of_a_source_photo_counts_from_its_first_sight(company: Company) -> None:
    ada, bob = company.hire("ada"), company.hire("bob")
    company.sync()
    first = table(company)[ada.upn]["source_photo_since"]
    company.paint(bob, face("new bob"))
    company.sync(days=40)

    found = table(company)

    assert found[ada.upn]["source_photo_since"] == first
    assert found[bob.upn]["source_photo_since"] > first
    assert as_json(company)["source_photo_first_seen"]["within 30 days"] == 1
    assert as_json(company)["source_photo_first_seen"]["within a year"] == 1
    (unit,) = as_json(company, "--by", "ou")["groups"]["ou"]
    assert unit["source_photo_first_seen"] == as_json(company)["source_photo_first_seen"]


# ------------------------------------------------------------------------------------- turns of those without a photo


def test_people_without_a_source_photo_have_their_turns_within_the_same_share(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "25"
    company.team(4)
    team = [company.hire(f"bare{number}", photo=None) for number in range(4)]
    company.sync("--dry-run")
    company.sync()
    for one in team:
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}", 120))
    asked = []
    for _ in range(4):
        company.cloud.log.clear()
        assert company.sync(days=1).code == 0
        asked.append([item.path for record in company.cloud.requests for item in record.items])

    assert [len(one) for one in asked] == [2] * 4, "a quarter of all eight, one tag each and no bytes"
    assert states(as_json(company)["people"]) == {"ours": 4, "other": 4}


def _told_of(company: Company, one: Colleague) -> list[tuple[object, ...]]:
    outcomes = f"SELECT run, action, reason FROM outcomes WHERE person_id = '{one.entry.id}'"
    return rows(company, outcomes)


def test_a_turn_is_no_news(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare = company.hire("bare", photo=None)
    company.cloud.tenant.set_photo(bare.account_id, face("own bare"))
    first = company.sync()
    second = company.sync(days=1)

    assert (first.of(bare.upn), second.of(bare.upn)) == (("skip", "no-photo"), ("skip", "no-photo"))
    assert first.totals == second.totals
    assert _told_of(company, bare) == []
    told = company.runner.type("history", "--env-file", str(company.runner.env_file()), "--format", "json", "bare")
    assert [one["reason"] for one in json.loads(told.out)["events"]] == ["no-photo"]


def test_an_account_whose_photo_cannot_be_looked_at_fails_nobody(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare, other = company.hire("bare", photo=None), company.hire("other", photo=None)
    company.cloud.tenant.update_account(bare.account_id, trouble="no-mailbox")

    told = [company.sync(days=1) for _ in range(2)]

    assert [one.code for one in told] == [0, 0]
    found = table(company)
    assert (found[bare.upn]["has_photo"], found[other.upn]["has_photo"]) == ("not known", "no")


def test_a_photo_that_we_send_replaces_what_was_seen(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare = company.hire("bare", photo=None)
    company.sync()
    assert states(as_json(company)["people"]) == {"none": 1}

    company.paint(bare, face("bare"))
    company.sync(days=1)

    assert states(as_json(company)["people"]) == {"ours": 1}
    assert rows(company, "SELECT COUNT(*) FROM cloud_looks") == [(0,)]


def test_whoever_is_forgotten_is_in_no_list(every_kind: Company) -> None:
    assert "bare@contoso.test" in table(every_kind)

    every_kind.runner.type("forget", "--env-file", str(every_kind.runner.env_file()), "bare")

    assert "bare@contoso.test" not in table(every_kind)
    for name in ("account_details", "cloud_looks", "source_since"):
        assert not any("bare" in str(row) for row in rows(every_kind, f"SELECT * FROM {name}"))
    assert len(rows(every_kind, "SELECT * FROM cloud_looks")) == 1, "what was seen of own"


# --------------------------------------------------------------------------------------------------------- the formats


def test_the_page_needs_no_network_and_lists_who_has_none(every_kind: Company) -> None:
    path = every_kind.runner.folder / "coverage.html"

    coverage(every_kind, "--output", str(path))

    page = path.read_text("utf-8")
    assert "4 of 6 people in scope have a photo" in page
    assert "bare@contoso.test" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert os.name == "nt" or path.stat().st_mode & 0o077 == 0, "Windows has ACLs instead"


def test_a_name_is_no_markup_and_no_formula(company: Company) -> None:
    company.settings["SYNC_VERIFY_PERCENT"] = "100"
    one = company.hire("=cmd<b>", photo=None)
    company.cloud.tenant.update_account(one.account_id, department="=1+1<script>")
    company.sync()

    page = coverage(company, "--format", "html").out
    assert "<b>" not in page
    assert "<script" not in page
    (row,) = table(company).values()
    assert (row["name"][:2], row["department"][:2]) == ("'=", "'=")


def test_before_the_first_run_it_says_so(company: Company) -> None:
    assert coverage(company).out.startswith("No run has seen anything yet.")


def test_figures_for_monitoring_have_the_coverage(every_kind: Company) -> None:
    path = every_kind.runner.folder / "photo.prom"
    every_kind.settings["METRICS_FILE"] = str(path)

    every_kind.sync(days=1)

    lines = path.read_text("utf-8").splitlines()
    told = {line.rpartition(",")[2]: line for line in lines if "coverage_people{" in line}
    assert any('state="other"} 2' in line for line in told.values()), lines
    assert any("coverage_accounts{" in line and 'state="none"} 1' in line for line in lines)
