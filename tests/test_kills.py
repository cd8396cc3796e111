"""What if the night is killed at any instant, a hundred times? Nobody is lost, wrong, or taken for somebody's edit."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from collections import Counter

import pytest

from connector.photo import Recipe, prepare
from tests.nights import shown
from tests.office import Colleague, Office, face

KILLS = int(os.environ.get("KILLS", "100"))
PEOPLE = 200
WORKERS = 8


def _paint(office: Office, team: list[Colleague], round_number: int) -> None:
    for one in team:
        office.paint(one, face(f"{one.name} {round_number}"))


def _assert_right(office: Office, team: list[Colleague], round_number: int) -> None:
    for one in team:
        sent = prepare(face(f"{one.name} {round_number}"), Recipe()).sent
        assert shown(office.cloud, one.account_id).shows_same(sent), f"{one.name} shows another picture"


def _killed(office: Office, seconds: float) -> bool:
    process, _ = office.nights.start()
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    assert process.returncode == 0
    return False


def _conflicts(office: Office) -> int:
    with sqlite3.connect(office.nights.state / "ledger.sqlite3") as db:
        return int(db.execute("SELECT COUNT(*) FROM outcomes WHERE conflict").fetchone()[0])


@pytest.mark.timeout(1200)  # a hundred restarts on a busy machine
def test_a_hundred_kills_lose_nobody_and_repeat_at_most_one_upload_per_worker(office: Office) -> None:
    chance = random.Random(4)
    office.settings.update(SYNC_CONCURRENCY=str(WORKERS), SYNC_MAX_CHANGES_PERCENT="100")
    team = office.team(PEOPLE)
    round_number, kills, kills_at_work = 0, 0, 0
    _paint(office, team, round_number)
    while kills < KILLS:
        before = len(office.cloud.tenant.writes())
        if _killed(office, chance.uniform(0.4, 2.5)):
            kills += 1
            kills_at_work += len(office.cloud.tenant.writes()) > before
            continue
        _assert_right(office, team, round_number)
        round_number += 1
        _paint(office, team, round_number)

    told = office.sync()

    assert told.code == 0, told.err
    _assert_right(office, team, round_number)
    assert told.totals["open_intents"] == 0
    assert _conflicts(office) == 0
    writes = Counter(write.account_id for write in office.cloud.tenant.writes())
    repeated = sum(writes.values()) - PEOPLE * (round_number + 1)
    print(f"kills {kills}, while uploading {kills_at_work}, nights {round_number + 1}, repeated {repeated}")
    assert kills_at_work > 0, "no kill met an upload"
    assert 0 <= repeated <= kills_at_work * WORKERS
    assert office.cloud.violations() == []
