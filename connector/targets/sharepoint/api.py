"""Call SharePoint's REST API on two hosts: files on the My Site host, profiles on the admin host.

Sources: https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread (needs a certificate);
https://learn.microsoft.com/sharepoint/dev/solution-guidance/supporting-and-in-file-and-folder-with-the-resourcepath-api
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from connector.cloud import Cloud
from connector.cloud.refusal_limit import Cause, RefusedPerson
from connector.cloud.response import WEB_PAGE_FIX, Response, describe_page, read_refusal
from connector.cloud.retry import ABOUT_ONE_PROFILE, backoff, is_retryable
from connector.cloud.transport import Endpoint, Transport
from connector.config import Settings
from connector.errors import PersonError, Unreachable
from connector.model import Account, Reason, RequestCounters

SYSTEM = "SharePoint"
PEOPLE = "/_api/SP.UserProfiles.PeopleManager"
JSON = {"Accept": "application/json;odata=nometadata"}
REFUSED_FIX = (
    "SharePoint takes app-only tokens only from a certificate, never from a client secret: set "
    "AZURE_CLIENT_CERTIFICATE_PATH, and check that the SHAREPOINT_* addresses belong to this tenant."
)
ROLES_FIX = (
    "Grant the application the SharePoint permissions Sites.FullControl.All and User.ReadWrite.All (application, not "
    "delegated) with admin consent, and check SHAREPOINT_MY_SITE_URL and SHAREPOINT_ADMIN_URL."
)
NOT_FOR_US = "unsupported app only token"
# SharePoint's code for two concurrent writes to one list; the next try usually succeeds.
SAVE_CONFLICT_CODE = "-2130575305"
CONFLICT_TRIES = 4
UNKNOWN = "user profile error 1000"
SUPPORT_FIX = "The next run tries again; show support this answer."


@dataclass(frozen=True, slots=True)
class SharePoint:
    """The transports of the two hosts."""

    my_site: Transport
    admin: Transport


def open_sharepoint(settings: Settings, traffic: RequestCounters, cloud: Cloud) -> SharePoint:
    """Make the transports of both hosts, each with its own token; they share the cloud's throttle."""
    return SharePoint(
        _transport(settings.sharepoint_my_site_url or "", traffic, cloud),
        _transport(settings.sharepoint_admin_url or "", traffic, cloud),
    )


def _transport(url: str, traffic: RequestCounters, cloud: Cloud) -> Transport:
    root = url.rstrip("/")
    endpoint = Endpoint(root=root, scope=f"{root}/.default", system=SYSTEM, refused_fix=REFUSED_FIX)
    return Transport(cloud.http, cloud.token_source, traffic, endpoint=endpoint, throttle=cloud.transport.throttle)


def literal(text: str) -> str:
    """Return a text as an OData literal, fit for an address; quotes are doubled (OData 3 ABNF)."""
    return "'" + quote(text.replace("'", "''"), safe="/") + "'"


def properties_of(sharepoint: SharePoint, name: str, account: Account) -> dict[str, str]:
    """Return a person's profile properties; raise PersonError, with NO_PROFILE if SharePoint has no profile."""
    url = f"{PEOPLE}/GetPropertiesFor(accountName=@v)?@v={literal(name)}"
    answer = sharepoint.admin.request("GET", url, headers=JSON, one_person=True)
    if not answer.ok or answer.is_web_page:
        raise refused(answer, account, "read")
    value = answer.json_object()
    listed = value.get("UserProfileProperties")
    if not isinstance(listed, list):
        raise no_profile(account, "GetPropertiesFor gave no profile") if _is_null(value) else _unreadable(account)
    pairs = [pair for pair in listed if isinstance(pair, dict)]
    return {str(pair.get("Key") or ""): str(pair.get("Value") or "") for pair in pairs}


def _is_null(value: Mapping[str, object]) -> bool:
    """Return True if an answer is the null of OData 3 or 4."""
    return any(value.get(name) is True for name in ("odata.null", "@odata.null"))


def _unreadable(account: Account) -> PersonError:
    """Return the error of a successful answer that holds neither a profile nor null."""
    said = "neither a profile nor null came"
    message = f"The SharePoint profile of {account.upn or account.id} cannot be read: {said}."
    cause = Cause("unreadable", "profiles cannot be read", f"{WEB_PAGE_FIX} {SUPPORT_FIX}")
    return RefusedPerson(Reason.UNREADABLE_ANSWER, message, cause=cause, said=said)


def set_property(sharepoint: SharePoint, name: str, account: Account, *, key: str, value: str) -> None:
    """Set one profile property; sending it twice changes nothing."""
    body = {"accountName": name, "propertyName": key, "propertyValue": value}
    answer = sharepoint.admin.request(
        "POST", f"{PEOPLE}/SetSingleValueProfileProperty", json=body, headers=JSON, safe=True, one_person=True
    )
    if not answer.ok or answer.is_web_page:
        raise refused(answer, account, "written")


def upload(sharepoint: SharePoint, folder: str, name: str, content_bytes: bytes, *, account: Account) -> None:
    """Write one file, replacing an existing one; retry a Save Conflict."""
    path = f"GetFolderByServerRelativePath(DecodedUrl={literal(folder)})"
    url = f"/_api/web/{path}/Files/AddUsingPath(DecodedUrl={literal(name)},Overwrite=true)"
    headers = {**JSON, "Content-Type": "application/octet-stream"}
    transport = sharepoint.my_site
    for tries in range(1, CONFLICT_TRIES + 1):
        answer = transport.request("POST", url, body=content_bytes, headers=headers, safe=True, one_person=True)
        if answer.ok and not answer.is_web_page:
            return
        if tries == CONFLICT_TRIES or not _is_save_conflict(answer):
            raise refused(answer, account, "written")
        transport.throttle.pause(backoff(tries))


def check_folder(sharepoint: SharePoint, folder: str) -> None:
    """Raise Unreachable where the folder is missing on the My Site host: that concerns everybody."""
    url = f"/_api/web/GetFolderByServerRelativePath(DecodedUrl={literal(folder)})"
    answer = sharepoint.my_site.request("GET", url, headers=JSON, one_person=True)
    if answer.status == 404 and not answer.is_web_page:
        message = f"there is no folder {folder} on the My Site host: {read_refusal(answer)}"
        fix = (
            "Set SHAREPOINT_PHOTO_FOLDER to its name there; it depends on the language of the My Site host, e.g. "
            "User Photos/Profilbilder or User Photos/Profielafbeeldingen."
        )
        raise Unreachable(SYSTEM, message, fix)


def may_lack_folder(error: PersonError) -> bool:
    """Return True if an upload was refused in a way that a missing folder is refused, too."""
    key = error.cause.key if isinstance(error, RefusedPerson) else ""
    return key.startswith(("404", "409")) and SAVE_CONFLICT_CODE not in key


def _is_save_conflict(answer: Response) -> bool:
    refusal = read_refusal(answer)
    return answer.status == 409 and (
        refusal.code.startswith(SAVE_CONFLICT_CODE) or "save conflict" in refusal.message.lower()
    )


def download(sharepoint: SharePoint, path: str, *, account: Account) -> bytes | None:
    """Return a file by its path on the My Site host; None if it does not exist."""
    answer = sharepoint.my_site.request("GET", f"{_file(path)}/$value", headers={"Accept": "*/*"}, one_person=True)
    if answer.status == 404 and not answer.is_web_page:
        return None
    if not answer.ok or answer.is_web_page or not isinstance(answer.body, bytes):
        raise refused(answer, account, "read")
    return answer.body


def delete(sharepoint: SharePoint, path: str, *, account: Account) -> None:
    """Delete a file; one that is already gone is a success."""
    answer = sharepoint.my_site.request(
        "DELETE", _file(path), headers={**JSON, "If-Match": "*"}, safe=True, one_person=True
    )
    is_gone = answer.ok or answer.status == 404
    if not is_gone or answer.is_web_page:
        raise refused(answer, account, "removed")


def _file(path: str) -> str:
    return f"/_api/web/GetFileByServerRelativePath(DecodedUrl={literal(path)})"


def refused(answer: Response, account: Account, operation: str) -> PersonError:
    """Return the error of an unsuccessful answer: one person's failure (ten in a row end the run), or a skip.

    Raises Unreachable for a kind of token that SharePoint never accepts.
    """
    refusal = read_refusal(answer)
    who = account.upn or account.id
    if answer.is_web_page and not is_retryable(answer):
        page = describe_page(answer)
        message = f"The SharePoint picture of {who} could not be {operation}: a web page came in its place ({page})"
        cause = Cause("page", "a web page came in place of SharePoint's answers", WEB_PAGE_FIX)
        return RefusedPerson(Reason.UNREADABLE_ANSWER, message, cause=cause, said=page)
    if answer.status == 401 and NOT_FOR_US in refusal.message.lower():
        raise Unreachable(SYSTEM, f"our token was refused, also after it was renewed: {refusal}", REFUSED_FIX)
    if answer.status in (401, 403):
        message = f"The SharePoint picture of {who} may not be {operation}: {refusal}"
        fix = REFUSED_FIX if answer.status == 401 else ROLES_FIX
        cause = Cause(str(answer.status), f"pictures may not be {operation}", fix)
        return RefusedPerson(Reason.ACCESS_DENIED, message, cause=cause, said=str(refusal))
    if UNKNOWN in refusal.message.lower() or (answer.status == 404 and refusal.code.startswith(ABOUT_ONE_PROFILE)):
        return no_profile(account, str(refusal))
    reason = Reason.THROTTLED if answer.status == 429 else Reason.CLOUD_ERROR
    message = f"The SharePoint picture of {who} could not be {operation}: {refusal}"
    if is_retryable(answer):
        return PersonError(reason, message)
    cause = Cause(f"{answer.status} {refusal.code}", f"pictures could not be {operation}", SUPPORT_FIX)
    return RefusedPerson(reason, message, cause=cause, said=str(refusal))


def no_profile(account: Account, said: str) -> PersonError:
    """Return the skip of a person without a SharePoint profile."""
    message = f"{account.upn or account.id} has no SharePoint profile: {said}"
    return PersonError(Reason.NO_PROFILE, message, skip=True)
