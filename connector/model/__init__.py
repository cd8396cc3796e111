"""Which words does this house speak? People, accounts, photos, tags, memory, outcomes."""

from connector.model.letters import fold
from connector.model.lines import LONGEST_CODE, foreign, safe, safe_lines
from connector.model.telling import (
    Clock,
    NoProgress,
    Outcome,
    Progress,
    RequestCounters,
    RunReport,
    utc_now,
)
from connector.model.values import (
    SAME_PICTURE_CELLS,
    Account,
    CloudPhoto,
    CloudTag,
    Fingerprint,
    Intent,
    Memory,
    Person,
    Prepared,
    SourcePhoto,
)
from connector.model.words import (
    Action,
    CloudManaged,
    Conflict,
    MatchRule,
    PersonState,
    Presence,
    Reason,
    Removed,
)

__all__ = [
    "LONGEST_CODE",
    "SAME_PICTURE_CELLS",
    "Account",
    "Action",
    "Clock",
    "CloudManaged",
    "CloudPhoto",
    "CloudTag",
    "Conflict",
    "Fingerprint",
    "Intent",
    "MatchRule",
    "Memory",
    "NoProgress",
    "Outcome",
    "Person",
    "PersonState",
    "Prepared",
    "Presence",
    "Progress",
    "Reason",
    "Removed",
    "RequestCounters",
    "RunReport",
    "SourcePhoto",
    "fold",
    "foreign",
    "safe",
    "safe_lines",
    "utc_now",
]
