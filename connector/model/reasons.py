"""Describe every reason in one row: title, cure, and how the program treats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.model import Action, Outcome, Reason


@dataclass(frozen=True, slots=True)
class Advice:
    """Describe a reason: its meaning (`title`, a clause without a full stop), what to do (`cure`, sentences), flags.

    `is_conflict`: the directory and the cloud disagree about the photo. `retry`: the next run looks at the person again
    although nothing failed. `ambiguous_write`: after this failure the photo may have been written all the same.
    `excludes`: the person, or the picture, takes no part while this is so. `is_unread`: the source gave no answer,
    so the last known values stand. `nearness`: of several refused pictures the highest is reported, since it is the
    nearest to a usable picture.
    """

    title: str
    cure: str
    is_conflict: bool = False
    retry: bool = False
    ambiguous_write: bool = False
    excludes: bool = False
    is_unread: bool = False
    nearness: int = 0


_R = Reason
_NOTHING = "Nothing to do."
_CHOOSE = (
    "Ask the person which photo is right. `SYNC_CONFLICT` decides for everybody; "
    "`photo-connector sync --only PERSON --overwrite` sends the source's photo for one person, after a backup."
)
# Where the source's photo has won already, or is about to, there is nothing to overwrite.
_SENT = (
    "The source's photo was sent. Where the earlier state is right, `photo-connector restore --person PERSON` brings "
    "it back; `SYNC_CONFLICT=cloud` leaves such photos alone from the next run on."
)
_TO_BE_SENT = (
    "Nothing was written yet; the source's photo would be sent. Ask the person which photo is right: "
    "`SYNC_CONFLICT=cloud` leaves such photos alone."
)

_PERSON: Mapping[Reason, Advice] = {
    _R.OUT_OF_SCOPE: Advice(
        "Outside the scope of this tool, or not in the directory any more",
        "If the person should take part, look at `LDAP_BASE_DN`, `LDAP_FILTER`, `LDAP_GROUP` and `LDAP_EXCLUDE_DN`. "
        "The cloud photo stays as it is.",
        excludes=True,
    ),
    _R.DISABLED: Advice(
        "The source account is disabled",
        "Nothing to do; the cloud photo stays. `LDAP_INCLUDE=users,shared,rooms,equipment` takes in shared mailboxes, "
        "rooms and equipment, whose accounts are disabled; `LDAP_INCLUDE_DISABLED=true` takes in everybody disabled.",
        excludes=True,
    ),
    _R.DELETED: Advice(
        "Deleted in the source", "Nothing to do; the cloud photo goes when the cloud account goes.", excludes=True
    ),
    _R.SOURCE_UNREAD: Advice(
        "The source could not be read for this person",
        "Nothing was changed for this person. Run `photo-connector check` and fix what it reports; the next run "
        "catches up.",
        excludes=True,
        is_unread=True,
    ),
    _R.STILL_CHANGING: Advice(
        "The file was being written while it was read",
        "Nothing to do; the next run sends it once it is whole. Fill the folder before the run, not during it.",
        excludes=True,
        is_unread=True,
    ),
    _R.NO_PHOTO: Advice(
        "No photo in the source",
        "Put a picture into one of the attributes of `LDAP_PHOTO_ATTRIBUTES` (or into the folder). "
        "If there is one, the service account may not read it: `photo-connector check` shows how many photos it can "
        "read.",
    ),
}

_PICTURE: Mapping[Reason, Advice] = {
    _R.NOT_AN_IMAGE: Advice(
        "The source value is not a readable picture",
        "Store the photo again in the source as JPEG or PNG; the value is damaged or of another kind. "
        "Or install what the detail names, where this installation cannot read the format.",
        excludes=True,
        nearness=1,
    ),
    _R.DAMAGED: Advice(
        "The source picture is damaged: some of it is changed or missing",
        "Copy the picture into the source again; the next run sends it. The cloud photo stays as it is until then.",
        excludes=True,
        nearness=2,
    ),
    _R.TOO_SMALL: Advice(
        "The source picture is too small",
        "Store a larger picture in the source; the minimum is 48 × 48 pixels, and 648 × 648 is recommended.",
        excludes=True,
        nearness=4,
    ),
    _R.TOO_LARGE: Advice(
        "The source picture is too large to open safely",
        "Store a smaller picture in the source; 648 × 648 pixels are enough.",
        excludes=True,
        nearness=3,
    ),
    _R.PLACEHOLDER: Advice(
        "A placeholder: many people share this very picture",
        "Give the person a photo of their own, or raise `PLACEHOLDER_PEOPLE` (0 is off) if the picture is intended.",
        excludes=True,
        nearness=5,
    ),
}

_MATCH: Mapping[Reason, Advice] = {
    _R.NO_ACCOUNT: Advice(
        "No cloud account belongs to this person",
        "A new person appears after the next Entra Connect cycle. Otherwise the person is not synchronised, "
        "or the anchor differs: see `LDAP_ANCHOR` and `MATCH_FALLBACK`.",
    ),
    _R.AMBIGUOUS_MATCH: Advice(
        "More than one person or account would match",
        "Ambiguous matches are never resolved automatically. "
        "Make the anchor, UPN or mail unique on both sides; the detail names what is shared.",
    ),
    _R.ANCHOR_DISPUTED: Advice(
        "The account found by the anchor has another security identifier (SID) than the person",
        "Nothing is written, and what is stored about the person stays. "
        "Either the anchor (mS-DS-ConsistencyGuid) was copied from another "
        "person: correct it in the directory. Or the person came from another forest, and Entra Connect has not "
        "exported the new SID yet: wait for its next export. Compare objectSid with onPremisesSecurityIdentifier; "
        "`MATCH_CHECK_SID=false` ends the comparison for everybody.",
    ),
    _R.CLOUD_MANAGED: Advice(
        "The account was synced from a directory once and is managed in the cloud now",
        "It is skipped, and what is stored about it stays. "
        "`SYNC_CLOUD_MANAGED=follow` sends the source's photo to such "
        "accounts as to any other, also where another service than Entra Connect makes the accounts of the tenant.",
    ),
    _R.OPTED_OUT: Advice(
        "The user opted out",
        "No photo is sent, and a photo that this tool uploaded is removed; one that somebody else set stays. "
        "Take the user out of `OPT_OUT_GROUP` or `OPT_OUT_FILE` to upload the photo again.",
    ),
}

_DECISION: Mapping[Reason, Advice] = {
    _R.FIRST_UPLOAD: Advice("There was no photo in Microsoft 365", _NOTHING),
    _R.ADOPTED: Advice(
        "The cloud already shows the source's picture", "Nothing to do; it is kept up to date from now on."
    ),
    _R.BETTER_QUALITY: Advice("The cloud showed a smaller copy of the same picture", _NOTHING),
    _R.UNCHANGED: Advice("Nothing changed on either side", _NOTHING),
    _R.SOURCE_CHANGED: Advice("The source has a new photo", _NOTHING),
    _R.SOURCE_REMOVED: Advice(
        "The photo was cleared in the source",
        "`SYNC_REMOVED` decides: `keep` leaves the cloud photo, `remove` takes it away if it is still ours.",
    ),
    _R.AWAITING_CLOUD: Advice(
        "Sent and accepted, but not yet shown by the cloud",
        "Nothing to do; Microsoft 365 takes minutes to hours. The next run looks again.",
    ),
    _R.GUEST_DEFAULT: Advice("A guest account without a photo, for the guests' default picture", _NOTHING),
}

_CONFLICT: Mapping[Reason, Advice] = {
    _R.CLOUD_DIFFERS: Advice("The cloud has another photo that this tool did not send", _CHOOSE, is_conflict=True),
    _R.CLOUD_CHANGED: Advice("Somebody changed the cloud photo that this tool had sent", _CHOOSE, is_conflict=True),
    _R.CLOUD_REMOVED: Advice("Somebody removed the cloud photo that this tool had sent", _CHOOSE, is_conflict=True),
    _R.BOTH_CHANGED: Advice("The photo changed in the source and in the cloud", _CHOOSE, is_conflict=True),
    _R.CONFLICT_STANDING: Advice("A conflict that was left as it is; the cloud photo stays", _CHOOSE, is_conflict=True),
    _R.SOURCE_REMOVED_CLOUD_DIFFERS: Advice(
        "Cleared in the source, but the cloud photo was changed outside photo-connector",
        "Nothing was removed. If the cloud photo should go, remove it "
        "with `Remove-MgUserPhotoContent -UserId ID` (Microsoft Graph PowerShell).",
        is_conflict=True,
    ),
    _R.COMPETING_WRITER: Advice(
        "Another program writes a smaller copy, most likely Entra Connect from thumbnailPhoto",
        "Take thumbnailPhoto out of Entra Connect (attribute filtering), or set the tenant's photo source to cloud. "
        "Until then the tool does not overwrite it.",
        is_conflict=True,
    ),
}

_ADMIN: Mapping[Reason, Advice] = {
    _R.RESENT: Advice("Sent again, as --resend asks", _NOTHING),
    _R.OVERWRITTEN: Advice(
        "Overwritten because of `--overwrite`", "Nothing to do; `photo-connector restore --person PERSON` undoes it."
    ),
    _R.CLEARED_BY_ADMIN: Advice(
        "Removed because of `--clear`", "Nothing to do; the photo is not touched until the source changes."
    ),
    _R.RESTORED: Advice(
        "Put back to the state before, by `restore`",
        "Nothing to do; the photo is not touched until the source changes.",
    ),
    _R.CHANGED_SINCE: Advice(
        "Not restored: the cloud photo changed after that run",
        "The current photo was changed outside photo-connector and stays. Ask the person before changing it by hand.",
    ),
    _R.NO_BACKUP: Advice(
        "Cannot be restored: the backup is gone",
        "Backups are kept for `BACKUP_DAYS` days. Set the photo by hand, or let the next run send the source's.",
    ),
}

_RUN: Mapping[Reason, Advice] = {
    _R.POSTPONED: Advice(
        "Deferred to the next run (limit reached)",
        "Nothing to do; the next run continues. Raise `SYNC_MAX_UPLOADS` or `SYNC_MAX_MINUTES` to finish sooner.",
        retry=True,
    ),
    _R.SAFETY_LIMIT: Advice(
        "Held: a safety limit stopped the run before its first write",
        "Look through the plan in the report. If it is intended, start `photo-connector sync --approve RUN` with "
        "the number of that run; "
        "else correct the filter, the base DN or the read right that changed.",
        retry=True,
    ),
    _R.PLAN_OUTDATED: Advice(
        "Not done: source, account or cloud changed since the plan was made",
        "Nothing to do; the next run plans again. The detail says what changed.",
        retry=True,
    ),
    _R.NOT_APPROVED: Advice(
        "Not approved: taken out of the plan with `--except`",
        "The next run plans the photo again. To keep the cloud photo for good, use `KEEP_CLOUD_GROUP` or "
        "`SYNC_CONFLICT=cloud`, or change the photo in the source.",
        retry=True,
    ),
    _R.INTERRUPTED: Advice(
        "The run was interrupted before this person",
        "Start `photo-connector sync` again; it continues from here.",
        retry=True,
        ambiguous_write=True,
    ),
    _R.SOURCE_CHANGED_MEANWHILE: Advice(
        "The source photo changed during the run", "Nothing to do; the next run sends the new one.", retry=True
    ),
    _R.REMOVAL_NOT_CONFIRMED: Advice(
        "Not removed: a second look could not confirm that the source photo is gone",
        "The cloud photo stays. Check that the service account may still read the photo attributes: `photo-connector "
        "check`.",
        retry=True,
    ),
}

_CLOUD: Mapping[Reason, Advice] = {
    _R.ACCOUNT_GONE: Advice(
        "The cloud account was deleted meanwhile",
        "Nothing to do if the person left; otherwise restore the account in Entra. A new account takes some minutes.",
    ),
    _R.ACCOUNT_PENDING: Advice(
        "The cloud account is too new for a photo",
        "Nothing to do; the next run tries again. If it lasts for days, assign an Exchange Online licence.",
    ),
    _R.NO_MAILBOX: Advice(
        "Microsoft 365 refuses a photo without a mailbox",
        "Assign an Exchange Online licence, or leave the person out by `LDAP_FILTER` or `LDAP_GROUP`.",
    ),
    _R.MAILBOX_ON_PREMISES: Advice(
        "The mailbox is still on-premises",
        "Nothing to do until the mailbox moves to Exchange Online; the photo is sent then. "
        "Until then, set it in Exchange Server.",
    ),
    _R.GUEST_NOT_ALLOWED: Advice(
        "The tenant refuses photos for this guest", "Set it in the Entra portal, or leave the guest without a photo."
    ),
    _R.PERSONAL_ACCOUNT: Advice(
        "A personal Microsoft account, whose photo cannot be set", "Only the owner can change this photo."
    ),
    _R.PICTURE_REFUSED: Advice(
        "Microsoft 365 refused the picture", "Store another picture in the source, at least 48 × 48 pixels."
    ),
    _R.ACCESS_DENIED: Advice(
        "Microsoft 365 denied the write",
        "Where others' photos were written, the account is protected (restricted management unit, or a directory "
        "role): set its photo by hand, or take it out of that unit. If the token was refused (401), check "
        "`GRAPH_CLOUD`, `GRAPH_URL` and `AZURE_TENANT_ID`. Else grant ProfilePhoto.ReadWrite.All with admin consent, "
        "and make sure that the source in photoUpdateSettings is not onPremises; `photo-connector check` shows "
        "which it is.",
    ),
    _R.THROTTLED: Advice(
        "Throttled; retries exhausted",
        "Nothing to do; the next run tries again. If it happens in every run, lower `SYNC_CONCURRENCY`.",
        ambiguous_write=True,
    ),
    _R.CLOUD_ERROR: Advice(
        "The service answered with an error",
        "The next run tries again. If it lasts, give Microsoft support the request-id in the detail.",
        ambiguous_write=True,
    ),
    _R.UNREADABLE_ANSWER: Advice(
        "The answer could not be understood",
        "The next run tries again. If it lasts, look for a proxy that rewrites answers; `photo-connector check` "
        "tests the connection. "
        "Where the SharePoint picture is on another host, clear PictureURL of that profile.",
        ambiguous_write=True,
    ),
    _R.NO_PROFILE: Advice(
        "SharePoint has no profile of this person",
        "Assign a licence with SharePoint. SharePoint creates the profile within a day or so; a later run finds it, or "
        "`photo-connector sync --full` at once.",
    ),
    _R.NAME_NOT_ALLOWED: Advice(
        "The account's name has characters that SharePoint forbids in file names",
        "Change the account's UPN, or do without the SharePoint thumbnails for this person. "
        "If a renamed user shares the file name, send that user's own picture first: `photo-connector sync --only "
        "UPN --resend`.",
    ),
}

# The headings of the documentation, in the order in which a night meets them.
GROUPS: Mapping[str, Mapping[Reason, Advice]] = {
    "The person": _PERSON,
    "The source picture": _PICTURE,
    "The match": _MATCH,
    "The decision": _DECISION,
    "Conflicts": _CONFLICT,
    "Asked for by an administrator": _ADMIN,
    "The run": _RUN,
    "The cloud": _CLOUD,
}

ADVICE: Mapping[Reason, Advice] = {reason: advice for group in GROUPS.values() for reason, advice in group.items()}
EXCLUDING = frozenset(reason for reason, advice in ADVICE.items() if advice.excludes)
# The person was read, and none of their pictures can be sent.
UNUSABLE = frozenset(_PICTURE)

# What a target says of each accepted write, and what a report for people says once instead.
ACCEPTED = "Microsoft 365 accepted it; apps may show it hours or days later."
ACCEPTED_ONCE = "Microsoft 365 accepted the uploads; apps may show them hours or days later."
# Outcomes that a later run repeats unchanged: people read them in one line, with the day they began.
LASTING_REASONS = (Reason.CONFLICT_STANDING, Reason.RESTORED)


def people(count: int) -> str:
    """Return "1 person" or "2,000 people"."""
    return "1 person" if count == 1 else f"{count:,} people"


def count_of(count: int, noun: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def is_conflict(outcome: Outcome) -> bool:
    """Return True if both sides disagreed about this photo; `conflict-standing` counts only while it is listed."""
    by_reason = ADVICE[outcome.reason].is_conflict and outcome.reason is not Reason.CONFLICT_STANDING
    return outcome.action is not Action.FAIL and (outcome.conflict or by_reason)


def needs_attention(outcome: Outcome) -> bool:
    """Return True if the outcome belongs on top of a report: a failure or a conflict."""
    return outcome.action is Action.FAIL or is_conflict(outcome)


def cure_of(action: Action, reason: Reason, *, planned: bool = False) -> str:
    """Return what to do about outcomes of this action and reason; `planned` says that nothing was written."""
    cure = ADVICE[reason].cure
    if cure != _CHOOSE or action not in (Action.CREATE, Action.REPLACE):
        return cure
    return _TO_BE_SENT if planned else _SENT


def render_reasons_md() -> str:
    """Return the tables of every reason with its cure, in Markdown, as docs/operations.md shows them."""
    parts: list[str] = []
    for heading, reasons in GROUPS.items():
        parts += [f"### {heading}", "", "| reason | what it means | what to do |", "|---|---|---|"]
        parts += [f"| `{reason}` | {advice.title} | {advice.cure} |" for reason, advice in reasons.items()]
        parts.append("")
    return "\n".join(parts)
