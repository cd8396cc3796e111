"""Stories of `coverage`: who has a photo in Microsoft 365, whose it is, who has none, and what is not known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.nights import Told
from tests.office import Colleague, Office, copy_of, face
from tests.test_forget import rows


def coverage(office: Office, *options: str) -> Told:
    """Type `coverage`."""
    told = office.nights.type("coverage", "--env-file", str(office.nights.env_file()), *options)
    assert (told.code, told.err) == (0, "")
    return told


def as_json(office: Office, *options: str) -> dict[str, Any]:
    """Type `coverage --format json`."""
    return dict(json.loads(coverage(office, "--format", "json", *options).out))


def table(office: Office) -> dict[str, dict[str, str]]:
    """Type `coverage --format csv`, and return its rows by UPN."""
    text = coverage(office, "--format", "csv").out.removeprefix("\ufeff")
    return {row["upn"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def states(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the states that anybody is in."""
    return {name: counts[name] for name in ("ours", "source", "other", "none", "unknown") if counts[name]}


@pytest.fixture
def town(office: Office) -> Office:
    """Have one person of every kind, seen by two nights in which everybody has a turn."""
    office.settings.update(SYNC_CONFLICT="cloud", SYNC_VERIFY_PERCENT="100")
    office.hire("ours")
    source = office.hire("source")
    office.cloud.tenant.set_photo(source.account_id, copy_of("source"))
    other = office.hire("other")
    office.cloud.tenant.set_photo(other.account_id, face("own other", 300))
    office.hire("bare", photo=None)
    own = office.hire("own", photo=None)
    office.cloud.tenant.set_photo(own.account_id, face("own own", 120))
    office.hire("pending", account=False)
    office.cloud.tenant.add_account("cloud-only@contoso.test", department="Sales")
    office.cloud.tenant.add_account("left@contoso.test", enabled=False)
    office.cloud.tenant.add_account("guest@contoso.test", user_type="Guest")
    assert office.sync().code == 0
    assert office.sync(days=1).code == 0
    return office


def test_everybody_is_counted_by_whose_photo_the_cloud_shows(town: Office) -> None:
    told = as_json(town)

    assert states(told["people"]) == {"ours": 1, "source": 1, "other": 2, "none": 1, "unknown": 1}
    assert told["people"]["total"] == 6
    assert states(told["accounts"]) == {"ours": 1, "source": 1, "other": 2, "none": 1, "unknown": 1}
    assert told["accounts"]["total"] == 6, "neither guests nor disabled accounts"
    assert (told["people"]["without_source_photo"], told["people"]["without_account"]) == (2, 1)
    assert (told["people"]["small"], told["accounts"]["small"]) == (3, 3)


def test_one_row_a_person_answers_who_has_none(town: Office) -> None:
    found = table(town)

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
    listed = as_json(town)["without_photo"]
    assert [row["upn"] for row in listed] == ["bare@contoso.test"]


def test_it_asks_nobody_and_needs_no_lock(town: Office) -> None:
    town.cloud.log.clear()
    town.house.server.asked.clear()

    assert "bare <bare@contoso.test>, in the directory: no photo" in coverage(town).out
    assert list(town.cloud.requests) == []
    assert list(town.house.server.asked) == []


def test_groups_are_departments_companies_and_units(office: Office) -> None:
    for name, department, company in (("ada", "Sales", "Contoso"), ("bob", "Sales", "Fabrikam"), ("eve", None, None)):
        one = office.hire(name, photo=None if name == "bob" else face(name))
        office.cloud.tenant.update_account(one.account_id, department=department, companyName=company)
    office.sync()

    groups = as_json(office)["groups"]

    def told(kind: str) -> list[tuple[str, int, int]]:
        return [(one["name"], one["people"]["total"], one["people"]["with_photo"]) for one in groups[kind]]

    assert told("department") == [("Sales", 2, 1), ("", 1, 1)]
    assert told("company") == [("Contoso", 1, 1), ("Fabrikam", 1, 0), ("", 1, 1)]
    assert told("ou") == [("contoso.test/People", 3, 2)]
    assert set(as_json(office, "--by", "company")["groups"]) == {"company"}
    text = coverage(office, "--by", "department").out
    assert "(no department)" in text
    assert "Sales" in text


def test_a_department_that_changes_is_followed_by_delta_alone(office: Office) -> None:
    ada = office.hire("ada")
    office.sync()
    office.cloud.tenant.update_account(ada.account_id, department="Service")
    office.cloud.log.clear()

    office.sync(days=1)

    assert table(office)[ada.upn]["department"] == "Service"
    assert not any("delta" not in record.path and record.path.endswith("/users") for record in office.cloud.requests)


def test_the_age_of_a_source_photo_counts_from_its_first_sight(office: Office) -> None:
    ada, bob = office.hire("ada"), office.hire("bob")
    office.sync()
    first = table(office)[ada.upn]["source_photo_since"]
    office.paint(bob, face("new bob"))
    office.sync(days=40)

    found = table(office)

    assert found[ada.upn]["source_photo_since"] == first
    assert found[bob.upn]["source_photo_since"] > first
    assert as_json(office)["source_photo_first_seen"]["within 30 days"] == 1
    assert as_json(office)["source_photo_first_seen"]["within a year"] == 1
    (unit,) = as_json(office, "--by", "ou")["groups"]["ou"]
    assert unit["source_photo_first_seen"] == as_json(office)["source_photo_first_seen"]


# ------------------------------------------------------------------------------------- turns of those without a photo


def test_people_without_a_source_photo_have_their_turns_within_the_same_share(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "25"
    office.team(4)
    team = [office.hire(f"bare{number}", photo=None) for number in range(4)]
    office.sync("--dry-run")
    office.sync()
    for one in team:
        office.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}", 120))
    asked = []
    for _ in range(4):
        office.cloud.log.clear()
        assert office.sync(days=1).code == 0
        asked.append([item.path for record in office.cloud.requests for item in record.items])

    assert [len(one) for one in asked] == [2] * 4, "a quarter of all eight, one tag each and no bytes"
    assert states(as_json(office)["people"]) == {"ours": 4, "other": 4}


def _told_of(office: Office, one: Colleague) -> list[tuple[object, ...]]:
    outcomes = f"SELECT run, action, reason FROM outcomes WHERE person_id = '{one.entry.id}'"
    return rows(office, outcomes)


def test_a_turn_is_no_news(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare = office.hire("bare", photo=None)
    office.cloud.tenant.set_photo(bare.account_id, face("own bare"))
    first = office.sync()
    second = office.sync(days=1)

    assert (first.of(bare.upn), second.of(bare.upn)) == (("skip", "no-photo"), ("skip", "no-photo"))
    assert first.totals == second.totals
    assert _told_of(office, bare) == []
    told = office.nights.type("history", "--env-file", str(office.nights.env_file()), "--format", "json", "bare")
    assert [one["reason"] for one in json.loads(told.out)["events"]] == ["no-photo"]


def test_an_account_whose_photo_cannot_be_looked_at_fails_nobody(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare, other = office.hire("bare", photo=None), office.hire("other", photo=None)
    office.cloud.tenant.update_account(bare.account_id, trouble="no-mailbox")

    told = [office.sync(days=1) for _ in range(2)]

    assert [one.code for one in told] == [0, 0]
    found = table(office)
    assert (found[bare.upn]["has_photo"], found[other.upn]["has_photo"]) == ("not known", "no")


def test_a_photo_that_we_send_replaces_what_was_seen(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "100"
    bare = office.hire("bare", photo=None)
    office.sync()
    assert states(as_json(office)["people"]) == {"none": 1}

    office.paint(bare, face("bare"))
    office.sync(days=1)

    assert states(as_json(office)["people"]) == {"ours": 1}
    assert rows(office, "SELECT COUNT(*) FROM cloud_looks") == [(0,)]


def test_whoever_is_forgotten_is_in_no_list(town: Office) -> None:
    assert "bare@contoso.test" in table(town)

    town.nights.type("forget", "--env-file", str(town.nights.env_file()), "bare")

    assert "bare@contoso.test" not in table(town)
    for name in ("account_details", "cloud_looks", "source_since"):
        assert not any("bare" in str(row) for row in rows(town, f"SELECT * FROM {name}"))
    assert len(rows(town, "SELECT * FROM cloud_looks")) == 1, "what was seen of own"


# --------------------------------------------------------------------------------------------------------- the formats


def test_the_page_needs_no_network_and_lists_who_has_none(town: Office) -> None:
    path = town.nights.folder / "coverage.html"

    coverage(town, "--output", str(path))

    page = path.read_text("utf-8")
    assert "4 of 6 people in scope have a photo" in page
    assert "bare@contoso.test" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert path.stat().st_mode & 0o077 == 0


def test_a_name_is_no_markup_and_no_formula(office: Office) -> None:
    office.settings["SYNC_VERIFY_PERCENT"] = "100"
    one = office.hire("=cmd<b>", photo=None)
    office.cloud.tenant.update_account(one.account_id, department="=1+1<script>")
    office.sync()

    page = coverage(office, "--format", "html").out
    assert "<b>" not in page
    assert "<script" not in page
    (row,) = table(office).values()
    assert (row["name"][:2], row["department"][:2]) == ("'=", "'=")


def test_before_the_first_run_it_says_so(office: Office) -> None:
    assert coverage(office).out.startswith("No run has seen anything yet.")


def test_figures_for_monitoring_have_the_coverage(town: Office) -> None:
    path = town.nights.folder / "photo.prom"
    town.settings["METRICS_FILE"] = str(path)

    town.sync(days=1)

    lines = path.read_text("utf-8").splitlines()
    told = {line.rpartition(",")[2]: line for line in lines if "coverage_people{" in line}
    assert any('state="other"} 2' in line for line in told.values()), lines
    assert any("coverage_accounts{" in line and 'state="none"} 1' in line for line in lines)
