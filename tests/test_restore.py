"""A run can be undone: photos come back to the right person, creations go, and then everybody is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from connector.photo import read_print
from tests.company import Colleague, Company, anchor_of, face
from tests.lab.directory import Directory
from tests.lab.graph import Emulator, Fault
from tests.lab.people import load
from tests.lab.samba import DomainController
from tests.lab.world import fill, ldap_settings
from tests.runner import CommandResult, Runner, shown
from tests.test_night_stops import wait_until

PUT = r"PUT .*/photo/\$value"


def restore(runner: Runner, *arguments: str, days: float = 0) -> CommandResult:
    """Type `restore` with a JSON report."""
    report = runner.folder / f"restore-{runner.days}-{len(list(runner.folder.iterdir()))}.json"
    command = ("restore", "--env-file", str(runner.env_file()), "--report", str(report), *arguments)
    told = runner.type(*command, days=days)
    return CommandResult(
        told.code, told.out, told.err, json.loads(report.read_text("utf-8")) if report.exists() else {}
    )


def shows(company: Company, one: Colleague, name: object) -> bool:
    """Return True if the cloud shows this portrait for somebody."""
    return shown(company.cloud, one.account_id).shows_same(read_print(face(name)))


@pytest.fixture
def replaced(company: Company) -> list[Colleague]:
    """Have three people whose own cloud photos were replaced by run 1, and two who got their first."""
    team = company.team(5)
    for one in team[:3]:
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    assert company.sync().totals["replaced"] == 3
    return team


def test_a_restored_run_brings_back_every_replaced_photo_and_removes_what_it_created(
    company: Company, replaced: list[Colleague]
) -> None:
    told = restore(company.runner, "--run", "1", days=1)

    assert told.code == 0, told.err
    assert told.report["kind"] == "restore"
    assert (told.totals["replaced"], told.totals["removed"], told.totals["people"]) == (3, 2, 5)
    assert told.reasons() == {"restored": 5}
    assert all(shows(company, one, f"own {one.name}") for one in replaced[:3])
    assert [company.photo(one) for one in replaced[3:]] == [None, None]
    assert company.cloud.violations() == []


def test_the_nights_after_leave_them_alone_until_the_source_changes(
    company: Company, replaced: list[Colleague]
) -> None:
    restore(company.runner, "--run", "1", days=1)
    before = len(company.cloud.tenant.writes())

    quiet, full = company.sync(days=1), company.sync("--full", days=1)

    assert (quiet.code, full.code) == (0, 0)
    assert quiet.requests["http"] == 1
    assert {full.of(one.upn) for one in replaced} == {("keep", "restored")}
    assert len(company.cloud.tenant.writes()) == before

    company.paint(replaced[0], face("new 0"))
    company.paint(replaced[4], face("new 4"))
    changed = company.sync(days=1)

    assert changed.of(replaced[0].upn) == ("replace", "source-changed")
    assert changed.of(replaced[4].upn) == ("create", "source-changed")
    assert shows(company, replaced[0], "new 0")
    assert shows(company, replaced[4], "new 4")
    assert shows(company, replaced[1], f"own {replaced[1].name}")


def test_what_changed_since_is_left_as_it_is(company: Company, replaced: list[Colleague]) -> None:
    company.cloud.tenant.set_photo(replaced[0].account_id, face("chosen since"))
    company.cloud.tenant.clear_photo(replaced[3].account_id)

    told = restore(company.runner, "--run", "1", days=1)

    assert told.code == 0
    assert told.of(replaced[0].upn) == ("skip", "changed-since")
    assert told.of(replaced[3].upn) == ("skip", "changed-since")
    assert shows(company, replaced[0], "chosen since")
    assert told.totals["replaced"] == 2


@pytest.mark.parametrize("backup_days", ["30", "0"], ids=["with-backups", "without"])
def test_a_photo_that_somebody_chose_since_is_not_removed(company: Company, backup_days: str) -> None:
    company.settings["BACKUP_DAYS"] = backup_days
    ada = company.hire("ada")
    company.sync()
    company.cloud.tenant.set_photo(ada.account_id, face("chosen since"))

    dry = restore(company.runner, "--run", "1", "--dry-run", days=1)
    told = restore(company.runner, "--run", "1")

    assert dry.reasons() == told.reasons() == {"changed-since": 1}
    assert shows(company, ada, "chosen since")


def test_a_tag_that_moved_without_an_edit_hinders_nothing(company: Company, replaced: list[Colleague]) -> None:
    for one in replaced:
        company.cloud.tenant.touch_tag(one.account_id)

    assert restore(company.runner, "--run", "1", days=1).reasons() == {"restored": 5}


def test_a_restore_can_itself_be_taken_back(company: Company, replaced: list[Colleague]) -> None:
    undone = restore(company.runner, "--run", "1", days=1)

    redone = restore(company.runner, "--run", str(undone.report["run"]), days=1)

    assert (redone.code, redone.totals["replaced"], redone.totals["created"]) == (0, 3, 2), redone.err
    assert all(shows(company, one, one.name) for one in replaced)
    before = len(company.cloud.tenant.writes())
    assert company.sync("--full", days=1).code == 0
    assert len(company.cloud.tenant.writes()) == before


def test_restoring_the_same_run_twice_changes_nothing_more(company: Company, replaced: list[Colleague]) -> None:
    restore(company.runner, "--run", "1", days=1)
    before = len(company.cloud.tenant.writes())

    again = restore(company.runner, "--run", "1", days=1)

    assert again.reasons() == {"changed-since": len(replaced)}
    assert len(company.cloud.tenant.writes()) == before


def test_one_person_is_restored_by_any_name(company: Company, replaced: list[Colleague]) -> None:
    told = restore(company.runner, "--person", replaced[1].name.upper(), days=1)

    assert (told.code, told.totals["people"], told.totals["replaced"]) == (0, 1, 1)
    assert shows(company, replaced[1], f"own {replaced[1].name}")
    assert shows(company, replaced[0], replaced[0].name)


def test_a_removed_photo_comes_back(company: Company) -> None:
    one = company.hire("ada")
    company.settings["SYNC_REMOVED"] = "remove"
    company.sync()
    company.paint(one, None)
    removed = company.sync(days=1)
    assert removed.of(one.upn) == ("remove", "source-removed")

    told = restore(company.runner, "--run", str(removed.report["run"]), days=1)

    assert told.of(one.upn) == ("create", "restored")
    assert shows(company, one, "ada")
    assert company.sync("--full", days=1).totals["removed"] == 0, "what was put back is the person's own"
    assert shows(company, one, "ada")


def test_a_dry_run_writes_nothing_and_says_what_it_would(company: Company, replaced: list[Colleague]) -> None:
    before = len(company.cloud.tenant.writes())

    told = restore(company.runner, "--run", "1", "--dry-run", days=1)

    assert (told.code, told.report["dry_run"], told.totals["replaced"], told.totals["removed"]) == (0, True, 3, 2)
    assert len(company.cloud.tenant.writes()) == before
    assert restore(company.runner, "--run", "1").totals["replaced"] == 3, "and it hinders nothing"


def test_a_backup_that_is_gone_is_a_failure_for_that_person_alone(company: Company, replaced: list[Colleague]) -> None:
    kept = sorted((company.runner.state / "backups").glob("*/*.jpg"))
    assert len(kept) == 3
    kept[0].unlink()

    told = restore(company.runner, "--run", "1", days=1)

    assert told.code == 3
    assert told.reasons() == {"restored": 4, "no-backup": 1}


def test_a_backup_that_was_tampered_with_is_never_sent(company: Company, replaced: list[Colleague]) -> None:
    kept = sorted((company.runner.state / "backups").glob("*/*.jpg"))
    kept[0].write_bytes(face("a wrong face"))

    told = restore(company.runner, "--run", "1", days=1)

    assert (told.code, told.reasons()["no-backup"]) == (3, 1)
    assert not any(shows(company, one, "a wrong face") for one in replaced[:3])


def test_backups_are_kept_for_so_many_days(company: Company, replaced: list[Colleague]) -> None:
    company.settings["BACKUP_DAYS"] = "7"
    company.sync(days=6)
    assert len(list((company.runner.state / "backups").glob("*/*.jpg"))) == 3

    company.sync(days=2)

    assert list((company.runner.state / "backups").glob("*/*.jpg")) == []
    told = restore(company.runner, "--run", "1", days=1)
    assert told.reasons() == {"no-backup": 3, "restored": 2}


@pytest.mark.parametrize("which", [("--run", "1"), ("--person", "ada@contoso.test")], ids=["run", "person"])
def test_backups_are_kept_for_their_days_where_outcomes_are_forgotten_sooner(
    company: Company, which: tuple[str, str]
) -> None:
    company.settings.update(LEDGER_DAYS="7", BACKUP_DAYS="30")
    one = company.hire("ada")
    company.cloud.tenant.set_photo(one.account_id, face("own ada"))
    company.sync()
    for _ in range(2):
        company.sync(days=5)

    told = restore(company.runner, *which, days=1)

    assert (told.code, told.of(one.upn)) == (0, ("replace", "restored")), told.err
    assert shown(company.cloud, one.account_id).shows_same(read_print(face("own ada")))


def test_without_backups_every_report_says_so(company: Company) -> None:
    company.settings["BACKUP_DAYS"] = "0"
    one = company.hire("ada")
    company.cloud.tenant.set_photo(one.account_id, face("own ada"))

    told = company.sync()

    assert told.of(one.upn) == ("replace", "cloud-differs")
    assert any("BACKUP_DAYS is 0" in notice for notice in told.report["notices"])
    assert list((company.runner.state / "backups").glob("*/*.jpg")) == []
    undone = restore(company.runner, "--run", "1", days=1)
    assert (undone.code, undone.reasons()) == (3, {"no-backup": 1})
    assert any("BACKUP_DAYS is 0" in notice for notice in undone.report["notices"])


def test_the_removals_brake_holds_a_restore_too(company: Company) -> None:
    team = company.team(7)
    company.sync()

    held = restore(company.runner, "--run", "1", days=1)

    assert held.code == 4
    assert f"photo-connector restore --env-file {company.runner.env_file()} --run 1 --dry-run" in held.err
    assert "--force" in held.err
    assert (held.totals["postponed"], held.reasons()) == (0, {"safety-limit": 7})
    assert held.report["plan"] == {"created": 0, "replaced": 0, "removed": 7}
    assert all(company.photo(one) for one in team)
    assert restore(company.runner, "--run", "1", "--force", days=1).totals["removed"] == 7


def test_a_limit_leaves_the_rest_for_the_next_restore(company: Company, replaced: list[Colleague]) -> None:
    company.settings["SYNC_MAX_UPLOADS"] = "1"

    told = restore(company.runner, "--run", "1", days=1)

    assert (told.code, told.totals["replaced"], told.totals["postponed"]) == (7, 1, 2)
    company.settings["SYNC_MAX_UPLOADS"] = "0"
    again = restore(company.runner, "--run", "1", days=1)
    assert (again.code, again.totals["replaced"]) == (0, 2)
    assert all(shows(company, one, f"own {one.name}") for one in replaced[:3])


def test_an_answer_that_was_lost_is_settled_by_the_next_night_as_restored(
    company: Company, replaced: list[Colleague]
) -> None:
    company.cloud.fail_next(PUT, Fault(kind="drop", performed=True), times=-1)
    told = restore(company.runner, "--person", replaced[0].upn, days=1)
    company.cloud.faults.clear()
    assert told.code in (3, 5)
    before = len(company.cloud.tenant.writes())

    company.sync(days=1)

    assert shows(company, replaced[0], f"own {replaced[0].name}")
    assert len(company.cloud.tenant.writes()) == before, "nobody takes the restored photo for somebody's edit"


def test_a_restore_killed_half_way_is_finished_by_the_next(company: Company, replaced: list[Colleague]) -> None:
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="hold", performed=True, skip=1))
    command = [sys.executable, "-m", "connector", "restore", "--env-file", str(company.runner.env_file()), "--run", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: company.cloud.faults.held > 0)
    process.kill()
    process.communicate()
    company.cloud.faults.clear()

    between = company.sync()
    told = restore(company.runner, "--run", "1", days=1)

    assert (between.code, told.code) == (0, 0), told.err
    assert between.totals["conflicts"] == 0, "a restore that was cut short is nobody's edit"
    assert all(shows(company, one, f"own {one.name}") for one in replaced[:3])
    assert [company.photo(one) for one in replaced[3:]] == [None, None]
    before = len(company.cloud.tenant.writes())
    assert company.sync("--full", days=1).code == 0
    assert len(company.cloud.tenant.writes()) == before


def test_reads_that_lag_behind_a_restore_are_no_edit(company: Company, replaced: list[Colleague]) -> None:
    company.cloud.set(read_lag_reads=2)
    restore(company.runner, "--run", "1", days=0.1)
    company.cloud.set(read_lag_reads=0)
    before = len(company.cloud.tenant.writes())

    for _ in range(3):
        assert company.sync(days=1).code == 0

    assert len(company.cloud.tenant.writes()) == before
    assert all(shows(company, one, f"own {one.name}") for one in replaced[:3])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "either --run N or --person P"),
        (("--run", "1", "--person", "ada"), "either --run N or --person P"),
        (("--run", "99"), "no run 99"),
        (("--person", "nobody@contoso.test"), "no user in the database"),
    ],
    ids=["neither", "both", "unknown-run", "unknown-person"],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_contacted(
    company: Company, arguments: tuple[str, ...], word: str
) -> None:
    company.hire("ada")
    company.sync()
    company.cloud.log.clear()

    told = restore(company.runner, *arguments)

    assert told.code == 2
    assert word in told.err
    assert list(company.cloud.requests) == []


def test_an_account_that_became_somebody_elses_is_left_alone(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    company.ldap.tree.delete(ada.entry.guid)
    heir = company.ldap.person("heir", jpegPhoto=face("ada"))
    company.cloud.tenant.update_account(ada.account_id, immutable_id=anchor_of(heir.guid))
    company.sync(days=1)

    told = restore(company.runner, "--run", "1", days=1)

    assert told.reasons() == {"changed-since": 1}
    assert not shows(company, ada, "own ada")


def test_the_awkward_people_get_back_what_they_had(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    populace = load(directory, ou)
    fill(cloud.tenant, populace.registered())
    before = {one: photo.content_bytes for one, photo in cloud.tenant.photos().items()}
    settings = {**ldap_settings(domain, ou), "LDAP_EXCLUDE_DN": populace.excluded_dn, **cloud.environ()}
    runner = Runner(tmp_path, settings)
    first = runner.sync()

    told = restore(runner, "--run", str(first.report["run"]), "--force", days=1)

    assert told.code == 0, told.err
    assert told.totals["removed"] == first.totals["created"] > 0
    assert told.totals["replaced"] == first.totals["replaced"] > 0
    after = {one: photo.content_bytes for one, photo in cloud.tenant.photos().items()}
    assert after.keys() == before.keys()
    for account_id, content_bytes in before.items():
        assert read_print(after[account_id]).shows_same(read_print(content_bytes))
    writes = len(cloud.tenant.writes())
    assert runner.sync(days=1).code == 0
    assert runner.sync("--full", days=1).code == 0
    assert len(cloud.tenant.writes()) == writes
    assert cloud.violations() == []


# ----------------------------------------------------------------------------------- the right picture, and for good


def _distinct(company: Company, count: int) -> dict[str, bytes]:
    """Make so many people have cloud photos of their own, which run 1 replaces; returns them by account."""
    company.cloud.set(reencode="none")
    own = {}
    for one in company.team(count):
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
        own[one.account_id] = face(f"own {one.name}")
    assert company.sync("--force").totals["replaced"] == count
    return own


def _stored(company: Company) -> dict[str, bytes]:
    return {account_id: photo.content_bytes for account_id, photo in company.cloud.tenant.photos().items()}


def test_every_account_gets_back_the_very_bytes_that_it_had(company: Company) -> None:
    own = _distinct(company, 12)
    made = company.hire("new")
    company.sync(days=1)

    told = restore(company.runner, "--run", "1", days=1)

    assert (told.code, told.totals["replaced"]) == (0, 12)
    assert {one: _stored(company)[one] for one in own} == own
    assert company.photo(made) is not None, "another run made it"


@pytest.mark.parametrize("again", ["--run", "--person"])
def test_back_and_forth_and_back_again(company: Company, again: str) -> None:
    own = _distinct(company, 3)
    sent = {account_id: face(f"person{number:03}") for number, account_id in enumerate(own)}
    last = 1
    for expected in (own, sent, own, sent):
        if again == "--run":
            told = restore(company.runner, "--run", str(last), days=1)
            last = told.report["run"]
            assert told.reasons() == {"restored": 3}
        else:
            for number in range(3):
                told = restore(company.runner, "--person", f"person{number:03}", days=1)
                assert told.reasons() == {"restored": 1}
        assert _stored(company) == expected


@pytest.mark.parametrize(
    "policies",
    [("source", "source", "source"), ("cloud", "source", "report"), ("report", "cloud", "source")],
    ids=" then ".join,
)
@pytest.mark.parametrize("options", [(), ("--full",), ("--resend", "--force")], ids=["plain", "full", "resend"])
def test_three_nights_of_any_policy_leave_what_was_restored(
    company: Company, replaced: list[Colleague], policies: tuple[str, ...], options: tuple[str, ...]
) -> None:
    company.settings["SYNC_CONFLICT"] = policies[0]
    company.settings["SYNC_REMOVED"] = "remove"
    company.settings["SYNC_VERIFY_PERCENT"] = "100"
    restore(company.runner, "--run", "1", days=1)
    before, stored = len(company.cloud.tenant.writes()), _stored(company)

    for policy in policies:
        company.settings["SYNC_CONFLICT"] = policy
        told = company.sync(*options, days=1)
        assert (told.code, told.totals["conflicts"]) == (0, 0), told.err
        assert {told.of(one.upn) for one in replaced} == {("keep", "restored")}

    assert len(company.cloud.tenant.writes()) == before
    assert _stored(company) == stored
    company.paint(replaced[1], face("new 1"))
    assert company.sync(days=1).of(replaced[1].upn) == ("replace", "source-changed")
    assert shows(company, replaced[1], "new 1")
    assert shows(company, replaced[0], f"own {replaced[0].name}")


def test_a_cleared_source_never_takes_a_restored_photo_away(company: Company, replaced: list[Colleague]) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    restore(company.runner, "--run", "1", days=1)
    company.paint(replaced[0], None)

    for options in ((), ("--full",)):
        assert company.sync(*options, days=1).totals["removed"] == 0

    assert shows(company, replaced[0], f"own {replaced[0].name}")


def test_overwrite_and_clear_leave_what_was_restored(company: Company, replaced: list[Colleague]) -> None:
    restore(company.runner, "--run", "1", days=1)
    before = len(company.cloud.tenant.writes())

    for option in ("--overwrite", "--clear"):
        told = company.sync("--only", replaced[0].name, option, days=1)
        assert told.of(replaced[0].upn) == ("keep", "restored")

    assert len(company.cloud.tenant.writes()) == before


def test_a_photo_that_was_cleared_by_an_administrator_comes_back(company: Company, replaced: list[Colleague]) -> None:
    cleared = company.sync("--only", replaced[0].name, "--clear", days=1)
    assert company.photo(replaced[0]) is None

    told = restore(company.runner, "--run", str(cleared.report["run"]), days=1)

    assert told.of(replaced[0].upn) == ("create", "restored")
    assert shows(company, replaced[0], replaced[0].name)


@pytest.mark.parametrize("person", ["person000", "person003"], ids=["replaced", "created"])
def test_a_dry_run_for_one_person_writes_nothing(company: Company, replaced: list[Colleague], person: str) -> None:
    before = len(company.cloud.tenant.writes())

    told = restore(company.runner, "--person", person, "--dry-run", days=1)

    assert (told.code, told.reasons()) == (0, {"restored": 1})
    assert len(company.cloud.tenant.writes()) == before


def test_a_dry_run_itself_is_nothing_to_take_back(company: Company, replaced: list[Colleague]) -> None:
    dry = restore(company.runner, "--run", "1", "--dry-run", days=1)

    told = restore(company.runner, "--run", str(dry.report["run"]))

    assert told.code == 2
    assert "dry run and wrote nothing" in told.err


def test_the_changes_brake_holds_a_restore_too(company: Company) -> None:
    own = _distinct(company, 21)

    held = restore(company.runner, "--run", "1", days=1)

    assert (held.code, held.reasons()["safety-limit"], held.report["plan"]["replaced"]) == (4, 21, 21)
    assert "SYNC_MAX_CHANGES_PERCENT" in held.err
    assert all(_stored(company)[one] != own[one] for one in own)
    told = restore(company.runner, "--run", "1", "--force", days=1)
    assert (told.code, _stored(company)) == (0, own)
    assert any("Safety limit overridden by --force" in notice for notice in told.report["notices"])


def test_without_backups_a_creation_can_still_be_taken_back(company: Company) -> None:
    company.settings["BACKUP_DAYS"] = "0"
    ada = company.hire("ada")
    company.sync()

    told = restore(company.runner, "--run", "1", days=1)

    assert (told.code, told.of(ada.upn), company.photo(ada)) == (0, ("remove", "restored"), None)
