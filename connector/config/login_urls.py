"""Check addresses that may hold a user and a password, such as http://user:password@proxy:3128, and never repeat them.

A sign that ends the login for a parser of URLs, `#` say, would make a part of the password the host or the port, which
every error names.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

# What must be percent-encoded in a login (RFC 3986, section 3.2.1); `@` and `:` can be told by their place.
_RESERVED = re.compile(r"[#\[\]/?\\\s\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"(\[[0-9a-f:.]+(%25[^\]\s]+)?\]|[^\s:/?#\[\]@\\]+)(:(?P<port>\d{1,5}))?/?", re.IGNORECASE)
ENCODE = "percent-encode such signs in user and password (# is %23, / is %2F, ? is %3F, [ is %5B)"


def url_problem(url: str, *, schemes: tuple[str, ...], example: str) -> str:
    """Return what is wrong with an address and how to write it, or empty text; no part of the address is in it."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in schemes:
        if scheme.lower().startswith("socks"):
            return f"names a SOCKS proxy, which is not spoken here; name an HTTP proxy, like {example}"
        return f"is not such an address; write it like {example}"
    login, _, address = rest.rpartition("@")
    if _RESERVED.search(login):
        return f"holds a sign in its login that ends it there; {ENCODE}"
    found = _ADDRESS.fullmatch(address)
    if found is None:
        hint = "" if login else f", and {ENCODE}"
        return f"has no host, or a port that is none, or more than both; write it like {example}{hint}"
    if found["port"] is not None and not 0 < int(found["port"]) < 65536:
        return f"has a port that is none; write it like {example}"
    return ""


def proxy_problem(url: str) -> str:
    """Return what is wrong with a proxy's address, or empty text."""
    return url_problem(with_scheme(url), schemes=("http", "https"), example="http://user:password@proxy:3128")


def with_scheme(url: str) -> str:
    """Return a proxy's address with its scheme, which is http where none is written."""
    return url if "://" in url.partition("@")[0] else f"http://{url}"


def without_login(url: str) -> SplitResult:
    """Return the parts of a checked address without user and password."""
    parts = urlsplit(with_scheme(url))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])
