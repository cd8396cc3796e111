"""Guests get a photo and keep their own: GUEST_PHOTO, contacts of the directory, and pictures filed by mail."""

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
from tests.runner import Runner, shown

LOGO, OTHER_LOGO, OWN = jpeg("logo", (300, 300)), jpeg("other logo", (300, 300)), jpeg("own", (240, 240))


@pytest.fixture
def runner(cloud: Emulator, tmp_path: Path) -> Runner:
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
    return Runner(tmp_path, {**settings, **cloud.environ()})


def guest(cloud: Emulator, name: str, **more: Any) -> str:
    """Invite a guest."""
    upn = f"{name}_partner.example#EXT#@contoso.test"
    return cloud.tenant.add_account(upn, mail=f"{name}@partner.example", user_type="Guest", **more)


def filed(tmp_path: Path, mail: str, content_bytes: bytes) -> Path:
    """File a picture for somebody by mail, an hour ago."""
    path = tmp_path / "pictures" / f"{mail}.jpg"
    path.write_bytes(content_bytes)
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def test_a_guest_without_a_photo_gets_the_default_and_one_with_a_photo_keeps_it(
    runner: Runner, cloud: Emulator
) -> None:
    bare, dressed = guest(cloud, "bare"), guest(cloud, "dressed")
    cloud.tenant.set_photo(dressed, OWN)
    member = cloud.tenant.add_account("member@contoso.test")

    first, second = runner.sync(), runner.sync("--full", days=1)

    assert (first.code, first.totals["created"], first.totals["conflicts"]) == (0, 1, 0), first.err
    assert first.of("bare_partner.example#EXT#@contoso.test") == ("create", "guest-default")
    assert shown(cloud, bare).shows_same(read_print(LOGO))
    assert shown(cloud, dressed).shows_same(read_print(OWN))
    assert cloud.tenant.photo(member) is None
    assert second.totals["created"] + second.totals["replaced"] == 0


def test_what_a_guest_brings_later_is_never_overwritten_and_a_new_default_reaches_the_others(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    bare, later = guest(cloud, "bare"), guest(cloud, "later")
    runner.sync()
    cloud.tenant.set_photo(later, OWN)
    (tmp_path / "guest.jpg").write_bytes(OTHER_LOGO)

    told = runner.sync("--full", days=1)
    quiet = runner.sync("--full", days=1)

    assert told.of("bare_partner.example#EXT#@contoso.test") == ("replace", "guest-default"), told.out
    assert shown(cloud, bare).shows_same(read_print(OTHER_LOGO))
    assert shown(cloud, later).shows_same(read_print(OWN))
    assert quiet.totals["replaced"] == 0


def test_a_default_that_a_guest_took_away_stays_away(runner: Runner, cloud: Emulator) -> None:
    bare = guest(cloud, "bare")
    runner.sync()
    cloud.tenant.clear_photo(bare)

    assert runner.sync("--full", days=1).totals["created"] == 0
    assert runner.sync("--full", days=1).totals["created"] == 0
    assert cloud.tenant.photo(bare) is None


def test_a_guest_with_a_picture_in_the_folder_gets_that(runner: Runner, cloud: Emulator, tmp_path: Path) -> None:
    gwen = guest(cloud, "gwen")
    runner.sync()
    path = filed(tmp_path, "gwen@partner.example", OWN)

    told = runner.sync(days=1)

    assert told.of(path.name) == ("replace", "source-changed"), told.out
    assert shown(cloud, gwen).shows_same(read_print(OWN))


@pytest.mark.parametrize("removed", ["keep", "remove"])
def test_a_guest_whose_own_picture_left_the_source_gets_the_common_one_only_where_none_is_left(
    runner: Runner, cloud: Emulator, tmp_path: Path, removed: str
) -> None:
    runner.settings["SYNC_REMOVED"] = removed
    gwen = guest(cloud, "gwen")
    path = filed(tmp_path, "gwen@partner.example", OWN)
    assert runner.sync().of(path.name) == ("create", "first-upload")
    path.unlink()

    runner.sync(days=1)
    later = [runner.sync(*options, days=1) for options in ((), ("--full",), ())]

    assert {told.code for told in later} == {0}
    assert shown(cloud, gwen).shows_same(read_print(OWN if removed == "keep" else LOGO))
    assert later[-1].totals["created"] + later[-1].totals["replaced"] == 0


def test_a_picture_that_came_for_a_guest_is_replaced_and_the_common_one_never_counts_as_their_own(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    runner.settings["SYNC_CONFLICT"] = "cloud"  # people keep their own photos; the common one is nobody's own
    gwen = guest(cloud, "gwen")
    runner.sync()
    path = filed(tmp_path, "gwen@partner.example", OWN)

    told = runner.sync(days=1)

    assert told.of(path.name) == ("replace", "source-changed"), told.out
    assert told.totals["conflicts"] == 0
    assert shown(cloud, gwen).shows_same(read_print(OWN))


def test_without_the_setting_guests_are_nobody(runner: Runner, cloud: Emulator) -> None:
    guest(cloud, "bare")
    runner.sync()
    del runner.settings["GUEST_PHOTO"]

    told = runner.sync(days=1)

    assert (told.code, told.totals["people"]) == (0, 0)


def test_a_default_that_is_no_picture_is_refused_before_anybody_is_asked(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(b"no picture")
    cloud.log.clear()

    told = runner.sync()

    assert told.code == 2
    assert "GUEST_PHOTO" in told.err
    assert list(cloud.requests) == []


def test_a_mailboxless_guest_whose_picture_is_refused_as_too_big_gets_a_smaller_one(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(jpeg("large logo", (2000, 2000)))
    runner.settings["PHOTO_SIZE"] = "2000"
    bare = guest(cloud, "bare", trouble="small-only")

    told = runner.sync()

    assert told.totals["created"] == 1, told.out
    photo = cloud.tenant.photo(bare)
    assert photo is not None
    assert shown(cloud, bare).shows_same(read_print(jpeg("large logo", (2000, 2000))))


@pytest.mark.samba
def test_a_contact_is_matched_to_the_guest_with_its_mail_and_to_nobody_where_two_have_it(
    directory: Directory, domain: DomainController, ou: str, cloud: Emulator, tmp_path: Path
) -> None:
    settings = {**ldap_settings(domain, ou), "LDAP_INCLUDE_CONTACTS": "true", **cloud.environ()}
    runner = Runner(tmp_path, settings)
    directory.add_contact(ou, "Gwen", mail="gwen@partner.example", thumbnailPhoto=OWN)
    directory.add_contact(ou, "Tina", mail="twice@partner.example", thumbnailPhoto=OTHER_LOGO)
    gwen = guest(cloud, "gwen")
    guest(cloud, "twice")
    cloud.tenant.add_account("twice2#EXT#@contoso.test", mail="twice@partner.example", user_type="Guest")
    cloud.tenant.add_account("member@contoso.test", mail="gwen2@partner.example")

    told = runner.sync()

    assert told.totals["created"] == 1, told.out
    assert shown(cloud, gwen).shows_same(read_print(OWN))
    assert told.reasons()["ambiguous-match"] == 1


def test_a_member_without_a_mailbox_gets_a_picture_of_at_most_100_kb_at_the_second_try(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    runner.settings["PHOTO_SIZE"] = "2000"
    account_id = cloud.tenant.add_account("anna@contoso.test", mail="anna@contoso.test", trouble="small-only")
    filed(tmp_path, "anna@contoso.test", jpeg("anna", (2000, 2000)))

    told, quiet = runner.sync(), runner.sync("--full", days=1)

    assert (told.code, told.totals["created"]) == (0, 1), told.out
    assert shown(cloud, account_id).shows_same(read_print(jpeg("anna", (2000, 2000))))
    puts = [record for record in cloud.log.records() if record.method == "PUT"]
    sizes = [int(record.headers["content-length"]) for record in puts]
    assert sizes[0] > 100_000 >= sizes[1]
    assert len(sizes) == 2, "and it is not sent again the night after"
    assert quiet.totals["replaced"] == 0


def test_a_member_whom_the_service_takes_no_picture_for_is_told_and_not_tried_every_night(
    runner: Runner, cloud: Emulator, tmp_path: Path
) -> None:
    cloud.tenant.add_account("anna@contoso.test", mail="anna@contoso.test", trouble="no-mailbox")
    filed(tmp_path, "anna@contoso.test", jpeg("anna", (300, 300)))

    first, second = runner.sync(), runner.sync(days=1)
    filed(tmp_path, "anna@contoso.test", jpeg("anna, older", (300, 300)))
    third = runner.sync(days=1)

    assert [told.reasons() for told in (first, second, third)] == [{"no-mailbox": 1}] * 3
    assert [told.code for told in (first, second, third)] == [0, 0, 0]
    assert second.requests["http"] == 1, "the delta alone"
    assert third.requests["http"] > 1, "another picture is another try"
