"""Pack the backup of a replaced SharePoint picture: its files and properties, behind the picture in one file.

The file is the picture itself with a ZIP archive after it, which image readers ignore: it opens as a picture
and as an archive (APPNOTE.TXT 4.1.9 lets an archive begin anywhere). The archive has each file under its path in the
library, and `profile.json` with the properties as they were.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from zipfile import BadZipFile, ZipFile, ZipInfo

PROFILE = "profile.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharePointBackup:
    """Files by their path on the My Site host, properties by name, and the path of the file that was shown."""

    files: Mapping[str, bytes] = field(repr=False)
    properties: Mapping[str, str]
    shown: str

    @property
    def shown_bytes(self) -> bytes:
        """Return the picture that was shown."""
        return self.files[self.shown]


def pack(kept: SharePointBackup) -> bytes:
    """Return the backup as one file; equal backups give equal bytes."""
    out = io.BytesIO()
    profile = json.dumps({"properties": dict(kept.properties), "shown": kept.shown}, ensure_ascii=False, indent=1)
    with ZipFile(out, "w") as archive:
        for path, content_bytes in {f"/{PROFILE}": profile.encode(), **kept.files}.items():
            archive.writestr(ZipInfo(path.removeprefix("/")), content_bytes)
    return kept.shown_bytes + out.getvalue()


def unpack(kept_bytes: bytes) -> SharePointBackup | None:
    """Read a packed backup; return None for a file that is only a picture."""
    try:
        with ZipFile(io.BytesIO(kept_bytes)) as archive:
            profile = json.loads(archive.read(PROFILE))
            files = {f"/{name}": archive.read(name) for name in archive.namelist() if name != PROFILE}
            return SharePointBackup(files=files, properties=profile["properties"], shown=profile["shown"])
    except (BadZipFile, KeyError):
        return None
