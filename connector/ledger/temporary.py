"""Name the folder in which SQLite keeps its temporary files, and tell whether its disk is the one that is full."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from connector.errors import DiskError

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
