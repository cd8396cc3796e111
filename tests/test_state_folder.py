"""The state folder cannot be used: one clear sentence, nothing is sent, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.company import Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult
from tests.test_faults_cloud import meanwhile
from tests.test_night_stops import PUT, puts

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="mounting needs root"),
]
FILLER = "filler"


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@pytest.fixture
def disk(company: Company, tmp_path: Path) -> Iterator[Path]:
    """Give the company's state folder a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder))
    company.settings["STATE_DIR"] = str(folder / "state")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Fill the disk to the last byte."""
    with (disk / FILLER).open("wb", buffering=0) as stream:
        size = 1 << 16
        while size:
            try:
                stream.write(b"\0" * size)
            except OSError:
                size //= 2


def refused(told: CommandResult, company: Company, *words: str) -> None:
    """Assert that a run could not begin: exit 2, one sentence that names the setting, and nobody was contacted."""
    assert told.code == 2
    *_, sentence = told.err.strip().splitlines()
    assert sentence.startswith(f"STATE_DIR: {company.runner.state} ")
    assert all(word in sentence for word in words), sentence
    assert "Traceback" not in told.err
    assert list(company.cloud.requests) == []
    assert company.ldap.server.asked == []


def forget_asked(company: Company) -> None:
    company.cloud.log.clear()
    company.ldap.server.asked.clear()


def test_a_read_only_disk_is_named_with_its_fix_and_the_next_night_goes_on(company: Company, disk: Path) -> None:
    company.team(3)
    assert company.sync().code == 0
    company.hire("zoe")
    mount("-o", "remount,ro", str(disk))
    forget_asked(company)

    told = company.sync(days=1)

    refused(told, company, "cannot be written: Read-only file system", "Mount that disk for writing")
    mount("-o", "remount,rw", str(disk))
    after = company.sync(days=1)
    assert (after.code, after.totals["created"], after.totals["unchanged"]) == (0, 1, 3), after.err


@pytest.mark.parametrize("night", ["first", "second"])
def test_a_full_disk_is_named_with_its_fix_and_the_next_night_goes_on(company: Company, disk: Path, night: str) -> None:
    team = company.team(3)
    if night == "second":
        assert company.sync().code == 0
    company.hire("zoe")
    fill(disk)
    forget_asked(company)

    told = company.sync(days=1)

    refused(told, company, "cannot be written: No space left on device", "Make room on that disk")
    (disk / FILLER).unlink()
    after = company.sync(days=1)
    assert (after.code, after.totals["created"]) == (0, 1 if night == "second" else 4), after.err
    assert len(company.cloud.tenant.writes()) == len(team) + 1


def by_itself(company: Company) -> tuple[int, str]:
    """Live a night in a process of its own, whose log meets the full disk, too."""
    process, _ = company.runner.start()
    _, err = process.communicate()
    return process.returncode, err


def test_a_disk_that_fills_up_in_mid_run_loses_nobody_and_sends_nobody_twice(company: Company, disk: Path) -> None:
    team = company.team(20)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.1, performed=True), times=-1)
    beside = meanwhile(lambda: puts(company) >= 3, lambda: fill(disk))

    code, err = by_itself(company)
    beside.join()

    assert code == 1, err
    assert "STATE_DIR: its disk is full, or fails" in err
    assert "Make room there" in err
    assert "Traceback" not in err, "it is no fault of the program"
    assert 3 <= len(company.cloud.tenant.writes()) < 20
    (disk / FILLER).unlink()
    company.cloud.faults.clear()
    told = company.sync(days=0.1)
    assert (told.code, told.totals["conflicts"], told.totals["open_intents"]) == (0, 0, 0), told.err
    assert len(company.cloud.tenant.photos()) == len(company.cloud.tenant.writes()) == len(team)


def test_a_full_temporary_folder_is_named_as_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder))
    program = """
import sys
from pathlib import Path
from connector.errors import DiskError
from connector.ledger.store import connect, transaction

db = connect(Path(sys.argv[1]))
try:
    with transaction(db):
        db.execute("CREATE TEMP TABLE large (row BLOB)")
        db.executemany("INSERT INTO large VALUES (randomblob(100000))", [()] * 200)
except DiskError as error:
    sys.exit(f"{error} {db.in_transaction}")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "ledger.sqlite3")]
    environ = {**os.environ, "SQLITE_TMPDIR": str(folder)}

    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

    assert f"The disk of the temporary folder {folder} is full: " in done.stderr
    assert "TMPDIR" in done.stderr
    assert "STATE_DIR" not in done.stderr
    assert done.stderr.strip().endswith("False"), "it was rolled back"


def test_a_photo_whose_backup_finds_no_room_is_not_replaced(company: Company, disk: Path) -> None:
    anna = company.hire("anna")
    company.cloud.set(reencode="none")
    theirs = face("a big one", 900)
    company.cloud.tenant.set_photo(anna.account_id, theirs)
    with (disk / FILLER).open("wb") as stream:  # room for the ledger, and for no backup
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        stream.write(bytes(free - 1024 * 1024))
    (disk / "state").mkdir()
    company.sync("--dry-run")
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "more").write_bytes(bytes(max(0, free - len(theirs) // 2)))

    code, err = by_itself(company)

    assert code == 1, err
    assert "its disk is full, or fails" in err
    assert company.photo(anna) == theirs
    for name in (FILLER, "more"):
        (disk / name).unlink()
    told = company.sync(days=1)
    assert (told.code, told.of(anna.upn)) == (0, ("replace", "cloud-differs")), told.err
    assert len(list((company.runner.state / "backups").glob("*/*.jpg"))) == 1


def test_a_state_folder_on_a_network_share_is_refused(company: Company, tmp_path: Path) -> None:
    """The system calls its disk a share, as for an NFS mount: in a mount namespace whose list of mounts says so."""
    company.hire("anna")
    told_mounts = tmp_path / "mounts"
    told_mounts.write_text(f"/dev/root / ext4 rw 0 0\nfiler:/export {tmp_path} nfs4 rw 0 0\n", encoding="utf-8")
    sync = f"{sys.executable} -m connector sync --env-file {company.runner.env_file()}"
    script = f"mount --bind {told_mounts} /proc/$$/mounts && exec {sync}"

    run = subprocess.run(["unshare", "--mount", "sh", "-c", script], check=False, capture_output=True, text=True)

    refused(
        CommandResult(run.returncode, run.stdout, run.stderr, {}), company, "is on a network share", "on a local disk"
    )


def test_a_file_in_the_folders_place_is_named_with_its_fix(company: Company, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way", encoding="utf-8")

    refused(company.sync(), company, "cannot be written", "set STATE_DIR to another folder")
