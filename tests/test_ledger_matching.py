"""Matching people and accounts rule by rule, then the safety limit that asks before faces change places."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.ledger.accounts import save_accounts
from connector.ledger.matching import (
    count_matched,
    count_rematched,
    count_settled,
    match_people,
    settle_matches,
    unmatched_accounts,
)
from connector.ledger.people import mark_gone, save_person
from connector.ledger.store import open_ledger
from connector.model import Account, MatchRule, Person, PersonState
from connector.photo import read_print
from tests.company import Colleague, Company, anchor_of, face
from tests.runner import shown

ANCHOR, SID, UPN, MAIL = MatchRule.ANCHOR, MatchRule.SID, MatchRule.UPN, MatchRule.MAIL
EMPLOYEE_ID, SAM = MatchRule.EMPLOYEE_ID, MatchRule.SAM_ACCOUNT_NAME


class Registry:
    """Both sides in a ledger of its own, and match them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def person(self, name: str, **known: Any) -> None:
        """Read a person."""
        save_person(self.db, Person(id=name, name=f"CN={name}", **known), context="DC=contoso", run=1)

    def account(self, name: str, **known: Any) -> None:
        """List an account; it is synced unless told otherwise."""
        save_accounts(self.db, [Account(id=name, **{"is_synced": True, **known})], run=1)

    def gone(self, name: str, state: PersonState) -> None:
        """Make somebody leave."""
        mark_gone(self.db, name, state, run=1)

    def matched(self, *rules: MatchRule, from_folder: bool = False, check_sid: bool = True) -> dict[str, str]:
        """Match by these rules; returns the account, or the problem, of everybody in scope."""
        match_people(self.db, rules, from_folder=from_folder, check_sid=check_sid)
        query = "SELECT id, account_id, match_problem FROM people WHERE state = 'in-scope' ORDER BY id"
        return {row["id"]: row["account_id"] or row["match_problem"] for row in self.db.execute(query)}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Open an empty registry."""
    with closing(open_ledger(tmp_path)[0]) as db:
        yield Registry(db)


def test_the_anchor_wins_over_every_name(registry: Registry) -> None:
    registry.person("anna", anchor="QQ==", upn="anna@contoso.test", sid="S-1-5-21-1")
    registry.account("hers", immutable_id="QQ==", upn="married@contoso.test")
    registry.account("namesake", upn="anna@contoso.test", sid="S-1-5-21-1")

    assert registry.matched(ANCHOR, SID, UPN) == {"anna": "hers"}


def test_anchors_are_compared_letter_by_letter(registry: Registry) -> None:
    registry.person("anna", anchor="QUJD")
    registry.person("bert", anchor="qujd")
    registry.account("hers", immutable_id="QUJD")

    assert registry.matched(ANCHOR) == {"anna": "hers", "bert": "no-account"}


@pytest.mark.parametrize(
    ("owner", "result"),
    [("in-scope", "no-account"), ("disabled", "no-account"), ("out-of-scope", "no-account"), ("deleted", "a")],
)
def test_a_sid_takes_no_account_that_somebody_elses_anchor_claims(registry: Registry, owner: str, result: str) -> None:
    registry.person("anna", anchor="QQ==", sid="S-1-5-21-1")
    registry.person("owner", anchor="Qg==")
    if owner != "in-scope":
        registry.gone("owner", PersonState(owner))
    registry.account("a", immutable_id="Qg==", sid="S-1-5-21-1")

    assert registry.matched(ANCHOR, SID)["anna"] == result


def test_a_sid_takes_a_synced_account_whose_anchor_is_nobodys(registry: Registry) -> None:
    registry.person("anna", anchor="QQ==", sid="S-1-5-21-1")
    registry.person("bert", anchor="Qg==", sid="S-1-5-21-2")
    registry.account("a", immutable_id="old", sid="S-1-5-21-1")
    registry.account("b", sid="S-1-5-21-2", is_synced=False)

    assert registry.matched(ANCHOR, SID) == {"anna": "a", "bert": "no-account"}


@pytest.mark.parametrize("rule", [UPN, MAIL])
@pytest.mark.parametrize(
    ("account", "result"),
    [
        ({}, "a"),
        ({"immutable_id": "somebody"}, "no-account"),
        ({"is_synced": False}, "no-account"),
        ({"is_synced": False, "is_guest": True}, "no-account"),
    ],
    ids=["synced without immutable ID", "with immutable ID", "cloud-only", "guest"],
)
def test_a_name_takes_only_a_synced_account_without_an_immutable_id(
    registry: Registry, rule: MatchRule, account: dict[str, Any], result: str
) -> None:
    registry.person("anna", anchor="QQ==", upn="anna@contoso.test", mail="anna@contoso.test")
    registry.account("a", upn="anna@contoso.test", mail="anna@contoso.test", **account)

    assert registry.matched(ANCHOR, rule) == {"anna": result}


def test_names_are_the_same_in_any_letter_case_and_unicode_form(registry: Registry) -> None:
    registry.person("jose", upn="Jose\u0301@Contoso.test")
    registry.account("a", upn="JOSÉ@contoso.test")

    assert registry.matched(ANCHOR, UPN) == {"jose": "a"}


def test_empty_names_are_never_equal(registry: Registry) -> None:
    registry.person("nameless")
    registry.account("a")

    assert registry.matched(ANCHOR, SID, UPN, MAIL) == {"nameless": "no-account"}


def test_two_accounts_for_one_person_are_not_guessed_nor_by_a_later_rule(registry: Registry) -> None:
    registry.person("anna", mail="anna@contoso.test", upn="anna@contoso.test")
    registry.account("a", mail="anna@contoso.test", upn="anna@contoso.test")
    registry.account("b", mail="anna@contoso.test")

    assert registry.matched(ANCHOR, MAIL, UPN) == {"anna": "ambiguous-match"}


def test_two_people_for_one_account_are_not_guessed_and_others_are_not_touched(registry: Registry) -> None:
    for name in ("anna", "bert"):
        registry.person(name, mail="team@contoso.test")
    registry.person("cleo", mail="cleo@contoso.test")
    registry.account("a", mail="team@contoso.test")
    registry.account("c", mail="cleo@contoso.test")

    assert registry.matched(ANCHOR, MAIL) == {"anna": "ambiguous-match", "bert": "ambiguous-match", "cleo": "c"}


def test_an_account_found_by_its_anchor_makes_nobody_ambiguous_by_name(registry: Registry) -> None:
    registry.person("anna", anchor="QQ==", mail="team@contoso.test")
    registry.person("bert", anchor="Qg==", mail="team@contoso.test")
    registry.account("a", immutable_id="QQ==", mail="team@contoso.test")
    registry.account("b", mail="team@contoso.test")

    assert registry.matched(ANCHOR, MAIL) == {"anna": "a", "bert": "b"}


def test_two_people_with_one_anchor_are_both_left_alone(registry: Registry) -> None:
    registry.person("anna", anchor="QQ==", sid="S-1-5-21-1", upn="anna@contoso.test")
    registry.person("bert", anchor="QQ==", sid="S-1-5-21-2")
    registry.account("a", immutable_id="QQ==")
    registry.account("b", sid="S-1-5-21-1", upn="anna@contoso.test")

    assert registry.matched(ANCHOR, SID, UPN) == {"anna": "ambiguous-match", "bert": "ambiguous-match"}

    registry.gone("bert", PersonState.DELETED)

    assert registry.matched(ANCHOR, SID, UPN) == {"anna": "a"}


@pytest.mark.parametrize("state", [PersonState.DISABLED, PersonState.OUT_OF_SCOPE])
def test_an_anchor_that_somebody_known_and_not_deleted_has_too_matches_nobody(
    registry: Registry, state: PersonState
) -> None:
    registry.person("director", anchor="QQ==")
    registry.gone("director", state)
    registry.person("intruder", anchor="QQ==", sid="S-1-5-21-2")
    registry.account("a", immutable_id="QQ==")
    registry.account("b", sid="S-1-5-21-2")

    assert registry.matched(ANCHOR, SID) == {"intruder": "ambiguous-match"}

    registry.account("a", immutable_id="QQ==", sid="S-1-5-21-2")

    assert registry.matched(ANCHOR, SID) == {"intruder": "a"}, "a migration that Connect has exported"


@pytest.mark.parametrize(
    ("person", "account", "result"),
    [
        ("S-1-5-21-1", "S-1-5-21-9", "anchor-disputed"),
        ("S-1-5-21-1", "S-1-5-21-1", "a"),
        ("", "S-1-5-21-9", "a"),
        ("S-1-5-21-1", "", "a"),
    ],
)
def test_an_account_with_somebody_elses_sid_is_no_match(
    registry: Registry, person: str, account: str, result: str
) -> None:
    registry.person("anna", anchor="QQ==", sid=person, upn="anna@contoso.test")
    registry.account("a", immutable_id="QQ==", sid=account)
    registry.account("b", upn="anna@contoso.test")

    assert registry.matched(ANCHOR, SID, UPN) == {"anna": result}, "and no later rule looks for another"

    assert registry.matched(ANCHOR, check_sid=False) == {"anna": "a"}


def test_a_disputed_account_stays_free_for_the_person_whose_sid_it_has(registry: Registry) -> None:
    registry.person("intruder", anchor="QQ==", sid="S-1-5-21-2")
    registry.person("director", anchor="other", sid="S-1-5-21-1")
    registry.account("a", immutable_id="Wg==", sid="S-1-5-21-1")
    registry.account("hers", immutable_id="QQ==", sid="S-1-5-21-3")

    assert registry.matched(ANCHOR, SID) == {"director": "a", "intruder": "anchor-disputed"}


@pytest.mark.parametrize(
    ("one", "other"), [("straße", "strasse"), ("\u212aate", "kate"), ("ﬁona", "fiona"), ("\u0130da", "i\u0307da")]
)
def test_letters_that_are_no_letter_case_of_each_other_are_other_names(
    registry: Registry, one: str, other: str
) -> None:
    registry.person("anna", upn=f"{one}@contoso.test")
    registry.account("a", upn=f"{other}@contoso.test")

    assert registry.matched(ANCHOR, UPN) == {"anna": "no-account"}


def test_a_contact_is_matched_to_the_guest_with_its_mail_and_to_nobody_else(registry: Registry) -> None:
    registry.person("contact", anchor="QQ==", mail="Eva@partner.example", is_contact=True)
    registry.person("stranger", anchor="Qg==", mail="member@contoso.test", is_contact=True)
    registry.account("guest", mail="eva@partner.example", is_guest=True, is_synced=False)
    registry.account("anchored", immutable_id="QQ==")
    registry.account("member", mail="member@contoso.test")

    assert registry.matched(ANCHOR, MAIL) == {"contact": "guest", "stranger": "no-account"}


def test_two_guests_with_a_contacts_mail_are_ambiguous(registry: Registry) -> None:
    registry.person("contact", mail="eva@partner.example", is_contact=True)
    for name in ("one", "two"):
        registry.account(name, mail="eva@partner.example", is_guest=True, is_synced=False)

    assert registry.matched(ANCHOR) == {"contact": "ambiguous-match"}


@pytest.mark.parametrize(
    ("rule", "person", "account"),
    [
        (UPN, {"upn": "ANNA@contoso.test"}, {"upn": "anna@contoso.test"}),
        (MAIL, {"mail": "anna@contoso.test"}, {"mail": "Anna@contoso.test"}),
        (EMPLOYEE_ID, {"employee_id": "0042"}, {"employee_id": "0042"}),
        (SAM, {"sam_account_name": "ANNA"}, {"sam_account_name": "anna"}),
    ],
)
def test_a_file_names_any_account_by_the_folders_key(
    registry: Registry, rule: MatchRule, person: dict[str, Any], account: dict[str, Any]
) -> None:
    registry.person("anna.jpg", **person)
    registry.account("a", immutable_id="somebody", is_synced=False, **account)

    assert registry.matched(rule, from_folder=True) == {"anna.jpg": "a"}


def test_an_employee_number_on_two_accounts_is_not_guessed(registry: Registry) -> None:
    registry.person("0042.jpg", employee_id="0042")
    registry.account("a", employee_id="0042")
    registry.account("b", employee_id="0042")

    assert registry.matched(EMPLOYEE_ID, from_folder=True) == {"0042.jpg": "ambiguous-match"}


def test_a_match_follows_what_the_accounts_say_tonight(registry: Registry) -> None:
    registry.person("anna", anchor="QQ==")
    registry.account("old", immutable_id="QQ==")
    registry.account("cloud-only", is_synced=False)
    assert registry.matched(ANCHOR) == {"anna": "old"}
    settle_matches(registry.db)
    assert (count_rematched(registry.db), count_settled(registry.db), unmatched_accounts(registry.db)) == (0, 1, 0)

    registry.account("old", immutable_id="")
    registry.account("new", immutable_id="QQ==")

    assert registry.matched(ANCHOR) == {"anna": "new"}
    assert count_rematched(registry.db) == 1
    assert count_rematched(registry.db, chosen=("anna", "bert")) == 1
    assert count_rematched(registry.db, chosen=("bert",)) == 0
    assert count_rematched(registry.db, unread={"DC=contoso"}) == count_settled(registry.db, unread={"DC=contoso"}) == 0
    assert count_matched(registry.db) == (1, 1)
    assert unmatched_accounts(registry.db) == 1, "the synced one that nobody has any more"


# The brake, end to end


def rotate(company: Company, team: Sequence[Colleague]) -> None:
    """Give everybody's account to the next one, as a wrong anchor attribute would."""
    for one, other in zip(team, (*team[1:], team[0]), strict=True):
        company.cloud.tenant.update_account(one.account_id, immutable_id=anchor_of(other.entry.guid))


def test_people_who_change_places_are_a_brake_and_pass_by_force_only(company: Company) -> None:
    company.settings["SYNC_MAX_REMATCHES"] = "2"
    team = company.team(5)
    company.sync()
    rotate(company, team[:3])
    written = len(company.cloud.tenant.writes())

    stopped = company.sync(days=1)
    again = company.sync(days=1)

    assert (stopped.code, again.code) == (4, 4), "the brake holds until somebody decides"
    assert "3 people changed or lost their account" in stopped.err
    assert "SYNC_MAX_REMATCHES" in stopped.err
    assert len(company.cloud.tenant.writes()) == written

    forced = company.sync("--force", days=1)

    assert (forced.code, forced.totals["replaced"]) == (0, 3)
    for account, owner in zip(team[:3], (team[1], team[2], team[0]), strict=True):
        assert shown(company.cloud, account.account_id).shows_same(read_print(face(owner.name)))
    quiet = company.sync(days=1)
    assert (quiet.code, quiet.requests["http"], quiet.totals["unchanged"]) == (0, 1, 5)


def test_people_who_lose_their_accounts_are_a_brake_until_they_have_them_again(company: Company) -> None:
    company.settings["SYNC_MAX_REMATCHES"] = "2"
    team = company.team(6)
    company.sync()
    for one in team[:3]:
        company.cloud.tenant.update_account(one.account_id, immutable_id="")

    stopped = company.sync(days=1)
    for one in team[:3]:
        company.cloud.tenant.update_account(one.account_id, immutable_id=anchor_of(one.entry.guid))
    mended = company.sync(days=1)

    assert stopped.code == 4
    assert stopped.of(team[0].upn) == ("skip", "no-account")
    assert (mended.code, mended.totals["unchanged"], mended.totals["replaced"]) == (0, 6, 0), mended.err
    assert len(company.cloud.tenant.writes()) == 6


def test_a_few_people_who_change_their_account_pass(company: Company) -> None:
    team = company.team(3)
    company.sync()
    rotate(company, team[:2])

    told = company.sync(days=1)

    assert (told.code, told.totals["replaced"]) == (0, 2), told.err
    assert shown(company.cloud, team[0].account_id).shows_same(read_print(face(team[1].name)))


def test_a_fallback_is_used_from_settings_and_told_when_it_is_not_enough(company: Company) -> None:
    lost = company.hire("lost", account=False)
    company.register("lost", lost.entry, immutable_id="")
    company.settings["MATCH_FALLBACK"] = "sid"
    assert company.sync().of(lost.upn) == ("skip", "no-account")

    company.settings["MATCH_FALLBACK"] = "sid,upn"
    told = company.sync(days=1)

    assert told.of(lost.upn) == ("create", "first-upload"), told.err


SID_BYTES = bytes.fromhex("010500000000000515000000") + b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 1104))


def test_whoever_writes_somebody_elses_anchor_gives_nobody_a_photo(company: Company) -> None:
    director = company.register("director", company.hire("director", account=False).entry, sid="S-1-5-21-1-2-3-500")
    company.sync()
    shown_before = company.photo(director)
    company.ldap.tree.change(director.entry.guid, userAccountControl="514")
    intruder = company.hire("intruder", account=False, objectSid=SID_BYTES)
    company.ldap.tree.change(intruder.entry.guid, **{"mS-DS-ConsistencyGuid": director.entry.guid})

    told = company.sync(days=1)

    assert told.of(intruder.upn) == ("skip", "anchor-disputed")
    assert (told.code, company.photo(director)) == (0, shown_before)

    company.settings["MATCH_CHECK_SID"] = "false"
    told = company.sync(days=1)

    assert told.of(intruder.upn) == ("skip", "ambiguous-match"), "the ledger knows the director"
    assert company.photo(director) == shown_before


def test_a_person_of_a_migrated_forest_is_matched_again_once_connect_has_exported_the_sid(company: Company) -> None:
    anna = company.hire("anna", account=False, objectSid=SID_BYTES)
    anna = company.register("anna", anna.entry, sid="S-1-5-21-7-7-7-1104")
    checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))
    assert "anna@contoso.test (anchor-disputed)" in checked.out
    assert company.sync().of(anna.upn) == ("skip", "anchor-disputed")

    company.cloud.tenant.update_account(anna.account_id, sid="S-1-5-21-1-2-3-1104")
    told = company.sync(days=1)

    assert told.of(anna.upn) == ("create", "first-upload")
