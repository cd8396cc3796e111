"""Pictures in every form that directories are known to hold: honest, awkward and hostile."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from functools import cache

from PIL import ExifTags, Image, ImageCms

from tests.lab.portraits import Size, portrait, silhouette

_TRUE_COLOUR, _GREY = 2, 0


def jpeg(seed: object, size: Size = (720, 720), *, quality: int = 88) -> bytes:
    """Return a portrait as a plain JPEG without metadata."""
    return encoded(portrait(seed, size), quality=quality)


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """Return a picture in one of Pillow's formats, e.g. PNG, GIF, BMP, WEBP, TIFF."""
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def rotated(seed: object, size: Size = (720, 720), *, orientation: int = 6) -> bytes:
    """Return a JPEG that lies on its side (6 or 8) or head (3) unless its EXIF orientation is obeyed."""
    lying = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(portrait(seed, size).transpose(lying), quality=88, exif=exif)


def with_place(seed: object, size: Size = (720, 720)) -> bytes:
    """Return a JPEG whose EXIF tells camera and place: what must never travel on."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Lab Camera"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)},
    )
    return encoded(portrait(seed, size), quality=88, exif=exif)


def with_profile(seed: object, size: Size = (720, 720)) -> bytes:
    """Return a JPEG with an embedded colour profile (sRGB)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(portrait(seed, size), quality=88, icc_profile=profile)


def cmyk(seed: object, size: Size = (720, 720)) -> bytes:
    """Return a JPEG in the colours of a printer."""
    return encoded(portrait(seed, size).convert("CMYK"), quality=88)


def png_16_bit(seed: object, size: Size = (400, 400)) -> bytes:
    """Return a true-colour PNG with 16 bits a channel, which Pillow reads but cannot write."""
    narrow = portrait(seed, size).tobytes()
    wide = bytearray(2 * len(narrow))
    wide[::2], wide[1::2] = narrow, narrow
    stride = size[0] * 6
    rows = b"".join(b"\0" + wide[at : at + stride] for at in range(0, len(wide), stride))
    return _png(size, depth=16, colour=_TRUE_COLOUR, data=zlib.compress(rows))


def png_with_alpha(seed: object, size: Size = (400, 400)) -> bytes:
    """Return a palette PNG whose palette has transparent colours."""
    picture = portrait(seed, size).quantize(128)
    return encoded(picture, "PNG", transparency=bytes([0, 0, 128]) + bytes([255] * 125))


def gif(seed: object, size: Size = (320, 320), *, frames: int = 2) -> bytes:
    """Return a GIF; its first frame shows the person, the later ones show others."""
    first, *rest = (portrait(seed if frame == 0 else f"{seed} frame {frame}", size) for frame in range(frames))
    return encoded(first.quantize(255), "GIF", save_all=True, append_images=[one.quantize(255) for one in rest])


def truncated(seed: object, size: Size = (720, 720)) -> bytes:
    """Return the first third of a JPEG, as a copy that was cut short leaves it."""
    whole = jpeg(seed, size)
    return whole[: len(whole) // 3]


@cache
def bomb(edge: int = 25_000) -> bytes:
    """Return a valid PNG of under 100 kB that unpacks to `edge` × `edge` pixels."""
    packer, row = zlib.compressobj(9), bytes(1 + (edge + 7) // 8)
    data = b"".join([*(packer.compress(row * 100) for _ in range(edge // 100)), packer.flush()])
    return _png((edge, edge), depth=1, colour=_GREY, data=data)


def as_text(content_bytes: bytes) -> bytes:
    """Return base64 text of a picture, which some scripts store by mistake."""
    return base64.b64encode(content_bytes)


def not_an_image() -> bytes:
    """Return what somebody pasted into the attribute instead of a picture."""
    return b"<html><body>photo.jpg not found</body></html>\n" * 20


def placeholder() -> bytes:
    """Return the silhouette, byte for byte the same each time."""
    return encoded(silhouette(), quality=85)


def reencoded(content_bytes: bytes, size: int, *, quality: int = 82) -> bytes:
    """Return a JPEG as the cloud keeps it: at most `size` pixels on its longer edge, other bytes, the same picture."""
    with Image.open(io.BytesIO(content_bytes)) as stored:
        picture = stored.convert("RGB")
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return encoded(picture, quality=quality, subsampling=2, progressive=True)


def _png(size: Size, *, depth: int, colour: int, data: bytes) -> bytes:
    # PNG specification, 5.3: length, type, data, and a checksum over type and data.
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
