"""Work list and standing outcomes are those of the decision table, in every combination."""

from __future__ import annotations

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

    @property
    def case(self) -> Case:
        source = SourceState.photo(f"photo of {self.id}") if self.has_photo else SourceState.cleared()
        if self.trouble in EXCLUDING:
            source = SourceState.exclude(self.trouble)
        states = {reason: state for state, reason in MATCH_REASONS.items()}
        match = states.get(self.trouble, MatchState.OK) if self.trouble else MatchState.OK
        return Case(person_id=self.id, source=source, match=match, memory=self.memory)


def memories(person: str, source_sha256: str) -> Iterator[Memory | None]:
    yield None
    for presence, is_own, is_same, policy, is_final, restored in product(
        Presence, (True, False), (True, False), POLICIES, (True, False), (True, False)
    ):
        yield Memory(
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
        count = sum(1 for _ in memories("", ""))
        for index in range(count):
            name = f"{'photo' if has_photo else 'cleared'} {trouble or 'fine'} {index}"
            source = f"photo of {name}" if has_photo else ""
            yield Combination(name, has_photo, trouble, list(memories(name, source))[index])


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


SETTINGS = ("", "OPT_OUT_GROUP", "KEEP_CLOUD_GROUP", "SOURCE_WINS_GROUP", "MATCH_EXTERNAL")
BY_SETTING = {**RULES, "": PersonRule.NONE, "MATCH_EXTERNAL": PersonRule.EXTERNAL}


@pytest.mark.parametrize(
    ("removed", "setting"), [(Removed.KEEP, ""), *((Removed.REMOVE, setting) for setting in SETTINGS)]
)
@pytest.mark.parametrize("conflict", Conflict)
def test_the_ledgers_queries_say_of_every_combination_what_the_table_says(
    tmp_path: Path, conflict: Conflict, removed: Removed, setting: str
) -> None:
    policy = Policy(conflict=conflict, removed=removed)
    with closing(open_ledger(tmp_path)[0]) as db:
        run = begin_run(db, kind="sync", now=NOW, dry_run=False, chosen=False)
        with transaction(db):
            fill(db, run)
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
