"""Which targets did the administrator choose? Those of TARGETS; in a dry run none of them can be written to."""

from __future__ import annotations

from dataclasses import replace

from connector.cloud.client import Cloud
from connector.ledger.memory import failing_accounts
from connector.ledger.names import shared_names, tags_in_use
from connector.model import Fingerprint
from connector.photo import shrink, thumbnails
from connector.sync.context import RunContext
from connector.sync.outcomes import FAILED
from connector.targets import Target
from connector.targets.dry_run import DryRun
from connector.targets.graph import GraphTarget
from connector.targets.sharepoint.api import open_sharepoint
from connector.targets.sharepoint.backup import unpack
from connector.targets.sharepoint.file_names import file_key, stem_in
from connector.targets.sharepoint.target import SharePointTarget

SHAREPOINT = "sharepoint"
# Where more people than these failed in the run before, they are no exceptions any more: ten of them end the run.
MOST_FAILING = 500


def open_targets(context: RunContext, cloud: Cloud) -> list[Target]:
    """Return the targets in the order of the settings; after the accounts were read, since names depend on them."""
    targets = [_open(name, context, cloud) for name in context.settings.targets]
    return [DryRun(target) for target in targets] if context.options.dry_run else targets


def at_target_size(context: RunContext, target: str, sent: Fingerprint) -> Fingerprint:
    """Describe a picture at the size in which a target shows it: SharePoint keeps nothing wider than its L."""
    width = context.settings.sharepoint_widths[-1]
    if target != SHAREPOINT or sent.width <= width:
        return sent
    return replace(sent, width=width, height=max(1, round(sent.height * width / sent.width)))


def photo_in_backup(target: str, kept_bytes: bytes) -> bytes:
    """Return the picture of a backup: SharePoint's hold more than that."""
    kept = unpack(kept_bytes) if target == SHAREPOINT else None
    return kept_bytes if kept is None else kept.shown_bytes


def _open(name: str, context: RunContext, cloud: Cloud) -> Target:
    failing = failing_accounts(context.db, name, failed=FAILED, most=MOST_FAILING)
    if name != SHAREPOINT:
        return GraphTarget(cloud.transport, shrink=shrink, failing=failing)
    widths = context.settings.sharepoint_widths
    return SharePointTarget(
        open_sharepoint(context.settings, context.traffic, cloud),
        folder=context.settings.sharepoint_photo_folder,
        thumbnails=lambda content_bytes: thumbnails(content_bytes, widths),
        taken=_names_of_others(context),
        failing=failing,
        clock=context.clock,
    )


def _names_of_others(context: RunContext) -> frozenset[str]:
    """Return the file names that must not be written: two accounts share one, or a renamed account still shows it."""
    taken = set(shared_names(context.db, file_key))
    for upn, tag in tags_in_use(context.db, SHAREPOINT):
        shown = stem_in(tag).lower()
        if shown and shown != file_key(upn):
            taken.add(shown)
    return frozenset(taken)
