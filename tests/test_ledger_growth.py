"""Reading the database in chunks passes everybody once; SQLite's own steps are counted, for four times the length.

A chunk that sorts or scans the whole list is not noticed with a hundred people, and takes hours with 300,000.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.decide.case import Decision
from connector.ledger import approval, people, plan
from connector.ledger import restore as undo
from connector.ledger import worklist as work
from connector.ledger.accounts import save_accounts
from connector.ledger.plan import Step
from connector.ledger.runs import begin_run
from connector.ledger.store import make_state_folder, open_ledger, transaction
from connector.ledger.writes import Write, save_write
from connector.model import Account, Action, Person, Reason

FEW, MANY, CHUNK = 400, 1_600, 20
NOW = datetime(2026, 11, 24, 1, tzinfo=UTC)


def ledger_of(folder: Path, count: int) -> sqlite3.Connection:
    """Make a ledger in which everybody has an account, is on the work list, in the plan, and to be taken back."""
    db, _ = open_ledger(make_state_folder(folder))
    work.begin_work(db)
    plan.begin_plan(db)
    undo.begin_undo(db)
    with transaction(db):
        run = begin_run(db, kind="sync", now=NOW, dry_run=False, chosen=False)
        for number in range(count):
            _add(db, f"{number:05}", run)
        work.list_everybody(db, "graph")
        for items in work.work_items(db, "graph"):
            for item in items:
                step = Step(item, Decision(Action.REPLACE, Reason.SOURCE_CHANGED), tag_before="")
                plan.add_step(db, "graph", step)
    return db


def _add(db: sqlite3.Connection, name: str, run: int) -> None:
    person = Person(id=f"person {name}", name=f"CN={name},OU=People", upn=f"{name}@contoso.test")
    people.save_person(db, person, context="OU=People", run=run)
    save_accounts(db, [Account(id=f"account {name}", upn=person.upn)], run=run)
    change = "UPDATE people SET account_id = ?, source_sha256 = ? WHERE id = ?"
    db.execute(change, (f"account {name}", name, person.id))
    write = Write(run, "graph", f"account {name}", person.id, Action.CREATE, NOW.isoformat(), "", "", name, None)
    save_write(db, write)
    undo.add_undo(db, write, action=Action.REMOVE, tag_before="")


def told(db: sqlite3.Connection) -> Iterator[object]:
    """Yield who was not told of, telling of each."""
    for items in work.undone(db, "graph", chunk=CHUNK):
        for item in items:
            work.done(db, "graph", item.person.id)
        yield items


WALKS: dict[str, Callable[[sqlite3.Connection], Iterator[object]]] = {
    "work-list": lambda db: work.work_items(db, "graph", chunk=CHUNK),
    "plan": lambda db: plan.steps(db, "graph", chunk=CHUNK),
    "undo": lambda db: undo.undo_steps(db, "graph", chunk=CHUNK),
    "those-who-were-not-told-of": told,
}


def steps_of(db: sqlite3.Connection, walk: Callable[[sqlite3.Connection], Iterator[object]]) -> int:
    """Return how many hundreds of instructions of its virtual machine SQLite takes."""
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    db.set_progress_handler(one_more, 100)
    assert sum(1 for _ in walk(db))
    db.set_progress_handler(None, 0)
    return count


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Give a short list and one of four times its length."""
    few, many = (ledger_of(tmp_path_factory.mktemp("ledger"), count) for count in (FEW, MANY))
    yield few, many
    few.close()
    many.close()


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_over_four_times_the_people_takes_about_four_times_the_steps(
    ledgers: tuple[sqlite3.Connection, sqlite3.Connection], walk: str
) -> None:
    few, many = (steps_of(db, WALKS[walk]) for db in ledgers)

    print(f"{walk}: {few} and {many} hundred steps")
    assert many <= 5 * few


def test_the_people_struck_out_of_a_plan_are_told_in_chunks_and_nobody_is_left_out(tmp_path: Path) -> None:
    db = ledger_of(tmp_path, 3 * CHUNK + 1)
    db.execute("DELETE FROM work")
    with transaction(db):
        approval.save_plan(db, 1, limits={}, options={})
        approval.begin_approved(db, 2, plan_run=1, kept=())

    found = [row["id"] for row in work.unlisted(db, 2, "graph", chunk=CHUNK)]
    db.close()

    assert found == [f"person {number:05}" for number in range(3 * CHUNK + 1)]
