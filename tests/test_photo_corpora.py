"""Public corpora, bombs and fuzzed bytes end in a plain JPEG or in a reason."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from connector.photo import PictureRefused, Recipe, fingerprint, prepare, read_print, sent_size
from connector.photo.chunks import take_apart_png
from connector.photo.jpeg import parse_jpeg
from connector.photo.limits import MemoryBudget
from connector.photo.prepare import crop_box
from tests.hostile_pictures import HEADING, ROOT, tried
from tests.lab.hostile import BOMBS, CHANGES, Change, changed, seeds

# What Pillow says about bent pictures is its own affair here; the product silences it for its process.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
CORPORA = ROOT / ".lab" / "corpora"
LEAST = {"pillow": 700, "piexif": 16, "gdk-pixbuf-tests": 200}
MEMORY_MB = 400


@pytest.fixture(scope="module")
def corpora() -> Path:
    """Give the folder of public pictures; where CI is set they must be there, elsewhere they may be missing."""
    CORPORA.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(CORPORA.with_suffix(".lock")):  # several test processes may need them at once
            if not all((CORPORA / name).is_dir() for name in LEAST):
                subprocess.run([ROOT / "scripts" / "fetch-corpora"], check=True, capture_output=True, timeout=280)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or b""
        reason = f"The corpora cannot be fetched: {error} {told.decode(errors='replace')[-500:]}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return CORPORA


# Public corpora


@pytest.mark.parametrize("corpus", LEAST)
def test_every_file_of_a_public_corpus_becomes_a_plain_jpeg_or_a_reason(
    corpus: str, corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = tried(corpora / corpus, tmp_path / "out")
    with capsys.disabled():
        print(f"\n{HEADING}\n{outcome.row(corpus)} (slowest: {outcome.slowest['name']})")
    files, accepted, *refused = outcome.counts()
    assert files >= LEAST[corpus]
    assert accepted >= files / 10
    assert files == accepted + sum(refused), "each is accepted, or refused for one of four reasons"
    assert outcome.peak_mb <= MEMORY_MB
    wrong = [problem for result in outcome.accepted for problem in problems(corpora / corpus, tmp_path / "out", result)]
    assert "\n".join(wrong) == ""
    assert said_of(corpus, files) in (None, [accepted, *refused]), "scripts/try-pictures writes the table anew"


def said_of(corpus: str, files: int) -> list[int] | None:
    """Return what docs/security.md says became of a corpus of so many files; None for another edition of it."""
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {corpus}"))
    told, *counts = (int(cell.strip().replace(",", "")) for cell in row.split("|")[2:8])
    return counts if told == files else None


def problems(folder: Path, out: Path, result: dict[str, Any]) -> list[str]:
    """Return what is wrong with what would be sent for one file of a corpus."""
    content_bytes, sent_bytes = (folder / result["name"]).read_bytes(), (out / result["sent"]).read_bytes()
    try:
        expected = reference(content_bytes)
    except (SyntaxError, ValueError, UnidentifiedImageError):  # over an animation or a profile that is cut away here
        expected = reference(take_apart_png(content_bytes).clean_bytes)
    size = (result["width"], result["height"])
    found = [f"{result['name']}: {problem}" for problem in not_plain(sent_bytes, sent_size(*size, Recipe()))]
    if size != expected.size:
        return [*found, f"{result['name']}: not upright, {size} instead of {expected.size}"]
    expected = expected.resize(sent_size(*size, Recipe()), Image.Resampling.LANCZOS, box=crop_box(*size, Recipe()))
    with Image.open(io.BytesIO(sent_bytes)) as image:
        apart = fingerprint(image).distance(fingerprint(expected)), farthest_colours(image, expected)
    return [*found, f"{result['name']}: other pixels {apart}"] if max(apart) > 20 else found


def not_plain(sent_bytes: bytes, size: tuple[int, int]) -> list[str]:
    """Return what keeps a JPEG from being plain, of this size, within limits and without metadata."""
    with Image.open(io.BytesIO(sent_bytes)) as image:
        image.load()
        checks = {
            "no JPEG": image.format != "JPEG",
            "neither RGB nor grey": image.mode not in ("RGB", "L"),
            "another size": image.size != size,
            "over 4 MB": len(sent_bytes) > 4_000_000,
            "metadata": parse_jpeg(sent_bytes).clean_bytes != sent_bytes or "icc_profile" in image.info,
            "unusual coding": not parse_jpeg(sent_bytes).plain,
            "changes when prepared again": prepare(sent_bytes, Recipe()).sent_bytes != sent_bytes,
        }
    return [problem for problem, is_so in checks.items() if is_so]


def reference(content_bytes: bytes) -> Image.Image:
    """Decode with Pillow alone, all pixels, in the simplest way: upright, on white, in sRGB."""
    with Image.open(io.BytesIO(content_bytes)) as opened:
        profile = opened.info.get("icc_profile")
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 257).convert("L").convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    try:
        from_profile = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        moved = ImageCms.profileToProfile(image, from_profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        moved = None
    return (moved or image).convert("RGB")


def farthest_colours(ours: Image.Image, theirs: Image.Image) -> int:
    """Return the largest difference between the colours of 16 large parts."""
    small = [image.convert("RGB").resize((4, 4), Image.Resampling.BOX).tobytes() for image in (ours, theirs)]
    ours_bytes, theirs_bytes = small
    return max(abs(a - b) for a, b in zip(ours_bytes, theirs_bytes, strict=True))


# Bombs: small to send, large or slow to decode


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_decoded_small_or_refused_but_never_goes_off(name: str, tmp_path: Path) -> None:
    make, reason = BOMBS[name]
    (tmp_path / "bombs").mkdir()
    (tmp_path / "bombs" / name).write_bytes(make())
    outcome = tried(tmp_path / "bombs", tmp_path / "out")
    assert [result.get("refused") for result in outcome.results] == [reason]
    assert outcome.peak_mb <= MEMORY_MB


HEAVY = [name for name in BOMBS if "million" in name and BOMBS[name][1] is None] + ["gif-of-comments"]


def test_bombs_in_four_threads_take_no_more_memory_than_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "bombs").mkdir()
    for name in HEAVY:
        (tmp_path / "bombs" / name).write_bytes(BOMBS[name][0]())
    outcome = tried(tmp_path / "bombs", tmp_path / "out", threads=4)
    assert len(outcome.accepted) == len(HEAVY) == 7
    assert outcome.peak_mb <= MEMORY_MB


def test_whoever_wants_all_the_room_waits_for_the_others_and_gives_all_back() -> None:
    room, order = MemoryBudget(100), list[str]()

    def take(name: str, amount: int, inside: threading.Event, leave: threading.Event) -> None:
        with room.reserve(amount):
            order.append(name)
            inside.set()
            leave.wait()

    events = {name: (threading.Event(), threading.Event()) for name in ("small", "all", "late")}
    wanted = {"small": 60, "all": 1000, "late": 10}
    threads = {name: threading.Thread(target=take, args=(name, wanted[name], *events[name])) for name in wanted}
    threads["small"].start()
    events["small"][0].wait()
    for name in ("all", "late"):
        threads[name].start()
    events["small"][1].set()
    for name in ("all", "late"):
        events[name][1].set()
    for thread in threads.values():
        thread.join()
    assert order[0] == "small"
    assert sorted(order) == ["all", "late", "small"]
    with room.reserve(100):
        pass


# Fuzzed bytes


PLACE = st.floats(0, 1, exclude_max=True)
# headers are where decoders go astray
EARLY = st.floats(0, 0.1)
CHANGE = st.tuples(st.sampled_from(CHANGES), PLACE | EARLY, st.binary(min_size=1, max_size=8))


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, len(seeds()) - 1), changes=st.lists(CHANGE, min_size=1, max_size=6), square=st.booleans())
def test_changed_bytes_become_a_plain_jpeg_or_a_reason(seed: int, changes: list[Change], square: bool) -> None:
    content_bytes = changed(seeds()[seed], changes)
    recipe = Recipe(square=square)
    try:
        prepared = prepare(content_bytes, recipe)
    except PictureRefused:
        return
    whole = (prepared.whole.width, prepared.whole.height)
    size = sent_size(*whole, recipe)
    assert (prepared.sent.width, prepared.sent.height) == size
    with Image.open(io.BytesIO(prepared.sent_bytes)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", size)
    assert parse_jpeg(prepared.sent_bytes).clean_bytes == prepared.sent_bytes
    assert read_print(prepared.sent_bytes).distance(prepared.sent) <= 40


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"])
)
@pytest.mark.parametrize("length", [0, 30, 300])
def test_bytes_that_only_begin_like_a_picture_are_refused(start: bytes, length: int) -> None:
    for data in (bytes(length), b"\xff" * length, bytes(range(256))[:length]):
        with pytest.raises(PictureRefused):
            prepare(start + data, Recipe())
        with pytest.raises(PictureRefused):
            read_print(start + data)
