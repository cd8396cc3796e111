"""Define the closed sets: actions, reasons, states and rules."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """Define what was done, or in a dry run would have been done, for one person."""

    CREATE = "create"
    REPLACE = "replace"
    REMOVE = "remove"
    KEEP = "keep"
    SKIP = "skip"
    FAIL = "fail"


class Reason(StrEnum):
    """Define the reason in a stable code; each has its paragraph in docs/operations.md."""

    # the person
    OUT_OF_SCOPE = "out-of-scope"
    DISABLED = "disabled"
    DELETED = "deleted"
    SOURCE_UNREAD = "source-unread"
    STILL_CHANGING = "still-changing"
    NO_PHOTO = "no-photo"
    # the source picture
    NOT_AN_IMAGE = "not-an-image"
    DAMAGED = "damaged"
    TOO_SMALL = "too-small"
    TOO_LARGE = "too-large"
    PLACEHOLDER = "placeholder"
    # the match
    NO_ACCOUNT = "no-account"
    AMBIGUOUS_MATCH = "ambiguous-match"
    ANCHOR_DISPUTED = "anchor-disputed"
    CLOUD_MANAGED = "cloud-managed"
    OPTED_OUT = "opted-out"
    # the decision
    FIRST_UPLOAD = "first-upload"
    ADOPTED = "adopted"
    BETTER_QUALITY = "better-quality"
    CLOUD_DIFFERS = "cloud-differs"
    UNCHANGED = "unchanged"
    COMPETING_WRITER = "competing-writer"
    CLOUD_REMOVED = "cloud-removed"
    CLOUD_CHANGED = "cloud-changed"
    CONFLICT_STANDING = "conflict-standing"
    RESTORED = "restored"
    SOURCE_CHANGED = "source-changed"
    BOTH_CHANGED = "both-changed"
    SOURCE_REMOVED = "source-removed"
    SOURCE_REMOVED_CLOUD_DIFFERS = "source-removed-cloud-differs"
    AWAITING_CLOUD = "awaiting-cloud"
    GUEST_DEFAULT = "guest-default"
    # asked for by an administrator
    RESENT = "resent"
    OVERWRITTEN = "overwritten"
    CLEARED_BY_ADMIN = "cleared-by-admin"
    # the run
    POSTPONED = "postponed"
    SAFETY_LIMIT = "safety-limit"
    PLAN_OUTDATED = "plan-outdated"
    NOT_APPROVED = "not-approved"
    INTERRUPTED = "interrupted"
    # restore
    CHANGED_SINCE = "changed-since"
    NO_BACKUP = "no-backup"
    # the cloud refused or failed
    ACCOUNT_GONE = "account-gone"
    ACCOUNT_PENDING = "account-pending"
    NO_MAILBOX = "no-mailbox"
    MAILBOX_ON_PREMISES = "mailbox-on-premises"
    GUEST_NOT_ALLOWED = "guest-not-allowed"
    PERSONAL_ACCOUNT = "personal-account"
    PICTURE_REFUSED = "picture-refused"
    ACCESS_DENIED = "access-denied"
    THROTTLED = "throttled"
    CLOUD_ERROR = "cloud-error"
    UNREADABLE_ANSWER = "unreadable-answer"
    NO_PROFILE = "no-profile"
    NAME_NOT_ALLOWED = "name-not-allowed"
    # our own side
    SOURCE_CHANGED_MEANWHILE = "source-changed-meanwhile"
    REMOVAL_NOT_CONFIRMED = "removal-not-confirmed"


class PersonState(StrEnum):
    """Define whether a person takes part in a run, and why not."""

    IN_SCOPE = "in-scope"
    DISABLED = "disabled"
    OUT_OF_SCOPE = "out-of-scope"
    DELETED = "deleted"


class MatchRule(StrEnum):
    """Name the property by which a person and an account were found to be the same."""

    ANCHOR = "anchor"
    SID = "sid"
    UPN = "upn"
    MAIL = "mail"
    EMPLOYEE_ID = "employee-id"
    SAM_ACCOUNT_NAME = "sam-account-name"
    EXTERNAL = "external"


class Presence(StrEnum):
    """Define what a memory row stands for."""

    OURS = "ours"
    THEIRS = "theirs"
    CLEARED = "cleared"


class Conflict(StrEnum):
    """Define who wins where somebody else made the cloud photo (SYNC_CONFLICT)."""

    SOURCE = "source"
    CLOUD = "cloud"
    REPORT = "report"


class CloudManaged(StrEnum):
    """Define what is done with accounts from a directory that are managed in the cloud now (SYNC_CLOUD_MANAGED)."""

    LEAVE = "leave"
    FOLLOW = "follow"


class Removed(StrEnum):
    """Define what is done with our cloud photo when the source photo was cleared (SYNC_REMOVED)."""

    KEEP = "keep"
    REMOVE = "remove"


class Brake(StrEnum):
    """Name a safety limit by what it stops."""

    CHANGES = "changes"
    OVERWRITES = "overwrites"
    REMOVALS = "removals"
    REMATCHES = "rematches"
    VANISHED_ATTRIBUTE = "vanished-attribute"
