"""Keep the cloud and source photos of this run's conflicts, and of a plan, so that the HTML report can show both."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from connector.errors import StopRun
from connector.ledger.plan import Step, steps
from connector.ledger.worklist import WorkItem
from connector.model import Action, CloudPhoto
from connector.model.reasons import ADVICE
from connector.report.from_ledger import ConflictPhotos
from connector.sources import Source
from connector.sync.context import RunContext
from connector.sync.guests import is_guest
from connector.sync.pictures import read_again
from connector.sync.summary import Summaries, Summary
from connector.targets import Target

log = logging.getLogger("connector.sync")

# A report shows the pictures of at most this many people.
MAX_CONFLICTS = 500


def keep_conflict_photo(
    context: RunContext, item: WorkItem, read_sha256: str, content_bytes: bytes
) -> ConflictPhotos | None:
    """Store the cloud photo of a conflict for the report; return None if no report shows it or the spool is full."""
    if context.settings.report_pictures == "none":
        return None
    # The prefix keeps it apart from the prepared pictures, which are stored under their source's sha256.
    spool_key = f"cloud-{read_sha256}"
    if not context.spool.keep(spool_key, content_bytes):
        return None
    return ConflictPhotos(item.person.id, "" if is_guest(item) else item.source_sha256, spool_key)


def fetch_planned_photos(
    context: RunContext, target: Target, kept: Mapping[tuple[str, str], ConflictPhotos]
) -> Summaries[None]:
    """Fetch the cloud photos of a plan that is not carried out, as far as `REPORT_PICTURES` shows them.

    `kept` are those that this run already has. A failure only means fewer pictures.
    """
    photos: dict[tuple[str, str], ConflictPhotos] = {}
    try:
        for chunk in _shown_steps(context, target):
            room = MAX_CONFLICTS - len(kept) - len(photos)
            if room <= 0:
                break
            wanted = [step for step in chunk if (target.name, step.item.account.id) not in kept][:room]
            found = _cloud_photos(context, target, wanted)
            photos |= {(target.name, step.item.account.id): _photos_of(context, step, found) for step in wanted}
    except StopRun as stop:
        log.warning("the report shows fewer cloud photos: %s", stop)
    yield Summary(conflict_photos=photos)


def _shown_steps(context: RunContext, target: Target) -> Iterator[list[Step]]:
    """Yield the steps that the report shows in chunks: first those over somebody else's photo and the removals."""
    if context.settings.report_pictures == "none":
        return
    for is_first in (True, False):
        for chunk in steps(context.db, target.name, chunk=target.batch_size):
            risky = (
                step for step in chunk if (step.decision.conflict or step.decision.action is Action.REMOVE) is is_first
            )
            yield [step for step in risky if _is_shown(context, step)]


def _is_shown(context: RunContext, step: Step) -> bool:
    pictures = context.settings.report_pictures
    return pictures == "changes" or (
        pictures == "conflicts" and (step.decision.conflict or ADVICE[step.decision.reason].is_conflict)
    )


def _cloud_photos(context: RunContext, target: Target, wanted: Sequence[Step]) -> dict[str, bytes]:
    """Return by account id the photos that are replaced or removed, from their backups where these were taken."""
    replaced = [step for step in wanted if step.decision.action is not Action.CREATE]
    found = {step.item.account.id: context.backups.load(step.backup_sha256) for step in replaced if step.backup_sha256}
    missing = [step.item.account for step in replaced if not found.get(step.item.account.id)]
    answers = target.photos(missing) if missing else {}
    found |= {key: answer.content_bytes for key, answer in answers.items() if isinstance(answer, CloudPhoto)}
    return {account_id: content_bytes for account_id, content_bytes in found.items() if content_bytes}


def _photos_of(context: RunContext, step: Step, found: Mapping[str, bytes]) -> ConflictPhotos:
    """Store one cloud photo in the spool and return where both pictures are."""
    item, content_bytes, spool_key = step.item, found.get(step.item.account.id), ""
    if content_bytes:
        key = f"cloud-{hashlib.sha256(content_bytes).hexdigest()}"
        spool_key = key if context.spool.keep(key, content_bytes) else ""
    source_sha256 = "" if is_guest(item) or step.decision.action is Action.REMOVE else item.source_sha256
    return ConflictPhotos(item.person.id, source_sha256, spool_key)


def load_conflict_source_photos(context: RunContext, source: Source, photos: Iterable[ConflictPhotos]) -> None:
    """Read the source photos of these people again if the spool does not have them."""
    wanted = {
        photo.person_id: photo.source_sha256
        for photo in photos
        if photo.source_sha256 and not context.spool.has(photo.source_sha256)
    }
    try:
        read_again(context, wanted, source)
    except StopRun as stop:
        log.warning("the report shows fewer source photos: %s", stop)
