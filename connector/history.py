"""Collect a person's photo history from the ledger, with the available actions; contacts no system."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connector.command import pasteable, word_for
from connector.ledger.accounts import find_account
from connector.ledger.codec import unpack_time
from connector.ledger.history import (
    Event,
    PersonStatus,
    contexts_read,
    find_one,
    one_person,
    person_events,
    person_status,
    run_time,
    targets_of,
)
from connector.ledger.memberships import memberships_of
from connector.ledger.memory import find_intent, find_memory
from connector.ledger.restore import is_somebody_elses
from connector.ledger.state import State
from connector.ledger.writes import Write, last_writes_of
from connector.model import Account, Action, Person, PersonState, Presence, Reason
from connector.report import ADVICE
from connector.report.summary import iso_utc, local_time, one_line_safe, plain_detail, short_name

_BY_SETTING = {
    "OPT_OUT_GROUP": "Opted out",
    "OPT_OUT_FILE": "Opted out",
    "KEEP_CLOUD_GROUP": "The cloud photo wins a conflict",
    "SOURCE_WINS_GROUP": "The source photo wins a conflict",
}


@dataclass(frozen=True, slots=True)
class History:
    """Represent the history of one person: current state, events and available actions.

    `now` are sentences. `commands` are (command, effect). `kept` are the sha256 of the backups that still exist.
    """

    person: Person
    now: tuple[str, ...]
    events: tuple[Event, ...]
    commands: tuple[tuple[str, str], ...]
    kept: frozenset[str]


def history_of(state: State, name: str) -> History:
    """Return the history of the person with this name; UsageError if the name is unknown or ambiguous."""
    db = state.db
    person = find_one(db, name) or one_person(db, name)
    if find_account(db, person.id) is not None:  # an account that no person has goes by its own id
        return History(person, tuple(why_never_in_scope(db, person.id)), (), (), frozenset())
    status, events = person_status(db, person.id), tuple(person_events(db, person.id))
    kept = frozenset(event.before_sha256 for event in events if state.backups.has(event.before_sha256))
    now = tuple(_now(db, person.id, status, events))
    return History(person, now, events, tuple(_commands(state, person, status)), kept)


def _now(db: sqlite3.Connection, person_id: str, status: PersonStatus | None, events: Sequence[Event]) -> Iterator[str]:
    if status is None:
        yield "No longer in the source; only past actions are stored."
        return
    yield f"In the source: {_in_source(db, status)}."
    for one in memberships_of(db, person_id):
        yield f"{_BY_SETTING[one.setting]} since {local_time(unpack_time(one.since))} ({one.setting})."
    if not status.account_id:
        yield f"Account: none ({_problem(status)})."
        return
    yield f"Account: {status.account_upn or status.account_id}, matched by {status.match_rule or 'an earlier run'}."
    for target in targets_of(db, status.account_id):
        yield f"In the cloud ({target}): {_in_cloud(db, target, status, events)}."


def _problem(status: PersonStatus) -> str:
    if not status.match_problem:
        return "not searched yet"
    return f"{status.match_problem}: {ADVICE[Reason(status.match_problem)].title}"


def _in_source(db: sqlite3.Connection, status: PersonStatus) -> str:
    if status.state != "in-scope":
        return why_out_of_scope(db, status)
    if status.source_sha256:
        return "a photo"
    return status.source_reason or "not checked yet"


def _in_cloud(db: sqlite3.Connection, target: str, status: PersonStatus, events: Sequence[Event]) -> str:
    intent = find_intent(db, target, status.account_id)
    if intent is not None:
        answer = "accepted" if intent.accepted_at else "without an answer"
        return f"a write of {local_time(intent.started_at)}, {answer}, not confirmed yet"
    memory = find_memory(db, target, status.account_id)
    if memory is None:
        return "nothing stored"
    if memory.presence is Presence.OURS:
        is_current = memory.source_sha256 == status.source_sha256
        return "the source's photo" if is_current else "a photo that this tool uploaded before the source changed"
    gone = memory.presence is Presence.CLEARED
    if memory.restored:
        photo = "no photo, restored" if gone else "a photo that `restore` put back"
        return f"{photo}; not touched until the source changes, not even by `--overwrite`"
    photo = "no photo" if gone else "a photo that is not the source's"
    why = "left alone by `--clear`" if memory.is_final else "changed outside photo-connector"
    if gone and _was_cleared(events, target):
        why = "removed by `--clear`"
    return f"{photo}, {why}; not touched until the source changes"


def _was_cleared(events: Sequence[Event], target: str) -> bool:
    """Return True if the newest write, or word about one, is a removal by `--clear`."""
    written = [event for event in events if event.target == target and not event.dry_run]
    written = [event for event in written if event.is_write or event.reason is Reason.CLEARED_BY_ADMIN]
    return bool(written) and written[-1].reason is Reason.CLEARED_BY_ADMIN


def _commands(state: State, person: Person, status: PersonStatus | None) -> Iterator[tuple[str, str]]:
    """Yield the commands that would change the current state, with their effects."""
    names = (person.upn, person.sam_account_name, person.name)
    any_name, name = word_for(names, person.id), word_for(names, person.name)
    for write in last_writes_of(state.db, person.id):
        has_backup = write.action == "create" or state.backups.has(write.before_sha256)
        if has_backup and _is_as_written(state.db, write):
            yield (
                f"photo-connector restore --person {any_name}",
                f"undoes the last write, a {write.action} by run {write.run}",
            )
            break
    if status is None or status.state != "in-scope" or not status.account_id:
        return
    memories = [find_memory(state.db, target, status.account_id) for target in targets_of(state.db, status.account_id)]
    if status.source_sha256 and not any(memory.restored for memory in memories if memory is not None):
        yield f"photo-connector sync --only {name} --overwrite", "uploads the source's photo in any case"
    if any(memory.presence is Presence.OURS for memory in memories if memory is not None):
        yield f"photo-connector sync --only {name} --clear", "removes the cloud photo, if this tool uploaded it"


def _is_as_written(db: sqlite3.Connection, write: Write) -> bool:
    """Return False if it is known that the cloud no longer shows what the write left, so that `restore` skips it."""
    if is_somebody_elses(db, write) or find_intent(db, write.target, write.account_id) is not None:
        return False
    memory = find_memory(db, write.target, write.account_id)
    if memory is None:
        return True
    if write.action is Action.REMOVE:
        return memory.presence is Presence.CLEARED
    if memory.presence is Presence.OURS:
        return True
    left = {write.left_tag, write.left_sha256} - {""}
    return memory.presence is Presence.THEIRS and memory.restored and bool(left & {memory.tag, memory.read_sha256})


def rows(history: History, *, verbose: bool = False) -> Iterator[tuple[str, str, str, str]]:
    """Yield (when, run, what, why) of each event, oldest first; `verbose` adds hashes, tags and request ids."""
    for event in history.events:
        when, until = local_time(unpack_time(event.at)), local_time(unpack_time(event.until))
        if event.until:
            when = f"{when} to {until}"
        why = f"{ADVICE[event.reason].title} [{event.reason}]"
        if event.planned_reason is not None:
            why = f"{ADVICE[event.planned_reason].title} [{event.planned_reason}]. {why}"
        detail = plain_detail(event.detail, verbose=verbose)
        if detail:
            why += f". {detail}"
        if event.before_sha256:
            kept = "is kept" if event.before_sha256 in history.kept else "is no longer kept"
            why += f" (the previous photo {kept})"
        yield when, f"{event.kind} {event.run}, {event.target}", _what(event), why


def _what(event: Event) -> str:
    if event.planned is not None:
        return f"would {event.planned}"
    is_planned = event.dry_run and event.action in (Action.CREATE, Action.REPLACE, Action.REMOVE)
    return f"would {event.action}" if is_planned else event.action


def heading(history: History) -> tuple[str, ...]:
    """Return the lines with the person and the current state."""
    person = history.person
    name = one_line_safe(short_name(person.name))
    who = f"{name} <{one_line_safe(person.upn)}>" if person.upn and person.upn != name else name
    return (who, *(f"  {one_line_safe(line)}" for line in (person.name, *history.now)))


def endings(history: History) -> tuple[str, ...]:
    """Return the lines with the available actions."""
    return tuple(f"  {one_line_safe(command)}   ({what})" for command, what in history.commands)


def as_lines(history: History, *, verbose: bool = False) -> Iterator[str]:
    """Yield the history as plain lines."""
    yield from heading(history)
    yield ""
    yield from ("  ".join(row) for row in rows(history, verbose=verbose)) if history.events else ("No actions so far.",)
    if history.commands:
        yield from ("", "Available actions", *endings(history))


def as_json(history: History) -> dict[str, object]:
    """Return the history for programs; keys may be added."""
    person = history.person
    return {
        "person": person.name,
        "person_id": person.id,
        "upn": person.upn,
        "now": list(history.now),
        "events": [_event_json(event, history.kept) for event in history.events],
        "commands": [pasteable(command) for command, _ in history.commands],
    }


def _event_json(event: Event, kept: frozenset[str]) -> dict[str, object]:
    return {
        "run": event.run,
        "kind": event.kind,
        "at": iso_utc(unpack_time(event.at)),
        "until": iso_utc(unpack_time(event.until)),
        "dry_run": event.dry_run,
        "target": event.target,
        "action": event.action.value,
        "reason": event.reason.value,
        "planned": event.planned,
        "planned_reason": event.planned_reason,
        "detail": event.detail,
        "written": event.is_write,
        "backup": event.before_sha256 in kept,
    }


SCOPE_SETTINGS = "LDAP_BASE_DN, LDAP_EXCLUDE_DN, LDAP_GROUP and LDAP_FILTER (or FOLDER_PATH)"


def why_out_of_scope(db: sqlite3.Connection, status: PersonStatus) -> str:
    """Return in which state a person left the scope, since when, and by which setting."""
    run = status.seen_run
    since = f"since run {run}, {local_time(run_time(db, run))}" if run_time(db, run) else f"since run {run}"
    if status.state == PersonState.DISABLED:
        return (
            f"disabled {since}; left out unless LDAP_INCLUDE names this kind of mailbox, or LDAP_INCLUDE_DISABLED=true"
        )
    if status.state == PersonState.DELETED:
        return f"deleted {since}"
    return f"out of scope {since}: no longer chosen by {SCOPE_SETTINGS}; by which of them, the database does not know"


def why_never_in_scope(db: sqlite3.Connection, account_id: str) -> Iterator[str]:
    """Yield what is known of an account that no person in scope ever had."""
    yield "In the source: no run has seen a person in scope with this name, so nothing was done."
    account = find_account(db, account_id)
    if account is None:
        return
    yield f"Account: {account.upn or account.id}, {_kind(account)}."
    yield from _why(account)
    read = [f"{name} (run {run})" for name, run in contexts_read(db)]
    yield f"The directory was read up to now in: {', '.join(read)}." if read else "The directory was not read so far."


def _kind(account: Account) -> str:
    kind = "a guest" if account.is_guest else "a member"
    state = "enabled" if account.is_enabled else "disabled"
    return f"{kind}, {state}, {'synchronized' if account.is_synced else 'not synchronized'} from a directory"


def _why(account: Account) -> Iterator[str]:
    if account.is_guest:
        yield "Left out: guests have no person in the directory, except contacts (LDAP_INCLUDE_CONTACTS)."
    elif account.is_synced:
        text = f"Left out: the account is synchronized, so there is a directory user that {SCOPE_SETTINGS} leave out"
        reasons = "or who is disabled there" if not account.is_enabled else "or that the reading account may not see"
        yield f"{text}, {reasons}; which of them it is, the database does not know."
    else:
        yield (
            "Left out: the account is not synchronized, so it belongs to no directory user, or to one that neither the "
            "anchor nor MATCH_FALLBACK finds."
        )
