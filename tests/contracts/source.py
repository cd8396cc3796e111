"""The contract of a source: one test a clause, run against every kind of source there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from connector.model import PersonState
from connector.sources import Cookie, Mode, Page, PersonGone, PersonRead, Source

FIRST, SECOND = b"\xff\xd8first picture\xff\xd9", b"\xff\xd8second picture\xff\xd9"


class SourceWorld(Protocol):
    """What a clause may change of what a source reads; people are named by a short name and known by their id.

    What differs: a world that follows changes tells only them from the second night on; one that tells deletions
    sees them as such; one that knows only pictures has nobody without one, so that who is deleted there and whose
    photo is cleared are the same.
    """

    follows_changes: bool
    tells_deletions: bool
    knows_only_pictures: bool

    def source(self) -> Source:
        """Return a new source over this world, closed by the world."""

    def add(self, name: str, photo: bytes | None = None) -> str:
        """Add a person in scope and return the id that the source will give."""

    def replace(self, person_id: str, photo: bytes) -> None:
        """Give a person another photo."""

    def clear(self, person_id: str) -> None:
        """Take a person's photo away."""

    def rename(self, person_id: str) -> None:
        """Change a person's name in the source (a file's folder); the id stays."""

    def remove(self, person_id: str) -> None:
        """Delete a person."""


@dataclass(slots=True)
class Seen:
    """Gather one reading: what it was, who was read and who is gone, and the cookie it ended with."""

    mode: Mode
    notice: str
    absent_is_cleared: bool
    read: dict[str, PersonRead] = field(default_factory=dict)
    gone: dict[str, PersonState] = field(default_factory=dict)
    cookie: Cookie | None = None


def seen(source: Source, cookie: Cookie | None = None) -> Seen:
    """Read the only context to its end; only the last page may be complete."""
    (context,) = source.contexts()
    reading = source.read(context, cookie)
    result = Seen(reading.mode, reading.notice, reading.absent_is_cleared)
    pages: list[Page] = list(reading.pages)
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    assert all(page.cookie is None for page in pages[:-1])
    for event in (event for page in pages for event in page.events):
        if isinstance(event, PersonGone):
            result.gone[event.person_id] = event.state
        elif isinstance(event, PersonRead):
            result.read[event.person.id] = event
    if pages[-1].cookie is not None:
        result.cookie = Cookie(pages[-1].cookie, reading.server)
    return result


def photo_of(read: PersonRead) -> bytes | None:
    """Return the only photo of a person, or None."""
    assert len(read.photos) <= 1
    return read.photos[0].content_bytes if read.photos else None


def names_its_contexts_alike_every_night(world: SourceWorld) -> None:
    """Contexts are keys of the ledger."""
    first, second = world.source(), world.source()
    assert list(first.contexts()) == list(second.contexts()) == list(first.contexts())
    assert len(set(first.contexts())) == len(first.contexts()) > 0


def has_the_same_shape_for_the_same_settings(world: SourceWorld) -> None:
    """Another shape would read everybody every night."""
    assert world.source().shape() == world.source().shape() != ""


def reads_everybody_with_their_photos_the_first_time(world: SourceWorld) -> None:
    """Without a cookie there is nothing to compare with."""
    anna, ben = world.add("anna", FIRST), world.add("ben")
    told = seen(world.source())
    assert (told.mode, told.notice == "" or not world.follows_changes) == (Mode.FULL, True)
    without = {} if world.knows_only_pictures else {ben: None}
    assert {key: photo_of(read) for key, read in told.read.items()} == {anna: FIRST, **without}


def gives_an_empty_world_as_a_complete_reading(world: SourceWorld) -> None:
    """Nobody is an answer; whether to believe it is the brake's question."""
    told = seen(world.source())
    assert told.read == {}
    assert told.gone == {}


def tells_nothing_on_a_quiet_night(world: SourceWorld) -> None:
    """Nothing happened, so nothing is told, and the cookie still works the night after."""
    world.add("anna", FIRST)
    first = seen(world.source())
    second = seen(world.source(), first.cookie)
    third = seen(world.source(), second.cookie)
    if not world.follows_changes:
        assert {second.mode, third.mode} == {Mode.FULL}
        return
    assert (second.mode, second.read, second.gone) == (Mode.CHANGES, {}, {})
    assert (third.mode, third.read, third.gone) == (Mode.CHANGES, {}, {})


def tells_new_changed_and_cleared_photos(world: SourceWorld) -> None:
    """Whatever the mode, what is read is what is there now; a clearing is explicit in changes."""
    anna, ben, cleo = world.add("anna", FIRST), world.add("ben", FIRST), world.add("cleo", FIRST)
    start = seen(world.source())
    world.replace(anna, SECOND)
    world.clear(ben)
    dora = world.add("dora", SECOND)
    told = seen(world.source(), start.cookie)
    assert (photo_of(told.read[anna]), photo_of(told.read[dora])) == (SECOND, SECOND)
    assert told.absent_is_cleared is world.knows_only_pictures
    assert ben not in told.read if world.knows_only_pictures else photo_of(told.read[ben]) is None
    if world.follows_changes:
        assert cleo not in told.read
        assert told.read[ben].cleared
        assert not told.read[anna].cleared
        assert not told.read[dora].cleared


def keeps_the_id_through_a_rename(world: SourceWorld) -> None:
    """The id is what memory hangs on."""
    anna = world.add("anna", FIRST)
    start = seen(world.source())
    world.rename(anna)
    told = seen(world.source(), start.cookie)
    assert told.read[anna].person.name != start.read[anna].person.name
    assert photo_of(told.read[anna]) == FIRST
    assert not told.read[anna].cleared


def does_not_read_the_deleted(world: SourceWorld) -> None:
    """A deletion is told where the source can see it, and never looks like a cleared photo."""
    anna, ben = world.add("anna", FIRST), world.add("ben", FIRST)
    start = seen(world.source())
    world.remove(anna)
    told = seen(world.source(), start.cookie)
    assert anna not in told.read
    if world.follows_changes and world.tells_deletions:
        assert told.gone == {anna: PersonState.DELETED}
    if not world.follows_changes:
        assert set(told.read) == {ben}


def forgets_nothing_when_a_night_is_repeated(world: SourceWorld) -> None:
    """A night that died keeps its old cookie and must be told everything again."""
    anna = world.add("anna", FIRST)
    start = seen(world.source())
    world.replace(anna, SECOND)
    once, twice = seen(world.source(), start.cookie), seen(world.source(), start.cookie)
    assert photo_of(once.read[anna]) == photo_of(twice.read[anna]) == SECOND


def tells_a_change_made_during_a_reading_the_night_after(world: SourceWorld) -> None:
    """The cookie is taken first, so that nothing falls between snapshot and cookie."""
    anna = world.add("anna", FIRST)
    source = world.source()
    (context,) = source.contexts()
    reading = source.read(context, None)
    world.replace(anna, SECOND)
    pages = list(reading.pages)
    cookie = Cookie(pages[-1].cookie, reading.server) if pages[-1].cookie else None
    assert photo_of(seen(world.source(), cookie).read[anna]) == SECOND


def fetches_people_again_by_id(world: SourceWorld) -> None:
    """Those who are not there are left out; where nobody is without a picture, they have none now."""
    anna, ben = world.add("anna", FIRST), world.add("ben", FIRST)
    world.add("cleo", FIRST)
    world.remove(ben)
    found = {read.person.id: photo_of(read) for read in world.source().fetch([anna, ben])}
    assert found == {anna: FIRST, **({ben: None} if world.knows_only_pictures else {})}


def tells_who_is_there_by_id(world: SourceWorld) -> None:
    """Who was deleted is not there, whether or not the source ever tells of it."""
    anna, ben, cleo = world.add("anna", FIRST), world.add("ben", SECOND), world.add("cleo", FIRST)
    world.remove(ben)
    source = world.source()
    (context,) = source.contexts()
    assert sorted(source.present(context, [anna, ben, cleo])) == sorted([anna, cleo])
    assert list(source.present(context, [])) == []


def finds_people_by_their_names(world: SourceWorld) -> None:
    """None, one, or several; never a guess."""
    anna = world.add("anna", FIRST)
    source = world.source()
    assert [read.person.id for read in source.find("anna")] == [anna]
    assert list(source.find("nobody")) == [] == list(source.find("*"))


def has_no_roster_without_a_group(world: SourceWorld) -> None:
    """None says that membership plays no part."""
    source = world.source()
    assert [source.roster(context) for context in source.contexts()] == [None]


def works_again_after_it_was_closed(world: SourceWorld) -> None:
    """Sync closes it before uploading, and may fetch afterwards."""
    anna = world.add("anna", FIRST)
    source = world.source()
    seen(source)
    source.close()
    assert [read.person.id for read in source.fetch([anna])] == [anna]
    source.close()
    source.close()


CLAUSES: tuple[Callable[[SourceWorld], None], ...] = (
    names_its_contexts_alike_every_night,
    has_the_same_shape_for_the_same_settings,
    reads_everybody_with_their_photos_the_first_time,
    gives_an_empty_world_as_a_complete_reading,
    tells_nothing_on_a_quiet_night,
    tells_new_changed_and_cleared_photos,
    keeps_the_id_through_a_rename,
    does_not_read_the_deleted,
    forgets_nothing_when_a_night_is_repeated,
    tells_a_change_made_during_a_reading_the_night_after,
    fetches_people_again_by_id,
    tells_who_is_there_by_id,
    finds_people_by_their_names,
    has_no_roster_without_a_group,
    works_again_after_it_was_closed,
)
