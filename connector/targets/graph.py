"""How does a photo get into Microsoft 365? Through Graph: looked at in batches, written one by one.

Source: https://learn.microsoft.com/graph/api/resources/profilephoto
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from connector.cloud.answer import Answer, read_refusal
from connector.cloud.batch import BATCH_SIZE, batch_get, decode_photo
from connector.cloud.photo_errors import Doing, photo_trouble, unreadable
from connector.cloud.transport import Transport
from connector.errors import PersonError, Unreachable
from connector.model import Account, CloudPhoto, CloudTag, Reason

log = logging.getLogger("connector.targets")

Shrink = Callable[[bytes, int], bytes]

JPEG = {"Content-Type": "image/jpeg"}
# Without a mailbox the photo is kept in the directory, which took no more than this (a rule seen in 2020).
MAILBOXLESS_BYTES = 100_000
DENIALS_IN_A_ROW = 10
READ_FIX = "Grant the application ProfilePhoto.ReadWrite.All with admin consent; photo-connector check shows its roles."
WRITE_FIX = (
    "The likely cause is the tenant's photo policy: look at it with GET "
    "https://graph.microsoft.com/beta/admin/people/photoUpdateSettings (Graph Explorer; source must not be onPremises, "
    "allowedRoles should be empty), and change it with PATCH as a Global Administrator; it acts within 24 hours. "
    "Otherwise grant the application ProfilePhoto.ReadWrite.All with admin consent."
)


class GraphTarget:
    """Read and write photos by Graph, as every target does; `shrink` makes a JPEG of at most so many bytes."""

    name = "graph"
    batch_size = BATCH_SIZE

    def __init__(self, transport: Transport, *, shrink: Shrink | None = None) -> None:
        self._transport = transport
        self._shrink = shrink
        self._reads = Denials("photos may not be read", READ_FIX)
        self._writes = Denials("photos may not be written", WRITE_FIX)

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudTag | PersonError | None]:
        """Look at up to 20 photos' tags in one request."""
        answers = batch_get(self._transport, {account.id: _path(account) for account in accounts})
        return {account.id: self._tag(answers[account.id], account) for account in accounts}

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Fetch up to 20 photos in one request; without a tag, since the ETag header need not be the mediaEtag."""
        answers = batch_get(self._transport, {account.id: f"{_path(account)}/$value" for account in accounts})
        return {account.id: self._photo(answers[account.id], account) for account in accounts}

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write one photo; where a person without a mailbox is refused, once more with at most 100 KB."""
        answer = self._put(account, content_bytes)
        if self._shrink is not None and _may_be_too_big(answer, account, content_bytes):
            log.info("the photo of %s is sent again, smaller", account.id)
            answer = self._put(account, self._shrink(content_bytes, MAILBOXLESS_BYTES))
        if not answer.ok:
            raise self._write_trouble(answer, account, Doing.WRITE)
        self._writes.well()

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write a photo that was kept; of a photo in Graph there is nothing else to keep."""
        self.put(account, kept_bytes)

    def remove(self, account: Account) -> None:
        """Remove one photo; a photo that is already gone is a success."""
        answer = self._done(self._transport.request("DELETE", f"{_path(account)}/$value"), account)
        trouble = None if answer.ok else photo_trouble(answer, account, Doing.REMOVE)
        if trouble is not None:
            raise self._counted(trouble, answer, self._writes)
        self._writes.well()

    def _put(self, account: Account, content_bytes: bytes) -> Answer:
        answer = self._transport.request("PUT", f"{_path(account)}/$value", body=content_bytes, headers=JPEG)
        return self._done(answer, account)

    def _done(self, answer: Answer, account: Account) -> Answer:
        """Return the answer to a write; raises PersonError for a yes that Graph cannot have said."""
        if answer.ok and answer.is_web_page:
            raise unreadable(account, "a web page came in Graph's place")
        return answer

    def _write_trouble(self, answer: Answer, account: Account, doing: Doing) -> PersonError:
        trouble = photo_trouble(answer, account, doing) or unreadable(account, str(read_refusal(answer)))
        return self._counted(trouble, answer, self._writes)

    def _counted(self, trouble: PersonError, answer: Answer, denials: Denials) -> PersonError:
        if trouble.reason is Reason.ACCESS_DENIED:
            denials.denied(str(read_refusal(answer)))
        return trouble

    def _read_trouble(self, answer: Answer, account: Account) -> PersonError | None:
        trouble = photo_trouble(answer, account, Doing.READ)
        if trouble is None:
            self._reads.well()
            return None
        return self._counted(trouble, answer, self._reads)

    def _tag(self, answer: Answer, account: Account) -> CloudTag | PersonError | None:
        if not answer.ok:
            return self._read_trouble(answer, account)
        self._reads.well()
        value = answer.json_object()
        width, height = _pixels(value.get("width")), _pixels(value.get("height"))
        kind = str(value.get("@odata.mediaContentType", "")).lower()
        if kind == "image/gif" and max(width, height) <= 1:
            return None  # the documented way to say "no photo"
        tag = value.get("@odata.mediaEtag")
        if not isinstance(tag, str) or not tag:
            return unreadable(account, "the photo has no mediaEtag")
        return CloudTag(tag, width, height)

    def _photo(self, answer: Answer, account: Account) -> CloudPhoto | PersonError | None:
        if not answer.ok:
            return self._read_trouble(answer, account)
        self._reads.well()
        content_bytes = decode_photo(answer.body)
        if content_bytes is None:
            return unreadable(account, "the photo is not base64")
        return CloudPhoto(content_bytes)


class Denials:
    """Count 403s in a row over all threads; raises Unreachable at the tenth, since then nobody's photo will do."""

    def __init__(self, what: str, fix: str) -> None:
        self._what = what
        self._fix = fix
        self._lock = threading.Lock()
        self._in_a_row = 0

    def well(self) -> None:
        """Begin to count anew after a success."""
        self._in_a_row = 0

    def denied(self, said: str) -> None:
        """Count one more."""
        with self._lock:
            self._in_a_row += 1
            enough = self._in_a_row >= DENIALS_IN_A_ROW
        if enough:
            message = f"{self._what}: {DENIALS_IN_A_ROW} people in a row were refused; the last answer was {said}."
            raise Unreachable("Graph", message, self._fix)


def _path(account: Account) -> str:
    return f"/users/{quote(account.id, safe='')}/photo"


def _pixels(value: object) -> int:
    return value if isinstance(value, int) else 0


def _may_be_too_big(answer: Answer, account: Account, content_bytes: bytes) -> bool:
    if answer.status != 404 or len(content_bytes) <= MAILBOXLESS_BYTES:
        return False
    trouble = photo_trouble(answer, account, Doing.WRITE)
    return trouble is None or trouble.reason is not Reason.ACCOUNT_GONE
