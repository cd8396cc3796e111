"""What does a refused photo request mean? No photo, one person's trouble, or the end of the run.

The codes are those of Microsoft's documentation, of answers seen live, and of reports; storage moved from Exchange to
Entra in 2023 and the older ones are kept, since nobody outside knows which of them are gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from connector.cloud.answer import Answer, Refusal, read_refusal
from connector.cloud.retry import is_trouble
from connector.errors import PersonError, Unreachable
from connector.model import Account, Reason


class Doing(Enum):
    """Say what was asked of the photo."""

    READ = "read"
    WRITE = "written"
    REMOVE = "removed"


NO_PHOTO_CODES = frozenset(
    {"imagenotfound", "errorentitynotfound", "erroritemnotfound", "getuserphoto", "requestbrokerold-parseuri"}
)
NO_PHOTO_TEXT = re.compile(r"ImageNotFoundException|photo wasn't found|(image|photo|picture) (was )?not found", re.I)
NO_USER_CODES = frozenset({"request_resourcenotfound", "erroruserresolutionfaileduserdoesnotexist", "resourcenotfound"})
NO_USER_TEXT = re.compile(r"ProfileNotFoundException|UserDoesNotExist", re.I)
TOO_SMALL = frozenset({"validationwidthtoosmall", "validationheighttoosmall"})
TOO_LARGE = frozenset({"requestentitytoolarge", "errormessagesizeexceeded", "maximumvalueexceeded"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """Hold what a code means for one person; `skip` says that no later night would mend it."""

    reason: Reason
    words: str
    fix: str = ""
    skip: bool = True


NO_MAILBOX = Meaning(
    Reason.NO_MAILBOX, "has no mailbox in Exchange Online", "Give a licence with Exchange Online, or leave as it is."
)
GUEST = Meaning(
    Reason.GUEST_NOT_ALLOWED, "is a guest, whose photo this tenant does not let us set", "Guests keep their home photo."
)
BY_CODE = {
    "errornonexistentmailbox": NO_MAILBOX,
    "mailboxnotenabledforrestapi": NO_MAILBOX,
    "authenticationerror": NO_MAILBOX,
    "mailboxnothostedinexchangeonline": Meaning(
        Reason.MAILBOX_ON_PREMISES,
        "has the mailbox on-premises",
        "Move the mailbox, or set the photo in Exchange Server.",
    ),
    "consumerphotoisnotsupported": Meaning(Reason.PERSONAL_ACCOUNT, "is a personal Microsoft account"),
    "extensionerror": Meaning(Reason.CLOUD_ERROR, "was refused by the Outlook service"),
}
DENIED_FIX = (
    "Grant the application ProfilePhoto.ReadWrite.All with admin consent, and look at the tenant's photo policy "
    "(photoUpdateSettings): photo-connector check reads it."
)


def photo_trouble(answer: Answer, account: Account, doing: Doing) -> PersonError | None:
    """Judge an answer that is no success; None means that there is no photo.

    Raises Unreachable for what would befall everybody.
    """
    refusal = read_refusal(answer)
    _stop_the_run(refusal)
    if doing is not Doing.WRITE and says_no_photo(refusal):
        return None
    meaning = _meaning(refusal, account, doing)
    who = account.upn or account.id
    if meaning is not None:
        return PersonError(meaning.reason, f"{who} {meaning.words}: {refusal}", fix=meaning.fix, skip=meaning.skip)
    if refusal.status == 403:
        return PersonError(
            Reason.ACCESS_DENIED, f"The photo of {who} may not be {doing.value}: {refusal}", fix=DENIED_FIX
        )
    reason = Reason.THROTTLED if refusal.status == 429 else Reason.CLOUD_ERROR
    fix = (
        "The next run tries again." if is_trouble(answer) else "The next run tries again; show support the request-id."
    )
    return PersonError(reason, f"The photo of {who} could not be {doing.value}: {refusal}", fix=fix)


def unreadable(account: Account, what: str) -> PersonError:
    """Return the failure of one person whose answer came well but makes no sense."""
    message = f"The answer about {account.upn or account.id} cannot be read: {what}."
    return PersonError(Reason.UNREADABLE_ANSWER, message, fix="The next run tries again.")


def says_no_photo(refusal: Refusal) -> bool:
    """Tell "no photo" from the other things that are not found; unknown codes are errors, never "no photo".

    An unknown 404 taken for "no photo" could overwrite, without a backup, a photo that is there.
    """
    if refusal.status not in (400, 404) or _says_no_user(refusal) or "too many photo items" in refusal.message.lower():
        return False
    by_text = bool(NO_PHOTO_TEXT.search(refusal.message))
    return by_text or (refusal.status == 404 and refusal.code.lower() in NO_PHOTO_CODES)


def _says_no_user(refusal: Refusal) -> bool:
    if refusal.status not in (400, 404):
        return False
    said = f"{refusal.code} {refusal.message}"
    return refusal.code.lower() in NO_USER_CODES or bool(NO_USER_TEXT.search(said))


def _stop_the_run(refusal: Refusal) -> None:
    code = refusal.code.lower()
    if code == "authorization_requestdenied":
        fix = "Grant the application User.Read.All and ProfilePhoto.ReadWrite.All, with admin consent."
        raise Unreachable("Graph", f"the application lacks a permission: {refusal}", fix)
    if code == "organizationfromtenantguidnotfound":
        fix = "Use a tenant of Microsoft 365; check AZURE_TENANT_ID."
        raise Unreachable("Graph", f"this tenant (B2C) has no photos: {refusal}", fix)
    if refusal.status == 401 and code != "authenticationerror":
        fix = "Check GRAPH_CLOUD, GRAPH_URL and AZURE_TENANT_ID."
        raise Unreachable("Graph", f"our token was refused: {refusal}", fix)


def _meaning(refusal: Refusal, account: Account, doing: Doing) -> Meaning | None:
    code = refusal.code.lower()
    if _says_no_user(refusal):
        fix = "Nothing, if it was deleted; a new account has its place for a photo after some minutes."
        return Meaning(Reason.ACCOUNT_GONE, "is not there (any more, or yet)", fix, skip=False)
    if doing is Doing.WRITE and says_no_photo(refusal):
        fix = "The next run tries again; after days, ask for a mailbox or licence."
        return Meaning(Reason.ACCOUNT_PENDING, "has no place for a photo yet", fix, skip=False)
    if code in TOO_SMALL or code in TOO_LARGE or refusal.status == 413:
        size = "small" if code in TOO_SMALL else "large"
        return Meaning(Reason.PICTURE_REFUSED, f"has a picture that Graph finds too {size}", "Give another picture.")
    if account.is_guest and (code == "nopermissionsinaccesstoken" or "request is invalid" in refusal.message.lower()):
        return GUEST
    return BY_CODE.get(code)
