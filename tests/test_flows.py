"""Each flow of the founding article from end to end: read at the source, sent, and read back at the cloud."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from connector.photo import read_print
from connector.targets.sharepoint.target import BEGINNING
from tests.company import Company, face
from tests.lab.directory import Directory, Entry
from tests.lab.graph import Emulator
from tests.lab.pictures import jpeg, reencoded
from tests.lab.samba import DomainController
from tests.lab.sharepoint import SharePointLab
from tests.lab.world import ldap_settings
from tests.runner import CommandResult, Runner, shown
from tests.sharepoint_company import FOLDER, hire, width

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

LARGE = (648, 648)


def read_back(cloud: Emulator, account_id: str) -> bytes:
    """Fetch a photo over the wire, as any other program would."""
    token = cloud.issuer.issued(cloud.graph_url)["access_token"]
    url = f"{cloud.graph_url}/v1.0/users/{account_id}/photo/$value"
    answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, verify=cloud.ca_file, timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"].lower()) == (200, "image/jpeg")
    return answer.content


def named(told: Sequence[CommandResult], upn: str) -> list[tuple[str, str] | None]:
    """Return what each night did for somebody."""
    return [one.of(upn) for one in told]


@pytest.fixture
def runner(domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path) -> Runner:
    """Point the product at a part of a real domain, and at the cloud."""
    return Runner(tmp_path, {**ldap_settings(domain, ou), **cloud.environ()})


def employ(directory: Directory, cloud: Emulator, ou: str, name: str, **photos: bytes) -> tuple[Entry, str]:
    """Add somebody to Active Directory, and the account that Entra Connect makes of them."""
    upn = f"{name}@contoso.test"
    own = {"sAMAccountName": f"flow-{name}", "userPrincipalName": upn, "mail": upn}
    entry = directory.add_person(ou, name, **own, **photos)
    account_id = cloud.tenant.add_account(upn, mail=upn, immutable_id=entry.anchor, synced=True, exchange=True)
    return entry, account_id


@pytest.mark.samba
def test_an_exchange_online_user_gets_the_photo_of_active_directory_and_every_change_of_it(
    runner: Runner, directory: Directory, ou: str, cloud: Emulator
) -> None:
    photos = {"jpegPhoto": jpeg("anna", LARGE), "thumbnailPhoto": jpeg("anna", (96, 96))}
    entry, account_id = employ(directory, cloud, ou, "anna", **photos)

    first, quiet = runner.sync(), runner.sync(days=1)
    directory.set_photo(entry.dn, jpeg("anna, older", LARGE))
    changed = runner.sync(days=1)

    assert [told.code for told in (first, quiet, changed)] == [0, 0, 0], first.err
    done = named((first, quiet, changed), "anna@contoso.test")
    assert done == [("create", "first-upload"), None, ("replace", "source-changed")]
    assert (quiet.requests["http"], quiet.requests["bytes_up"]) == (1, 0)
    assert read_print(read_back(cloud, account_id)).shows_same(read_print(jpeg("anna, older", LARGE)))
    assert shown(cloud, account_id).width == 648, "the large one, not the thumbnail"


def test_a_sharepoint_only_user_gets_three_thumbnails_and_the_properties_that_are_read_back(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    hire(sharepoint_company, lab, "ada", size=648)

    first, quiet = sharepoint_company.sync(), sharepoint_company.sync(days=1)

    assert (first.code, first.totals["created"], quiet.totals["unchanged"]) == (0, 1, 1), first.err
    token = sharepoint_company.cloud.issuer.issued(lab.url("my-site"), proof="2")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    thumbnails = []
    for size in "SML":
        path = f"{FOLDER}/ada_contoso_test_{size}Thumb.jpg"
        url = f"{lab.url('my-site')}/_api/web/GetFileByServerRelativePath(DecodedUrl='{path}')/$value"
        thumbnails.append(requests.get(url, headers=headers, verify=str(lab.ca_file), timeout=30).content)
    assert [width(one) for one in thumbnails] == [48, 72, 200]
    assert all(read_print(one).shows_same(read_print(face("ada", 648))) for one in thumbnails[1:])
    token = sharepoint_company.cloud.issuer.issued(lab.url("admin"), proof="2")["access_token"]
    url = f"{lab.url('admin')}/_api/SP.UserProfiles.PeopleManager/GetPropertiesFor(accountName=@v)"
    name = "'i:0#.f|membership|ada@contoso.test'"
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(url, params={"@v": name}, headers=headers, verify=str(lab.ca_file), timeout=30)
    profile = {one["Key"]: one["Value"] for one in answer.json()["UserProfileProperties"]}
    assert profile["PictureURL"] == (
        f"{lab.url('my-site')}/User%20Photos/Profile%20Pictures/ada_contoso_test_MThumb.jpg"
    )
    assert (profile["SPS-PicturePlaceholderState"], profile["SPS-PictureExchangeSyncState"]) == ("0", "0")
    assert 0 <= (datetime.now(UTC) - BEGINNING).total_seconds() - int(profile["SPS-PictureTimestamp"]) < 3600


@pytest.mark.samba
def test_a_photo_that_arrives_through_entra_id_first_is_followed_by_ours_and_then_left_in_peace(
    runner: Runner, directory: Directory, ou: str, cloud: Emulator
) -> None:
    large = jpeg("anna", LARGE)
    small = reencoded(large, 96)
    entry, account_id = employ(directory, cloud, ou, "anna", jpegPhoto=large, thumbnailPhoto=small)
    cloud.tenant.set_photo(account_id, reencoded(small, 96))

    first = runner.sync()
    ours = shown(cloud, account_id).width
    cloud.tenant.set_photo(account_id, reencoded(small, 96))
    beaten = [runner.sync("--full", days=1) for _ in range(2)]
    writes = len(cloud.tenant.writes())
    directory.set_photo(entry.dn, jpeg("anna, older", LARGE))
    changed = runner.sync(days=1)

    upn = "anna@contoso.test"
    assert (first.of(upn), ours) == (("replace", "better-quality"), 648)
    assert named(beaten, upn) == [("keep", "competing-writer")] * 2, "it does not fight every night"
    assert writes == 1
    assert changed.of(upn) == ("replace", "source-changed")
    assert shown(cloud, account_id).shows_same(read_print(jpeg("anna, older", LARGE)))


@pytest.mark.samba
def test_a_photo_that_entra_id_brought_and_that_is_as_good_as_ours_is_taken_as_it_is(
    runner: Runner, directory: Directory, ou: str, cloud: Emulator
) -> None:
    _, account_id = employ(directory, cloud, ou, "anna", jpegPhoto=jpeg("anna", LARGE))
    cloud.tenant.set_photo(account_id, reencoded(jpeg("anna", LARGE), 648))
    before = len(cloud.tenant.writes())

    told = runner.sync()

    assert told.of("anna@contoso.test") == ("keep", "adopted")
    assert len(cloud.tenant.writes()) == before


@pytest.mark.samba
def test_a_guest_gets_the_picture_of_the_contact_and_a_guest_without_one_the_common_picture(
    runner: Runner, directory: Directory, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(jpeg("a logo", (300, 300)))
    runner.settings |= {"LDAP_INCLUDE_CONTACTS": "true", "GUEST_PHOTO": str(tmp_path / "guest.jpg")}
    directory.add_contact(ou, "Gwen", mail="gwen@partner.example", thumbnailPhoto=jpeg("gwen", (300, 300)))
    gwen, bare, dressed = (
        cloud.tenant.add_account(
            f"{name}_partner.example#EXT#@contoso.test", mail=f"{name}@partner.example", user_type="Guest"
        )
        for name in ("gwen", "bare", "dressed")
    )
    cloud.tenant.set_photo(dressed, jpeg("own", (300, 300)))

    first, quiet = runner.sync(), runner.sync("--full", days=1)

    assert (first.code, first.totals["created"], first.totals["conflicts"]) == (0, 2, 0), first.err
    assert quiet.totals["created"] + quiet.totals["replaced"] == 0
    for account_id, name in ((gwen, "gwen"), (bare, "a logo"), (dressed, "own")):
        assert read_print(read_back(cloud, account_id)).shows_same(read_print(jpeg(name, (300, 300))))


def test_a_folder_of_pictures_is_run_twice_with_one_change_and_only_that_is_sent(
    cloud: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    settings = {"SOURCE": "folder", "FOLDER_PATH": str(folder), "FOLDER_KEY": "mail"}
    runner = Runner(tmp_path, {**settings, **cloud.environ()})
    names = ("anna", "ben", "cleo")
    accounts = {name: cloud.tenant.add_account(f"{name}@contoso.test", mail=f"{name}.x@contoso.test") for name in names}
    for name in names:
        _file(folder / "2026" / f"{name}.x@contoso.test.jpg", jpeg(name, (300, 300)))

    first = runner.sync()
    before = {name: read_back(cloud, account_id) for name, account_id in accounts.items()}
    _file(folder / "2026" / "ben.x@contoso.test.jpg", jpeg("ben, older", (300, 300)))
    second = runner.sync(days=1)

    assert (first.code, first.totals["created"]) == (0, 3), first.err
    assert (second.code, second.totals["replaced"], second.totals["unchanged"]) == (0, 1, 2)
    after = {name: read_back(cloud, account_id) for name, account_id in accounts.items()}
    assert [name for name in names if after[name] != before[name]] == ["ben"]
    assert read_print(after["ben"]).shows_same(read_print(jpeg("ben, older", (300, 300))))


def _file(path: Path, content_bytes: bytes) -> None:
    """File a picture, an hour ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content_bytes)
    os.utime(path, (time.time() - 3600,) * 2)
