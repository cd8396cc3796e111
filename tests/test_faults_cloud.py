"""Graph fails in mid-run: what the administrator sees, and that the next run finishes; one fault a test."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from connector.model import Reason
from connector.model.reasons import ADVICE
from connector.photo import read_print
from tests.company import Colleague, Company, face, total
from tests.lab.graph import Fault
from tests.runner import CommandResult, shown
from tests.test_night_stops import PUT, puts, wait_until

BATCH = r"POST .*/\$batch"
LISTING = r"GET .*/users\?|GET .*/users$"
DENIED = Fault(status=403, code="ErrorAccessDenied", message="Access is denied.")


def put_right(company: Company, team: list[Colleague], *, created: int) -> None:
    """Live the night after the fault: it does what was left and nothing else, and then all is quiet."""
    assert company.cloud.violations() == []
    company.cloud.faults.clear()
    company.cloud.log.clear()  # the days pass for the program alone; for the service, its waits are not over
    told = company.sync(days=1)
    assert told.code == 0, told.err
    assert (told.totals["created"], told.totals["unchanged"]) == (created, len(team) - created)
    assert (told.totals["conflicts"], told.totals["open_intents"]) == (0, 0)
    for one in team:
        assert shown(company.cloud, one.account_id).shows_same(read_print(face(one.name))), one.name
    assert company.sync(days=1).requests["http"] == 1


def details(told: CommandResult, reason: str) -> list[str]:
    """Return what is said of the people with this reason."""
    return [outcome["detail"] for outcome in told.report["outcomes"] if outcome["reason"] == reason]


def meanwhile(is_time: Callable[[], bool], do: Callable[[], object]) -> threading.Thread:
    """Do something beside the night, as soon as it is time."""

    def wait_and_do() -> None:
        wait_until(is_time)
        do()

    beside = threading.Thread(target=wait_and_do)
    beside.start()
    return beside


# ----------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_a_403_on_every_upload_stops_after_ten_and_names_the_policy(company: Company, lanes: int) -> None:
    team = company.team(40)
    company.settings["SYNC_CONCURRENCY"] = str(lanes)
    company.cloud.fail_next(PUT, DENIED, times=-1)

    told = company.sync()

    assert told.code == 5, told.err
    assert "10 people in a row were refused" in told.err
    assert "photoUpdateSettings" in told.err
    assert 10 <= puts(company) <= 10 + (lanes - 1), "the tenth refusal ends it; others may be on the wire"
    assert told.reasons() == {"access-denied": 9, "postponed": 31}
    assert (told.totals["failed"], total(told.totals)) == (9, 40)
    assert company.cloud.tenant.writes() == []
    put_right(company, team, created=40)


def test_a_403_for_a_few_people_fails_them_alone(company: Company) -> None:
    team = company.team(30)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, DENIED, times=9)

    told = company.sync()

    assert told.code == 3, told.err
    assert (told.totals["failed"], told.totals["created"]) == (9, 21)
    assert all("ErrorAccessDenied" in detail for detail in details(told, "access-denied"))
    assert "photoUpdateSettings" in told.out, "the cure of the reason, once for all nine"
    put_right(company, team, created=9)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "BadRequest"), (404, "Odd"), (409, "Conflict"), (412, "ErrorPreconditionFailed")]
)
def test_a_400_404_409_or_412_fails_one_person_by_name(company: Company, status: int, code: str) -> None:
    team = company.team(6)
    company.cloud.fail_next(PUT, Fault(status=status, code=code, message="No."), times=1)

    told = company.sync()

    assert told.code == 3, told.err
    assert (told.totals["created"], told.totals["failed"], told.totals["conflicts"]) == (5, 1, 0)
    (detail,) = details(told, "cloud-error")
    assert f"HTTP {status}, {code}: No." in detail
    assert "@contoso.test could not be written" in detail
    assert "support the request-id" in ADVICE[Reason.CLOUD_ERROR].cure
    put_right(company, team, created=1)


def test_a_404_for_a_user_deleted_in_mid_run_is_that_persons_alone(company: Company) -> None:
    team = company.team(6)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="hold", performed=True), times=1)
    leaver = max(team, key=lambda one: one.entry.id)

    def leave() -> None:
        company.cloud.tenant.remove_account(leaver.account_id)
        company.cloud.faults.let_go()

    beside = meanwhile(lambda: company.cloud.faults.held > 0, leave)

    told = company.sync()
    beside.join()

    assert told.code == 3, told.err
    assert told.of(leaver.upn) == ("fail", "account-gone")
    assert (told.totals["created"], told.totals["failed"]) == (5, 1)
    assert "is not there (any more, or yet)" in details(told, "account-gone")[0]

    after = company.sync(days=1)

    assert (after.code, after.of(leaver.upn)) == (0, ("skip", "no-account"))
    assert len(company.cloud.tenant.writes()) == 5


# ----------------------------------------------------------------------------- the token


def test_a_401_in_mid_run_is_answered_with_a_new_token(company: Company) -> None:
    team = company.team(6)
    before = company.cloud.counts().get("token", 0)
    company.cloud.fail_next(PUT, Fault(status=401, code="InvalidAuthenticationToken", skip=2), times=1)

    told = company.sync()

    assert (told.code, told.totals["created"]) == (0, 6), told.err
    issued = company.cloud.counts()["token"] - before
    assert issued % 2 == 0, "each acquisition is two requests of MSAL's"
    assert issued == 4, "one token, and one more"
    put_right(company, team, created=0)


def test_a_401_that_a_new_token_does_not_mend_ends_the_run_at_the_tenth_person(company: Company) -> None:
    team = company.team(20)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(status=401, code="InvalidAuthenticationToken", skip=2), times=-1)

    told = company.sync()

    assert told.code == 5, told.err
    assert "our token was refused, also after it was renewed" in told.err
    assert (told.totals["created"], told.totals["skipped"], told.totals["failed"]) == (2, 9, 9)
    put_right(company, team, created=18)


# ----------------------------------------------------------------------------- load


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_429_or_5xx_that_passes_is_sat_out(company: Company, status: int) -> None:
    team = company.team(6)
    company.cloud.fail_next(PUT, Fault(status=status, retry_after="0.1" if status in (429, 503) else ""), times=1)

    told = company.sync()

    assert (told.code, told.totals["created"], told.requests["http_retries"]) == (0, 6, 1), told.err
    assert len(company.cloud.tenant.writes()) == 6
    put_right(company, team, created=0)


def test_a_429_storm_slows_the_night_and_loses_nobody(company: Company) -> None:
    team = company.team(30)
    company.cloud.set(storm_percent=30.0, retry_after_seconds=0.05, retry_after_forms=("decimal",))

    told = company.sync()
    company.cloud.set(storm_percent=0.0)

    assert (told.code, told.totals["created"]) == (0, 30), told.err
    assert told.requests["http_retries"] > 0
    assert len(company.cloud.tenant.writes()) == 30, "who was told to wait was not served meanwhile"
    put_right(company, team, created=0)


def test_a_429_that_says_come_back_in_an_hour_ends_the_run(company: Company) -> None:
    team = company.team(20)
    company.cloud.fail_next(PUT, Fault(status=429, retry_after="3600", skip=5), times=-1)

    told = company.sync()

    assert told.code == 5, told.err
    assert "the service asked to wait 3600 seconds more" in told.err
    assert (told.totals["created"], told.totals["skipped"], told.totals["failed"]) == (5, 15, 0)
    assert puts(company) <= 5 + int(company.settings.get("SYNC_CONCURRENCY", "4")), "nobody tries inside the wait"
    put_right(company, team, created=15)


# ----------------------------------------------------------------------------- the wire


@pytest.mark.parametrize("is_performed", [False, True], ids=["not-carried-out", "carried-out"])
@pytest.mark.parametrize("kind", ["drop", "drop-mid"])
def test_an_upload_whose_connection_drops_is_no_conflict(company: Company, kind: str, is_performed: bool) -> None:
    team = company.team(6)
    company.cloud.fail_next(PUT, Fault(kind=kind, performed=is_performed), times=2)

    told = company.sync()

    assert (told.code, told.totals["created"], told.totals["conflicts"]) == (0, 6, 0), told.err
    repeated = 2 if is_performed or kind == "drop-mid" else 0
    assert len(company.cloud.tenant.writes()) == 6 + repeated, "only what may have been lost is sent again"
    put_right(company, team, created=0)


@pytest.mark.parametrize("route", [BATCH, LISTING], ids=["batch", "listing"])
@pytest.mark.parametrize("kind", ["drop", "drop-mid"])
def test_an_answer_that_drops_in_mid_response_is_asked_for_again(company: Company, route: str, kind: str) -> None:
    team = company.team(6)
    company.cloud.fail_next(route, Fault(kind=kind, performed=True), times=1)

    told = company.sync()

    assert (told.code, told.totals["created"], told.requests["http_retries"]) == (0, 6, 1), told.err
    put_right(company, team, created=0)


@pytest.mark.parametrize("route", [BATCH, LISTING], ids=["batch", "listing"])
def test_a_slow_body_is_read_to_its_end(company: Company, route: str) -> None:
    team = company.team(6)
    company.cloud.fail_next(route, Fault(kind="drip", seconds=1.0), times=1)

    told = company.sync()

    assert (told.code, told.totals["created"], told.requests["http_retries"]) == (0, 6, 0), told.err
    put_right(company, team, created=0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wrong-content", ["a web page came in place of the list of users", "Check HTTPS_PROXY and NO_PROXY"]),
        ("empty", ["it did not answer as Graph does", "whether a proxy answers in Graph's place"]),
        ("truncated", ["it did not answer as Graph does", "whether a proxy answers in Graph's place"]),
    ],
)
def test_a_listing_with_wrong_content_ends_the_run_before_anything_is_written(
    company: Company, kind: str, words: list[str]
) -> None:
    team = company.team(6)
    company.cloud.fail_next(LISTING, Fault(kind=kind), times=1)

    told = company.sync()

    assert told.code == 5, told.err
    assert [part for part in words if part not in told.err] == []
    assert company.cloud.tenant.writes() == []
    put_right(company, team, created=6)


@pytest.mark.parametrize("kind", ["wrong-content", "empty", "truncated"])
def test_a_batch_with_wrong_content_is_asked_for_again(company: Company, kind: str) -> None:
    team = company.team(6)
    company.cloud.fail_next(BATCH, Fault(kind=kind), times=1)

    told = company.sync()

    assert (told.code, told.totals["created"]) == (0, 6), told.err
    assert len(company.cloud.tenant.writes()) == 6
    put_right(company, team, created=0)


def test_an_upload_that_a_web_page_answers_is_not_taken_for_done(company: Company) -> None:
    team = company.team(6)
    company.cloud.fail_next(PUT, Fault(kind="wrong-content"), times=1)

    told = company.sync()

    assert told.code == 3, told.err
    assert (told.totals["created"], told.totals["failed"], told.totals["conflicts"]) == (5, 1, 0)
    assert "a web page came in Graph's place" in details(told, "unreadable-answer")[0]
    put_right(company, team, created=1)


def test_a_removal_that_a_web_page_answers_is_not_taken_for_done(company: Company) -> None:
    company.settings["SYNC_REMOVED"] = "remove"
    team = company.team(3)
    company.sync()
    company.paint(team[0], None)
    company.cloud.fail_next(r"DELETE .*/photo/\$value", Fault(kind="wrong-content"), times=1)

    told = company.sync(days=1)

    assert (told.code, told.of(team[0].upn)) == (3, ("fail", "unreadable-answer")), told.err
    assert company.photo(team[0]) is not None

    after = company.sync(days=1)

    assert (after.code, after.totals["removed"]) == (0, 1), after.err
    assert company.photo(team[0]) is None


def test_a_tls_certificate_that_changes_in_mid_run_ends_it_and_nothing_is_lost(company: Company) -> None:
    team = company.team(20)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(PUT, Fault(kind="slow", seconds=0.1, performed=True), times=-1)
    beside = meanwhile(lambda: puts(company) >= 3, company.cloud.change_certificate)

    told = company.sync()
    beside.join()

    assert told.code == 5, told.err
    assert "the certificate of 127.0.0.1 was not accepted" in told.err
    assert "HTTP_CA_FILE" in told.err
    assert (told.totals["failed"], told.totals["conflicts"]) == (0, 0)
    assert told.totals["created"] + told.totals["skipped"] == total(told.totals) == 20
    assert told.totals["created"] >= 3
    done = {write.account_id for write in company.cloud.tenant.writes()}
    company.cloud.restore_certificate()
    put_right(company, team, created=20 - len(done))
    assert len(company.cloud.tenant.writes()) == 20, "what was cut off while it was carried out is not sent twice"
