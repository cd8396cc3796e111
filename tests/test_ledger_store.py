"""The database, its lock and its folder, the spool and the backups, and what is forgotten."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connector.errors import DiskError, Locked, StateError
from connector.ledger.files import Backups, Spool
from connector.ledger.schema import VERSION
from connector.ledger.store import (
    LEDGER_NAME,
    copy_ledger,
    file_system_of,
    hold_lock,
    is_network,
    is_network_share,
    make_state_folder,
    mount_points,
    open_ledger,
    transaction,
)
from connector.ledger.writes import Write, find_write, save_write, save_written_photo
from connector.model import Action
from tests.company import Company, copy_of, face

MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/photos /mnt/our\040share cifs rw 0 0
tmpfs /var/lib tmpfs rw 0 0
/dev/vdc /var/lib ext4 rw 0 0
broken
"""


def rows(company: Company, query: str) -> list[tuple[object, ...]]:
    """Ask the ledger between two nights."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db:
        return db.execute(query).fetchall()


# The file


def test_a_ledger_of_a_newer_version_is_refused_and_left_as_it_is(company: Company) -> None:
    company.hire("anna")
    company.sync()
    path = company.runner.state / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    company.cloud.log.clear()

    told = company.sync(days=1)

    assert told.code == 2
    assert f"is of version {VERSION + 1}" in told.err
    assert "Use the newer photo-connector" in told.err
    assert path.read_bytes() == before
    assert list(company.cloud.requests) == [], "nothing was contacted"


def old_ledger(folder: Path) -> Path:
    """Put down what version 1 left after three nights: two targets, a failure, a skip and a conflict that stands."""
    make_state_folder(folder)
    path = folder / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "ledgers" / "version-1.sql").read_text("utf-8"))
    return path


def table(path: Path, name: str, columns: str = "*") -> list[tuple[object, ...]]:
    """Return all rows of a table."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT {columns} FROM {name}").fetchall()


KEPT = ("accounts", "cookies", "intents", "memory", "outcomes", "photos", "pictures", "refusals", "runs", "standing")
PERSON = "id, context, upn, anchor, state, seen_run, changed_run, source_sha256, account_id"
# Version 5 named these tables anew, put each fingerprint into a table of its own, and gave pictures a third one.
TODAY = {"memory": "photo_state", "standing": "standing_outcomes"}
PRINT = "(SELECT packed FROM fingerprints f WHERE f.id = {})"


def columns_today(path: Path, name: str) -> str:
    """Return the columns of a table of today that hold what a row of version 1 did, in its order."""
    names = [str(row[1]) for row in table(path, f"pragma_table_info('{name}')")]
    added = ("is_final", "centre_print", "advice", "exceeded", "sent_elsewhere")
    wanted = (one for one in names if one not in added)
    return ", ".join(PRINT.format(f"{name}.{one}") if one.endswith("_print") else one for one in wanted)


def test_a_ledger_of_version_1_is_brought_forward_and_keeps_everything(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    before = {name: table(path, name) for name in (*KEPT, "writes")}
    people = table(path, "people", f"{PERSON}, settled_account_id")
    ((failed, retry),) = table(path, "people WHERE retry", "id, retry")
    make_state_folder(tmp_path / "new")

    for folder in (tmp_path / "old", tmp_path / "new"):
        open_ledger(folder)[0].close()

    today = {name: TODAY.get(name, name) for name in before}
    after = {name: table(path, one, columns_today(path, one)) for name, one in today.items()}
    assert {name: sorted(rows) for name, rows in after.items()} == {name: sorted(rows) for name, rows in before.items()}
    assert sorted(table(path, "people", f"{PERSON}, confirmed_account_id")) == sorted(people)
    told = "target, person_id, retry"
    assert table(path, "retries", told) == [("graph", failed, retry), ("sharepoint", failed, retry)]
    assert all(before[name] for name in before if name != "intents"), "the old ledger has something of everything"
    shape = "sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    assert table(path, shape, "name, sql") == table(tmp_path / "new" / "ledger.sqlite3", shape, "name, sql")
    assert table(path, "pragma_user_version") == [(VERSION,)]


def test_names_of_an_old_ledger_are_told_apart_letter_by_letter(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE people SET upn = 'Straße@contoso.test', upn_key = 'strasse@contoso.test'")
        other.execute("UPDATE accounts SET mail = 'Straße@contoso.test', mail_key = 'strasse@contoso.test'")

    open_ledger(path.parent)[0].close()

    assert {*table(path, "people", "upn_key"), *table(path, "accounts", "mail_key")} == {("straße@contoso.test",)}


def test_a_report_of_an_old_ledger_waits_for_the_run_that_works_in_it(company: Company) -> None:
    company.sync()
    path = old_ledger(company.runner.state.with_name("old"))
    company.settings["STATE_DIR"] = str(path.parent)
    ask = ("report", "--env-file", str(company.runner.env_file()))

    with hold_lock(path.parent):
        told = company.runner.type(*ask)
    assert (told.code, table(path, "pragma_user_version")) == (6, [(1,)])

    told = company.runner.type(*ask)

    assert told.code == 0
    assert "bob@contoso.test" in told.out


def test_a_migration_that_is_stopped_half_way_changes_nothing_and_goes_on_later(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE people_1 (in_the_way INTEGER)")
    before = table(path, "people")

    with pytest.raises(StateError, match="cannot be opened"):
        open_ledger(path.parent)
    assert (table(path, "people"), table(path, "pragma_user_version")) == (before, [(1,)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DROP TABLE people_1")

    open_ledger(path.parent)[0].close()

    assert len(table(path, "people")) == len(before)
    assert table(path, "pragma_user_version") == [(VERSION,)]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_process_killed_while_it_brings_a_ledger_forward_loses_nothing(tmp_path: Path, version: int) -> None:
    path = old_ledger(tmp_path / "old")
    before = {name: sorted(table(path, name)) for name in (*KEPT, "writes")}

    killed = killed_while_it_brings_forward(path, version)

    assert (killed, table(path, "pragma_user_version")) == (9, [(version,)])
    assert {name: sorted(table(path, name)) for name in before} == before, "what the killed step began is undone"
    open_ledger(path.parent)[0].close()
    assert table(path, "pragma_user_version") == [(VERSION,)]
    after = {name: len(table(path, TODAY.get(name, name))) for name in before}
    assert after == {name: len(rows) for name, rows in before.items()}


def test_what_a_safety_limit_held_outlives_a_kill_of_the_step_that_keeps_what_was_seen(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    assert killed_while_it_brings_forward(path, 8) == 9
    held = (3, "graph", "somebody", "replace", "source-changed")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO plans VALUES (?, ?, ?, ?, ?)", held)

    assert killed_while_it_brings_forward(path, 8) == 9
    assert (table(path, "plans"), table(path, "pragma_user_version")) == ([held], [(8,)])

    open_ledger(path.parent)[0].close()

    assert table(path, "plans") == [(*held, "", "", "", 0)]
    assert (table(path, "run_plans"), table(path, "pragma_user_version")) == ([], [(VERSION,)])


def test_a_kill_of_the_step_that_drops_an_index_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    path = old_ledger(tmp_path / "old")
    index = "sqlite_master WHERE name = 'writes_account'"
    assert killed_while_it_brings_forward(path, 10) == 9
    assert (len(table(path, index)), table(path, "pragma_user_version")) == (1, [(10,)])
    writes = sorted(table(path, "writes"))

    open_ledger(path.parent)[0].close()

    assert (table(path, index), table(path, "pragma_user_version")) == ([], [(VERSION,)])
    assert sorted(table(path, "writes")) == writes


def killed_while_it_brings_forward(path: Path, version: int) -> int:
    """Open a ledger in a process that is killed at the end of a version's step; return its exit code."""
    script = f"""
import os
from pathlib import Path
from connector.ledger import migrations, store
migrations.MIGRATIONS[{version}] += "SELECT stop();"
connect = store.connect
def connected(path):
    db = connect(path)
    db.create_function("stop", 0, lambda: os._exit(9))
    return db
store.connect = connected
store.open_ledger(Path({str(path.parent)!r}))
"""

    return subprocess.run([sys.executable, "-c", script], check=False).returncode


def test_equal_fingerprints_are_kept_once_and_go_with_the_last_row_that_has_them(company: Company) -> None:
    team = company.team(3)
    company.cloud.set(reencode="none")
    company.sync()
    used = "SELECT sent_print FROM pictures UNION SELECT whole_print FROM pictures "
    used += "UNION SELECT read_print FROM photo_state"
    assert rows(company, "SELECT COUNT(*) FROM fingerprints") == rows(
        company, f"SELECT COUNT(sent_print) FROM ({used})"
    )

    for one in team:
        company.ldap.tree.change(one.entry.guid, thumbnailPhoto=face(f"new {one.name}"))
    company.sync("--force", days=1)
    company.sync(days=40)
    company.sync("--full", days=1)

    referred = f"{used} UNION SELECT sent_print FROM photo_state UNION SELECT sent_print FROM writes"
    unused = f"SELECT COUNT(*) FROM fingerprints WHERE id NOT IN ({referred})"
    assert rows(company, unused) == [(0,)]


def no_database(path: Path) -> None:
    """Write something else over the ledger."""
    path.write_bytes(b"This was a ledger once. " * 500)


def empty_file(path: Path) -> None:
    """Write a file without a byte, as a full disk does."""
    path.write_bytes(b"")


def broken_pages(path: Path) -> None:
    """Spoil pages in the middle, as a dying disk does; the header stays."""
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[4096:half] = os.urandom(half - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [no_database, empty_file, broken_pages])
def test_a_damaged_ledger_is_set_aside_and_rebuilt_without_an_upload(
    company: Company, spoil: Callable[[Path], None]
) -> None:
    team = company.team(5)
    company.sync()
    path = company.runner.state / "ledger.sqlite3"
    spoil(path)
    spoilt = path.read_bytes()
    company.cloud.log.clear()

    looked = company.runner.type("report", "--env-file", str(company.runner.env_file()))

    assert looked.code == 2
    assert "is damaged" in looked.err
    assert path.read_bytes() == spoilt, "who only looks changes nothing"

    told = company.sync(days=1)

    assert told.code == 0, told.err
    assert told.reasons() == {"adopted": 5}
    assert "photo_puts" not in company.cloud.counts() or company.cloud.counts()["photo_puts"] == 0
    assert len(company.cloud.tenant.writes()) == len(team)
    assert any("The database was damaged" in notice for notice in told.report["notices"])
    (aside,) = company.runner.state.glob("ledger-damaged-*")
    assert aside.read_bytes() == spoilt
    quiet = company.sync(days=1)
    assert (quiet.code, quiet.requests["http"], quiet.report["notices"]) == (0, 1, [])


def test_a_log_left_by_a_killed_run_is_not_played_into_the_next_ledger(tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path)[0]) as db, transaction(db):
        db.execute("INSERT INTO meta VALUES ('left', 'behind')")
    path = tmp_path / "ledger.sqlite3"
    Path(f"{path}-wal").write_bytes(os.urandom(8192))
    path.unlink()

    with closing(open_ledger(tmp_path)[0]) as db:
        assert db.execute("SELECT COUNT(*) FROM meta").fetchone()[0] == 0


def test_a_transaction_inside_another_is_a_part_of_it(tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path)[0]) as db:
        with contextlib.suppress(RuntimeError), transaction(db):
            with transaction(db):
                db.execute("INSERT INTO meta VALUES ('inner', 'done')")
            raise RuntimeError("the outer one failed")
        with transaction(db):
            db.execute("INSERT INTO meta VALUES ('kept', 'yes')")

        assert [row["key"] for row in db.execute("SELECT key FROM meta")] == ["kept"]


def test_a_copy_shares_nothing_with_the_ledger_but_what_was_in_it(tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path)[0]) as db:
        db.execute("INSERT INTO meta VALUES ('first', 'kept')")
        with closing(copy_ledger(db, tmp_path / "copy.sqlite3")) as copy:
            copy.execute("INSERT INTO meta VALUES ('second', 'dropped')")
            assert copy.execute("SELECT COUNT(*) FROM meta").fetchone()[0] == 2
        assert db.execute("SELECT COUNT(*) FROM meta").fetchone()[0] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="rights are ACLs there")
def test_ledger_and_folders_are_their_owners_only(company: Company) -> None:
    company.hire("anna")
    other = company.hire("bert")
    company.cloud.tenant.set_photo(other.account_id, face("somebody else"))
    old = os.umask(0)
    try:
        assert company.sync().code == 0
    finally:
        os.umask(old)

    state = company.runner.state
    kept = [state / "ledger.sqlite3", *(state / "backups").glob("*/*.jpg")]
    assert len(kept) == 2
    assert {
        path.stat().st_mode & 0o077 for path in [*kept, state, *(one for one in state.iterdir() if one.is_dir())]
    } == {0}


# The folder


@pytest.mark.parametrize(
    ("path", "kind", "is_far"),
    [
        ("/srv/state", "ext4", False),
        ("/home/anna/state", "nfs4", True),
        ("/home", "nfs4", True),
        ("/homestead", "ext4", False),
        ("/home/local/state", "xfs", False),
        ("/mnt/our share/state", "cifs", True),
        ("/var/lib/photo-connector", "ext4", False),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount_point(path: str, kind: str, is_far: bool) -> None:
    found = file_system_of(path, mount_points(MOUNTS))

    assert (found, is_network(found)) == (kind, is_far)


def test_a_local_folder_is_no_network_share(tmp_path: Path) -> None:
    assert not is_network_share(tmp_path)


def test_a_state_folder_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StateError, match=r"STATE_DIR: .*file.* cannot be written"):
        make_state_folder(tmp_path / "file" / "state")


# The lock


def test_a_second_run_gives_way_and_goes_on_when_the_first_has_ended(company: Company) -> None:
    company.hire("anna")
    make_state_folder(company.runner.state)

    with hold_lock(company.runner.state):
        turned_away = company.sync()
        with pytest.raises(Locked), hold_lock(company.runner.state):
            pass

    assert turned_away.code == 6
    assert "Another run works in" in turned_away.err
    assert list(company.cloud.requests) == []
    assert company.sync().totals["created"] == 1


def test_the_lock_of_a_killed_run_holds_nobody(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\nfrom connector.ledger.store import hold_lock\n"
        "with hold_lock(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Locked), hold_lock(tmp_path):
            pass
        holder.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        holder.wait()

    with hold_lock(tmp_path):
        pass


# What is forgotten


def test_outcomes_and_backups_are_kept_as_long_as_the_settings_say(company: Company) -> None:
    company.settings.update(LEDGER_DAYS="30", BACKUP_DAYS="5")
    anna = company.hire("anna")
    company.cloud.tenant.set_photo(anna.account_id, face("somebody else"))
    company.sync()
    backups = company.runner.state / "backups"

    company.sync(days=4)
    assert len(list(backups.glob("*/*.jpg"))) == 1

    company.sync(days=2)
    assert list(backups.glob("*/*.jpg")) == []
    assert rows(company, "SELECT COUNT(*) FROM outcomes") == [(1,)]
    assert rows(company, "SELECT COUNT(*) FROM writes") == [(1,)]

    company.sync(days=29)
    told = company.sync(days=1)
    assert rows(company, "SELECT COUNT(*) FROM outcomes") == [(0,)]
    assert rows(company, "SELECT COUNT(*) FROM writes") == [(0,)]
    assert (told.totals["unchanged"], told.requests["http"]) == (1, 1), "the memory of who is there stays"


def test_a_backup_that_a_later_run_needs_outlives_the_first(company: Company) -> None:
    company.settings.update(BACKUP_DAYS="5")
    anna, bert = company.hire("anna"), company.hire("bert")
    company.cloud.set(reencode="none")
    for one in (anna, bert):
        company.cloud.tenant.set_photo(one.account_id, face("one logo"))
    company.settings["SYNC_MAX_UPLOADS"] = "1"
    company.sync()
    company.sync(days=4)
    backups = company.runner.state / "backups"
    shared = len({content for (content,) in rows(company, "SELECT before_sha256 FROM writes")})
    assert shared == 1, "both photos were the same bytes"

    company.sync(days=3)
    assert len(list(backups.glob("*/*.jpg"))) == 1
    company.sync(days=3)
    assert list(backups.glob("*/*.jpg")) == []


def test_who_is_deleted_is_forgotten_after_the_ledgers_days_and_not_before(company: Company) -> None:
    company.settings["LEDGER_DAYS"] = "30"
    gone, stays = company.hire("gone"), company.hire("stays")
    company.sync()
    company.ldap.tree.delete(gone.entry.guid)
    company.cloud.tenant.remove_account(gone.account_id)
    assert company.sync(days=1).of(gone.upn) == ("skip", "deleted")

    company.sync(days=28)
    assert len(rows(company, "SELECT id FROM people")) == len(rows(company, "SELECT account_id FROM photo_state")) == 2

    company.sync(days=3)
    assert rows(company, "SELECT upn FROM people") == [(stays.upn,)]
    assert rows(company, "SELECT account_id FROM photo_state") == [(stays.account_id,)]
    assert len(company.cloud.tenant.writes()) == 2


def test_what_stands_is_told_although_the_run_that_began_it_is_old(company: Company) -> None:
    company.settings["LEDGER_DAYS"] = "30"
    lost = company.hire("lost", account=False)
    company.sync()
    company.sync(days=40)
    company.sync(days=40)

    assert company.sync(days=1).of(lost.upn) == ("skip", "no-account")
    assert rows(company, "SELECT id FROM runs") == [(1,), (3,), (4,)], "its first run, and those of this month"


# The spool and the backups


def test_a_spool_holds_a_picture_until_it_is_emptied(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.open()

    assert spool.keep("ab" * 32, b"picture")
    assert spool.has("ab" * 32)
    assert spool.load("ab" * 32) == b"picture"
    spool.open()
    assert not spool.has("ab" * 32)
    assert list(tmp_path.iterdir()) == []


def test_a_spool_leaves_the_disk_to_others(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    spool = Spool(tmp_path, spare_bytes=free * 2)
    spool.open()

    assert not spool.keep("ab" * 32, b"picture")
    assert not spool.has("ab" * 32)
    with pytest.raises(FileNotFoundError):
        spool.load("ab" * 32)


def test_a_backup_is_given_back_only_as_it_was(tmp_path: Path) -> None:
    backups = Backups(tmp_path)
    name = backups.keep(b"a face")

    assert backups.keep(b"a face") == name
    assert backups.load(name) == b"a face"
    (path,) = tmp_path.glob("*/*.jpg")
    path.write_bytes(b"another face")
    assert backups.load(name) is None
    backups.drop(name)
    backups.drop(name)
    assert not backups.has(name)
    assert backups.load(name) is None
    assert not backups.has("")


def test_a_sweep_takes_only_what_is_old_and_unwanted(tmp_path: Path) -> None:
    backups = Backups(tmp_path)
    wanted, unwanted = backups.keep(b"wanted"), backups.keep(b"unwanted")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    assert backups.sweep(is_wanted=lambda name: name == wanted, before=tomorrow - timedelta(days=2)) == (0, [])
    assert backups.sweep(is_wanted=lambda name: name == wanted, before=tomorrow) == (1, [])
    assert (backups.has(wanted), backups.has(unwanted)) == (True, False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk with less room than the spool leaves to others."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("night", ["first", "second"])
def test_on_a_full_disk_everybody_gets_their_photo_all_the_same(company: Company, small_disk: Path, night: str) -> None:
    company.settings["STATE_DIR"] = str(small_disk / "state")
    (small_disk / "guest.jpg").write_bytes(face("guest"))
    company.settings["GUEST_PHOTO"] = str(small_disk / "guest.jpg")
    if night == "second":
        company.sync()
    company.team(7)
    guest = company.cloud.tenant.add_account("eva_partner.example#EXT#@contoso.test", user_type="Guest")

    told = company.sync(days=1)

    assert (told.code, told.totals["created"], told.totals["postponed"]) == (0, 8, 0), told.report
    assert company.cloud.tenant.photo(guest) is not None
    assert company.sync(days=1).requests["http"] == 1


def test_an_adopted_copy_needs_no_room(company: Company, small_disk: Path) -> None:
    company.settings["STATE_DIR"] = str(small_disk / "state")
    anna = company.hire("anna")
    company.cloud.tenant.set_photo(anna.account_id, copy_of("anna"))

    assert company.sync().of(anna.upn) == ("keep", "adopted")


def swapped_indexes(path: Path) -> None:
    """Make two indexes point at each other's pages: each page is whole, so that the quick check finds nothing."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        names = ("people_changed", "accounts_upn")
        pages = [
            db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0] for name in names
        ]
        for name, page in zip(names, reversed(pages), strict=True):
            db.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (page, name))
        db.commit()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"


def test_damage_that_only_a_run_meets_is_set_aside_by_the_next_one(company: Company) -> None:
    team = company.team(5)
    company.sync()
    swapped_indexes(company.runner.state / "ledger.sqlite3")
    company.ldap.tree.change(team[0].entry.guid, mail="other@contoso.test")

    met, mended, quiet = company.sync(days=1), company.sync(days=1), company.sync(days=1)

    assert "is damaged" in met.err, (met.code, met.err)
    assert "The next run sets it aside" in met.err
    assert (mended.code, mended.reasons()) == (0, {"adopted": 5}), mended.err
    assert any("The database was damaged" in notice for notice in mended.report["notices"])
    assert (quiet.code, quiet.report["notices"]) == (0, [])


def test_what_a_write_left_is_stored_with_its_own_run_where_two_began_at_the_same_time(tmp_path: Path) -> None:
    with closing(open_ledger(make_state_folder(tmp_path))[0]) as db:
        at = datetime(2026, 11, 24, 1, tzinfo=UTC).isoformat()
        for run in (1, 2):
            save_write(db, Write(run, "graph", "account", "person", Action.REPLACE, at, "", "", "sha", None))

        save_written_photo(db, "graph", "account", run=2, tag="tag", read_sha256="")

        tags = [write.left_tag for run in (1, 2) if (write := find_write(db, run, "graph", account_id="account"))]
        assert tags == ["", "tag"]


def test_a_database_in_which_another_program_writes_is_named_and_no_fault_of_ours(tmp_path: Path) -> None:
    db, _ = open_ledger(tmp_path)
    db.execute("PRAGMA busy_timeout = 0")
    with closing(db), closing(sqlite3.connect(tmp_path / LEDGER_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DiskError, match="another program writes to the database") as raised, transaction(db):
            pass
    assert "Close it there" in raised.value.fix
