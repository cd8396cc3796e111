"""Open the targets of TARGETS for a run; in a dry run and on a stand-by server none of them can be written to."""

from __future__ import annotations

from dataclasses import replace

from connector.cloud import Cloud
from connector.ledger.accounts import shared_names, tags_in_use
from connector.ledger.memory import failing_accounts
from connector.model import Fingerprint
from connector.photo import shrink, thumbnails
from connector.sync.context import RunContext
from connector.sync.outcomes import FAILED
from connector.targets import Target, TargetContext, open_target
from connector.targets.dry_run import DryRun

# If more people failed in the last run, each counts as a new failure, and ten in a row end the run.
MAX_FAILING = 500


def open_targets(context: RunContext, cloud: Cloud) -> list[Target]:
    """Return the targets in the order of the settings; file names depend on the accounts, which must have been read."""
    targets = [open_target(name, _target_context(name, context, cloud)) for name in context.settings.targets]
    return targets if context.writes else [DryRun(target) for target in targets]


def at_target_size(target: Target, sent: Fingerprint) -> Fingerprint:
    """Return the fingerprint of a picture at the size in which a target shows it."""
    width = target.features.width
    if width is None or sent.width <= width:
        return sent
    return replace(sent, width=width, height=max(1, round(sent.height * width / sent.width)))


def _target_context(name: str, context: RunContext, cloud: Cloud) -> TargetContext:
    return TargetContext(
        settings=context.settings,
        cloud=cloud,
        traffic=context.traffic,
        clock=context.clock,
        failing=failing_accounts(context.db, name, failed=FAILED, most=MAX_FAILING),
        shrink=shrink,
        thumbnails=thumbnails,
        shared_names=lambda name_of: shared_names(context.db, name_of),
        tags_in_use=lambda: tags_in_use(context.db, name),
    )
