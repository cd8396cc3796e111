"""What a run costs: requests, entries and memory are counted; nothing here looks at a clock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.company import Company, crowd, face, populate
from tests.lab.graph import Emulator
from tests.lab.ldapserver_tree import Tree
from tests.lab.ldapserver_wire import DIRSYNC
from tests.runner import CommandResult

# drawing and adopting 10,000 faces may be slow on a busy machine; nothing here is about time
pytestmark = pytest.mark.timeout(1200)

MANY = 10_000
CHANGED = 50


@dataclass(slots=True)
class LargeCompany:
    """Many people whose photos are in the cloud already, and what their nights were like."""

    company: Company
    tree: Tree
    account_ids: list[str]
    adoption: CommandResult

    def night(self, **settings: str) -> CommandResult:
        """Live through one more night, with settings of its own."""
        usual = dict(self.company.settings)
        self.company.settings.update(settings)
        self.company.cloud.log.clear()
        told = self.company.sync(days=1)
        self.company.settings.clear()
        self.company.settings.update(usual)
        assert told.code == 0, told.err
        return told


@pytest.fixture(scope="module")
def large_company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeCompany]:
    """Open a company of 10,000 people and adopt what another tool has put there."""
    tree = Tree(people=MANY, make=crowd)
    with Emulator() as cloud:
        company = Company(cloud, tmp_path_factory.mktemp("city"), tree=tree)
        account_ids = populate(cloud, tree, MANY, photos=True)
        told = company.sync()
        assert told.code == 0, told.err
        yield LargeCompany(company, tree, account_ids, told)
        company.close()


def photo_requests(cloud: Emulator) -> list[str]:
    """Name every photo that was asked for or written, alone or in a batch."""
    alone = [record.path for record in cloud.requests if "/photo" in record.path]
    return alone + [item.path for record in cloud.requests for item in record.items if "/photo" in item.path]


def test_adopting_10_000_photos_costs_at_most_0_12_requests_each_and_no_upload(large_company: LargeCompany) -> None:
    assert large_company.adoption.totals["people"] == MANY
    assert large_company.adoption.totals["unchanged"] == MANY
    assert large_company.adoption.requests["http"] <= 0.12 * MANY
    assert large_company.company.cloud.tenant.writes() == []


def test_a_quiet_night_asks_at_most_three_times_and_reads_nobody(large_company: LargeCompany) -> None:
    large_company.company.ldap.server.asked.clear()

    told = large_company.night()

    assert told.requests["http"] <= 3
    assert told.requests["ldap_entries"] == 0
    assert len([asked for asked in large_company.company.ldap.server.asked if DIRSYNC in asked.controls]) == 1
    assert photo_requests(large_company.company.cloud) == []


def test_looking_at_15_percent_costs_at_most_one_batch_for_ten_people(large_company: LargeCompany) -> None:
    told = large_company.night(SYNC_VERIFY_PERCENT="15")

    looked = MANY * 15 // 100
    assert len(photo_requests(large_company.company.cloud)) == looked
    assert told.requests["http"] <= 3 + looked // 10
    assert told.totals["unchanged"] == MANY


def test_seven_nights_of_15_percent_look_at_everybody(large_company: LargeCompany) -> None:
    seen: set[str] = set()
    for _ in range(7):
        large_company.night(SYNC_VERIFY_PERCENT="15")
        seen.update(photo_requests(large_company.company.cloud))

    assert len(seen) == MANY


def test_changed_people_cost_two_entries_and_less_than_1_3_requests_each(large_company: LargeCompany) -> None:
    for number in range(CHANGED):
        large_company.tree.change(large_company.tree.nth(number).guid, jpegPhoto=face(f"changed {number}", 64))

    told = large_company.night()

    assert told.totals["replaced"] == CHANGED
    assert told.requests["ldap_entries"] <= 2 * CHANGED + 5
    assert told.requests["http"] <= 1.3 * CHANGED + 5


def test_a_first_night_costs_at_most_1_25_requests_for_each_upload(cloud: Emulator, tmp_path: Path) -> None:
    people = 2_000
    tree = Tree(people=people, make=crowd)
    cloud.set(reencode="comment")
    company = Company(cloud, tmp_path, tree=tree)
    populate(cloud, tree, people, photos=False)
    try:
        told = company.sync()
    finally:
        company.close()

    assert told.totals["created"] == people, told.err
    assert told.requests["http"] <= 1.25 * people
    assert cloud.violations() == []


def peak_memory(folder: Path, people: int) -> int:
    """Return the peak of a process that adopts so many people's photos, in KiB."""
    folder.mkdir()
    tree = Tree(people=people, make=crowd)
    with Emulator() as cloud:
        company = Company(cloud, folder, tree=tree)
        populate(cloud, tree, people, photos=True)
        program = (
            "import sys; from connector.cli.main import run; code = run(sys.argv[1:]); "
            "print('PEAK', open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]); sys.exit(code)"
        )
        command = [sys.executable, "-c", program, "sync", "--env-file", str(company.runner.env_file())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        company.close()
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("PEAK")[2])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_ten_times_the_people_need_at_most_a_fifth_more_memory(tmp_path: Path) -> None:
    few, many = peak_memory(tmp_path / "few", 1_000), peak_memory(tmp_path / "many", MANY)

    print(f"peak memory: {few} KiB for 1,000 people, {many} KiB for {MANY:,}")
    assert many <= 1.2 * few
    assert many < 150 * 1024
