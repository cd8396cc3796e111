"""Where do pictures lie, since no database holds any? In files named by what they hold: the spool and the backups."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from connector.errors import DiskError

# So much of the disk is left to others, whatever the spool would like to hold.
SPARE_BYTES = 512 * 1024 * 1024


class Spool:
    """Hold prepared pictures by the sha256 of their source until the night ends; what finds no room is made again.

    A few at a time can be kept in hand (in memory) instead, so that a full disk keeps nobody from their photo.
    """

    def __init__(self, folder: Path, *, spare_bytes: int = SPARE_BYTES) -> None:
        self._folder = folder
        self._spare_bytes = spare_bytes
        self._room_bytes = 0
        self._in_hand: dict[str, bytes] = {}

    def begin(self) -> None:
        """Empty the spool and see how much room there is."""
        self.empty()
        self._room_bytes = max(0, shutil.disk_usage(self._folder).free - self._spare_bytes)

    def keep(self, source_sha256: str, sent_bytes: bytes) -> bool:
        """Keep a prepared picture; False when there is no room, which costs another read later and nothing else."""
        if len(sent_bytes) > self._room_bytes:
            return False
        path = self._path(source_sha256)
        if not path.exists():
            try:
                write_private(path, sent_bytes, durable=False)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                self._room_bytes = 0  # others filled the disk meanwhile
                return False
            self._room_bytes -= len(sent_bytes)
        return True

    def keep_in_hand(self, source_sha256: str, sent_bytes: bytes) -> None:
        """Keep a picture that found no room until `let_go`: for the few that are sent next."""
        if not self.has(source_sha256):
            self._in_hand[source_sha256] = sent_bytes

    def let_go(self) -> None:
        """Drop what is kept in hand."""
        self._in_hand.clear()

    def has(self, source_sha256: str) -> bool:
        """Say whether the prepared picture is here."""
        return source_sha256 in self._in_hand or self._path(source_sha256).exists()

    def load(self, source_sha256: str) -> bytes:
        """Return the prepared picture; raises FileNotFoundError when it is not here."""
        if source_sha256 in self._in_hand:
            return self._in_hand[source_sha256]
        return self._path(source_sha256).read_bytes()

    def empty(self) -> None:
        """Drop everything."""
        self.let_go()
        for part in self._folder.iterdir():
            shutil.rmtree(part) if part.is_dir() else part.unlink()

    def _path(self, source_sha256: str) -> Path:
        return self._folder / source_sha256[:2] / f"{source_sha256}.jpg"


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
                write_private(path, content_bytes)
            else:
                os.utime(path)  # young again: what kept it until now may be about to expire
        except OSError as error:
            raise DiskError(f"a backup cannot be kept, {error.strerror or error}") from error
        return content_sha256

    def has(self, content_sha256: str) -> bool:
        """Say whether the photo is still kept."""
        return bool(content_sha256) and self._path(content_sha256).exists()

    def load(self, content_sha256: str) -> bytes | None:
        """Return the photo; None when it is gone, or is not what its name says."""
        try:
            content_bytes = self._path(content_sha256).read_bytes()
        except FileNotFoundError:
            return None
        return content_bytes if hashlib.sha256(content_bytes).hexdigest() == content_sha256 else None

    def drop(self, content_sha256: str) -> None:
        """Forget one photo."""
        self._path(content_sha256).unlink(missing_ok=True)

    def sweep(self, *, is_wanted: Callable[[str], bool], before: datetime) -> int:
        """Drop what nothing refers to, or was never finished, and is older than `before`; returns how many files."""
        count = 0
        for part in sorted(self._folder.iterdir()):
            with os.scandir(part) as entries:  # one at a time: there may be a file for everybody
                for entry in entries:
                    is_old = entry.stat().st_mtime < before.timestamp()
                    if is_old and not (entry.name.endswith(".jpg") and is_wanted(entry.name.removesuffix(".jpg"))):
                        Path(entry.path).unlink(missing_ok=True)
                        count += 1
        return count

    def _path(self, content_sha256: str) -> Path:
        return self._folder / content_sha256[:2] / f"{content_sha256}.jpg"


def write_private(path: Path, content_bytes: bytes, *, durable: bool = True) -> None:
    """Write a file for its owner only, whole or not at all; durable says that it must outlive a power cut."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_suffix(".part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content_bytes)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    draft.replace(path)
