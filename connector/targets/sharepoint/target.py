"""Read and write photos in SharePoint: three thumbnails in a library, and four properties of the profile.

Legacy: since 2024 SharePoint shows the Microsoft 365 photo by itself (docs/sharepoint.md).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

from connector.cloud.refusal_limit import RefusalLimit
from connector.cloud.transport import origin_of
from connector.errors import PersonError
from connector.model import Account, Clock, CloudObservation, CloudPhoto, Reason, utc_now
from connector.model.reasons import ACCEPTED
from connector.targets import Features, Target, TargetContext
from connector.targets.sharepoint import api as rest
from connector.targets.sharepoint.api import SharePoint, open_sharepoint
from connector.targets.sharepoint.backup import SharePointBackup, pack, unpack
from connector.targets.sharepoint.file_names import (
    SIZES,
    THUMB,
    account_name,
    checked_stem,
    file_key,
    plain_url,
    stem_in,
    tag_of,
    thumb_name,
)

PICTURE, STAMP = "PictureURL", "SPS-PictureTimestamp"
STATES = ("SPS-PicturePlaceholderState", "SPS-PictureExchangeSyncState")
# So many profiles are stored between reading and writing; an older one is read again.
KEPT_PROFILES = 5000
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)

Thumbnails = Callable[[bytes], Sequence[bytes]]
Value = TypeVar("Value", CloudObservation, CloudPhoto)


def open_target(context: TargetContext) -> Target:
    """Open SharePoint as a target; file names that belong to somebody else are not written."""
    settings, widths = context.settings, context.settings.sharepoint_widths
    return SharePointTarget(
        open_sharepoint(settings, context.traffic, context.cloud),
        folder=settings.sharepoint_photo_folder,
        thumbnails=lambda content_bytes: context.thumbnails(content_bytes, widths),
        width=widths[-1],
        taken=names_of_others(context),
        failing=context.failing,
        clock=context.clock,
    )


def names_of_others(context: TargetContext) -> frozenset[str]:
    """Return the file names that must not be written: two accounts share one, or a renamed account still shows it."""
    taken = set(context.shared_names(file_key))
    for upn, tag in context.tags_in_use():
        shown = stem_in(tag).lower()
        if shown and shown != file_key(upn):
            taken.add(shown)
    return frozenset(taken)


class SharePointTarget:
    """Read and write thumbnails; `thumbnails` makes S, M and L, `taken` holds file names of other accounts."""

    name = "sharepoint"
    batch_size = 1

    def __init__(
        self,
        sharepoint: SharePoint,
        *,
        folder: str,
        thumbnails: Thumbnails,
        width: int | None = None,
        taken: frozenset[str] = frozenset(),
        clock: Clock = utc_now,
        failing: Collection[str] = frozenset(),
    ) -> None:
        self.features = Features(
            accepted_text=ACCEPTED,
            width=width,
            takes_guests=False,
            rotates_all=False,
            completes_others=True,
        )
        self._sharepoint = sharepoint
        self._folder = "/" + folder.strip("/")
        self._thumbnails = thumbnails
        self._taken = taken
        self._clock = clock
        self._reads = RefusalLimit(rest.SYSTEM, failing=failing)
        self._writes = RefusalLimit(rest.SYSTEM, failing=failing)
        self._folder_seen = False
        self._lock = threading.Lock()
        self._profiles: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._written: dict[str, CloudPhoto | None] = {}

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudObservation | PersonError | None]:
        """Return the tags, one request each; a forbidden file name is the person's error before any write."""
        return self._counted_reads({account.id: self._each(account, self._tag) for account in accounts})

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Return the largest thumbnail, with all files for the backup; no file at all is no photo."""
        return self._counted_reads({account.id: self._each(account, self._photo) for account in accounts})

    def photo_in_backup(self, kept_bytes: bytes) -> bytes:
        """Return the picture that was shown; the backup stores files and properties behind it."""
        kept = unpack(kept_bytes)
        return kept_bytes if kept is None else kept.shown_bytes

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write one picture and count the result."""
        with self._counted(account):
            self._put(account, content_bytes)

    def _put(self, account: Account, content_bytes: bytes) -> None:
        """Write states, three files, address and time; an interrupted write then shows as not done, or as done."""
        stem = checked_stem(account, self._taken)
        seen = self._forget(account)
        made = list(self._thumbnails(content_bytes))
        self._set_states(account, dict.fromkeys(STATES, "0"), seen=seen)
        for path, thumb_bytes in zip(self._own_paths(stem), made, strict=True):
            self._upload(path, thumb_bytes, account)
        self._show(account, self._url(stem), seen=seen, shown_bytes=made[-1])

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write the backup's files and properties and count the result."""
        with self._counted(account):
            self._put_back(account, kept_bytes)

    def _put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write the backup's files and properties, if the files under other names are still there, unchanged.

        Otherwise, and for a backup that is only a picture, the old picture is written under the account's own name:
        files of other names are never written.
        """
        kept = unpack(kept_bytes)
        own = self._own_paths(checked_stem(account, self._taken))
        mine = {path.lower(): path for path in own}
        if kept is None or not self._are_unchanged(kept, account, ignore=mine):
            self._put(account, kept_bytes if kept is None else kept.shown_bytes)
            return
        seen = self._forget(account)
        self._set_states(account, kept.properties, seen=seen)
        old = {path.lower(): content_bytes for path, content_bytes in kept.files.items()}
        for folded, path in mine.items():
            if folded in old:
                self._upload(path, old[folded], account)
            else:
                rest.delete(self._sharepoint, path, account=account)
        self._show(account, kept.properties[PICTURE], seen=seen, shown_bytes=kept.shown_bytes)

    def remove(self, account: Account) -> None:
        """Delete the three files and clear the properties; what is already gone is a success."""
        stem = checked_stem(account, self._taken)
        self._forget(account)
        with self._counted(account):
            for path in self._own_paths(stem):
                rest.delete(self._sharepoint, path, account=account)
            self._set(account, dict.fromkeys((*STATES, PICTURE, STAMP), ""))
        with self._lock:
            self._written[account.id] = None

    def written_photo(self, account: Account) -> CloudPhoto | None:
        """Return, once, the photo after the last write; SharePoint stores files and properties as they are sent."""
        with self._lock:
            return self._written.pop(account.id)

    @contextmanager
    def _counted(self, account: Account) -> Iterator[None]:
        """Count the result of a write; ten people refused in a row end the run."""
        try:
            yield
        except PersonError as error:
            self._writes.count(error, account.id)
            raise
        self._writes.report_success()

    def _counted_reads(self, answers: dict[str, Value | PersonError | None]) -> dict[str, Value | PersonError | None]:
        self._reads.count_batch(answers)
        return answers

    def _each(self, account: Account, look: Callable[[Account], Value | None]) -> Value | PersonError | None:
        try:
            return look(account)
        except PersonError as error:
            if error.reason is Reason.INTERRUPTED:
                raise
            return error

    def _tag(self, account: Account) -> CloudObservation | None:
        checked_stem(account, self._taken)
        profile = self._look(account)
        url = profile.get(PICTURE, "")
        return CloudObservation(tag_of(url, profile.get(STAMP, ""))) if url else None

    def _photo(self, account: Account) -> CloudPhoto | None:
        with self._lock:
            profile = self._profiles.get(account.id)
        profile = self._look(account) if profile is None else profile
        url = profile.get(PICTURE, "")
        if not url:
            return None
        paths = self._paths(url, account)
        fetched = {path: rest.download(self._sharepoint, path, account=account) for path in paths}
        files = {path: content_bytes for path, content_bytes in fetched.items() if content_bytes}
        shown = next((path for path in paths[:2] if path in files), None)
        if shown is None:
            return None
        kept = SharePointBackup(
            files=files, properties={name: profile[name] for name in (PICTURE, *STATES)}, shown=shown
        )
        return CloudPhoto(files[shown], tag_of(url, profile.get(STAMP, "")), kept_bytes=pack(kept))

    def _paths(self, url: str, account: Account) -> list[str]:
        """Return the picture's paths: L, where PictureURL points, the rest; all must be on the My Site host."""
        plain = urlsplit(quote(plain_url(url), safe=":/"))
        if origin_of(plain.geturl()) != plain_url(self._sharepoint.my_site.origin):
            message = (
                f"The picture of {account.upn} is on another host ({plain.hostname}), where it cannot be kept from."
            )
            raise PersonError(Reason.UNREADABLE_ANSWER, message, skip=True)
        path = unquote(plain.path)
        folder, _, name = path.rpartition("/")
        thumb = THUMB.fullmatch(name)
        stem = thumb.group(1) if thumb else ""
        sizes = [f"{folder}/{thumb_name(stem, size)}" for size in ("L", "S", "M")] if thumb else []
        return list(dict.fromkeys([*sizes[:1], path, *(other for other in sizes if other.lower() != path.lower())]))

    def _look(self, account: Account) -> dict[str, str]:
        """Read the profile, and store the properties that the write needs."""
        self._forget(account)
        profile = rest.properties_of(self._sharepoint, account_name(account), account)
        if PICTURE not in profile and not self._never_had_one(profile, account):
            message = f"The SharePoint profile of {account.upn} was read without its {PICTURE}"
            raise PersonError(Reason.UNREADABLE_ANSWER, message)
        kept = {name: profile.get(name, "") for name in (PICTURE, STAMP, *STATES)}
        with self._lock:
            self._profiles[account.id] = kept
            while len(self._profiles) > KEPT_PROFILES:
                self._profiles.popitem(last=False)
        return kept

    def _never_had_one(self, profile: Mapping[str, str], account: Account) -> bool:
        """Return True if a profile without PictureURL is of a person without a photo.

        It does not list the time of a photo either, and no file stands where this account's would.
        """
        if STAMP in profile:
            return False
        stem = checked_stem(account, self._taken)
        path = f"{self._folder}/{thumb_name(stem, 'M')}"
        return rest.download(self._sharepoint, path, account=account) is None

    def _forget(self, account: Account) -> dict[str, str]:
        with self._lock:
            return self._profiles.pop(account.id, {})

    def _own_paths(self, stem: str) -> list[str]:
        return [f"{self._folder}/{thumb_name(stem, size)}" for size in SIZES]

    def _upload(self, path: str, content_bytes: bytes, account: Account) -> None:
        folder, _, name = path.rpartition("/")
        try:
            rest.upload(self._sharepoint, folder, name, content_bytes, account=account)
        except PersonError as error:
            if rest.may_lack_folder(error):
                self._check_folder(folder)
            raise
        self._folder_seen = True

    def _check_folder(self, folder: str) -> None:
        """Ask once for the folder after a refused upload; a folder that was written to exists."""
        with self._lock:
            is_known, self._folder_seen = self._folder_seen, True
        if not is_known:
            rest.check_folder(self._sharepoint, folder)

    def _are_unchanged(self, kept: SharePointBackup, account: Account, *, ignore: Collection[str]) -> bool:
        """Return True if the backup's files with other names than the account's own are still there, unchanged."""
        return all(
            rest.download(self._sharepoint, path, account=account) == content_bytes
            for path, content_bytes in kept.files.items()
            if path.lower() not in ignore
        )

    def _set_states(self, account: Account, properties: Mapping[str, str], *, seen: Mapping[str, str]) -> None:
        """Set the states that differ from the profile's."""
        self._set(account, {name: properties[name] for name in STATES if properties[name] != seen.get(name)})

    def _show(self, account: Account, url: str, *, seen: Mapping[str, str], shown_bytes: bytes) -> None:
        """Set address and time, and store the written photo."""
        stamp = self._stamp(seen)
        self._set(account, {PICTURE: url, STAMP: stamp})
        with self._lock:
            self._written[account.id] = CloudPhoto(shown_bytes, tag_of(url, stamp))

    def _set(self, account: Account, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            rest.set_property(self._sharepoint, account_name(account), account, key=key, value=value)

    def _url(self, stem: str) -> str:
        return self._sharepoint.my_site.root + quote(f"{self._folder}/{thumb_name(stem, 'M')}")

    def _stamp(self, seen: Mapping[str, str]) -> str:
        """Return the seconds since the year 1, unlike the previous stamp, so that caches and tags see a new picture."""
        seconds = int((self._clock().astimezone(UTC) - BEGINNING).total_seconds())
        return str(seconds + 1 if seen.get(STAMP) == str(seconds) else seconds)
