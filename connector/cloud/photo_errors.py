"""Judge refused photo requests (no photo, one person's trouble, or the end of the run); read the tenant's photo policy.

The codes are those of Microsoft's documentation, of answers seen live, and of reports. Storage moved from Exchange to
Entra in 2023; the older codes stay, since it is not published which of them are gone. The policy's address is beta, so
what it says is a hint and never a condition.
Source: https://learn.microsoft.com/graph/profilephoto-configure-settings
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from connector.cloud.refusal_limit import Cause, RefusedPerson
from connector.cloud.response import WEB_PAGE_FIX, ErrorDetails, Response, describe_page, read_refusal
from connector.cloud.retry import is_retryable
from connector.cloud.transport import Transport
from connector.errors import ConnectorError, PersonError, Unreachable
from connector.model import Account, Reason


class PhotoOperation(Enum):
    """What a request does with a photo; the value stands in messages."""

    READ = "read"
    WRITE = "written"
    REMOVE = "removed"


POLICY_PATH = "/beta/admin/people/photoUpdateSettings"
POLICY_URL = f"https://graph.microsoft.com{POLICY_PATH}"  # as advice names it, for the Graph Explorer

NO_PHOTO_CODES = frozenset(
    {"imagenotfound", "errorentitynotfound", "erroritemnotfound", "getuserphoto", "requestbrokerold-parseuri"}
)
NO_PHOTO_TEXT = re.compile(r"ImageNotFoundException|photo wasn't found|(image|photo|picture) (was )?not found", re.I)
NO_USER_CODES = frozenset({"request_resourcenotfound", "erroruserresolutionfaileduserdoesnotexist"})
NO_USER_TEXT = re.compile(r"ProfileNotFoundException|UserDoesNotExist", re.I)
TOO_SMALL = frozenset({"validationwidthtoosmall", "validationheighttoosmall"})
TOO_LARGE = frozenset({"requestentitytoolarge", "errormessagesizeexceeded", "maximumvalueexceeded"})


@dataclass(frozen=True, slots=True)
class ErrorMapping:
    """What a code means for one person; `skip`: no later run would succeed."""

    reason: Reason
    words: str
    skip: bool = True


NO_MAILBOX = ErrorMapping(Reason.NO_MAILBOX, "has no mailbox in Exchange Online")
GUEST = ErrorMapping(Reason.GUEST_NOT_ALLOWED, "is a guest, whose photo this tenant does not let us set")
BY_CODE = {
    "errornonexistentmailbox": NO_MAILBOX,
    "mailboxnotenabledforrestapi": NO_MAILBOX,
    "authenticationerror": NO_MAILBOX,
    # "Resource could not be discovered." is Outlook's; only Request_ResourceNotFound is the directory's "no such user".
    "resourcenotfound": NO_MAILBOX,
    "mailboxnothostedinexchangeonline": ErrorMapping(Reason.MAILBOX_ON_PREMISES, "has the mailbox on-premises"),
    "consumerphotoisnotsupported": ErrorMapping(Reason.PERSONAL_ACCOUNT, "is a personal Microsoft account"),
    "extensionerror": ErrorMapping(Reason.CLOUD_ERROR, "was refused by the Outlook service"),
}
POLICY_FIX = (
    "The likely cause is the tenant's photo policy: look at it with GET "
    f"{POLICY_URL} (Graph Explorer; source must not be onPremises, "
    "allowedRoles should be empty), and change it with PATCH as a People Administrator; it acts within 24 hours. "
    "Otherwise grant the application ProfilePhoto.ReadWrite.All with admin consent."
)
READ_FIX = "Grant the application ProfilePhoto.ReadWrite.All with admin consent; photo-connector check shows its roles."
PERMISSION_FIX = "Grant the application User.Read.All and ProfilePhoto.ReadWrite.All, with admin consent."
CLOUD_FIX = "Check GRAPH_CLOUD, GRAPH_URL and AZURE_TENANT_ID: the token must be of the tenant's own cloud."
SUPPORT_FIX = "The next run tries again; show support the request-id."


def photo_trouble(
    answer: Response, account: Account, operation: PhotoOperation, *, others_pass: bool = False
) -> PersonError | None:
    """Return the error of an unsuccessful answer; None means that there is no photo.

    `others_pass`: the same operation succeeded for another person in this run. Raises Unreachable for what concerns
    everybody; what may concern everybody is a RefusedPerson, of which ten in a row end the run.
    """
    refusal = read_refusal(answer)
    _stop_the_run(refusal)
    trouble = _not_graphs(answer, account, operation)
    if trouble is not None:
        return trouble
    if operation is not PhotoOperation.WRITE and says_no_photo(refusal):
        return None
    meaning = _meaning(refusal, account, operation)
    if meaning is not None:
        words = f"{account_name(account)} {meaning.words}: {refusal}"
        return PersonError(meaning.reason, words, skip=meaning.skip)
    if refusal.status in (401, 403):
        return _denied(refusal, account, operation, others_pass=others_pass)
    reason = Reason.THROTTLED if refusal.status == 429 else Reason.CLOUD_ERROR
    message = f"The photo of {account_name(account)} could not be {operation.value}: {refusal}"
    if is_retryable(answer):
        return PersonError(reason, message)
    cause = Cause(f"{refusal.status} {refusal.code}", f"photos could not be {operation.value}", SUPPORT_FIX)
    return RefusedPerson(reason, message, cause=cause, said=str(refusal))


def account_name(account: Account) -> str:
    """Return the UPN of an account, or its id."""
    return account.upn or account.id


def _not_graphs(answer: Response, account: Account, operation: PhotoOperation) -> PersonError | None:
    """Return the error of a web page in place of an answer, whatever its status; None for a real answer."""
    if not answer.is_web_page or is_retryable(answer):
        return None
    return page_came(account, describe_page(answer), operation)


def page_came(account: Account, page: str, operation: PhotoOperation) -> RefusedPerson:
    """Return the error of a web page in place of one person's photo."""
    name = account_name(account)
    message = f"The photo of {name} could not be {operation.value}: a web page came in Graph's place ({page})"
    cause = Cause("page", "a web page came in place of Graph's answers about photos", WEB_PAGE_FIX)
    return RefusedPerson(Reason.UNREADABLE_ANSWER, message, cause=cause, said=page)


def _denied(refusal: ErrorDetails, account: Account, operation: PhotoOperation, *, others_pass: bool) -> PersonError:
    """Return the error of a denied request; if others' requests succeed, the account is protected."""
    what = f"photos may not be {operation.value}"
    message = f"The photo of {account_name(account)} may not be {operation.value}: {refusal}"
    cause = Cause("403", what, READ_FIX if operation is PhotoOperation.READ else POLICY_FIX)
    if refusal.status == 401:
        message += "; others' requests succeed with the same token" if others_pass else ""
        cause = Cause("401", f"our token was refused, also after it was renewed; {what}", CLOUD_FIX)
    elif refusal.code.lower() == "authorization_requestdenied":
        cause = Cause("403", f"the application lacks a permission; {what}", PERMISSION_FIX)
        if others_pass:
            message = (
                f"{account_name(account)} is protected (perhaps by a restricted management administrative unit or a "
                f"directory role), since others' photos may be {operation.value}: {refusal}"
            )
    return RefusedPerson(Reason.ACCESS_DENIED, message, cause=cause, said=str(refusal))


def unreadable(account: Account, what: str) -> PersonError:
    """Return the error of a successful answer that cannot be read."""
    message = f"The answer about {account_name(account)} cannot be read: {what}."
    cause = Cause("unreadable", "answers about photos cannot be read", f"{WEB_PAGE_FIX} {SUPPORT_FIX}")
    return RefusedPerson(Reason.UNREADABLE_ANSWER, message, cause=cause, said=f"no use: {what}")


def says_no_photo(refusal: ErrorDetails) -> bool:
    """Return True if a refusal means "no photo"; unknown codes are errors, never "no photo".

    An unknown 404 taken for "no photo" could overwrite, without a backup, a photo that is there.
    """
    if refusal.status not in (400, 404) or _says_no_user(refusal) or "too many photo items" in refusal.message.lower():
        return False
    by_text = bool(NO_PHOTO_TEXT.search(refusal.message))
    return by_text or (refusal.status == 404 and refusal.code.lower() in NO_PHOTO_CODES)


def _says_no_user(refusal: ErrorDetails) -> bool:
    if refusal.status not in (400, 404):
        return False
    said = f"{refusal.code} {refusal.message}"
    return refusal.code.lower() in NO_USER_CODES or bool(NO_USER_TEXT.search(said))


def _stop_the_run(refusal: ErrorDetails) -> None:
    code = refusal.code.lower()
    if code == "organizationfromtenantguidnotfound":
        fix = "Use a tenant of Microsoft 365; check AZURE_TENANT_ID."
        raise Unreachable("Graph", f"this tenant (B2C) has no photos: {refusal}", fix)


def _meaning(refusal: ErrorDetails, account: Account, operation: PhotoOperation) -> ErrorMapping | None:
    code = refusal.code.lower()
    if _says_no_user(refusal):
        return ErrorMapping(Reason.ACCOUNT_GONE, "is not there (any more, or yet)", skip=False)
    if operation is PhotoOperation.WRITE and says_no_photo(refusal):
        return ErrorMapping(Reason.ACCOUNT_PENDING, "has no place for a photo yet", skip=False)
    if code in TOO_SMALL or code in TOO_LARGE or refusal.status == 413:
        size = "small" if code in TOO_SMALL else "large"
        return ErrorMapping(Reason.PICTURE_REFUSED, f"has a picture that Graph finds too {size}")
    if account.is_guest and (code == "nopermissionsinaccesstoken" or "request is invalid" in refusal.message.lower()):
        return GUEST
    return BY_CODE.get(code)


@dataclass(frozen=True, slots=True)
class PhotoPolicy:
    """State where photos may be set (`cloud`, `onpremises`, or empty for either), and by which roles (template ids)."""

    source: str
    allowed_roles: tuple[str, ...]

    @property
    def may_block(self) -> bool:
        """Return True if the policy may be the cause of refused writes."""
        return self.source == "onpremises" or bool(self.allowed_roles)


class PolicyUnread(ConnectorError):
    """Raised when the policy cannot be read; only a check of `photo-connector check` depends on it."""


def read_policy(transport: Transport) -> PhotoPolicy:
    """Read the policy; raise PolicyUnread without `PeopleSettings.Read.All`, or if the tenant shows none."""
    answer = transport.request("GET", transport.root + POLICY_PATH)
    if not answer.ok:
        fix = "To have it checked, grant the application PeopleSettings.Read.All with admin consent."
        raise PolicyUnread(f"The photo policy could not be read: {read_refusal(answer)}.", fix)
    value = answer.json_object()
    source, roles = value.get("source"), value.get("allowedRoles")
    named = tuple(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else ()
    return PhotoPolicy(source.lower() if isinstance(source, str) else "", named)
