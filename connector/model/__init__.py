"""Define the values that all rooms share: people, accounts, photos, tags, outcomes."""

from connector.model.case_folding import fold
from connector.model.entities import (
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
from connector.model.enums import (
    Action,
    CloudManaged,
    Conflict,
    MatchRule,
    PersonState,
    Presence,
    Reason,
    Removed,
)
from connector.model.run import (
    Clock,
    NoProgress,
    Outcome,
    Progress,
    RequestCounters,
    RunReport,
    utc_now,
)
from connector.model.safe_text import LONGEST_CODE, foreign, safe, safe_lines

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
