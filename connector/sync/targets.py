"""Which targets did the administrator choose? Those of TARGETS; in a dry run none of them can be written to."""

from __future__ import annotations

from connector.cloud.open import Cloud
from connector.errors import SettingsError
from connector.photo import shrink
from connector.sync.night import Night
from connector.targets import Target
from connector.targets.dry_run import DryRun
from connector.targets.graph import GraphTarget


def open_targets(night: Night, cloud: Cloud) -> list[Target]:
    """Return the targets in the order of the settings."""
    targets = [_open(name, cloud) for name in night.settings.targets]
    return [DryRun(target) for target in targets] if night.options.dry_run else targets


def _open(name: str, cloud: Cloud) -> Target:
    if name != "graph":
        raise SettingsError([f"TARGETS: {name} is not available yet; use graph."])
    return GraphTarget(cloud.transport, shrink=shrink)
