"""HR's list names the pictures: on its days, below its folder, and never a reason to remove what is unread."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connector.model import MatchRule
from connector.sources import PersonRead
from connector.sources.folder import FolderSource
from tests.folder_stories import people, put
from tests.lab.graph import Emulator
from tests.runner import Runner


def day(offset: int) -> str:
    return (datetime.now().astimezone().date() + timedelta(days=offset)).isoformat()


@pytest.fixture
def export(runner: Runner, tmp_path: Path) -> Path:
    """Name a list in the settings that is not written yet."""
    path = tmp_path / "hr.csv"
    runner.settings["FOLDER_MAP"] = str(path)
    return path


def test_the_list_names_files_beside_those_that_have_a_persons_name(
    runner: Runner,
    pictures: Path,
    export: Path,
    cloud: Emulator,
) -> None:
    people(cloud, "anna", "ben", "eva")
    put(pictures, "badges/0001.jpg", "anna")
    put(pictures, "ben@contoso.test.jpg", "ben")
    put(pictures, "eva@contoso.test.jpg", "eva")
    put(pictures, "0003.jpg", "eva as HR has her")
    export.write_text("person,file\nAnna@Contoso.test,badges/0001.jpg\neva@contoso.test,0003.jpg\n")

    told = runner.sync()

    assert (told.code, told.totals["people"], told.totals["created"]) == (0, 3, 3), told.err
    assert told.of("Anna@Contoso.test") == ("create", "first-upload")
    assert runner.sync(days=1).totals["unchanged"] == 3
    export.write_text("person;file\nanna@contoso.test;badges/0001.jpg\n", encoding="utf-8-sig")
    assert runner.sync("--only", "anna@contoso.test", days=1).code == 0
    told = runner.sync(days=1)
    assert told.of("eva@contoso.test") == ("replace", "source-changed"), "her own file counts again"


def test_a_list_inside_the_folder_is_nobodys_picture(
    runner: Runner,
    pictures: Path,
    cloud: Emulator,
) -> None:
    cloud.tenant.add_account("anna@contoso.test", employee_id="7")
    put(pictures, "one.jpg", "anna")
    (pictures / "hr.csv").write_text("person,file\n7,one.jpg\n")
    runner.settings |= {"FOLDER_KEY": "employee-id", "FOLDER_MAP": str(pictures / "hr.csv")}

    told = runner.sync()

    assert told.totals["people"] == 1, told.report["outcomes"]


def test_a_row_counts_on_its_days_only(
    runner: Runner,
    pictures: Path,
    export: Path,
    cloud: Emulator,
) -> None:
    people(cloud, "first", "last", "later", "over")
    for number in (1, 2, 3, 4):
        put(pictures, f"{number}.jpg", f"face {number}")
    put(pictures, "over@contoso.test.jpg", "her own")
    export.write_text(
        "person,file,from,until\n"
        f"first@contoso.test,1.jpg,{day(0)},\n"
        f"last@contoso.test,2.jpg,,{day(0)}\n"
        f"later@contoso.test,3.jpg,{day(2)},\n"
        f"over@contoso.test,4.jpg,,{day(-1)}\n"
    )

    told = runner.sync()

    assert told.of("first@contoso.test") == told.of("last@contoso.test") == ("create", "first-upload")
    assert told.of("over@contoso.test") == ("create", "first-upload"), "the file with her name"
    assert told.of("later@contoso.test") == ("skip", "source-unread"), "not yet"
    assert runner.sync(days=2).of("later@contoso.test") == ("create", "first-upload")


def test_what_is_not_yet_or_missing_removes_nothing_and_what_is_over_does_if_asked(
    runner: Runner,
    pictures: Path,
    export: Path,
    cloud: Emulator,
) -> None:
    later, missing, over = people(cloud, "later", "missing", "over")
    rest = [f"rest{number}" for number in range(10)]
    people(cloud, *rest)
    for name in ("later", "missing", "over", *rest):
        put(pictures, f"{name}.jpg", name)
    stay = "".join(f"{name}@contoso.test,{name}.jpg,,\n" for name in rest)
    begin = f"person,file,from,until\n{stay}"
    export.write_text(begin + "".join(f"{one}@contoso.test,{one}.jpg,,\n" for one in ("later", "missing", "over")))
    runner.settings["SYNC_REMOVED"] = "remove"
    assert runner.sync().totals["created"] == 13
    (pictures / "missing.jpg").unlink()
    export.write_text(
        f"{begin}later@contoso.test,later.jpg,{day(9)},\n"
        "missing@contoso.test,missing.jpg,,\n"
        f"over@contoso.test,over.jpg,,{day(-1)}\n"
    )

    told = runner.sync()

    assert told.of("later@contoso.test") == ("skip", "source-unread")
    assert told.of("missing@contoso.test") == ("skip", "source-unread")
    assert told.of("over@contoso.test") == ("remove", "source-removed"), told.err + told.out
    assert cloud.tenant.photo(later) is not None
    assert cloud.tenant.photo(missing) is not None
    assert cloud.tenant.photo(over) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("", "there is no row"),
        ("person,file\n", "there is no row"),
        ("name,photo\na@contoso.test,1.jpg\n", "line 1: the first line must be"),
        ("person,file\na@contoso.test,1.jpg\nb@contoso.test\n", "line 3: 1 cells"),
        ("person,file\n,1.jpg\n", "line 2: person is empty"),
        ("person,file\na@contoso.test,../1.jpg\n", "line 2: ../1.jpg must be a path below FOLDER_PATH"),
        ("person,file\na@contoso.test,/etc/passwd\n", "line 2: /etc/passwd must be"),
        ("person,file\na@contoso.test,C:\\1.jpg\n", "line 2: C:\\1.jpg must be"),
        ("person,file,from\na@contoso.test,1.jpg,31.12.2026\n", "line 2: 31.12.2026 is not a date"),
        ("person,file,from,until\na@contoso.test,1.jpg,2026-02-01,2026-01-01\n", "line 2: until is before from"),
        ('person,file\n"a@contoso.test,1.jpg\n', "FOLDER_MAP"),
        ("person,file\nz\xf6e@contoso.test,1.jpg\n", "is not UTF-8 text"),
    ],
)
def test_a_list_that_is_not_there_or_does_not_parse_changes_nothing(
    runner: Runner,
    pictures: Path,
    export: Path,
    cloud: Emulator,
    text: str | None,
    why: str,
) -> None:
    people(cloud, "a")
    put(pictures, "a@contoso.test.jpg", "a")
    if text is not None:
        export.write_bytes(text.encode("latin-1"))

    told = runner.sync()

    assert told.code == 2, told.out
    assert why in told.err
    assert cloud.tenant.writes() == []
    assert why in runner.type("check", "--env-file", str(runner.env_file())).out


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right on Windows")
def test_a_link_out_of_the_folder_and_a_pipe_are_nobodys_picture(
    runner: Runner,
    pictures: Path,
    export: Path,
    cloud: Emulator,
    tmp_path: Path,
) -> None:
    people(cloud, "out", "deep", "pipe", "inside")
    (tmp_path / "elsewhere").mkdir()
    put(tmp_path / "elsewhere", "secret.jpg", "secret")
    put(pictures, "real.jpg", "inside")
    (pictures / "out.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    (pictures / "deep").symlink_to(tmp_path / "elsewhere")
    (pictures / "inside.jpg").symlink_to(pictures / "real.jpg")
    os.mkfifo(pictures / "pipe.jpg")
    files = {"out": "out.jpg", "deep": "deep/secret.jpg", "pipe": "pipe.jpg", "inside": "inside.jpg"}
    export.write_text("person,file\n" + "".join(f"{who}@contoso.test,{file}\n" for who, file in files.items()))

    told = runner.sync()

    for who in ("out", "deep", "pipe"):
        assert told.of(f"{who}@contoso.test") == ("skip", "source-unread")
    assert told.of("inside@contoso.test") == ("create", "first-upload")


def test_a_name_that_the_system_refuses_is_that_persons_alone(tmp_path: Path) -> None:
    put(tmp_path, "anna.jpg", "anna")
    listed = tmp_path / "hr.csv"
    listed.write_text(f"person,file\nanna@contoso.test,anna.jpg\nlong@contoso.test,{'x' * 300}.jpg\n")
    source = FolderSource(tmp_path, MatchRule.UPN, listed)
    read = [event for page in source.read("folder", None).pages for event in page.events]
    again = list(source.fetch(["folder:anna@contoso.test", "folder:long@contoso.test"]))
    source.close()
    for events in (read, again):
        assert [(event.person.upn, bool(event.unread)) for event in events if isinstance(event, PersonRead)] == [
            ("anna@contoso.test", False),
            ("long@contoso.test", True),
        ]
