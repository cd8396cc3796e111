"""What the search for damage costs for each new picture, as a part of preparing it (CPU of this process)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from connector.photo import Recipe, prepare
from connector.photo.decode import check_whole, open_image
from connector.photo.fingerprint import FINGERPRINT_EDGE
from tests.bench.faces import FACES, photo

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class PictureCost:
    """The CPU of one picture in milliseconds: all of its preparation, and the search for damage in it."""

    picture_bytes: int
    prepare_ms: float
    check_ms: float


def measure_pictures() -> PictureCost:
    """Prepare the fifty pictures of the bench, the best of five rounds of each kind."""
    recipe = Recipe()
    pictures = [photo(number) for number in range(FACES)]

    def check(content_bytes: bytes) -> None:
        with open_image(content_bytes, recipe.size) as opened:
            check_whole(opened, FINGERPRINT_EDGE)

    def only_open(content_bytes: bytes) -> None:
        with open_image(content_bytes, recipe.size):
            pass

    whole, checked, opened = (
        _least_ms(work, pictures) for work in (lambda picture: prepare(picture, recipe), check, only_open)
    )
    return PictureCost(sum(map(len, pictures)) // len(pictures), whole, checked - opened)


def _least_ms(work: Callable[[bytes], object], pictures: list[bytes]) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for picture in pictures:
            work(picture)
        rounds.append(time.process_time() - began)
    return 1000 * min(rounds) / len(pictures)
