"""Open the services of Microsoft: one HTTP client, one token source and one transport, made from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from connector.cloud.auth import TokenSource
from connector.cloud.http import HttpClient, Proxies, named_bundle, tls_context
from connector.cloud.throttle import Throttle
from connector.cloud.token_http import TokenHttp
from connector.cloud.transport import Endpoint, Transport
from connector.config import Settings, cloud_urls
from connector.model import RequestCounters

VERSION = "/v1.0"


@dataclass(frozen=True, slots=True)
class Cloud:
    """The HTTP client, the token source and Graph's transport; use as `with open_cloud(...) as cloud`."""

    http: HttpClient
    token_source: TokenSource
    transport: Transport

    def __enter__(self) -> Cloud:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Cancel all waiting requests and close every connection."""
        self.transport.close()


def open_cloud(settings: Settings, traffic: RequestCounters) -> Cloud:
    """Make the parts without contacting anybody; raise SettingsError for an unusable certificate or bundle."""
    urls = cloud_urls(settings)
    proxies = Proxies(settings.https_proxy, settings.no_proxy)
    for url in (urls.authority_host, urls.graph_url):
        proxies.proxy_for(url)  # one that cannot be used is told before anybody is contacted
    bundle, _ = named_bundle(settings.http_ca_file)
    http = HttpClient(tls_context(settings.http_ca_file), proxies, lanes=settings.most_lanes, bundle=bundle)
    throttle = Throttle(settings.first_lanes, widest=settings.most_lanes)
    tokens = TokenSource(settings, traffic, TokenHttp(http, traffic, pause=throttle.pause))
    endpoint = Endpoint(root=urls.graph_url, scope=urls.scope, version=VERSION)
    return Cloud(http, tokens, Transport(http, tokens, traffic, endpoint=endpoint, throttle=throttle))
