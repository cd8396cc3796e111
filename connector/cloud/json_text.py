"""Read JSON that somebody else sent: any bytes give a value or none, and no half of a character is let in."""

from __future__ import annotations

import json
import re
from typing import Any

# A JSON escape: a pair of surrogates is one character and stays, one alone is none (RFC 8259, section 8.2).
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.S
)
_LONE = re.compile(r"[\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def read_json(content: bytes | str) -> Any:
    """Return the value of a JSON text; None where it is none, or nested too deep. Half a character becomes U+FFFD."""
    text = content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else content
    if "\\ud" in text or "\\uD" in text:
        text = _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def whole_text(text: str) -> str:
    """Return a text in which every half of a character (a lone surrogate) is U+FFFD, so that it can be stored."""
    return _LONE.sub(REPLACEMENT, text)
