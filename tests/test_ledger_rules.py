"""Work list and standing outcomes are those of the decision table, in every combination."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from connector.decide.case import Case, MatchState, PersonRule, Policy, SourceState
from connector.decide.standing import POLICIES
from connector.decide.table import MATCH_REASONS, decide, needs_look
from connector.ledger import worklist as work
from connector.ledger.memberships import SETTINGS as RULES
from connector.ledger.memberships import save_members
from connector.ledger.memory import save_memory
from connector.ledger.people import save_person
from connector.ledger.runs import begin_run, save_standing
from connector.ledger.store import open_ledger, transaction
from connector.model import Action, Conflict, Memory, Person, Presence, Reason, Removed
from connector.model.reasons import EXCLUDING
from tests.test_decide_table import NOW

TROUBLES: tuple[Reason | None, ...] = (None, *sorted(EXCLUDING), *MATCH_REASONS.values())
# who has left is no longer in scope, and so on no list and in no standing outcome
LEFT = {Reason.OUT_OF_SCOPE, Reason.DISABLED, Reason.DELETED}


@dataclass(frozen=True, slots=True)
class Combination:
    """One state of a person, and what the decision table is asked of it."""

    id: str
    has_photo: bool
    trouble: Reason | None
    memory: Memory | None
    case: Case


Shape = tuple[Presence, bool, bool, str, bool, bool]
# nothing remembered, or every combination of what a memory may hold
SHAPES: tuple[Shape | None, ...] = (
    None,
    *product(Presence, (True, False), (True, False), POLICIES, (True, False), (True, False)),
)
MATCHES = {reason: state for state, reason in MATCH_REASONS.items()}


def memory_of(shape: Shape | None, person: str, source_sha256: str) -> Memory | None:
    if shape is None:
        return None
    presence, is_own, is_same, policy, is_final, restored = shape
    return Memory(
        person_id=person if is_own else "somebody else",
        presence=presence,
        source_sha256=source_sha256 if is_same else "another photo",
        conflict_policy=policy,
        is_final=is_final,
        restored=restored,
        tag="tag",
    )


def combinations() -> Iterator[Combination]:
    for has_photo, trouble in product((True, False), TROUBLES):
        for index, shape in enumerate(SHAPES):
            name = f"{'photo' if has_photo else 'cleared'} {trouble or 'fine'} {index}"
            memory = memory_of(shape, name, f"photo of {name}" if has_photo else "")
            source = SourceState.photo(f"photo of {name}") if has_photo else SourceState.cleared()
            if trouble in EXCLUDING:
                source = SourceState.exclude(trouble)
            match = MATCHES.get(trouble, MatchState.OK) if trouble else MatchState.OK
            case = Case(person_id=name, source=source, match=match, memory=memory)
            yield Combination(name, has_photo, trouble, memory, case)


ALL = list(combinations())


def fill(db: sqlite3.Connection, run: int) -> None:
    """Write a person for each combination, with the account of the same name."""
    for one in ALL:
        is_unread = one.trouble is Reason.SOURCE_UNREAD
        save_person(
            db, Person(id=one.id, name=one.id, upn=f"{one.id}@x"), context="away" if is_unread else "c", run=run
        )
        reason = "" if one.has_photo else "no-photo"
        source = f"photo of {one.id}" if one.has_photo else ""
        if one.trouble in EXCLUDING and not is_unread:
            source, reason = "", str(one.trouble)
        problem = str(one.trouble) if one.trouble in MATCH_REASONS.values() else ""
        account = "" if problem and one.trouble is not Reason.CLOUD_MANAGED else one.id
        state = str(one.trouble) if one.trouble in LEFT else "in-scope"
        db.execute(
            "UPDATE people SET account_id = ?, source_sha256 = ?, source_reason = ?, match_problem = ?, state = ? "
            "WHERE id = ?",
            (account, source, reason, problem, state, one.id),
        )
        if one.memory is not None:
            save_memory(db, "graph", one.id, memory=one.memory, run=run, now=NOW)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a ledger with a person for each combination, for each test to copy."""
    folder = tmp_path_factory.mktemp("filled")
    with closing(open_ledger(folder)[0]) as db:
        run = begin_run(db, kind="sync", now=NOW, dry_run=False, chosen=False)
        with transaction(db):
            fill(db, run)
    return folder


SETTINGS = ("", "OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP", "MATCH_EXTERNAL")
BY_SETTING = {**RULES, "": PersonRule.NONE, "MATCH_EXTERNAL": PersonRule.EXTERNAL}


@pytest.mark.parametrize(
    ("removed", "setting"), [(Removed.KEEP, ""), *((Removed.REMOVE, setting) for setting in SETTINGS)]
)
@pytest.mark.parametrize("conflict", Conflict)
def test_the_ledgers_queries_say_of_every_combination_what_the_table_says(
    tmp_path: Path, filled: Path, conflict: Conflict, removed: Removed, setting: str
) -> None:
    policy = Policy(conflict=conflict, removed=removed)
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)  # Wine 8 has no CopyFile2
    with closing(open_ledger(tmp_path)[0]) as db:
        run = db.execute("SELECT id FROM runs").fetchone()["id"]
        with transaction(db):
            if setting == "MATCH_EXTERNAL":
                db.execute("UPDATE people SET match_rule = 'external'")
            elif setting:
                save_members(db, setting, (one.id for one in ALL), now=NOW)
        work.begin_work(db)
        work.exclude(db, "graph", unread=("away",), with_exchange=False, guests=False)
        wins, removes = conflict is Conflict.SOURCE, removed is Removed.REMOVE
        work.list_different(db, "graph", source_wins=wins, removes=removes)
        listed = {row["person_id"] for row in db.execute("SELECT person_id FROM work")}
        save_standing(db, run, "graph", report_conflicts=conflict is Conflict.REPORT, removes=removes)
        told = {row["person_id"]: row for row in db.execute("SELECT * FROM standing_outcomes")}
    policy = policy.of(BY_SETTING[setting])
    assert len(ALL) == 2 * len(TROUBLES) * (1 + 3 * 2 * 2 * len(POLICIES) * 2 * 2)
    assert {one.id for one in ALL if needs_look(one.case, policy)} == listed
    for one in ALL:
        decision = decide(one.case, policy, NOW)
        if one.id in listed or one.trouble in LEFT or not is_told(decision.action, decision.reason, policy.conflict):
            assert one.id not in told, one
        else:
            row = told[one.id]
            said = (row["action"], row["reason"], bool(row["conflict"]))
            assert said == (decision.action, decision.reason, decision.conflict), one


def is_told(action: Action, reason: Reason, conflict: Conflict) -> bool:
    """A skip and a photo that the source cleared stand in each report; a conflict with `report` alone."""
    always = action is Action.SKIP or reason is Reason.SOURCE_REMOVED
    return always or (conflict is Conflict.REPORT and reason in (Reason.CONFLICT_STANDING, Reason.RESTORED))
