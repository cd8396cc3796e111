"""Four times the people cost four times the work; the database's own steps are counted, since a clock is noisy.

A query that looks at everybody for each single one is not noticed with a hundred people, and takes hours
with 300,000.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.ledger.state import open_state
from connector.ledger.store import LEDGER_NAME
from connector.model import MatchRule, NoProgress, Progress
from connector.sync.context import Options, RestoreRequest
from connector.sync.read_back import READ_BACK_BACKLOG
from connector.sync.run import Backends, run_night
from tests.bench.faces import photo
from tests.lab.graph.world import World, new_world
from tests.lab.in_process import ROOT, InMemoryDirectory, InProcessClient, in_process_settings, open_in_process
from tests.lab.pictures import jpeg

FEW, MANY = 100, 400
UNIT = "OU=People,DC=contoso,DC=test"
QUERIES = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
# Each is so many instructions of SQLite's virtual machine (https://sqlite.org/opcode.html).
INSTRUCTIONS = 100
# A person of a full run whom nothing changed: seen and marked as changed, the account seen and its details, on the
# work list and off it, looked at, and told.
ROWS_OF_A_LOOK = 8
Watch = Callable[[sqlite3.Connection], None]


@dataclass(slots=True)
class Town:
    """So many people with accounts, and what their nights cost the ledger."""

    folder: Path
    people: int
    picture: Callable[[int], bytes] = photo
    lanes: int = 1
    register: InMemoryDirectory = field(default_factory=lambda: InMemoryDirectory((UNIT,)))
    now: datetime = datetime(2026, 11, 24, 1, tzinfo=UTC)
    more: dict[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=NoProgress)
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = new_world(ROOT)
        for number in range(self.people):
            one = self.register.add(f"crowd{number:05}", UNIT, self.picture(number))
            upn = one.person.upn
            self.world.tenant.add_account(upn, mail=upn, immutable_id=one.anchor, synced=True)

    def steps(self, options: Options) -> int:
        """Live through one night and return the ledger's steps, in hundreds of instructions."""
        count = [0]
        self._night(options, lambda db: db.set_progress_handler(functools.partial(_one_more, count), INSTRUCTIONS))
        return count[0]

    def commits(self, options: Options) -> tuple[int, int]:
        """Live through one night; return how often the ledger was made durable, and how many rows were written."""
        count, rows = [0], [0]

        def watch(db: sqlite3.Connection) -> None:
            def note(statement: str) -> None:
                word = statement.split(None, 1)[0].upper()
                alone = word in ("INSERT", "UPDATE", "DELETE") and not db.in_transaction
                count[0] += alone or word == "COMMIT"

            db.set_trace_callback(note)

        self._night(options, watch, lambda db: rows.append(db.total_changes))
        return count[0], rows[-1]

    def ledger_bytes(self) -> int:
        """Live through the first night and return the size of the ledger."""
        self._night(Options(), lambda _: None)
        with closing(sqlite3.connect(self.folder / LEDGER_NAME)) as db:
            pages, page_bytes = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * page_bytes)

    def whole_tables_in_loops(self, options: Options) -> set[str]:
        """Live through one night and return its queries that read a whole table once for each row of another."""
        statements: dict[str, str] = {}

        def note(statement: str) -> None:
            query = re.sub(r"^\s*CREATE TEMP TABLE \w+ AS", "", statement).lstrip()
            if query.startswith(QUERIES):
                statements.setdefault(re.sub(r"'[^']*'|\b\d+\b", "?", query), query)

        def explain(db: sqlite3.Connection) -> None:
            db.set_trace_callback(None)
            found.update(one for one in statements.values() if whole_table_in_a_loop(db, one))

        found: set[str] = set()
        self._night(options, lambda db: db.set_trace_callback(note), explain)
        assert len(statements) > 30
        return found

    def _night(self, options: Options, watch: Watch, at_the_end: Watch = lambda _: None) -> None:
        self.now += timedelta(days=1)
        settings = in_process_settings(self.folder, lanes=self.lanes, **self.more)
        wire = InProcessClient(self.world, before=lambda *_: None, after=lambda *_: None)
        backends = Backends(cloud=functools.partial(open_in_process, wire), source=lambda *_: self.register)
        with open_state(self.folder) as state:
            watch(state.db)
            with run_night(
                state, settings, options, progress=self.progress, clock=lambda: self.now, backends=backends
            ) as report:
                list(report.outcomes())
            at_the_end(state.db)


def whole_table_in_a_loop(db: sqlite3.Connection, query: str) -> bool:
    """Return True if SQLite would read a table from end to end for each row of another.

    Source: https://sqlite.org/eqp.html. Each line has an id, its parent's id, and what is done.
    """
    lines = {row[0]: (row[1], row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {query}")}

    def above(number: int) -> Iterator[str]:
        while number := lines[number][0]:
            yield lines[number][1]

    def follows_another(number: int) -> bool:
        before = (lines[other] for other in lines if other < number)
        return any(parent == lines[number][0] and done.startswith(("SCAN", "SEARCH")) for parent, done in before)

    scans = [number for number, (_, done) in lines.items() if done.startswith("SCAN ")]
    return any(follows_another(one) or any("CORRELATED" in done for done in above(one)) for one in scans)


def _one_more(count: list[int]) -> int:
    count[0] += 1
    return 0


NIGHTS = {
    "first": Options(),
    "full": Options(full=True),
    "braked": Options(resend=True),
    "resent": Options(resend=True, force=True),
    "restored": Options(undo=RestoreRequest(run=4), force=True),
}


def lives(folder: Path, people: int) -> dict[str, int]:
    """Live through every kind of night in turn, and return the ledger's steps of each."""
    town = Town(folder, people)
    return {kind: town.steps(options) for kind, options in NIGHTS.items()}


def test_four_times_the_people_cost_the_ledger_about_four_times_the_steps(tmp_path: Path) -> None:
    few, many = lives(tmp_path / "few", FEW), lives(tmp_path / "many", MANY)

    growth = {kind: round(many[kind] / few[kind], 2) for kind in NIGHTS}
    print(f"steps in hundreds: {few} for {FEW}, {many} for {MANY:,}; {growth} times")
    assert all(times <= 5 for times in growth.values()), growth


@pytest.mark.parametrize("rules", [(), (MatchRule.SID, MatchRule.UPN, MatchRule.MAIL)], ids=["anchor", "every-rule"])
def test_no_query_of_a_night_reads_a_whole_table_for_each_person(tmp_path: Path, rules: tuple[MatchRule, ...]) -> None:
    town = Town(tmp_path, 20, more={"match_fallback": rules, "match_external": bool(rules), "sync_verify_percent": 10})

    assert {query for options in NIGHTS.values() for query in town.whole_tables_in_loops(options)} == set()


def test_an_upload_costs_the_ledger_one_commit_and_a_look_a_twentieth(tmp_path: Path) -> None:
    few, many = Town(tmp_path / "few", FEW), Town(tmp_path / "many", MANY)

    commits, rows = {}, {}
    for night, options in {"first": Options(), "full": Options(full=True)}.items():
        most, least = many.commits(options), few.commits(options)
        commits[night], rows[night] = ((more - less) / (MANY - FEW) for more, less in zip(most, least, strict=True))

    print(f"commits a person: {commits}, rows: {rows}")
    assert 1 <= commits["first"] <= 1.25, "one for the upload, and three batches of twenty: tags, tags, bytes"
    assert commits["full"] <= 0.1
    assert rows["full"] <= ROWS_OF_A_LOOK, "whoever is as remembered is not written anew"


# Twice as many writes as lanes are open, and one more; a third of those is recorded and begun at once.
@pytest.mark.parametrize(("lanes", "most"), [(4, 0.55), (16, 0.3)])
def test_several_lanes_share_a_commit_between_the_uploads_that_ended_and_the_next(
    tmp_path: Path, lanes: int, most: float
) -> None:
    few, many = Town(tmp_path / "few", FEW, lanes=lanes), Town(tmp_path / "many", MANY, lanes=lanes)

    (more, _), (less, _) = many.commits(Options()), few.commits(Options())

    each = (more - less) / (MANY - FEW)
    print(f"commits a person with {lanes} lanes: {each}")
    assert each <= most, "three batches of twenty are 0.15 of it"


def test_a_person_whose_picture_is_nobody_elses_takes_less_than_5_kb_in_the_ledger(tmp_path: Path) -> None:
    def own(number: int) -> bytes:
        return jpeg(f"of person {number}", (64, 64))

    few, many = Town(tmp_path / "few", FEW, own), Town(tmp_path / "many", MANY, own)

    each = (many.ledger_bytes() - few.ledger_bytes()) / (MANY - FEW)

    print(f"{each:,.0f} bytes a person after the first night")
    assert each <= 5_000


class CountedPhases:
    """Count the steps of each phase, beside its total."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.done: dict[str, int] = {}
        self._name = ""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        self._name, self.totals[name], self.done[name] = name, total, 0

    def step(self, amount: int = 1) -> None:
        """Count steps."""
        self.done[self._name] += amount

    def end(self) -> None:
        """End the last phase."""


def test_uploads_and_what_is_read_back_are_counted_apart(tmp_path: Path) -> None:
    people, counted = READ_BACK_BACKLOG + 60, CountedPhases()

    Town(tmp_path, people, progress=counted).steps(Options())

    assert counted.done["uploading"] == counted.totals["uploading"] == people
    assert counted.done["reading back"] == counted.totals["reading back"]
