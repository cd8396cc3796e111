"""Write, move and delete files: whole or not at all, through no link, with patience for what is open elsewhere."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

# ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION: a scanner, an indexer, Excel or a browser has the
# file open (https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-).
HELD = frozenset({5, 32, 33})
# Growing steps of about two seconds in all.
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8)
ENDING = ".part"
# Device names, with any file ending (https://learn.microsoft.com/windows/win32/fileio/naming-a-file).
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3]) *([.:]|$)", re.IGNORECASE)
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
    _FLAGS |= getattr(os, _name, 0)
Result = TypeVar("Result")


def is_held(error: OSError) -> bool:
    """Return True if Windows refused because another program has the file open, or may have.

    `open` goes through the C library there, whose refusal has no number of Windows but only EACCES.
    """
    number = getattr(error, "winerror", 0)
    return number in HELD or (number is None and error.errno == errno.EACCES)


def device_in(path: Path | str, *, windows: bool = sys.platform == "win32") -> str:
    """Return the part of a path that is a device on Windows, where all that is written to it is lost; else nothing."""
    parts = re.split(r"[\\/]", str(path)) if windows else []
    return next((part for part in parts if _DEVICE.match(part)), "")


def is_full(error: OSError) -> bool:
    """Return True if no room is left: on the disk, or within the quota of this account."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def reason(error: OSError) -> str:
    """Return the system's words for what went wrong, and who is the likely cause where a file is held."""
    said = error.strerror or str(error)
    return f"another program has it open, or its rights do not allow it ({said})" if is_held(error) else said


def patiently(act: Callable[[], Result], *, pauses: Sequence[float] = PAUSES) -> Result:
    """Call a function, and again after each pause while another program has the file open; raises the last OSError."""
    for pause in pauses:
        try:
            return act()
        except OSError as error:
            if not is_held(error):
                raise
        time.sleep(pause)
    return act()


def move(source: Path, target: Path) -> None:
    """Put a file in the place of another; what stood there is gone, and a link is replaced, not followed."""
    patiently(lambda: source.replace(target))


def delete(path: Path, *, pauses: Sequence[float] = PAUSES) -> None:
    """Delete a file, a link, or a folder with all that is in it; what is not there is no trouble."""

    def act() -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    with suppress(FileNotFoundError):
        patiently(act, pauses=pauses)


def delete_each(paths: Iterator[Path]) -> tuple[int, list[str]]:
    """Delete what can be deleted; return how many, and a sentence for each that stays.

    After the first that stays there is no more waiting: a folder whose rights are wrong must not hold a run for hours.
    """
    count, stay = 0, []
    pauses: Sequence[float] = PAUSES
    for path in paths:
        try:
            delete(path, pauses=pauses)
            count += 1
        except OSError as error:
            pauses = ()
            stay.append(f"{path} could not be deleted: {reason(error)}.")
    return count, stay


@contextmanager
def written_whole(path: Path, *, mode: int = 0o600, durable: bool = False) -> Iterator[IO[bytes]]:
    """Give a stream whose content takes the place of `path` at the end, or is dropped where the block raises.

    The draft has a random name beside it and is made new, so that no link and no file of somebody else is written to.
    `durable` says that it must outlive a power cut. A device, such as /dev/null, is written to and stays.
    """
    if _is_device(path):
        with path.open("wb") as stream:
            yield stream
        return
    draft = path.with_name(f".{secrets.token_hex(12)}{ENDING}")
    descriptor = os.open(draft, _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if hasattr(os, "fchmod"):  # Windows: the folder's ACL is inherited
                os.fchmod(descriptor, mode)
            yield stream
            stream.flush()
            if durable:
                os.fsync(descriptor)
        move(draft, path)
    except BaseException:
        with suppress(OSError):
            delete(draft)
        raise


def write_new(path: Path, content_bytes: bytes) -> None:
    """Write a file that is not there yet, and its folder; what could not be written whole is deleted again.

    Without a draft and a move: for a folder that is emptied before it is used again, whatever a kill left there.
    """
    try:
        descriptor = os.open(path, _FLAGS, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            rest = memoryview(content_bytes)
            while rest:
                rest = rest[stream.write(rest) :]
    except BaseException:
        with suppress(OSError):
            delete(path)
        raise


def _is_device(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.lstat().st_mode)
    except OSError:
        return False


def write_whole(path: Path, content_bytes: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a file, whole or not at all, as `written_whole` does."""
    with written_whole(path, mode=mode, durable=durable) as stream:
        stream.write(content_bytes)
