"""The Graph target against the emulated cloud: where pictures go, and what its refusals mean."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from connector.cloud import Cloud, open_cloud
from connector.cloud.refusal_limit import IN_A_ROW
from connector.errors import PersonError, Unreachable
from connector.model import Account, CloudObservation, CloudPhoto, Reason, RequestCounters
from connector.targets.dry_run import DryRun
from connector.targets.graph import GraphTarget
from tests.cloud_stories import (
    Scripted,
    as_json,
    noisy_picture,
    picture,
    settings_for,
)
from tests.contracts.target import DryRunContract, TargetBench, TargetContract, looks
from tests.lab.graph import Emulator, Fault

pytestmark = pytest.mark.usefixtures("no_proxy_settings")


@pytest.fixture
def opened(cloud: Emulator) -> Iterator[Cloud]:
    with open_cloud(settings_for(cloud), RequestCounters()) as held:
        yield held


@pytest.fixture
def target(opened: Cloud) -> GraphTarget:
    return GraphTarget(opened.transport, shrink=smaller)


@pytest.fixture
def graph_bench(cloud: Emulator, target: GraphTarget) -> TargetBench:
    def photo(account: Account) -> bytes | None:
        held = cloud.tenant.photo(account.id)
        return held.content_bytes if held else None

    def hang(account: Account, content_bytes: bytes) -> None:
        cloud.tenant.set_photo(account.id, content_bytes)

    return TargetBench(
        target=target,
        people=lambda number: [person(cloud, f"p{index}@lab") for index in range(number)],
        hang=hang,
        take=lambda account: cloud.tenant.clear_photo(account.id),
        seen=photo,
        vanish=lambda account: cloud.tenant.remove_account(account.id),
        writes=lambda: sum(record.method in ("PUT", "PATCH", "DELETE") for record in cloud.log.records()),
    )


class TestGraph(TargetContract):
    @pytest.fixture
    def bench(self, graph_bench: TargetBench) -> TargetBench:
        return graph_bench


class TestDryRunOfGraph(DryRunContract):
    @pytest.fixture
    def bench(self, graph_bench: TargetBench) -> TargetBench:
        return TargetBench(
            target=DryRun(graph_bench.target),
            people=graph_bench.people,
            hang=graph_bench.hang,
            take=graph_bench.take,
            seen=graph_bench.seen,
            vanish=graph_bench.vanish,
            writes=graph_bench.writes,
        )


def person(cloud: Emulator, upn: str = "ada@lab", **given: Any) -> Account:
    account_id = cloud.tenant.add_account(upn, **given)
    return Account(id=account_id, upn=upn, is_guest=given.get("user_type") == "Guest")


def smaller(content_bytes: bytes, most: int) -> bytes:
    """Encode anew until it fits, as the photo room does."""
    with Image.open(io.BytesIO(content_bytes)) as image:
        for quality in range(90, 4, -5):
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if len(out.getvalue()) <= most:
                return out.getvalue()
    raise AssertionError("cannot be made small enough")


def error_of(call: object) -> PersonError:
    assert callable(call)
    with pytest.raises(PersonError) as caught:
        call()
    return caught.value


# -- no photo, in all its forms

MISSING = ["ImageNotFound", "ErrorEntityNotFound", "ErrorItemNotFound", "GetUserPhoto", "RequestBrokerOld-ParseUri"]


@pytest.mark.parametrize("form", [*MISSING, "nested", "1x1"])
def test_no_photo_is_understood_in_every_form(cloud: Emulator, target: GraphTarget, form: str) -> None:
    cloud.set(missing_photo=form)
    ada = person(cloud)
    assert target.tags([ada]) == {ada.id: None}
    assert target.photos([ada]) == {ada.id: None}
    target.remove(ada)


def test_a_small_photo_is_not_taken_for_none(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.set(photo_content_type="image/Jpeg", photo_id="SIZE")
    cloud.tenant.set_photo(ada.id, picture(edge=48))
    found = target.tags([ada])[ada.id]
    assert isinstance(found, CloudObservation)
    assert (found.width, found.height) == (48, 48)


def test_a_gif_whose_size_is_not_told_is_somebodys_photo(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.tenant.set_photo(ada.id, picture(edge=48))
    cloud.set(photo_content_type="image/gif", photo_size_told=False)
    found = target.tags([ada])[ada.id]
    assert isinstance(found, CloudObservation)
    assert found.present


def test_bytes_that_are_missing_are_no_photo_only_where_the_metadata_say_so_too(
    cloud: Emulator, target: GraphTarget
) -> None:
    ada, bob = person(cloud), person(cloud, "bob@lab")
    cloud.tenant.set_photo(ada.id, picture(edge=48))
    cloud.fail_next(rf"ITEM GET .*{ada.id}/photo/\$value", Fault(status=404, code="ImageNotFound"))
    looked = target.photos([ada, bob])
    assert looked[bob.id] is None
    error = looked[ada.id]
    assert isinstance(error, PersonError)
    assert (error.reason, error.skip) == (Reason.UNREADABLE_ANSWER, False)


def test_an_unknown_404_is_never_taken_for_no_photo(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.fail_next("ITEM GET", Fault(status=404, code="SomethingNew", message="Not here."), times=2)
    for answers in (target.tags([ada]), target.photos([ada])):
        error = answers[ada.id]
        assert isinstance(error, PersonError)
        assert error.reason is Reason.CLOUD_ERROR
        assert "SomethingNew" in error.message
        assert "request-id" in error.message


def test_a_new_code_with_the_old_exception_is_still_no_photo(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    text = "Exception of type 'Microsoft.Fast.Profile.Core.Exception.ImageNotFoundException' was thrown."
    cloud.fail_next("ITEM GET", Fault(status=404, code="BrandNewCode", message=text))
    assert target.tags([ada]) == {ada.id: None}


def test_bytes_carry_no_tag_since_the_header_may_be_another(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.set(header_tag_differs=True)
    cloud.tenant.set_photo(ada.id, picture())
    found = target.photos([ada])[ada.id]
    assert isinstance(found, CloudPhoto)
    assert found.tag == ""


# -- one person's trouble


@pytest.mark.parametrize(
    ("trouble", "reason", "skip", "reads"),
    [
        ("no-mailbox", Reason.NO_MAILBOX, True, True),
        ("mailbox-on-premises", Reason.MAILBOX_ON_PREMISES, True, True),
        ("personal", Reason.PERSONAL_ACCOUNT, True, True),
        ("preview-items", Reason.CLOUD_ERROR, False, True),
        ("bookings", Reason.CLOUD_ERROR, False, True),
        ("not-yet-there", Reason.ACCOUNT_GONE, False, True),
        ("extension-error", Reason.CLOUD_ERROR, True, False),
        ("just-created", Reason.ACCOUNT_PENDING, False, False),
        ("access-denied", Reason.ACCESS_DENIED, False, False),
    ],
)
def test_a_trouble_of_one_person_has_its_reason(
    cloud: Emulator, target: GraphTarget, trouble: str, reason: Reason, skip: bool, reads: bool
) -> None:
    ada, bob = person(cloud, trouble=trouble), person(cloud, "bob@lab")
    found = target.tags([ada, bob])
    assert found[bob.id] is None
    error = error_of(lambda: target.put(ada, picture()))
    for one in (error, found[ada.id]) if reads else (error,):
        assert isinstance(one, PersonError)
        assert (one.reason, one.skip) == (reason, skip)
        assert "ada@lab" in one.message
        assert "request-id" in one.message
    assert reads or found[ada.id] is None


@pytest.mark.parametrize("code", ["ErrorNonExistentMailbox", "MailboxNotEnabledForRESTAPI", "AuthenticationError"])
def test_no_mailbox_is_understood_in_every_code(cloud: Emulator, target: GraphTarget, code: str) -> None:
    cloud.set(no_mailbox_code=code)
    ada = person(cloud, trouble="no-mailbox")
    assert error_of(lambda: target.put(ada, picture())).reason is Reason.NO_MAILBOX
    assert error_of(lambda: target.remove(ada)).reason is Reason.NO_MAILBOX


@pytest.mark.parametrize("trouble", ["guest-not-allowed", "no-permissions-in-token"])
def test_a_guest_is_told_from_a_missing_right(cloud: Emulator, target: GraphTarget, trouble: str) -> None:
    guest = person(cloud, "eve_x#EXT#@lab", trouble=trouble, user_type="Guest")
    member = person(cloud, trouble=trouble)
    refused = error_of(lambda: target.put(guest, picture()))
    assert (refused.reason, refused.skip) == (Reason.GUEST_NOT_ALLOWED, True)
    assert error_of(lambda: target.put(member, picture())).reason in (Reason.ACCESS_DENIED, Reason.CLOUD_ERROR)


@pytest.mark.parametrize("form", ["nested", "Request_ResourceNotFound"])
def test_an_account_that_is_gone_is_told_from_no_photo(cloud: Emulator, target: GraphTarget, form: str) -> None:
    cloud.set(missing_user=form)
    nobody = Account(id="00000000-0000-0000-0000-000000000001", upn="gone@lab")
    for answers in (target.tags([nobody]), target.photos([nobody])):
        error = answers[nobody.id]
        assert isinstance(error, PersonError)
        assert error.reason is Reason.ACCOUNT_GONE
    assert error_of(lambda: target.put(nobody, picture())).reason is Reason.ACCOUNT_GONE
    assert error_of(lambda: target.remove(nobody)).reason is Reason.ACCOUNT_GONE


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=400, code="ValidationWidthTooSmall"),
        Fault(status=413, code="RequestEntityTooLarge"),
        Fault(status=413),
    ],
)
def test_a_picture_that_graph_refuses_is_the_pictures_fault(cloud: Emulator, target: GraphTarget, fault: Fault) -> None:
    cloud.fail_next("PUT ", fault)
    error = error_of(lambda: target.put(person(cloud), picture()))
    assert (error.reason, error.skip) == (Reason.PICTURE_REFUSED, True)


@pytest.mark.parametrize("status", [409, 412])
def test_a_clash_is_left_for_the_next_night(cloud: Emulator, target: GraphTarget, status: int) -> None:
    cloud.fail_next("PUT ", Fault(status=status, code="Conflict"))
    error = error_of(lambda: target.put(person(cloud), picture()))
    assert (error.reason, error.skip) == (Reason.CLOUD_ERROR, False)
    assert cloud.counts()["PUT"] == 1


@pytest.mark.parametrize("kind", ["truncated", "wrong-content", "empty"])
def test_an_answer_without_sense_is_one_persons_failure(cloud: Emulator, target: GraphTarget, kind: str) -> None:
    ada = person(cloud)
    cloud.tenant.set_photo(ada.id, picture())
    cloud.fail_next("POST .*batch", Fault(kind=kind), times=1)
    found = target.photos([ada])[ada.id]
    assert isinstance(found, CloudPhoto), "a batch of reads is asked again until it makes sense"


@pytest.mark.parametrize(
    "body", [{"width": 240, "height": 240}, {"@odata.mediaEtag": ""}, {"@odata.mediaEtag": 7}, [], "x"]
)
def test_a_photo_without_a_tag_is_one_persons_failure(cloud: Emulator, tmp_path: Path, body: object) -> None:
    items = [{"id": "0", "status": 200, "body": body}]
    with (
        Scripted(lambda *_: as_json({"responses": items})) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
    ):
        error = GraphTarget(opened.transport).tags([Account(id="1")])["1"]
    assert isinstance(error, PersonError)
    assert error.reason is Reason.UNREADABLE_ANSWER


def test_bytes_that_are_none_are_one_persons_failure(cloud: Emulator, tmp_path: Path) -> None:
    items = [{"id": "0", "status": 200, "body": "not base64 at all!"}]
    with (
        Scripted(lambda *_: as_json({"responses": items})) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
    ):
        error = GraphTarget(opened.transport).photos([Account(id="1")])["1"]
    assert isinstance(error, PersonError)
    assert error.reason is Reason.UNREADABLE_ANSWER


def test_an_item_whose_token_is_refused_is_asked_again_with_a_new_one(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.fail_next("ITEM GET", Fault(status=401, code="InvalidAuthenticationToken"))
    assert target.tags([ada])[ada.id] is None, "the answer to the second question"
    assert cloud.counts()["batch"] == 2


def test_an_item_whose_token_is_refused_for_good_is_one_persons_failure(cloud: Emulator, target: GraphTarget) -> None:
    ada, bob = person(cloud), person(cloud, "bob@lab")
    cloud.fail_next(f"ITEM GET .*{ada.id}", Fault(status=401, code="UnknownError"), times=-1)
    seen = target.tags([ada, bob])
    error = seen[ada.id]
    assert isinstance(error, PersonError)
    assert (error.reason, error.skip, seen[bob.id]) == (Reason.ACCESS_DENIED, False, None)
    assert cloud.counts()["batch"] == 2, "a token is renewed once for a batch"


def test_text_that_only_looks_nested_is_shown_as_it_is(cloud: Emulator, target: GraphTarget) -> None:
    cloud.fail_next("PUT ", Fault(status=400, code="UnknownError", message="{not json\n\tat all}"))
    assert "UnknownError: {not json at all}" in error_of(lambda: target.put(person(cloud), picture())).message


# -- people without a mailbox, above 100 KB


def test_a_big_picture_is_sent_once_more_in_a_smaller_size(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud, trouble="small-only")
    big = noisy_picture(648)
    target.put(ada, big)
    held = cloud.tenant.photo(ada.id)
    assert held is not None
    assert looks(held.content_bytes) == looks(big)
    sent = [int(record.headers["content-length"]) for record in cloud.log.records() if record.method == "PUT"]
    assert sent[0] == len(big) > 100_000 >= sent[1]
    assert len(sent) == 2


def test_a_small_picture_is_not_sent_twice(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud, trouble="no-mailbox")
    error_of(lambda: target.put(ada, picture()))
    assert cloud.counts()["PUT"] == 1


def test_without_a_way_to_shrink_the_refusal_stands(cloud: Emulator, opened: Cloud) -> None:
    ada = person(cloud, trouble="small-only")
    error = error_of(lambda: GraphTarget(opened.transport).put(ada, noisy_picture(648)))
    assert error.reason is Reason.NO_MAILBOX


# -- what concerns everybody


def test_a_policy_that_forbids_writes_is_named_after_ten_refusals(cloud: Emulator, target: GraphTarget) -> None:
    cloud.set(policy_source="onPremises")
    people = [person(cloud, f"p{number}@lab") for number in range(60)]

    def put(account: Account) -> Exception | None:
        try:
            target.put(account, picture())
        except (PersonError, Unreachable) as error:
            return error
        return None

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(put, people))
    stop = next(end for end in ends if isinstance(end, Unreachable))
    assert sum(isinstance(end, PersonError) for end in ends) == IN_A_ROW - 1
    assert sum(isinstance(end, Unreachable) for end in ends) == len(people) - IN_A_ROW + 1
    assert "photoUpdateSettings" in stop.fix
    assert "ErrorAccessDenied" in stop.message
    assert "request-id" in stop.message


def test_refusals_that_are_not_in_a_row_do_not_end_the_run(cloud: Emulator, target: GraphTarget) -> None:
    ada, denied = person(cloud), person(cloud, "eve@lab", trouble="access-denied")
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            assert error_of(lambda: target.put(denied, picture())).reason is Reason.ACCESS_DENIED
        target.put(ada, picture())


def test_a_missing_role_to_read_ends_the_run(cloud: Emulator, target: GraphTarget) -> None:
    cloud.issuer.set_roles("Directory.Read.All")
    people = [person(cloud, f"p{number}@lab") for number in range(12)]
    with pytest.raises(Unreachable, match="may not be read") as caught:
        target.tags(people)
    assert "ProfilePhoto.ReadWrite.All" in caught.value.fix


def test_a_missing_directory_right_ends_the_run_at_the_tenth_person(cloud: Emulator, target: GraphTarget) -> None:
    denied = Fault(status=403, code="Authorization_RequestDenied", message="Insufficient privileges.")
    cloud.fail_next("PUT ", denied, times=-1)
    ada = person(cloud)
    for _ in range(IN_A_ROW - 1):
        assert error_of(lambda: target.put(ada, picture())).reason is Reason.ACCESS_DENIED
    with pytest.raises(Unreachable, match="lacks a permission"):
        target.put(ada, picture())


def test_a_b2c_tenant_ends_the_run(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud, trouble="b2c")
    with pytest.raises(Unreachable, match="B2C"):
        target.tags([ada])


# -- writes


@pytest.mark.parametrize("status", [200, 202, 204])
def test_each_kind_of_yes_is_a_yes(cloud: Emulator, target: GraphTarget, status: int) -> None:
    cloud.set(put_status=status, delete_status=status)
    ada = person(cloud)
    target.put(ada, picture())
    assert cloud.tenant.photo(ada.id) is not None
    target.remove(ada)
    assert cloud.tenant.photo(ada.id) is None


def test_a_write_whose_answer_was_lost_is_sent_again(cloud: Emulator, target: GraphTarget) -> None:
    ada = person(cloud)
    cloud.fail_next("PUT ", Fault(kind="drop", performed=True))
    target.put(ada, picture(5))
    assert [write.sent_sha256 for write in cloud.tenant.writes()] == [cloud.tenant.writes()[0].sent_sha256] * 2
    cloud.fail_next("DELETE ", Fault(kind="drop", performed=True))
    target.remove(ada)
    assert cloud.tenant.photo(ada.id) is None


def test_a_picture_is_sent_as_a_jpeg_byte_for_byte(cloud: Emulator, target: GraphTarget) -> None:
    cloud.set(reencode="none")
    ada = person(cloud)
    content_bytes = picture(9)
    target.put(ada, content_bytes)
    held = cloud.tenant.photo(ada.id)
    assert held is not None
    assert held.content_bytes == content_bytes
    put = next(record for record in cloud.log.records() if record.method == "PUT")
    assert put.headers["content-type"] == "image/jpeg"
    assert int(put.headers["content-length"]) == len(content_bytes)


def test_never_two_writes_in_flight_for_one_person_in_a_storm(cloud: Emulator, target: GraphTarget) -> None:
    people = [person(cloud, f"p{number}@lab") for number in range(30)]
    cloud.set(
        storm_percent=20,
        storm_statuses=[429, 503, 504],
        retry_after_forms=["decimal", "absent"],
        retry_after_seconds=0.2,
        latency=0.01,
    )
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda account: target.put(account, picture()), people))
    assert cloud.violations() == []
    assert len(cloud.tenant.photos()) == 30


def test_a_look_at_twenty_is_one_request(cloud: Emulator, target: GraphTarget) -> None:
    people = [person(cloud, f"p{number}@lab") for number in range(20)]
    target.tags(people)
    assert cloud.counts()["graph"] == 1 == cloud.counts()["batch"]
    assert {record.method for record in cloud.log.records() if record.kind == "graph"} == {"POST"}
    assert {item.method for record in cloud.log.records() for item in record.items} == {"GET"}
