"""What if the pictures lie in a folder? Each is named after its person; the folder is read whole every night."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from connector.errors import Unreachable
from connector.model import MatchRule, Person, SourcePhoto
from connector.sources import Cookie, Mode, Page, PersonRead, Reading

CONTEXT = "folder"
ATTRIBUTE = "file"
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"})
# A file that changed so lately may still be on its way here: it is left for the next night.
SETTLED_SECONDS = 60.0
# No picture is larger; what is, is read so far that it is told as too large.
MOST_BYTES = 20_000_001
PAGE_FILES = 50
NAMED_DUPLICATES = 10


@dataclass(slots=True)
class Listing:
    """Hold the files by person: the name they are filed under, Unicode NFC without letter case."""

    files: dict[str, Path] = field(default_factory=dict)
    duplicates: dict[str, list[Path]] = field(default_factory=dict)

    def add(self, key: str, path: Path) -> None:
        """Add a file; from the second of one name on, none of them is used."""
        if key in self.duplicates:
            self.duplicates[key].append(path)
        elif key in self.files:
            self.duplicates[key] = [self.files.pop(key), path]
        else:
            self.files[key] = path


class FolderSource:
    """Read pictures named by UPN, mail, employee ID or sAMAccountName, in a folder and those below it.

    Symbolic links are not followed. A folder that cannot be read to its last file raises Unreachable, so that
    nobody's photo counts as cleared by a read that was cut short.
    """

    def __init__(self, folder: Path, key: MatchRule) -> None:
        self._folder = folder
        self._key = key
        self._listed: Listing | None = None

    def contexts(self) -> Sequence[str]:
        """Name the one context."""
        return (CONTEXT,)

    def shape(self) -> str:
        """Return a fingerprint of folder and key."""
        return hashlib.sha256(f"1|{self._folder.absolute()}|{self._key}".encode()).hexdigest()

    def read(self, context: str, cookie: Cookie | None) -> Reading:
        """Read all files: their bytes tell what changed, whatever their dates say."""
        self._listed = self._list()
        return Reading(Mode.FULL, self._pages(self._listed), self._notice(self._listed), absent_is_cleared=True)

    def roster(self, context: str) -> Iterator[str] | None:
        """Return None: a folder knows no groups."""
        return None

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        """Read these people's files again; one that vanished since is left out, unless its folder is there."""
        listed = self._list()
        for person_id in person_ids:
            key = person_id.removeprefix(f"{CONTEXT}:")
            if key in listed.files:
                yield self._read(key, listed.files[key])
            elif key in listed.duplicates:
                yield self._duplicate(key, listed.duplicates[key])
            else:
                yield PersonRead(self._person(key, key), cleared=frozenset({ATTRIBUTE}))

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people have a file now."""
        listed = self._list()
        there = listed.files.keys() | listed.duplicates.keys()
        yield from (one for one in person_ids if one.removeprefix(f"{CONTEXT}:") in there)

    def find(self, name: str) -> Sequence[PersonRead]:
        """Find the person whose file has this name, with or without its ending."""
        listed, key = self._list(), _folded(name)
        if key in listed.files:
            return [self._read(key, listed.files[key])]
        return [self._read(one, path) for one, path in listed.files.items() if self._name(path) == name]

    def close(self) -> None:
        """Forget the listing."""
        self._listed = None

    def _list(self) -> Listing:
        listing = Listing()
        for path in _walk(self._folder):
            if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
                listing.add(_folded(path.stem), path)
        return listing

    def _notice(self, listing: Listing) -> str:
        if not listing.duplicates:
            return ""
        named = [
            " and ".join(self._name(path) for path in paths)
            for paths in islice(listing.duplicates.values(), NAMED_DUPLICATES)
        ]
        count = len(listing.duplicates)
        return f"{count} people have several files, of which none is used: {'; '.join(named)}. Leave one of each."

    def _pages(self, listing: Listing) -> Iterator[Page]:
        events = self._events(listing)
        while page := list(islice(events, PAGE_FILES)):
            yield Page(page)
        if not self._folder.is_dir():
            raise self._unreadable("it went away while it was read")
        yield Page([], complete=True)

    def _events(self, listing: Listing) -> Iterator[PersonRead]:
        for key, path in sorted(listing.files.items()):
            yield self._read(key, path)
        for key, paths in sorted(listing.duplicates.items()):
            yield self._duplicate(key, paths)

    def _read(self, key: str, path: Path) -> PersonRead:
        person = self._person(key, self._name(path))
        content_bytes = self._bytes(path)
        if content_bytes is None:
            return PersonRead(person, unread=frozenset({ATTRIBUTE}))
        return PersonRead(person, (SourcePhoto(ATTRIBUTE, content_bytes),))

    def _duplicate(self, key: str, paths: Sequence[Path]) -> PersonRead:
        person = self._person(key, " | ".join(self._name(path) for path in paths))
        return PersonRead(person, unread=frozenset({ATTRIBUTE}))

    def _bytes(self, path: Path) -> bytes | None:
        """Return a file's bytes; None while it is being written, or cannot be read (a lock, a right)."""
        try:
            with path.open("rb") as stream:
                before = os.fstat(stream.fileno())
                content_bytes = stream.read(MOST_BYTES)
                after = os.fstat(stream.fileno())
        except OSError:
            return None
        is_settled = abs(time.time() - after.st_mtime) >= SETTLED_SECONDS
        is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        return content_bytes if is_settled and is_same else None

    def _person(self, key: str, name: str) -> Person:
        exact = unicodedata.normalize("NFC", Path(name).stem)  # an employee ID is compared with its letter case
        value = exact if _folded(exact) == key else key
        named = {rule: value if rule is self._key else "" for rule in MatchRule}
        return Person(
            id=f"{CONTEXT}:{key}",
            name=name,
            upn=named[MatchRule.UPN],
            mail=named[MatchRule.MAIL],
            employee_id=named[MatchRule.EMPLOYEE_ID],
            sam_account_name=named[MatchRule.SAM_ACCOUNT_NAME],
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _unreadable(self, why: str) -> Unreachable:
        fix = "Check FOLDER_PATH and the rights on it and on everything below; nothing was changed for anybody."
        return Unreachable("folder", f"{self._folder} could not be read: {why}.", fix)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield every regular file below a folder, in a stable order; whatever cannot be listed is raised."""

    def failed(error: OSError) -> None:
        fix = "Check FOLDER_PATH and the rights on it and on everything below; nothing was changed for anybody."
        raise Unreachable("folder", f"{error.filename} could not be read: {error.strerror}.", fix) from error

    for place, folders, files in os.walk(folder, onerror=failed):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            if _is_regular(path):
                yield path


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
