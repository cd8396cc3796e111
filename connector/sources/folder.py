"""Read pictures that are named after people from a folder, in full in every run."""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from connector.config import Settings
from connector.errors import SettingsError
from connector.model import MatchRule, Person, Reason, RequestCounters, SourcePhoto, fold
from connector.sources import Cookie, Mode, Page, PersonRead, Reading, SourceTraits, Unidentified
from connector.sources.folder_index import SHOWN, FolderIndex, map_problem, unreadable

CONTEXT = "folder"
ATTRIBUTE = "file"
# A file that changed so lately may still be on its way here: it is looked at twice, so long apart.
SETTLED_SECONDS = 60.0
SECOND_LOOK_SECONDS = 3.0
# No picture is larger; what is, is read so far that it is reported as too large.
MOST_BYTES = 20_000_001
PAGE_FILES, PAGE_BYTES = 50, 50_000_000


def traits(settings: Settings) -> SourceTraits:
    """Describe a folder: one picture a person, and what is not there is known to be absent."""
    return SourceTraits(
        attribute_order=(ATTRIBUTE,),
        match_rules=(settings.folder_key,),
        matches_any_account=True,
        absence_is_known=True,
        names_are_paths=True,
    )


def local_problems(settings: Settings) -> list[str]:
    """Return why FOLDER_MAP cannot be used; a folder needs no library, certificate or key."""
    problem = map_problem(settings.folder_map) if settings.folder_map is not None else ""
    return [problem] if problem else []


def open_folder(settings: Settings, traffic: RequestCounters) -> FolderSource:
    """Return the source of the settings; raise SettingsError without a path, or with a map that cannot be used."""
    if settings.folder_path is None:
        raise SettingsError(["FOLDER_PATH: is needed with SOURCE=folder."])
    if problems := local_problems(settings):
        raise SettingsError(problems)
    return FolderSource(settings.folder_path, settings.folder_key, settings.folder_map)


class FolderSource:
    """Read pictures named by UPN, mail, employee ID or sAMAccountName, in a folder and those below it.

    A file named after a person is that person's, whatever its ending; several with equal bytes are one. Symbolic links
    are not followed. `folder_map` names files of people instead, on some days. A folder that cannot be read to its last
    file raises Unreachable, so that nobody's photo counts as cleared by a read that was cut short.
    """

    def __init__(self, folder: Path, key: MatchRule, folder_map: Path | None = None) -> None:
        self._folder = folder
        self._key = key
        self._map = folder_map
        self._listed: FolderIndex | None = None

    def contexts(self) -> Sequence[str]:
        """Name the one context."""
        return (CONTEXT,)

    def shape(self) -> str:
        """Return a fingerprint of folder, key and map."""
        mapped = f"|{self._map.absolute()}" if self._map is not None else ""
        return hashlib.sha256(f"1|{self._folder.absolute()}|{self._key}{mapped}".encode()).hexdigest()

    def read(self, context: str, cookie: Cookie | None, *, in_full: bool = False) -> Reading:
        """Read all files: their bytes show what changed, whatever their dates say."""
        listed = self._list()
        return Reading(Mode.FULL, self._pages(listed), self._notice(listed), absent_is_cleared=True)

    def roster(self, context: str) -> Iterator[str | Unidentified] | None:
        """Return None: a folder knows no groups."""
        return None

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        """Read these people's files again; a person without a file has none in a folder that was listed anew."""
        keys = [person_id.removeprefix(f"{CONTEXT}:") for person_id in person_ids]
        listed = self._listing_for(keys)
        filed = {key: listed.names(key) for key in keys}
        for key in (key for key, names in filed.items() if not names):
            if file := listed.not_yet(key):
                yield self._unread(key, [file], Reason.SOURCE_UNREAD)
            else:
                yield PersonRead(self._person(key, key), cleared=frozenset({ATTRIBUTE}))
        yield from self._reads(listed, ((key, names) for key, names in filed.items() if names))

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people have a file now."""
        listed = self._list()
        for person_id in person_ids:
            key = person_id.removeprefix(f"{CONTEXT}:")
            if listed.names(key) or listed.not_yet(key):
                yield person_id

    def existing(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield everybody: a folder knows no anchor that could be taken over."""
        return iter(person_ids)

    def emptied(self, context: str, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
        """Yield nobody: the reading itself shows what a whole folder does not hold."""
        return iter(())

    def find(self, name: str) -> Sequence[PersonRead]:
        """Find the person whose file has this name, with or without its ending."""
        listed, key = self._list(), fold(name)
        if file := listed.not_yet(key):
            return [self._unread(key, [file], Reason.SOURCE_UNREAD)]
        key = key if len(listed.names(key)) == 1 else listed.key_of(name)
        return list(self._reads(listed, [(key, listed.names(key))])) if key else []

    def close(self) -> None:
        """Forget the listing."""
        if self._listed is not None:
            self._listed.close()
        self._listed = None

    def _list(self) -> FolderIndex:
        self.close()
        self._listed = FolderIndex(self._folder, self._may_name)
        if self._map is not None:
            self._listed.apply_map(self._map, self._folder)
        return self._listed

    def _listing_for(self, keys: Sequence[str]) -> FolderIndex:
        """Return the listing at hand where each of them still has the file that it names, else a new one."""
        listed = self._listed
        if listed is not None and all(self._is_there(listed.names(key)) for key in keys):
            return listed
        return self._list()

    def _is_there(self, names: Sequence[str]) -> bool:
        return bool(names) and all(_state(self._path(name)) for name in names)

    def _may_name(self, key: str) -> bool:
        """Return True if a file without a picture's ending may be named after a person: not every text is."""
        return "@" in key if self._key in (MatchRule.UPN, MatchRule.MAIL) else bool(key)

    def _notice(self, listing: FolderIndex) -> str:
        notices = []
        shown: list[str] = []
        count = 0
        for names in (names for names in listing.several() if not self._are_equal(names)):
            count += 1
            shown += [" and ".join(names)] if count <= SHOWN else []
        if count:
            named = "; ".join(shown)
            notices.append(f"{count} people have several files, of which none is used: {named}. Leave one of each.")
        if count := listing.nameless:
            named = "; ".join(listing.nameless_shown)
            notices.append(f"{count} files have names that are not UTF-8, and are left out: {named}. Rename them.")
        return " ".join(notices)

    def _pages(self, listing: FolderIndex) -> Iterator[Page]:
        not_yet = (self._unread(key, [file], Reason.SOURCE_UNREAD) for key, file in listing.all_not_yet())
        for page in _in_pages(chain(self._reads(listing, listing.people()), not_yet)):
            yield Page(page)
        if not _state(os.fspath(self._folder)):
            raise unreadable(self._folder, "it went away while it was read")
        yield Page([], complete=True)

    def _reads(self, listing: FolderIndex, people: Iterable[tuple[str, list[str]]]) -> Iterator[PersonRead]:
        """Yield each of these people; a file that changed just now comes last, after a second look."""
        for key, names in people:
            path = self._file(names)
            state = _state(path) if path else ""
            if _changed_just_now(state):
                listing.put_off(key, state, time.monotonic())
            else:
                yield self._read(key, names, path)
        for key, state, at in listing.take_put_off():
            time.sleep(max(0.0, at + SECOND_LOOK_SECONDS - time.monotonic()))
            names = listing.names(key)
            path = self._file(names)
            if path is None or _state(path) != state:
                yield self._unread(key, names, Reason.STILL_CHANGING)
            else:
                yield self._read(key, names, path)

    def _path(self, name: str) -> str:
        """Return where a file of the listing is: as text, since pathlib would intern the many names."""
        return os.path.join(self._folder, name.replace("/", os.sep))

    def _file(self, names: Sequence[str]) -> str | None:
        """Return the file of a person; None where there are several that differ, or the map names no file below."""
        if self._map is not None and not all(self._is_below(name) for name in names):
            return None
        return self._path(names[0]) if len(names) == 1 or self._are_equal(names) else None

    def _is_below(self, name: str) -> bool:
        """Return True if this is a file below the folder, also after its links were followed."""
        try:
            top, path = (os.path.normcase(os.path.realpath(one)) for one in (self._folder, self._path(name)))
        except OSError:  # a loop of links
            return False
        return os.path.isfile(path) and path.startswith(os.path.join(top, ""))

    def _are_equal(self, names: Sequence[str]) -> bool:
        """Return True if all these files hold the same bytes."""
        paths = [self._path(name) for name in names]
        try:
            if len({os.stat(path).st_size for path in paths}) > 1:
                return False
            return len({_digest(path) for path in paths}) == 1
        except OSError:
            return False

    def _read(self, key: str, names: Sequence[str], path: str | None) -> PersonRead:
        if path is None:
            return self._unread(key, names, Reason.SOURCE_UNREAD)
        try:
            content_bytes, is_same = _contents(path)
        except OSError:  # a lock, a right
            return self._unread(key, names, Reason.SOURCE_UNREAD)
        if not is_same:
            return self._unread(key, names, Reason.STILL_CHANGING)
        return PersonRead(self._person(key, names[0]), (SourcePhoto(ATTRIBUTE, content_bytes),))

    def _unread(self, key: str, names: Sequence[str], reason: Reason) -> PersonRead:
        person = self._person(key, " | ".join(names))
        return PersonRead(person, unread=frozenset({ATTRIBUTE}), unread_reason=reason)

    def _person(self, key: str, name: str) -> Person:
        exact = unicodedata.normalize("NFC", os.path.basename(name))[: len(key)]
        spelled = self._listed.spelling(key) if self._listed is not None else ""
        value = spelled or (exact if fold(exact) == key else key)  # an employee ID is compared with its letter case
        named = {rule: value if rule is self._key else "" for rule in MatchRule}
        return Person(
            id=f"{CONTEXT}:{key}",
            name=name,
            upn=named[MatchRule.UPN],
            mail=named[MatchRule.MAIL],
            employee_id=named[MatchRule.EMPLOYEE_ID],
            sam_account_name=named[MatchRule.SAM_ACCOUNT_NAME],
        )


def _state(path: str) -> str:
    """Return a file's state: when it was changed, and its size; empty where it cannot be seen."""
    try:
        seen = os.stat(path)
    except OSError:
        return ""
    return f"{seen.st_mtime_ns} {seen.st_size}"


def _changed_just_now(state: str) -> bool:
    return bool(state) and abs(time.time() - int(state.split()[0]) / 1e9) < SETTLED_SECONDS


def _contents(path: str) -> tuple[bytes, bool]:
    """Return a file's bytes, and whether it stayed as it was while they were read; raise OSError."""
    with open(path, "rb") as stream:
        before = os.fstat(stream.fileno())
        content_bytes = stream.read(min(MOST_BYTES, before.st_size + 1))  # so much is set aside at once
        after = os.fstat(stream.fileno())
    return content_bytes, (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _in_pages(events: Iterable[PersonRead]) -> Iterator[list[PersonRead]]:
    """Cut into pages of so many files, or fewer large ones."""
    page: list[PersonRead] = []
    page_bytes = 0
    for event in events:
        page.append(event)
        page_bytes += sum(len(photo.content_bytes) for photo in event.photos)
        if len(page) == PAGE_FILES or page_bytes >= PAGE_BYTES:
            yield page
            page, page_bytes = [], 0
    if page:
        yield page
