"""The emulated Graph says in all the known ways that it has no such photo or person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.caller import PHOTO, VALUE, Caller, code_of, colour
from tests.lab.graph import Emulator


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling.sign_in()


@pytest.fixture
def ann(cloud: Emulator) -> str:
    return cloud.tenant.add_account("ann@contoso.com", mail="ann.mail@contoso.com")


@pytest.mark.parametrize(
    "form",
    ["ImageNotFound", "ErrorEntityNotFound", "ErrorItemNotFound", "GetUserPhoto", "RequestBrokerOld-ParseUri"],
)
def test_no_photo_is_a_404_with_the_code_of_its_year(cloud: Emulator, caller: Caller, ann: str, form: str) -> None:
    cloud.set(missing_photo=form)
    for path in (PHOTO, VALUE):
        answer = caller.get(path.format(ann), headers={"client-request-id": "mine"})
        assert (answer.status_code, code_of(answer)) == (404, form)
        inner = answer.json()["error"]["innerError"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner["date"])
        assert inner["client-request-id"] == answer.headers["client-request-id"] == "mine"
        assert inner["request-id"] == answer.headers["request-id"]


def test_no_photo_may_be_nested_or_a_tiny_gif(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.set(missing_photo="nested")
    error = caller.get(PHOTO.format(ann)).json()["error"]
    assert error["code"] == "UnknownError"
    assert '"errorCode": "ImageNotFound"' in error["message"]
    cloud.set(missing_photo="1x1")
    gif = caller.get(PHOTO.format(ann))
    wanted: dict[str, Any] = {"@odata.mediaContentType": "image/gif", "@odata.mediaEtag": "", "id": "1x1"}
    assert gif.status_code == 200
    assert wanted.items() <= gif.json().items()
    assert caller.get(VALUE.format(ann)).status_code == 404


def test_nobody_and_a_mere_mail_address_are_told_apart(cloud: Emulator, caller: Caller, ann: str) -> None:
    assert "ErrorUserResolutionFailedUserDoesNotExist" in caller.get(PHOTO.format("nobody@contoso.com")).text
    cloud.set(missing_user="Request_ResourceNotFound")
    assert code_of(caller.get(PHOTO.format("nobody@contoso.com"))) == "Request_ResourceNotFound"
    assert code_of(caller.get(PHOTO.format("ann.mail@contoso.com"))) == "ImageNotFound"
    caller.put(ann, colour())
    assert caller.get(PHOTO.format("ANN@contoso.com")).status_code == 200


def test_awkward_upns_reach_their_photo(cloud: Emulator, caller: Caller) -> None:
    guest = cloud.tenant.add_account("a_x.com#EXT#@contoso.com", user_type="Guest")
    dollar = cloud.tenant.add_account("$x@contoso.com")
    cloud.tenant.set_photos({guest: colour(), dollar: colour()})
    assert caller.get(PHOTO.format("a_x.com%23EXT%23@contoso.com")).status_code == 200
    assert caller.get("/users('$x@contoso.com')/photo").status_code == 200


@pytest.mark.parametrize(
    ("trouble", "reading", "writing", "word"),
    [
        ("mailbox-on-premises", 404, 404, "MailboxNotHostedInExchangeOnline"),
        ("guest-not-allowed", 404, 400, "Request is invalid"),
        ("no-permissions-in-token", 403, 403, "NoPermissionsInAccessToken"),
        ("personal", 404, 404, "ConsumerPhotoIsNotSupported"),
        ("b2c", 404, 404, "OrganizationFromTenantGuidNotFound"),
        ("bookings", 500, 500, "ErrorStoreInternalServerError"),
        ("preview-items", 404, 404, "IPM.UserPhoto.Preview"),
        ("extension-error", 404, 400, "extensionError"),
        ("just-created", 404, 400, "ImageNotFoundException"),
        ("not-yet-there", 404, 404, "ProfileNotFoundException"),
        ("access-denied", 404, 403, "AccessDeniedException"),
    ],
)
def test_an_account_in_trouble_says_so(
    cloud: Emulator, caller: Caller, *, trouble: str, reading: int, writing: int, word: str
) -> None:
    account_id = cloud.tenant.add_account("odd@contoso.com", trouble=trouble)
    read, written = caller.get(PHOTO.format(account_id)), caller.put(account_id, colour())
    assert (read.status_code, written.status_code) == (reading, writing)
    assert word in written.text
    cloud.tenant.update_account(account_id, trouble="")
    assert caller.put(account_id, colour()).status_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [("ErrorNonExistentMailbox", 404), ("MailboxNotEnabledForRESTAPI", 404), ("AuthenticationError", 400)],
)
def test_people_without_a_mailbox_are_refused_in_three_ways(
    cloud: Emulator, caller: Caller, code: str, status: int
) -> None:
    cloud.set(no_mailbox_code=code)
    without = cloud.tenant.add_account("bob@contoso.com", exchange=False, trouble="no-mailbox")
    answer = caller.put(without, colour())
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_without_a_mailbox_a_small_picture_may_do(cloud: Emulator, caller: Caller) -> None:
    account_id = cloud.tenant.add_account("bob@contoso.com", trouble="small-only")
    assert caller.put(account_id, colour() + bytes(100 * 1024)).status_code == 404
    assert caller.put(account_id, colour()).status_code == 200
