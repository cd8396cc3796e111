"""The pace of a run: full batches, requests side by side, one throttle, and a pace that is reported."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from connector.sources.pages import FIRST_PAGE
from connector.sync.pictures import SMALL_BYTES
from connector.sync.read_back import READ_BACK_BACKLOG
from tests.company import Company, crowd, populate
from tests.lab.graph import Emulator, Fault
from tests.lab.ldapserver_tree import Tree

PUT = r"PUT .*/photo/\$value"
BATCH = 20


class CountedCompanies:
    """Open a company over a crowd, and count what its nights ask."""

    def __init__(self, cloud: Emulator, folder: Path) -> None:
        self.cloud, self._folder = cloud, folder
        self._companies: list[Company] = []

    def of(self, people: int, *, photos: bool) -> Company:
        """Return a company of so many people, with or without their photos in the cloud."""
        tree = Tree(people=people, make=crowd)
        self.cloud.set(reencode="comment")
        populate(self.cloud, tree, people, photos=photos)
        self._companies.append(Company(self.cloud, self._folder, tree=tree))
        return self._companies[-1]

    def batches(self, ending: str) -> list[int]:
        """Return the sizes of the batches whose items end so, in the order in which they came back."""
        batches = [record.items for record in self.cloud.requests if record.items]
        return [len(items) for items in batches if all(re.search(ending, item.path) for item in items)]

    def close(self) -> None:
        """Close every company."""
        for company in self._companies:
            company.close()


@pytest.fixture
def counted_companies(cloud: Emulator, tmp_path: Path) -> Iterator[CountedCompanies]:
    """Give room for a company."""
    place = CountedCompanies(cloud, tmp_path)
    yield place
    place.close()


def test_batches_are_full_but_for_the_last_of_each_kind(counted_companies: CountedCompanies) -> None:
    company = counted_companies.of(130, photos=True)

    told = company.sync()

    assert (told.code, told.reasons()) == (0, {"adopted": 130}), told.err
    for ending in (r"/photo$", r"/photo/\$value$"):
        assert sorted(counted_companies.batches(ending)) == [10, *[BATCH] * 6], ending
    assert told.requests["http"] == 2 + 7 + 7, "the link, the listing, the tags, the bytes"


def test_reading_back_begins_while_uploads_go_on(counted_companies: CountedCompanies) -> None:
    people = READ_BACK_BACKLOG + 60
    company = counted_companies.of(people, photos=False)

    told = company.sync()

    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, people, 0), told.err
    kinds = [
        "put" if record.method == "PUT" else "batch" for record in company.cloud.requests if record.kind == "graph"
    ]
    first_put, last_put = kinds.index("put"), len(kinds) - 1 - kinds[::-1].index("put")
    assert "batch" in kinds[first_put:last_put], "what was sent is looked at before all is sent"
    looks = counted_companies.batches(r"/photo$") + counted_companies.batches(r"/photo/\$value$")
    assert sum(size < BATCH for size in looks) <= 3, "tags before, tags after, bytes after: each ends with a rest"
    assert company.cloud.log.most_in_flight() <= 4


def test_pictures_are_prepared_while_the_next_page_is_read(cloud: Emulator, tmp_path: Path) -> None:
    at_work: dict[int, bool] = {}

    def watched(number: int) -> tuple[str, Mapping[str, str | bytes]]:
        at_work.setdefault(number, any(thread.name.startswith("prepare") for thread in threading.enumerate()))
        return crowd(number)

    company = Company(cloud, tmp_path, tree=Tree(people=FIRST_PAGE + 50, make=watched))
    told = company.sync()
    company.close()

    assert (told.code, told.totals["skipped"]) == (0, FIRST_PAGE + 50)
    assert not at_work[0], "nothing is there to be prepared yet"
    assert at_work[FIRST_PAGE + 49], "the first page's pictures are in the works while the second is read"


@pytest.mark.parametrize(("added", "pool"), [(0, "prepare small_0"), (SMALL_BYTES, "prepare large_0")])
def test_small_pictures_are_prepared_by_one_thread(cloud: Emulator, tmp_path: Path, added: int, pool: str) -> None:
    at_work: set[str] = set()

    def watched(number: int) -> tuple[str, Mapping[str, str | bytes]]:
        at_work.update(thread.name for thread in threading.enumerate() if thread.name.startswith("prepare"))
        name, attributes = crowd(number)
        photo_bytes = attributes["jpegPhoto"]
        assert isinstance(photo_bytes, bytes)
        return name, {**attributes, "jpegPhoto": photo_bytes + bytes(added)}

    company = Company(cloud, tmp_path, tree=Tree(people=FIRST_PAGE + 50, make=watched))
    told = company.sync()
    company.close()

    assert (told.code, told.totals["skipped"]) == (0, FIRST_PAGE + 50)
    assert pool in at_work
    assert all(name.startswith(pool.partition("_")[0]) for name in at_work), at_work
    assert added or at_work == {pool}


def test_the_pace_narrows_in_trouble_widens_after_it_and_is_told(counted_companies: CountedCompanies) -> None:
    company = counted_companies.of(60, photos=False)
    company.cloud.fail_next(PUT, Fault(status=429, retry_after="0.2"), times=3)

    told = company.sync()

    pace = told.report["pace"]
    assert (told.code, told.totals["created"]) == (0, 60), told.err
    assert pace["lanes_lowest"] < pace["lanes_allowed"] == 4
    assert pace["lanes_now"] == 4, "all lanes are open again in the end"
    assert pace["slow_downs"] >= 1
    assert pace["waits"] >= 1
    assert pace["wait_seconds"] >= 0.2
    assert pace["requests"] == told.requests["http"]
    assert told.requests["http_retries"] == 3
    assert company.cloud.violations() == []


def test_a_calm_night_tells_of_no_wait(counted_companies: CountedCompanies) -> None:
    told = counted_companies.of(30, photos=False).sync()

    pace = told.report["pace"]
    assert (pace["slow_downs"], pace["waits"], pace["lanes_lowest"]) == (0, 0, 4)


@pytest.mark.parametrize("status", [503, 504])
def test_also_an_overloaded_service_is_asked_by_fewer_at_a_time(
    counted_companies: CountedCompanies, status: int
) -> None:
    company = counted_companies.of(40, photos=False)
    company.cloud.fail_next(PUT, Fault(status=status), times=2)

    told = company.sync()

    assert (told.code, told.totals["created"]) == (0, 40), told.err
    assert told.report["pace"]["slow_downs"] >= 1
    assert told.report["pace"]["lanes_lowest"] < 4
    assert len(company.cloud.tenant.writes()) == 40


def refusals(cloud: Emulator) -> int:
    """Return how many requests were refused for load."""
    return sum(record.status == 429 for record in cloud.requests)


def most_for_one_person(cloud: Emulator) -> int:
    """Return how many photo requests about one person were ever on the wire at once."""
    spans: dict[str, list[tuple[float, int]]] = {}
    for record in cloud.log.records():
        paths = [record.path, *(item.path for item in record.items)]
        for person in {found[1] for path in paths if (found := re.search(r"/users/([^/]+)/photo", path))}:
            spans.setdefault(person, []).extend([(record.started, 1), (record.ended, -1)])
    most = 0
    for moments in spans.values():
        open_now = 0
        for _, step in sorted(moments):
            open_now += step
            most = max(most, open_now)
    return most


def test_auto_widens_where_nobody_refuses_and_the_next_night_begins_with_four_again(
    counted_companies: CountedCompanies,
) -> None:
    company = counted_companies.of(200, photos=False)
    company.settings["SYNC_CONCURRENCY"] = "auto"
    company.cloud.set(latency=0.05, concurrency_cap=16)

    told = company.sync()

    pace = told.report["pace"]
    assert (told.code, told.totals["created"], told.totals["open_intents"]) == (0, 200, 0), told.err
    assert pace["lanes_allowed"] == 16
    assert 4 < company.cloud.log.most_in_flight() <= pace["lanes_highest"] <= 16
    assert (refusals(company.cloud), pace["waits"]) == (0, 0)
    assert most_for_one_person(company.cloud) == 1
    text = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "text").out
    assert f"Photo requests in parallel: {pace['lanes_lowest']} to {pace['lanes_highest']}; slowed down " in text

    assert company.sync().report["pace"]["lanes_highest"] == 4


def test_auto_finds_out_once_that_four_are_allowed(counted_companies: CountedCompanies) -> None:
    company = counted_companies.of(40, photos=False)
    company.settings["SYNC_CONCURRENCY"] = "auto"
    # a wait so long that all refusals of those on the wire together are read within it, also on a busy machine
    company.cloud.set(latency=0.25, concurrency_cap=4, retry_after_seconds=3.0, retry_after_forms=("decimal",))

    told = company.sync()

    pace = told.report["pace"]
    assert (told.code, told.totals["created"], told.totals["failed"]) == (0, 40, 0), told.err
    assert pace["lanes_highest"] == 5
    assert 1 <= refusals(company.cloud) <= 5, "those that were on the wire together"
    assert pace["lanes_lowest"] == 2
    assert pace["slow_downs_by_refusal"] == pace["waits"] == 1
    assert company.cloud.violations() == []
    assert most_for_one_person(company.cloud) == 1
    text = company.runner.type("report", "--env-file", str(company.runner.env_file()), "--format", "text").out
    assert "Photo requests in parallel: 2 to 5; slowed down " in text
    assert "1 by refusal" in text
