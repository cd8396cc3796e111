"""Describe a plan that was not carried out yet: the risk of each step, and the command that carries the plan out."""

from __future__ import annotations

from collections.abc import Iterator

from connector.command import pasteable
from connector.model import Action, Outcome, RunReport
from connector.report.summary import AttentionGroup, attention_first

# What a step does to the photo that is there, the greatest risk first.
RISKS = (
    "Replaces a photo that this tool did not upload",
    "Removes a photo",
    "Replaces a photo that this tool uploaded",
    "Uploads a photo where there is none",
)
_OTHERS = len(RISKS)


def risk(outcome: Outcome) -> int:
    """Return the place of a planned step in RISKS; one more for everybody else."""
    if outcome.action is Action.REPLACE:
        return 0 if outcome.over_foreign else 2
    return {Action.REMOVE: 1, Action.CREATE: 3}.get(outcome.action, _OTHERS)


def is_step(report: RunReport, outcome: Outcome) -> bool:
    """Return True if the outcome is a step of a plan that can be approved."""
    return report.plan_size > 0 and risk(outcome) < _OTHERS


def by_risk(report: RunReport, groups: list[AttentionGroup]) -> Iterator[Outcome]:
    """Yield every outcome: the steps of a plan by risk, then who needs attention, then the others."""
    if report.plan_size:
        for place in range(_OTHERS):
            yield from (outcome for outcome in report.outcomes() if risk(outcome) == place)
    for outcome in attention_first(report, groups):
        if not is_step(report, outcome):
            yield outcome


def plan_facts(report: RunReport, *, most: int) -> dict[str, object] | None:
    """Return what the page needs to make the file of `--except`; None where there is no plan, or more than `most`."""
    if not 0 < report.plan_size <= most:
        return None
    command = pasteable(f"photo-connector sync --approve {report.run}")
    return {"command": command, "file": f"plan-{report.run}.csv", "risks": RISKS}
