"""Decode hostile bytes into a picture: measured first, then decoded small, upright, and in plain colours."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module

from PIL import Image, ImageCms

from connector.errors import StopRun
from connector.model.formats import FORMATS, foreign_title, recognise
from connector.photo.blocks import check_blocks
from connector.photo.chunks import MAX_PROFILE, check_webp, take_apart_png, webp_size
from connector.photo.coded_pixels import check_coded_pixels
from connector.photo.jpeg import Jpeg, parse_jpeg, split_segments
from connector.photo.limits import (
    LARGE_GIF_BYTES,
    MAX_GIF_BYTES,
    MAX_MEMORY_TOGETHER,
    MemoryBudget,
    PictureRefused,
    check_bytes,
    check_memory,
    check_pixels,
    memory_for,
    not_an_image,
    not_installed,
    too_large,
    tune_malloc,
)

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}")


def unwrap(content_bytes: bytes) -> tuple[str, bytes]:
    """Return the kind of picture (a name of the table of formats) and its bytes; raise PictureRefused for all else."""
    check_bytes(content_bytes)
    for picture_bytes in _readings(content_bytes):
        if found := recognise(picture_bytes):
            if not found.is_installed:
                raise not_installed(found)
            return found.name, picture_bytes
    if title := foreign_title(content_bytes):
        raise not_an_image(f"The value is a {title}.")
    titles = [one.title for one in FORMATS]
    raise not_an_image(f"The value is not a {', '.join(titles[:-1])} or {titles[-1]} picture.")


def _readings(content_bytes: bytes) -> Iterator[bytes]:
    """Yield the bytes, and only where they are asked for, what they are as text."""
    yield content_bytes
    yield _from_text(content_bytes)


def _from_text(content_bytes: bytes) -> bytes:
    """Decode base64 in both alphabets, padded or not, also as a data: URL (RFC 4648, RFC 2397); else nothing."""
    text = content_bytes.strip()
    if text[:5].lower() == b"data:":
        text = text.partition(b",")[2]
    text = b"".join(text.split())
    if not _BASE64.fullmatch(text):
        return b""
    text = text.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


# What Pillow finds odd in a picture (a bent EXIF block, many pixels) is judged below, and is no news for an
# administrator; its debug log quotes metadata. Silenced for the process, since a moment's filter is not thread-safe.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
for _category in (UserWarning, RuntimeWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

# The plugins are loaded here so that opening one of their pictures does not import all others of Pillow.
for _format in FORMATS:
    if _format.is_installed:
        import_module(_format.plugin)
_PLAIN = ("L", "RGB", "CMYK")
_VERY_LARGE = 16_000_000
_MEMORY = MemoryBudget(MAX_MEMORY_TOGETHER)
tune_malloc()
_BAND_PIXELS = 1_000_000
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_BENT_EXIF = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, Warning)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """Describe a picture whose header was read and found acceptable.

    `width` and `height` are upright. `jpeg_bytes` is a JPEG without metadata, empty for other formats; `is_fit` says
    that it could be sent as it stands, as far as turning, colours and coding go.
    """

    image: Image.Image = field(repr=False)
    width: int
    height: int
    orientation: int
    jpeg_bytes: bytes = field(repr=False)
    is_fit: bool


@contextmanager
def open_image(content_bytes: bytes, shortest: int) -> Iterator[OpenedImage]:
    """Read the header of a picture of any supported kind; raise PictureRefused and nothing else.

    Inside, there is room in memory to decode it, its shorter edge then at least `shortest` pixels; others wait.
    """
    with ExitStack() as held:
        with _as_refusal():
            kind, picture_bytes = unwrap(content_bytes)
            jpeg = parse_jpeg(picture_bytes) if kind == "JPEG" else None
            png = take_apart_png(picture_bytes) if kind == "PNG" else None
            clean_bytes = jpeg.clean_bytes if jpeg else png.clean_bytes if png else picture_bytes
            if taken := _taken_on_opening(kind, picture_bytes, shortest):
                held.enter_context(_MEMORY.reserve(taken))
            image = Image.open(io.BytesIO(clean_bytes), formats=(kind,))
            if png and png.profile_bytes:
                image.info["icc_profile"] = png.profile_bytes
            check_pixels(kind, *image.size)
            if not taken:
                held.enter_context(_MEMORY.reserve(_memory_for(kind, image.size, shortest, _coefficients(image))))
            opened = _opened(image, jpeg)
        yield opened


def _taken_on_opening(kind: str, picture_bytes: bytes, shortest: int) -> int:
    """Return how many bytes of memory a decoder takes before it reports the size; most take none."""
    if kind == "WEBP":
        check_webp(picture_bytes)
        size = webp_size(picture_bytes)
        check_pixels(kind, *size)
        return _memory_for(kind, size, shortest)
    if kind == "GIF":
        check_bytes(picture_bytes, limit=MAX_GIF_BYTES)
        return MAX_MEMORY_TOGETHER if len(picture_bytes) > LARGE_GIF_BYTES else 0
    return 0


def _opened(image: Image.Image, jpeg: Jpeg | None) -> OpenedImage:
    if image.format == "PNG":  # whose EXIF may follow the pixels
        image.load()
    orientation = _orientation(image, jpeg)
    width, height = image.size if orientation < 5 else image.size[::-1]
    fit = jpeg is not None and jpeg.plain and not jpeg.has_profile and orientation == 1
    return OpenedImage(image, width, height, orientation, jpeg.clean_bytes if jpeg else b"", fit)


def check_whole(opened: OpenedImage, shortest: int) -> Image.Image | None:
    """Refuse a JPEG whose coded pixels are damaged; raise PictureRefused.

    Return the luma of all its pixels if they were decoded for that, which they are where an edge of at least `shortest`
    needs them all: what `decode_luma` would return of a JPEG that is fit to be sent.
    """
    if not opened.jpeg_bytes:
        return None
    with _as_refusal():
        segments = list(split_segments(opened.jpeg_bytes))
        needs_all = _times_smaller(opened.image.size, shortest) == 1
        luma = check_coded_pixels(opened.jpeg_bytes, segments, in_full=needs_all)
        check_blocks(segments)
        return luma


def _memory_for(kind: str, size: tuple[int, int], shortest: int, components: int = 0) -> int:
    pixels = size[0] * size[1]
    return memory_for(kind, pixels, components=components, smaller=_times_smaller(size, shortest))


def _coefficients(image: Image.Image) -> int:
    """Return how many components of a picture are kept as coefficients: those of a progressive JPEG."""
    return len(image.getbands()) if image.info.get("progressive") else 0


def decode(opened: OpenedImage, shortest: int) -> Image.Image:
    """Decode the whole picture once: upright, sRGB or grey, its shorter edge at least `shortest` pixels if it was.

    Of a picture of more than 16 million pixels half of that is enough. Raises PictureRefused when anything of it is
    missing or broken.
    """
    with _as_refusal():
        image = _flattened(opened.image, _excess(opened.image, shortest))
        image = _in_srgb(image, opened.image.info.get("icc_profile"))
        if opened.orientation > 1:
            image = image.transpose(_TURNS[opened.orientation])
        image.info = {}
        return image


def decode_luma(opened: OpenedImage, shortest: int) -> tuple[Image.Image, Box]:
    """Decode the whole picture as cheaply as its luma allows; return it upright with the part that is picture."""
    image = opened.image
    if image.format != "JPEG" or image.mode != "RGB" or opened.orientation > 1 or image.info.get("icc_profile"):
        upright = decode(opened, shortest)
        return in_grey(upright), (0.0, 0.0, float(upright.width), float(upright.height))
    with _as_refusal():
        excess = _excess(image, shortest)
        drafted = image.draft("L", (image.width // excess, image.height // excess))
        box = drafted[1] if drafted else (0, 0, *image.size)
        image.load()
        return in_grey(image), box


def in_grey(image: Image.Image) -> Image.Image:
    """Return the luma of a picture; one that is grey already is not copied."""
    return image if image.mode == "L" else image.convert("L")


@contextmanager
def _as_refusal() -> Iterator[None]:
    """Turn whatever the decoders raise about hostile bytes into a refusal."""
    try:
        yield
    except (PictureRefused, StopRun, ImportError):  # a library that is not there is no fault of the picture
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise too_large("The picture would take too much memory to decode.") from error
    # Decoders fail on bent bytes in every way there is: OSError, SyntaxError, struct.error, IndexError and so on.
    except Exception as error:
        raise not_an_image(f"The picture cannot be decoded ({type(error).__name__}).") from error


def _orientation(image: Image.Image, jpeg: Jpeg | None) -> int:
    """Return the EXIF orientation, 1 to 8; what cannot be read is upright."""
    if image.format == "TIFF":  # Pillow turns these itself, while decoding
        return 1
    try:
        exif = Image.Exif() if jpeg else image.getexif()
        if jpeg:
            exif.load(jpeg.exif_bytes)
        value = exif.get(_ORIENTATION)
    except _BENT_EXIF:  # no reason to refuse the picture around it
        value = None
    if value is None and jpeg and (found := _XMP_ORIENTATION.search(jpeg.xmp_bytes)):
        value = int(found[1])
    return value if isinstance(value, int) and value in _TURNS else 1


def _excess(image: Image.Image, shortest: int) -> int:
    """Return how many times smaller a picture may become; refuse it where that is still too much memory."""
    excess = _times_smaller(image.size, shortest)
    check_memory(image.format or "", image.width * image.height, components=_coefficients(image), smaller=excess)
    return excess


def _times_smaller(size: tuple[int, int], shortest: int) -> int:
    enough = shortest if size[0] * size[1] <= _VERY_LARGE else (shortest + 1) // 2
    return max(1, min(size) // max(1, enough))


def _flattened(image: Image.Image, excess: int) -> Image.Image:
    """Decode into L, RGB or CMYK, `excess` times smaller or a little less; in bands, so that memory stays flat."""
    if image.format == "JPEG" and excess > 1:
        full = min(image.size)
        image.draft(None, (image.width // excess, image.height // excess))
        excess = max(1, excess * min(image.size) // full)
    image.load()
    if excess == 1 and image.mode in _PLAIN and not image.has_transparency_data:
        return image
    rows = max(1, _BAND_PIXELS // image.width // excess) * excess
    small: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = _flat(image.crop((0, top, image.width, min(top + rows, image.height)))).reduce(excess)
        small = small or Image.new(band.mode, (band.width, -(-image.height // excess)))
        small.paste(band, (0, top // excess))
    return small or _flat(image)


def _flat(image: Image.Image) -> Image.Image:
    """Return an L, RGB or CMYK picture: alpha on white, palettes looked up, 16 bits cut to 8."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in ("LA", "La", "PA", "RGBa", "RGBA") or image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode in _PLAIN:
        return image
    if image.mode == "LAB":
        return _converted(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if image.mode == "F":
        raise not_an_image("The picture has floating-point samples.")
    return image.convert("L" if image.mode == "1" else "RGB")


def _in_srgb(image: Image.Image, profile_bytes: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded profile; a profile that is broken or of other colours is ignored."""
    if profile_bytes and len(profile_bytes) <= MAX_PROFILE:
        try:
            return _converted(image, ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes)))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB") if image.mode == "CMYK" else image


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("the profile gave no picture")
    return converted
