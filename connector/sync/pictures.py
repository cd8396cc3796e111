"""Prepare the pictures of the source while reading goes on, choose the picture of each person, read pictures again."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from connector.ledger import people as people_rows
from connector.model import Candidate, Picture
from connector.photo import PictureRefused, Recipe, best_refusal_reason, choose, prepare
from connector.sources import Page, PersonRead, Source
from connector.sync.context import RunContext

# How many pages wait for their pictures while the next one is read.
PAGES_AHEAD = 1
# Most work on a smaller picture is Python's own, which one thread does at a time: a second one only takes turns with
# it, which costs a fifth more CPU and gains no time. Decoders of larger pictures work side by side.
SMALL_BYTES = 32_000

PrepareResult = Picture | PictureRefused


def make(content_bytes: bytes, recipe: Recipe) -> PrepareResult:
    """Prepare a picture, or return the refusal; runs in a worker thread."""
    try:
        return prepare(content_bytes, recipe)
    except PictureRefused as refused:
        return refused


def prepared_pages(context: RunContext, pages: Iterable[Page]) -> Iterator[Page]:
    """Yield each page after its unknown pictures were prepared and stored; preparing overlaps reading the next pages.

    Threads prepare; the thread that asks for the pages stores.
    """
    waiting: deque[tuple[Page, dict[str, Future[PrepareResult]]]] = deque()
    several = min(4, os.cpu_count() or 1)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="prepare small") as one,
        ThreadPoolExecutor(several, thread_name_prefix="prepare large") as many,
    ):
        for page in pages:
            waiting.append((page, _begun(context, page, one, many)))
            while len(waiting) > PAGES_AHEAD:
                yield _stored(context, *waiting.popleft())
        while waiting:
            yield _stored(context, *waiting.popleft())


def _begun(
    context: RunContext, page: Page, one: ThreadPoolExecutor, many: ThreadPoolExecutor
) -> dict[str, Future[PrepareResult]]:
    begun: dict[str, Future[PrepareResult]] = {}
    for event in page.events:
        for photo in event.photos if isinstance(event, PersonRead) else ():
            if photo.source_sha256 not in begun and not _is_known(context, photo.source_sha256):
                pool = one if len(photo.content_bytes) < SMALL_BYTES else many
                begun[photo.source_sha256] = pool.submit(make, photo.content_bytes, context.recipe)
    return begun


def _is_known(context: RunContext, source_sha256: str) -> bool:
    """Return True if a picture was examined; a refusal counts for the settings and formats of its time only.

    What was examined before the square about the centre was kept is examined again, now that its bytes are at hand.
    """
    known = people_rows.find_picture(context.db, source_sha256)
    if known is None:
        return people_rows.refused_under(context.db, source_sha256) == context.recipe.refusal_key
    return known.centre is not None or known.whole.width == known.whole.height


def _stored(context: RunContext, page: Page, begun: Mapping[str, Future[PrepareResult]]) -> Page:
    for source_sha256, future in begun.items():
        remember_picture(context, source_sha256, future.result())
    return page


def remember_picture(context: RunContext, source_sha256: str, made: PrepareResult, *, sent_next: bool = False) -> None:
    """Store what a picture shows in the ledger, and the picture itself in the spool if it has space.

    `sent_next`: the picture is sent next, so without space it is kept in memory.
    """
    db, run, refused_as = context.db, context.run, context.recipe.refusal_key
    if isinstance(made, PictureRefused):
        people_rows.save_refused_picture(db, source_sha256, made.reason, detail=str(made), recipe=refused_as, run=run)
        return
    if not context.spool.keep(source_sha256, made.sent_bytes) and sent_next:
        context.spool.cache_in_memory(source_sha256, made.sent_bytes)
    people_rows.save_picture(db, made, run=run)


def read_again(context: RunContext, missing: Mapping[str, str], source: Source) -> set[str]:
    """Read by id the pictures that the spool does not have, given as sha256 by person id; return whose were found."""
    found: set[str] = set()
    if not missing:
        return found
    for event in source.fetch(list(missing)):
        for photo in event.photos:
            if photo.source_sha256 == missing[event.person.id]:
                made = make(photo.content_bytes, context.recipe)
                remember_picture(context, photo.source_sha256, made, sent_next=True)
                found.add(event.person.id)
    return found


def choose_pictures(context: RunContext) -> None:
    """Choose the picture of everybody who changed in this run; a picture that many people share is a placeholder."""
    people_rows.find_placeholders(context.db, people=context.settings.placeholder_people, run=context.run)
    order = context.attribute_order
    for chunk in people_rows.photos_to_choose_from(context.db, run=context.run):
        people_rows.set_chosen(context.db, [_chosen(person_id, values, order) for person_id, values in chunk])


def _chosen(person_id: str, values: list[Candidate], attribute_order: tuple[str, ...]) -> tuple[str, str, str]:
    best = choose(values, attribute_order)
    if best is not None:
        return best.source_sha256, "", person_id
    return "", best_refusal_reason(values, attribute_order), person_id
