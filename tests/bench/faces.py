"""The pictures of the bench: fifty drawn faces, each made everybody's own by a comment."""

from __future__ import annotations

import functools

from tests.lab.pictures import jpeg

FACES, EDGE = 50, 240


@functools.cache
def _face(number: int) -> bytes:
    return jpeg(f"bench {number}", (EDGE, EDGE))


def photo(number: int, edition: int = 0) -> bytes:
    """Return a picture that nobody else has: one of 50 drawn faces, and a JPEG comment with the person's number."""
    note = f"{number} {edition}".encode()
    face_bytes = _face((number + edition) % FACES)
    return face_bytes[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + face_bytes[2:]
