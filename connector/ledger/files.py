"""Store pictures in files named by their content: the spool and the backups."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from connector.disk import delete, delete_each, is_full, is_held, patiently, reason, write_new, write_whole
from connector.errors import DiskError

# So much of the disk is left to others, whatever the spool would like to hold.
SPARE_BYTES = 512 * 1024 * 1024


class Spool:
    """Store prepared pictures by the sha256 of their source until the run ends; what does not fit is made again.

    A few at a time can be kept in hand (in memory) instead, so that a full disk keeps nobody from their photo.
    """

    def __init__(self, folder: Path, *, spare_bytes: int = SPARE_BYTES) -> None:
        self._folder = folder
        self._place = folder
        self._spare_bytes = spare_bytes
        self._room_bytes = 0
        self._in_hand: dict[str, bytes] = {}

    def open(self) -> list[str]:
        """Empty the spool and see how much room there is; returns a sentence for each file that stays."""
        stay = self.empty()
        # what stays may be of another recipe, so it is not looked at again
        self._place = self._folder / secrets.token_hex(4) if stay else self._folder
        self._room_bytes = max(0, shutil.disk_usage(self._folder).free - self._spare_bytes)
        return stay

    def keep(self, source_sha256: str, sent_bytes: bytes) -> bool:
        """Keep a prepared picture; False when there is no room, which costs another read later and nothing else."""
        if len(sent_bytes) > self._room_bytes:
            return False
        path = self._path(source_sha256)
        if not path.exists():
            try:
                write_new(path, sent_bytes)
            except OSError as error:
                if is_full(error):
                    self._room_bytes = 0  # others filled the disk meanwhile
                elif not is_held(error):
                    raise
                return False
            self._room_bytes -= len(sent_bytes)
        return True

    def cache_in_memory(self, source_sha256: str, sent_bytes: bytes) -> None:
        """Keep a picture that found no room until `let_go`: for the few that are sent next."""
        if not self.has(source_sha256):
            self._in_hand[source_sha256] = sent_bytes

    def clear_memory_cache(self) -> None:
        """Drop what is kept in hand."""
        self._in_hand.clear()

    def has(self, source_sha256: str) -> bool:
        """Return True if the prepared picture is here."""
        return source_sha256 in self._in_hand or self._path(source_sha256).exists()

    def load(self, source_sha256: str) -> bytes:
        """Return the prepared picture; raises FileNotFoundError when it is not here."""
        if source_sha256 in self._in_hand:
            return self._in_hand[source_sha256]
        return patiently(self._path(source_sha256).read_bytes)

    def empty(self) -> list[str]:
        """Drop everything; returns a sentence for each file that stays, since another program holds it."""
        self.clear_memory_cache()
        return delete_each(self._folder.iterdir())[1]

    def _path(self, source_sha256: str) -> Path:
        return self._place / source_sha256[:2] / f"{source_sha256}.jpg"


class Backups:
    """Keep the cloud photos that were replaced or removed, by the sha256 of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, content_bytes: bytes) -> str:
        """Keep a photo and return its sha256; raises DiskError when the disk will not."""
        content_sha256 = hashlib.sha256(content_bytes).hexdigest()
        path = self._path(content_sha256)
        try:
            if self.load(content_sha256) is None:
                _write_backup(path, content_bytes)
            else:
                os.utime(path)  # young again: what kept it until now may be about to expire
        except OSError as error:
            if is_held(error):
                raise DiskError(f"the backup {path} cannot be kept: {reason(error)}", is_held=True) from error
            raise DiskError(f"a backup cannot be kept, {error.strerror or error}") from error
        return content_sha256

    def has(self, content_sha256: str) -> bool:
        """Return True if the photo is still kept."""
        return bool(content_sha256) and self._path(content_sha256).exists()

    def load(self, content_sha256: str) -> bytes | None:
        """Return the photo; None when it is gone, or is not what its name says."""
        try:
            content_bytes = patiently(self._path(content_sha256).read_bytes)
        except FileNotFoundError:
            return None
        return content_bytes if hashlib.sha256(content_bytes).hexdigest() == content_sha256 else None

    def drop(self, content_sha256: str) -> None:
        """Forget one photo."""
        delete(self._path(content_sha256))

    def drop_each(self, content_sha256s: Iterable[str]) -> list[str]:
        """Forget these photos, however young; returns a sentence for each that stays."""
        return delete_each(self._path(one) for one in content_sha256s if self.has(one))[1]

    def sweep(self, *, is_wanted: Callable[[str], bool], before: datetime) -> tuple[int, list[str]]:
        """Drop what nothing refers to, or was never finished, and is older than `before`.

        Returns how many files, and a sentence for each that stays, since another program holds it.
        """
        return delete_each(self._unwanted(is_wanted, before))

    def _unwanted(self, is_wanted: Callable[[str], bool], before: datetime) -> Iterator[Path]:
        for part in sorted(self._folder.iterdir()):
            if part.is_symlink() or not part.is_dir():
                continue  # a desktop.ini or .DS_Store that a file browser left
            with os.scandir(part) as entries:  # one at a time: there may be a file for everybody
                for entry in entries:
                    is_old = entry.stat(follow_symlinks=False).st_mtime < before.timestamp()
                    if is_old and not (entry.name.endswith(".jpg") and is_wanted(entry.name.removesuffix(".jpg"))):
                        yield Path(entry.path)

    def _path(self, content_sha256: str) -> Path:
        return self._folder / content_sha256[:2] / f"{content_sha256}.jpg"


def _write_backup(path: Path, content_bytes: bytes) -> None:
    """Write a file for its owner only, whole or not at all, so that it outlives a power cut."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, content_bytes, durable=True)
