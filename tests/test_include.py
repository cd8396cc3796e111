"""LDAP_INCLUDE takes in shared mailboxes, rooms and equipment, whose accounts are disabled, and no leaver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.company import Colleague, Company, face

TYPE = "msExchRecipientTypeDetails"
DISABLED = "514"


@pytest.fixture
def all_kinds(company: Company) -> Company:
    """Open a company that takes in every kind."""
    company.settings["LDAP_INCLUDE"] = "users,shared,rooms,equipment"
    return company


def mailbox(company: Company, name: str, kind: str = "4", *, uac: str = DISABLED) -> Colleague:
    attributes: dict[str, Any] = {TYPE: kind} if kind else {}
    return company.hire(name, userAccountControl=uac, **attributes)


def test_mailboxes_of_the_six_types_have_photos_and_leavers_have_none(all_kinds: Company) -> None:
    kinds = {"shared": 4, "room": 16, "car": 32, "rshared": 34359738368, "rroom": 8589934592, "rcar": 17179869184}
    rooms = [mailbox(all_kinds, name, str(kind)) for name, kind in kinds.items()]
    anna = all_kinds.hire("anna")
    leavers = [mailbox(all_kinds, "left", ""), mailbox(all_kinds, "leftuser", "1"), mailbox(all_kinds, "linked", "2")]

    told = all_kinds.sync()

    assert {told.of(one.upn) for one in (*rooms, anna)} == {("create", "first-upload")}
    assert all(all_kinds.photo(one) is None for one in leavers)
    assert told.totals["people"] == len(rooms) + 1


@pytest.mark.parametrize(
    ("include", "taken"),
    [("users", "enabled"), ("shared", "shared"), ("users,rooms", "enabled room"), ("equipment,rooms", "room")],
)
def test_only_the_kinds_that_are_named_are_taken_in(company: Company, include: str, taken: str) -> None:
    company.settings["LDAP_INCLUDE"] = include
    everybody = [company.hire("enabled"), mailbox(company, "shared"), mailbox(company, "room", "16")]

    company.sync()

    assert [one.name for one in everybody if company.photo(one)] == taken.split()


def test_an_account_that_becomes_or_ends_being_a_mailbox_is_followed_by_changes(all_kinds: Company) -> None:
    left, shared = mailbox(all_kinds, "left", ""), mailbox(all_kinds, "shared")
    all_kinds.sync()
    assert all_kinds.photo(left) is None

    all_kinds.ldap.tree.change(left.entry.guid, **{TYPE: "4"})
    all_kinds.ldap.tree.change(shared.entry.guid, **{TYPE: "1"})
    told = all_kinds.sync(days=1)

    assert told.report["mode"] == "changes"
    assert (told.of(left.upn), told.of(shared.upn)) == (("create", "first-upload"), ("skip", "disabled"))
    assert all_kinds.photo(shared), "the photo of a leaver stays"


@pytest.mark.parametrize("option", ["", "--full"])
def test_a_type_that_was_cleared_makes_a_leaver(all_kinds: Company, option: str) -> None:
    shared = mailbox(all_kinds, "shared")
    all_kinds.sync()

    all_kinds.ldap.tree.change(shared.entry.guid, **{TYPE: []})

    assert all_kinds.sync(*option.split(), days=1).of(shared.upn) == ("skip", "disabled")


@pytest.mark.parametrize("include", ["users,shared,rooms", "shared"])
@pytest.mark.parametrize("option", ["", "--full"])
def test_a_type_that_is_not_shown_any_more_leaves_the_mailbox_as_it_is(
    all_kinds: Company, option: str, include: str
) -> None:
    all_kinds.settings["LDAP_INCLUDE"] = include
    shared, room = mailbox(all_kinds, "shared"), mailbox(all_kinds, "room", "4", uac="512")
    all_kinds.sync()
    all_kinds.knobs.hidden_of[shared.entry.guid] = frozenset((TYPE.lower(),))
    all_kinds.paint(shared, face("new shared"))

    for _ in range(2):
        told = all_kinds.sync(*option.split(), days=1)

        assert told.of(shared.upn) == ("skip", "source-unread")
        assert any(f"{TYPE}: 1" in notice for notice in told.report["notices"])
        assert told.totals["people"] == 2
    assert all_kinds.photo(room)

    all_kinds.knobs.hidden_of.clear()
    assert all_kinds.sync(days=1).of(shared.upn) == ("replace", "source-changed")


def test_a_user_who_is_disabled_is_a_leaver_although_nobody_shows_a_type(all_kinds: Company) -> None:
    anna = mailbox(all_kinds, "anna", "1", uac="512")
    all_kinds.sync()
    all_kinds.knobs.hidden = frozenset((TYPE.lower(),))
    all_kinds.ldap.tree.change(anna.entry.guid, userAccountControl=DISABLED)

    assert all_kinds.sync(days=1).of(anna.upn) == ("skip", "disabled")


def test_taking_a_kind_out_of_the_setting_ends_it(all_kinds: Company) -> None:
    shared = mailbox(all_kinds, "shared")
    all_kinds.sync()
    all_kinds.settings["LDAP_INCLUDE"] = "users,rooms"

    assert all_kinds.sync(days=1).of(shared.upn) == ("skip", "disabled")
    assert all_kinds.photo(shared)


def test_a_quiet_night_asks_nothing_more(all_kinds: Company) -> None:
    mailbox(all_kinds, "shared")
    all_kinds.sync()
    all_kinds.ldap.server.asked.clear()

    told = all_kinds.sync(days=1)

    assert told.requests["ldap_entries"] == 0
    assert len([asked for asked in all_kinds.ldap.server.asked if asked.base]) == 1
