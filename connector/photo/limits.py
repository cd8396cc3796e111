"""Limit pictures: refuse what is no picture, too small or too large, and share memory among the threads."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from connector.errors import PersonError
from connector.model import Reason
from connector.model.formats import BY_NAME, PictureFormat

MAX_BYTES = 20_000_000
# Pillow keeps every comment of a GIF as an object of its own, 36 bytes for each that it has in the file.
MAX_GIF_BYTES = 8_000_000
LARGE_GIF_BYTES = 500_000
# Decoded memory stays under 400 MB, of which some 60 are the program and the bytes themselves.
MAX_MEMORY = 330_000_000
# What all threads together may take, unless one picture takes more: each also holds the bytes of its next picture.
MAX_MEMORY_TOGETHER = 260_000_000


class PictureRefused(PersonError):
    """Report that a picture cannot be used, so that its person is skipped; `reason` is a word of the contract."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail, skip=True)


def not_an_image(detail: str) -> PictureRefused:
    """Make the refusal of bytes that cannot be decoded whole."""
    return PictureRefused(Reason.NOT_AN_IMAGE, detail)


def not_installed(absent: PictureFormat) -> PictureRefused:
    """Make the refusal of a format that this installation cannot read, but another could."""
    return PictureRefused(
        Reason.NOT_AN_IMAGE,
        f"The value is a {absent.title} picture, which cannot be read without photo-connector[{absent.extra}].",
    )


def damaged(detail: str) -> PictureRefused:
    """Make the refusal of a picture whose bytes were changed or are not all there."""
    return PictureRefused(Reason.DAMAGED, detail)


def too_large(detail: str) -> PictureRefused:
    """Make the refusal of a picture that would take too many bytes, too much memory or too much time."""
    return PictureRefused(Reason.TOO_LARGE, detail)


def check_bytes(content_bytes: bytes, *, limit: int = MAX_BYTES) -> None:
    """Refuse an empty value, or one of more bytes than the limit, before anything is decoded."""
    if not content_bytes:
        raise not_an_image("The value is empty.")
    if len(content_bytes) > limit:
        raise too_large(f"The value has {len(content_bytes):,} bytes; the limit is {limit:,}.")


def check_pixels(kind: str, width: int, height: int) -> None:
    """Refuse more pixels than this kind of picture may have, before they are decoded."""
    limit = BY_NAME[kind].max_pixels
    if width * height > limit:
        raise too_large(f"The {kind} has {width} × {height} pixels; the limit is {limit // 1_000_000} million.")


def memory_for(kind: str, pixels: int, *, components: int, smaller: int) -> int:
    """Estimate the bytes that decoding takes for a picture that is made `smaller` times smaller meanwhile.

    `components` are those of a progressive JPEG, whose coefficients are all kept, two bytes each; else 0.
    """
    # three of the smaller: in its own colours, converted, and turned
    return round(pixels * ((BY_NAME[kind].bytes_a_pixel or 2 * components) + 12 / smaller**2))


def check_memory(kind: str, pixels: int, *, components: int, smaller: int) -> None:
    """Refuse what would take too much memory though it is made `smaller` times smaller while it is decoded."""
    taken = memory_for(kind, pixels, components=components, smaller=smaller)
    if taken > MAX_MEMORY:
        raise too_large(f"The {kind} would take {taken / 1_000_000:,.0f} MB to decode.")


_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE_BLOCK = 1_000_000


def tune_malloc() -> None:
    """Return large blocks to the system as soon as they are freed, mallopt(3).

    Left alone, glibc keeps freed blocks of up to 32 MB for the thread that had them, so that each thread which ever
    decoded a large picture would hold its memory for good. Windows and musl give large blocks back anyhow.
    """
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


class MemoryBudget:
    """Share so many bytes among all threads that decode pictures."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._reserved = 0
        self._line = threading.Lock()
        self._change = threading.Condition()

    @contextmanager
    def reserve(self, wanted_bytes: int) -> Iterator[None]:
        """Reserve so many bytes, or all where more are wanted; later threads wait behind, so that none starves.

        Not to be nested: two threads could wait for each other.
        """
        amount = min(wanted_bytes, self._size)
        with self._line, self._change:
            self._change.wait_for(lambda: self._reserved + amount <= self._size)
            self._reserved += amount
        try:
            yield
        finally:
            with self._change:
                self._reserved -= amount
                self._change.notify_all()
