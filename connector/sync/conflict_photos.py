"""Which pictures shall the report show side by side? Those of tonight's conflicts, while they are at hand."""

from __future__ import annotations

import logging

from connector.errors import StopRun
from connector.ledger.worklist import WorkItem
from connector.report.from_ledger import ConflictPhotos
from connector.sources import Source
from connector.sync.context import RunContext
from connector.sync.guests import is_guest
from connector.sync.prepare import read_again

log = logging.getLogger("connector.sync")

# No report shows more people's pictures than these.
MOST_CONFLICTS = 500


def keep_conflict_photo(
    context: RunContext, target: str, item: WorkItem, read_sha256: str, content_bytes: bytes
) -> None:
    """Hold the cloud photo of a conflict that no backup holds, until the report is told."""
    if context.settings.report_pictures == "none" or len(context.conflicts) >= MOST_CONFLICTS:
        return
    # A name of its own: under its sha256 alone it could pass for the prepared picture of somebody else.
    held_as = f"cloud-{read_sha256}"
    if context.spool.keep(held_as, content_bytes):
        source_sha256 = "" if is_guest(item) else item.source_sha256
        context.conflicts[target, item.account.id] = ConflictPhotos(item.person.id, source_sha256, held_as)


def load_conflict_source_photos(context: RunContext, source: Source) -> None:
    """Read the source photos of these people again where they are of an earlier night; a report needs nothing more."""
    wanted = {
        one.person_id: one.source_sha256
        for one in context.conflicts.values()
        if one.source_sha256 and not context.spool.has(one.source_sha256)
    }
    try:
        read_again(context, wanted, source)
    except StopRun as stop:
        log.warning("the report shows fewer source photos: %s", stop)
