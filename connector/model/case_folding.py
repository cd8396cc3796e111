"""Fold names for comparison: one spelling for upper and lower case, and no other equality."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import groupby


def fold(text: str) -> str:
    """Return the text in Unicode NFC and lower case.

    A letter changes its case only where its lower-case letter leads back to it. So `ß` is not `ss`, and the Kelvin sign
    is not `k`, as they would be with `str.casefold`.
    """
    if text.isascii():
        return text.lower()
    parts = ((is_single, "".join(letters)) for is_single, letters in groupby(text, key=_is_another_letter))
    composed = "".join(part if is_single else unicodedata.normalize("NFC", part) for is_single, part in parts)
    return "".join(map(_lower, composed))


@lru_cache(maxsize=4096)
def _is_another_letter(letter: str) -> bool:
    """Return True if normalisation would turn this letter into another one, e.g. the Kelvin sign into K."""
    decomposed = unicodedata.decomposition(letter)
    return bool(decomposed) and " " not in decomposed and unicodedata.combining(letter) == 0


@lru_cache(maxsize=4096)
def _lower(letter: str) -> str:
    lower = letter.lower()
    return lower if len(lower) == 1 and lower.upper() == letter else letter
