"""Load, check and document the settings; secrets are never printed."""

from __future__ import annotations

from connector.config.clouds import CloudUrls, cloud_urls, proxy_problem, with_scheme, without_login
from connector.config.load import Loaded, load_database_settings, load_settings
from connector.config.render import render_configuration_md, render_env_example
from connector.config.settings import Settings
from connector.config.values import (
    Cloud,
    Crop,
    LdapAuth,
    MailWhen,
    Pictures,
    SourceKind,
)

__all__ = [
    "Cloud",
    "CloudUrls",
    "Crop",
    "LdapAuth",
    "Loaded",
    "MailWhen",
    "Pictures",
    "Settings",
    "SourceKind",
    "cloud_urls",
    "load_database_settings",
    "load_settings",
    "proxy_problem",
    "render_configuration_md",
    "render_env_example",
    "with_scheme",
    "without_login",
]
