"""Runs that are killed at any instant, a hundred times: nobody is lost, wrong, or taken for somebody's edit."""

from __future__ import annotations

import functools
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from connector.model import Fingerprint
from connector.photo import Recipe, prepare
from tests.company import Colleague, Company, face
from tests.runner import shown

KILLS = int(os.environ.get("KILLS", "100"))
PEOPLE = 200
WORKERS = 8
FACES = 3
MOMENTS = ("reading", "planning", "writing", "reading back")


@functools.cache
def sent_print(name: str) -> Fingerprint:
    """Return what is sent of a face, as a picture."""
    return prepare(face(name), Recipe()).sent


@dataclass(frozen=True, slots=True)
class Seen:
    """Count what the world was asked for by one run, so far."""

    entries: int
    batches: int
    writes: int


@dataclass
class Siege:
    """Kill night after night of one company, each at a moment drawn by lot, and keep count."""

    company: Company
    team: list[Colleague]
    chance: random.Random = field(default_factory=lambda: random.Random(4))
    kills: Counter[str] = field(default_factory=Counter)
    nights: int = 0
    rounds: int = 0
    repeated: int = 0
    counted: int = 0
    is_read: bool = False
    written: set[str] = field(default_factory=set)

    def paint(self) -> None:
        """Give everybody another source photo."""
        self.rounds += 1
        self.written.clear()
        self.is_read = False
        for one in self.team:
            self.company.paint(one, face(self._face(one)))

    def assert_right(self) -> None:
        """Compare everybody's cloud photo with the source's: nobody is lost, nobody has another face."""
        for one in self.team:
            sent = sent_print(self._face(one))
            assert shown(self.company.cloud, one.account_id).shows_same(sent), f"{one.name} shows another picture"

    def _face(self, one: Colleague) -> str:
        return f"{one.name} {self.rounds % FACES}"

    def run_once(self) -> None:
        """Start a night and kill it when the world has seen enough of it; or let it end, where it asks for less."""
        cloud, world = self.company.cloud, self.company.ldap.server.world
        cloud.log.clear()
        entries = world.entries_sent

        def seen() -> Seen:
            asked = [(record.method, record.path) for record in cloud.requests]
            batches = sum(path.endswith("/$batch") for _, path in asked)
            return Seen(world.entries_sent - entries, batches, sum(method == "PUT" for method, _ in asked))

        is_enough = self._lot()
        process, report = self.company.runner.start()
        while process.poll() is None and not is_enough(seen()):
            time.sleep(0.01)
        time.sleep(self.chance.uniform(0, 0.02))
        has_ended = process.poll() is not None
        process.kill()
        _, err = process.communicate()
        assert cloud.violations() == []
        is_killed = not has_ended and process.returncode != 0
        self.count_writes()
        self.is_read |= not is_killed or seen().batches > 0
        if is_killed:
            self.kills[self._moment(seen())] += 1
            return
        told = self.company.runner.read(report)
        assert process.returncode == 0, err
        assert (told["totals"]["conflicts"], told["totals"]["failed"]) == (0, 0), told["outcomes"]
        assert told["totals"]["open_intents"] == 0
        self.nights += 1
        assert len(self.written) == PEOPLE, "a run ended before everybody was sent the new photo"

    def _lot(self) -> Callable[[Seen], bool]:
        """Draw the moment of a kill, of those that the next run will come to, and how far into it."""
        left = PEOPLE - len(self.written)
        later = MOMENTS[1:] if left else MOMENTS[1:2]
        moment = "reading" if not self.is_read and self.chance.random() < 0.5 else self.chance.choice(later)
        far = self.chance.random()
        all_written: list[int] = []

        def is_enough(seen: Seen) -> bool:
            if moment == "reading":
                return seen.entries > far * PEOPLE
            if moment == "planning":
                return seen.batches > far * PEOPLE / 20
            if moment == "writing":
                return seen.writes > far * left
            if seen.writes >= left and not all_written:
                all_written.append(seen.batches)
            return bool(all_written) and seen.batches > all_written[0] + far * 2 * PEOPLE / 20

        return is_enough

    def _moment(self, seen: Seen) -> str:
        """Return the moment of a kill, by what directory and cloud had seen of the run."""
        if not seen.writes:
            return "planning" if seen.batches else "reading"
        return "reading back" if len(self.written) == PEOPLE else "writing"

    def count_writes(self) -> None:
        """Count who was sent what was there already: at most one for each worker of the run that was killed.

        All writes since the last count, whenever they came: the cloud may carry out what it has received of a run that
        is dead already, at any instant between two runs, too.
        """
        writes = self.company.cloud.tenant.writes()[self.counted :]
        self.counted += len(writes)
        repeated = len(writes) - len({write.account_id for write in writes} - self.written)
        assert repeated <= WORKERS, f"{repeated} uploads were repeated after one kill"
        self.repeated += repeated
        self.written |= {write.account_id for write in writes}

    def conflicts(self) -> int:
        """Count the conflicts that any run saw, also those that were killed."""
        with closing(sqlite3.connect(self.company.runner.state / "ledger.sqlite3")) as db:
            return int(db.execute("SELECT COUNT(*) FROM outcomes WHERE conflict").fetchone()[0])


@pytest.mark.timeout(1200)  # a hundred restarts on a busy machine
def test_a_hundred_kills_lose_nobody_and_repeat_at_most_one_upload_per_worker(company: Company) -> None:
    company.settings.update(SYNC_CONCURRENCY=str(WORKERS), SYNC_MAX_CHANGES_PERCENT="100")
    siege = Siege(company, company.team(PEOPLE))
    siege.paint()
    began = time.monotonic()
    while siege.kills.total() < KILLS:
        siege.run_once()
        if len(siege.written) == PEOPLE:
            siege.assert_right()
            if siege.chance.random() < 0.7:
                siege.paint()

    told = company.sync()
    again = company.sync(days=1)
    siege.count_writes()

    print(
        f"kills {dict(siege.kills)}, nights that ended {siege.nights}, rounds {siege.rounds}, "
        f"uploads {len(company.cloud.tenant.writes())}, repeated {siege.repeated}, {time.monotonic() - began:.0f} s"
    )
    assert (told.code, told.totals["open_intents"], told.totals["conflicts"]) == (0, 0, 0), told.err
    siege.assert_right()
    assert siege.conflicts() == 0
    assert again.totals["unchanged"] == PEOPLE
    assert len(company.cloud.tenant.writes()) == PEOPLE * siege.rounds + siege.repeated
    assert min(siege.kills[moment] for moment in MOMENTS) >= KILLS // 20, "the kills did not fall on all of the night"
