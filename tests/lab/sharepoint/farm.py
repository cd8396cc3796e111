"""The state of the emulated SharePoint: files in one library, profiles by account, refusals in OData 3.

What is claimed here stands in the facts' landscape, section 3; where that is silent, it is a field of `Farm`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

LITERAL = r"'((?:[^']|'')*)'"
UPLOAD = re.compile(
    rf"/_api/web/GetFolderByServerRelativePath\(DecodedUrl={LITERAL}\)/Files/AddUsingPath"
    rf"\(DecodedUrl={LITERAL},Overwrite=true\)"
)
FOLDER = re.compile(rf"/_api/web/GetFolderByServerRelativePath\(DecodedUrl={LITERAL}\)")
FILE = re.compile(rf"/_api/web/GetFileByServerRelativePath\(DecodedUrl={LITERAL}\)(/\$value)?")
PEOPLE = "/_api/SP.UserProfiles.PeopleManager"
READ = f"{PEOPLE}/GetPropertiesFor(accountName=@v)"
SET = f"{PEOPLE}/SetSingleValueProfileProperty"
KNOWN = ("PictureURL", "SPS-PicturePlaceholderState", "SPS-PictureExchangeSyncState", "SPS-PictureTimestamp")
PROFILE_ERROR = "-1, Microsoft.Office.Server.UserProfiles.UserProfileException"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; a dict is JSON."""

    status: int
    body: bytes | dict[str, object] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def no(cls, status: int, code: str, message: str) -> Said:
        """Refuse, in the envelope of OData 3."""
        return cls(status, {"odata.error": {"code": code, "message": {"lang": "en-US", "value": message}}})


@dataclass(slots=True)
class Farm:
    """Both hosts' state; `lock` guards it."""

    folders: set[str] = field(default_factory=lambda: {"/User Photos/Profile Pictures"})
    files: dict[str, bytes] = field(default_factory=dict)
    profiles: dict[str, dict[str, str]] = field(default_factory=dict)
    missing_folder_status: int = 404  # 409 was reported, too
    unknown_user_reads_null: bool = False  # unknown which: a null, or User Profile Error 1000
    lock: threading.RLock = field(default_factory=threading.RLock)

    def know(self, upn: str) -> dict[str, str]:
        """Give somebody a profile, as SharePoint makes it: no picture yet."""
        fresh = dict.fromkeys(KNOWN, "") | {"SPS-PicturePlaceholderState": "1"}
        with self.lock:
            return self.profiles.setdefault(f"i:0#.f|membership|{upn.lower()}", fresh)

    def forget(self, upn: str) -> None:
        """Delete somebody's profile."""
        with self.lock:
            del self.profiles[f"i:0#.f|membership|{upn.lower()}"]

    def profile(self, upn: str) -> dict[str, str]:
        """Return somebody's properties; KeyError without a profile."""
        return self.profiles[f"i:0#.f|membership|{upn.lower()}"]

    def on_my_site(self, method: str, target: str, body: bytes) -> Said:
        """Answer a request about files."""
        path = unquote(target)
        if method == "POST" and (found := UPLOAD.fullmatch(path)):
            return self._upload(found[1].replace("''", "'"), found[2].replace("''", "'"), body)
        if method == "GET" and (found := FOLDER.fullmatch(path)):
            return self._folder(found[1].replace("''", "'"))
        if not (found := FILE.fullmatch(path)):
            return Said.no(404, "-1, Microsoft.SharePoint.Client.ResourceNotFoundException", "Cannot find resource.")
        name = found[1].replace("''", "'").lower()
        if name not in self.files:
            return Said.no(404, "-2147024894, System.IO.FileNotFoundException", "File Not Found.")
        if method == "DELETE":
            del self.files[name]
            return Said(200)
        return Said(200, self.files[name], {"Content-Type": "image/jpeg"})

    def _folder(self, folder: str) -> Said:
        if folder not in self.folders:
            return Said.no(404, "-2147024894, System.IO.FileNotFoundException", "File Not Found.")
        return Said(200, {"Exists": True, "ServerRelativeUrl": folder})

    def _upload(self, folder: str, name: str, body: bytes) -> Said:
        if folder not in self.folders:
            code = "-2147024893, System.IO.DirectoryNotFoundException"
            return Said.no(self.missing_folder_status, code, "File Not Found.")
        path = f"{folder}/{name}"
        self.files[path.lower()] = body
        return Said(200, {"Name": name, "ServerRelativeUrl": path, "Length": str(len(body)), "Exists": True})

    def on_admin(self, method: str, target: str, body: bytes) -> Said:
        """Answer a request about profiles."""
        parts = urlsplit(target)
        if method == "GET" and unquote(parts.path) == READ:
            return self._properties(unquote(parts.query).removeprefix("@v=").strip("'").replace("''", "'"))
        if method == "POST" and parts.path == SET:
            wanted = json.loads(body)
            return self._set(wanted["accountName"], wanted["propertyName"], wanted["propertyValue"])
        return Said.no(404, "-1, Microsoft.SharePoint.Client.ResourceNotFoundException", "Cannot find resource.")

    def _properties(self, account: str) -> Said:
        held = self.profiles.get(account)
        if held is None and self.unknown_user_reads_null:
            return Said(200, {"odata.null": True})
        if held is None:
            return self._unknown()
        pairs = [{"Key": key, "Value": value, "ValueType": "Edm.String"} for key, value in held.items()]
        return Said(200, {"AccountName": account, "UserProfileProperties": pairs})

    def _set(self, account: str, key: str, value: str) -> Said:
        if account not in self.profiles:
            return self._unknown()
        if key not in KNOWN:
            code = "-1, Microsoft.Office.Server.UserProfiles.PropertyNotFoundException"
            return Said.no(500, code, "Property Not Found.")
        self.profiles[account][key] = value
        return Said(200, {"odata.null": True})

    def _unknown(self) -> Said:
        text = "User Profile Error 1000: User Not Found: Could not load profile data from the database."
        return Said.no(500, PROFILE_ERROR, text)
