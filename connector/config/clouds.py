"""Provide the addresses of Microsoft's clouds, and check addresses that may hold a user and a password.

A check repeats no part of an address such as http://user:password@proxy:3128. A character that ends the login for a
URL parser, `#` for example, would make a part of the password the host or the port, which every error names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from connector.config.settings import Settings
from connector.config.values import Cloud


@dataclass(frozen=True, slots=True)
class CloudUrls:
    """Represent the token issuer's base, Graph's root (both without a trailing slash) and the token's scope."""

    authority_host: str
    graph_url: str
    scope: str


# https://learn.microsoft.com/graph/deployments for Graph, and national clouds for the issuers;
# China's issuer is the host that MSAL knows (the older login.chinacloudapi.cn is deprecated there).
HOSTS = {
    Cloud.GLOBAL: ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    Cloud.USGOV: ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    Cloud.USGOV_DOD: ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    Cloud.CHINA: ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
}


def cloud_urls(settings: Settings) -> CloudUrls:
    """Return the addresses of the cloud, or `AZURE_AUTHORITY_HOST` and `GRAPH_URL` if set."""
    authority, graph = HOSTS[settings.graph_cloud]
    graph_url = settings.graph_url or graph
    return CloudUrls(settings.azure_authority_host or authority, graph_url, f"{graph_url}/.default")


# Must be percent-encoded in a login (RFC 3986, section 3.2.1); `@` and `:` are clear from their position.
_RESERVED = re.compile(r"[#\[\]/?\\\s\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"(\[[0-9a-f:.]+(%25[^\]\s]+)?\]|[^\s:/?#\[\]@\\]+)(:(?P<port>\d{1,5}))?/?", re.IGNORECASE)
ENCODE = "percent-encode special characters in user and password (# is %23, / is %2F, ? is %3F, [ is %5B)"


def url_problem(url: str, *, schemes: tuple[str, ...], example: str) -> str:
    """Return what is wrong with an address and how to write it, or empty text; no part of the address is in it."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in schemes:
        if scheme.lower().startswith("socks"):
            return f"names a SOCKS proxy, which is not supported; name an HTTP proxy, like {example}"
        return f"is not such an address; write it like {example}"
    login, _, address = rest.rpartition("@")
    if _RESERVED.search(login):
        return f"contains a reserved character in its login; {ENCODE}"
    match = _ADDRESS.fullmatch(address)
    if match is None:
        hint = "" if login else f", and {ENCODE}"
        return f"has no host, an invalid port, or more than host and port; write it like {example}{hint}"
    if match["port"] is not None and not 0 < int(match["port"]) < 65536:
        return f"has an invalid port; write it like {example}"
    return ""


def proxy_problem(url: str) -> str:
    """Return what is wrong with a proxy's address, or empty text."""
    return url_problem(with_scheme(url), schemes=("http", "https"), example="http://user:password@proxy:3128")


def with_scheme(url: str) -> str:
    """Return a proxy's address with its scheme, http by default."""
    return url if "://" in url.partition("@")[0] else f"http://{url}"


def without_login(url: str) -> SplitResult:
    """Return the parts of a checked address without user and password."""
    parts = urlsplit(with_scheme(url))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])
