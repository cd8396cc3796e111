"""Read and write photos in Microsoft 365 through Graph: read in batches, written one by one.

Source: https://learn.microsoft.com/graph/api/resources/profilephoto
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote

from connector.cloud.batch import BATCH_SIZE, batch_get, decode_photo
from connector.cloud.photo_errors import PhotoOperation, page_came, photo_trouble, unreadable
from connector.cloud.refusal_limit import RefusalLimit
from connector.cloud.response import Response, describe_page, read_refusal
from connector.cloud.transport import Transport
from connector.errors import PersonError
from connector.model import Account, CloudObservation, CloudPhoto, Reason
from connector.model.reasons import ACCEPTED
from connector.targets import Features, Target, TargetContext

log = logging.getLogger("connector.targets")

Shrink = Callable[[bytes, int], bytes]
Value = TypeVar("Value")

JPEG = {"Content-Type": "image/jpeg"}
# Without a mailbox the photo is kept in the directory, which took no more than this (a rule seen in 2020).
MAILBOXLESS_BYTES = 100_000


def open_target(context: TargetContext) -> Target:
    """Open Graph as a target."""
    return GraphTarget(context.cloud.transport, shrink=context.shrink, failing=context.failing)


class GraphTarget:
    """Read and write photos by Graph; `shrink` makes a JPEG of at most so many bytes."""

    name = "graph"
    batch_size = BATCH_SIZE
    features = Features(accepted_text=ACCEPTED)

    def __init__(
        self, transport: Transport, *, shrink: Shrink | None = None, failing: Collection[str] = frozenset()
    ) -> None:
        """Take the accounts that failed in the run before (`failing`; see `RefusalLimit`)."""
        self._transport = transport
        self._shrink = shrink
        self._reads = RefusalLimit(transport.system, failing=failing)
        self._writes = RefusalLimit(transport.system, failing=failing)

    def tags(self, accounts: Sequence[Account]) -> Mapping[str, CloudObservation | PersonError | None]:
        """Return up to 20 photos' tags by one request."""
        answers = batch_get(self._transport, {account.id: _path(account) for account in accounts})
        return self._each(answers, accounts, _tag)

    def photos(self, accounts: Sequence[Account]) -> Mapping[str, CloudPhoto | PersonError | None]:
        """Return up to 20 photos by one request; without a tag, since the ETag header need not be the mediaEtag.

        Bytes that are not there say "no photo" only where the metadata says the same, which is asked then.
        """
        answers = batch_get(self._transport, {account.id: f"{_path(account)}/$value" for account in accounts})
        looked = self._each(answers, accounts, _photo)
        without = [account for account in accounts if looked[account.id] is None]
        tags = self.tags(without) if without else {}
        return looked | {account.id: _agreed(tags[account.id], account) for account in without}

    def photo_in_backup(self, kept_bytes: bytes) -> bytes:
        """Return the backup, which is the picture itself."""
        return kept_bytes

    def put(self, account: Account, content_bytes: bytes) -> None:
        """Write one photo; if a person without a mailbox is refused, once more with at most 100 KB."""
        answer = self._put(account, content_bytes)
        if self._shrink is not None and _may_be_too_big(answer, account, content_bytes):
            log.info("the photo of %s is sent again, smaller", account.id)
            answer = self._put(account, self._shrink(content_bytes, MAILBOXLESS_BYTES))
        self._check_written(answer, account, PhotoOperation.WRITE)

    def put_back(self, account: Account, kept_bytes: bytes) -> None:
        """Write the backup, which is the picture itself."""
        self.put(account, kept_bytes)

    def remove(self, account: Account) -> None:
        """Remove one photo; a photo that is already gone is a success."""
        answer = self._transport.request("DELETE", f"{_path(account)}/$value", one_person=True)
        self._check_written(answer, account, PhotoOperation.REMOVE)

    def _put(self, account: Account, content_bytes: bytes) -> Response:
        url = f"{_path(account)}/$value"
        return self._transport.request("PUT", url, body=content_bytes, headers=JPEG, one_person=True)

    def _check_written(self, answer: Response, account: Account, operation: PhotoOperation) -> None:
        """Return after a success, or if the photo was already gone; raise the person's error, or Unreachable."""
        if not answer.ok or answer.is_web_page:
            trouble = photo_trouble(answer, account, operation, others_pass=self._writes.has_passed)
            if trouble is None and operation is PhotoOperation.WRITE:
                trouble = unreadable(account, str(read_refusal(answer)))
            if trouble is not None:
                self._writes.count(trouble, account.id)
                raise trouble
        self._writes.report_success()

    def _read(self, answer: Response, account: Account, parse: Callable[[Response, Account], Value]) -> Value | None:
        """Return the parsed answer, or None for "no photo"; raise the person's error."""
        if answer.asks_for_claims:
            raise self._transport.token_refused(answer)
        if answer.ok and not answer.is_web_page:
            return parse(answer, account)
        trouble = photo_trouble(answer, account, PhotoOperation.READ, others_pass=self._reads.has_passed)
        if trouble is not None:
            raise trouble
        return None

    def _read_one(
        self, answer: Response, account: Account, parse: Callable[[Response, Account], Value]
    ) -> Value | PersonError | None:
        try:
            return self._read(answer, account, parse)
        except PersonError as error:
            return error

    def _each(
        self, answers: Mapping[str, Response], accounts: Sequence[Account], parse: Callable[[Response, Account], Value]
    ) -> dict[str, Value | PersonError | None]:
        looked = {account.id: self._read_one(answers[account.id], account, parse) for account in accounts}
        self._reads.count_batch(looked)
        return looked


def _tag(answer: Response, account: Account) -> CloudObservation | None:
    value = answer.json_object()
    if is_empty_picture(value):
        return None
    tag = value.get("@odata.mediaEtag")
    if not isinstance(tag, str) or not tag:
        raise unreadable(account, "the photo has no mediaEtag")
    return CloudObservation(tag, _pixels(value.get("width")), _pixels(value.get("height")))


def is_empty_picture(metadata: Mapping[str, object]) -> bool:
    """Return True if metadata describe a GIF of one pixel: the documented way to say "no photo".

    A GIF whose size is not told is somebody's photo.
    Source: https://learn.microsoft.com/graph/api/profilephoto-get
    """
    kind = str(metadata.get("@odata.mediaContentType", "")).lower()
    return kind == "image/gif" and metadata.get("width") == metadata.get("height") == 1


def _agreed(tag: CloudObservation | PersonError | None, account: Account) -> PersonError | None:
    """Return "no photo" where the metadata say so too, else the person's error: what is there cannot be kept."""
    if not isinstance(tag, CloudObservation):
        return tag
    message = f"Graph says that {account.upn or account.id} has a photo, and that its bytes are not there."
    return PersonError(Reason.UNREADABLE_ANSWER, message)


def _photo(answer: Response, account: Account) -> CloudPhoto:
    content_bytes = decode_photo(answer.body)
    if content_bytes is None:
        raise unreadable(account, "the photo is not base64")
    if content_bytes.lstrip().startswith(b"<"):
        raise page_came(account, describe_page(replace(answer, body=content_bytes)), PhotoOperation.READ)
    return CloudPhoto(content_bytes)


def _path(account: Account) -> str:
    return f"/users/{quote(account.id, safe='')}/photo"


def _pixels(value: object) -> int:
    return value if isinstance(value, int) else 0


def _may_be_too_big(answer: Response, account: Account, content_bytes: bytes) -> bool:
    if answer.status != 404 or len(content_bytes) <= MAILBOXLESS_BYTES:
        return False
    trouble = photo_trouble(answer, account, PhotoOperation.WRITE)
    return trouble is None or trouble.reason is not Reason.ACCOUNT_GONE
