"""Hold what an error of the directory means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorText:
    """Hold what a code means, and what to do about it."""

    meaning: str
    fix: str
