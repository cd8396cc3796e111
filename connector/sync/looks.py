"""Look at the cloud photos of people without a source photo, so that `coverage` knows them; nothing is decided."""

from __future__ import annotations

from connector.errors import PersonError
from connector.ledger.coverage import save_look
from connector.ledger.memory import mark_checked
from connector.ledger.worklist import WorkItem
from connector.model import CloudTag, Reason
from connector.sync.context import RunContext


def is_look_only(item: WorkItem) -> bool:
    """Return True if it is merely this person's turn, and whatever the cloud shows, there is nothing to do."""
    is_known = item.source_sha256 or item.memory is not None or item.intent is not None
    return not is_known and not item.is_due and not item.is_again


def record_look(context: RunContext, target: str, item: WorkItem, answer: CloudTag | PersonError | None) -> None:
    """Store what the look showed. A refusal is stored too, so that the turn passes on; it fails nobody."""
    now = context.clock()
    if isinstance(answer, PersonError):
        if answer.reason is not Reason.INTERRUPTED:
            save_look(context.db, target, item.account.id, state="refused", size=(0, 0), now=now)
            mark_checked(context.db, target, item.account.id, now=now)
        return
    size = (answer.width, answer.height) if answer is not None else (0, 0)
    state = "none" if answer is None else "photo"
    save_look(context.db, target, item.account.id, state=state, size=size, now=now)
    mark_checked(context.db, target, item.account.id, now=now)
