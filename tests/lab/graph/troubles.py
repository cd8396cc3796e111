"""The answers "no photo", "no user" and "no mailbox", in each wording that is known (facts 3, 4)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.graph.answers import Ask, Refused
from tests.lab.graph.switches import Switches
from tests.lab.graph.tenant import CloudAccount

NO_IMAGE = "Exception of type 'Microsoft.Fast.Profile.Core.Exception.ImageNotFoundException' was thrown."
NO_PROFILE = "Exception of type 'Microsoft.Fast.Profile.Core.Exception.ProfileNotFoundException' was thrown."
NO_PHOTO = "The photo wasn't found."
GONE = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
MAILBOX_CODES = {"ErrorNonExistentMailbox": 404, "MailboxNotEnabledForRESTAPI": 404, "AuthenticationError": 400}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Describe what one account's photo calls answer; `writes_only` leaves reading alone."""

    status: int
    code: str
    message: str
    nested: bool = False
    writes_only: bool = False


TROUBLES = {
    "mailbox-on-premises": Trouble(404, "MailboxNotHostedInExchangeOnline", "The mailbox is on-premises."),
    "guest-not-allowed": Trouble(400, "BadRequest", "Request is invalid", writes_only=True),
    "no-permissions-in-token": Trouble(403, "NoPermissionsInAccessToken", "The token contains no permissions."),
    "personal": Trouble(404, "ConsumerPhotoIsNotSupported", "Consumer photo is not supported."),
    "b2c": Trouble(404, "OrganizationFromTenantGuidNotFound", "The tenant was not found.", nested=True),
    "bookings": Trouble(500, "ErrorStoreInternalServerError", "An internal server error occurred."),
    "preview-items": Trouble(404, "ErrorItemNotFound", "Too many photo items with class 'IPM.UserPhoto.Preview'."),
    "extension-error": Trouble(400, "extensionError", "The Outlook service refused.", writes_only=True),
    "just-created": Trouble(400, "BadRequest", NO_IMAGE, writes_only=True),
    "not-yet-there": Trouble(404, "ErrorUserResolutionFailedUserDoesNotExist", NO_PROFILE, nested=True),
    "access-denied": Trouble(403, "ErrorAccessDenied", "AccessDeniedException", writes_only=True),
}


def check_trouble(account: CloudAccount, ask: Ask, switches: Switches) -> None:
    """Refuse for an account whose `trouble` says so: a name of `TROUBLES`, no-mailbox, or small-only (100 KB)."""
    if not account.trouble:
        return
    if account.trouble == "no-mailbox":
        raise no_mailbox(switches)
    if account.trouble == "small-only":  # people without a mailbox, 2020: 404 above 100 KB
        if len(ask.body_bytes) > 100 * 1024:
            raise no_mailbox(switches)
        return
    trouble = TROUBLES[account.trouble]
    if trouble.writes_only and ask.method == "GET":
        return
    raise Refused(trouble.status, trouble.code, trouble.message, nested=trouble.nested)


def no_mailbox(switches: Switches) -> Refused:
    """Return the refusal for somebody without a mailbox."""
    code = switches.no_mailbox_code
    return Refused(MAILBOX_CODES[code], code, "The mailbox is either inactive, soft-deleted, or doesn't exist.")


def missing_photo(switches: Switches) -> Refused:
    """Return today's or yesterday's way to say that there is no photo."""
    code = switches.missing_photo
    if code == "nested":
        return Refused(404, "ImageNotFound", NO_IMAGE, nested=True)
    if code in ("ErrorItemNotFound", "GetUserPhoto", "RequestBrokerOld-ParseUri"):
        return Refused(404, code, NO_PHOTO)
    return Refused(404, "ImageNotFound" if code == "1x1" else code, NO_IMAGE)


def missing_user(switches: Switches, key: str) -> Refused:
    """Return the answer of a photo call for nobody."""
    if switches.missing_user == "nested":
        return Refused(404, "ErrorUserResolutionFailedUserDoesNotExist", NO_PROFILE, nested=True)
    return Refused(404, "Request_ResourceNotFound", GONE.format(key))
