"""Open the ledger: a SQLite file in the state folder, locked by one run at a time."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from connector.disk import delete, is_held, move, reason
from connector.errors import CLOSE_THERE, DiskError, Locked, StateError
from connector.ledger.codec import key, print_hash
from connector.ledger.folder_permissions import FOLDERS, is_windows_share, refuse_deep, refuse_untrusted
from connector.ledger.migrations import MIGRATIONS
from connector.ledger.schema import SCHEMA, VERSION
from connector.windows_acl import make_private_folder

LEDGER_NAME = "ledger.sqlite3"
HOLDER_NAME = "lock.json"  # who holds the lock, and how far that run is
DAMAGED = "ledger-is-damaged"  # left by a run that met damage which the quick check at the opening does not find
_NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ncpfs", "ceph", "lustre", "beegfs", "davfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.davfs2"),
    }
)
_FIXES = {
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room within the quota of that account",
    errno.EROFS: "Mount that disk for writing",
}
_PAGE_BYTES = 4096
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space in a mount point is \040 there, proc(5)
_DRIVE_REMOTE = 4  # GetDriveTypeW, https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-getdrivetypew


def make_state_folder(folder: Path) -> Path:
    """Make the state folder, for its owner only; StateError when it cannot be used, or not be trusted."""
    refuse_deep(str(folder.absolute()))
    if is_network_share(folder):
        fix = "Set STATE_DIR to a folder on a local disk: SQLite's locks do not hold over a network."
        raise StateError(f"STATE_DIR: {folder} is on a network share.", fix)
    try:
        make_private_folder(folder)
        refuse_untrusted(folder)
        for name in FOLDERS:
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        probe = folder / ".writable"
        try:
            probe.write_bytes(bytes(_PAGE_BYTES))  # a full disk still takes a file without content
        finally:
            delete(probe)
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "Give the account that runs the tool Modify rights there")
        fix = f"{fix}, or set STATE_DIR to another folder."
        raise StateError(f"STATE_DIR: {folder} cannot be written: {error.strerror or error}.", fix) from error
    return folder


def is_network_share(folder: Path) -> bool:
    """Return True if the folder is on a network share (drive type on Windows, the table of mounts on Linux)."""
    resolved = str(folder.resolve())
    if sys.platform == "win32":
        import ctypes

        drive = os.path.splitdrive(resolved.removeprefix("\\\\?\\"))[0]
        return is_windows_share(resolved) or ctypes.windll.kernel32.GetDriveTypeW(drive + "\\") == _DRIVE_REMOTE
    return is_network(file_system_of(resolved, mount_points(mount_table())))


def mount_table() -> str:
    """Return what is mounted, in the form of /proc/mounts; empty on a system without such a list.

    A service may see its own processes only (ProcSubset=pid, as in our unit), and then /proc/mounts is not there.
    """
    try:
        return Path("/proc/self/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def mount_points(text: str) -> list[list[str]]:
    """Read pairs of mount point and file system type, oldest first, from the text of /proc/mounts."""
    fields = [line.split(" ") for line in text.splitlines()]
    return [[_ESCAPED.sub(lambda match: chr(int(match[1], 8)), one[1]), one[2]] for one in fields if len(one) > 2]


def is_network(kind: str) -> bool:
    """Return True if a type of file system lives on another machine, where SQLite's locks do not hold."""
    return kind in _NETWORK_FILE_SYSTEMS


def file_system_of(path: str, mounts: list[list[str]]) -> str:
    """Return the type of the file system that holds `path`, by the longest mount point above it."""
    best_point, best_type = "", ""
    for point, kind in mounts:
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best_point):
            best_point, best_type = point, kind
    return best_type


@contextmanager
def hold_lock(folder: Path) -> Iterator[None]:
    """Represent the one lock of a state folder; Locked when another run has it. The system frees it if we die."""
    lock = FileLock(folder / "lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        if not _can_open(folder / "lock"):
            raise StateError(f"STATE_DIR: another program has the lock {folder / 'lock'} open.", CLOSE_THERE) from None
        fix = "Wait for it to end; two runs would send the same photos twice."
        raise Locked(f"Another run works in {folder}{_holder(folder)}.", fix) from None
    except OSError as error:
        fix = "Give the account that runs the tool Modify rights on it, or delete it while no run is at work."
        raise StateError(f"STATE_DIR: the lock {folder / 'lock'} cannot be taken: {reason(error)}.", fix) from error
    try:
        with suppress(OSError):
            delete(folder / HOLDER_NAME)  # of a run that was killed; who holds the lock now may write none
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """Return who holds the lock and how far that run is, as its file says; empty text where there is none."""
    try:
        told = json.loads((folder / HOLDER_NAME).read_text("utf-8"))
        started = datetime.fromisoformat(told["started"]).astimezone().strftime("%Y-%m-%d %H:%M %z")
        of = f" of {told['total']:,}" if told["total"] is not None else ""
        who = f"{told['command']} of {told['account']} on {told['host']}, process {told['process']}, since {started}"
        return f": {who}; {told['phase']}: {told['done']:,}{of}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _can_open(path: Path) -> bool:
    """Return True if the file can be opened: a run that holds the lock lets others, a foreign program may not."""
    try:
        path.open("rb").close()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def open_ledger(folder: Path, *, mends: bool = True) -> tuple[sqlite3.Connection, str]:
    """Open the ledger of a state folder, made or brought forward where needed; with a notice for the report.

    A corrupt ledger is kept aside and a new one begun: the first night then adopts what the cloud shows. Who does
    not hold the lock does not mend: StateError then, as for a ledger of a newer version; and takes it to bring an
    older ledger forward: Locked while another run works.
    """
    with _naming_held(folder):
        return _opened_or_mended(folder, mends=mends)


@contextmanager
def _naming_held(folder: Path) -> Iterator[None]:
    """Raise StateError with its path where a file of the ledger cannot be replaced or deleted."""
    try:
        yield
    except OSError as error:
        fix = CLOSE_THERE if is_held(error) else "Give the account that runs the tool Modify rights on it."
        name = error.filename or folder / LEDGER_NAME
        raise StateError(f"STATE_DIR: {name} cannot be replaced: {reason(error)}.", fix) from error


def _opened_or_mended(folder: Path, *, mends: bool) -> tuple[sqlite3.Connection, str]:
    path = folder / LEDGER_NAME
    lock = nullcontext() if mends else hold_lock(folder)
    try:
        return _open_checked(path, lock), ""
    except sqlite3.DatabaseError as error:
        if not path.exists() or isinstance(error, sqlite3.OperationalError):
            fix = "Check the disk and the rights on the state folder."
            raise StateError(f"The database {path} cannot be opened: {error}.", fix) from error
        if not mends:
            fix = "The next run sets it aside and adopts what the cloud shows; reports of older runs are lost with it."
            raise StateError(f"The database {path} is damaged: {error}.", fix) from error
        aside = _set_aside(path)
        delete(folder / DAMAGED)
        notice = (
            f"The database was damaged ({error}); it is kept as {aside.name} and a new one was begun. "
            "Photos that already show the source's picture are adopted, not sent again; "
            "conflicts that you had settled are judged anew."
        )
        return _open_checked(path, lock), notice


def _open_checked(path: Path, lock: AbstractContextManager[None]) -> sqlite3.Connection:
    is_new = not path.exists()
    if is_new:
        _make(path)
    elif not path.stat().st_size:
        raise sqlite3.DatabaseError("it is empty")  # SQLite would take it for a new one
    elif path.with_name(DAMAGED).exists():
        raise sqlite3.DatabaseError("the last run found it malformed")
    db = connect(path)
    try:
        if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its integrity check failed")
        if _version(db, path) < VERSION:
            with lock:
                _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def connect(path: Path) -> sqlite3.Connection:
    """Open a SQLite file the way the ledger needs it: WAL, full durability, a small cache, explicit transactions."""
    db = sqlite3.connect(path, isolation_level=None, timeout=30)
    db.row_factory = sqlite3.Row
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -4096", "temp_store = FILE"):
            db.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        db.close()  # an open handle keeps Windows from setting a damaged file aside
        raise
    return db


def _make(path: Path) -> None:
    """Make the file under another name first: a crash leaves no half ledger."""
    draft = path.with_suffix(".new")
    _clear(draft)
    draft.touch(mode=0o600)
    with closing(sqlite3.connect(draft)) as db:
        db.executescript(SCHEMA)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.commit()
    _clear(path)
    move(draft, path)


def _clear(path: Path) -> None:
    """Remove a SQLite file with its log: a log left behind by a killed run would be played into the next file."""
    for ending in ("", "-wal", "-shm"):
        delete(Path(f"{path}{ending}"))


def _version(db: sqlite3.Connection, path: Path) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        fix = "Use the newer photo-connector that made it, or another STATE_DIR."
        raise StateError(f"The database {path} is of version {version}; this program knows {VERSION}.", fix)
    return version


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring the ledger forward, a version a transaction: one that is stopped half way goes on at the next opening."""
    db.create_function("fold", 1, key, deterministic=True)
    db.create_function("print_hash", 1, lambda packed: packed and print_hash(packed), deterministic=True)
    for step in range(_version(db, path), VERSION):
        if step not in MIGRATIONS:
            raise sqlite3.DatabaseError(f"it is no database of this program (version {step})")
        db.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[step]}; PRAGMA user_version = {step + 1}; COMMIT;")
    with suppress(sqlite3.OperationalError):  # the ledger is whole without it: it gives free pages back to the disk
        db.execute("VACUUM")


def _set_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    aside = path.with_name(f"{path.stem}-damaged-{stamp}{path.suffix}")
    move(path, aside)
    _clear(path)
    return aside


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Make what happens inside one transaction; inside another one, a part of that. Raises DiskError."""
    if db.in_transaction:
        yield
        return
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as error:
        # asked before the roll-back gives room back
        trouble = disk_trouble(_folder(db), error) if _is_disk_trouble(error) else _held_trouble(db, error)
        if db.in_transaction:  # a full disk may have ended it already
            db.execute("ROLLBACK")
        if trouble is not None:
            raise trouble from error
        raise


@contextmanager
def noting_damage(folder: Path) -> Iterator[None]:
    """Mark a ledger that was found malformed for the next opening, and raise StateError."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        (folder / DAMAGED).touch(mode=0o600)
        fix = "The next run sets it aside, begins a new one, and adopts what the cloud shows."
        raise StateError(f"The database {folder / LEDGER_NAME} is damaged: {error}.", fix) from error


def _folder(db: sqlite3.Connection) -> Path:
    """Return the folder of the ledger's file."""
    return Path(db.execute("PRAGMA database_list").fetchone()["file"]).parent


def _is_disk_trouble(error: BaseException) -> bool:
    """Return True if the disk failed SQLite: its extended codes carry the primary one in the lowest byte."""
    return isinstance(error, sqlite3.OperationalError) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
    )


def _held_trouble(db: sqlite3.Connection, error: BaseException) -> DiskError | None:
    """Return the error of a database in which another program writes for longer than we wait; None for any other."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
        return None
    return DiskError(f"another program writes to the database {_folder(db) / LEDGER_NAME}", is_held=True)


def copy_ledger(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Copy the ledger to another file and open that: a dry run works there, and cannot touch the real one."""
    with _naming_held(path.parent):
        _clear(path)
        path.touch(mode=0o600)
    with closing(sqlite3.connect(path)) as copy:
        db.backup(copy)
    return connect(path)


# A disk with less room than this has none for what SQLite writes next; a page and its journal fit.
_LEAST_BYTES = 64 * 1024


def temporary_folder() -> Path:
    """Return SQLite's temporary folder: the first that can be written (https://sqlite.org/tempfiles.html)."""
    named = [os.environ.get(name, "") for name in ("SQLITE_TMPDIR", "TMPDIR")]
    # only looked at, never written to by a name that others can guess
    for folder in (*filter(None, named), "/var/tmp", "/usr/tmp"):  # noqa: S108  # nosec B108
        if os.name != "nt" and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    return Path(tempfile.gettempdir())


def disk_trouble(state_folder: Path, why: object) -> DiskError:
    """Return the error of a disk that failed SQLite; the temporary folder is named where its disk alone has no room."""
    temporary = temporary_folder()
    if _has_room(state_folder) and not _has_room(temporary):
        return DiskError(why, temporary=str(temporary))
    return DiskError(why)


def _has_room(folder: Path) -> bool:
    """Return False if so little is free that the next write fails; a folder that cannot be asked is not full."""
    try:
        return shutil.disk_usage(folder).free >= _LEAST_BYTES
    except OSError:
        return True
