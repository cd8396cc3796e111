"""Store what decisions leave: memories of cloud photos, and the end of open intents."""

from __future__ import annotations

from connector.decide.intents import IntentState
from connector.ledger import memory as memory_rows
from connector.ledger.worklist import WorkItem
from connector.ledger.writes import save_written_photo
from connector.model import CloudObservation, Intent, Memory
from connector.sync.context import RunContext


def close_settled_intent(
    context: RunContext, target: str, item: WorkItem, *, settled: IntentState | None, memory: Memory | None
) -> None:
    """Close an open intent if it was settled; for a confirmed write, store its tag, and its memory too."""
    if item.intent is None or settled is None or settled.stays_open:
        return
    if settled is not IntentState.OURS:
        memory_rows.close_intent(context.db, target, item.account.id)
        if memory != item.memory:
            _save_or_drop(context, target, item.account.id, memory)
        return
    shown = (memory.tag, memory.read_sha256) if memory is not None else ("", "")
    _confirm(context, target, item.account.id, intent=item.intent, memory=memory, shown=shown)


def confirm_write(
    context: RunContext,
    target: str,
    account_id: str,
    *,
    intent: Intent,
    memory: Memory | None,
    observation: CloudObservation,
) -> None:
    """Close the intent of a write that the cloud shows, and store its memory and what was read back."""
    shown = (observation.tag, observation.read_sha256)
    _confirm(context, target, account_id, intent=intent, memory=memory, shown=shown)


def _confirm(
    context: RunContext, target: str, account_id: str, *, intent: Intent, memory: Memory | None, shown: tuple[str, str]
) -> None:
    memory_rows.close_intent(context.db, target, account_id)
    _save_or_drop(context, target, account_id, memory)
    tag, read_sha256 = shown
    save_written_photo(context.db, target, account_id, run=intent.run, tag=tag, read_sha256=read_sha256)


def store_memory(context: RunContext, target: str, item: WorkItem, *, memory: Memory | None, asked: bool) -> None:
    """Store the memory after a decision without a write; if it is the same and the cloud was asked, mark it checked."""
    if memory != item.memory:
        _save_or_drop(context, target, item.account.id, memory)
    elif asked:
        memory_rows.mark_checked(context.db, target, item.account.id, now=context.clock())


def _save_or_drop(context: RunContext, target: str, account_id: str, memory: Memory | None) -> None:
    if memory is not None:
        memory_rows.save_memory(context.db, target, account_id, memory=memory, run=context.run, now=context.clock())
    else:
        memory_rows.drop_memory(context.db, target, account_id)
