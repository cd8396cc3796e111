"""Does any picture in the world hurt? Public corpora, bombs and fuzzed bytes end in a plain JPEG or in a reason."""

from __future__ import annotations

import collections
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from connector.model import Reason
from connector.photo import PictureRefused, Recipe, fingerprint, prepare, read_print, sent_size
from connector.photo.jpeg import take_apart
from connector.photo.recipe import crop_box
from tests.lab import pictures
from tests.lab.pictures import encoded
from tests.lab.portraits import portrait

# What Pillow says about bent pictures is its own affair here; the product silences it for its process.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")

ROOT = Path(__file__).resolve().parent.parent
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


def tried(folder: Path, out: Path) -> tuple[list[dict[str, Any]], float]:
    """Try each file of a folder in a process of its own; return what became of them and the peak memory in MB."""
    out.mkdir()
    command = [sys.executable, "-m", "tests.hostile_pictures", str(folder), str(out)]
    try:
        ended = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=240)
    except subprocess.TimeoutExpired as hung:
        pytest.fail(f"It hangs at {(hung.stdout or b'').splitlines()[-1:]}")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, f"It ended at {lines[-1:]} with {ended.returncode}: {ended.stderr[-2000:]!r}"
    return [line for line in lines if "name" in line], lines[-1]["peak_mb"]


# Public corpora


@pytest.mark.parametrize("corpus", LEAST)
def test_every_file_of_a_public_corpus_becomes_a_plain_jpeg_or_a_reason(
    corpus: str, corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, peak_mb = tried(corpora / corpus, tmp_path / "out")
    accepted = [result for result in results if "sent" in result]
    refused = collections.Counter(result["refused"] for result in results if "refused" in result)
    slowest = max(results, key=lambda result: result["seconds"])
    with capsys.disabled():
        print(
            f"\n{corpus}: {len(results)} files tried, {len(accepted)} accepted, refused {dict(refused)}, peak memory "
            f"{peak_mb:.0f} MB, slowest {slowest['name']} {slowest['seconds'] * 1000:.0f} ms"
        )
    assert len(results) >= LEAST[corpus]
    assert len(accepted) >= len(results) / 10
    assert set(refused) <= {Reason.NOT_AN_IMAGE, Reason.TOO_SMALL, Reason.TOO_LARGE}
    assert peak_mb <= MEMORY_MB
    wrong = [problem for result in accepted for problem in problems(corpora / corpus, tmp_path / "out", result)]
    assert "\n".join(wrong) == ""


def problems(folder: Path, out: Path, result: dict[str, Any]) -> list[str]:
    """Say what is wrong with what would be sent for one file of a corpus."""
    content_bytes, sent_bytes = (folder / result["name"]).read_bytes(), (out / result["sent"]).read_bytes()
    expected = reference(content_bytes)
    size = (result["width"], result["height"])
    found = [f"{result['name']}: {problem}" for problem in not_plain(sent_bytes, sent_size(*size, Recipe()))]
    if size != expected.size:
        return [*found, f"{result['name']}: not upright, {size} instead of {expected.size}"]
    expected = expected.resize(sent_size(*size, Recipe()), Image.Resampling.LANCZOS, box=crop_box(*size, Recipe()))
    with Image.open(io.BytesIO(sent_bytes)) as image:
        apart = fingerprint(image).distance(fingerprint(expected)), farthest_colours(image, expected)
    return [*found, f"{result['name']}: other pixels {apart}"] if max(apart) > 20 else found


def not_plain(sent_bytes: bytes, size: tuple[int, int]) -> list[str]:
    """Say what keeps a JPEG from being plain, of this size, within limits and without metadata."""
    with Image.open(io.BytesIO(sent_bytes)) as image:
        image.load()
        checks = {
            "no JPEG": image.format != "JPEG",
            "neither RGB nor grey": image.mode not in ("RGB", "L"),
            "another size": image.size != size,
            "over 4 MB": len(sent_bytes) > 4_000_000,
            "metadata": take_apart(sent_bytes).clean_bytes != sent_bytes or "icc_profile" in image.info,
            "unusual coding": not take_apart(sent_bytes).plain,
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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gradient(mode: str, size: tuple[int, int]) -> Image.Image:
    return Image.radial_gradient("L").resize(size, Image.Resampling.NEAREST).convert(mode)


def with_chunks(*chunks: bytes) -> bytes:
    """Return a PNG with more chunks in front of its pixels."""
    png = encoded(Image.new("RGB", (100, 100)), "PNG")
    at = png.index(b"IDAT") - 4
    return png[:at] + b"".join(chunks) + png[at:]


def with_scans(scans: int, size: tuple[int, int]) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    jpeg = encoded(gradient("RGB", size), progressive=True, subsampling=0, quality=10)
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * scans + jpeg[-2:]


def directory_of(entries: int) -> bytes:
    """Return a TIFF directory (which EXIF is, too) whose every entry claims the whole file."""
    claims = b"".join(struct.pack("<HHII", tag, 7, 9_000_000, 8) for tag in range(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + claims + bytes(9_000_000)


def wide_tiff(edge: int) -> bytes:
    """Return a TIFF of one strip with four channels of 16 bits, to be turned: what costs its decoder most."""
    data = zlib.compress(bytes(edge * 8) * edge, 1)
    tags = [(256, 4, 1, edge), (257, 4, 1, edge), (258, 3, 4, 0), (259, 3, 1, 8), (262, 3, 1, 2), (273, 4, 1, 0)]
    tags += [(274, 3, 1, 6), (277, 3, 1, 4), (278, 4, 1, edge), (279, 4, 1, len(data)), (338, 3, 1, 2)]
    depth_at = 8 + 2 + 12 * len(tags) + 4
    places = {258: depth_at, 273: depth_at + 8}
    entries = b"".join(struct.pack("<HHII", tag, kind, count, places.get(tag, what)) for tag, kind, count, what in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return head + entries + bytes(4) + struct.pack("<4H", 16, 16, 16, 16) + data


def gif_with_comments() -> bytes:
    gif = encoded(Image.new("L", (100, 100)), "GIF")
    at = gif.index(b",", 13)
    return gif[:at] + b"!\xfe\x01x\0" * 1_500_000 + gif[at:]


BOMBS: dict[str, tuple[Callable[[], bytes], Reason | None]] = {
    "png-of-625-million": (pictures.bomb, Reason.TOO_LARGE),
    "png-of-50-million": (lambda: encoded(gradient("RGBA", (7050, 7050)), "PNG", compress_level=1), None),
    "png-strip": (lambda: encoded(gradient("LA", (50, 900_000)), "PNG", compress_level=1), Reason.TOO_LARGE),
    "jpeg-of-50-million": (
        lambda: encoded(gradient("RGB", (7050, 7050)), progressive=True, subsampling=0, quality=40),
        None,
    ),
    "jpeg-of-40-million-cmyk": (lambda: encoded(gradient("CMYK", (6300, 6300)), progressive=True, quality=40), None),
    "jpeg-strip": (
        lambda: encoded(gradient("RGB", (900, 50_000)), progressive=True, subsampling=0),
        Reason.TOO_LARGE,
    ),
    "jpeg-of-90-scans": (lambda: with_scans(80, (2000, 2000)), None),
    "jpeg-of-5000-scans": (lambda: with_scans(5000, (2000, 2000)), Reason.NOT_AN_IMAGE),
    "jpeg-of-empty-segments": (lambda: b"\xff\xd8" + b"\xff\xe5\0\x02" * 4_900_000, Reason.NOT_AN_IMAGE),
    "jpeg-of-padding": (lambda: b"\xff\xd8" + b"\xff" * 19_000_000 + b"\0", Reason.NOT_AN_IMAGE),
    "webp-of-16-million": (lambda: encoded(gradient("RGBA", (3999, 3999)), "WEBP", lossless=True, method=0), None),
    "webp-of-25-million": (
        lambda: encoded(gradient("RGB", (5000, 5000)), "WEBP", quality=30, method=0),
        Reason.TOO_LARGE,
    ),
    "tiff-of-20-million": (lambda: wide_tiff(4470), None),
    "tiff-of-25-million": (lambda: wide_tiff(5000), Reason.TOO_LARGE),
    "tiff-of-claims": (lambda: directory_of(65_535), Reason.NOT_AN_IMAGE),
    "exif-of-claims": (lambda: with_chunks(chunk(b"eXIf", directory_of(65_535))), None),
    "gif-of-50-million": (lambda: encoded(gradient("P", (7050, 7050)), "GIF"), None),
    "gif-of-comments": (gif_with_comments, None),
    "png-of-remarks": (lambda: with_chunks(chunk(b"tEXt", b"a\0b") * 400_000), None),
    "png-of-packed-remarks": (
        lambda: with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9)) * 60),
        None,
    ),
    "png-of-one-packed-remark": (
        lambda: with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(90_000_000), 9))),
        Reason.NOT_AN_IMAGE,
    ),
    "png-profile": (lambda: with_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(900_000), 9))), None),
    "text-of-20-million": (lambda: b"A" * 20_000_000, Reason.NOT_AN_IMAGE),
    "text-over-20-million": (lambda: b"A" * 20_000_001, Reason.TOO_LARGE),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_decoded_small_or_refused_but_never_goes_off(name: str, tmp_path: Path) -> None:
    make, reason = BOMBS[name]
    (tmp_path / "bombs").mkdir()
    (tmp_path / "bombs" / name).write_bytes(make())
    results, peak_mb = tried(tmp_path / "bombs", tmp_path / "out")
    assert [result.get("refused") for result in results] == [reason]
    assert peak_mb <= MEMORY_MB


# Fuzzed bytes


@cache
def seeds() -> tuple[bytes, ...]:
    """Give small honest pictures of every format and with every kind of side information."""
    drawn = portrait("fuzz", (64, 80))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    return (
        encoded(drawn, exif=exif, icc_profile=profile, comment=b"fuzz"),
        encoded(drawn, progressive=True),
        encoded(drawn.convert("CMYK")),
        encoded(drawn.resize((64, 64))),
        encoded(drawn, "MPO", save_all=True, append_images=[drawn]),
        encoded(drawn, "PNG", exif=exif, icc_profile=profile),
        encoded(drawn.quantize(16), "PNG", transparency=b"\0\x80"),
        encoded(drawn.quantize(64), "GIF", comment=b"fuzz"),
        encoded(drawn, "WEBP", exif=exif, icc_profile=profile),
        encoded(drawn, "WEBP", lossless=True, save_all=True, append_images=[drawn]),
        encoded(drawn, "TIFF", exif=exif, icc_profile=profile),
        encoded(drawn, "TIFF", compression="tiff_lzw"),
        encoded(drawn, "TIFF", compression="jpeg"),
        encoded(drawn.convert("1"), "TIFF", compression="group4"),
        encoded(drawn, "BMP"),
        encoded(drawn.quantize(16), "BMP"),
        pictures.as_text(encoded(drawn)),
    )


PLACE = st.floats(0, 1, exclude_max=True)
# headers are where decoders go astray
EARLY = st.floats(0, 0.1)
CHANGE = st.tuples(
    st.sampled_from(["overwrite", "insert", "cut", "repeat", "end"]), PLACE | EARLY, st.binary(min_size=1, max_size=8)
)


def changed(content_bytes: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, data in changes:
        at = int(len(content_bytes) * share)
        head, tail = content_bytes[:at], content_bytes[at:]
        content_bytes = {
            "overwrite": head + data + tail[len(data) :],
            "insert": head + data + tail,
            "cut": head + tail[len(data) :],
            "repeat": head + tail[: len(data) * 40] + tail,
            "end": head + data if share > 0.3 else head + tail + data,
        }[kind]
    return content_bytes


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 16), changes=st.lists(CHANGE, min_size=1, max_size=6), square=st.booleans())
def test_changed_bytes_become_a_plain_jpeg_or_a_reason(
    seed: int, changes: list[tuple[str, float, bytes]], square: bool
) -> None:
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
    assert take_apart(prepared.sent_bytes).clean_bytes == prepared.sent_bytes
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
