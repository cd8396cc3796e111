"""Can a run be taken back? Photos come back to the right person, creations go, and then everybody is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from connector.photo import read_print
from tests.lab.directory import Directory
from tests.lab.graph import Emulator, Fault
from tests.lab.people import load
from tests.lab.samba import DomainController
from tests.lab.world import fill, ldap_settings
from tests.nights import Nights, Told, shown
from tests.office import Colleague, Office, anchor_of, face
from tests.test_night_stops import wait_until

PUT = r"PUT .*/photo/\$value"


def restore(nights: Nights, *arguments: str, days: float = 0) -> Told:
    """Type `restore` with a JSON report."""
    report = nights.folder / f"restore-{nights.days}-{len(list(nights.folder.iterdir()))}.json"
    command = ("restore", "--env-file", str(nights.env_file()), "--report", str(report), *arguments)
    told = nights.type(*command, days=days)
    return Told(told.code, told.out, told.err, json.loads(report.read_text("utf-8")) if report.exists() else {})


def shows(office: Office, one: Colleague, name: object) -> bool:
    """Say whether the cloud shows this portrait for somebody."""
    return shown(office.cloud, one.account_id).shows_same(read_print(face(name)))


@pytest.fixture
def replaced(office: Office) -> list[Colleague]:
    """Have three people whose own cloud photos were replaced by run 1, and two who got their first."""
    team = office.team(5)
    for one in team[:3]:
        office.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    assert office.sync().totals["replaced"] == 3
    return team


def test_a_restored_run_brings_back_every_replaced_photo_and_removes_what_it_created(
    office: Office, replaced: list[Colleague]
) -> None:
    told = restore(office.nights, "--run", "1", days=1)

    assert told.code == 0, told.err
    assert told.report["kind"] == "restore"
    assert (told.totals["replaced"], told.totals["removed"], told.totals["people"]) == (3, 2, 5)
    assert told.reasons() == {"restored": 5}
    assert all(shows(office, one, f"own {one.name}") for one in replaced[:3])
    assert [office.photo(one) for one in replaced[3:]] == [None, None]
    assert office.cloud.violations() == []


def test_the_nights_after_leave_them_alone_until_the_source_changes(office: Office, replaced: list[Colleague]) -> None:
    restore(office.nights, "--run", "1", days=1)
    before = len(office.cloud.tenant.writes())

    quiet, full = office.sync(days=1), office.sync("--full", days=1)

    assert (quiet.code, full.code) == (0, 0)
    assert quiet.requests["http"] == 1
    assert {full.of(one.upn) for one in replaced} == {("keep", "restored")}
    assert len(office.cloud.tenant.writes()) == before

    office.paint(replaced[0], face("new 0"))
    office.paint(replaced[4], face("new 4"))
    changed = office.sync(days=1)

    assert changed.of(replaced[0].upn) == ("replace", "source-changed")
    assert changed.of(replaced[4].upn) == ("create", "source-changed")
    assert shows(office, replaced[0], "new 0")
    assert shows(office, replaced[4], "new 4")
    assert shows(office, replaced[1], f"own {replaced[1].name}")


def test_what_changed_since_is_left_as_it_is(office: Office, replaced: list[Colleague]) -> None:
    office.cloud.tenant.set_photo(replaced[0].account_id, face("chosen since"))
    office.cloud.tenant.clear_photo(replaced[3].account_id)

    told = restore(office.nights, "--run", "1", days=1)

    assert told.code == 0
    assert told.of(replaced[0].upn) == ("skip", "changed-since")
    assert told.of(replaced[3].upn) == ("skip", "changed-since")
    assert shows(office, replaced[0], "chosen since")
    assert told.totals["replaced"] == 2


@pytest.mark.parametrize("backup_days", ["30", "0"], ids=["with-backups", "without"])
def test_a_photo_that_somebody_chose_since_is_not_removed(office: Office, backup_days: str) -> None:
    office.settings["BACKUP_DAYS"] = backup_days
    ada = office.hire("ada")
    office.sync()
    office.cloud.tenant.set_photo(ada.account_id, face("chosen since"))

    dry = restore(office.nights, "--run", "1", "--dry-run", days=1)
    told = restore(office.nights, "--run", "1")

    assert dry.reasons() == told.reasons() == {"changed-since": 1}
    assert shows(office, ada, "chosen since")


def test_a_tag_that_moved_without_an_edit_hinders_nothing(office: Office, replaced: list[Colleague]) -> None:
    for one in replaced:
        office.cloud.tenant.touch_tag(one.account_id)

    assert restore(office.nights, "--run", "1", days=1).reasons() == {"restored": 5}


def test_a_restore_can_itself_be_taken_back(office: Office, replaced: list[Colleague]) -> None:
    undone = restore(office.nights, "--run", "1", days=1)

    redone = restore(office.nights, "--run", str(undone.report["run"]), days=1)

    assert (redone.code, redone.totals["replaced"], redone.totals["created"]) == (0, 3, 2), redone.err
    assert all(shows(office, one, one.name) for one in replaced)
    before = len(office.cloud.tenant.writes())
    assert office.sync("--full", days=1).code == 0
    assert len(office.cloud.tenant.writes()) == before


def test_restoring_the_same_run_twice_changes_nothing_more(office: Office, replaced: list[Colleague]) -> None:
    restore(office.nights, "--run", "1", days=1)
    before = len(office.cloud.tenant.writes())

    again = restore(office.nights, "--run", "1", days=1)

    assert again.reasons() == {"changed-since": len(replaced)}
    assert len(office.cloud.tenant.writes()) == before


def test_one_person_is_restored_by_any_name(office: Office, replaced: list[Colleague]) -> None:
    told = restore(office.nights, "--person", replaced[1].name.upper(), days=1)

    assert (told.code, told.totals["people"], told.totals["replaced"]) == (0, 1, 1)
    assert shows(office, replaced[1], f"own {replaced[1].name}")
    assert shows(office, replaced[0], replaced[0].name)


def test_a_removed_photo_comes_back(office: Office) -> None:
    one = office.hire("ada")
    office.settings["SYNC_REMOVED"] = "remove"
    office.sync()
    office.paint(one, None)
    removed = office.sync(days=1)
    assert removed.of(one.upn) == ("remove", "source-removed")

    told = restore(office.nights, "--run", str(removed.report["run"]), days=1)

    assert told.of(one.upn) == ("create", "restored")
    assert shows(office, one, "ada")
    assert office.sync("--full", days=1).totals["removed"] == 0, "what was put back is the person's own"
    assert shows(office, one, "ada")


def test_a_dry_run_writes_nothing_and_says_what_it_would(office: Office, replaced: list[Colleague]) -> None:
    before = len(office.cloud.tenant.writes())

    told = restore(office.nights, "--run", "1", "--dry-run", days=1)

    assert (told.code, told.report["dry_run"], told.totals["replaced"], told.totals["removed"]) == (0, True, 3, 2)
    assert len(office.cloud.tenant.writes()) == before
    assert restore(office.nights, "--run", "1").totals["replaced"] == 3, "and it hinders nothing"


def test_a_backup_that_is_gone_is_a_failure_for_that_person_alone(office: Office, replaced: list[Colleague]) -> None:
    kept = sorted((office.nights.state / "backups").glob("*/*.jpg"))
    assert len(kept) == 3
    kept[0].unlink()

    told = restore(office.nights, "--run", "1", days=1)

    assert told.code == 3
    assert told.reasons() == {"restored": 4, "no-backup": 1}


def test_a_backup_that_was_tampered_with_is_never_sent(office: Office, replaced: list[Colleague]) -> None:
    kept = sorted((office.nights.state / "backups").glob("*/*.jpg"))
    kept[0].write_bytes(face("a wrong face"))

    told = restore(office.nights, "--run", "1", days=1)

    assert (told.code, told.reasons()["no-backup"]) == (3, 1)
    assert not any(shows(office, one, "a wrong face") for one in replaced[:3])


def test_backups_are_kept_for_so_many_days(office: Office, replaced: list[Colleague]) -> None:
    office.settings["BACKUP_DAYS"] = "7"
    office.sync(days=6)
    assert len(list((office.nights.state / "backups").glob("*/*.jpg"))) == 3

    office.sync(days=2)

    assert list((office.nights.state / "backups").glob("*/*.jpg")) == []
    told = restore(office.nights, "--run", "1", days=1)
    assert told.reasons() == {"no-backup": 3, "restored": 2}


def test_without_backups_every_report_says_so(office: Office) -> None:
    office.settings["BACKUP_DAYS"] = "0"
    one = office.hire("ada")
    office.cloud.tenant.set_photo(one.account_id, face("own ada"))

    told = office.sync()

    assert told.of(one.upn) == ("replace", "cloud-differs")
    assert any("BACKUP_DAYS is 0" in notice for notice in told.report["notices"])
    assert list((office.nights.state / "backups").glob("*/*.jpg")) == []
    undone = restore(office.nights, "--run", "1", days=1)
    assert (undone.code, undone.reasons()) == (3, {"no-backup": 1})
    assert any("BACKUP_DAYS is 0" in notice for notice in undone.report["notices"])


def test_the_removals_brake_holds_a_restore_too(office: Office) -> None:
    team = office.team(7)
    office.sync()

    held = restore(office.nights, "--run", "1", days=1)

    assert held.code == 4
    assert f"photo-connector restore --env-file {office.nights.env_file()} --run 1 --dry-run" in held.err
    assert "--force" in held.err
    assert (held.totals["postponed"], held.reasons()) == (0, {"safety-limit": 7})
    assert held.report["plan"] == {"created": 0, "replaced": 0, "removed": 7}
    assert all(office.photo(one) for one in team)
    assert restore(office.nights, "--run", "1", "--force", days=1).totals["removed"] == 7


def test_a_limit_leaves_the_rest_for_the_next_restore(office: Office, replaced: list[Colleague]) -> None:
    office.settings["SYNC_MAX_UPLOADS"] = "1"

    told = restore(office.nights, "--run", "1", days=1)

    assert (told.code, told.totals["replaced"], told.totals["postponed"]) == (7, 1, 2)
    office.settings["SYNC_MAX_UPLOADS"] = "0"
    again = restore(office.nights, "--run", "1", days=1)
    assert (again.code, again.totals["replaced"]) == (0, 2)
    assert all(shows(office, one, f"own {one.name}") for one in replaced[:3])


def test_an_answer_that_was_lost_is_settled_by_the_next_night_as_restored(
    office: Office, replaced: list[Colleague]
) -> None:
    office.cloud.fail_next(PUT, Fault(kind="drop", performed=True), times=-1)
    told = restore(office.nights, "--person", replaced[0].upn, days=1)
    office.cloud.faults.clear()
    assert told.code in (3, 5)
    before = len(office.cloud.tenant.writes())

    office.sync(days=1)

    assert shows(office, replaced[0], f"own {replaced[0].name}")
    assert len(office.cloud.tenant.writes()) == before, "nobody takes the restored photo for somebody's edit"


def test_a_restore_killed_half_way_is_finished_by_the_next(office: Office, replaced: list[Colleague]) -> None:
    office.settings["SYNC_CONCURRENCY"] = "1"
    earlier = office.cloud.counts().get("photo_puts", 0)
    office.cloud.fail_next(PUT, Fault(kind="slow", seconds=20, performed=True, skip=1), times=-1)
    command = [sys.executable, "-m", "connector", "restore", "--env-file", str(office.nights.env_file()), "--run", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: office.cloud.counts().get("photo_puts", 0) > earlier and office.cloud.log.in_flight() > 0)
    process.kill()
    process.communicate()
    office.cloud.faults.clear()

    between = office.sync()
    told = restore(office.nights, "--run", "1", days=1)

    assert (between.code, told.code) == (0, 0), told.err
    assert between.totals["conflicts"] == 0, "a restore that was cut short is nobody's edit"
    assert all(shows(office, one, f"own {one.name}") for one in replaced[:3])
    assert [office.photo(one) for one in replaced[3:]] == [None, None]
    before = len(office.cloud.tenant.writes())
    assert office.sync("--full", days=1).code == 0
    assert len(office.cloud.tenant.writes()) == before


def test_reads_that_lag_behind_a_restore_are_no_edit(office: Office, replaced: list[Colleague]) -> None:
    office.cloud.set(read_lag_reads=2)
    restore(office.nights, "--run", "1", days=0.1)
    office.cloud.set(read_lag_reads=0)
    before = len(office.cloud.tenant.writes())

    for _ in range(3):
        assert office.sync(days=1).code == 0

    assert len(office.cloud.tenant.writes()) == before
    assert all(shows(office, one, f"own {one.name}") for one in replaced[:3])


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
    office: Office, arguments: tuple[str, ...], word: str
) -> None:
    office.hire("ada")
    office.sync()
    office.cloud.log.clear()

    told = restore(office.nights, *arguments)

    assert told.code == 2
    assert word in told.err
    assert list(office.cloud.requests) == []


def test_an_account_that_became_somebody_elses_is_left_alone(office: Office) -> None:
    ada = office.hire("ada")
    office.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    office.sync()
    office.house.tree.delete(ada.entry.guid)
    heir = office.house.person("heir", jpegPhoto=face("ada"))
    office.cloud.tenant.update_account(ada.account_id, immutable_id=anchor_of(heir.guid))
    office.sync(days=1)

    told = restore(office.nights, "--run", "1", days=1)

    assert told.reasons() == {"changed-since": 1}
    assert not shows(office, ada, "own ada")


def test_the_awkward_people_get_back_what_they_had(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    populace = load(directory, ou)
    fill(cloud.tenant, populace.registered())
    before = {one: photo.content_bytes for one, photo in cloud.tenant.photos().items()}
    settings = {**ldap_settings(domain, ou), "LDAP_EXCLUDE_DN": populace.excluded_dn, **cloud.environ()}
    nights = Nights(tmp_path, settings)
    first = nights.sync()

    told = restore(nights, "--run", str(first.report["run"]), "--force", days=1)

    assert told.code == 0, told.err
    assert told.totals["removed"] == first.totals["created"] > 0
    assert told.totals["replaced"] == first.totals["replaced"] > 0
    after = {one: photo.content_bytes for one, photo in cloud.tenant.photos().items()}
    assert after.keys() == before.keys()
    for account_id, content_bytes in before.items():
        assert read_print(after[account_id]).shows_same(read_print(content_bytes))
    writes = len(cloud.tenant.writes())
    assert nights.sync(days=1).code == 0
    assert nights.sync("--full", days=1).code == 0
    assert len(cloud.tenant.writes()) == writes
    assert cloud.violations() == []


# ----------------------------------------------------------------------------------- the right picture, and for good


def _distinct(office: Office, count: int) -> dict[str, bytes]:
    """Let so many people have cloud photos of their own, which run 1 replaces; returns them by account."""
    office.cloud.set(reencode="none")
    own = {}
    for one in office.team(count):
        office.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
        own[one.account_id] = face(f"own {one.name}")
    assert office.sync("--force").totals["replaced"] == count
    return own


def _stored(office: Office) -> dict[str, bytes]:
    return {account_id: photo.content_bytes for account_id, photo in office.cloud.tenant.photos().items()}


def test_every_account_gets_back_the_very_bytes_that_it_had(office: Office) -> None:
    own = _distinct(office, 12)
    made = office.hire("new")
    office.sync(days=1)

    told = restore(office.nights, "--run", "1", days=1)

    assert (told.code, told.totals["replaced"]) == (0, 12)
    assert {one: _stored(office)[one] for one in own} == own
    assert office.photo(made) is not None, "another run made it"


@pytest.mark.parametrize("again", ["--run", "--person"])
def test_back_and_forth_and_back_again(office: Office, again: str) -> None:
    own = _distinct(office, 3)
    sent = {account_id: face(f"person{number:03}") for number, account_id in enumerate(own)}
    last = 1
    for expected in (own, sent, own, sent):
        if again == "--run":
            told = restore(office.nights, "--run", str(last), days=1)
            last = told.report["run"]
            assert told.reasons() == {"restored": 3}
        else:
            for number in range(3):
                told = restore(office.nights, "--person", f"person{number:03}", days=1)
                assert told.reasons() == {"restored": 1}
        assert _stored(office) == expected


@pytest.mark.parametrize(
    "policies",
    [("source", "source", "source"), ("cloud", "source", "report"), ("report", "cloud", "source")],
    ids=" then ".join,
)
@pytest.mark.parametrize("options", [(), ("--full",), ("--resend", "--force")], ids=["plain", "full", "resend"])
def test_three_nights_of_any_policy_leave_what_was_restored(
    office: Office, replaced: list[Colleague], policies: tuple[str, ...], options: tuple[str, ...]
) -> None:
    office.settings["SYNC_CONFLICT"] = policies[0]
    office.settings["SYNC_REMOVED"] = "remove"
    office.settings["SYNC_VERIFY_PERCENT"] = "100"
    restore(office.nights, "--run", "1", days=1)
    before, stored = len(office.cloud.tenant.writes()), _stored(office)

    for policy in policies:
        office.settings["SYNC_CONFLICT"] = policy
        told = office.sync(*options, days=1)
        assert (told.code, told.totals["conflicts"]) == (0, 0), told.err
        assert {told.of(one.upn) for one in replaced} == {("keep", "restored")}

    assert len(office.cloud.tenant.writes()) == before
    assert _stored(office) == stored
    office.paint(replaced[1], face("new 1"))
    assert office.sync(days=1).of(replaced[1].upn) == ("replace", "source-changed")
    assert shows(office, replaced[1], "new 1")
    assert shows(office, replaced[0], f"own {replaced[0].name}")


def test_a_cleared_source_never_takes_a_restored_photo_away(office: Office, replaced: list[Colleague]) -> None:
    office.settings["SYNC_REMOVED"] = "remove"
    restore(office.nights, "--run", "1", days=1)
    office.paint(replaced[0], None)

    for options in ((), ("--full",)):
        assert office.sync(*options, days=1).totals["removed"] == 0

    assert shows(office, replaced[0], f"own {replaced[0].name}")


def test_overwrite_and_clear_leave_what_was_restored(office: Office, replaced: list[Colleague]) -> None:
    restore(office.nights, "--run", "1", days=1)
    before = len(office.cloud.tenant.writes())

    for option in ("--overwrite", "--clear"):
        told = office.sync("--only", replaced[0].name, option, days=1)
        assert told.of(replaced[0].upn) == ("keep", "restored")

    assert len(office.cloud.tenant.writes()) == before


def test_a_photo_that_was_cleared_by_an_administrator_comes_back(office: Office, replaced: list[Colleague]) -> None:
    cleared = office.sync("--only", replaced[0].name, "--clear", days=1)
    assert office.photo(replaced[0]) is None

    told = restore(office.nights, "--run", str(cleared.report["run"]), days=1)

    assert told.of(replaced[0].upn) == ("create", "restored")
    assert shows(office, replaced[0], replaced[0].name)


@pytest.mark.parametrize("person", ["person000", "person003"], ids=["replaced", "created"])
def test_a_dry_run_for_one_person_writes_nothing(office: Office, replaced: list[Colleague], person: str) -> None:
    before = len(office.cloud.tenant.writes())

    told = restore(office.nights, "--person", person, "--dry-run", days=1)

    assert (told.code, told.reasons()) == (0, {"restored": 1})
    assert len(office.cloud.tenant.writes()) == before


def test_a_dry_run_itself_is_nothing_to_take_back(office: Office, replaced: list[Colleague]) -> None:
    dry = restore(office.nights, "--run", "1", "--dry-run", days=1)

    told = restore(office.nights, "--run", str(dry.report["run"]))

    assert told.code == 2
    assert "dry run and wrote nothing" in told.err


def test_the_changes_brake_holds_a_restore_too(office: Office) -> None:
    own = _distinct(office, 21)

    held = restore(office.nights, "--run", "1", days=1)

    assert (held.code, held.reasons()["safety-limit"], held.report["plan"]["replaced"]) == (4, 21, 21)
    assert "SYNC_MAX_CHANGES_PERCENT" in held.err
    assert all(_stored(office)[one] != own[one] for one in own)
    told = restore(office.nights, "--run", "1", "--force", days=1)
    assert (told.code, _stored(office)) == (0, own)
    assert any("Safety limit overridden by --force" in notice for notice in told.report["notices"])


def test_without_backups_a_creation_can_still_be_taken_back(office: Office) -> None:
    office.settings["BACKUP_DAYS"] = "0"
    ada = office.hire("ada")
    office.sync()

    told = restore(office.nights, "--run", "1", days=1)

    assert (told.code, told.of(ada.upn), office.photo(ada)) == (0, ("remove", "restored"), None)
