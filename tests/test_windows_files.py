"""Files, links and rights under CPython for Windows (Wine): what another program holds open, and who may read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import pytest

from tests.company import face
from tests.lab import windows
from tests.lab.fixtures_windows import WindowsCompany
from tests.lab.windows import Process, windows_path

pytestmark = pytest.mark.windows

OPEN_ELSEWHERE = "another program has it open"


def test_a_file_that_is_held_for_a_moment_is_replaced_written_and_deleted_all_the_same(
    windows_python: Process, tmp_path: Path
) -> None:
    program = r"""
        import ctypes, pathlib, sys, threading
        sys.path.insert(0, driver)
        import windows_driver as driver
        from connector import disk
        from connector.ledger.files import Backups, Spool

        folder, refused = pathlib.Path(folder), []

        def held(path, act):
            # Do it while the file is open elsewhere; it is let go after the first refusal
            handle = driver.hold(str(path), "r")
            real, pauses = disk.time.sleep, []
            def let(_seconds):
                if not pauses:
                    driver.let(handle)
                pauses.append(1)
            disk.time.sleep = let
            try:
                act()
            finally:
                disk.time.sleep = real
            refused.append(len(pauses))

        old, new = folder / "old", folder / "new"
        for path in (old, new):
            path.write_bytes(path.name.encode())
        held(old, lambda: disk.move(new, old))
        held(old, lambda: disk.write_whole(old, b"whole"))
        whole = old.read_bytes()
        held(old, lambda: disk.delete(old))
        (folder / "deep" / "er").mkdir(parents=True)
        deep = folder / "deep" / "er" / "x"
        deep.write_bytes(b"x")
        held(deep, lambda: disk.delete(folder / "deep"))
        (folder / "spool" / "ab").mkdir(parents=True)
        (folder / "spool" / "ab" / "left").write_bytes(b"x")
        spool = Spool(folder / "spool")
        held(folder / "spool" / "ab" / "left", spool.open)
        answer = [refused, whole.decode(), old.exists(), deep.exists(), spool.keep("cd" * 32, b"new")]
    """
    told = windows_python.execute(program, folder=tmp_path, driver=windows.ROOT / "tests" / "lab")

    assert told == [[1, 1, 1, 1, 1], "whole", False, False, True]


def test_files_that_another_program_holds_are_notices_and_the_night_goes_on(
    windows_company: WindowsCompany, other_program: Process
) -> None:
    company = windows_company
    one, *_ = company.team(2)
    assert company.sync().code == 0
    company.paint(one, face("somebody new"))
    state, metrics = company.runner.state, company.runner.folder / "photos.prom"
    company.settings["METRICS_FILE"] = str(metrics)
    left = state / "spool" / "ab" / ("ab" * 32 + ".jpg")
    half = state / "reports" / ".half.part"
    stray = state / "backups" / "cd" / ("cd" * 32 + ".jpg")
    for path in (left, half, stray, metrics):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left over")
    os.utime(stray, (1, 1))
    with contextlib.ExitStack() as stack:
        for path in (left, half, stray, metrics):
            stack.enter_context(other_program.holding(path, "r"))
        held = company.sync()
    again = company.sync()

    assert (held.code, held.of(one.upn)) == (0, ("replace", "source-changed")), held.err
    notices = " ".join(held.report["notices"])
    for path in (left, half):
        assert path.name in notices or path.parent.name in notices, (path, notices)
    assert stray.name in held.err, "swept after the report is written"
    assert "could not be deleted" in notices
    assert OPEN_ELSEWHERE in notices
    assert "photos.prom" in held.err
    assert OPEN_ELSEWHERE in held.err
    assert (again.code, again.report["notices"]) == (0, []), again.err
    assert not any(path.exists() for path in (left, half, stray))


def test_a_report_that_is_open_in_another_program_is_named_with_what_to_do(
    windows_company: WindowsCompany, other_program: Process
) -> None:
    company = windows_company
    company.team(1)
    report = company.runner.folder / "report.csv"
    report.write_text("old", encoding="utf-8")
    with other_program.holding(report, "r"):
        told = company.runner.type("sync", "--env-file", str(company.runner.env_file()), "--report", str(report))

    assert "report.csv" in told.err
    assert "Close it in Excel or the browser" in told.err
    assert "Internal error" not in told.err
    assert len(company.cloud.tenant.writes()) == 1, "the run itself was done"


def test_a_backup_that_cannot_be_kept_is_named_with_who_has_it_and_nothing_is_replaced(
    windows_company: WindowsCompany, other_program: Process
) -> None:
    company = windows_company
    one, *_ = company.team(1)
    assert company.sync().code == 0
    shown = company.photo(one)
    assert shown is not None
    name = hashlib.sha256(shown).hexdigest()
    backup = company.runner.state / "backups" / name[:2] / f"{name}.jpg"
    backup.parent.mkdir(exist_ok=True)
    backup.write_bytes(b"damaged")
    company.paint(one, face("somebody new"))
    with other_program.holding(backup, "none"):
        held = company.sync()
    kept = company.photo(one)
    after = company.sync()

    assert held.code == 1
    assert backup.name in held.err
    assert OPEN_ELSEWHERE in held.err
    assert "full" not in held.err, "the disk is not to blame"
    assert kept == shown
    assert (after.code, after.totals["replaced"]) == (0, 1), after.err


@pytest.mark.parametrize("name", ["ledger.new", "ledger.sqlite3", "dry-run.sqlite3", "lock"])
def test_a_file_of_the_database_that_is_held_is_named_and_nothing_is_changed(
    windows_company: WindowsCompany, other_program: Process, name: str
) -> None:
    company = windows_company
    company.team(1)
    state = company.runner.state
    assert company.runner.type("check", "--env-file", str(company.runner.env_file())).code == 3  # warnings
    (state / name).write_bytes(b"no database" * 1000)  # left by a killed run, or damaged
    with other_program.holding(state / name, "none" if name == "lock" else "r"):
        held = company.sync(*(["--dry-run"] if name.startswith("dry-run") else []))
    uploads = len(company.cloud.tenant.writes())
    after = company.sync()

    assert "Internal error" not in held.err
    assert (held.code, uploads) == (2, 0), held.err
    assert name in held.err
    assert OPEN_ELSEWHERE in held.err or "another program has the lock" in held.err
    assert (after.code, after.totals["created"]) == (0, 1), after.err


def test_forget_names_a_report_that_is_held_and_does_it_on_the_next_try(
    windows_company: WindowsCompany, other_program: Process
) -> None:
    company = windows_company
    one, *_ = company.team(2)
    assert company.sync().code == 0
    kept = next((company.runner.state / "reports").glob("run-*.html"))
    command = ("forget", "--env-file", str(company.runner.env_file()), "--yes", one.upn)
    with other_program.holding(kept, "r"):
        first = company.runner.type(*command)
    second = company.runner.type(*command)

    assert first.code != 0
    assert kept.name in first.err
    assert OPEN_ELSEWHERE in first.err
    assert second.code == 0, second.err
    assert not kept.exists() or one.upn not in kept.read_text("utf-8")


def test_the_log_goes_on_while_somebody_reads_it(windows_company: WindowsCompany, other_program: Process) -> None:
    company = windows_company
    company.team(1)
    assert company.sync().code == 0
    log = next((company.runner.state / "logs").glob("*.log"))
    log.write_bytes(log.read_bytes() + b"x" * 5_000_000)  # due for rotation
    size = log.stat().st_size
    with other_program.holding(log, "rw"):
        held = company.sync()
    text = log.read_bytes()[size:].decode()
    after = company.sync()

    assert (held.code, after.code) == (0, 0), held.err
    assert "started" in text
    assert "ended: exit code 0" in text
    assert log.with_name(f"{log.name}.1").exists(), "rotated once nobody reads it"
    assert log.stat().st_size < size


def test_stray_files_of_a_file_browser_and_a_long_local_path_end_no_night(windows_company: WindowsCompany) -> None:
    company = windows_company
    company.team(1)
    for folder in ("backups", "spool"):
        place = company.runner.state / folder
        place.mkdir(parents=True)
        (place / "desktop.ini").write_text("[.ShellClassInfo]", encoding="utf-8")
    for path in (company.runner.state, *company.runner.state.iterdir()):
        path.chmod(0o700)
    company.settings["STATE_DIR"] = "\\\\?\\" + windows_path(company.runner.state)
    told = company.sync()

    assert told.code == 0, told.err


def test_a_state_folder_on_a_share_or_too_deep_and_a_file_named_as_a_device_are_refused(
    windows_company: WindowsCompany,
) -> None:
    company = windows_company
    company.team(1)
    device = company.runner.type("sync", "--env-file", str(company.runner.env_file()), "--report", "NUL.csv")
    lost = company.runner.type("export", "--env-file", str(company.runner.env_file()), "anna", "--output", "NUL.zip")
    company.settings["METRICS_FILE"] = r"C:\metrics\NUL"
    metrics = company.sync()
    del company.settings["METRICS_FILE"]
    deep = company.runner.folder / ("d" * 60) / ("e" * 60) / ("f" * 60)
    company.settings["STATE_DIR"] = str(deep)
    too_deep = company.sync()
    company.settings["STATE_DIR"] = r"\\filer\photos\state"
    share = company.sync()

    assert (device.code, too_deep.code, share.code) == (2, 2, 2)
    assert "is a device on Windows" in device.err
    assert (lost.code, "is a device on Windows" in lost.err) == (2, True)
    assert (metrics.code, "METRICS_FILE: contains NUL, which is a device on Windows" in metrics.err) == (2, True)
    assert "260 characters" in too_deep.err
    assert not deep.parent.parent.exists()
    assert "network share" in share.err
    assert not company.cloud.requests


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'STATE_DIR="C:\\new\\tenant"', "in double quotes"),
        (b"STATE_DIR=%ProgramData%\\photos", "%ProgramData%"),
        (b"STATE_DIR=$env:ProgramData\\photos", "$env:ProgramData"),
        (b"$env:STATE_DIR = 'C:\\photos'", "is a command of a shell"),
        (b"STATE_DIR=photos", "depends on the current directory"),
        ("STATE_DIR=C:\\photos".encode("utf-16"), "UTF-16"),
        ("STATE_DIR=C:\\f\xfcr".encode("latin-1"), "ANSI"),
    ],
)
def test_a_settings_file_that_windows_habits_make_wrong_is_a_problem_with_its_cure(
    windows_company: WindowsCompany, content: bytes, words: str
) -> None:
    company = windows_company
    path = company.runner.env_file()
    lines = [line for line in path.read_bytes().splitlines() if not line.startswith(b"STATE_DIR")]
    path.write_bytes(content if words == "UTF-16" else b"\n".join([*lines, content]))
    told = company.runner.type("sync", "--env-file", str(path), "--dry-run")

    assert told.code == 2, told.err
    assert words in told.err
    assert not company.cloud.requests


def test_settings_to_whose_name_notepad_added_txt_are_named(windows_company: WindowsCompany) -> None:
    company = windows_company
    path = company.runner.env_file()
    path.rename(path.with_name(".env.txt"))
    told = company.runner.type("sync", "--env-file", str(path.with_name(".env")))

    assert told.code == 2
    assert ".env.txt exists, rename it" in told.err


def test_a_refused_connection_is_known_by_its_windows_number(windows_company: WindowsCompany) -> None:
    company = windows_company
    company.team(1)
    company.ldap.server.close()
    told = company.sync()

    assert told.code == 5, told.err
    assert "refused" in told.err


def test_who_may_read_is_seen_in_the_list_of_rights_and_a_new_state_folder_has_its_own(
    windows_company: WindowsCompany, windows_python: Process
) -> None:
    company = windows_company
    folder = company.runner.folder
    (folder / "open").mkdir()
    (folder / "open").chmod(0o755)  # whatever the umask is
    program = """
        import pathlib
        from connector.windows_acl import _sddl_of, make_private_folder, rights_of
        new = pathlib.Path(folder) / "new"
        make_private_folder(new)
        answer = [_sddl_of(new), *({*rights_of(new).readers}, rights_of(new).writers)]
        answer = [list(part) if not isinstance(part, str) else part for part in answer]
        answer.append(list(rights_of(pathlib.Path(folder) / "open").readers))
    """
    sddl, readers, writers, open_to = windows_python.execute(program, folder=folder)
    assert sddl.startswith("D:")
    assert (readers, writers, open_to) == ([], [], ["Everyone"])
