"""Where is Microsoft? The addresses of its clouds, with the administrator's own in their place."""

from __future__ import annotations

from dataclasses import dataclass

from connector.config.settings import Settings
from connector.config.values import Cloud


@dataclass(frozen=True, slots=True)
class CloudUrls:
    """Hold the token issuer's base, Graph's root (both without a closing slash) and the token's scope."""

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
    """Return the addresses to talk to: the cloud's, or `AZURE_AUTHORITY_HOST` and `GRAPH_URL` where set."""
    authority, graph = HOSTS[settings.graph_cloud]
    graph_url = settings.graph_url or graph
    return CloudUrls(settings.azure_authority_host or authority, graph_url, f"{graph_url}/.default")
