"""MATCH_EXTERNAL gives people the external accounts that they have in another tenant of the group, by mail."""

from __future__ import annotations

import pytest

from tests.company import Colleague, Company, copy_of, face


@pytest.fixture
def sister(company: Company) -> Company:
    """Open the office of a sister company, in whose tenant our people are guests or external members."""
    company.settings["MATCH_EXTERNAL"] = "true"
    return company


def external(company: Company, one: Colleague, *, user_type: str = "Member", mail: str = "") -> Colleague:
    upn = f"{one.name}_contoso.test#EXT#@sister.test"
    account_id = company.cloud.tenant.add_account(upn, mail=mail or one.upn, user_type=user_type)
    return Colleague(one.name, one.entry, account_id)


def test_members_and_guests_get_the_photo_of_who_has_their_mail(sister: Company) -> None:
    anna = external(sister, sister.hire("anna", account=False))
    bert = external(sister, sister.hire("bert", account=False), user_type="Guest")
    own = sister.hire("carl")
    spare = external(sister, own)

    told = sister.sync()

    assert {told.of(one.upn) for one in (anna, bert, own)} == {("create", "first-upload")}
    assert all(sister.photo(one) for one in (anna, bert, own))
    assert sister.photo(spare) is None, "carl has an account of his own here"
    shown = sister.runner.type("history", "--env-file", str(sister.runner.env_file()), anna.upn).out
    assert "matched by external" in shown
    sister.paint(anna, face("new anna"))
    assert sister.sync(days=1).of(anna.upn) == ("replace", "source-changed")


def test_without_the_setting_they_have_none(company: Company) -> None:
    anna = external(company, company.hire("anna", account=False))

    assert company.sync().of(anna.upn) == ("skip", "no-account")
    assert company.photo(anna) is None


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_a_photo_that_is_not_ours_is_never_replaced(sister: Company, options: tuple[str, ...]) -> None:
    sister.settings["SYNC_CONFLICT"] = "source"
    anna = external(sister, sister.hire("anna", account=False))
    bert = external(sister, sister.hire("bert", account=False))
    sister.cloud.tenant.set_photos({anna.account_id: face("own choice"), bert.account_id: copy_of("bert", 48)})
    before = sister.photo(anna), sister.photo(bert)

    told = sister.sync()
    assert (told.of(anna.upn), told.of(bert.upn)) == (("keep", "cloud-differs"), ("keep", "adopted"))
    sister.paint(anna, face("new anna"))
    chosen = ("--only", anna.upn, *options) if options else ()
    sister.sync(*chosen, days=1)

    assert (sister.photo(anna), sister.photo(bert)) == before


def test_what_is_ambiguous_is_never_guessed(sister: Company) -> None:
    twice, shared, native = (sister.hire(name, account=False) for name in ("twice", "shared", "native"))
    both = [external(sister, twice), external(sister, Colleague("twice2", twice.entry, ""), mail=twice.upn)]
    namesake = sister.hire("namesake", account=False, mail=shared.upn)
    one = external(sister, shared)
    sister.cloud.tenant.add_account("other@sister.test", mail=native.upn)
    two = external(sister, native)

    told = sister.sync()

    assert told.of(twice.upn) == ("skip", "ambiguous-match")
    assert {told.of(person.upn) for person in (shared, namesake)} == {("skip", "ambiguous-match")}
    assert told.of(native.upn) == ("skip", "no-account")
    assert all(sister.photo(account) is None for account in (*both, one, two))


def test_one_person_is_found_before_the_first_night_and_an_opt_out_counts(sister: Company) -> None:
    anna, bert = (external(sister, sister.hire(name, account=False)) for name in ("anna", "bert"))
    listed = sister.runner.folder / "opted-out.txt"
    listed.write_text(f"{bert.upn}\n", "utf-8")
    sister.settings["OPT_OUT_FILE"] = str(listed)

    assert sister.sync("--only", anna.upn).of(anna.upn) == ("create", "first-upload")
    assert sister.sync("--only", bert.upn).of(bert.upn) == ("skip", "opted-out")

    listed.write_text(f"{bert.upn}\n{anna.upn}\n", "utf-8")
    assert sister.sync(days=1).of(anna.upn) == ("remove", "opted-out")


def test_check_matches_as_a_run_does(sister: Company) -> None:
    external(sister, sister.hire("anna", account=False))

    told = sister.runner.type("check", "--env-file", str(sister.runner.env_file()))

    assert "1 of 1 people have an account" in told.out
