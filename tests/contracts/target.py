"""The contract of a target: one suite of tests; each target's tests inherit it and bring their own bench."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from PIL import Image, ImageStat

from connector.errors import PersonError
from connector.model import Account, CloudObservation, CloudPhoto
from connector.targets import Target
from tests.cloud_stories import picture


@dataclass(frozen=True, slots=True)
class TargetBench:
    """A target under test with the hands of somebody else on the same cloud.

    `people` makes accounts; `hang` sets a picture and `take` removes it behind the target's back; `seen` returns
    the picture that truly hangs there; `vanish` deletes the account; `writes` counts what reached the cloud.
    """

    target: Target
    people: Callable[[int], list[Account]]
    hang: Callable[[Account, bytes], None]
    take: Callable[[Account], None]
    seen: Callable[[Account], bytes | None]
    vanish: Callable[[Account], None]
    writes: Callable[[], int]
    extras: Mapping[str, object] = field(default_factory=dict)


def looks(content_bytes: bytes | None) -> tuple[int, ...]:
    """Return the mean colour of a picture, coarsely: what survives re-encoding and rescaling."""
    assert content_bytes is not None
    with Image.open(io.BytesIO(content_bytes)) as image:
        return tuple(round(value / 16) for value in ImageStat.Stat(image.convert("RGB")).mean)


def tag_of(bench: TargetBench, account: Account) -> str:
    """Return the account's tag, which must be one."""
    found = bench.target.tags([account])[account.id]
    assert isinstance(found, CloudObservation)
    assert found.tag
    return found.tag


class TargetReads:
    """The half that a dry run keeps, too."""

    @pytest.fixture
    def bench(self) -> TargetBench:
        raise NotImplementedError("each target brings its own bench")

    def test_it_has_a_name_and_a_batch_size(self, bench: TargetBench) -> None:
        assert bench.target.name
        assert bench.target.batch_size >= 1

    def test_nobody_asked_is_nobody_told(self, bench: TargetBench) -> None:
        assert bench.target.tags([]) == {}
        assert bench.target.photos([]) == {}

    def test_no_photo_is_none(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        assert bench.target.tags([ada]) == {ada.id: None}
        assert bench.target.photos([ada]) == {ada.id: None}

    def test_a_photo_has_a_tag_that_stays_until_somebody_writes(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.hang(ada, picture(1))
        first = tag_of(bench, ada)
        assert tag_of(bench, ada) == first
        bench.hang(ada, picture(1))
        assert tag_of(bench, ada) != first

    def test_a_photos_bytes_are_those_that_hang_there(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.hang(ada, picture(1))
        found = bench.target.photos([ada])[ada.id]
        assert isinstance(found, CloudPhoto)
        assert found.content_bytes == bench.seen(ada)

    def test_a_full_batch_gives_each_their_own(self, bench: TargetBench) -> None:
        people = bench.people(bench.target.batch_size)
        for number, account in enumerate(people):
            if number % 3:
                bench.hang(account, picture(number))
        tags, photos = bench.target.tags(people), bench.target.photos(people)
        assert set(tags) == set(photos) == {account.id for account in people}
        for number, account in enumerate(people):
            found = photos[account.id]
            assert (tags[account.id] is None) is (found is None) is (number % 3 == 0)
            assert found is None or (isinstance(found, CloudPhoto) and found.content_bytes == bench.seen(account))

    def test_one_who_is_gone_spoils_nobodys_answer(self, bench: TargetBench) -> None:
        ada, bob, eve = bench.people(3)
        bench.hang(ada, picture(1))
        bench.vanish(bob)
        for answers in (bench.target.tags([ada, bob, eve]), bench.target.photos([ada, bob, eve])):
            assert isinstance(answers[bob.id], PersonError)
            assert answers[ada.id] is not None
            assert not isinstance(answers[ada.id], PersonError)
            assert answers[eve.id] is None

    def test_looking_writes_nothing(self, bench: TargetBench) -> None:
        people = bench.people(2)
        bench.hang(people[0], picture(1))
        before = bench.writes()
        bench.target.tags(people)
        bench.target.photos(people)
        assert bench.writes() == before


class TargetContract(TargetReads):
    """All that a target which writes must do."""

    def test_a_photo_that_was_put_hangs_there(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.target.put(ada, picture(3))
        assert looks(bench.seen(ada)) == looks(picture(3))
        assert tag_of(bench, ada)

    def test_putting_replaces_and_changes_the_tag(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.hang(ada, picture(1))
        before = tag_of(bench, ada)
        bench.target.put(ada, picture(2))
        assert tag_of(bench, ada) != before
        assert looks(bench.seen(ada)) == looks(picture(2))

    def test_what_was_kept_can_be_put_back(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.hang(ada, picture(1))
        found = bench.target.photos([ada])[ada.id]
        assert isinstance(found, CloudPhoto)
        bench.target.put(ada, picture(2))
        bench.target.put_back(ada, found.to_keep)
        assert looks(bench.seen(ada)) == looks(picture(1))
        bench.target.remove(ada)
        bench.target.put_back(ada, found.to_keep)
        assert looks(bench.seen(ada)) == looks(picture(1))

    def test_a_removed_photo_is_gone(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.hang(ada, picture(1))
        bench.target.remove(ada)
        assert bench.seen(ada) is None
        assert bench.target.tags([ada]) == {ada.id: None}

    def test_removing_what_is_gone_is_a_success(self, bench: TargetBench) -> None:
        (ada,) = bench.people(1)
        bench.target.remove(ada)
        bench.target.put(ada, picture(1))
        bench.target.remove(ada)
        bench.target.remove(ada)
        assert bench.seen(ada) is None

    def test_writing_to_nobody_concerns_only_this_one(self, bench: TargetBench) -> None:
        ada, bob = bench.people(2)
        bench.vanish(ada)
        with pytest.raises(PersonError):
            bench.target.put(ada, picture(1))
        with pytest.raises(PersonError):
            bench.target.put_back(ada, picture(1))
        with pytest.raises(PersonError):
            bench.target.remove(ada)
        bench.target.put(bob, picture(2))
        assert looks(bench.seen(bob)) == looks(picture(2))

    def test_many_hands_at_once_give_everybody_their_own_picture(self, bench: TargetBench) -> None:
        people = bench.people(12)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda pair: bench.target.put(pair[1], picture(pair[0])), enumerate(people)))
        assert [looks(bench.seen(account)) for account in people] == [looks(picture(number)) for number in range(12)]


class DryRunContract(TargetReads):
    """What a target wrapped for a dry run must do: read as ever, and write nothing."""

    def test_no_write_reaches_the_cloud(self, bench: TargetBench) -> None:
        ada, bob = bench.people(2)
        bench.hang(ada, picture(1))
        before = bench.writes(), bench.seen(ada)
        bench.target.put(ada, picture(2))
        bench.target.put(bob, picture(3))
        bench.target.put_back(bob, picture(4))
        bench.target.remove(ada)
        assert (bench.writes(), bench.seen(ada)) == before
        assert bench.seen(bob) is None
