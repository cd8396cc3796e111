"""The cloud's photo is recognized by its tag, by its bytes and as a picture, and never by chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.decide.compare import (
    CloudView,
    MatchLevel,
    ViewKind,
    shows_one_of,
    view,
)
from connector.decide.intents import IntentState, judge, memory_of_write, needs_bytes, settle
from connector.model import CloudObservation, Fingerprint, Picture, Presence, Reason
from tests.test_decide_table import NOW, UPLOAD, cleared, looks, ours, picture, portrait, seen, theirs

FLAT = bytes([100]) * 576


def flat(*, width: int = 648, height: int = 648, last: int = 100) -> Fingerprint:
    return Fingerprint(FLAT[:-1] + bytes([last]), width, height)


# ----------------------------------------------------------------------------------------- the rule of one picture


@pytest.mark.parametrize("last, is_same", [(100, True), (114, True), (86, True), (115, False), (85, False)])
def test_one_cell_that_differs_by_more_than_14_is_another_picture(last: int, is_same: bool) -> None:
    assert flat().shows_same(flat(last=last)) is is_same
    assert flat(last=last).shows_same(flat()) is is_same


@pytest.mark.parametrize("width, is_same", [(1000, True), (1019, True), (981, True), (1020, False), (980, False)])
def test_an_aspect_that_differs_by_two_percent_is_another_picture(width: int, is_same: bool) -> None:
    square = flat(width=1000, height=1000)
    assert square.shows_same(flat(width=width, height=1000)) is is_same
    assert flat(width=width, height=1000).shows_same(square) is is_same


def test_size_alone_makes_no_other_picture() -> None:
    assert flat(width=48, height=64).shows_same(flat(width=1200, height=1600))


def test_cells_that_cannot_be_compared_are_never_the_same() -> None:
    assert flat().distance(Fingerprint(b"", 648, 648)) == 255
    assert not Fingerprint(b"", 648, 648).shows_same(Fingerprint(b"", 648, 648))


# ------------------------------------------------------------------------------------------------------- the view


def test_nobody_asked_says_nothing() -> None:
    assert view(CloudObservation.not_asked(), source=picture("ann, old"), memory=ours()) == CloudView(
        ViewKind.NOT_ASKED
    )


def test_a_new_tag_alone_is_no_edit() -> None:
    unread = CloudObservation("new", 648, 648)
    assert view(unread, source=picture("ann, old"), memory=ours()).kind is ViewKind.NOT_ASKED


def test_bytes_that_are_no_picture_are_another() -> None:
    broken = CloudObservation("new").with_bytes("sha of noise", None)
    for memory in (None, ours(), theirs("cloud")):
        assert view(broken, source=picture("ann, old"), memory=memory) == CloudView(ViewKind.ANOTHER)


def test_the_bytes_we_read_back_are_ours_even_when_they_are_no_picture() -> None:
    look = CloudObservation("new").with_bytes("read of ann, old", None)
    assert view(look, source=None, memory=ours()) == CloudView(ViewKind.OURS, MatchLevel.BYTES)


def test_the_bytes_we_sent_prove_nothing_about_the_bytes_we_read() -> None:
    look = seen("new", portrait("somebody else"), "sent of ann, old")
    assert view(look, source=None, memory=ours()).kind is ViewKind.ANOTHER


def test_an_old_picture_of_ours_is_recognised_by_what_was_sent_when_nothing_was_read_back() -> None:
    memory = ours(read_sha256="", read_print=None)
    assert view(looks("ann, new")["our photo, same picture"], source=None, memory=memory) == CloudView(
        ViewKind.OURS, MatchLevel.PICTURE
    )


def test_two_memories_without_a_tag_are_not_the_same_tag() -> None:
    look = seen("", portrait("somebody else"))
    assert view(look, source=None, memory=ours(tag="")).kind is ViewKind.ANOTHER


def test_their_photo_that_becomes_the_sources_is_seen_without_new_bytes() -> None:
    same_tag = looks("")["their photo, same tag"]
    assert view(same_tag, source=picture("on the beach"), memory=theirs("cloud")).kind is ViewKind.SOURCE_PHOTO


@pytest.mark.parametrize("edge, is_small", [(486, False), (485, True)])
def test_under_three_quarters_of_what_we_would_send_is_small(edge: int, is_small: bool) -> None:
    look = seen("new", portrait("ann, old", width=edge, height=edge))
    assert view(look, source=picture("ann, old"), memory=None).smaller is is_small


@pytest.mark.parametrize("edge, is_small", [(360, False), (359, True)])
def test_small_is_measured_by_what_was_read_back_where_the_service_shrank_it(edge: int, is_small: bool) -> None:
    memory = ours(read_print=portrait("ann, old", width=480, height=480, wear=4))
    look = seen("new", portrait("ann, old", width=edge, height=edge, wear=5))
    assert view(look, source=picture("ann, old"), memory=memory).smaller is is_small


def test_the_source_is_recognised_cropped_whole_and_cropped_at_the_centre() -> None:
    source = Picture("sha", portrait("ann"), portrait("ann, whole", height=864), portrait("ann, centre"))
    assert source.matches(portrait("ann", wear=5))
    assert source.matches(portrait("ann, whole", width=300, height=400, wear=5))
    assert source.matches(portrait("ann, centre", width=96, height=96, wear=5))
    assert not source.matches(portrait("bob"))


def test_a_centre_that_is_not_known_recognises_nothing() -> None:
    assert not picture("ann").matches(portrait("ann, centre"))


def test_another_attribute_is_recognised_only_as_a_picture() -> None:
    thumbnail = portrait("ann's thumbnail", width=96, height=96)
    assert shows_one_of(looks("")["another, held by another attribute"], [portrait("ann"), thumbnail])
    assert not shows_one_of(looks("")["another"], [portrait("ann"), thumbnail])
    assert not shows_one_of(CloudObservation("new"), [thumbnail])


def test_a_tag_beside_the_bytes_stands_in_only_where_none_was_seen() -> None:
    assert CloudObservation("seen").with_bytes("sha", None, tag="header").tag == "seen"
    assert CloudObservation("", 96, 64).with_bytes("sha", None, tag="header") == CloudObservation(
        "header", 96, 64, "sha", None, asked=True, present=True
    )


# ---------------------------------------------------------------------------------------------- when to fetch bytes


def test_bytes_are_fetched_only_where_the_tag_leaves_a_question() -> None:
    assert not needs_bytes(None, memory=None)
    assert not needs_bytes(None, memory=ours())
    assert not needs_bytes(CloudObservation("tag of ours"), memory=ours())
    assert not needs_bytes(CloudObservation("tag of theirs"), memory=theirs("cloud"))
    assert needs_bytes(CloudObservation("new"), memory=None)
    assert needs_bytes(CloudObservation("new"), memory=ours())
    assert needs_bytes(CloudObservation("new"), memory=cleared("cloud"))
    assert needs_bytes(CloudObservation(""), memory=ours(tag=""))


def test_a_write_that_merely_waits_costs_no_bytes() -> None:
    waiting = replace(UPLOAD, accepted_at=NOW)
    assert not needs_bytes(CloudObservation("tag before"), memory=None, intent=waiting, now=NOW)
    assert needs_bytes(CloudObservation("tag before"), memory=None, intent=UPLOAD, now=NOW)
    assert needs_bytes(CloudObservation("new"), memory=ours(), intent=waiting, now=NOW)


# --------------------------------------------------------------------------------------- what a write leaves behind


def test_an_upload_seen_a_night_later_is_ours_and_unchanged() -> None:
    look = looks("ann, new")["the source's picture"]
    settled, memory = judge(UPLOAD, look, memory=ours(), now=NOW)
    assert settled is IntentState.OURS
    assert view(look, source=picture("ann, new"), memory=memory) == CloudView(ViewKind.OURS, MatchLevel.TAG)
    assert memory is not None
    assert (memory.presence, memory.source_sha256, memory.tag) == (Presence.OURS, "sha of ann, new", "new")


def test_an_upload_that_is_found_small_a_night_later_is_still_open_to_better_quality() -> None:
    look = looks("ann, new")["the source's picture, small"]
    settled, memory = judge(UPLOAD, look, memory=None, now=NOW)
    assert settled is IntentState.OURS
    shown = view(look, source=picture("ann, new"), memory=memory)
    assert shown == CloudView(ViewKind.OURS, MatchLevel.PICTURE, smaller=True)


def test_a_dropped_write_leaves_the_old_memory_to_decide() -> None:
    old, look = ours(), looks("ann, new")["another"]
    settled, memory = judge(UPLOAD, look, memory=old, now=NOW)
    assert settled is IntentState.DROPPED
    assert memory is old
    assert view(look, source=picture("ann, new"), memory=memory).kind is ViewKind.ANOTHER


def test_a_service_that_does_not_encode_again_is_believed_by_its_bytes() -> None:
    look = CloudObservation("new").with_bytes(UPLOAD.sent_sha256, None)
    assert settle(UPLOAD, look, NOW) is IntentState.OURS


def test_a_photo_without_a_tag_is_not_taken_for_the_none_before() -> None:
    intent = replace(UPLOAD, tag_before="", accepted_at=NOW)
    assert settle(intent, seen("", portrait("somebody else")), NOW) is IntentState.DROPPED
    assert settle(intent, seen("", portrait("ann, new")), NOW) is IntentState.OURS


def test_a_clock_that_was_set_back_by_a_year_does_not_make_the_night_wait_a_year() -> None:
    ahead = replace(UPLOAD, accepted_at=NOW.replace(year=2027))
    assert settle(ahead, looks("")["none"], NOW) is IntentState.DROPPED


def test_better_quality_is_remembered_with_its_day_and_the_next_write_keeps_it() -> None:
    look = looks("ann, new")["the source's picture"]
    improved = memory_of_write(replace(UPLOAD, reason=Reason.BETTER_QUALITY), look=look, memory=None)
    assert improved is not None
    assert improved.improved_at == UPLOAD.started_at
    later = memory_of_write(UPLOAD, look=look, memory=improved)
    assert later is not None
    assert later.improved_at == UPLOAD.started_at


def test_an_intent_stays_open_only_where_the_cloud_may_yet_show_it() -> None:
    assert {settled for settled in IntentState if settled.stays_open} == {IntentState.WAIT, IntentState.UNCONFIRMED}


def test_what_restore_put_back_is_the_persons_own() -> None:
    memory = memory_of_write(replace(UPLOAD, restores=True), look=seen("new", portrait("ann, new")), memory=ours())
    assert memory is not None
    assert (memory.presence, memory.restored) == (Presence.THEIRS, True)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"reason": Reason.SOURCE_REMOVED, "source_sha256": ""}, None),
        ({"reason": Reason.CLEARED_BY_ADMIN, "source_sha256": ""}, None),
        ({"reason": Reason.CLEARED_BY_ADMIN}, (Presence.CLEARED, False)),
        ({"restores": True}, (Presence.CLEARED, True)),
    ],
    ids=["source removed", "cleared, no source photo", "cleared by an administrator", "a creation undone"],
)
def test_a_removal_is_forgotten_unless_it_must_stay_away(
    changes: dict[str, str], expected: tuple[Presence, bool] | None
) -> None:
    intent = replace(UPLOAD, sent_sha256="", sent_print=None, **changes)  # type: ignore[arg-type]
    memory = memory_of_write(intent, look=CloudObservation.at(None), memory=ours())
    assert (memory and (memory.presence, memory.restored)) == expected
