"""A run in SharePoint can be undone: three files and the properties as they were, or nothing where none was."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from connector.cloud import open_cloud
from connector.model import Account, RequestCounters
from connector.photo import read_print, thumbnails
from tests.company import Colleague, Company, anchor_of, face
from tests.lab.sharepoint import SharePointLab
from tests.sharepoint_company import FOLDER, LOCKED, WIDTHS, hang, hire, path_of, person, settings_of, shows
from tests.test_night_stops import wait_until
from tests.test_restore import restore
from tests.test_sharepoint import target_of

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

STATES = ("SPS-PicturePlaceholderState", "SPS-PictureExchangeSyncState")
OLD = ("PictureURL", *STATES)


def own_three(lab: SharePointLab, upn: str, name: str) -> dict[str, bytes]:
    """Make SharePoint's own synchronisation with Exchange put a picture there: S, M and L differ, its states are 1."""
    hang(lab, upn, face(name, 300))
    for size, thumb_bytes in zip("SML", thumbnails(face(name, 300), WIDTHS), strict=True):
        lab.farm.files[path_of(upn, size)] = thumb_bytes
    lab.farm.profile(upn).update(dict.fromkeys(STATES, "1"))
    return dict(lab.farm.files)


def uploaded(lab: SharePointLab, upn: str, name: str) -> str:
    """Make somebody have a picture of their own under a name of their own."""
    path = f"{FOLDER}/My best side.png".lower()
    lab.farm.files[path] = face(name, 300)
    url = lab.url("my-site") + f"{FOLDER}/My%20best%20side.png".replace(" ", "%20")
    lab.farm.profile(upn).update({"PictureURL": url, "SPS-PicturePlaceholderState": "0"})
    return path


def properties(lab: SharePointLab, upn: str) -> dict[str, str]:
    """Return the properties that a restore must bring back."""
    return {name: lab.farm.profile(upn)[name] for name in OLD}


def kept(sharepoint_company: Company) -> list[Path]:
    """Return the files of the backups."""
    return sorted((sharepoint_company.runner.state / "backups").glob("*/*"))


@pytest.fixture
def ada(sharepoint_company: Company, lab: SharePointLab) -> Colleague:
    """Have somebody in the directory whom SharePoint knows."""
    return hire(sharepoint_company, lab, "ada")


def test_all_three_files_and_the_old_properties_come_back_and_stay(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    files, before = own_three(lab, ada.upn, "own ada"), properties(lab, ada.upn)
    assert sharepoint_company.sync().of(ada.upn) == ("replace", "cloud-differs")
    assert shows(lab, ada, "ada")
    assert len(lab.asked) == 11, "a look, three files kept, three written, four properties"

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert (told.code, told.of(ada.upn)) == (0, ("replace", "restored")), told.err + told.out
    assert lab.farm.files == files
    assert properties(lab, ada.upn) == before
    assert told.totals["open_intents"] == 0

    writes = lab.writes()
    assert sharepoint_company.sync(days=1).code == 0
    assert sharepoint_company.sync("--full", days=1).of(ada.upn) == ("keep", "restored")
    assert lab.writes() == writes, "the nights after leave it alone"
    sharepoint_company.paint(ada, face("ada, older", 300))
    assert sharepoint_company.sync(days=1).of(ada.upn) == ("replace", "source-changed")
    assert shows(lab, ada, "ada, older")


def test_a_backup_is_one_file_that_opens_as_a_picture_and_as_an_archive(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    files, before = own_three(lab, ada.upn, "own ada"), properties(lab, ada.upn)
    sharepoint_company.sync()

    (backup,) = kept(sharepoint_company)

    assert read_print(backup.read_bytes()).shows_same(read_print(files[path_of(ada.upn, "L")]))
    with zipfile.ZipFile(backup) as archive:
        assert json.loads(archive.read("profile.json"))["properties"] == before
        names = {name.lower(): archive.read(name) for name in archive.namelist() if name != "profile.json"}
    assert {f"/{name}": content_bytes for name, content_bytes in names.items()} == files


def test_the_report_shows_what_was_there_before(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    sharepoint_company.settings["REPORT_PICTURES"] = "changes"
    own_three(lab, ada.upn, "own ada")
    page = sharepoint_company.runner.folder / "report.html"

    sharepoint_company.sync("--report", str(page))

    shown = [base64.b64decode(one) for one in re.findall(r"data:image/jpeg;base64,([\w+/=]+)", page.read_text("utf-8"))]
    assert [read_print(one).shows_same(read_print(face("own ada", 300))) for one in shown] == [True, False]


@pytest.mark.parametrize("left", ["S", "M", "L"])
def test_a_size_that_was_not_there_is_not_there_again(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague, left: str
) -> None:
    own_three(lab, ada.upn, "own ada")
    del lab.farm.files[path_of(ada.upn, left)]
    files = dict(lab.farm.files)
    assert sharepoint_company.sync().of(ada.upn) == ("replace", "cloud-differs")

    assert restore(sharepoint_company.runner, "--run", "1", days=1).code == 0

    assert lab.farm.files == files


def test_a_picture_under_another_name_is_shown_again_and_was_never_touched(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    path = uploaded(lab, ada.upn, "best side")
    before = properties(lab, ada.upn)
    assert sharepoint_company.sync().of(ada.upn) == ("replace", "cloud-differs")
    assert len(lab.asked) <= 11
    lab.asked.clear()

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.of(ada.upn) == ("replace", "restored"), told.out
    assert properties(lab, ada.upn) == before
    assert lab.farm.files == {path: face("best side", 300)}, "ours are gone again"
    assert not [one.path for one in lab.asked if one.method != "GET" and "best side" in one.path.lower()]
    assert sharepoint_company.sync("--full", days=1).of(ada.upn) == ("keep", "restored")


@pytest.mark.parametrize("since", ["gone", "another picture"])
def test_where_the_old_file_is_no_longer_itself_the_old_picture_hangs_under_our_name(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague, since: str
) -> None:
    path = uploaded(lab, ada.upn, "best side")
    sharepoint_company.sync()
    if since == "gone":
        del lab.farm.files[path]
    else:
        lab.farm.files[path] = face("somebody else", 300)
    others = lab.farm.files.get(path)

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.of(ada.upn) == ("replace", "restored"), told.out
    assert shows(lab, ada, "best side")
    assert lab.farm.profile(ada.upn)["PictureURL"].endswith("/ada_contoso_test_MThumb.jpg")
    assert lab.farm.files.get(path) == others
    assert sharepoint_company.sync("--full", days=1).of(ada.upn) == ("keep", "restored")


def test_a_renamed_person_never_gets_the_face_that_took_the_old_name(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    own_three(lab, ada.upn, "own ada")
    renamed = "ada.lovelace@contoso.test"
    lab.farm.profiles[f"i:0#.f|membership|{renamed}"] = lab.farm.profiles.pop("i:0#.f|membership|ada@contoso.test")
    sharepoint_company.cloud.tenant.update_account(ada.account_id, upn=renamed)
    assert sharepoint_company.sync().totals["replaced"] == 1
    other = sharepoint_company.hire("other", photo=face("other", 300), account=False)
    sharepoint_company.register("ada", other.entry, exchange=False)
    lab.farm.know("ada@contoso.test")
    assert sharepoint_company.sync(days=1).totals["created"] == 1, "the new ada has the old ada's file names"

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.totals["replaced"] == 1, told.out
    shown = lab.farm.profile(renamed)["PictureURL"]
    assert shown.endswith("/ada_lovelace_contoso_test_MThumb.jpg")
    assert read_print(lab.farm.files[path_of(renamed, "L")]).shows_same(read_print(face("own ada", 300)))
    assert read_print(lab.farm.files[path_of("ada@contoso.test", "L")]).shows_same(read_print(face("other", 300)))


def test_a_creation_is_undone_to_nothing(sharepoint_company: Company, lab: SharePointLab, ada: Colleague) -> None:
    assert sharepoint_company.sync().of(ada.upn) == ("create", "first-upload")
    assert len(lab.asked) == 8, "a look, three files, four properties"
    assert kept(sharepoint_company) == []

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.of(ada.upn) == ("remove", "restored"), told.out
    assert lab.farm.files == {}
    assert set(lab.farm.profile(ada.upn).values()) == {""}
    writes = lab.writes()
    assert sharepoint_company.sync("--full", days=1).of(ada.upn) == ("keep", "restored")
    assert lab.writes() == writes


def test_a_removed_picture_comes_back_with_its_files_and_properties(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    sharepoint_company.settings["SYNC_REMOVED"] = "remove"
    sharepoint_company.sync()
    files, before = dict(lab.farm.files), properties(lab, ada.upn)
    sharepoint_company.paint(ada, None)
    removed = sharepoint_company.sync(days=1)
    assert removed.of(ada.upn) == ("remove", "source-removed")

    told = restore(sharepoint_company.runner, "--run", str(removed.report["run"]), days=1)

    assert told.of(ada.upn) == ("create", "restored"), told.out
    assert (lab.farm.files, properties(lab, ada.upn)) == (files, before)
    assert sharepoint_company.sync("--full", days=1).totals["removed"] == 0


def test_one_person_is_restored_and_nobody_else(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    bob = hire(sharepoint_company, lab, "bob")
    own_three(lab, ada.upn, "own ada")
    own_three(lab, bob.upn, "own bob")
    sharepoint_company.sync("--force")

    told = restore(sharepoint_company.runner, "--person", ada.upn, days=1)

    assert (told.totals["people"], told.totals["replaced"]) == (1, 1)
    assert shows(lab, ada, "own ada")
    assert shows(lab, bob, "bob")


def test_a_dry_run_writes_nothing_and_says_what_it_would(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    own_three(lab, ada.upn, "own ada")
    sharepoint_company.sync()
    writes = lab.writes()

    told = restore(sharepoint_company.runner, "--run", "1", "--dry-run", days=1)

    assert (told.report["dry_run"], told.of(ada.upn)) == (True, ("replace", "restored"))
    assert lab.writes() == writes


def test_what_was_chosen_since_is_left_as_it_is(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    own_three(lab, ada.upn, "own ada")
    sharepoint_company.sync()
    hang(lab, ada.upn, face("chosen since", 300))
    writes = lab.writes()

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.of(ada.upn) == ("skip", "changed-since")
    assert lab.writes() == writes


def test_a_restore_can_itself_be_taken_back(sharepoint_company: Company, lab: SharePointLab, ada: Colleague) -> None:
    own_three(lab, ada.upn, "own ada")
    sharepoint_company.sync()
    ours, properties_of_ours = dict(lab.farm.files), properties(lab, ada.upn)
    undone = restore(sharepoint_company.runner, "--run", "1", days=1)

    redone = restore(sharepoint_company.runner, "--run", str(undone.report["run"]), days=1)

    assert redone.of(ada.upn) == ("replace", "restored")
    assert (lab.farm.files, properties(lab, ada.upn)) == (ours, properties_of_ours)


def test_both_targets_are_taken_back_by_one_restore(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    files = own_three(lab, ada.upn, "own ada")
    sharepoint_company.sync()

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    done = sorted((one["target"], one["action"]) for one in told.report["outcomes"])
    assert done == [("graph", "remove"), ("sharepoint", "replace")]
    assert sharepoint_company.photo(ada) is None
    assert lab.farm.files == files


def test_a_file_that_is_no_picture_is_an_unreadable_answer_and_stays(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    own_three(lab, ada.upn, "own ada")
    for size in "SML":
        lab.farm.files[path_of(ada.upn, size)] = b"no picture at all"
    files = dict(lab.farm.files)

    told = sharepoint_company.sync()

    assert told.code == 3, told.err
    assert told.of(ada.upn) == ("fail", "unreadable-answer")
    assert lab.farm.files == files


def test_a_picture_with_an_archive_hidden_in_it_is_kept_as_a_picture(lab: SharePointLab) -> None:
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("profile.json", json.dumps({"properties": {"PictureURL": "https://evil.test"}, "shown": "/x"}))
    ada = person(lab)
    hang(lab, ada.upn, face("own ada", 200) + hidden.getvalue())
    before = lab.farm.profile(ada.upn)["PictureURL"]
    with open_cloud(settings_of(lab), RequestCounters()) as cloud:
        target = target_of(lab, cloud)
        found = target.photos([ada])[ada.id]
        target.put(ada, face("ada", 300))
        target.put_back(ada, found.to_keep)  # type: ignore[union-attr]  # a photo, as the next line proves
    assert lab.farm.files[path_of(ada.upn, "L")] == face("own ada", 200) + hidden.getvalue()
    assert lab.farm.profile(ada.upn)["PictureURL"] == before


def test_what_was_kept_as_a_picture_alone_is_put_back_as_thumbnails(lab: SharePointLab) -> None:
    ada: Account = person(lab)
    with open_cloud(settings_of(lab), RequestCounters()) as cloud:
        target_of(lab, cloud).put_back(ada, face("own ada", 300))
    assert read_print(lab.farm.files[path_of(ada.upn, "L")]).shows_same(read_print(face("own ada", 300)))
    assert lab.farm.profile(ada.upn)["PictureURL"].endswith("_MThumb.jpg")


def test_people_who_swapped_accounts_are_left_alone(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague
) -> None:
    own_three(lab, ada.upn, "own ada")
    sharepoint_company.sync()
    sharepoint_company.ldap.tree.delete(ada.entry.guid)
    heir = sharepoint_company.ldap.person("heir", jpegPhoto=face("ada", 300))
    sharepoint_company.cloud.tenant.update_account(ada.account_id, immutable_id=anchor_of(heir.guid))
    sharepoint_company.sync(days=1)
    writes = lab.writes()

    told = restore(sharepoint_company.runner, "--run", "1", days=1)

    assert told.reasons() == {"changed-since": 1}
    assert lab.writes() == writes


UPLOADS = [f"{size}Thumb.jpg',Overwrite" for size in "SML"]
STEPS = [*STATES, *UPLOADS, "PictureURL", "SPS-PictureTimestamp"]


@pytest.mark.parametrize("step", STEPS, ids=[*STATES, *"SML", "address", "time"])
@pytest.mark.parametrize("pointed", ["at our name", "elsewhere"])
def test_a_write_that_stopped_anywhere_is_finished_by_the_next_night_and_can_be_taken_back(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague, step: str, pointed: str
) -> None:
    if pointed == "at our name":
        own_three(lab, ada.upn, "own ada")
    else:
        uploaded(lab, ada.upn, "own ada")
        lab.farm.profile(ada.upn).update(dict.fromkeys(STATES, "1"))
    files, before = dict(lab.farm.files), properties(lab, ada.upn)
    lab.trouble[step] = LOCKED

    stopped = sharepoint_company.sync()
    lab.trouble.clear()
    again, full = sharepoint_company.sync(days=1), sharepoint_company.sync("--full", days=1)

    assert (stopped.code, again.code, full.code) == (3, 0, 0), again.err
    assert again.totals["open_intents"] == 0
    assert full.of(ada.upn) == ("keep", "unchanged")
    assert shows(lab, ada, "ada")
    assert {name: properties(lab, ada.upn)[name] for name in STATES} == dict.fromkeys(STATES, "0")
    assert lab.farm.profile(ada.upn)["PictureURL"].lower().endswith("/ada_contoso_test_mthumb.jpg")
    last = restore(sharepoint_company.runner, "--run", "1", days=1)
    assert (last.code, last.of(ada.upn)) == (0, ("replace", "restored")), last.out
    assert (lab.farm.files, properties(lab, ada.upn)) == (files, before)


@pytest.mark.parametrize("step", ["LThumb.jpg',Overwrite", "SPS-PictureTimestamp"], ids=["L", "time"])
def test_a_night_that_was_killed_within_a_write_is_finished_by_the_next_and_can_be_taken_back(
    sharepoint_company: Company, lab: SharePointLab, ada: Colleague, step: str
) -> None:
    files, before = own_three(lab, ada.upn, "own ada"), properties(lab, ada.upn)
    lab.held = step
    process, _ = sharepoint_company.runner.start()
    wait_until(lambda: lab.waiting > 0)
    process.kill()
    process.communicate()
    lab.held = ""
    lab.let_go.set()

    again, full = sharepoint_company.sync(days=1), sharepoint_company.sync("--full", days=1)

    assert (again.code, again.totals["open_intents"], full.of(ada.upn)) == (0, 0, ("keep", "unchanged")), again.err
    assert shows(lab, ada, "ada")
    assert restore(sharepoint_company.runner, "--run", "1", days=1).of(ada.upn) == ("replace", "restored")
    assert (lab.farm.files, properties(lab, ada.upn)) == (files, before)
