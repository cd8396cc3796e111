"""Stories of `history` that must not mislead: after `--clear`, about `restore`, and for people out of scope."""

from __future__ import annotations

import json

import pytest

from tests.company import Company, face
from tests.test_history import as_json, history, restore


def told(company: Company, name: str = "ada") -> str:
    """Type `history`."""
    done = history(company, name)
    assert done.code == 0, done.err
    return done.out


def commands(company: Company, name: str = "ada") -> set[str]:
    """Return which commands are offered: restore, --overwrite, --clear."""
    words = " ".join(as_json(company, name)["commands"]).split()
    return {word for word in words if word in ("restore", "--overwrite", "--clear")}


def test_a_run_that_a_safety_limit_stopped_shows_what_it_would_have_done(company: Company) -> None:
    team = company.team(20)
    company.sync()
    for one in team:
        company.paint(one, face(f"new {one.name}"))
    stopped = company.sync(days=1)

    event = as_json(company, team[0].upn)["events"][-1]
    shown = told(company, team[0].upn)

    assert stopped.code == 4
    assert (event["action"], event["reason"]) == ("skip", "safety-limit")
    assert (event["planned"], event["planned_reason"]) == ("replace", "source-changed")
    assert "would replace  The source has a new photo [source-changed]. Held: a safety limit" in shown


@pytest.mark.parametrize("policy", ["source", "cloud", "report"])
def test_what_clear_removed_is_nobody_elses_doing(company: Company, policy: str) -> None:
    company.settings["SYNC_CONFLICT"] = policy
    company.hire("ada")
    company.sync()
    company.sync("--only", "ada", "--clear", days=1)
    company.sync(days=1)

    now = " ".join(as_json(company, "ada")["now"])

    assert "no photo, removed by `--clear`; not touched until the source changes" in now
    assert "outside" not in now


def test_a_photo_that_clear_found_and_left_is_told_so(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "cloud"
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync("--only", "ada", "--clear")

    assert "a photo that is not the source's, left alone by `--clear`" in told(company)


def test_a_photo_that_somebody_removed_is_still_somebody_elses_doing(company: Company) -> None:
    company.settings.update(SYNC_CONFLICT="cloud", SYNC_VERIFY_PERCENT="100")
    ada = company.hire("ada")
    company.sync()
    company.sync("--only", "ada", "--clear", days=1)
    company.sync("--only", "ada", "--overwrite", days=1)
    company.cloud.tenant.clear_photo(ada.account_id)
    company.sync(days=1)

    assert "no photo, changed outside photo-connector" in told(company)


@pytest.mark.parametrize("what", ["another photo", "none"])
def test_no_restore_is_offered_that_would_be_skipped(company: Company, what: str) -> None:
    company.settings.update(SYNC_CONFLICT="cloud", SYNC_VERIFY_PERCENT="100")
    ada = company.hire("ada")
    company.sync()
    assert "restore" in commands(company)
    if what == "none":
        company.cloud.tenant.clear_photo(ada.account_id)
    else:
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync(days=1)

    offered = commands(company)

    assert "restore" not in offered
    assert "--overwrite" in offered
    done = restore(company, "--person", "ada")
    assert "skipped" in done.out
    assert company.photo(ada) is None or what == "another photo"


def test_every_restore_that_is_offered_restores(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    for _ in range(3):  # also of a restore
        assert "restore" in commands(company)
        done = restore(company, "--person", "ada")
        assert "1 photo replaced" in done.out, done.out


def test_a_run_that_wrote_does_not_also_say_keep(company: Company) -> None:
    company.settings["SYNC_CONFLICT"] = "cloud"
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    company.settings["SYNC_CONFLICT"] = "report"

    assert company.sync("--only", "ada", "--overwrite", days=1).of(ada.upn) == ("replace", "overwritten")

    events = [(one["run"], one["action"]) for one in as_json(company, "ada")["events"]]
    assert events == [(1, "keep"), (2, "replace")]


def test_what_a_run_for_one_person_says_is_told_once(company: Company) -> None:
    company.hire("bare", photo=None)
    company.sync("--only", "bare")

    assert [(one["run"], one["reason"]) for one in as_json(company, "bare")["events"]] == [(1, "no-photo")]


def test_overwrite_says_why_it_sends_nothing_over_a_restored_photo(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    restore(company, "--person", "ada")

    done = company.sync("--only", "ada", "--overwrite", days=1)

    assert done.of(ada.upn) == ("keep", "restored")
    assert "`--overwrite` sends nothing over what `restore` put back" in done.out
    assert "a photo that `restore` put back; not touched until the source changes, not even by" in told(company)
    assert "--overwrite" not in commands(company)


# ------------------------------------------------------------------------------------------------------- out of scope


def test_an_account_that_is_not_synchronized_belongs_to_no_directory_user(company: Company) -> None:
    company.hire("ada")
    company.cloud.tenant.add_account("cloud-only@contoso.test")
    company.sync()

    shown = told(company, "cloud-only@contoso.test")

    assert "no run has seen a person in scope with this name" in shown
    assert "a member, enabled, not synchronized from a directory" in shown
    assert "belongs to no directory user" in shown


def test_for_a_synchronized_account_the_settings_are_named_and_what_is_not_known_is_said(company: Company) -> None:
    company.hire("ada")
    company.cloud.tenant.add_account("elsewhere@contoso.test", synced=True, immutable_id="abc")
    company.sync()

    found = as_json(company, "elsewhere@contoso.test")

    text = " ".join(found["now"])
    for word in (
        "LDAP_BASE_DN",
        "LDAP_GROUP",
        "LDAP_FILTER",
        "LDAP_EXCLUDE_DN",
        "the database does not know",
        "(run 1)",
    ):
        assert word in text
    assert (found["events"], found["commands"]) == ([], [])


@pytest.mark.parametrize(
    ("leave", "words"),
    [("disable", "disabled since run 2, "), ("delete", "deleted since run 2, ")],
)
def test_who_left_is_told_with_the_run_that_saw_it(company: Company, leave: str, words: str) -> None:
    ada = company.hire("ada")
    company.hire("bob")
    company.sync()
    if leave == "disable":
        company.ldap.tree.change(ada.entry.guid, userAccountControl="514")
    else:
        company.ldap.tree.delete(ada.entry.guid)
    company.sync(days=1)
    company.sync(days=1)

    shown = told(company)

    assert words in shown
    assert ("LDAP_INCLUDE_DISABLED=true" in shown) is (leave == "disable")


def test_who_a_new_filter_leaves_out_is_told_with_the_settings_that_may(company: Company) -> None:
    company.hire("ada")
    company.hire("bob")
    company.sync()
    company.settings["LDAP_FILTER"] = "(!(sAMAccountName=ada))"
    company.sync(days=1)

    shown = told(company)

    assert "out of scope since run 2, " in shown
    assert "LDAP_FILTER" in shown


def test_of_a_name_that_nothing_is_known_of_that_is_said(company: Company) -> None:
    company.hire("ada")
    company.sync()

    done = history(company, "carl@contoso.test", "--format", "json")

    assert done.code == 2
    assert "who was never in scope is not known" in done.err
    assert json.loads(history(company, "ada", "--format", "json").out)["upn"] == "ada@contoso.test"
