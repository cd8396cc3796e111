"""Refuse a state folder that somebody else could have prepared: owner, rights, links inside it, place and depth."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from connector.errors import StateError
from connector.windows_acl import account_name, icacls, is_link, is_others_to_write, is_stranger, rights_of

FOLDERS = ("backups", "spool", "logs", "reports")
# The longest name below the folder: a backup by its sha256. Windows takes 259 characters unless a path says \\?\.
_LONGEST = "\\backups\\ab\\" + 64 * "f" + ".jpg"
MOST_CHARACTERS = 259
_EXTENDED = "\\\\?\\"


def refuse_deep(folder: str, *, windows: bool = sys.platform == "win32") -> None:
    """Raise StateError where a backup's path would be longer than Windows takes."""
    if windows and not folder.startswith(_EXTENDED) and len(folder) + len(_LONGEST) > MOST_CHARACTERS:
        most = MOST_CHARACTERS - len(_LONGEST)
        fix = f"Set STATE_DIR to a folder whose path has at most {most} characters."
        raise StateError(f"STATE_DIR: {folder} is so deep that backups would pass 260 characters.", fix)


def is_windows_share(path: str) -> bool:
    """Return True for a UNC path, also in the extended form; a local disk in the extended form is none."""
    if path.startswith((_EXTENDED, "\\\\.\\")):
        return path[4:8].upper() == "UNC\\"
    return path.startswith("\\\\")


def refuse_untrusted(folder: Path) -> None:
    """Raise StateError where somebody else may write the folder, or laid links or files into it."""
    found = folder.stat()
    for owner in {found.st_uid, folder.lstat().st_uid}:
        if is_stranger(owner):
            name = account_name(owner)
            fix = f"Run as {name} (sudo -u {name} …), or set STATE_DIR to a folder of your own."
            raise StateError(f"STATE_DIR: {folder} belongs to {name}, who could put links and forged backups in.", fix)
    if is_others_to_write(found):
        fix = f"Run: chmod 700 {folder}; then look into it for what you did not put there."
        raise StateError(f"STATE_DIR: others on this machine may write to {folder}.", fix)
    if writers := rights_of(folder).writers:
        fix = f"As an administrator run: {icacls(folder, is_folder=True)}"
        raise StateError(f"STATE_DIR: {' and '.join(writers)} may write to {folder}.", fix)
    for place in (folder, *(folder / name for name in FOLDERS)):
        _refuse_strange(place)


def _refuse_strange(place: Path) -> None:
    """Look at each entry of one folder: at most some hundred, since pictures lie one level below."""
    if not place.is_dir():
        return
    with os.scandir(place) as entries:
        for entry in entries:
            if is_link(entry):
                fix = "Delete the link, or move what it names there (a disk of its own can be mounted there)."
                raise StateError(f"STATE_DIR: {entry.path} is a link, which would be followed.", fix)
            owner = entry.stat(follow_symlinks=False).st_uid
            if is_stranger(owner):
                fix = "Find out who put it there, and delete it or give it to the account that runs the tool."
                raise StateError(f"STATE_DIR: {entry.path} belongs to {account_name(owner)}.", fix)
