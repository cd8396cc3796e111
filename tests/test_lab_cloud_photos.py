"""The emulated Graph treats a photo as the facts say, and every doubt can be switched."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.lab.caller import PHOTO, VALUE, Caller, code_of, colour, pixels
from tests.lab.graph import Emulator
from tests.lab.graph.pictures import as_jpeg
from tests.lab.portraits import portrait

RED, BLUE = (200, 30, 30), (30, 30, 200)
TAG = re.compile(r'W/"[0-9a-f]{64}"')


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling.sign_in()


@pytest.fixture
def ann(cloud: Emulator) -> str:
    return cloud.tenant.add_account("ann@contoso.com", mail="ann.mail@contoso.com")


def test_a_photo_comes_back_as_the_same_picture_in_other_bytes(caller: Caller, ann: str) -> None:
    sent = colour(300, RED)
    assert caller.put(ann, sent).status_code == 200
    read = caller.get(VALUE.format(ann))
    assert read.content != sent
    (size, middle), wanted = pixels(read.content), RED
    assert size == (300, 300)
    assert all(abs(a - b) < 8 for a, b in zip(middle, wanted, strict=True))
    assert read.headers["Content-Type"] == "image/jpeg"
    assert read.headers["Cache-Control"] == "max-age=21600, private"
    assert TAG.fullmatch(read.headers["ETag"])


def test_even_the_services_own_output_comes_back_changed(caller: Caller, ann: str) -> None:
    sent = as_jpeg(portrait("fixpoint", (240, 240)), 85)
    for _ in range(4):
        caller.put(ann, sent)
        read = caller.get(VALUE.format(ann)).content
        assert read != sent
        sent = read


def test_metadata_has_the_live_shape(cloud: Emulator, caller: Caller, ann: str) -> None:
    caller.put(ann, colour(256))
    answer = caller.get(PHOTO.format(ann))
    assert set(answer.json()) == {
        *("@odata.context", "@odata.mediaContentType", "@odata.mediaEtag", "height", "id", "width"),
    }
    assert [answer.json()[name] for name in ("id", "width", "height")] == ["default", 256, 256]
    assert answer.headers["Content-Type"].startswith("application/json;odata.metadata=minimal;")
    assert answer.headers["OData-Version"] == "4.0"
    assert all(name in answer.headers for name in ("request-id", "client-request-id", "x-ms-ags-diagnostic", "Date"))
    cloud.set(photo_id="size")
    assert caller.get(PHOTO.format(ann)).json()["id"] == "256x256"
    cloud.set(photo_id="SIZE")
    assert caller.get(PHOTO.format(ann)).json()["id"] == "256X256"


def test_every_upload_has_a_new_tag_even_of_the_same_bytes(cloud: Emulator, caller: Caller, ann: str) -> None:
    tags = set()
    for _ in range(3):
        caller.put(ann, colour())
        tags.add(caller.tag(ann))
    assert len(tags) == 3
    assert caller.tag(ann) in tags
    assert cloud.tenant.touch_tag(ann) == caller.tag(ann) not in tags


def test_metadata_is_stripped(caller: Caller, ann: str) -> None:
    tagged = Image.new("RGB", (100, 60), RED)
    exif = tagged.getexif()
    exif[0x0112] = 6
    out = io.BytesIO()
    tagged.save(out, "JPEG", exif=exif, comment=b"secret words")
    caller.put(ann, out.getvalue())
    read = caller.get(VALUE.format(ann)).content
    assert b"Exif" not in read
    assert b"secret words" not in read


def test_a_png_becomes_a_jpeg_unless_the_service_is_old(cloud: Emulator, caller: Caller, ann: str) -> None:
    png = colour(form="PNG")
    assert caller.put(ann, png, **{"Content-Type": "image/png"}).status_code == 200
    assert caller.get(VALUE.format(ann)).content[:2] == b"\xff\xd8"
    cloud.set(accept_png=False)
    assert caller.put(ann, png).status_code == 400


@pytest.mark.parametrize("how", ["jpeg", "comment", "none"])
def test_reencoding_can_be_cheap_or_off(cloud: Emulator, caller: Caller, ann: str, how: str) -> None:
    cloud.set(reencode=how)
    sent = colour()
    caller.put(ann, sent)
    read = caller.get(VALUE.format(ann)).content
    assert (read == sent) is (how == "none")
    assert pixels(read)[0] == pixels(sent)[0]
    if how == "comment":
        assert pixels(read) == pixels(sent)


@pytest.mark.parametrize("repeatable", [True, False])
def test_equal_input_gives_equal_bytes_or_not(cloud: Emulator, caller: Caller, ann: str, *, repeatable: bool) -> None:
    cloud.set(reencode_repeatable=repeatable, jpeg_quality=80)
    sent = as_jpeg(portrait("again", (200, 200)), 92)
    read = set()
    for _ in range(8):
        caller.put(ann, sent)
        read.add(caller.get(VALUE.format(ann)).content)
    assert (len(read) == 1) is repeatable


def test_the_largest_edge_kept_can_be_the_old_one(cloud: Emulator, caller: Caller, ann: str) -> None:
    caller.put(ann, colour(1000))
    assert caller.get(PHOTO.format(ann)).json()["width"] == 1000
    cloud.set(largest_edge=648)
    caller.put(ann, colour(1000))
    assert caller.get(PHOTO.format(ann)).json()["width"] == 648


def test_pictures_too_small_too_big_or_none_at_all_are_refused(cloud: Emulator, caller: Caller, ann: str) -> None:
    small = caller.put(ann, colour(23))
    assert (small.status_code, code_of(small)) == (400, "ValidationWidthTooSmall")
    cloud.set(min_edge=20)
    assert caller.put(ann, colour(23)).status_code == 200
    big = caller.put(ann, colour() + bytes(4 * 1024 * 1024))
    assert (big.status_code, code_of(big)) == (413, "RequestEntityTooLarge")
    cloud.set(max_bytes=100, too_big_status=400, too_big_code="ErrorTooBig")
    assert code_of(caller.put(ann, colour())) == "ErrorTooBig"
    cloud.set(max_bytes=10**6, not_image_status=415, not_image_code="ErrorNotImage")
    broken = caller.put(ann, b"not a picture")
    assert (broken.status_code, code_of(broken)) == (415, "ErrorNotImage")
    assert len(cloud.tenant.writes()) == 1


def test_put_patch_and_delete_answer_with_any_status_seen(cloud: Emulator, caller: Caller, ann: str) -> None:
    for status in (200, 202, 204):
        cloud.set(put_status=status)
        answer = caller.put(ann, colour())
        assert (answer.status_code, answer.content) == (status, b"")
    cloud.set(put_status=200)
    assert caller.call("PATCH", VALUE.format(ann), data=colour()).status_code == 200
    assert caller.call("DELETE", VALUE.format(ann)).status_code == 204
    assert caller.call("DELETE", VALUE.format(ann)).status_code == 404
    caller.put(ann, colour())
    cloud.set(delete_status=200)
    assert caller.call("DELETE", PHOTO.format(ann)).status_code == 405
    assert caller.call("DELETE", VALUE.format(ann)).status_code == 200
    assert [write.sent_sha256 == "" for write in cloud.tenant.writes()] == [False] * 4 + [True, False, True]


def test_the_header_tag_may_differ_and_conditions_may_hold(cloud: Emulator, caller: Caller, ann: str) -> None:
    caller.put(ann, colour())
    assert caller.get(VALUE.format(ann)).headers["ETag"] == caller.tag(ann)
    cloud.set(header_tag_differs=True)
    header_tag = caller.get(VALUE.format(ann)).headers["ETag"]
    assert TAG.fullmatch(header_tag)
    assert header_tag != caller.tag(ann)
    known = {"If-None-Match": header_tag}
    assert caller.get(VALUE.format(ann), headers=known).status_code == 200
    cloud.set(if_none_match=True)
    assert caller.get(VALUE.format(ann), headers=known).status_code == 304
    assert caller.put(ann, colour(), **{"If-Match": 'W/"old"'}).status_code == 200
    cloud.set(if_match=True)
    assert caller.put(ann, colour(), **{"If-Match": 'W/"old"'}).status_code == 412
    assert caller.put(ann, colour(), **{"If-Match": caller.tag(ann)}).status_code == 200


def test_a_tag_may_move_without_an_edit(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.tenant.set_photo(ann, colour())
    assert len({caller.tag(ann) for _ in range(20)}) == 1
    cloud.set(stable_tags=False)
    assert len({caller.tag(ann) for _ in range(20)}) == 3
    assert cloud.tenant.writes() == []


def test_the_bytes_may_come_without_a_length_and_in_another_letter_case(
    cloud: Emulator, caller: Caller, ann: str
) -> None:
    caller.put(ann, colour())
    assert int(caller.get(VALUE.format(ann)).headers["Content-Length"]) > 0
    cloud.set(photo_content_length=False, photo_content_type="image/Jpeg", photo_size_told=False)
    answer = caller.get(VALUE.format(ann))
    assert "Content-Length" not in answer.headers
    assert answer.headers["Content-Type"] == "image/Jpeg"
    assert pixels(answer.content)[0] == (200, 200)
    assert not {"width", "height"} & caller.get(PHOTO.format(ann)).json().keys()


@pytest.mark.parametrize(("shows", "seen"), [("old", "old"), ("old-tag", "old"), ("missing", "")])
def test_reads_after_a_write_may_show_the_past_for_some_reads(
    cloud: Emulator, caller: Caller, ann: str, shows: str, seen: str
) -> None:
    cloud.tenant.set_photo(ann, colour(100, RED))
    old = caller.tag(ann)
    cloud.set(read_lag_reads=2, read_lag_shows=shows)
    caller.put(ann, colour(150, BLUE))
    first, second = caller.get(PHOTO.format(ann)), caller.get(VALUE.format(ann))
    assert first.json().get("@odata.mediaEtag", "") == (old if seen else "")
    assert second.status_code == (200 if seen else 404)
    if seen:
        assert pixels(second.content)[0][0] == (100 if shows == "old" else 150)
    assert caller.tag(ann) != old
    assert pixels(caller.get(VALUE.format(ann)).content)[0] == (150, 150)


def test_reads_after_a_write_may_show_the_past_for_some_time(cloud: Emulator, caller: Caller, ann: str) -> None:
    cloud.set(read_lag_seconds=600)
    caller.put(ann, colour())
    assert caller.get(PHOTO.format(ann)).status_code == 404
    cloud.set(read_lag_seconds=0.02)
    caller.put(ann, colour())
    time.sleep(0.05)
    assert caller.get(PHOTO.format(ann)).status_code == 200


def test_the_sizes_served_are_those_not_above_the_upload(cloud: Emulator, caller: Caller, ann: str) -> None:
    caller.put(ann, colour(250))
    sizes = caller.get(f"/users/{ann}/photos").json()["value"]
    assert [entry["id"] for entry in sizes] == ["48x48", "64x64", "96x96", "120x120", "240x240"]
    cloud.set(sizes_descending=True)
    assert caller.get(f"/users/{ann}/photos").json()["value"][0]["width"] == 240
    assert caller.get(f"/users/{ann}/photos/96x96").json()["height"] == 96
    assert pixels(caller.get(f"/users/{ann}/photos/96x96/$value").content)[0] == (96, 96)
    assert caller.get(f"/users/{ann}/photos/360x360").status_code == 404
    assert caller.get(f"/beta/users/{ann}/photos/360x360").json()["id"] == "1x1"


def test_the_tenants_policy_is_read_and_may_stop_uploads(cloud: Emulator, caller: Caller, ann: str) -> None:
    path = "/beta/admin/people/photoUpdateSettings"
    assert code_of(caller.get(path)) == "Authorization_RequestDenied"
    cloud.issuer.set_roles("User.Read.All", "ProfilePhoto.ReadWrite.All", "PeopleSettings.ReadWrite.All")
    caller.sign_in()
    assert caller.get(path).json()["source"] == "cloud"
    assert caller.get("/admin/people/photoUpdateSettings").status_code == 400
    cloud.set(policy_source="onpremises", policy_allowed_roles=("62e90394-69f5-4237-9190-012177145e10",))
    cloud.set(policy_status=412, policy_code="ErrorPolicy", policy_message="Not from here.")
    assert len(caller.get(path.lower()).json()["allowedRoles"]) == 1
    refused = caller.put(ann, colour())
    assert (refused.status_code, code_of(refused)) == (412, "ErrorPolicy")
    cloud.set(policy_blocks=False)
    assert caller.put(ann, colour()).status_code == 200
    cloud.set(policy_roles_block=True)
    assert caller.put(ann, colour()).status_code == 412
    cloud.set(policy_roles_block=False)
    assert caller.call("PATCH", path, json={"source": "cloud"}).json()["source"] == "cloud"
    assert caller.call("DELETE", path).status_code == 204
    assert caller.get(path).json()["source"] is None


def test_an_unknown_segment_is_named(caller: Caller, ann: str) -> None:
    answer = caller.get(f"/users/{ann}/picture")
    assert (answer.status_code, code_of(answer)) == (400, "BadRequest")
