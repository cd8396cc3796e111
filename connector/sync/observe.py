"""Fetch cloud photos in batches and describe what they show, or only store that somebody has one.

Decoding runs in the worker thread that fetched the photos.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from connector.errors import PersonError
from connector.ledger.coverage import save_look
from connector.ledger.memory import mark_checked
from connector.ledger.worklist import WorkItem
from connector.model import Account, CloudObservation, CloudPhoto, Reason
from connector.photo import PictureRefused, read_print
from connector.sync.context import RunContext
from connector.targets import Target


def is_no_picture(content_bytes: bytes) -> bool:
    """Return True if these bytes are not a whole picture, for example an HTML page or a truncated file."""
    try:
        read_print(content_bytes)
    except PictureRefused as refused:
        return refused.reason in (Reason.NOT_AN_IMAGE, Reason.DAMAGED)
    return False


def verified(answer: CloudPhoto | PersonError | None, account: Account) -> CloudPhoto | PersonError | None:
    """Return the photo that a write will replace, or the person's error if its bytes are not a picture."""
    if isinstance(answer, CloudPhoto) and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return answer


def no_picture(account: Account) -> PersonError:
    """Return the error of a person for whose photo the service returned something else."""
    message = f"What came as the photo of {account.upn or account.id} is no picture; nothing was written over it."
    return PersonError(Reason.UNREADABLE_ANSWER, message)


def observe_photo(photo: CloudPhoto, seen: CloudObservation | None) -> CloudObservation:
    """Describe the bytes of a cloud photo, beside what was seen of it; its print is None if they are not a picture."""
    try:
        shown = read_print(photo.content_bytes)
    except PictureRefused:
        shown = None
    read_sha256 = hashlib.sha256(photo.content_bytes).hexdigest()
    return (seen or CloudObservation(photo.tag)).with_bytes(read_sha256, shown, to_keep=photo.to_keep)


def fetch_observations(
    target: Target, accounts: Sequence[Account], tags: Mapping[str, CloudObservation]
) -> Mapping[str, CloudObservation | PersonError | None]:
    """Fetch and describe a batch of photos, by account id; None if a photo was removed since its tag was read."""
    answers = target.photos(accounts)
    return {account.id: _observe(answers[account.id], account, tags.get(account.id)) for account in accounts}


def _observe(
    answer: CloudPhoto | PersonError | None, account: Account, tag: CloudObservation | None
) -> CloudObservation | PersonError | None:
    if not isinstance(answer, CloudPhoto):
        return answer
    observation = observe_photo(answer, tag)
    if observation.read_print is None and is_no_picture(answer.content_bytes):
        return no_picture(account)
    return observation


def is_look_only(item: WorkItem) -> bool:
    """Return True if it is merely this person's turn, and whatever the cloud shows, there is nothing to do."""
    is_known = item.source_sha256 or item.memory is not None or item.intent is not None
    return not is_known and not item.is_due and not item.is_again


def record_look(
    context: RunContext, target: str, item: WorkItem, answer: CloudObservation | PersonError | None
) -> None:
    """Store what the look showed. A refusal is stored too, so that the turn passes on; it fails nobody."""
    now = context.clock()
    if isinstance(answer, PersonError):
        if answer.reason is not Reason.INTERRUPTED:
            save_look(context.db, target, item.account.id, state="refused", size=(0, 0), now=now)
            mark_checked(context.db, target, item.account.id, now=now)
        return
    seen = CloudObservation.at(answer)
    state = "photo" if seen.present else "none"
    save_look(context.db, target, item.account.id, state=state, size=(seen.width, seen.height), now=now)
    mark_checked(context.db, target, item.account.id, now=now)
