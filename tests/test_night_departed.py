"""People are deleted and the directory does not report it: it is found out when their accounts go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.company import Colleague, Company, anchor_of, face
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.runner import CommandResult, Runner

# more than SYNC_MAX_REMATCHES, and over 1 %
MANY = 22


def delete(company: Company, people: Sequence[Colleague]) -> None:
    """Delete people in the directory, and let Entra Connect delete their accounts."""
    for one in people:
        company.ldap.tree.delete(one.entry.guid)
        company.cloud.tenant.remove_account(one.account_id)


def lose(company: Company, people: Sequence[Colleague]) -> None:
    """Take away the accounts of people who are still there, as a wrong anchor attribute would."""
    for one in people:
        company.cloud.tenant.update_account(one.account_id, immutable_id="")


def reasons(told: CommandResult, people: Sequence[Colleague]) -> set[tuple[str, str] | None]:
    """Return what is told of these people."""
    return {told.of(one.upn) for one in people}


@pytest.fixture
def no_deletions(company: Company) -> Company:
    """Make the directory report no deletion, as AD does to an account without rights on Deleted Objects."""
    company.knobs.tells_deletions = False
    return company


@pytest.mark.samba
def test_a_real_domains_deleted_people_leave_when_their_accounts_go(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    upns = [f"leaver{number:02}@contoso.test" for number in range(MANY + 1)]
    people = {upn: directory.add_person(ou, upn.partition("@")[0], userPrincipalName=upn) for upn in upns}
    for upn, entry in people.items():
        directory.set_photo(entry.dn, face(upn))
    account_ids = {
        upn: cloud.tenant.add_account(upn, mail=upn, immutable_id=entry.anchor, synced=True)
        for upn, entry in people.items()
    }
    runner = Runner(tmp_path, {**ldap_settings(domain, ou), **cloud.environ()})
    assert runner.sync().totals["created"] == len(upns)
    for upn in upns[1:]:
        directory.delete(people[upn].dn)

    unheard = runner.sync(days=1)
    for upn in upns[1:]:
        cloud.tenant.remove_account(account_ids[upn])
    told = runner.sync(days=1)
    quiet = runner.sync(days=1)

    assert (unheard.code, unheard.requests["ldap_entries"], unheard.totals["people"]) == (0, 0, MANY + 1)
    assert (told.code, told.report["mode"], told.requests["ldap_entries"]) == (0, "changes", 0), told.err
    assert {told.of(upn) for upn in upns[1:]} == {("skip", "out-of-scope")}
    assert (quiet.code, quiet.requests["http"], quiet.requests["ldap_entries"]) == (0, 1, 0)
    assert (quiet.totals["people"], quiet.totals["unchanged"]) == (1, 1)
    assert len(cloud.tenant.writes()) == len(upns)


def test_who_is_still_there_without_an_account_is_a_brake_as_ever(no_deletions: Company) -> None:
    team = no_deletions.team(MANY + 8)
    no_deletions.sync()
    delete(no_deletions, team[:4])
    lose(no_deletions, team[4 : 4 + MANY])
    no_deletions.ldap.server.asked.clear()

    stopped = no_deletions.sync(days=1)
    again = no_deletions.sync(days=1)
    look_ups = [asked for asked in no_deletions.ldap.server.asked if asked.base and not asked.controls]

    assert (stopped.code, again.code) == (4, 4), "the brake holds until somebody decides"
    assert f"{MANY} people changed or lost their account since the last run" in stopped.err
    assert reasons(stopped, team[:4]) == {("skip", "out-of-scope")}
    assert reasons(stopped, team[4 : 4 + MANY]) == {("skip", "no-account")}
    assert stopped.requests["ldap_entries"] == MANY
    assert {asked.attributes for asked in look_ups} == {("objectGUID", "entryUUID")}, "no photo is moved to find out"
    forced = no_deletions.sync("--force", days=1)
    assert (forced.code, no_deletions.sync(days=1).code) == (0, 0)


def test_as_many_as_a_search_holds_are_looked_up_at_once(no_deletions: Company) -> None:
    team = no_deletions.team(60)
    no_deletions.sync()
    delete(no_deletions, team)
    no_deletions.ldap.server.asked.clear()

    told = no_deletions.sync(days=1)

    assert (told.code, told.totals["people"]) == (0, 60), told.err
    assert len([one for one in no_deletions.ldap.server.asked if one.base]) == 3, (
        "one for the changes, two for sixty people"
    )
    assert no_deletions.sync(days=1).totals["people"] == 0


def test_a_dry_run_tells_who_would_leave_and_lets_nobody_go(no_deletions: Company) -> None:
    anna, bert = no_deletions.team(2)
    no_deletions.sync()
    delete(no_deletions, [anna])

    dry = no_deletions.sync("--dry-run", days=1)
    told = no_deletions.sync(days=1)

    assert (dry.of(anna.upn), told.of(anna.upn)) == (("skip", "out-of-scope"),) * 2
    assert told.totals["unchanged"] == 1
    assert no_deletions.photo(bert) is not None


def test_who_takes_over_the_anchor_of_somebody_deleted_gets_the_account_the_same_night(no_deletions: Company) -> None:
    anna = no_deletions.hire("anna")
    no_deletions.sync()
    no_deletions.ldap.tree.delete(anna.entry.guid)
    carried_over: dict[str, Any] = {"mS-DS-ConsistencyGuid": anna.entry.guid, "jpegPhoto": face("anna2")}
    heir = no_deletions.ldap.person("anna2", **carried_over)

    told = no_deletions.sync(days=1)

    assert told.code == 0, told.err
    assert told.of(anna.upn) == ("skip", "deleted"), "the whole directory was searched for the id"
    assert told.of("anna2@contoso.test") == ("replace", "source-changed")
    assert anchor_of(heir.guid) != anchor_of(anna.entry.guid)
    assert no_deletions.sync(days=1).requests["http"] == 1


def test_an_anchor_of_somebody_who_only_left_the_scope_is_not_taken_over(no_deletions: Company) -> None:
    anna = no_deletions.hire("anna")
    bert = no_deletions.hire("bert")
    no_deletions.settings["LDAP_FILTER"] = "(!(description=left))"
    no_deletions.sync()
    before = no_deletions.photo(anna)
    no_deletions.ldap.tree.change(anna.entry.guid, description="left")
    carried_over: dict[str, Any] = {"mS-DS-ConsistencyGuid": anna.entry.guid, "jpegPhoto": face("anna2")}
    no_deletions.ldap.person("anna2", **carried_over)

    told = no_deletions.sync(days=1)

    assert told.of("anna2@contoso.test") == ("skip", "ambiguous-match")
    assert (no_deletions.photo(anna), told.of(bert.upn)) == (before, None)


def test_where_it_cannot_be_asked_nobody_is_judged_and_the_next_night_does_it(no_deletions: Company) -> None:
    team = no_deletions.team(MANY + 1)
    no_deletions.sync()
    delete(no_deletions, team[1:])
    no_deletions.knobs.refuse_look_up = (51, "")

    cut = no_deletions.sync(days=1)
    no_deletions.knobs.refuse_look_up = None
    mended = no_deletions.sync(days=1)

    assert cut.code == 5, "a directory that does not answer is no brake"
    assert any("No changes were made" in notice and "busy" in notice for notice in cut.report["notices"])
    assert reasons(cut, team) == {("skip", "source-unread")}
    assert (mended.code, reasons(mended, team[1:])) == (0, {("skip", "out-of-scope")}), mended.err
    assert len(no_deletions.cloud.tenant.writes()) == MANY + 1


def test_a_connection_that_was_dropped_meanwhile_is_opened_once_more(no_deletions: Company) -> None:
    anna, _ = no_deletions.team(2)
    no_deletions.sync()
    delete(no_deletions, [anna])
    no_deletions.knobs.drop_on_look_up = True

    told = no_deletions.sync(days=1)

    assert (told.code, told.of(anna.upn)) == (0, ("skip", "out-of-scope")), told.err


def test_somebody_who_was_deleted_does_not_make_a_placeholder_of_who_came_after(company: Company) -> None:
    company.settings["PLACEHOLDER_PEOPLE"] = "2"
    ada = company.hire("ada")
    company.sync()
    delete(company, [ada])
    company.sync(days=1)
    company.hire("ada")

    told = company.sync(days=1)

    assert (told.code, told.of(ada.upn)) == (0, ("create", "first-upload")), told.err
