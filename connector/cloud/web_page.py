"""Tell that a web page came in place of a service's answer: a proxy, a filter or a login portal is in the way."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from connector.cloud.response import Response, one_line
from connector.errors import Unreachable

FIX = (
    "Check HTTPS_PROXY and NO_PROXY: a proxy, a filter or a login portal answers on the way to Microsoft; let this"
    " machine's account through without a page."
)
TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{1,200})", re.IGNORECASE)
# A title stands at the beginning; a page of many megabytes is not searched.
SEARCHED_BYTES = 20_000
LONGEST_TITLE = 80


def web_page_came(answer: Response, system: str, *, place: str) -> Unreachable:
    """Return the end of a run: a page came in place of `place`, such as "the list of users"."""
    return Unreachable(system, f"a web page came in place of {place} ({described(answer)})", FIX)


def described(answer: Response) -> str:
    """Return the status of a page and the host it leads to, or its title; never a whole address, which holds names."""
    host = _host(answer.headers.get("location", "")) if 300 <= answer.status < 400 else ""
    if host:
        return f"HTTP {answer.status} to {host}"
    title = _title(answer.body)
    return f"HTTP {answer.status}, titled '{title}'" if title else f"HTTP {answer.status}"


def _host(location: str) -> str:
    try:
        return one_line(urlsplit(location).hostname or "")
    except ValueError:
        return ""


def _title(body: object) -> str:
    content = body.encode("utf-8", "replace") if isinstance(body, str) else body
    found = TITLE.search(content[:SEARCHED_BYTES]) if isinstance(content, bytes) else None
    return one_line(html.unescape(found.group(1).decode("utf-8", "replace")))[:LONGEST_TITLE] if found else ""
