"""The SharePoint target against the emulated hosts, and whole runs with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from connector.cloud import Cloud, open_cloud
from connector.cloud.refusal_limit import IN_A_ROW
from connector.errors import PersonError, Unreachable
from connector.ledger.accounts import shared_names
from connector.ledger.store import open_ledger, transaction
from connector.model import Account, CloudObservation, CloudPhoto, Reason, RequestCounters
from connector.photo import thumbnails
from connector.targets.dry_run import DryRun
from connector.targets.sharepoint.api import open_sharepoint
from connector.targets.sharepoint.file_names import file_key
from connector.targets.sharepoint.target import BEGINNING, SharePointTarget
from tests.cloud_stories import picture
from tests.company import Company, face, total
from tests.contracts.target import DryRunContract, TargetBench, TargetContract
from tests.lab.graph import Fault
from tests.lab.sharepoint import SharePointLab
from tests.lab.sharepoint.farm import Said
from tests.lab.sharepoint.server import ROLES
from tests.sharepoint_company import FOLDER, LOCKED, WIDTHS, hang, hire, path_of, person, settings_of, shows, width

pytestmark = pytest.mark.usefixtures("no_proxy_settings")


@pytest.fixture
def opened(lab: SharePointLab) -> Iterator[Cloud]:
    with open_cloud(settings_of(lab), RequestCounters()) as held:
        yield held


@pytest.fixture
def target(lab: SharePointLab, opened: Cloud) -> SharePointTarget:
    return target_of(lab, opened)


def target_of(lab: SharePointLab, opened: Cloud, *, taken: frozenset[str] = frozenset()) -> SharePointTarget:
    return SharePointTarget(
        open_sharepoint(settings_of(lab), RequestCounters(), opened),
        folder=FOLDER,
        thumbnails=lambda content_bytes: thumbnails(content_bytes, WIDTHS),
        taken=taken,
    )


@pytest.fixture
def sharepoint_bench(lab: SharePointLab, target: SharePointTarget) -> TargetBench:
    def seen(account: Account) -> bytes | None:
        shown = lab.farm.profile(account.upn)["PictureURL"]
        return lab.farm.files.get(path_of(account.upn, "L")) if shown else None

    return TargetBench(
        target=target,
        people=lambda number: [person(lab, f"p{index}@contoso.test") for index in range(number)],
        hang=lambda account, content_bytes: hang(lab, account.upn, content_bytes),
        take=lambda account: lab.farm.profile(account.upn).update({"PictureURL": ""}),
        seen=seen,
        vanish=lambda account: lab.farm.forget(account.upn),
        writes=lab.writes,
    )


class TestSharePoint(TargetContract):
    @pytest.fixture
    def bench(self, sharepoint_bench: TargetBench) -> TargetBench:
        return sharepoint_bench


class TestDryRunOfSharePoint(DryRunContract):
    @pytest.fixture
    def bench(self, sharepoint_bench: TargetBench) -> TargetBench:
        return replace(sharepoint_bench, target=DryRun(sharepoint_bench.target))


# -- what is written


def test_three_thumbnails_and_four_properties_are_written(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    target.put(ada, picture(1, edge=648))
    assert [width(lab.farm.files[path_of(ada.upn, size)]) for size in "SML"] == [48, 72, 200]
    profile = lab.farm.profile(ada.upn)
    name = "User%20Photos/Profile%20Pictures/ada_b_contoso_test_MThumb.jpg"
    assert profile["PictureURL"] == f"{lab.url('my-site')}/{name}"
    assert profile["SPS-PicturePlaceholderState"] == profile["SPS-PictureExchangeSyncState"] == "0"
    seconds = (datetime.now(UTC) - BEGINNING).total_seconds()
    assert 0 <= seconds - int(profile["SPS-PictureTimestamp"]) < 3600


def test_a_quote_in_a_name_reaches_the_file_and_the_profile(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab, "o'neil#x@contoso.test")
    target.put(ada, picture(1))
    assert path_of(ada.upn, "L") in lab.farm.files
    assert lab.farm.profile(ada.upn)["PictureURL"].endswith("/o%27neil%23x_contoso_test_MThumb.jpg")
    found = target.photos([ada])[ada.id]
    assert isinstance(found, CloudPhoto)
    assert found.content_bytes == lab.farm.files[path_of(ada.upn, "L")]


def test_a_write_tells_what_it_left_just_as_a_look_would(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    target.put(ada, picture(1))
    left = target.written_photo(ada)
    assert left is not None
    assert target.tags([ada]) == {ada.id: CloudObservation(left.tag)}
    found = target.photos([ada])[ada.id]
    assert isinstance(found, CloudPhoto)
    assert replace(found, kept_bytes=b"") == left
    target.remove(ada)
    assert target.written_photo(ada) is None
    assert target.tags([ada]) == {ada.id: None}


def test_a_removal_leaves_neither_files_nor_properties(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    target.put(ada, picture(1))
    target.remove(ada)
    assert lab.farm.files == {}
    assert set(lab.farm.profile(ada.upn).values()) == {""}


# -- what is seen


def test_a_port_or_query_in_the_address_makes_no_other_tag(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    hang(lab, ada.upn, picture(1))
    before = target.tags([ada])
    lab.farm.profile(ada.upn)["PictureURL"] += "?t=63783110970"
    assert target.tags([ada]) == before


def test_a_property_that_points_to_no_file_is_no_photo(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    hang(lab, ada.upn, picture(1))
    lab.farm.files.clear()
    assert target.photos([ada]) == {ada.id: None}


def test_a_profile_told_without_its_picture_property_is_not_taken_for_one_without_a_picture(
    lab: SharePointLab, target: SharePointTarget
) -> None:
    ada = person(lab)
    del lab.farm.profile(ada.upn)["PictureURL"]
    tag, photo = target.tags([ada])[ada.id], target.photos([ada])[ada.id]
    for told in (tag, photo):
        assert isinstance(told, PersonError)
        assert told.reason is Reason.UNREADABLE_ANSWER
        assert "was read without its PictureURL" in told.message


def test_a_profile_that_lists_nothing_about_pictures_has_none_unless_a_file_stands_in_its_place(
    lab: SharePointLab, target: SharePointTarget
) -> None:
    ada, ben = person(lab), person(lab, "ben@contoso.test")
    lab.farm.profile(ada.upn).clear()
    lab.farm.profile(ben.upn).clear()
    lab.farm.files[path_of(ben.upn, "M")] = picture(1)

    assert target.tags([ada, ben])[ada.id] is None
    assert target.photos([ada]) == {ada.id: None}
    for told in (target.tags([ben])[ben.id], target.photos([ben])[ben.id]):
        assert isinstance(told, PersonError)
        assert "was read without its PictureURL" in told.message
    target.put(ada, picture(2))
    assert lab.farm.profile(ada.upn)["PictureURL"]


def test_an_answer_that_is_neither_a_profile_nor_null_is_not_a_person_without_a_profile(
    lab: SharePointLab, target: SharePointTarget
) -> None:
    ada = person(lab)
    lab.planned.append(Said(200, {"AccountName": ada.upn}))
    told = target.tags([ada])[ada.id]
    assert isinstance(told, PersonError)
    assert (told.reason, told.skip) == (Reason.UNREADABLE_ANSWER, False)
    assert "neither a profile nor null came" in told.message
    assert target.tags([ada]) == {ada.id: None}


def test_a_write_that_ended_before_its_picture_property_does_not_hide_the_person(
    lab: SharePointLab, target: SharePointTarget
) -> None:
    ada = person(lab)
    profile = lab.farm.profile(ada.upn)
    profile.clear()
    profile.update(dict.fromkeys(("SPS-PicturePlaceholderState", "SPS-PictureExchangeSyncState"), "0"))
    assert target.tags([ada]) == {ada.id: None}


def test_without_the_large_one_the_picture_itself_is_fetched(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    hang(lab, ada.upn, picture(1))
    del lab.farm.files[path_of(ada.upn, "L")]
    found = target.photos([ada])[ada.id]
    assert isinstance(found, CloudPhoto)
    assert found.content_bytes == picture(1)


def test_a_picture_on_another_host_is_left_alone(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    lab.farm.profile(ada.upn)["PictureURL"] = "https://intranet.contoso.test/photos/ada.jpg"
    error = target.photos([ada])[ada.id]
    assert isinstance(error, PersonError)
    assert error.skip
    assert "intranet.contoso.test" in error.message


@pytest.mark.parametrize("reads_null", [True, False])
def test_somebody_without_a_profile_is_skipped_at_once(
    lab: SharePointLab, target: SharePointTarget, reads_null: bool
) -> None:
    lab.farm.unknown_user_reads_null = reads_null
    nobody = Account(id="1", upn="nobody@contoso.test")
    error = target.tags([nobody])["1"]
    assert isinstance(error, PersonError)
    assert (error.reason, error.skip) == (Reason.NO_PROFILE, True)
    assert len(lab.asked) == 1  # a 500 that is about one person is not asked again


@pytest.mark.parametrize("upn", ["", "a*b@contoso.test", "ada@vti.contoso.test", "~$ada@contoso.test"])
def test_a_name_that_sharepoint_forbids_is_skipped_unasked(
    lab: SharePointLab, target: SharePointTarget, upn: str
) -> None:
    error = target.tags([Account(id="1", upn=upn)])["1"]
    assert isinstance(error, PersonError)
    assert (error.reason, error.skip) == (Reason.NAME_NOT_ALLOWED, True)
    assert lab.asked == []


def test_a_name_that_shows_somebody_else_is_never_written(lab: SharePointLab, opened: Cloud) -> None:
    ada = person(lab, "ada.b@contoso.test")
    target = target_of(lab, opened, taken=frozenset({"ada_b_contoso_test"}))
    for write in (lambda: target.put(ada, picture(1)), lambda: target.remove(ada)):
        with pytest.raises(PersonError) as caught:
            write()
        assert caught.value.reason is Reason.NAME_NOT_ALLOWED
    assert lab.asked == []


# -- what goes wrong


@pytest.mark.parametrize("status", [404, 409])
def test_a_missing_folder_ends_the_run_and_names_the_setting(
    lab: SharePointLab, target: SharePointTarget, status: int
) -> None:
    lab.farm.folders, lab.farm.missing_folder_status = {"/User Photos/Profilbilder"}, status
    ada = person(lab)
    with pytest.raises(Unreachable) as caught:
        target.put(ada, picture(1))
    assert caught.value.system == "SharePoint"
    assert "SHAREPOINT_PHOTO_FOLDER" in caught.value.fix
    assert lab.farm.profile(ada.upn)["PictureURL"] == ""


def test_a_token_from_a_secret_is_refused_with_the_reason(lab: SharePointLab) -> None:
    secret = {"AZURE_CLIENT_CERTIFICATE_PATH": "", "AZURE_CLIENT_SECRET": lab.cloud.client_secret, "TARGETS": "graph"}
    ada = person(lab)
    with open_cloud(settings_of(lab, **secret), RequestCounters()) as cloud, pytest.raises(Unreachable) as caught:
        target_of(lab, cloud).tags([ada])
    assert "Unsupported app only token" in caught.value.message
    assert "certificate" in caught.value.fix


def test_missing_permissions_end_the_run(lab: SharePointLab, target: SharePointTarget) -> None:
    lab.roles = frozenset({"User.ReadWrite.All"})
    people = [person(lab, f"p{number}@contoso.test") for number in range(IN_A_ROW)]
    for one in people[1:]:
        error = target.tags([one])[one.id]
        assert isinstance(error, PersonError)
        assert error.reason is Reason.ACCESS_DENIED
    with pytest.raises(Unreachable) as caught:
        target.tags(people[:1])
    assert "Sites.FullControl.All" in caught.value.fix


def test_throttling_is_waited_out_under_a_decorated_name(lab: SharePointLab, target: SharePointTarget) -> None:
    ada = person(lab)
    lab.planned.append(Said(429, b"", {"Retry-After": "1"}))
    target.put(ada, picture(1))
    assert lab.asked[1].started - lab.asked[0].started >= 1
    assert {one.user_agent.partition("/")[0] for one in lab.asked} == {"NONISV|photo-connector|photo-connector"}
    assert lab.farm.profile(ada.upn)["PictureURL"]


@pytest.mark.parametrize("doing", ["tags", "photos", "put", "remove"])
def test_an_error_of_one_file_or_profile_is_one_persons(
    lab: SharePointLab, target: SharePointTarget, doing: str
) -> None:
    ada = person(lab)
    hang(lab, ada.upn, picture(1))
    target.tags([ada])
    lab.planned.append(LOCKED)
    if doing in ("put", "remove"):
        with pytest.raises(PersonError) as caught:
            target.put(ada, picture(1)) if doing == "put" else target.remove(ada)
        error: object = caught.value
    else:
        error = getattr(target, doing)([ada])[ada.id]
    assert isinstance(error, PersonError)
    assert error.reason is Reason.CLOUD_ERROR
    assert "locked" in error.message


# -- whole nights


def test_a_sharepoint_only_user_has_thumbnails_and_properties_after_one_night(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    told = sharepoint_company.sync()
    assert told.code == 0, told.err + told.out
    assert told.of(ada.upn) == ("create", "first-upload")
    assert told.report["outcomes"][0]["target"] == "sharepoint"
    assert shows(lab, ada, "ada")
    assert lab.farm.profile(ada.upn)["PictureURL"].endswith("ada_contoso_test_MThumb.jpg")
    assert told.totals["open_intents"] == 0
    assert len(lab.asked) <= 8


def test_an_unchanged_person_costs_no_request_and_in_a_full_run_one(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    sharepoint_company.settings["SYNC_VERIFY_PERCENT"] = "100"
    lab.asked.clear()
    assert sharepoint_company.sync(days=1).totals["unchanged"] == 1
    assert lab.asked == []
    told = sharepoint_company.sync("--full", days=1)
    assert told.of(ada.upn) == ("keep", "unchanged")
    assert [one.method for one in lab.asked] == ["GET"]


def test_a_changed_person_is_replaced_with_a_backup_within_the_budget(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    old = lab.farm.files[path_of(ada.upn, "L")]
    sharepoint_company.paint(ada, face("another ada", 300))
    lab.asked.clear()
    told = sharepoint_company.sync(days=1)
    assert told.of(ada.upn) == ("replace", "source-changed")
    assert shows(lab, ada, "another ada")
    assert len(lab.asked) == 9, "a look, three files kept, three written, two properties"
    (backup,) = (sharepoint_company.runner.state / "backups").glob("*/*.jpg")
    assert backup.read_bytes().startswith(old)


def test_somebody_elses_picture_is_kept_before_it_is_replaced(sharepoint_company: Company, lab: SharePointLab) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    hang(lab, ada.upn, face("a holiday", 200))
    told = sharepoint_company.sync()
    assert told.of(ada.upn) == ("replace", "cloud-differs")
    assert shows(lab, ada, "ada")
    (backup,) = (sharepoint_company.runner.state / "backups").glob("*/*.jpg")
    assert backup.read_bytes().startswith(face("a holiday", 200))
    assert len(lab.asked) <= 11


def test_what_an_earlier_tool_has_put_there_is_adopted(sharepoint_company: Company, lab: SharePointLab) -> None:
    ada = hire(sharepoint_company, lab, "ada", size=600)
    hang(lab, ada.upn, thumbnails(face("ada", 600), WIDTHS)[-1])
    told = sharepoint_company.sync()
    assert told.of(ada.upn) == ("keep", "adopted")
    assert lab.writes() == 0


def test_a_cleared_photo_is_removed_where_asked(sharepoint_company: Company, lab: SharePointLab) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    sharepoint_company.settings["SYNC_REMOVED"] = "remove"
    sharepoint_company.paint(ada, None)
    told = sharepoint_company.sync(days=1)
    assert told.of(ada.upn) == ("remove", "source-removed")
    assert told.totals["open_intents"] == 0
    assert lab.farm.files == {}


def test_a_dry_run_writes_nothing_and_tells_the_same(sharepoint_company: Company, lab: SharePointLab) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    told = sharepoint_company.sync("--dry-run")
    assert told.of(ada.upn) == ("create", "first-upload")
    assert lab.writes() == 0


def test_who_has_no_profile_is_told_so_and_found_once_there_is_one(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    lab.farm.profiles.clear()
    assert sharepoint_company.sync().of(ada.upn) == ("skip", "no-profile")
    sharepoint_company.settings["SYNC_VERIFY_PERCENT"] = "15"
    lab.farm.know(ada.upn)
    assert sharepoint_company.sync(days=1).of(ada.upn) == ("create", "first-upload")


def test_two_people_whose_names_fold_into_one_are_both_left_alone(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    people = [hire(sharepoint_company, lab, "ada.b"), hire(sharepoint_company, lab, "ada_b")]
    told = sharepoint_company.sync()
    assert [told.of(one.upn) for one in people] == [("skip", "name-not-allowed")] * 2
    assert lab.writes() == 0


def test_a_new_person_never_overwrites_the_picture_of_a_renamed_one(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    ada = hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    sharepoint_company.cloud.tenant.update_account(ada.account_id, upn="ada.lovelace@contoso.test")
    lab.farm.profiles["i:0#.f|membership|ada.lovelace@contoso.test"] = lab.farm.profiles.pop(
        "i:0#.f|membership|ada@contoso.test"
    )
    other = sharepoint_company.hire("other", photo=face("other", 300), account=False)
    sharepoint_company.register("ada", other.entry, exchange=False)
    lab.farm.know(ada.upn)
    told = sharepoint_company.sync(days=1)
    assert told.of(other.upn) == ("skip", "name-not-allowed")
    assert shows(lab, ada, "ada")


def test_with_two_targets_sharepoint_has_those_without_exchange(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    ada, bob = hire(sharepoint_company, lab, "ada", exchange=True), hire(sharepoint_company, lab, "bob")
    told = sharepoint_company.sync()
    assert told.code == 0, told.err + told.out
    done = sorted((one["upn"], one["target"], one["action"]) for one in told.report["outcomes"])
    assert done == [
        (ada.upn, "graph", "create"),
        (bob.upn, "graph", "create"),
        (bob.upn, "sharepoint", "create"),
    ]
    assert (told.totals["people"], told.totals["created"], total(told.totals)) == (2, 2, 2)
    assert lab.farm.profile(ada.upn)["PictureURL"] == ""
    lab.asked.clear()
    again = sharepoint_company.sync(days=1)
    assert (again.totals["unchanged"], lab.asked) == (2, [])


def test_whose_plans_are_not_known_gets_no_photo_in_sharepoint(sharepoint_company: Company, lab: SharePointLab) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    sharepoint_company.cloud.set(delta_leaves_out=["assignedPlans"])
    bob = hire(sharepoint_company, lab, "bob", exchange=True)
    sharepoint_company.cloud.fail_next(
        f"ITEM GET .*{bob.account_id}$", Fault(status=400, code="Request_BadRequest"), times=-1
    )

    told = sharepoint_company.sync(days=1)

    done = [(one["target"], one["action"]) for one in told.report["outcomes"] if one["upn"] == bob.upn]
    assert (told.code, done) == (0, [("graph", "create")]), told.err
    assert lab.farm.profile(bob.upn)["PictureURL"] == ""


def test_a_success_in_one_target_does_not_end_the_retry_of_a_failure_in_the_other(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    bob = hire(sharepoint_company, lab, "bob")
    sharepoint_company.sync()
    lab.planned.append(LOCKED)
    failed = sharepoint_company.sync("--resend", days=1)
    done = sorted((one["target"], one["action"]) for one in failed.report["outcomes"])
    assert done == [("graph", "replace"), ("sharepoint", "fail")]

    lab.asked.clear()
    again = sharepoint_company.sync(days=1)

    assert (again.code, again.totals["unchanged"]) == (0, 1)
    assert [one.method for one in lab.asked] == ["GET"], f"{bob.upn} is looked at again, in SharePoint alone"
    lab.asked.clear()
    sharepoint_company.sync(days=1)
    assert lab.asked == []


def test_a_missing_folder_is_exit_five_in_plain_words(sharepoint_company: Company, lab: SharePointLab) -> None:
    hire(sharepoint_company, lab, "ada")
    lab.farm.folders.clear()
    told = sharepoint_company.sync()
    assert told.code == 5
    assert "SHAREPOINT_PHOTO_FOLDER" in told.err + told.out + str(told.report.get("message"))


def test_where_sharepoint_refuses_us_nothing_is_written_and_the_next_run_does_it_all(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    bob = hire(sharepoint_company, lab, "bob")
    for number in range(IN_A_ROW - 1):
        hire(sharepoint_company, lab, f"person{number}")
    lab.roles = frozenset()
    told = sharepoint_company.sync()
    assert told.code == 5
    assert "Sites.FullControl.All" in told.out + told.err
    assert sharepoint_company.photo(bob) is None
    lab.roles = ROLES
    assert sharepoint_company.sync(days=1).totals["created"] == IN_A_ROW
    assert sharepoint_company.photo(bob)
    assert shows(lab, bob, "bob")


@pytest.mark.parametrize("folder", ["User Photos/Profilbilder", "User Photos/Profielafbeeldingen", "用户照片/头像 #1"])
def test_the_folder_has_its_name_in_the_language_of_the_site(
    sharepoint_company: Company, lab: SharePointLab, folder: str
) -> None:
    lab.farm.folders = {f"/{folder}"}
    sharepoint_company.settings["SHAREPOINT_PHOTO_FOLDER"] = folder
    ada = hire(sharepoint_company, lab, "ada")

    first, quiet, full = (
        sharepoint_company.sync(),
        sharepoint_company.sync(days=1),
        sharepoint_company.sync("--full", days=1),
    )

    assert (first.code, first.of(ada.upn)) == (0, ("create", "first-upload")), first.err
    assert sorted(lab.farm.files) == sorted(f"/{folder}/ada_contoso_test_{size}Thumb.jpg".lower() for size in "SML")
    url = lab.farm.profile(ada.upn)["PictureURL"]
    assert unquote(url) == f"{lab.url('my-site')}/{folder}/ada_contoso_test_MThumb.jpg"
    assert (quiet.totals["unchanged"], full.of(ada.upn)) == (1, ("keep", "unchanged"))


def test_a_client_secret_is_refused_with_the_reason_before_anybody_is_asked(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    hire(sharepoint_company, lab, "ada")
    sharepoint_company.cloud.log.clear()
    sharepoint_company.settings.update(
        {"AZURE_CLIENT_CERTIFICATE_PATH": "", "AZURE_CLIENT_SECRET": sharepoint_company.cloud.client_secret}
    )

    told = sharepoint_company.sync()

    assert told.code == 2
    assert "AZURE_CLIENT_SECRET" in told.err
    assert "certificate" in told.err
    assert (list(sharepoint_company.cloud.requests), lab.asked) == ([], [])


def test_a_night_that_is_throttled_waits_as_told_and_ends_well(sharepoint_company: Company, lab: SharePointLab) -> None:
    people = [hire(sharepoint_company, lab, name) for name in ("ada", "bob", "cleo")]
    lab.planned.extend([Said(429, b"", {"Retry-After": "1"}), Said(503, b"", {"Retry-After": "1"})])

    told = sharepoint_company.sync()

    assert (told.code, told.totals["created"], told.requests["http_retries"]) == (0, 3, 2), told.err
    assert all(shows(lab, one, one.name) for one in people)
    refused = [one for one in lab.asked if one.status in (429, 503)]
    assert len(refused) == 2
    assert {one.user_agent.partition("/")[0] for one in lab.asked} == {"NONISV|photo-connector|photo-connector"}


def test_who_loses_exchange_is_given_thumbnails_and_who_gains_it_keeps_them_as_they_are(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    ada, bob = hire(sharepoint_company, lab, "ada", exchange=True), hire(sharepoint_company, lab, "bob")
    sharepoint_company.sync()
    bobs, seen = dict(lab.farm.files), dict(lab.farm.profile(bob.upn))

    sharepoint_company.cloud.tenant.update_account(ada.account_id, exchange=False)
    sharepoint_company.cloud.tenant.update_account(bob.account_id, exchange=True)
    sharepoint_company.paint(bob, face("bob, older", 300))
    told = sharepoint_company.sync(days=1)

    done = sorted((one["upn"], one["target"], one["action"]) for one in told.report["outcomes"])
    assert done == [(ada.upn, "sharepoint", "create"), (bob.upn, "graph", "replace")]
    assert shows(lab, ada, "ada")
    assert {path: lab.farm.files[path] for path in bobs} == bobs, "nobody removes what SharePoint no longer shows"
    assert lab.farm.profile(bob.upn) == seen
    sharepoint_company.cloud.tenant.update_account(bob.account_id, exchange=False)
    back = sharepoint_company.sync(days=1)
    assert back.of(bob.upn) == ("replace", "source-changed"), "and it is taken up where it was left"
    assert shows(lab, bob, "bob, older")


def test_guests_get_the_common_picture_in_graph_alone(
    sharepoint_company: Company, lab: SharePointLab, tmp_path: Path
) -> None:
    (tmp_path / "guest.jpg").write_bytes(face("a logo", 300))
    sharepoint_company.settings.update({"TARGETS": "graph,sharepoint", "GUEST_PHOTO": str(tmp_path / "guest.jpg")})
    upn = "eve_partner.example#EXT#@contoso.test"
    guest = sharepoint_company.cloud.tenant.add_account(
        upn, user_type="Guest", mail="eve@partner.example", exchange=False
    )
    lab.farm.know(upn)

    told = sharepoint_company.sync()

    assert [(one["upn"], one["target"]) for one in told.report["outcomes"]] == [(upn, "graph")]
    assert sharepoint_company.cloud.tenant.photo(guest) is not None
    assert lab.asked == []


def test_the_names_of_others_are_found_without_holding_everybodys(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    hire(sharepoint_company, lab, "ada")
    sharepoint_company.sync()
    with closing(open_ledger(sharepoint_company.runner.state)[0]) as db:
        columns = len(db.execute("SELECT * FROM accounts LIMIT 1").description)
        rows = (
            (f"id-{number}", f"person.{number // 2 if number < 4 else number}@contoso.test", *[""] * (columns - 2))
            for number in range(40_000)
        )
        with transaction(db):
            db.executemany(f"INSERT INTO accounts VALUES ({', '.join('?' * columns)})", rows)
        tracemalloc.start()
        shared = list(shared_names(db, file_key))
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert shared == ["person_0_contoso_test", "person_1_contoso_test"]
    assert peak_bytes < 100_000


@pytest.mark.parametrize(("policy", "listed"), [("cloud", 0), ("report", 1)])
def test_a_picture_of_somebodys_own_stays_where_the_cloud_wins(
    sharepoint_company: Company, lab: SharePointLab, policy: str, listed: int
) -> None:
    sharepoint_company.settings["SYNC_CONFLICT"] = policy
    ada = hire(sharepoint_company, lab, "ada")
    hang(lab, ada.upn, face("a holiday", 300))

    first, later = sharepoint_company.sync(), sharepoint_company.sync(days=1)

    assert (first.of(ada.upn), first.totals["conflicts"]) == (("keep", "cloud-differs"), 1)
    assert (later.code, later.totals["conflicts"]) == (0, listed)
    assert lab.writes() == 0


def test_the_brakes_count_what_sharepoint_would_lose(sharepoint_company: Company, lab: SharePointLab) -> None:
    sharepoint_company.settings["SYNC_MAX_OVERWRITES"] = "1"
    for name in ("ada", "bob"):
        hang(lab, hire(sharepoint_company, lab, name).upn, face(f"a holiday of {name}", 300))

    stopped, forced = sharepoint_company.sync(), sharepoint_company.sync("--force")

    assert stopped.code == 4
    assert "SYNC_MAX_OVERWRITES" in stopped.err
    assert (forced.code, forced.totals["replaced"]) == (0, 2)


def test_a_my_site_host_may_have_any_name_and_port(sharepoint_company: Company, lab: SharePointLab) -> None:
    sharepoint_company.settings["SHAREPOINT_MY_SITE_URL"] += "/"
    sharepoint_company.settings["SHAREPOINT_ADMIN_URL"] = sharepoint_company.settings["SHAREPOINT_ADMIN_URL"].replace(
        "https", "HTTPS"
    )
    ada = hire(sharepoint_company, lab, "ada")

    first, full = sharepoint_company.sync(), sharepoint_company.sync("--full", days=1)

    assert [first.of(ada.upn), full.of(ada.upn)] == [("create", "first-upload"), ("keep", "unchanged")], first.err
    assert "//User" not in lab.farm.profile(ada.upn)["PictureURL"].removeprefix("https://")


# -- one person's refusal


def test_a_save_conflict_that_passes_is_tried_again(sharepoint_company: Company, lab: SharePointLab) -> None:
    sharepoint_company.settings["SYNC_CONCURRENCY"] = "1"
    bob = hire(sharepoint_company, lab, "bob")
    conflict = Said.no(409, "-2130575305, Microsoft.SharePoint.SPException", "Save Conflict")
    lab.once["bob_contoso_test_SThumb.jpg"] = conflict

    told = sharepoint_company.sync()

    assert (told.code, told.totals["created"]) == (0, 1)
    assert shows(lab, bob, "bob")


@pytest.mark.parametrize("status", [401, 403, 404, 409])
def test_one_persons_refusal_is_that_persons_and_the_folder_is_asked_for_once(
    sharepoint_company: Company, lab: SharePointLab, status: int
) -> None:
    sharepoint_company.settings["SYNC_CONCURRENCY"] = "1"
    for name in ("ada", "bob", "cleo", "dan"):
        hire(sharepoint_company, lab, name)
    lab.trouble["bob_contoso_test_SThumb.jpg"] = Said.no(status, "-1, Microsoft.SharePoint.SPException", "No.")

    told = sharepoint_company.sync()

    assert (told.code, told.totals["created"], told.totals["failed"]) == (3, 3, 1)
    assert told.of("bob@contoso.test") == ("fail", "access-denied" if status in (401, 403) else "cloud-error")
    asked = [one for one in lab.asked if one.method == "GET" and "GetFolderByServerRelativePath" in one.path]
    assert len(asked) <= 1
