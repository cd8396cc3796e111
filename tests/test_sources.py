"""What does a reading tell, and when must it not be believed? Against a directory of our own, knob by knob."""

from __future__ import annotations

import base64
import re
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from connector.errors import Unreachable
from connector.model import RequestCounters
from connector.sources import Cookie, Mode, PersonRead
from connector.sources.pages import FIRST_PAGE, GROWTH, MOST, PAGE_BYTES
from connector.sources.read import LOOKUP
from tests.lab.ldapserver_house import PEOPLE, House, PersonState, Told, told
from tests.lab.ldapserver_tree import Tree, Value
from tests.lab.ldapserver_wire import DIRSYNC
from tests.lab.ldapserver_world import PASSWORD, STALE_DIRSYNC, STALE_PAGE

ROOT = "DC=contoso,DC=test"


def somebody(number: int) -> tuple[str, dict[str, Value]]:
    """Make one of a crowd, every tenth of whom is disabled."""
    control = "514" if number % 10 == 9 else "512"
    account = {"sAMAccountType": "805306368", "userAccountControl": control, "sAMAccountName": f"p{number}"}
    return f"CN=P{number},{PEOPLE}", {**account, "objectClass": ["user"], "jpegPhoto": b"%d" % number}


@pytest.fixture
def house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def crowd() -> Iterator[House]:
    with House(Tree(people=1000, make=somebody)) as house:
        yield house


# A full reading


def test_everybody_enabled_is_read_once_and_the_disabled_are_named(crowd: House) -> None:
    traffic = RequestCounters()
    all_told = told(crowd.source(traffic))
    assert (all_told.mode, all_told.times_read, len(all_told.read)) == (Mode.FULL, 900, 900)
    assert list(all_told.gone.values()) == [PersonState.DISABLED] * 100
    assert traffic.counts()["ldap_entries"] == 1000 == crowd.server.world.entries_sent
    assert traffic.counts()["ldap_searches"] == len(crowd.server.asked)


def test_the_cookie_is_taken_before_the_snapshot(house: House) -> None:
    told(house.source())
    kinds = [DIRSYNC in asked.controls for asked in house.server.asked if asked.base]
    assert kinds == [True, *[False] * (len(kinds) - 1)]


def test_only_named_attributes_are_asked_for(house: House) -> None:
    told(house.source(ldap_photo_attributes=("thumbnailPhoto",)))
    asked = {name for search in house.server.asked for name in search.attributes}
    assert "thumbnailPhoto" in asked
    assert asked.isdisjoint({"*", "+", "jpegPhoto"})


def test_the_page_grows_and_shrinks_with_what_people_weigh(crowd: House) -> None:
    with House(Tree(people=600, make=lambda number: (somebody(number)[0], heavy(number)))) as weighty:
        told(weighty.source())
        told(crowd.source())
        sizes = [[asked.size for asked in house.server.asked if asked.size] for house in (weighty, crowd)]
    assert sizes[0][0] == FIRST_PAGE
    assert PAGE_BYTES // 2 < sizes[0][1] * 100_000 <= PAGE_BYTES
    assert sizes[1][:3] == [FIRST_PAGE, GROWTH * FIRST_PAGE, MOST]


def test_150_people_of_4_mb_each_are_read_within_200_mib() -> None:
    def weighty(number: int) -> tuple[str, dict[str, Value]]:
        return somebody(number)[0], {**somebody(number)[1], "jpegPhoto": bytes(4_000_000)}

    with House(Tree(people=150, make=weighty)) as house:
        asked = house.server.asked
        source = house.source(ldap_include_disabled=True)
        pages = source.read(ROOT, None).pages
        ids, heaviest = [], 0
        for page in pages:
            read = [event for event in page.events if isinstance(event, PersonRead)]
            ids += [event.person.id for event in read]
            heaviest = max(heaviest, sum(len(photo.content_bytes) for event in read for photo in event.photos))
        asked.clear()
        assert len(list(source.fetch(ids))) == 150
        together = max(search.filter.count("objectGUID=") for search in asked)

    # ldap3 holds an answer about three times over, and one page waits while the next is read
    assert len(ids) == 150
    assert heaviest <= 32_000_000
    assert together * 4_000_000 <= PAGE_BYTES or together == 1


def test_large_photos_behind_many_small_ones_are_read_a_few_at_a_time() -> None:
    def later(number: int) -> tuple[str, dict[str, Value]]:
        photo = bytes([number % 251]) * (4_000_000 if number >= 400 else 1_000)
        return somebody(number)[0], {**somebody(number)[1], "jpegPhoto": photo}

    with House(Tree(people=440, make=later)) as house:
        sizes: dict[str, int] = {}
        heaviest = 0
        for page in house.source(ldap_include_disabled=True).read(ROOT, None).pages:
            read = [event for event in page.events if isinstance(event, PersonRead)]
            sizes |= {event.person.sam_account_name: len(event.photos[0].content_bytes) for event in read}
            heaviest = max(heaviest, sum(len(photo.content_bytes) for event in read for photo in event.photos))

    assert sorted(sizes.values()) == [1_000] * 400 + [4_000_000] * 40
    assert heaviest <= 24 * 1024 * 1024


def test_people_without_photos_say_nothing_of_what_photos_weigh() -> None:
    def late(number: int) -> tuple[str, dict[str, Value]]:
        dn, attributes = somebody(number)
        photo = {"jpegPhoto": bytes(1_000_000)} if number >= 100 else {}
        return dn, {**{name: value for name, value in attributes.items() if name != "jpegPhoto"}, **photo}

    with House(Tree(people=120, make=late)) as house:
        pages = list(house.source(ldap_include_disabled=True).read(ROOT, None).pages)

    held = [[event for event in page.events if isinstance(event, PersonRead)] for page in pages]
    assert sum(map(len, held)) == 120
    assert max(sum(len(photo.content_bytes) for event in some for photo in event.photos) for some in held) <= 8_000_000


def heavy(number: int) -> dict[str, Value]:
    return {**somebody(number)[1], "jpegPhoto": bytes(100_000)}


def test_somebody_who_changes_during_a_walk_comes_again_and_the_later_reading_counts(crowd: House) -> None:
    crowd.knobs.repeats_first = True
    first = crowd.tree.nth(0)
    pages = crowd.source().read(ROOT, None).pages
    before = next(pages).events[0]
    crowd.tree.change(first.guid, jpegPhoto=b"new")
    later = [event for page in pages for event in page.events if isinstance(event, PersonRead)]
    again = [event for event in later if event.person.id == first.id]
    assert isinstance(before, PersonRead)
    assert (before.person.id, before.photos[0].content_bytes) == (first.id, b"0")
    assert [event.photos[0].content_bytes for event in again] == [b"new"]


def test_a_walk_over_four_times_the_people_takes_no_more_memory() -> None:
    def peak(people: int) -> int:
        with House(Tree(people=people, make=somebody)) as house:
            pages = house.source().read(ROOT, None).pages
            tracemalloc.start()
            try:
                assert sum(len(page.events) for page in pages) == people
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    peak(1_000)  # what is made once, whoever comes first
    few, many = peak(1_500), peak(6_000)
    assert many <= 1.1 * few, f"{few // 1024} KiB for 1,500 people, {many // 1024} KiB for 6,000"


def test_referral_items_are_no_people(crowd: House) -> None:
    crowd.knobs.refers = True
    assert len(told(crowd.source()).read) == 900


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "operations error"),
        (3, "time limit"),
        (4, "size limit"),
        (11, "administrative limit"),
        (51, "busy"),
        (52, "unavailable"),
        (53, "unwilling"),
    ],
)
def test_an_error_on_page_two_is_never_an_end(crowd: House, code: int, words: str) -> None:
    crowd.knobs.refuse_page[2] = (code, "")
    with pytest.raises(Unreachable, match=rf"{words}.*page 2.*result {code}") as caught:
        told(crowd.source())
    assert caught.value.fix


def test_a_stale_page_cookie_ends_the_reading(crowd: House) -> None:
    crowd.knobs.refuse_page[2] = (12, STALE_PAGE)
    with pytest.raises(Unreachable, match=r"page 2.*00000057") as caught:
        told(crowd.source())
    assert "\x00" not in str(caught.value)


def test_what_came_before_the_error_is_not_a_complete_reading(crowd: House) -> None:
    crowd.knobs.refuse_page[2] = (51, "")
    reading = crowd.source().read(ROOT, None)
    first = next(reading.pages)
    assert (len(first.events), first.complete, first.cookie) == (FIRST_PAGE, False, None)


def test_a_server_that_ignores_pages_is_not_believed(house: House) -> None:
    house.person("anna")
    house.knobs.ignores_paging = True
    with pytest.raises(Unreachable, match="ignored the request for pages"):
        told(house.source())


def test_a_proxy_that_drops_the_answers_to_controls_is_not_believed(house: House) -> None:
    start = told(house.source())
    house.knobs.drops_controls = True
    for cookie in (None, start.cookie):
        with pytest.raises(Unreachable, match="no DirSync cookie came back"):
            told(house.source(), cookie)
    house.knobs.offers_dirsync = False
    with pytest.raises(Unreachable, match="ignored the request for pages"):
        told(house.source())


def test_a_connection_dropped_in_the_middle_of_a_page_ends_the_reading(crowd: House) -> None:
    crowd.knobs.drop_on_page = 2
    with pytest.raises(Unreachable, match="directory: localhost"):
        told(crowd.source())


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(crowd: House) -> None:
    crowd.knobs.stall_on_page = 2
    with pytest.raises(Unreachable, match="no answer in time"):
        told(crowd.source(patience=1))


def test_an_attribute_hidden_from_everybody_looks_empty_but_is_no_clearing(house: House) -> None:
    anna = house.person("anna", jpegPhoto=b"a")
    start = told(house.source())
    house.knobs.hidden = frozenset({"jpegphoto"})
    assert (told(house.source()).photos(anna.id), told(house.source()).read[anna.id].cleared) == ([], frozenset())
    later = told(house.source(), start.cookie)
    assert later.read == {}


def test_options_and_letter_case_of_an_attribute_do_not_hide_a_photo(house: House) -> None:
    spelt: dict[str, Value] = {"JPEGPHOTO;binary": [b"one", b"two"], "sAMAccountName": "anna"}
    anna = house.tree.add(f"CN=Anna,{PEOPLE}", **spelt)
    assert told(house.source()).photos(anna.id) == [("jpegPhoto", b"one"), ("jpegPhoto", b"two")]


def test_people_in_excluded_subtrees_are_not_read(house: House) -> None:
    house.person("anna")
    house.person("ben", ou=f"OU=Robots,{PEOPLE}")
    house.person("cleo", ou=f"OU=Old Robots,{PEOPLE}")
    source = house.source(ldap_exclude_dn=(f"ou=robots,{PEOPLE.lower()}",))
    assert told(source).names == {"anna", "cleo"}
    assert list(source.find("ben")) == []


def test_several_base_dns_are_read_and_nobody_twice(house: House) -> None:
    house.person("anna", ou=f"OU=A,{ROOT}")
    house.person("ben", ou=f"OU=B,OU=A,{ROOT}")
    house.person("cleo", ou=f"OU=C,{ROOT}")
    house.person("dora", ou=f"OU=D,{ROOT}")
    everybody = told(house.source(ldap_base_dn=(f"OU=B,OU=A,{ROOT}", f"OU=A,{ROOT}", f"OU=C,{ROOT}")))
    assert (everybody.names, everybody.times_read) == ({"anna", "ben", "cleo"}, 3)


def test_contacts_are_read_where_wanted_and_marked(house: House) -> None:
    kind: dict[str, Any] = {
        "objectClass": ["top", "person", "contact"],
        "objectCategory": "person",
        "sAMAccountType": [],
    }
    guest = house.tree.add(f"CN=Guest,{PEOPLE}", mail="guest@fabrikam.com", **kind, userAccountControl=[])
    house.tree.add(f"CN=No Mail,{PEOPLE}", **kind, userAccountControl=[])
    anna = house.person("anna")
    assert set(told(house.source()).read) == {anna.id}
    both = told(house.source(ldap_include_contacts=True))
    assert {key: read.person.is_contact for key, read in both.read.items()} == {guest.id: True, anna.id: False}


def test_disabled_people_are_read_where_wanted(house: House) -> None:
    anna = house.person("anna", userAccountControl="514", jpegPhoto=b"a")
    assert told(house.source()).gone == {anna.id: PersonState.DISABLED}
    wanted = told(house.source(ldap_include_disabled=True))
    assert (set(wanted.read), wanted.gone) == ({anna.id}, {})


def test_ldap_filter_narrows_and_a_broken_one_is_refused_before_anything_is_asked(house: House) -> None:
    house.person("anna", l="Bonn")
    house.person("ben", l="Kiel")
    assert told(house.source(ldap_filter="(l=bonn)")).names == {"anna"}
    with pytest.raises(ValueError, match="not an RFC 4515 filter"):
        house.source(ldap_filter="(&(l=Bonn)(l))")


# Groups


def test_a_group_counts_nested_and_primary_members(house: House) -> None:
    outer, inner = f"CN=Outer,{ROOT}", f"CN=Inner,{ROOT}"
    sid = bytes.fromhex("010500000000000515000000") + bytes(12) + (1234).to_bytes(4, "little")
    kind = {"objectClass": ["group"], "objectCategory": "group", "sAMAccountType": []}
    house.tree.add(outer, objectSid=sid, sAMAccountName="outer", **kind)
    house.tree.add(inner, memberOf=outer, **kind)
    anna, ben = house.person("anna", memberOf=outer), house.person("ben", memberOf=inner)
    cleo = house.person("cleo", primaryGroupID="1234")
    dora = house.person("dora", primaryGroupID="513")
    for group in (outer, "outer"):
        source = house.source(ldap_group=group)
        assert told(source).names == {"anna", "ben", "cleo"}
        assert set(source.roster(ROOT) or ()) == {anna.id, ben.id, cleo.id}
        assert [read.person.id for read in source.fetch([ben.id, dora.id])] == [ben.id]


def test_with_a_small_group_only_its_members_photos_are_moved(crowd: House) -> None:
    group = crowd.tree.add(f"CN=Pilot,{ROOT}", objectClass=["group"], objectCategory="group", sAMAccountType=[])
    for number in range(60, 130):
        crowd.tree.change(crowd.tree.nth(number).guid, memberOf=group.dn)
    traffic = RequestCounters()
    members = told(crowd.source(traffic, ldap_group=group.dn))
    assert len(members.read) == 63
    assert len(members.gone) == 7
    assert traffic.counts()["ldap_entries"] == 1 + 2 * 63 + 7


def test_a_group_of_another_domain_is_looked_for_there(house: House) -> None:
    elsewhere = "CN=Staff,DC=other,DC=test"
    house.person("anna", memberOf=elsewhere)
    house.person("ben")
    with House(Tree("DC=other,DC=test")) as other:
        uris = (house.server.uri, other.server.uri)
        with pytest.raises(Unreachable, match=r"there is no group 'CN=Staff,DC=other,DC=test.*LDAP_GROUP"):
            told(house.source(ldap_group=elsewhere, ldap_uri=uris))
        other.tree.add(elsewhere, objectClass=["group"], objectCategory="group", sAMAccountType=[])
        assert told(house.source(ldap_group=elsewhere.lower(), ldap_uri=uris)).names == {"anna"}


def test_a_group_whose_domain_is_misspelt_puts_nobody_out(house: House) -> None:
    house.person("anna", memberOf=f"CN=Staff,{ROOT}")
    with pytest.raises(Unreachable, match=r"LDAP_GROUP names CN=Staff,DC=contso,DC=test.*does not hold"):
        told(house.source(ldap_group="CN=Staff,DC=contso,DC=test"))


def test_more_nested_groups_than_one_answer_holds_are_read_in_pages(house: House) -> None:
    kind = {"objectClass": ["group"], "objectCategory": "group", "sAMAccountType": []}
    top = house.tree.add(f"CN=All staff,{ROOT}", **kind)
    inner = [house.tree.add(f"CN=Department {n},{ROOT}", memberOf=top.dn, **kind) for n in range(1001)]
    house.person("anna", memberOf=inner[-1].dn)
    house.person("bert")
    assert told(house.source(ldap_group=top.dn)).names == {"anna"}


# Changes


def test_a_quiet_night_is_one_search_and_no_entry(crowd: House) -> None:
    start = told(crowd.source())
    traffic = RequestCounters()
    quiet = told(crowd.source(traffic, ldap_base_dn=(PEOPLE,)), start.cookie)
    assert (quiet.mode, quiet.read, quiet.gone, quiet.notice) == (Mode.CHANGES, {}, {}, "")
    assert traffic.counts()["ldap_entries"] == 0
    assert [asked.base for asked in crowd.server.asked][-2:] == ["", ROOT]


@pytest.mark.parametrize("changed", [5, 120])
def test_changes_cost_two_entries_a_person(crowd: House, changed: int) -> None:
    start = told(crowd.source())
    for number in range(0, changed):
        crowd.tree.change(crowd.tree.nth(number).guid, jpegPhoto=b"new %d" % number)
    traffic = RequestCounters()
    night = told(crowd.source(traffic), start.cookie)
    assert len(night.read) + len(night.gone) == changed
    assert traffic.counts()["ldap_entries"] <= 2 * changed + 5
    look_ups = 2 * -(-changed // LOOKUP)  # those in scope, and once more those whose change does not say why they left
    assert traffic.counts()["ldap_searches"] <= 3 + look_ups, "beside the rootDSE, twice, and the changes"


def test_dirsync_is_asked_without_rights_over_the_whole_domain(house: House) -> None:
    start = told(house.source())
    told(house.source(ldap_filter="(&(department=Sales)(l=*))"), start.cookie)
    asked = house.server.asked[-1]
    assert (asked.base, DIRSYNC in asked.controls) == (ROOT, True)
    assert "(&(objectClass=user)(!(objectClass=computer)))" in asked.filter
    wanted = {"jpegPhoto", "thumbnailPhoto", "mS-DS-ConsistencyGuid", "userPrincipalName", "mail", "sAMAccountName"}
    assert wanted | {"objectSid", "userAccountControl", "name", "isDeleted", "department", "l"} <= set(asked.attributes)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_changes_in_several_rounds_are_all_told(house: House, size: int) -> None:
    people = [house.person(f"p{number}", jpegPhoto=b"old") for number in range(7)]
    start = told(house.source())
    for person in people:
        house.tree.change(person.guid, jpegPhoto=b"new")
    house.knobs.round_entries = size
    night = told(house.source(), start.cookie)
    assert {night.photos(person.id)[0][1] for person in people} == {b"new"}
    assert len([asked for asked in house.server.asked if DIRSYNC in asked.controls]) == 1 + -(-7 // size)
    house.knobs.round_entries = 0
    assert told(house.source(), night.cookie).read == {}


def test_a_round_ends_at_the_budget_of_bytes(house: House) -> None:
    people = [house.person(f"p{number}") for number in range(6)]
    start = told(house.source())
    for person in people:
        house.tree.change(person.guid, jpegPhoto=bytes(3 * 1024 * 1024))
    night = told(house.source(), start.cookie)
    assert len(night.read) == 6
    assert len([asked for asked in house.server.asked if DIRSYNC in asked.controls]) == 1 + 2


def test_a_fresh_cookie_may_take_several_rounds(house: House) -> None:
    anna = house.person("anna", jpegPhoto=b"a")
    house.knobs.empty_rounds = 3
    start = told(house.source(ldap_base_dn=(PEOPLE,)))
    assert [DIRSYNC in asked.controls for asked in house.server.asked][1:6] == [True] * 4 + [False]
    house.tree.change(anna.guid, jpegPhoto=b"b")
    assert told(house.source(), start.cookie).photos(anna.id) == [("jpegPhoto", b"b")]


@pytest.mark.parametrize("code", [3, 51, 52, 12])
def test_an_error_in_a_later_round_ends_the_reading_without_a_cookie(house: House, code: int) -> None:
    people = [house.person(f"p{number}") for number in range(3)]
    start = told(house.source())
    for person in people:
        house.tree.change(person.guid, mail="new@contoso.test")
    house.knobs.round_entries = 1
    house.knobs.refuse_round[2] = (code, "")
    (context,) = house.source().contexts()
    pages = house.source().read(context, start.cookie).pages
    assert not next(pages).complete
    with pytest.raises(Unreachable, match="round 2"):
        list(pages)


def test_a_busy_server_on_the_first_round_is_not_taken_for_a_refused_cookie(house: House) -> None:
    start = told(house.source())
    house.knobs.refuse_dirsync = (51, "")
    with pytest.raises(Unreachable, match="busy"):
        told(house.source(), start.cookie)


@pytest.mark.parametrize("refusal", [(12, STALE_DIRSYNC), (53, ""), (12, ""), (1, STALE_DIRSYNC)])
def test_a_refused_cookie_leads_to_a_full_reading_that_says_so(house: House, refusal: tuple[int, str]) -> None:
    anna = house.person("anna")
    start = told(house.source())
    house.knobs.refuse_cookie = refusal
    again = told(house.source(), start.cookie)
    assert (again.mode, set(again.read)) == (Mode.FULL, {anna.id})
    assert "refused the cookie" in again.notice
    house.knobs.refuse_cookie = None
    assert told(house.source(), again.cookie).mode is Mode.CHANGES


def test_bytes_that_never_were_a_cookie_lead_to_a_full_reading(house: House) -> None:
    assert told(house.source(), Cookie(b"nonsense", house.server.name)).mode is Mode.FULL


@pytest.mark.parametrize("code", [12, 50, 53])
def test_a_server_that_refuses_dirsync_is_read_in_full_every_night(house: House, code: int) -> None:
    house.person("anna")
    house.knobs.refuse_dirsync = (code, "")
    night = told(house.source())
    assert (night.mode, night.complete, night.cookie, night.names) == (Mode.FULL, True, None, {"anna"})
    assert "refuses DirSync" in night.notice


def test_a_filter_that_cannot_be_followed_means_a_full_reading_that_says_so(house: House) -> None:
    house.person("anna", memberOf=f"CN=Staff,{ROOT}")
    start = told(house.source())
    night = told(house.source(ldap_filter=f"(memberOf=CN=Staff,{ROOT})"), start.cookie)
    assert (night.mode, night.cookie is not None, night.names) == (Mode.FULL, True, {"anna"})
    assert "LDAP_FILTER" in night.notice
    assert "memberOf" in night.notice


def test_a_cleared_photo_is_told_as_cleared_and_a_hidden_one_is_not(house: House) -> None:
    anna, ben = house.person("anna", jpegPhoto=b"a", thumbnailPhoto=b"t"), house.person("ben", jpegPhoto=b"b")
    start = told(house.source())
    house.tree.change(anna.guid, jpegPhoto=[])
    house.tree.change(ben.guid, mail="other@contoso.test")
    night = told(house.source(), start.cookie)
    assert night.read[anna.id].cleared == {"jpegPhoto"}
    assert night.photos(anna.id) == [("thumbnailPhoto", b"t")]
    assert night.read[ben.id].cleared == frozenset()
    assert night.photos(ben.id) == [("jpegPhoto", b"b")]


def test_a_photo_cleared_and_set_again_is_not_cleared(house: House) -> None:
    anna = house.person("anna", jpegPhoto=b"a")
    start = told(house.source())
    house.tree.change(anna.guid, jpegPhoto=[])
    source = house.source()
    reading = source.read(ROOT, start.cookie)
    house.tree.change(anna.guid, jpegPhoto=b"back")
    night = Told(reading)
    assert (night.photos(anna.id), night.read[anna.id].cleared) == ([("jpegPhoto", b"back")], frozenset())


def test_deleted_disabled_and_moved_people_are_told_apart(house: House) -> None:
    deleted, disabled, moved, silent = (house.person(name, jpegPhoto=b"x") for name in ("a", "b", "c", "d"))
    house.tree.change(silent.guid, userAccountControl="514")
    start = told(house.source(ldap_base_dn=(PEOPLE,)))
    house.tree.delete(deleted.guid)
    house.tree.change(disabled.guid, userAccountControl="514")
    house.tree.move(moved.guid, f"CN=c,OU=Elsewhere,{ROOT}")
    house.tree.change(silent.guid, jpegPhoto=b"a change that does not say why")
    night = told(house.source(ldap_base_dn=(PEOPLE,)), start.cookie)
    assert night.read == {}
    assert night.gone == {
        deleted.id: PersonState.DELETED,
        disabled.id: PersonState.DISABLED,
        moved.id: PersonState.OUT_OF_SCOPE,
        silent.id: PersonState.DISABLED,
    }


def test_people_who_leave_or_enter_the_filter_are_told(house: House) -> None:
    anna, ben = house.person("anna", department="Sales"), house.person("ben", department="IT", jpegPhoto=b"b")
    sales: dict[str, Any] = {"ldap_filter": "(department=Sales)"}
    start = told(house.source(**sales))
    house.tree.change(anna.guid, department="IT")
    house.tree.change(ben.guid, department="Sales")
    night = told(house.source(**sales), start.cookie)
    assert night.gone == {anna.id: PersonState.OUT_OF_SCOPE}
    assert night.photos(ben.id) == [("jpegPhoto", b"b")]


def test_a_moved_unit_brings_and_takes_its_people(house: House) -> None:
    unit = house.tree.add(f"OU=Team,OU=Elsewhere,{ROOT}", objectClass=["organizationalUnit"], sAMAccountType=[])
    anna = house.person("anna", ou=unit.dn, jpegPhoto=b"a")
    mine: dict[str, Any] = {"ldap_base_dn": (PEOPLE,), "ldap_exclude_dn": (f"OU=Robots,{PEOPLE}",)}
    house.tree.add(f"OU=Robots,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    start = told(house.source(**mine))
    assert start.read == {}
    # As in AD, only the unit itself is reported; the people in it are not.
    house.tree.move(unit.guid, f"OU=Team,{PEOPLE}")
    anna.dn = f"CN=anna,OU=Team,{PEOPLE}"
    entered = told(house.source(**mine), start.cookie)
    assert entered.photos(anna.id) == [("jpegPhoto", b"a")]
    house.tree.move(unit.guid, f"OU=Team,OU=Robots,{PEOPLE}")
    anna.dn = f"CN=anna,OU=Team,OU=Robots,{PEOPLE}"
    assert told(house.source(**mine), entered.cookie).gone == {anna.id: PersonState.OUT_OF_SCOPE}


def test_a_deleted_unit_is_nobody(house: House) -> None:
    unit = house.tree.add(f"OU=Team,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    start = told(house.source())
    house.tree.delete(unit.guid)
    assert told(house.source(), start.cookie).gone == {}


# Asking again


def test_fetch_reads_in_few_searches_and_leaves_out_who_is_not_in_scope(crowd: House) -> None:
    source = crowd.source()
    told(source)
    before = len(crowd.server.asked)
    wanted = [crowd.tree.nth(number).id for number in range(0, 120)]
    assert len(list(source.fetch([*wanted, *wanted]))) == 108
    assert len(crowd.server.asked) - before == 3


def test_an_idle_connection_that_the_server_dropped_is_opened_again_once(house: House) -> None:
    anna = house.person("anna")
    source = house.source()
    told(source)
    house.server.hang_up()
    assert [read.person.id for read in source.fetch([anna.id])] == [anna.id]
    house.server.hang_up()
    assert [read.person.id for read in source.find("anna")] == [anna.id]


def test_a_server_that_is_gone_for_good_is_an_error_for_fetch(house: House) -> None:
    anna = house.person("anna")
    source = house.source()
    told(source)
    house.server.close()
    with pytest.raises(Unreachable, match="connection refused"):
        list(source.fetch([anna.id]))


def test_a_server_that_drops_idle_connections_by_the_clock_does_not_disturb(house: House) -> None:
    anna = house.person("anna")
    source = house.source()
    told(source)
    house.knobs.idle_seconds = 0.05
    list(source.fetch([anna.id]))
    threading.Event().wait(0.3)
    assert [read.person.id for read in source.fetch([anna.id])] == [anna.id]


@pytest.mark.parametrize("name", ["anna", "ANNA@contoso.test", "a.b@mail.test", f"CN=anna,{PEOPLE}"])
def test_somebody_is_found_by_each_of_her_names(house: House, name: str) -> None:
    anna = house.person("anna", mail="a.b@mail.test")
    house.person("ben")
    assert [read.person.id for read in house.source().find(name)] == [anna.id]


def test_two_people_of_one_name_are_both_found(house: House) -> None:
    for name in ("anna", "ben"):
        house.person(name, mail="office@contoso.test")
    assert len(house.source().find("office@contoso.test")) == 2


@pytest.mark.parametrize("name", ["*", "an*", "(objectClass=*)", ")(cn=*", "", "CN=x", f"CN=nobody,{PEOPLE}", "a\\2a"])
def test_nothing_that_is_typed_becomes_a_filter(house: House, name: str) -> None:
    house.person("anna")
    assert list(house.source().find(name)) == []


def test_no_secret_is_in_what_is_told_or_sent_in_clear(house: House) -> None:
    house.person("anna")
    house.knobs.refuse_page[1] = (51, "")
    source = house.source()
    with pytest.raises(Unreachable) as caught:
        told(source)
    shown = "".join([str(caught.value), repr(caught.value), repr(source), repr(house.server.asked)])
    assert PASSWORD not in shown
    assert base64.b64encode(PASSWORD.encode()).decode() not in shown
    assert not re.search("password=", shown)


def test_pages_that_come_again_and_again_end_the_reading(house: House) -> None:
    for number in range(30):
        house.person(f"person{number}")
    house.knobs.page_entries = 5
    house.knobs.endless_pages = True
    with pytest.raises(Unreachable, match="the same page came again"):
        told(house.source())
    assert len(house.server.asked) < 100


def test_dirsync_rounds_that_go_no_further_end_the_reading(house: House) -> None:
    house.person("ada")
    first = told(house.source())
    house.knobs.empty_rounds = 1_000_000
    with pytest.raises(Unreachable, match="goes no further"):
        told(house.source(), cookie=first.cookie)
    assert len(house.server.asked) < 500
