"""Files that stand in the way: open in another program, links that somebody laid, leftovers that cannot be deleted."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector import disk
from connector.config.rules import path_problem
from connector.disk import delete, delete_each, is_held, patiently, reason, write_whole
from connector.errors import ConnectorError, DiskError, UsageError
from connector.ledger.files import Backups, Spool
from connector.notify.metrics import write_metrics
from connector.report import format_of, save_report
from tests.company import Company
from tests.report_stories import a_run

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has ACLs instead of modes and owners")
mounting = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="mounting needs root")


def refusal(number: int | None) -> OSError:
    """Return what Windows raises, as far as it can be made elsewhere."""
    error = PermissionError(errno.EACCES, "The process cannot access the file")
    error.winerror = number  # type: ignore[attr-defined, unused-ignore]  # of Windows only
    return error


class Held:
    """Refuse a file for so many times, as while another program has it open."""

    def __init__(self, times: int, number: int = 32) -> None:
        self.times, self.number, self.tries = times, number, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries <= self.times:
            raise refusal(self.number)
        return "done"


# ------------------------------------------------------------------------------- open in another program for a moment


@pytest.mark.parametrize("number", [5, 32, 33])
def test_a_file_that_is_open_for_a_moment_is_tried_again(number: int) -> None:
    act = Held(2, number)

    assert patiently(act, pauses=(0, 0, 0)) == "done"
    assert act.tries == 3


def test_a_refusal_without_a_number_of_windows_is_waited_for_only_where_open_said_no_access() -> None:
    held, missing, elsewhere = refusal(None), refusal(None), PermissionError(errno.EACCES, "of Linux")
    missing.errno = errno.ENOENT

    assert (is_held(held), is_held(missing), is_held(elsewhere)) == (True, False, sys.platform == "win32")


def test_a_file_that_stays_open_is_tried_for_about_two_seconds_in_growing_steps() -> None:
    act = Held(100)

    with pytest.raises(PermissionError):
        patiently(act, pauses=(0,) * len(disk.PAUSES))

    assert act.tries == len(disk.PAUSES) + 1
    assert list(disk.PAUSES) == sorted(disk.PAUSES)
    assert 1.5 < sum(disk.PAUSES) < 2.5


def test_another_trouble_is_not_waited_for() -> None:
    act = Held(1, number=112)

    with pytest.raises(PermissionError):
        patiently(act, pauses=(0, 0))

    assert act.tries == 1


def test_the_words_name_another_program_only_where_it_may_be_one() -> None:
    assert "another program has it open" in reason(refusal(32))
    assert reason(OSError(errno.EROFS, "Read-only file system")) == "Read-only file system"


# ---------------------------------------------------------------------------------------- what cannot be deleted stays


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[Path]:
    """Keep a file from being deleted: something is mounted over it."""
    path = tmp_path / "stuck"
    path.write_text("stays", encoding="utf-8")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)


def hold(path: Path) -> None:
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True, capture_output=True)


@mounting
def test_of_many_files_those_that_stay_are_named_and_the_others_go(stuck: Path) -> None:
    hold(stuck)
    others = [stuck.with_name(name) for name in ("first", "second")]
    for path in others:
        path.write_text("goes", encoding="utf-8")

    count, stay = delete_each(iter([others[0], stuck, others[1]]))

    assert count == 2
    assert [stuck.name in sentence and "could not be deleted" in sentence for sentence in stay] == [True]
    assert [path.exists() for path in others] == [False, False]


def test_what_is_not_there_is_deleted_without_a_word(tmp_path: Path) -> None:
    delete(tmp_path / "nothing")
    assert delete_each(iter([tmp_path / "nothing"])) == (1, [])


@mounting
def test_a_leftover_spool_picture_that_cannot_be_deleted_is_a_notice_and_the_night_goes_on(company: Company) -> None:
    ada = company.hire("ada")
    left = company.runner.state / "spool" / "ab" / ("ab" * 32 + ".jpg")
    left.parent.mkdir(parents=True, mode=0o700)
    for folder in (company.runner.state, company.runner.state / "spool"):
        folder.chmod(0o700)
    left.write_bytes(b"left over")
    hold(left)
    try:
        told = company.sync()
    finally:
        subprocess.run(["umount", "--lazy", str(left)], check=True)

    assert told.code == 0, told.err
    assert (told.code, told.of(ada.upn)) == (0, ("create", "first-upload")), told.err
    assert any(str(left.parent) in notice for notice in told.report["notices"])
    assert "could not be deleted" in told.out


def test_what_stays_in_the_spool_is_not_taken_for_a_picture_of_this_night(tmp_path: Path) -> None:
    class Stubborn(Spool):
        def empty(self) -> list[str]:
            return ["it stays"]

    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / f"{'ab' * 32}.jpg").write_bytes(b"of another recipe")
    spool = Stubborn(tmp_path)
    spool.open()

    assert not spool.has("ab" * 32)
    assert spool.keep("ab" * 32, b"new")
    assert spool.load("ab" * 32) == b"new"


def test_stray_files_of_a_file_browser_end_no_night(company: Company) -> None:
    company.hire("ada")
    assert company.sync().code == 0
    for folder in ("backups", "spool"):
        (company.runner.state / folder / "desktop.ini").write_text("[.ShellClassInfo]", encoding="utf-8")
        (company.runner.state / folder / ".DS_Store").write_bytes(b"\0")

    told = company.sync(days=1)

    assert told.code == 0, told.err
    forgotten = company.runner.type("forget", "--env-file", str(company.runner.env_file()), "ada")
    assert forgotten.code == 0, forgotten.err


def test_a_sweep_leaves_what_is_no_folder_of_backups(tmp_path: Path) -> None:
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    backups = Backups(tmp_path)
    backups.keep(b"old")

    assert backups.sweep(is_wanted=lambda _: False, before=datetime.now(UTC) + timedelta(days=1)) == (1, [])
    assert (tmp_path / "Thumbs.db").exists()


# --------------------------------------------------------------------------------------------- links that somebody laid


def test_a_file_is_written_whole_or_not_at_all_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]

    assert path.read_bytes() == b"before"
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@posix
def test_a_device_is_written_to_and_not_replaced() -> None:
    ours, theirs = os.openpty()
    device = Path(os.ttyname(theirs))
    write_whole(device, b"a report")

    assert os.read(ours, 100) == b"a report"
    assert device.is_char_device()
    os.close(ours)
    os.close(theirs)


@posix
def test_a_link_in_the_place_of_the_metrics_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "photo.prom"
    victim.write_text("precious", encoding="utf-8")
    victim.chmod(0o600)
    link.symlink_to(victim)
    # the name that earlier versions took for the draft
    (tmp_path / f"photo.prom.{os.getpid()}.part").symlink_to(victim)

    assert write_metrics(a_run(exit_code=0), link) == ""

    assert victim.read_text("utf-8") == "precious"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert not link.is_symlink()
    assert link.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("value", ["1.2.3", "....", "9" * 400, "nan", "inf", "-", "0x10"])
def test_a_line_without_a_number_in_the_metrics_file_ends_no_night(company: Company, value: str) -> None:
    path = company.runner.folder / "photo.prom"
    path.write_text(f"photo_connector_last_success_timestamp_seconds {value}\n", encoding="utf-8")
    company.settings["METRICS_FILE"] = str(path)
    company.hire("ada")

    told = company.sync()

    assert told.code == 0, told.err
    assert f"seconds {value}\n" not in path.read_text("utf-8")


@posix
@mounting
@pytest.mark.parametrize(
    ("owner", "before", "after"), [(65534, 0o666, 0o600), (0, 0o666, 0o664), (0, 0o640, 0o640), (65534, 0o600, 0o600)]
)
def test_a_report_takes_over_no_strangers_mode(tmp_path: Path, owner: int, before: int, after: int) -> None:
    path = tmp_path / "report.csv"
    path.write_text("a stranger's", encoding="utf-8")
    path.chmod(before)
    os.chown(path, owner, -1)

    save_report(a_run(), path)

    found = path.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (after, os.geteuid())


def test_a_report_that_cannot_be_written_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"could not be written: No such file.*Name a file in a folder"):
        save_report(a_run(), tmp_path / "nowhere" / "report.csv")


@pytest.mark.parametrize("name", ["NUL.html", "con.csv", "C:\\reports\\COM1.json", "lpt\u00b9.txt", "aux .html"])
def test_a_report_is_no_device_of_windows(name: str) -> None:
    with pytest.raises(UsageError, match="is a device on Windows"):
        format_of(name, windows=True)
    assert format_of("console.csv", windows=True) == "csv"
    assert format_of("nul.html", windows=False) == "html"


@pytest.mark.parametrize(
    ("path", "device"),
    [
        ("C:\\metrics\\NUL", "NUL"),
        ("com1.prom", "com1.prom"),
        ("NUL:", "NUL:"),
        ("C:\\aux\\state", "aux"),
        ("C:/lpt9/photos/", "lpt9"),
    ],
)
def test_a_path_in_the_settings_is_no_device_of_windows(path: str, device: str) -> None:
    assert path_problem(path, windows=True) == f"contains {device}, which is a device on Windows; use another name"
    assert path_problem(path, windows=False) == ""
    assert path_problem("C:\\console\\com\\auxiliary.prom", windows=True) == ""


def test_a_backup_that_another_program_holds_is_named(tmp_path: Path) -> None:
    class Busy(Backups):
        def load(self, content_sha256: str) -> bytes | None:
            raise refusal(32)

    with pytest.raises(DiskError, match=r"the backup .*\.jpg cannot be kept: another program has it open"):
        Busy(tmp_path).keep(b"a face")
