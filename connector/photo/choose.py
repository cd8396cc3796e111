"""Which of several pictures is a person's? The first attribute in order of trust, and there the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connector.model import Reason
from connector.model.reasons import ADVICE


@dataclass(frozen=True, slots=True)
class Candidate:
    """Describe one value of one photo attribute; `refused` says why it cannot be used, 0 × 0 if unknown."""

    attribute: str
    source_sha256: str
    width: int = 0
    height: int = 0
    refused: Reason | None = None


def choose(candidates: Sequence[Candidate], trust: Sequence[str]) -> Candidate | None:
    """Return the picture to use, or None where none is usable; the order of the candidates does not matter."""
    usable = [candidate for candidate in candidates if candidate.refused is None]
    for attribute in _folded(trust):
        if values := [value for value in usable if value.attribute.casefold() == attribute]:
            return min(values, key=lambda value: (-value.width * value.height, value.source_sha256))
    return None


def best_refusal_reason(candidates: Sequence[Candidate], trust: Sequence[str]) -> Reason:
    """Return the reason to tell when no candidate is usable; `no-photo` when there is none in a trusted attribute."""
    trusted = set(_folded(trust))
    refused = (value.refused for value in candidates if value.attribute.casefold() in trusted)
    reasons = [reason for reason in refused if reason and ADVICE[reason].nearness]
    return max(reasons, key=lambda reason: ADVICE[reason].nearness, default=Reason.NO_PHOTO)


def _folded(names: Sequence[str]) -> list[str]:
    return [name.casefold() for name in names]
