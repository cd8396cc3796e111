"""How do we talk to SharePoint? By REST to two hosts: files on the My Site host, profiles on the admin host.

Sources: https://learn.microsoft.com/sharepoint/dev/solution-guidance/security-apponly-azuread (needs a certificate);
https://learn.microsoft.com/sharepoint/dev/solution-guidance/supporting-and-in-file-and-folder-with-the-resourcepath-api
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from connector.cloud.answer import Answer, read_refusal
from connector.cloud.open import Cloud
from connector.cloud.retry import ABOUT_ONE_PROFILE, is_trouble
from connector.cloud.transport import Endpoint, Transport
from connector.config import Settings
from connector.errors import PersonError, Unreachable
from connector.model import Account, Reason, Traffic

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
UNKNOWN = "user profile error 1000"


@dataclass(frozen=True, slots=True)
class SharePoint:
    """Hold the two hosts."""

    my_site: Transport
    admin: Transport


def open_sharepoint(settings: Settings, traffic: Traffic, cloud: Cloud) -> SharePoint:
    """Make ready both hosts, each with its own token; both go through the one gate of the cloud."""
    return SharePoint(
        _transport(settings.sharepoint_my_site_url or "", traffic, cloud, lanes=settings.sync_concurrency),
        _transport(settings.sharepoint_admin_url or "", traffic, cloud, lanes=settings.sync_concurrency),
    )


def _transport(url: str, traffic: Traffic, cloud: Cloud, *, lanes: int) -> Transport:
    root = url.rstrip("/")
    endpoint = Endpoint(root=root, scope=f"{root}/.default", system=SYSTEM, refused_fix=REFUSED_FIX)
    return Transport(cloud.wire, cloud.token_source, traffic, endpoint=endpoint, lanes=lanes, gate=cloud.transport.gate)


def literal(text: str) -> str:
    """Return a text as an OData literal, fit for an address; quotes are doubled (OData 3 ABNF)."""
    return "'" + quote(text.replace("'", "''"), safe="/") + "'"


def properties_of(sharepoint: SharePoint, name: str, account: Account) -> dict[str, str]:
    """Read a person's profile properties; raises PersonError, with NO_PROFILE for somebody SharePoint does not know."""
    url = f"{PEOPLE}/GetPropertiesFor(accountName=@v)?@v={literal(name)}"
    answer = sharepoint.admin.request("GET", url, headers=JSON)
    if not answer.ok:
        raise refused(answer, account, "read")
    listed = answer.json_object().get("UserProfileProperties")
    if not isinstance(listed, list):
        raise no_profile(account, "GetPropertiesFor gave no profile")
    pairs = [pair for pair in listed if isinstance(pair, dict)]
    return {str(pair.get("Key") or ""): str(pair.get("Value") or "") for pair in pairs}


def set_property(sharepoint: SharePoint, name: str, account: Account, *, key: str, value: str) -> None:
    """Set one profile property; asking twice changes nothing."""
    body = {"accountName": name, "propertyName": key, "propertyValue": value}
    answer = sharepoint.admin.request(
        "POST", f"{PEOPLE}/SetSingleValueProfileProperty", json=body, headers=JSON, safe=True
    )
    if not answer.ok:
        raise refused(answer, account, "written")


def upload(sharepoint: SharePoint, folder: str, name: str, content_bytes: bytes, *, account: Account) -> None:
    """Write one file over what is there; raises Unreachable where the folder is missing: that concerns everybody."""
    path = f"GetFolderByServerRelativePath(DecodedUrl={literal(folder)})"
    url = f"/_api/web/{path}/Files/AddUsingPath(DecodedUrl={literal(name)},Overwrite=true)"
    headers = {**JSON, "Content-Type": "application/octet-stream"}
    answer = sharepoint.my_site.request("POST", url, body=content_bytes, headers=headers, safe=True)
    if answer.status in (404, 409):
        message = f"there is no folder {folder} on the My Site host: {read_refusal(answer)}"
        fix = (
            "Set SHAREPOINT_PHOTO_FOLDER to its name there; it depends on the language of the My Site host, e.g. "
            "User Photos/Profilbilder or User Photos/Profielafbeeldingen."
        )
        raise Unreachable(SYSTEM, message, fix)
    if not answer.ok:
        raise refused(answer, account, "written")


def download(sharepoint: SharePoint, path: str, *, account: Account) -> bytes | None:
    """Fetch a file by its path on the My Site host; None where it is not there."""
    answer = sharepoint.my_site.request("GET", f"{_file(path)}/$value", headers={"Accept": "*/*"})
    if answer.status == 404:
        return None
    if not answer.ok or not isinstance(answer.body, bytes):
        raise refused(answer, account, "read")
    return answer.body


def delete(sharepoint: SharePoint, path: str, *, account: Account) -> None:
    """Delete a file; one that is already gone is a success."""
    answer = sharepoint.my_site.request("DELETE", _file(path), headers={**JSON, "If-Match": "*"}, safe=True)
    if not answer.ok and answer.status != 404:
        raise refused(answer, account, "removed")


def _file(path: str) -> str:
    return f"/_api/web/GetFileByServerRelativePath(DecodedUrl={literal(path)})"


def refused(answer: Answer, account: Account, doing: str) -> PersonError:
    """Judge an answer that is no success; raises Unreachable for what would befall everybody."""
    refusal = read_refusal(answer)
    who = account.upn or account.id
    if answer.status in (401, 403):
        raise Unreachable(SYSTEM, f"the picture of {who} may not be {doing}: {refusal}", ROLES_FIX)
    if UNKNOWN in refusal.message.lower() or (answer.status == 404 and refusal.code.startswith(ABOUT_ONE_PROFILE)):
        return no_profile(account, str(refusal))
    reason = Reason.THROTTLED if answer.status == 429 else Reason.CLOUD_ERROR
    fix = "The next run tries again." if is_trouble(answer) else "The next run tries again; show support this answer."
    return PersonError(reason, f"The SharePoint picture of {who} could not be {doing}: {refusal}", fix=fix)


def no_profile(account: Account, said: str) -> PersonError:
    """Return the skip of somebody whom SharePoint does not know."""
    message = f"{account.upn or account.id} has no SharePoint profile: {said}"
    fix = "Give a licence with SharePoint; a new profile appears within a day, and is then found in turn or by --full."
    return PersonError(Reason.NO_PROFILE, message, fix=fix, skip=True)
