"""Keep the cloud and source photos of this run's conflicts, so that the HTML report can show both."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from connector.errors import StopRun
from connector.ledger.worklist import WorkItem
from connector.report.from_ledger import ConflictPhotos
from connector.sources import Source
from connector.sync.context import RunContext
from connector.sync.guests import is_guest
from connector.sync.pictures import read_again

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
