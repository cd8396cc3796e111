"""A folder of pictures as the source: real files, run twice the same, one change, what goes wrong."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from connector.model import MatchRule
from connector.sources.folder import CONTEXT, FolderSource
from connector.sources.folder_index import FolderIndex
from tests.folder_stories import LONG_AGO, people, put
from tests.lab.graph import Emulator
from tests.lab.pictures import jpeg
from tests.runner import Runner, shown


def test_a_folder_run_twice_with_one_change_sends_only_that(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    anna, ben = people(cloud, "anna", "ben")
    put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "floor 2/ben@contoso.test.jpeg", "ben")

    first = runner.sync()
    before = shown(cloud, ben)
    put(pictures, "anna@contoso.test.jpg", "anna, older")
    second = runner.sync(days=1)

    assert (first.code, first.totals["created"]) == (0, 2), first.err
    assert (second.code, second.totals["replaced"], second.totals["unchanged"]) == (0, 1, 1)
    assert second.of("anna@contoso.test") == ("replace", "source-changed")
    assert shown(cloud, ben).shows_same(before)
    assert not shown(cloud, anna).shows_same(before)


def test_names_are_compared_without_letter_case_and_in_any_unicode_form(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    people(cloud, "zoë")
    put(pictures, "ZOE\u0308@Contoso.TEST.JPG", "zoe")

    assert runner.sync().totals["created"] == 1


def test_a_file_that_was_just_put_there_is_sent_the_same_night(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    people(cloud, "anna", "ben")
    put(pictures, "anna@contoso.test.jpg", "anna", settled=False)
    put(pictures, "ben@contoso.test.jpg", "ben")

    assert runner.sync().totals["created"] == 2


def test_a_file_that_is_still_being_written_waits_for_the_next_night(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    people(cloud, "anna")
    path = put(pictures, "anna@contoso.test.jpg", "anna", settled=False)
    ended = threading.Event()

    def keep_writing() -> None:
        while not ended.wait(0.01):
            os.utime(path)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        first = runner.sync()
    finally:
        ended.set()
        writer.join()
    second = runner.sync()

    assert first.reasons() == {"still-changing": 1}
    assert first.code == 0
    assert second.totals["created"] == 1


@pytest.mark.parametrize("ending", ["jfif", "JPE", "jpeg"])
def test_every_ending_of_a_jpeg_is_read(runner: Runner, pictures: Path, cloud: Emulator, ending: str) -> None:
    people(cloud, "anna")
    put(pictures, f"anna@contoso.test.{ending}", "anna")

    assert runner.sync().totals["created"] == 1


@pytest.mark.parametrize(
    ("name", "content_bytes", "named"),
    [
        ("anna@contoso.test.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), ""),
        ("anna@contoso.test.pdf", b"%PDF-1.7 of a badge", "PDF"),
        ("anna@contoso.test", b"<svg/>", "SVG"),
        ("anna@contoso.test.jpg.crdownload", b"\0" * 99, ""),
    ],
)
def test_a_file_of_another_kind_in_the_place_of_a_photo_clears_nothing(
    runner: Runner, pictures: Path, cloud: Emulator, name: str, content_bytes: bytes, named: str
) -> None:
    runner.settings["SYNC_REMOVED"] = "remove"
    anna, _ = people(cloud, "anna", "ben")
    path = put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "ben@contoso.test.jpg", "ben")
    runner.sync()
    path.unlink()
    (pictures / name).write_bytes(content_bytes)
    os.utime(pictures / name, (LONG_AGO, LONG_AGO))

    told = runner.sync(days=1)

    assert told.of("anna@contoso.test") == ("skip", "not-an-image"), told.out
    assert named in told.report["outcomes"][0]["detail"]
    assert cloud.tenant.photo(anna) is not None


def test_a_note_beside_a_photo_is_no_second_photo(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    people(cloud, "anna")
    put(pictures, "anna@contoso.test.jpg", "anna")
    for name in ("anna@contoso.test.xmp", "anna@contoso.test.jpg.bak", "readme.txt", "Thumbs.db", "desktop.ini"):
        (pictures / name).write_bytes(b"a note")

    told = runner.sync()

    assert (told.totals["people"], told.totals["created"]) == (1, 1), told.out


@pytest.mark.parametrize(
    "folder",
    [
        *(".snapshot/daily.0", ".Trash-1000/files", ".AppleDouble", "#recycle", "lost+found"),
        *("$RECYCLE.BIN/S-1-5-21", "System Volume Information"),
    ],
)
def test_folders_of_the_system_are_left_out(runner: Runner, pictures: Path, cloud: Emulator, folder: str) -> None:
    people(cloud, "anna")
    put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, f"{folder}/anna@contoso.test.jpg", "anna, younger")

    told = runner.sync()

    assert told.totals["created"] == 1, told.out
    assert "several files" not in told.out


def test_two_equal_files_of_one_person_are_one(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    people(cloud, "anna")
    put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "team/anna@contoso.test.jpeg", "anna")

    told = runner.sync()

    assert told.totals["created"] == 1, told.out
    assert "several files" not in told.out


@pytest.mark.parametrize("removed", ["keep", "remove"])
def test_half_a_share_that_is_gone_stops_the_run(runner: Runner, pictures: Path, cloud: Emulator, removed: str) -> None:
    runner.settings["SYNC_REMOVED"] = removed
    names = [f"p{number}" for number in range(8)]
    accounts = people(cloud, *names)
    for number, name in enumerate(names):
        put(pictures, f"floor {number % 2}/{name}@contoso.test.jpg", name)
    runner.sync()
    (pictures / "floor 1").rename(pictures.with_name("elsewhere"))

    told = runner.sync(days=1)

    assert told.code == 4, told.out
    assert all(cloud.tenant.photo(account) is not None for account in accounts)
    pictures.with_name("elsewhere").rename(pictures / "floor 1")
    assert runner.sync(days=1).totals["unchanged"] == 8


def test_two_files_for_one_person_are_refused_with_both_names(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    people(cloud, "anna", "ben")
    put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "ben@contoso.test.jpg", "ben")
    runner.sync()
    put(pictures, "old/Anna@contoso.test.png", "anna, younger")

    told = runner.sync(days=1)

    (outcome,) = told.report["outcomes"]
    assert outcome["reason"] == "source-unread"
    assert "anna@contoso.test.jpg" in outcome["person"]
    assert "old/Anna@contoso.test.png" in outcome["person"]
    assert "old/Anna@contoso.test.png" in told.out
    assert told.totals["unchanged"] == 1


def test_a_file_that_vanished_from_a_whole_folder_is_a_cleared_photo(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    runner.settings["SYNC_REMOVED"] = "remove"
    anna, _ = people(cloud, "anna", "ben")
    path = put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "ben@contoso.test.jpg", "ben")
    runner.sync()
    path.unlink()

    told = runner.sync(days=1)

    assert told.of("anna@contoso.test") == ("remove", "source-removed"), told.err
    assert cloud.tenant.photo(anna) is None
    assert runner.sync(days=1).of("anna@contoso.test") == ("skip", "out-of-scope")
    assert runner.sync(days=1).totals["people"] == 1


def test_an_emptied_folder_is_stopped_by_a_brake(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    runner.settings["SYNC_REMOVED"] = "remove"
    names = [f"p{number}" for number in range(8)]
    accounts = people(cloud, *names)
    paths = [put(pictures, f"{name}@contoso.test.jpg", name) for name in names]
    runner.sync()
    for path in paths:
        path.unlink()

    told = runner.sync(days=1)

    assert told.code == 4, told.out
    assert all(cloud.tenant.photo(account) is not None for account in accounts)


def test_a_folder_that_is_not_there_stops_the_run_and_changes_nobody(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    runner.settings["SYNC_REMOVED"] = "remove"
    (anna,) = people(cloud, "anna")
    put(pictures, "anna@contoso.test.jpg", "anna")
    runner.sync()
    pictures.rename(pictures.with_name("elsewhere"))

    told = runner.sync(days=1)

    assert told.code == 5
    assert "folder" in told.err
    assert "FOLDER_PATH" in told.err
    assert cloud.tenant.photo(anna) is not None


def test_only_finds_a_person_by_the_name_of_the_file(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    people(cloud, "anna", "ben")
    put(pictures, "anna@contoso.test.jpg", "anna")
    put(pictures, "ben@contoso.test.jpg", "ben")

    assert runner.sync("--only", "anna@contoso.test").totals["created"] == 1
    assert runner.sync("--only", "ben@contoso.test.jpg").totals["created"] == 1
    assert runner.sync("--only", "cleo").code == 2


@pytest.mark.parametrize(
    ("key", "name", "account"),
    [
        ("mail", "anna.a@contoso.test.jpg", {"mail": "anna.a@contoso.test"}),
        ("employee-id", "E4711.jpg", {"employee_id": "E4711"}),
        ("sam-account-name", "annaa.jpg", {"sam_account_name": "AnnaA"}),
    ],
)
def test_files_may_be_named_by_other_keys(
    runner: Runner, pictures: Path, cloud: Emulator, key: str, name: str, account: dict[str, str]
) -> None:
    runner.settings["FOLDER_KEY"] = key
    cloud.tenant.add_account("u1@contoso.test", **account)
    put(pictures, name, "anna")

    told = runner.sync()

    assert told.totals["created"] == 1, told.out


def test_the_content_of_a_file_tells_what_changed_and_not_its_date(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    people(cloud, "anna", "ben")
    touched = put(pictures, "anna@contoso.test.jpg", "anna")
    path = put(pictures, "ben@contoso.test.jpg", "ben")
    runner.sync()
    os.utime(touched, (LONG_AGO + 600, LONG_AGO + 600))
    path.write_bytes(jpeg("ben, older", (300, 300)))
    os.utime(path, (LONG_AGO, LONG_AGO))

    told = runner.sync(days=1)

    assert (told.totals["replaced"], told.totals["unchanged"]) == (1, 1)
    assert told.of("ben@contoso.test") == ("replace", "source-changed")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is always text")
def test_a_file_whose_name_is_no_text_is_told_and_hinders_nobody(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    people(cloud, "anna")
    put(pictures, "anna@contoso.test.jpg", "anna")
    Path(os.fsdecode(os.fsencode(pictures) + b"/zo\xeb@contoso.test.jpg")).write_bytes(jpeg("zoe", (300, 300)))

    told = runner.sync()

    assert (told.code, told.totals["people"], told.totals["created"]) == (0, 1, 1), told.err
    assert r"zo\xeb@contoso.test.jpg" in told.out
    assert "not UTF-8" in told.out


@pytest.mark.skipif(sys.platform == "win32", reason="the name is made too long by relative steps")
def test_a_file_that_vanished_is_no_cleared_photo_where_a_folder_below_could_not_be_read(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    runner.settings["SYNC_REMOVED"] = "remove"
    (anna,) = people(cloud, "anna")
    path = put(pictures, "anna@contoso.test.jpg", "anna")
    runner.sync()
    path.unlink()
    here = os.open(pictures, os.O_RDONLY)
    for _ in range(20):  # longer than any path may be, so that it cannot be listed, whoever asks
        os.mkdir("x" * 250, dir_fd=here)
        here, above = os.open("x" * 250, os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)

    told = runner.sync(days=1)

    assert told.code == 5, told.out
    assert "File name too long" in told.err
    assert cloud.tenant.photo(anna) is not None
    shutil.rmtree(pictures / ("x" * 250))
    assert runner.sync(days=1).of("anna@contoso.test") == ("remove", "source-removed")


PEAK_OF_A_READING = """
import sys, tracemalloc
from pathlib import Path
from tests.test_sources_folder import CONTEXT, FolderSource, MatchRule

source = FolderSource(Path(sys.argv[1]), MatchRule.UPN, *map(Path, sys.argv[2:]))
tracemalloc.start()
count = sum(len(page.events) for page in source.read(CONTEXT, None).pages)
print(count, tracemalloc.get_traced_memory()[1])
source.close()
"""


@pytest.mark.parametrize(
    "by_map", [pytest.param(False, id="by-name"), pytest.param(True, id="by-map", marks=pytest.mark.slow)]
)
def test_what_is_held_does_not_grow_with_the_number_of_files(tmp_path: Path, by_map: bool) -> None:
    folder, listed = tmp_path / "pictures", tmp_path / "hr.csv"
    folder.mkdir()
    names = [f"person.number.{number:06}@contoso.test" for number in range(12_000)]
    for name in names:
        (folder / f"{name}.jpg").touch()
        if by_map:  # a second look at each is the other's
            os.utime(folder / f"{name}.jpg", (LONG_AGO, LONG_AGO))
    listed.write_text("person,file\n" + "".join(f"{name},{name}.jpg\n" for name in names))

    # In a process of its own: where other tests left many interned strings, Python may enlarge the table of all of
    # them in one piece of several megabytes.
    told = subprocess.run(
        [sys.executable, "-c", PEAK_OF_A_READING, folder, *([listed] if by_map else [])],
        check=False,
        capture_output=True,
        text=True,
    )

    assert not told.stderr, told.stderr
    count, peak_bytes = map(int, told.stdout.split())
    assert count == 12_000
    assert peak_bytes < 1_000_000, "a list of all names alone would hold more"


def test_four_times_the_files_for_a_second_look_take_about_four_times_the_steps(tmp_path: Path) -> None:
    counts: list[int] = []
    for count in (500, 2_000):
        steps: list[int] = []
        with closing(FolderIndex(tmp_path, bool)) as listed:
            for number in range(count):
                listed.put_off(f"p{number:05}", "state", 0.0)
            listed._db.set_progress_handler(functools.partial(steps.append, 1), 100)
            assert [key for key, _, _ in listed.take_put_off()] == [f"p{number:05}" for number in range(count)]
        counts.append(len(steps))

    assert counts[1] < 6 * counts[0], counts


def test_a_page_of_large_files_holds_few_of_them(tmp_path: Path) -> None:
    for number in range(7):
        with (tmp_path / f"p{number}.jpg").open("wb") as stream:
            stream.truncate(19_000_000)
        os.utime(tmp_path / f"p{number}.jpg", (LONG_AGO, LONG_AGO))
    source = FolderSource(tmp_path, MatchRule.SAM_ACCOUNT_NAME)

    sizes = [len(page.events) for page in source.read(CONTEXT, None).pages]
    source.close()

    assert sizes == [3, 3, 1, 0]


def test_who_was_postponed_is_sent_by_the_next_nights(runner: Runner, pictures: Path, cloud: Emulator) -> None:
    runner.settings["SYNC_MAX_UPLOADS"] = "2"
    names = [f"p{number}" for number in range(5)]
    people(cloud, *names)
    for name in names:
        put(pictures, f"{name}@contoso.test.jpg", name)

    told = [runner.sync(days=1) for _ in range(3)]

    assert [(one.code, one.totals["created"]) for one in told] == [(7, 2), (7, 2), (0, 1)]


def test_a_folder_in_which_everybody_looks_different_is_stopped_by_a_brake(
    runner: Runner, pictures: Path, cloud: Emulator
) -> None:
    names = [f"p{number}" for number in range(22)]
    people(cloud, *names)
    for name in names:
        put(pictures, f"{name}@contoso.test.jpg", name)
    assert runner.sync().totals["created"] == 22
    for name in names:
        put(pictures, f"{name}@contoso.test.jpg", f"somebody else than {name}")

    told = runner.sync(days=1)

    assert told.code == 4, told.out
    assert "SYNC_MAX_CHANGES_PERCENT" in told.err
