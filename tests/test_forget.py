"""`forget` erases a person in database, backups, kept reports and logs; what is old goes by itself."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector.ledger.files import Backups
from connector.ledger.retention import backups_of
from connector.ledger.store import LEDGER_NAME, hold_lock, make_state_folder, open_ledger, transaction
from connector.ledger.writes import Write, is_backup_wanted, save_write
from connector.model import Action
from tests.company import Colleague, Company, face
from tests.runner import CommandResult


def forget(company: Company, person: str) -> CommandResult:
    """Type `forget`."""
    return company.runner.type("forget", "--env-file", str(company.runner.env_file()), person)


def found(company: Company, words: Iterable[str]) -> list[str]:
    """Name every file of the state folder that holds one of these words, in its name or anywhere in its bytes."""
    hits = []
    for path in company.runner.state.rglob("*"):
        content = path.read_bytes().lower() if path.is_file() else b""
        hits += [f"{path.name}: {word}" for word in words if word.lower().encode() in content or word in path.name]
    return hits


def rows(company: Company, query: str) -> list[tuple[object, ...]]:
    """Ask the ledger."""
    db = sqlite3.connect(company.runner.state / LEDGER_NAME)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def words_of(one: Colleague) -> tuple[str, ...]:
    """Return what names somebody."""
    return one.upn, one.entry.dn, one.entry.id, one.account_id, one.name


@pytest.fixture
def zenobia(company: Company) -> Colleague:
    """Have somebody whom every corner of the state folder knows, and a colleague."""
    one = company.hire("zenobia")
    company.hire("bob")
    for name in ("zenobia", "bob"):
        account_id = company.cloud.tenant.id_of(f"{name}@contoso.test")
        company.cloud.tenant.set_photo(account_id, face(f"own {name}"))
    company.sync("--verbose")
    company.sync("--full", "--verbose", days=1)
    places = {hit.partition(":")[0] for hit in found(company, words_of(one))}
    assert any(place.startswith(LEDGER_NAME) for place in places)
    assert {"run-000001.html", "photo-connector.log"} <= places
    return one


def everything_known(company: Company, one: Colleague) -> list[str]:
    """Return all that the ledger knows somebody and their pictures by."""
    texts: set[str] = {*words_of(one), one.entry.id.upper(), f"{one.name}@Contoso.Test"}
    for table in ("people", "outcomes", "standing_outcomes", "writes", "photo_state", "intents"):
        column = "id" if table == "people" else "person_id"
        for row in rows(company, f"SELECT * FROM {table} WHERE {column} = '{one.entry.id}'"):
            texts |= {text for text in row if isinstance(text, str) and len(text) >= 20 and " " not in text[:11]}
    return sorted(text for text in texts if not text.startswith("20") and text != "DC=contoso,DC=test")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_byte_is_left_after_runs_of_every_kind(company: Company, log_format: str) -> None:
    company.cloud.set(reencode="none")
    company.settings.update(SYNC_CONFLICT="report", SYNC_REMOVED="remove", REPORT_PICTURES="changes")
    company.settings["METRICS_FILE"] = str(company.runner.folder / "photo.prom")
    zoe, bob = company.hire("zoë'<&>"), company.hire("bob", mail="shared@contoso.test")
    company.ldap.tree.change(zoe.entry.guid, mail="zoe-at-home@contoso.test", sAMAccountName="zoe.k")
    for one in (zoe, bob):
        company.cloud.tenant.set_photo(one.account_id, face(f"own {one.name}"))
    logs = ("--verbose", "--log-format", log_format)
    command = ("--env-file", str(company.runner.env_file()), *logs)
    company.sync(*logs)
    known = everything_known(company, zoe)
    company.sync("--dry-run", "--full", *logs, days=1)
    overwritten = company.sync("--only", "ZOE.K", "--overwrite", *logs, days=1)
    assert overwritten.reasons() == {"overwritten": 1}, overwritten.err
    known += everything_known(company, zoe)
    company.runner.type("restore", *command, "--person", "zoe.k", days=1)
    company.runner.type("restore", *command, "--run", str(overwritten.report["run"]), "--dry-run")
    known += everything_known(company, zoe)
    company.paint(zoe, face("newer"))
    company.sync("--only", "zoe.k", "--overwrite", *logs, days=1)
    company.sync("--only", "zoe.k", "--clear", *logs, days=1)
    company.sync("--only", "ZOE-at-home@contoso.test and others", *logs, days=1)
    company.ldap.tree.change(bob.entry.guid, mail="zoe-at-home@contoso.test")
    company.sync("--only", "zoe-at-home@contoso.test", *logs, days=1)
    company.ldap.tree.change(zoe.entry.guid, userAccountControl="514")
    company.sync("--full", *logs, days=1)
    known += everything_known(company, zoe)
    known = [word for word in dict.fromkeys(known) if word != "zoe-at-home@contoso.test"]  # bob's, by now
    assert len(known) > 12
    assert len({hit.partition(": ")[2] for hit in found(company, known)}) > 9

    told = forget(company, "zoe.k")

    assert told.code == 0, told.err
    assert found(company, [*known, "zoe.k", "zo\\u00eb", "zoë"]) == []
    assert found(company, [bob.upn]) != []


def test_no_byte_of_the_state_folder_names_a_forgotten_person(company: Company, zenobia: Colleague) -> None:
    told = forget(company, "zenobia")

    assert told.code == 0, told.err
    assert found(company, words_of(zenobia)) == []


def test_what_was_replaced_long_ago_is_gone_too_even_while_somebody_looks(company: Company, zenobia: Colleague) -> None:
    for number in range(40):
        company.hire(f"extra{number}", photo=None, mail=f"extra{number}@contoso.test")
    company.ldap.tree.change(zenobia.entry.guid, mail="first-address@contoso.test")
    company.sync(days=1)
    company.ldap.tree.change(zenobia.entry.guid, mail="z@contoso.test")
    company.sync(days=1)
    looking = sqlite3.connect(company.runner.state / LEDGER_NAME)
    looking.execute("SELECT COUNT(*) FROM people").fetchall()

    told = forget(company, "zenobia")
    hits = found(company, [*words_of(zenobia), "first-address@contoso.test"])
    looking.close()

    assert told.code == 0
    assert hits == []


def test_the_others_are_still_known(company: Company, zenobia: Colleague) -> None:
    backups = company.runner.state / "backups"
    assert len(list(backups.glob("*/*.jpg"))) == 2

    forget(company, "zenobia")

    assert len(list(backups.glob("*/*.jpg"))) == 1
    assert rows(company, "SELECT upn FROM people") == [("bob@contoso.test",)]
    assert "bob@contoso.test" in (company.runner.state / "reports" / "run-000001.html").read_text("utf-8")
    told = company.runner.type("restore", "--env-file", str(company.runner.env_file()), "--run", "1", days=1)
    assert told.code == 0, told.err
    bob = company.cloud.tenant.id_of("bob@contoso.test")
    assert [write.account_id for write in company.cloud.tenant.writes()][-1] == bob


def test_what_the_pictures_showed_is_forgotten_too(company: Company, zenobia: Colleague) -> None:
    shas = rows(company, "SELECT source_sha256 FROM people WHERE upn = 'zenobia@contoso.test'")
    assert len(rows(company, "SELECT * FROM pictures")) == 2

    forget(company, "zenobia")

    assert len(rows(company, "SELECT * FROM pictures")) == 1
    assert found(company, [str(shas[0][0])]) == []


def test_a_backup_that_two_people_share_is_kept_for_the_other(company: Company) -> None:
    company.cloud.set(reencode="none")
    for name in ("ada", "bob"):
        company.cloud.tenant.set_photo(company.hire(name).account_id, face("the same"))
    company.sync()
    assert len(list((company.runner.state / "backups").glob("*/*.jpg"))) == 1

    forget(company, "ada")

    assert len(list((company.runner.state / "backups").glob("*/*.jpg"))) == 1
    assert forget(company, "bob").code == 0
    assert list((company.runner.state / "backups").glob("*/*.jpg")) == []


def test_it_says_what_it_cannot_reach(company: Company, zenobia: Colleague) -> None:
    damaged = company.runner.state / "ledger-damaged-20260101T000000.sqlite3"
    damaged.write_bytes(b"once a ledger")

    told = forget(company, "zenobia")

    for word in ("photo in the cloud", "mailed", "elsewhere", "next run", str(damaged)):
        assert word in told.out


def test_the_next_night_meets_whoever_is_still_there_as_somebody_new(company: Company, zenobia: Colleague) -> None:
    forget(company, "zenobia")
    before = len(company.cloud.tenant.writes())

    told = company.sync(days=1)

    assert told.code == 0
    assert told.of(zenobia.upn) == ("keep", "adopted")
    assert len(company.cloud.tenant.writes()) == before


def test_whoever_left_stays_forgotten(company: Company, zenobia: Colleague) -> None:
    company.ldap.tree.delete(zenobia.entry.guid)
    company.cloud.tenant.remove_account(zenobia.account_id)
    company.sync(days=1)
    assert forget(company, "zenobia@contoso.test").code == 0

    for _ in range(2):
        assert company.sync(days=1).code == 0

    assert found(company, [zenobia.upn, zenobia.account_id]) == []


def test_what_others_outcomes_say_of_the_person_goes_too(company: Company) -> None:
    company.hire("ada", mail="ada-alone@contoso.test")
    company.sync()
    company.sync("--only", "bob and ada@contoso.test", days=1)
    assert rows(company, "SELECT COUNT(*) FROM runs WHERE message LIKE '%ada@contoso.test%'") == [(1,)]

    forget(company, "ada")

    assert found(company, ["ada@contoso.test", "ada-alone@contoso.test"]) == []


def test_it_waits_for_no_other_run(company: Company, zenobia: Colleague) -> None:
    with hold_lock(company.runner.state):
        told = forget(company, "zenobia")

    assert told.code == 6
    assert found(company, [zenobia.upn]) != []


def test_a_name_that_fits_nobody_forgets_nobody(company: Company, zenobia: Colleague) -> None:
    told = forget(company, "zen")

    assert (told.code, "nothing is stored" in told.out) == (0, True)
    assert rows(company, "SELECT COUNT(*) FROM people") == [(2,)]


def test_outcomes_are_forgotten_after_ledger_days(company: Company) -> None:
    company.settings["LEDGER_DAYS"] = "30"
    company.hire("ada")
    company.sync()
    company.sync(days=29)
    assert rows(company, "SELECT run FROM outcomes") == [(1,)]

    company.sync(days=2)

    assert rows(company, "SELECT run FROM outcomes") == []
    assert rows(company, "SELECT COUNT(*) FROM writes") == [(0,)]
    assert rows(company, "SELECT COUNT(*) FROM photo_state") == [(1,)], "who is still there is remembered"
    assert company.sync(days=1).totals["unchanged"] == 1


def test_who_is_not_seen_is_forgotten_after_ledger_days(company: Company) -> None:
    company.settings["LEDGER_DAYS"] = "30"
    leaver = company.hire("leaver")
    company.hire("stayer")
    company.sync()
    company.ldap.tree.delete(leaver.entry.guid)
    company.cloud.tenant.remove_account(leaver.account_id)
    company.sync(days=1)
    company.sync(days=28)
    assert ("leaver@contoso.test",) in rows(company, "SELECT upn FROM people")

    company.sync(days=5)

    assert rows(company, "SELECT upn FROM people") == [("stayer@contoso.test",)]
    assert rows(company, "SELECT COUNT(*) FROM photo_state") == [(1,)]


# ------------------------------------------------------------------------------------------------ what goes by itself


def _kept(company: Company) -> list[str]:
    return [path.name for path in (company.runner.state / "backups").glob("*/*")]


def test_a_photo_that_a_kill_left_half_written_goes_with_the_forgotten_and_by_itself(company: Company) -> None:
    company.hire("ada")
    company.sync()
    half = company.runner.state / "backups" / "ab" / ("ab" * 32 + ".part")
    for end in (lambda: forget(company, "ada"), lambda: company.sync(days=2)):
        half.parent.mkdir(exist_ok=True)
        half.write_bytes(face("own ada"))

        end()

        assert _kept(company) == []


def test_a_backup_that_two_writes_refer_to_stays_until_the_younger_is_old(company: Company) -> None:
    company.settings["BACKUP_DAYS"] = "7"
    company.cloud.set(reencode="none")
    ada = company.hire("ada")
    for days in (0, 5):
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
        assert company.sync("--full", days=days).totals["replaced"] == 1
    assert len(_kept(company)) == 1

    company.sync(days=5)
    assert len(_kept(company)) == 1, "ten days after the first write, five after the second"

    company.sync(days=3)
    assert _kept(company) == []


def test_a_damaged_backup_is_written_anew_before_the_photo_is_replaced_again(company: Company) -> None:
    company.cloud.set(reencode="none")
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    (path,) = (company.runner.state / "backups").glob("*/*.jpg")
    path.write_bytes(b"half of it")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))

    company.sync("--full", days=1)

    assert path.read_bytes() == face("own ada")


def test_no_backup_is_kept_once_backups_are_switched_off(company: Company) -> None:
    ada = company.hire("ada")
    company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    company.sync()
    assert len(_kept(company)) == 1

    company.settings["BACKUP_DAYS"] = "0"
    company.sync(days=0.01)

    assert _kept(company) == []


# In a process of its own: what threads of other stories still allocate is not counted.
_SWEEP = """
import sys, tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from connector.ledger.files import Backups
backups, tomorrow = Backups(Path(sys.argv[1])), datetime.now(UTC) + timedelta(days=1)
tracemalloc.start()
backups.sweep(is_wanted=lambda one: True, before=tomorrow)
print(tracemalloc.get_traced_memory()[1])
"""


def test_looking_for_old_backups_takes_no_more_memory_for_more_people(tmp_path: Path) -> None:
    backups, peaks = Backups(tmp_path), []
    for count in (1000, 4000):
        for number in range(count):
            sha256 = hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()
            (tmp_path / sha256[:2]).mkdir(exist_ok=True)
            (tmp_path / sha256[:2] / f"{sha256}.jpg").touch()
        done = subprocess.run([sys.executable, "-c", _SWEEP, str(tmp_path)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))

    assert peaks[1] < peaks[0] * 1.5, peaks
    assert backups.sweep(is_wanted=lambda one: False, before=datetime.now(UTC) + timedelta(days=1)) == (4000, [])


def test_asking_for_one_backup_reads_no_other_write(tmp_path: Path) -> None:
    db, _ = open_ledger(make_state_folder(tmp_path / "state"))
    shas = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(5000)]
    writes = [
        Write(1, "graph", f"account {sha}", sha, Action.REPLACE, "2026-11-24T01:00:00+00:00", sha, "ours", "", None)
        for sha in shas
    ]
    with transaction(db):
        for write in writes:
            save_write(db, write)
    steps: list[int] = []
    db.set_progress_handler(lambda: steps.append(1), 100)

    assert is_backup_wanted(db, shas[-1])
    assert not is_backup_wanted(db, "0" * 64)
    assert not is_backup_wanted(db, shas[-1], since="2026-11-25")
    assert backups_of(db, shas[-1]) == [shas[-1]]

    assert len(steps) < 10, "hundreds of the machine's steps, not tens of thousands"
    db.close()


def test_what_is_out_of_reach_is_named_and_the_next_try_does_it(company: Company, zenobia: Colleague) -> None:
    in_the_way = company.runner.state / "logs" / "photo-connector.log.9"
    in_the_way.mkdir()

    first = forget(company, zenobia.upn)

    assert first.code != 0
    assert str(in_the_way) in first.err
    assert "forget" in first.err
    in_the_way.rmdir()
    second = forget(company, zenobia.upn)
    assert (second.code, found(company, everything_told(zenobia))) == (0, []), second.err


def test_a_copy_that_a_killed_dry_run_left_is_gone_with_the_next_command(company: Company, zenobia: Colleague) -> None:
    ledger = company.runner.state / LEDGER_NAME
    left = [company.runner.state / name for name in ("dry-run.sqlite3", "ledger.new", "reports/run-000001.html.part")]
    for path in left:
        path.write_bytes(ledger.read_bytes())

    assert forget(company, zenobia.upn).code == 0
    assert [path for path in left if path.exists()] == []
    assert found(company, everything_told(zenobia)) == []


def everything_told(one: Colleague) -> tuple[str, ...]:
    """Return what names somebody, but for the name of the company's settings."""
    return one.upn, one.entry.dn, one.entry.id, one.account_id
