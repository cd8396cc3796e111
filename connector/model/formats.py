"""The picture formats: how each is recognised, what reads it, which endings its files have, and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """Describe one format that can be read.

    `name` is Pillow's, `plugin` the module that registers it. `bytes_a_pixel` is what decoding takes beside Pillow's
    own copies (a JPEG takes its coefficients where it is progressive). `extra` names what has to be installed for it.
    """

    name: str
    title: str
    plugin: str
    endings: tuple[str, ...]
    max_pixels: int
    bytes_a_pixel: int
    signatures: tuple[bytes, ...] = ()
    brands: tuple[bytes, ...] = ()
    extra: str = ""

    @property
    def is_installed(self) -> bool:
        """Return True if what reads this format is there."""
        return not self.extra or find_spec(self.plugin.partition(".")[0]) is not None


# Decoding takes four bytes a pixel in Pillow, and beside them WebP's canvases, TIFF's strip and turning, or the planes
# of a video frame.
FORMATS = (
    PictureFormat(
        *("JPEG", "JPEG", "PIL.JpegImagePlugin", (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".mpo")),
        *(50_000_000, 0, (b"\xff\xd8\xff",)),
    ),
    PictureFormat("PNG", "PNG", "PIL.PngImagePlugin", (".png", ".apng"), 50_000_000, 4, (b"\x89PNG\r\n\x1a\n",)),
    PictureFormat("GIF", "GIF", "PIL.GifImagePlugin", (".gif",), 50_000_000, 4, (b"GIF87a", b"GIF89a")),
    PictureFormat("BMP", "BMP", "PIL.BmpImagePlugin", (".bmp", ".dib"), 50_000_000, 4, (b"BM",)),
    PictureFormat("TIFF", "TIFF", "PIL.TiffImagePlugin", (".tif", ".tiff"), 20_000_000, 16, (b"II*\0", b"MM\0*")),
    PictureFormat("WEBP", "WebP", "PIL.WebPImagePlugin", (".webp",), 16_000_000, 16),
    PictureFormat("AVIF", "AVIF", "PIL.AvifImagePlugin", (".avif",), 20_000_000, 16, brands=(b"avif", b"avis")),
    PictureFormat(
        *("HEIF", "HEIC", "pillow_heif.HeifImagePlugin", (".heic", ".heif", ".hif"), 20_000_000, 16, ()),
        *((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heif"),
    ),
)
BY_NAME = {one.name: one for one in FORMATS}
# Kinds of file that are met where a photo should be, by their first bytes: named, never read.
FOREIGN = (
    (b"%PDF", "PDF document"),
    (b"8BPS", "Photoshop document"),
    (b"\0\0\0\x0cJXL ", "JPEG XL picture"),
    (b"\xff\x0a", "JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000 picture"),
    (b"\0\0\1\0", "icon"),
    (b"PK\3\4", "ZIP archive or Office document"),
    (b"\xd0\xcf\x11\xe0", "Office document"),
    (b"<svg", "SVG drawing"),
    (b"<?xml", "XML document"),
    (b"<!DOCTYPE html", "web page"),
    (b"<html", "web page"),
)


def recognise(content_bytes: bytes) -> PictureFormat | None:
    """Return the format that the first bytes show; None for any other."""
    if content_bytes[:4] == b"RIFF" and content_bytes[8:12] == b"WEBP":
        return BY_NAME["WEBP"]
    if content_bytes[4:8] == b"ftyp":
        return next((one for one in FORMATS if set(_brands(content_bytes)) & set(one.brands)), None)
    return next((one for one in FORMATS if one.signatures and content_bytes.startswith(one.signatures)), None)


def foreign_title(content_bytes: bytes) -> str:
    """Return what kind of other file this is; empty where that is not known."""
    start = content_bytes[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((title for signature, title in FOREIGN if start.lower().startswith(signature.lower())), "")


def readable_endings() -> frozenset[str]:
    """Return the endings of files that this installation can read."""
    return frozenset(ending for one in FORMATS if one.is_installed for ending in one.endings)


def installed_extras() -> tuple[str, ...]:
    """Return the extras that are installed and let more formats be read, e.g. `heif`; none in a plain installation."""
    return tuple(sorted({one.extra for one in FORMATS if one.extra and one.is_installed}))


def _brands(content_bytes: bytes) -> Iterator[bytes]:
    """Yield the brands of an ISO base media file, the major one first (ISO/IEC 14496-12, 4.3)."""
    length = min(int.from_bytes(content_bytes[:4], "big"), 256)
    yield content_bytes[8:12]
    for position in range(16, length, 4):
        yield content_bytes[position : position + 4]
