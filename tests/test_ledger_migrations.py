"""Ledgers of older versions: whatever a kill leaves is the old version whole or the new one whole, and goes on."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from connector.ledger import store
from connector.ledger.migrations import MIGRATIONS
from connector.ledger.runs import RunRow, find_run
from connector.ledger.schema import VERSION
from connector.model import ExceededLimit
from tests.company import Company
from tests.test_ledger_store import killed_while_it_brings_forward, old_ledger, table


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, a trigger as one."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def content(path: Path) -> list[str]:
    """Return all that is in a database, with its version."""
    with closing(sqlite3.connect(path)) as db:
        return [str(db.execute("PRAGMA user_version").fetchone()), *db.iterdump()]


def step_with_images(path: Path, version: int, images: Path) -> int:
    """Bring a ledger one version forward, and copy after each statement what a kill there would leave on the disk."""
    count = 0

    def keep_image() -> None:
        nonlocal count
        count += 1
        for file in path.parent.glob(f"{path.name}*"):
            if not file.name.endswith("-shm"):  # made anew where it is missing
                shutil.copyfile(file, images / file.name.replace(path.stem, str(count)))

    def connected(path: Path) -> sqlite3.Connection:
        db = connect(path)
        db.create_function("keep_image", 0, keep_image)
        db.execute("PRAGMA cache_size = 1")  # so that pages of an unfinished transaction reach the disk
        return db

    connect = store.connect
    script = "".join(f"{one}\nSELECT keep_image();" for one in statements(f"{MIGRATIONS[version]};"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MIGRATIONS, version, script)
        patch.setattr(store, "VERSION", version + 1)
        patch.setattr(store, "connect", connected)
        store.open_ledger(path.parent)[0].close()
    return count


def test_a_kill_after_any_statement_of_any_migration_loses_nothing(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    for version in range(1, VERSION):
        before = content(path)
        images = tmp_path / f"images-{version}"
        images.mkdir()

        count = step_with_images(path, version, images)

        assert count > 0
        for number in range(1, count + 1):
            assert content(images / f"{number}.sqlite3") == before, (version, number)
        assert table(path, "pragma_user_version") == [(version + 1,)]
        left = tmp_path / f"left-{version}"
        store.make_state_folder(left)
        (images / f"{count}.sqlite3").rename(left / path.name)
    for version in range(1, VERSION):
        killed = tmp_path / f"left-{version}" / path.name
        store.open_ledger(killed.parent)[0].close()
        assert sorted(content(killed)) == sorted(content(path)), "a kill makes no difference in the end"


OLD_MESSAGE = "A safety limit stopped the run; nothing was written: 600 photos would be replaced. Check LDAP_FILTER."
ELSEWHERE = "The source's new photo was in Microsoft 365 already; this server had not sent it."


def version_11(folder: Path) -> Path:
    """Put down a ledger of version 11 with a run that a safety limit stopped, and one that adopted two photos."""
    path = old_ledger(folder)
    assert killed_while_it_brings_forward(path, 11) == 9
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        run = "INSERT INTO runs (id, kind, started, dry_run, exit_code, message) VALUES (?, 'sync', ?, 0, ?, ?)"
        db.execute(run, (90, "2026-11-24T02:00:00+00:00", 4, OLD_MESSAGE))
        db.execute(run, (91, "2026-11-25T02:00:00+00:00", 0, ""))
        outcome = "INSERT INTO outcomes VALUES (91, ?, ?, 'CN=a', '', 'a', 'keep', 'adopted', ?, '', 0)"
        two_targets = [("graph", "a", ELSEWHERE), ("sharepoint", "a", ELSEWHERE), ("graph", "b", ELSEWHERE)]
        db.executemany(outcome, [*two_targets, ("graph", "c", "")])
    return path


def runs_of(folder: Path) -> dict[int, RunRow | None]:
    with closing(store.open_ledger(folder)[0]) as db:
        return {number: find_run(db, number) for number in (90, 91)}


def test_a_stopped_run_of_an_older_version_keeps_its_message_and_an_adopted_count_is_carried_over(
    tmp_path: Path,
) -> None:
    path = version_11(tmp_path / "old")

    runs = runs_of(path.parent)

    stopped, adopted = runs[90], runs[91]
    assert stopped is not None
    assert (stopped.message, stopped.advice, stopped.exceeded) == (OLD_MESSAGE, "", ())
    assert adopted is not None
    assert (adopted.sent_elsewhere, stopped.sent_elsewhere) == (2, 0)


def test_a_report_of_a_stopped_run_of_an_older_version_shows_the_message_whole(
    company: Company, tmp_path: Path
) -> None:
    path = version_11(tmp_path / "old")
    company.settings["STATE_DIR"] = str(path.parent)

    told = company.runner.type("report", "90", "--format", "json", "--env-file", str(company.runner.env_file()))

    report = json.loads(told.out)
    assert (report["message"], report["exit_code"], "limits" in report) == (OLD_MESSAGE, 4, False)


@pytest.mark.parametrize("version", [1, 11])
def test_check_says_of_an_older_database_that_the_next_run_brings_it_forward(
    company: Company, tmp_path: Path, version: int
) -> None:
    path = old_ledger(tmp_path / "old") if version == 1 else version_11(tmp_path / "old")
    company.settings["STATE_DIR"] = str(path.parent)

    told = company.runner.type("check", "--json", "--env-file", str(company.runner.env_file()))

    found = {one["id"]: (one["status"], one["detail"]) for one in json.loads(told.out)}
    assert found["ledger"] == ("ok", f"{path} is of version {version}; the next run brings it to version {VERSION}")
    assert found["last-run"] == ("skipped", "the next run brings the database to this version first")
    assert found["competing-writer"] == found["last-run"]
    assert table(path, "pragma_user_version") == [(version,)]


def test_a_stopped_run_keeps_which_limit_and_how_many_as_data(company: Company) -> None:
    team = company.team(30)
    company.sync()
    for one in team[:6]:
        company.paint(one, None)
    company.settings["SYNC_REMOVED"] = "remove"

    stopped = company.sync(days=1)

    assert stopped.code == 4
    limits = stopped.report["limits"]
    assert [one["limit"] for one in limits if one["limit"] == "removals"] == ["removals"]
    with closing(store.open_ledger(company.runner.state)[0]) as db:
        run = find_run(db)
    assert run is not None
    assert run.exceeded == tuple(ExceededLimit(**one) for one in limits)
    assert run.advice
    assert run.message.endswith(f" {run.advice}")
    assert all(str(one["count"]) in run.message for one in limits)
