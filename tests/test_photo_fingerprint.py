"""The fingerprint recognizes a picture that the cloud re-encoded, and tells it from one that only looks alike."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from connector.model import Fingerprint
from connector.photo import PictureRefused, Recipe, fingerprint, prepare, read_print
from tests.lab import pictures
from tests.lab.pictures import encoded, reencoded
from tests.lab.portraits import portrait

# every size that the service serves
SERVED = (48, 64, 96, 120, 240, 360, 432, 504, 648)


def exact_cells(image: Image.Image) -> list[float]:
    """Average each of 24 × 24 cells pixel by pixel, shares of pixels included: slow, and plainly right."""
    luma = image.convert("L")
    rows = [list(luma.tobytes()[y * luma.width : (y + 1) * luma.width]) for y in range(luma.height)]
    narrow = [shares(row) for row in rows]
    columns = [shares([row[x] for row in narrow]) for x in range(24)]
    return [columns[x][y] for y in range(24) for x in range(24)]


def shares(values: Sequence[float]) -> list[float]:
    width, cells = len(values) / 24, []
    for cell in range(24):
        left, right = cell * width, (cell + 1) * width
        total = sum(
            values[at] * (min(at + 1, right) - max(at, left))
            for at in range(math.floor(left), min(len(values), math.ceil(right)))
        )
        cells.append(total / width)
    return cells


@pytest.mark.parametrize(
    "size",
    [(24, 24), (96, 96), (240, 240), (648, 648), (48, 100), (100, 133), (191, 250), (333, 420), (640, 851)],
    ids=str,
)
def test_a_cell_is_the_average_of_its_share_of_the_picture(size: tuple[int, int]) -> None:
    image = portrait("exact", size)
    seen = fingerprint(image)
    worst = max(abs(ours - exact) for ours, exact in zip(seen.cells, exact_cells(image), strict=True))
    assert len(seen.cells) == 576
    assert (seen.width, seen.height) == size
    # where cells cut pixels, the parts of a pixel are guessed from its neighbours
    assert worst <= (1.5 if size[0] % 24 == size[1] % 24 == 0 else 6)


@pytest.mark.parametrize("size", [size for size in SERVED if size >= 96])
@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("recipe", [Recipe(), Recipe(square=False)], ids=["square", "uncropped"])
def test_a_copy_that_the_cloud_made_smaller_and_encoded_twice_is_known_again(
    recipe: Recipe, quality: int, size: int
) -> None:
    prepared = prepare(pictures.jpeg("kept", (720, 960)), recipe)
    stored = reencoded(reencoded(prepared.sent_bytes, size, quality=quality), size)
    assert prepared.sent.shows_same(read_print(stored))
    assert prepared.whole.shows_same(read_print(stored)) is not recipe.square


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(square=False)], ids=["square", "uncropped"])
@pytest.mark.parametrize("size", [(480, 640), (641, 961), (960, 720), (2000, 3001)], ids=str)
def test_the_square_about_the_centre_is_known_again_however_the_picture_is_cropped(
    size: tuple[int, int], recipe: Recipe
) -> None:
    image, edge = portrait("centred", size), min(size)
    left, top = (size[0] - edge) // 2, (size[1] - edge) // 2
    cropped = image.crop((left, top, left + edge, top + edge))
    prepared = prepare(encoded(image, "JPEG"), recipe)
    assert prepared.centre is not None
    assert (prepared.centre.width, prepared.centre.height) == (edge, edge)
    assert prepared.centre.shows_same(read_print(reencoded(encoded(cropped, "JPEG"), 240)))
    assert not prepared.centre.shows_same(prepared.whole)


def test_a_square_picture_has_no_square_about_its_centre() -> None:
    assert prepare(pictures.jpeg("square", (500, 500)), Recipe()).centre is None


@pytest.mark.parametrize("size", [(500, 500), (640, 851), (1301, 1700), (3000, 2250)], ids=str)
def test_a_large_picture_is_read_cheaply_and_seen_alike(size: tuple[int, int]) -> None:
    content_bytes = pictures.jpeg("cheap", size)
    with Image.open(io.BytesIO(content_bytes)) as image:
        assert read_print(content_bytes).distance(fingerprint(image)) <= 3
    assert (read_print(content_bytes).width, read_print(content_bytes).height) == size


CHANGES = {
    "shifted": lambda image: image.crop((13, 0, image.width, image.height)).resize(image.size),
    "turned": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside-down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "another-person": lambda image: portrait("somebody else", image.size),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_another_picture(change: str) -> None:
    image = portrait("original", (648, 648))
    assert not fingerprint(image).shows_same(fingerprint(CHANGES[change](image)))


def test_no_two_of_forty_people_look_the_same() -> None:
    prints = [fingerprint(portrait(f"person {number}", (240, 240))) for number in range(40)]
    closest = min(a.distance(b) for a, b in itertools.combinations(prints, 2))
    assert closest > 3 * 14


def test_one_cell_is_enough_to_be_different() -> None:
    plain = Fingerprint(bytes(576), 648, 648)
    for level, same in ((14, True), (15, False)):
        other = Fingerprint(bytes(300) + bytes([level]) + bytes(275), 648, 648)
        assert plain.distance(other) == level
        assert plain.shows_same(other) is same
        assert other.shows_same(plain) is same


@pytest.mark.parametrize(
    "size, same",
    [
        ((648, 648), True),
        ((96, 96), True),
        ((648, 636), True),
        ((636, 648), True),
        ((648, 634), False),
        ((96, 128), False),
    ],
)
def test_pictures_of_another_shape_are_other_pictures(size: tuple[int, int], same: bool) -> None:
    square, other = Fingerprint(bytes(576), 648, 648), Fingerprint(bytes(576), *size)
    assert square.shows_same(other) is same
    assert other.shows_same(square) is same


@settings(max_examples=60, deadline=None)
@given(width=st.integers(24, 700), height=st.integers(24, 700), level=st.integers(0, 255))
def test_one_colour_is_one_colour_at_every_size(width: int, height: int, level: int) -> None:
    seen = fingerprint(Image.new("L", (width, height), level))
    assert set(seen.cells) == {level}
    assert (seen.width, seen.height) == (width, height)


def test_the_cloud_s_colour_profile_is_obeyed_in_its_fingerprint() -> None:
    marked, plain = pictures.with_profile("profile", (300, 300)), pictures.jpeg("profile", (300, 300))
    assert read_print(marked).shows_same(read_print(plain))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_cloud_photo_in_another_format_is_read_too(kind: str) -> None:
    image = portrait("format", (240, 240)).quantize(64).convert("RGB")
    assert read_print(encoded(image, kind)).shows_same(fingerprint(image))


@pytest.mark.parametrize(
    "content_bytes", [b"", b"{}", pictures.not_an_image(), pictures.truncated("cut")], ids=range(4)
)
def test_cloud_bytes_that_are_no_picture_are_refused(content_bytes: bytes) -> None:
    with pytest.raises(PictureRefused):
        read_print(content_bytes)


def test_a_strip_as_long_as_allowed_is_averaged_in_little_memory() -> None:
    seen = fingerprint(Image.new("L", (48, 1_000_000), 77))
    assert set(seen.cells) == {77}
