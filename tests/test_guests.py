"""Do guests get a photo, and keep their own? GUEST_PHOTO, contacts of the directory, and pictures filed by mail."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from connector.photo import read_print
from tests.lab.directory import Directory
from tests.lab.graph import Emulator
from tests.lab.pictures import jpeg
from tests.lab.samba import DomainController
from tests.lab.world import ldap_settings
from tests.nights import Nights, shown

LOGO, OTHER_LOGO, OWN = jpeg("logo", (300, 300)), jpeg("other logo", (300, 300)), jpeg("own", (240, 240))


@pytest.fixture
def nights(cloud: Emulator, tmp_path: Path) -> Nights:
    """Point the product at an empty folder, with a picture for guests."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    (tmp_path / "guest.jpg").write_bytes(LOGO)
    settings = {
        "SOURCE": "folder",
        "FOLDER_PATH": str(folder),
        "FOLDER_KEY": "mail",
        "GUEST_PHOTO": str(tmp_path / "guest.jpg"),
    }
    return Nights(tmp_path, {**settings, **cloud.environ()})


def guest(cloud: Emulator, name: str, **more: Any) -> str:
    """Invite a guest."""
    upn = f"{name}_partner.example#EXT#@contoso.test"
    return cloud.tenant.add_account(upn, mail=f"{name}@partner.example", user_type="Guest", **more)


def test_a_guest_without_a_photo_gets_the_default_and_one_with_a_photo_keeps_it(
    nights: Nights, cloud: Emulator
) -> None:
    bare, dressed = guest(cloud, "bare"), guest(cloud, "dressed")
    cloud.tenant.set_photo(dressed, OWN)
    member = cloud.tenant.add_account("member@contoso.test")

    first, second = nights.sync(), nights.sync("--full", days=1)

    assert (first.code, first.totals["created"], first.totals["conflicts"]) == (0, 1, 0), first.err
    assert first.of("bare_partner.example#EXT#@contoso.test") == ("create", "guest-default")
    assert shown(cloud, bare).shows_same(read_print(LOGO))
    assert shown(cloud, dressed).shows_same(read_print(OWN))
    assert cloud.tenant.photo(member) is None
    assert second.totals["created"] + second.totals["replaced"] == 0


def test_what_a_guest_brings_later_is_never_overwritten_and_a_new_default_reaches_the_others(
    nights: Nights, cloud: Emulator, tmp_path: Path
) -> None:
    bare, later = guest(cloud, "bare"), guest(cloud, "later")
    nights.sync()
    cloud.tenant.set_photo(later, OWN)
    (tmp_path / "guest.jpg").write_bytes(OTHER_LOGO)

    told = nights.sync("--full", days=1)
    quiet = nights.sync("--full", days=1)

    assert told.of("bare_partner.example#EXT#@contoso.test") == ("replace", "guest-default"), told.out
    assert shown(cloud, bare).shows_same(read_print(OTHER_LOGO))
    assert shown(cloud, later).shows_same(read_print(OWN))
    assert quiet.totals["replaced"] == 0


def test_a_default_that_a_guest_took_away_stays_away(nights: Nights, cloud: Emulator) -> None:
    bare = guest(cloud, "bare")
    nights.sync()
    cloud.tenant.clear_photo(bare)

    assert nights.sync("--full", days=1).totals["created"] == 0
    assert nights.sync("--full", days=1).totals["created"] == 0
    assert cloud.tenant.photo(bare) is None


def test_a_guest_with_a_picture_in_the_folder_gets_that(nights: Nights, cloud: Emulator, tmp_path: Path) -> None:
    gwen = guest(cloud, "gwen")
    nights.sync()
    path = tmp_path / "pictures" / "gwen@partner.example.jpg"
    path.write_bytes(OWN)
    os.utime(path, (time.time() - 3600,) * 2)

    told = nights.sync(days=1)

    assert told.of(path.name) == ("replace", "source-changed"), told.out
    assert shown(cloud, gwen).shows_same(read_print(OWN))


def test_without_the_setting_guests_are_nobody(nights: Nights, cloud: Emulator) -> None:
    guest(cloud, "bare")
    nights.sync()
    del nights.settings["GUEST_PHOTO"]

    told = nights.sync(days=1)

    assert (told.code, told.totals["people"]) == (0, 0)


def test_a_default_that_is_no_picture_is_refused_before_anybody_is_asked(
    nights: Nights, cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(b"no picture")
    cloud.log.clear()

    told = nights.sync()

    assert told.code == 2
    assert "GUEST_PHOTO" in told.err
    assert list(cloud.requests) == []


def test_a_mailboxless_guest_whose_picture_is_refused_as_too_big_gets_a_smaller_one(
    nights: Nights, cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(jpeg("large logo", (2000, 2000)))
    nights.settings["PHOTO_SIZE"] = "2000"
    bare = guest(cloud, "bare", trouble="small-only")

    told = nights.sync()

    assert told.totals["created"] == 1, told.out
    photo = cloud.tenant.photo(bare)
    assert photo is not None
    assert shown(cloud, bare).shows_same(read_print(jpeg("large logo", (2000, 2000))))


@pytest.mark.samba
def test_a_contact_is_matched_to_the_guest_with_its_mail_and_to_nobody_where_two_have_it(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    settings = {**ldap_settings(domain, ou), "LDAP_INCLUDE_CONTACTS": "true", **cloud.environ()}
    nights = Nights(tmp_path, settings)
    directory.add_contact(ou, "Gwen", mail="gwen@partner.example", thumbnailPhoto=OWN)
    directory.add_contact(ou, "Tina", mail="twice@partner.example", thumbnailPhoto=OTHER_LOGO)
    gwen = guest(cloud, "gwen")
    guest(cloud, "twice")
    cloud.tenant.add_account("twice2#EXT#@contoso.test", mail="twice@partner.example", user_type="Guest")
    cloud.tenant.add_account("member@contoso.test", mail="gwen2@partner.example")

    told = nights.sync()

    assert told.totals["created"] == 1, told.out
    assert shown(cloud, gwen).shows_same(read_print(OWN))
    assert told.reasons()["ambiguous-match"] == 1
