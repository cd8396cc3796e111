"""What a read reports, and when it must not be believed: against a directory of our own, switch by switch."""

from __future__ import annotations

import base64
import gc
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
from tests.lab.ldapserver_directory import PEOPLE, DirectoryServer, PersonState, ReadResult, read_context
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
def ldap() -> Iterator[DirectoryServer]:
    with DirectoryServer() as ldap:
        yield ldap


@pytest.fixture
def crowd() -> Iterator[DirectoryServer]:
    with DirectoryServer(Tree(people=1000, make=somebody)) as ldap:
        yield ldap


# A full reading


def test_everybody_enabled_is_read_once_and_the_disabled_are_named(crowd: DirectoryServer) -> None:
    traffic = RequestCounters()
    all_told = read_context(crowd.source(traffic))
    assert (all_told.mode, all_told.times_read, len(all_told.read)) == (Mode.FULL, 900, 900)
    assert list(all_told.gone.values()) == [PersonState.DISABLED] * 100
    assert traffic.counts()["ldap_entries"] == 1000 == crowd.server.world.entries_sent
    assert traffic.counts()["ldap_searches"] == len(crowd.server.asked)


def test_the_cookie_is_taken_before_the_snapshot(ldap: DirectoryServer) -> None:
    read_context(ldap.source())
    kinds = [DIRSYNC in asked.controls for asked in ldap.server.asked if asked.base]
    assert kinds == [True, *[False] * (len(kinds) - 1)]


def test_only_named_attributes_are_asked_for(ldap: DirectoryServer) -> None:
    read_context(ldap.source(ldap_photo_attributes=("thumbnailPhoto",)))
    asked = {name for search in ldap.server.asked for name in search.attributes}
    assert "thumbnailPhoto" in asked
    assert asked.isdisjoint({"*", "+", "jpegPhoto"})


def test_the_page_grows_and_shrinks_with_what_people_weigh(crowd: DirectoryServer) -> None:
    with DirectoryServer(Tree(people=600, make=lambda number: (somebody(number)[0], heavy(number)))) as weighty:
        read_context(weighty.source())
        read_context(crowd.source())
        sizes = [[asked.size for asked in ldap.server.asked if asked.size] for ldap in (weighty, crowd)]
    assert sizes[0][0] == FIRST_PAGE
    assert PAGE_BYTES // 2 < sizes[0][1] * 100_000 <= PAGE_BYTES
    assert sizes[1][:3] == [FIRST_PAGE, GROWTH * FIRST_PAGE, MOST]


def test_150_people_of_4_mb_each_are_read_within_200_mib() -> None:
    def weighty(number: int) -> tuple[str, dict[str, Value]]:
        return somebody(number)[0], {**somebody(number)[1], "jpegPhoto": bytes(4_000_000)}

    with DirectoryServer(Tree(people=150, make=weighty)) as ldap:
        asked = ldap.server.asked
        source = ldap.source(ldap_include_disabled=True)
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

    with DirectoryServer(Tree(people=440, make=later)) as ldap:
        sizes: dict[str, int] = {}
        heaviest = 0
        for page in ldap.source(ldap_include_disabled=True).read(ROOT, None).pages:
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

    with DirectoryServer(Tree(people=120, make=late)) as ldap:
        pages = list(ldap.source(ldap_include_disabled=True).read(ROOT, None).pages)

    held = [[event for event in page.events if isinstance(event, PersonRead)] for page in pages]
    assert sum(map(len, held)) == 120
    assert max(sum(len(photo.content_bytes) for event in some for photo in event.photos) for some in held) <= 8_000_000


def heavy(number: int) -> dict[str, Value]:
    return {**somebody(number)[1], "jpegPhoto": bytes(100_000)}


def test_somebody_who_changes_during_a_walk_comes_again_and_the_later_reading_counts(crowd: DirectoryServer) -> None:
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
        with DirectoryServer(Tree(people=people, make=somebody)) as ldap:
            pages = ldap.source().read(ROOT, None).pages
            gc.collect()
            gc.disable()  # when it runs depends on what ran before; what stays must not need it
            tracemalloc.start()
            try:
                assert sum(len(page.events) for page in pages) == people
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
                gc.enable()

    peak(1_000)  # what is made once, whoever comes first
    few, many = peak(1_500), peak(6_000)
    assert many <= 1.1 * few, f"{few // 1024} KiB for 1,500 people, {many // 1024} KiB for 6,000"


def test_referral_items_are_no_people(crowd: DirectoryServer) -> None:
    crowd.knobs.refers = True
    assert len(read_context(crowd.source()).read) == 900


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
def test_an_error_on_page_two_is_never_an_end(crowd: DirectoryServer, code: int, words: str) -> None:
    crowd.knobs.refuse_page[2] = (code, "")
    with pytest.raises(Unreachable, match=rf"{words}.*page 2.*result {code}") as caught:
        read_context(crowd.source())
    assert caught.value.fix


def test_a_stale_page_cookie_ends_the_reading(crowd: DirectoryServer) -> None:
    crowd.knobs.refuse_page[2] = (12, STALE_PAGE)
    with pytest.raises(Unreachable, match=r"page 2.*00000057") as caught:
        read_context(crowd.source())
    assert "\x00" not in str(caught.value)


def test_what_came_before_the_error_is_not_a_complete_reading(crowd: DirectoryServer) -> None:
    crowd.knobs.refuse_page[2] = (51, "")
    reading = crowd.source().read(ROOT, None)
    first = next(reading.pages)
    assert (len(first.events), first.complete, first.cookie) == (FIRST_PAGE, False, None)


def test_a_server_that_ignores_pages_is_not_believed(ldap: DirectoryServer) -> None:
    ldap.person("anna")
    ldap.knobs.ignores_paging = True
    with pytest.raises(Unreachable, match="ignored the request for pages"):
        read_context(ldap.source())


def test_a_proxy_that_drops_the_answers_to_controls_is_not_believed(ldap: DirectoryServer) -> None:
    start = read_context(ldap.source())
    ldap.knobs.drops_controls = True
    for cookie in (None, start.cookie):
        with pytest.raises(Unreachable, match="no DirSync cookie came back"):
            read_context(ldap.source(), cookie)
    ldap.knobs.offers_dirsync = False
    with pytest.raises(Unreachable, match="ignored the request for pages"):
        read_context(ldap.source())


def test_a_connection_dropped_in_the_middle_of_a_page_ends_the_reading(crowd: DirectoryServer) -> None:
    crowd.knobs.drop_on_page = 2
    with pytest.raises(Unreachable, match="directory: localhost"):
        read_context(crowd.source())


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(crowd: DirectoryServer) -> None:
    crowd.knobs.stall_on_page = 2
    with pytest.raises(Unreachable, match="no answer in time"):
        read_context(crowd.source(patience=1))


def test_an_attribute_hidden_from_everybody_looks_empty_but_is_no_clearing(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna", jpegPhoto=b"a")
    start = read_context(ldap.source())
    ldap.knobs.hidden = frozenset({"jpegphoto"})
    assert (read_context(ldap.source()).photos(anna.id), read_context(ldap.source()).read[anna.id].cleared) == (
        [],
        frozenset(),
    )
    later = read_context(ldap.source(), start.cookie)
    assert later.read == {}


def test_options_and_letter_case_of_an_attribute_do_not_hide_a_photo(ldap: DirectoryServer) -> None:
    spelt: dict[str, Value] = {"JPEGPHOTO;binary": [b"one", b"two"], "sAMAccountName": "anna"}
    anna = ldap.tree.add(f"CN=Anna,{PEOPLE}", **spelt)
    assert read_context(ldap.source()).photos(anna.id) == [("jpegPhoto", b"one"), ("jpegPhoto", b"two")]


def test_people_in_excluded_subtrees_are_not_read(ldap: DirectoryServer) -> None:
    ldap.person("anna")
    ldap.person("ben", ou=f"OU=Robots,{PEOPLE}")
    ldap.person("cleo", ou=f"OU=Old Robots,{PEOPLE}")
    source = ldap.source(ldap_exclude_dn=(f"ou=robots,{PEOPLE.lower()}",))
    assert read_context(source).names == {"anna", "cleo"}
    assert list(source.find("ben")) == []


def test_several_base_dns_are_read_and_nobody_twice(ldap: DirectoryServer) -> None:
    ldap.person("anna", ou=f"OU=A,{ROOT}")
    ldap.person("ben", ou=f"OU=B,OU=A,{ROOT}")
    ldap.person("cleo", ou=f"OU=C,{ROOT}")
    ldap.person("dora", ou=f"OU=D,{ROOT}")
    everybody = read_context(ldap.source(ldap_base_dn=(f"OU=B,OU=A,{ROOT}", f"OU=A,{ROOT}", f"OU=C,{ROOT}")))
    assert (everybody.names, everybody.times_read) == ({"anna", "ben", "cleo"}, 3)


def test_contacts_are_read_where_wanted_and_marked(ldap: DirectoryServer) -> None:
    kind: dict[str, Any] = {
        "objectClass": ["top", "person", "contact"],
        "objectCategory": "person",
        "sAMAccountType": [],
    }
    guest = ldap.tree.add(f"CN=Guest,{PEOPLE}", mail="guest@fabrikam.com", **kind, userAccountControl=[])
    ldap.tree.add(f"CN=No Mail,{PEOPLE}", **kind, userAccountControl=[])
    anna = ldap.person("anna")
    assert set(read_context(ldap.source()).read) == {anna.id}
    both = read_context(ldap.source(ldap_include_contacts=True))
    assert {key: read.person.is_contact for key, read in both.read.items()} == {guest.id: True, anna.id: False}


def test_disabled_people_are_read_where_wanted(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna", userAccountControl="514", jpegPhoto=b"a")
    assert read_context(ldap.source()).gone == {anna.id: PersonState.DISABLED}
    wanted = read_context(ldap.source(ldap_include_disabled=True))
    assert (set(wanted.read), wanted.gone) == ({anna.id}, {})


def test_ldap_filter_narrows_and_a_broken_one_is_refused_before_anything_is_asked(ldap: DirectoryServer) -> None:
    ldap.person("anna", l="Bonn")
    ldap.person("ben", l="Kiel")
    assert read_context(ldap.source(ldap_filter="(l=bonn)")).names == {"anna"}
    with pytest.raises(ValueError, match="not an RFC 4515 filter"):
        ldap.source(ldap_filter="(&(l=Bonn)(l))")


# Groups


def test_a_group_counts_nested_and_primary_members(ldap: DirectoryServer) -> None:
    outer, inner = f"CN=Outer,{ROOT}", f"CN=Inner,{ROOT}"
    sid = bytes.fromhex("010500000000000515000000") + bytes(12) + (1234).to_bytes(4, "little")
    kind = {"objectClass": ["group"], "objectCategory": "group", "sAMAccountType": []}
    ldap.tree.add(outer, objectSid=sid, sAMAccountName="outer", **kind)
    ldap.tree.add(inner, memberOf=outer, **kind)
    anna, ben = ldap.person("anna", memberOf=outer), ldap.person("ben", memberOf=inner)
    cleo = ldap.person("cleo", primaryGroupID="1234")
    dora = ldap.person("dora", primaryGroupID="513")
    for group in (outer, "outer"):
        source = ldap.source(ldap_group=group)
        assert read_context(source).names == {"anna", "ben", "cleo"}
        assert set(source.roster(ROOT) or ()) == {anna.id, ben.id, cleo.id}
        assert [read.person.id for read in source.fetch([ben.id, dora.id])] == [ben.id]


def test_with_a_small_group_only_its_members_photos_are_moved(crowd: DirectoryServer) -> None:
    group = crowd.tree.add(f"CN=Pilot,{ROOT}", objectClass=["group"], objectCategory="group", sAMAccountType=[])
    for number in range(60, 130):
        crowd.tree.change(crowd.tree.nth(number).guid, memberOf=group.dn)
    traffic = RequestCounters()
    members = read_context(crowd.source(traffic, ldap_group=group.dn))
    assert len(members.read) == 63
    assert len(members.gone) == 7
    assert traffic.counts()["ldap_entries"] == 1 + 2 * 63 + 7


def test_a_group_of_another_domain_is_looked_for_there(ldap: DirectoryServer) -> None:
    elsewhere = "CN=Staff,DC=other,DC=test"
    ldap.person("anna", memberOf=elsewhere)
    ldap.person("ben")
    with DirectoryServer(Tree("DC=other,DC=test")) as other:
        uris = (ldap.server.uri, other.server.uri)
        with pytest.raises(Unreachable, match=r"there is no group 'CN=Staff,DC=other,DC=test.*LDAP_GROUP"):
            read_context(ldap.source(ldap_group=elsewhere, ldap_uri=uris))
        other.tree.add(elsewhere, objectClass=["group"], objectCategory="group", sAMAccountType=[])
        assert read_context(ldap.source(ldap_group=elsewhere.lower(), ldap_uri=uris)).names == {"anna"}


def test_a_group_whose_domain_is_misspelt_puts_nobody_out(ldap: DirectoryServer) -> None:
    ldap.person("anna", memberOf=f"CN=Staff,{ROOT}")
    with pytest.raises(Unreachable, match=r"LDAP_GROUP names CN=Staff,DC=contso,DC=test.*does not hold"):
        read_context(ldap.source(ldap_group="CN=Staff,DC=contso,DC=test"))


def test_more_nested_groups_than_one_answer_holds_are_read_in_pages(ldap: DirectoryServer) -> None:
    kind = {"objectClass": ["group"], "objectCategory": "group", "sAMAccountType": []}
    top = ldap.tree.add(f"CN=All staff,{ROOT}", **kind)
    inner = [ldap.tree.add(f"CN=Department {n},{ROOT}", memberOf=top.dn, **kind) for n in range(1001)]
    ldap.person("anna", memberOf=inner[-1].dn)
    ldap.person("bert")
    assert read_context(ldap.source(ldap_group=top.dn)).names == {"anna"}


# Changes


def test_a_quiet_night_is_one_search_and_no_entry(crowd: DirectoryServer) -> None:
    start = read_context(crowd.source())
    traffic = RequestCounters()
    quiet = read_context(crowd.source(traffic, ldap_base_dn=(PEOPLE,)), start.cookie)
    assert (quiet.mode, quiet.read, quiet.gone, quiet.notice) == (Mode.CHANGES, {}, {}, "")
    assert traffic.counts()["ldap_entries"] == 0
    assert [asked.base for asked in crowd.server.asked][-2:] == ["", ROOT]


@pytest.mark.parametrize("changed", [5, 120])
def test_changes_cost_two_entries_a_person(crowd: DirectoryServer, changed: int) -> None:
    start = read_context(crowd.source())
    for number in range(0, changed):
        crowd.tree.change(crowd.tree.nth(number).guid, jpegPhoto=b"new %d" % number)
    traffic = RequestCounters()
    night = read_context(crowd.source(traffic), start.cookie)
    assert len(night.read) + len(night.gone) == changed
    assert traffic.counts()["ldap_entries"] <= 2 * changed + 5
    look_ups = 2 * -(-changed // LOOKUP)  # those in scope, and once more those whose change does not say why they left
    assert traffic.counts()["ldap_searches"] <= 3 + look_ups, "beside the rootDSE, twice, and the changes"


def test_dirsync_is_asked_without_rights_over_the_whole_domain(ldap: DirectoryServer) -> None:
    start = read_context(ldap.source())
    read_context(ldap.source(ldap_filter="(&(department=Sales)(l=*))"), start.cookie)
    asked = ldap.server.asked[-1]
    assert (asked.base, DIRSYNC in asked.controls) == (ROOT, True)
    assert "(&(objectClass=user)(!(objectClass=computer)))" in asked.filter
    wanted = {"jpegPhoto", "thumbnailPhoto", "mS-DS-ConsistencyGuid", "userPrincipalName", "mail", "sAMAccountName"}
    assert wanted | {"objectSid", "userAccountControl", "name", "isDeleted", "department", "l"} <= set(asked.attributes)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_changes_in_several_rounds_are_all_told(ldap: DirectoryServer, size: int) -> None:
    people = [ldap.person(f"p{number}", jpegPhoto=b"old") for number in range(7)]
    start = read_context(ldap.source())
    for person in people:
        ldap.tree.change(person.guid, jpegPhoto=b"new")
    ldap.knobs.round_entries = size
    night = read_context(ldap.source(), start.cookie)
    assert {night.photos(person.id)[0][1] for person in people} == {b"new"}
    assert len([asked for asked in ldap.server.asked if DIRSYNC in asked.controls]) == 1 + -(-7 // size)
    ldap.knobs.round_entries = 0
    assert read_context(ldap.source(), night.cookie).read == {}


def test_a_round_ends_at_the_budget_of_bytes(ldap: DirectoryServer) -> None:
    people = [ldap.person(f"p{number}") for number in range(6)]
    start = read_context(ldap.source())
    for person in people:
        ldap.tree.change(person.guid, jpegPhoto=bytes(3 * 1024 * 1024))
    night = read_context(ldap.source(), start.cookie)
    assert len(night.read) == 6
    assert len([asked for asked in ldap.server.asked if DIRSYNC in asked.controls]) == 1 + 2


def test_a_fresh_cookie_may_take_several_rounds(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna", jpegPhoto=b"a")
    ldap.knobs.empty_rounds = 3
    start = read_context(ldap.source(ldap_base_dn=(PEOPLE,)))
    assert [DIRSYNC in asked.controls for asked in ldap.server.asked][1:6] == [True] * 4 + [False]
    ldap.tree.change(anna.guid, jpegPhoto=b"b")
    assert read_context(ldap.source(), start.cookie).photos(anna.id) == [("jpegPhoto", b"b")]


@pytest.mark.parametrize("code", [3, 51, 52, 12])
def test_an_error_in_a_later_round_ends_the_reading_without_a_cookie(ldap: DirectoryServer, code: int) -> None:
    people = [ldap.person(f"p{number}") for number in range(3)]
    start = read_context(ldap.source())
    for person in people:
        ldap.tree.change(person.guid, mail="new@contoso.test")
    ldap.knobs.round_entries = 1
    ldap.knobs.refuse_round[2] = (code, "")
    (context,) = ldap.source().contexts()
    pages = ldap.source().read(context, start.cookie).pages
    assert not next(pages).complete
    with pytest.raises(Unreachable, match="round 2"):
        list(pages)


def test_a_busy_server_on_the_first_round_is_not_taken_for_a_refused_cookie(ldap: DirectoryServer) -> None:
    start = read_context(ldap.source())
    ldap.knobs.refuse_dirsync = (51, "")
    with pytest.raises(Unreachable, match="busy"):
        read_context(ldap.source(), start.cookie)


@pytest.mark.parametrize("refusal", [(12, STALE_DIRSYNC), (53, ""), (12, ""), (1, STALE_DIRSYNC)])
def test_a_refused_cookie_leads_to_a_full_reading_that_says_so(ldap: DirectoryServer, refusal: tuple[int, str]) -> None:
    anna = ldap.person("anna")
    start = read_context(ldap.source())
    ldap.knobs.refuse_cookie = refusal
    again = read_context(ldap.source(), start.cookie)
    assert (again.mode, set(again.read)) == (Mode.FULL, {anna.id})
    assert "refused the cookie" in again.notice
    ldap.knobs.refuse_cookie = None
    assert read_context(ldap.source(), again.cookie).mode is Mode.CHANGES


def test_bytes_that_never_were_a_cookie_lead_to_a_full_reading(ldap: DirectoryServer) -> None:
    assert read_context(ldap.source(), Cookie(b"nonsense", ldap.server.name)).mode is Mode.FULL


@pytest.mark.parametrize("code", [12, 50, 53])
def test_a_server_that_refuses_dirsync_is_read_in_full_every_night(ldap: DirectoryServer, code: int) -> None:
    ldap.person("anna")
    ldap.knobs.refuse_dirsync = (code, "")
    night = read_context(ldap.source())
    assert (night.mode, night.complete, night.cookie, night.names) == (Mode.FULL, True, None, {"anna"})
    assert "refuses DirSync" in night.notice


def test_a_filter_that_cannot_be_followed_means_a_full_reading_that_says_so(ldap: DirectoryServer) -> None:
    ldap.person("anna", memberOf=f"CN=Staff,{ROOT}")
    start = read_context(ldap.source())
    night = read_context(ldap.source(ldap_filter=f"(memberOf=CN=Staff,{ROOT})"), start.cookie)
    assert (night.mode, night.cookie is not None, night.names) == (Mode.FULL, True, {"anna"})
    assert "LDAP_FILTER" in night.notice
    assert "memberOf" in night.notice


def test_a_cleared_photo_is_told_as_cleared_and_a_hidden_one_is_not(ldap: DirectoryServer) -> None:
    anna, ben = ldap.person("anna", jpegPhoto=b"a", thumbnailPhoto=b"t"), ldap.person("ben", jpegPhoto=b"b")
    start = read_context(ldap.source())
    ldap.tree.change(anna.guid, jpegPhoto=[])
    ldap.tree.change(ben.guid, mail="other@contoso.test")
    night = read_context(ldap.source(), start.cookie)
    assert night.read[anna.id].cleared == {"jpegPhoto"}
    assert night.photos(anna.id) == [("thumbnailPhoto", b"t")]
    assert night.read[ben.id].cleared == frozenset()
    assert night.photos(ben.id) == [("jpegPhoto", b"b")]


def test_a_photo_cleared_and_set_again_is_not_cleared(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna", jpegPhoto=b"a")
    start = read_context(ldap.source())
    ldap.tree.change(anna.guid, jpegPhoto=[])
    source = ldap.source()
    reading = source.read(ROOT, start.cookie)
    ldap.tree.change(anna.guid, jpegPhoto=b"back")
    night = ReadResult(reading)
    assert (night.photos(anna.id), night.read[anna.id].cleared) == ([("jpegPhoto", b"back")], frozenset())


def test_deleted_disabled_and_moved_people_are_told_apart(ldap: DirectoryServer) -> None:
    deleted, disabled, moved, silent = (ldap.person(name, jpegPhoto=b"x") for name in ("a", "b", "c", "d"))
    ldap.tree.change(silent.guid, userAccountControl="514")
    start = read_context(ldap.source(ldap_base_dn=(PEOPLE,)))
    ldap.tree.delete(deleted.guid)
    ldap.tree.change(disabled.guid, userAccountControl="514")
    ldap.tree.move(moved.guid, f"CN=c,OU=Elsewhere,{ROOT}")
    ldap.tree.change(silent.guid, jpegPhoto=b"a change that does not say why")
    night = read_context(ldap.source(ldap_base_dn=(PEOPLE,)), start.cookie)
    assert night.read == {}
    assert night.gone == {
        deleted.id: PersonState.DELETED,
        disabled.id: PersonState.DISABLED,
        moved.id: PersonState.OUT_OF_SCOPE,
        silent.id: PersonState.DISABLED,
    }


def test_people_who_leave_or_enter_the_filter_are_told(ldap: DirectoryServer) -> None:
    anna, ben = ldap.person("anna", department="Sales"), ldap.person("ben", department="IT", jpegPhoto=b"b")
    sales: dict[str, Any] = {"ldap_filter": "(department=Sales)"}
    start = read_context(ldap.source(**sales))
    ldap.tree.change(anna.guid, department="IT")
    ldap.tree.change(ben.guid, department="Sales")
    night = read_context(ldap.source(**sales), start.cookie)
    assert night.gone == {anna.id: PersonState.OUT_OF_SCOPE}
    assert night.photos(ben.id) == [("jpegPhoto", b"b")]


def test_a_moved_unit_brings_and_takes_its_people(ldap: DirectoryServer) -> None:
    unit = ldap.tree.add(f"OU=Team,OU=Elsewhere,{ROOT}", objectClass=["organizationalUnit"], sAMAccountType=[])
    anna = ldap.person("anna", ou=unit.dn, jpegPhoto=b"a")
    mine: dict[str, Any] = {"ldap_base_dn": (PEOPLE,), "ldap_exclude_dn": (f"OU=Robots,{PEOPLE}",)}
    ldap.tree.add(f"OU=Robots,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    start = read_context(ldap.source(**mine))
    assert start.read == {}
    # As in AD, only the unit itself is reported; the people in it are not.
    ldap.tree.move(unit.guid, f"OU=Team,{PEOPLE}")
    anna.dn = f"CN=anna,OU=Team,{PEOPLE}"
    entered = read_context(ldap.source(**mine), start.cookie)
    assert entered.photos(anna.id) == [("jpegPhoto", b"a")]
    ldap.tree.move(unit.guid, f"OU=Team,OU=Robots,{PEOPLE}")
    anna.dn = f"CN=anna,OU=Team,OU=Robots,{PEOPLE}"
    assert read_context(ldap.source(**mine), entered.cookie).gone == {anna.id: PersonState.OUT_OF_SCOPE}


def test_a_deleted_unit_is_nobody(ldap: DirectoryServer) -> None:
    unit = ldap.tree.add(f"OU=Team,{PEOPLE}", objectClass=["organizationalUnit"], sAMAccountType=[])
    start = read_context(ldap.source())
    ldap.tree.delete(unit.guid)
    assert read_context(ldap.source(), start.cookie).gone == {}


# Asking again


def test_fetch_reads_in_few_searches_and_leaves_out_who_is_not_in_scope(crowd: DirectoryServer) -> None:
    source = crowd.source()
    read_context(source)
    before = len(crowd.server.asked)
    wanted = [crowd.tree.nth(number).id for number in range(0, 120)]
    assert len(list(source.fetch([*wanted, *wanted]))) == 108
    assert len(crowd.server.asked) - before == 3


def test_an_idle_connection_that_the_server_dropped_is_opened_again_once(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna")
    source = ldap.source()
    read_context(source)
    ldap.server.hang_up()
    assert [read.person.id for read in source.fetch([anna.id])] == [anna.id]
    ldap.server.hang_up()
    assert [read.person.id for read in source.find("anna")] == [anna.id]


def test_a_server_that_is_gone_for_good_is_an_error_for_fetch(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna")
    source = ldap.source()
    read_context(source)
    ldap.server.close()
    with pytest.raises(Unreachable, match="connection refused"):
        list(source.fetch([anna.id]))


def test_a_server_that_drops_idle_connections_by_the_clock_does_not_disturb(ldap: DirectoryServer) -> None:
    anna = ldap.person("anna")
    source = ldap.source()
    read_context(source)
    ldap.knobs.idle_seconds = 0.05
    list(source.fetch([anna.id]))
    threading.Event().wait(0.3)
    assert [read.person.id for read in source.fetch([anna.id])] == [anna.id]


@pytest.mark.parametrize("name", ["anna", "ANNA@contoso.test", "a.b@mail.test", f"CN=anna,{PEOPLE}"])
def test_somebody_is_found_by_each_of_her_names(ldap: DirectoryServer, name: str) -> None:
    anna = ldap.person("anna", mail="a.b@mail.test")
    ldap.person("ben")
    assert [read.person.id for read in ldap.source().find(name)] == [anna.id]


def test_two_people_of_one_name_are_both_found(ldap: DirectoryServer) -> None:
    for name in ("anna", "ben"):
        ldap.person(name, mail="office@contoso.test")
    assert len(ldap.source().find("office@contoso.test")) == 2


@pytest.mark.parametrize("name", ["*", "an*", "(objectClass=*)", ")(cn=*", "", "CN=x", f"CN=nobody,{PEOPLE}", "a\\2a"])
def test_nothing_that_is_typed_becomes_a_filter(ldap: DirectoryServer, name: str) -> None:
    ldap.person("anna")
    assert list(ldap.source().find(name)) == []


def test_no_secret_is_in_what_is_told_or_sent_in_clear(ldap: DirectoryServer) -> None:
    ldap.person("anna")
    ldap.knobs.refuse_page[1] = (51, "")
    source = ldap.source()
    with pytest.raises(Unreachable) as caught:
        read_context(source)
    shown = "".join([str(caught.value), repr(caught.value), repr(source), repr(ldap.server.asked)])
    assert PASSWORD not in shown
    assert base64.b64encode(PASSWORD.encode()).decode() not in shown
    assert not re.search("password=", shown)


def test_pages_that_come_again_and_again_end_the_reading(ldap: DirectoryServer) -> None:
    for number in range(30):
        ldap.person(f"person{number}")
    ldap.knobs.page_entries = 5
    ldap.knobs.endless_pages = True
    with pytest.raises(Unreachable, match="the same page came again"):
        read_context(ldap.source())
    assert len(ldap.server.asked) < 100


def test_dirsync_rounds_that_go_no_further_end_the_reading(ldap: DirectoryServer) -> None:
    ldap.person("ada")
    first = read_context(ldap.source())
    ldap.knobs.empty_rounds = 1_000_000
    with pytest.raises(Unreachable, match="sends nothing new"):
        read_context(ldap.source(), cookie=first.cookie)
    assert len(ldap.server.asked) < 500
