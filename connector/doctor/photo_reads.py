"""Read one account's photo in every way that a run does, and wait until each of them shows a write."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from connector.cloud.batch import batch_get, decode_photo
from connector.cloud.photo_errors import says_no_photo
from connector.cloud.response import Response, read_refusal
from connector.cloud.transport import Transport
from connector.errors import Unreachable
from connector.model import Account, Fingerprint
from connector.sync.proofs import print_of
from connector.targets.graph import is_empty_picture

# The first pause between two looks, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class PhotoLook:
    """Contain what one account's photo looks like at one moment; empty where there is none."""

    tag: str = ""
    width: int = 0
    height: int = 0
    header_tag: str = ""
    content_bytes: bytes = field(default=b"", repr=False)
    sizes: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_photo(self) -> bool:
        """Return True if there are bytes."""
        return bool(self.content_bytes)

    @property
    def shown(self) -> Fingerprint | None:
        """Return what the bytes show; None without a picture."""
        return print_of(self.content_bytes) if self.content_bytes else None

    @property
    def sha256(self) -> str:
        """Return the sha256 of the bytes; empty without."""
        return hashlib.sha256(self.content_bytes).hexdigest() if self.content_bytes else ""


IsShown = Mapping[str, Callable[[PhotoLook], bool]]


@dataclass(frozen=True, slots=True)
class PhotoReader:
    """Read the photo of one account; a refusal other than "no photo" ends the proof."""

    transport: Transport
    account: Account

    @property
    def path(self) -> str:
        """Return the path of the photo."""
        return f"/users/{quote(self.account.id, safe='')}/photo"

    def look(self) -> PhotoLook:
        """Ask for metadata, bytes and sizes in one batch, as a run does, and for the bytes alone with their header."""
        urls = {"metadata": self.path, "bytes": f"{self.path}/$value", "sizes": f"{self.path}s"}
        answers = batch_get(self.transport, urls)
        alone = self.transport.request("GET", urls["bytes"], one_person=True)
        metadata = self._body(answers["metadata"])
        tag = metadata.get("@odata.mediaEtag")
        if is_empty_picture(metadata):
            metadata, tag = {}, ""
        content = self._content(answers["bytes"])
        header_tag = alone.headers.get("etag", "") if alone.ok else ""
        width, height = (_number(metadata.get(name)) for name in ("width", "height"))
        return PhotoLook(
            tag if isinstance(tag, str) else "", width, height, header_tag, content, self._sizes(answers["sizes"])
        )

    def wait_until(self, is_shown: IsShown, *, seconds: float) -> tuple[dict[str, float | None], PhotoLook]:
        """Look until all ways show it, at most so long; return after how many seconds each did, and the last look."""
        began, pause = time.monotonic(), FIRST_PAUSE
        delays: dict[str, float | None] = dict.fromkeys(is_shown)
        while True:
            look = self.look()
            passed = time.monotonic() - began
            for way, test in is_shown.items():
                if not test(look):
                    delays[way] = None  # it was seen too early: an older photo came again
                elif delays[way] is None:
                    delays[way] = round(passed, 2)
            if None not in delays.values() or passed >= seconds:
                return delays, look
            time.sleep(min(pause, max(0.0, seconds - passed)))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _body(self, answer: Response) -> Mapping[str, object]:
        return answer.json_object() if self._came(answer) else {}

    def _content(self, answer: Response) -> bytes:
        content_bytes = decode_photo(answer.body) if self._came(answer) else None
        return b"" if content_bytes is None or _is_one_pixel(content_bytes) else content_bytes

    def _sizes(self, answer: Response) -> dict[str, str]:
        value = self._body(answer).get("value")
        rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
        return {
            f"{_number(row.get('width'))}x{_number(row.get('height'))}": str(row.get("@odata.mediaEtag", ""))
            for row in rows
            if not is_empty_picture(row)
        }

    def _came(self, answer: Response) -> bool:
        if answer.ok and not answer.is_web_page:
            return True
        if not answer.is_web_page and says_no_photo(read_refusal(answer)):
            return False
        raise Unreachable(self.transport.system, f"the photo could not be read: {read_refusal(answer)}")


def _is_one_pixel(content_bytes: bytes) -> bool:
    """Return True for a GIF of one pixel; its head has version, width and height (GIF89a specification, section 18)."""
    return content_bytes.startswith(b"GIF8") and content_bytes[6:10] == b"\x01\x00\x01\x00"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
