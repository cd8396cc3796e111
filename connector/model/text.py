"""Fold names for comparison, and make text of foreign origin safe to show."""

from __future__ import annotations

import re
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


# Long enough for every message Microsoft documents, short enough for one line of a report.
LONGEST_WORDS = 300
LONGEST_LINE = 4_000
LONGEST_CODE = 100
_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Cc: control characters, C1 too; Cf: directions, zero-width signs, the soft hyphen, tags; Cs: lone surrogates; Cn:
# unassigned ones.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn"})


def safe(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Return the text on one line: breaks become a space, what controls or hides U+FFFD; cut with an ellipsis."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    if cut.isprintable():
        return cut
    folded = _BREAKS.sub(" ", cut)
    return "".join("\ufffd" if unicodedata.category(sign) in _HIDDEN else sign for sign in folded)


def safe_lines(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Return text of several lines that we broke ourselves, each made safe."""
    return "\n".join(safe(line, longest=longest) for line in text.split("\n"))


def foreign(text: str, *, longest: int = LONGEST_WORDS) -> str:
    """Return words of another system on one short line, with blanks folded."""
    return safe(" ".join(safe(text, longest=10 * longest).split()), longest=longest)
