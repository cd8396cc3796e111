"""Several writes share a transaction of the database, and each is still sent after its intent is durable."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from connector.errors import DiskError, ExitCode
from connector.ledger.state import open_state
from connector.ledger.store import LEDGER_NAME
from connector.model import NoProgress, RunReport
from connector.sync.context import Options
from connector.sync.run import Backends, run_night
from tests.bench.faces import photo
from tests.company import Company
from tests.lab.graph import Fault
from tests.lab.graph.world import World, new_world
from tests.lab.in_process import ROOT, InMemoryDirectory, InProcessClient, in_process_settings, open_in_process
from tests.test_night_stops import PUT, puts, wait_until

PEOPLE = 60
UNIT = "OU=People,DC=contoso,DC=test"
LANES = (1, 4, 16)


class WhenUploading(NoProgress):
    """Do something when the first upload is about to begin."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def phase(self, name: str, total: int | None = None) -> None:
        """Act if it is that phase."""
        if name == "uploading":
            self._act()


@dataclass(slots=True)
class Village:
    """So many people with accounts; `without_intent` are the uploads that came before their intent was durable."""

    folder: Path
    lanes: int
    without_intent: list[str] = field(default_factory=list)
    now: datetime = datetime(2026, 11, 24, 1, tzinfo=UTC)
    register: InMemoryDirectory = field(default_factory=lambda: InMemoryDirectory((UNIT,)))
    world: World = field(init=False)

    def __post_init__(self) -> None:
        self.world = new_world(ROOT)
        for number in range(PEOPLE):
            one = self.register.add(f"villager{number:05}", UNIT, photo(number))
            upn = one.person.upn
            self.world.tenant.add_account(upn, mail=upn, immutable_id=one.anchor, synced=True)

    def night(self, *, pages_left: int | None = None) -> RunReport:
        """Live through one night, in which the database may grow by no more than so many pages while it uploads."""
        self.now += timedelta(days=1)
        wire = InProcessClient(self.world, before=self._look_for_intent, after=lambda *_: None)
        backends = Backends(cloud=partial(open_in_process, wire), source=lambda *_: self.register)
        with open_state(self.folder) as state:
            progress = WhenUploading(partial(limit_pages, state.db, pages_left))
            settings = in_process_settings(self.folder, lanes=self.lanes)
            with run_night(
                state, settings, Options(), progress=progress, clock=lambda: self.now, backends=backends
            ) as report:
                return report

    def written(self) -> list[str]:
        """Return the accounts to which a photo was sent, in order."""
        return [write.account_id for write in self.world.tenant.writes()]

    def _look_for_intent(self, method: str, target: str, _body: bytes) -> None:
        """Look into the database from outside, which shows what is committed."""
        if method != "PUT":
            return
        account_id = re.search("users/([^/]+)/photo", target)
        with closing(sqlite3.connect(self.folder / LEDGER_NAME)) as db:
            found = account_id and db.execute("SELECT 1 FROM intents WHERE account_id = ?", (account_id[1],)).fetchone()
        if not found:
            self.without_intent.append(target)


def limit_pages(db: sqlite3.Connection, more: int | None) -> None:
    """Limit the database to so many more pages; beyond them it is full (https://sqlite.org/pragma.html#pragma_max_page_count)."""
    if more is not None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + more}")


@pytest.mark.parametrize("lanes", LANES)
def test_no_upload_is_sent_before_its_intent_is_durable(tmp_path: Path, lanes: int) -> None:
    village = Village(tmp_path, lanes)

    report = village.night()

    assert report.exit_code == ExitCode.OK, report.message
    assert village.without_intent == []
    assert len(village.written()) == len(set(village.written())) == report.totals["created"] == PEOPLE


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("pages_left", [0, 3, 9])
def test_a_database_that_is_full_between_uploads_sends_nothing_without_intent_and_nobody_twice(
    tmp_path: Path, lanes: int, pages_left: int
) -> None:
    village = Village(tmp_path, lanes)

    with pytest.raises(DiskError):
        village.night(pages_left=pages_left)

    assert len(village.written()) < PEOPLE, "it was full before everybody was sent to"
    told = village.night()

    assert told.exit_code == ExitCode.OK, told.message
    assert village.without_intent == []
    assert sorted(village.written()) == sorted(set(village.written())), "nobody was sent twice"
    assert len(village.written()) == PEOPLE
    assert (told.totals["open_intents"], told.totals["conflicts"], told.totals["failed"]) == (0, 0, 0)


def test_what_has_ended_is_recorded_while_all_lanes_wait_for_slow_answers(company: Company) -> None:
    ended = 5
    team = company.team(20)
    company.settings["SYNC_CONCURRENCY"] = "4"
    company.cloud.fail_next(PUT, Fault(kind="hold", skip=ended), times=4)

    def recorded() -> int:
        with closing(sqlite3.connect(company.runner.state / LEDGER_NAME)) as db:
            return int(db.execute("SELECT COUNT(*) FROM outcomes WHERE action = 'create'").fetchone()[0])

    process, _ = company.runner.start()
    wait_until(lambda: company.cloud.faults.held == 4, process)
    assert puts(company) == ended
    wait_until(lambda: recorded() == ended, process)
    process.kill()
    process.communicate()
    company.cloud.faults.clear()

    told = company.sync(days=0.1)

    assert (told.code, told.totals["conflicts"], told.totals["open_intents"]) == (0, 0, 0), told.err
    assert len(company.cloud.tenant.photos()) == len(company.cloud.tenant.writes()) == len(team)
