"""What if the pictures lie in a folder? Each is named after its person; the folder is read whole every night."""

from __future__ import annotations

import hashlib
import os
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from connector.model import MatchRule, Person, SourcePhoto
from connector.sources import Cookie, Mode, Page, PersonRead, Reading
from connector.sources.listing import SHOWN, Listing, folded, unreadable

CONTEXT = "folder"
ATTRIBUTE = "file"
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"})
# A file that changed so lately may still be on its way here: it is left for the next night.
SETTLED_SECONDS = 60.0
# No picture is larger; what is, is read so far that it is told as too large.
MOST_BYTES = 20_000_001
PAGE_FILES, PAGE_BYTES = 50, 50_000_000


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

    def read(self, context: str, cookie: Cookie | None, *, in_full: bool = False) -> Reading:
        """Read all files: their bytes tell what changed, whatever their dates say."""
        listed = self._list()
        return Reading(Mode.FULL, self._pages(listed), self._notice(listed), absent_is_cleared=True)

    def roster(self, context: str) -> Iterator[str] | None:
        """Return None: a folder knows no groups."""
        return None

    def fetch(self, person_ids: Sequence[str]) -> Iterator[PersonRead]:
        """Read these people's files again; whoever has none any more has none in a folder that was listed anew."""
        keys = [person_id.removeprefix(f"{CONTEXT}:") for person_id in person_ids]
        listed = self._listing_for(keys)
        for key in keys:
            names = listed.names(key)
            yield (
                self._read(key, names) if names else PersonRead(self._person(key, key), cleared=frozenset({ATTRIBUTE}))
            )

    def present(self, context: str, person_ids: Iterable[str]) -> Iterator[str]:
        """Yield which of these people have a file now."""
        listed = self._list()
        yield from (one for one in person_ids if listed.names(one.removeprefix(f"{CONTEXT}:")))

    def emptied(self, context: str, person_ids: Iterable[str], attribute: str) -> Iterator[str]:
        """Yield nobody: what a whole folder does not hold is told by the reading itself."""
        return iter(())

    def find(self, name: str) -> Sequence[PersonRead]:
        """Find the person whose file has this name, with or without its ending."""
        listed, key = self._list(), folded(name)
        key = key if len(listed.names(key)) == 1 else listed.key_of(name)
        return [self._read(key, listed.names(key))] if key else []

    def close(self) -> None:
        """Forget the listing."""
        if self._listed is not None:
            self._listed.close()
        self._listed = None

    def _list(self) -> Listing:
        self.close()
        self._listed = Listing(self._folder, ENDINGS)
        return self._listed

    def _listing_for(self, keys: Sequence[str]) -> Listing:
        """Return the listing at hand where each of them still has the file that it names, else a new one."""
        listed = self._listed
        if listed is not None and all(self._is_there(listed.names(key)) for key in keys):
            return listed
        return self._list()

    def _is_there(self, names: Sequence[str]) -> bool:
        return len(names) == 1 and (self._folder / names[0]).exists()

    def _notice(self, listing: Listing) -> str:
        notices = []
        if count := listing.count_duplicates():
            named = "; ".join(" and ".join(names) for names in islice(listing.duplicates(), SHOWN))
            notices.append(f"{count} people have several files, of which none is used: {named}. Leave one of each.")
        if count := listing.nameless:
            named = "; ".join(listing.nameless_shown)
            notices.append(f"{count} files have names that are not UTF-8, and are left out: {named}. Rename them.")
        return " ".join(notices)

    def _pages(self, listing: Listing) -> Iterator[Page]:
        for page in _in_pages(self._read(key, names) for key, names in listing.people()):
            yield Page(page)
        if not self._folder.is_dir():
            raise unreadable(self._folder, "it went away while it was read")
        yield Page([], complete=True)

    def _read(self, key: str, names: Sequence[str]) -> PersonRead:
        person = self._person(key, " | ".join(names))
        content_bytes = self._bytes(self._folder / names[0]) if len(names) == 1 else None
        if content_bytes is None:
            return PersonRead(person, unread=frozenset({ATTRIBUTE}))
        return PersonRead(person, (SourcePhoto(ATTRIBUTE, content_bytes),))

    def _bytes(self, path: Path) -> bytes | None:
        """Return a file's bytes; None while it is being written, or cannot be read (a lock, a right)."""
        try:
            with path.open("rb") as stream:
                before = os.fstat(stream.fileno())
                content_bytes = stream.read(min(MOST_BYTES, before.st_size + 1))  # so much is set aside at once
                after = os.fstat(stream.fileno())
        except OSError:
            return None
        is_settled = abs(time.time() - after.st_mtime) >= SETTLED_SECONDS
        is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        return content_bytes if is_settled and is_same else None

    def _person(self, key: str, name: str) -> Person:
        exact = unicodedata.normalize("NFC", Path(name).stem)  # an employee ID is compared with its letter case
        value = exact if folded(exact) == key else key
        named = {rule: value if rule is self._key else "" for rule in MatchRule}
        return Person(
            id=f"{CONTEXT}:{key}",
            name=name,
            upn=named[MatchRule.UPN],
            mail=named[MatchRule.MAIL],
            employee_id=named[MatchRule.EMPLOYEE_ID],
            sam_account_name=named[MatchRule.SAM_ACCOUNT_NAME],
        )


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
