"""Pictures that do harm: bombs, each with the reason to refuse it if there is one, and bytes that were changed."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

from PIL import Image, ImageCms

from connector.model import Reason
from tests.lab import pictures
from tests.lab.pictures import encoded
from tests.lab.portraits import portrait


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
    "jpeg-of-90-scans": (lambda: with_scans(80, (2000, 2000)), Reason.DAMAGED),
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
        None,
    ),
    "png-profile": (lambda: with_chunks(chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(900_000), 9))), None),
    "text-of-20-million": (lambda: b"A" * 20_000_000, Reason.NOT_AN_IMAGE),
    "text-over-20-million": (lambda: b"A" * 20_000_001, Reason.TOO_LARGE),
}


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
        pictures.png_16_bit("fuzz", (64, 80)),
        encoded(drawn.convert("LA"), "PNG"),
        encoded(drawn, "PNG", save_all=True, append_images=[drawn.rotate(90)]),
        encoded(drawn.quantize(16), "GIF", save_all=True, append_images=[drawn.rotate(90).quantize(16)]),
        encoded(drawn.convert("I;16"), "TIFF"),
        encoded(drawn.convert("CMYK"), progressive=True),
        encoded(drawn) + b"PK\3\4" + encoded(drawn, "PNG"),
    )


Change = tuple[str, float, bytes]
CHANGES = ("overwrite", "insert", "cut", "repeat", "end")


def changed(content_bytes: bytes, changes: list[Change]) -> bytes:
    """Change bytes at a share of the length, one change after the other."""
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


def changed_pictures(count: int, *, seed: int) -> Iterator[bytes]:
    """Yield so many pictures with one to six changes, most of them in the headers; always the same of a seed."""
    dice = random.Random(seed)
    for _ in range(count):
        places = [dice.choice((dice.random(), dice.random() / 10)) for _ in range(dice.randint(1, 6))]
        changes = [(dice.choice(CHANGES), place, dice.randbytes(dice.randint(1, 8))) for place in places]
        yield changed(dice.choice(seeds()), changes)
