"""One person's refusal is one person's; ten of the same in a row end the run, and a web page is never an answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.cloud import open_cloud
from connector.cloud.refusal_limit import IN_A_ROW
from connector.errors import PersonError, Unreachable
from connector.model import Account, Reason, RequestCounters
from connector.targets.graph import GraphTarget
from tests.cloud_stories import (
    Reply,
    Scripted,
    as_json,
    picture,
)
from tests.company import Colleague, Company, face, total
from tests.lab.graph import Emulator, Fault
from tests.test_faults_cloud import BATCH, details, put_right
from tests.test_night_stops import PUT, puts

PROTECTED = Fault(status=403, code="Authorization_RequestDenied", message="Insufficient privileges.")
PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the proxy</title></head><body>token=s3cr3t</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


def of(one: Colleague) -> str:
    """Return what a route about somebody's photo begins with."""
    return f"PUT .*{one.account_id}/photo"


# ----------------------------------------------------------------------------- a batch


@pytest.mark.parametrize("status", [400, 500])
def test_one_bad_account_does_not_take_its_batch_with_it(cloud: Emulator, tmp_path: Path, status: int) -> None:
    bad, asked = "p03", []

    def answer(method: str, path: str, body: bytes) -> Reply:
        asked.append(body)
        if bad.encode() in body:
            return as_json({"error": {"code": "BadRequest", "message": "Failure - status code undefined"}}, status)
        ids = [str(number) for number in range(body.count(b'"url"'))]
        return as_json({"responses": [{"id": one, "status": 404, "body": NO_PHOTO} for one in ids]})

    with Scripted(answer) as server, open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened:
        seen = GraphTarget(opened.transport).tags([Account(id=f"p{number:02}") for number in range(20)])
    error = seen[bad]
    assert isinstance(error, PersonError)
    assert "status code undefined" in str(error)
    assert [one for key, one in seen.items() if key != bad] == [None] * 19
    distinct = len(set(asked))
    assert distinct <= 1 + 2 * 5, "the bad one is found in halves"


NO_PHOTO = {"error": {"code": "ImageNotFound", "message": "ImageNotFoundException"}}


# ----------------------------------------------------------------------------- protected people


def test_a_protected_person_fails_alone_and_is_named_so(company: Company) -> None:
    team = company.team(12)
    company.settings["SYNC_CONCURRENCY"] = "1"
    role_holder = max(team, key=lambda one: one.entry.id)
    company.cloud.fail_next(of(role_holder), PROTECTED, times=-1)

    told = company.sync()

    assert (told.code, told.totals["created"], told.totals["failed"]) == (3, 11, 1), told.err
    (detail,) = details(told, "access-denied")
    assert f"{role_holder.upn} is protected" in detail
    assert "restricted management administrative unit" in detail
    assert "photoUpdateSettings" not in detail
    put_right(company, team, created=1)


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_missing_permission_to_write_ends_the_run_at_the_tenth_person(company: Company, lanes: int) -> None:
    team = company.team(30)
    company.settings["SYNC_CONCURRENCY"] = str(lanes)
    company.cloud.fail_next(PUT, PROTECTED, times=-1)

    told = company.sync()

    assert told.code == 5, told.err
    assert "the application lacks a permission" in told.err
    assert IN_A_ROW <= puts(company) <= IN_A_ROW + lanes - 1
    assert total(told.totals) == 30
    put_right(company, team, created=30)


def test_twelve_people_who_fail_every_night_hold_nobody_up(company: Company) -> None:
    team = company.team(30)
    company.settings["SYNC_CONCURRENCY"] = "1"
    guests = sorted(team, key=lambda one: one.entry.id)[:12]
    for guest in guests:
        refused = Fault(status=401, code="UnknownError")
        company.cloud.fail_next(f"ITEM GET .*{guest.account_id}/photo", refused, times=-1)
        company.cloud.fail_next(of(guest), PROTECTED, times=-1)

    results = [company.sync(days=1) for _ in range(3)]

    assert sum(night.totals["created"] for night in results) == 18
    assert (results[-1].code, results[-1].totals["failed"]) == (3, 12)


def test_twenty_people_who_answer_nothing_but_401_hold_nobody_up_after_one_night(company: Company) -> None:
    team = company.team(40)
    company.settings["SYNC_CONCURRENCY"] = "1"
    for guest in sorted(team, key=lambda one: one.entry.id)[:20]:
        company.cloud.fail_next(
            f"ITEM GET .*{guest.account_id}/photo", Fault(status=401, code="UnknownError"), times=-1
        )

    first, second = company.sync(), company.sync(days=1)

    assert (first.code, first.totals["created"]) == (5, 0), "so many at first may be everybody"
    assert "our token was refused, also after it was renewed" in first.err
    assert (second.code, second.totals["created"], second.totals["failed"]) == (3, 20, 20)


# ----------------------------------------------------------------------------- no mailbox


def test_outlooks_word_for_no_mailbox_is_not_taken_for_a_deleted_account(company: Company) -> None:
    team = company.team(3)
    outlook = Fault(status=404, code="ResourceNotFound", message="Resource could not be discovered.")
    company.cloud.fail_next(of(team[0]), outlook, times=-1)

    told = company.sync()

    assert (told.code, told.of(team[0].upn)) == (0, ("skip", "no-mailbox"))


# ----------------------------------------------------------------------------- a claims challenge


def test_a_claims_challenge_is_named_as_conditional_access(cloud: Emulator, tmp_path: Path) -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4i"'}
    answer = (401, challenge, b"")
    with (
        Scripted(lambda *_: answer) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
        pytest.raises(Unreachable, match="Conditional Access") as caught,
    ):
        GraphTarget(opened.transport).put(Account(id="1"), picture())
    assert "workload identities" in caught.value.fix
    assert "GRAPH_CLOUD" not in str(caught.value)


# ----------------------------------------------------------------------------- web pages

Ask = Callable[[GraphTarget, list[Account]], object]


def put_all(target: GraphTarget, accounts: list[Account]) -> None:
    """Write everybody's photo; the first nine fail alone."""
    for account in accounts[: IN_A_ROW - 1]:
        with pytest.raises(PersonError, match="a web page came in Graph's place") as caught:
            target.put(account, picture())
        assert caught.value.reason is Reason.UNREADABLE_ANSWER
    target.put(accounts[-1], picture())


ASKED: dict[str, Ask] = {
    "tags": lambda target, accounts: target.tags(accounts),
    "photos": lambda target, accounts: target.photos(accounts),
    "write": put_all,
}


@pytest.mark.parametrize("status", [200, 302, 403, 407, 451, 511])
@pytest.mark.parametrize("asked", list(ASKED))
def test_a_page_in_place_of_an_answer_ends_the_run_and_is_named(
    cloud: Emulator, tmp_path: Path, asked: str, status: int
) -> None:
    where = {"Location": "https://portal.contoso.test/login?token=s3cr3t"} if status == 302 else {}
    page = (status, {**HTML, **where}, PAGE)
    accounts = [Account(id=f"p{number:02}", upn=f"p{number:02}@contoso.test") for number in range(20)]
    with (
        Scripted(lambda *_: page) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
        pytest.raises(Unreachable, match="a web page came in place of") as caught,
    ):
        ASKED[asked](GraphTarget(opened.transport), accounts)
    assert caught.value.exit_code == 5
    assert "HTTPS_PROXY" in caught.value.fix
    assert "photoUpdateSettings" not in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("route", [BATCH, PUT], ids=["batch", "write"])
def test_a_filter_that_answers_403_with_a_page_ends_the_night(company: Company, route: str) -> None:
    team = company.team(20)
    company.settings["SYNC_CONCURRENCY"] = "1"
    company.cloud.fail_next(route, Fault(kind="wrong-content", page_status=403), times=-1)

    told = company.sync()

    assert told.code == 5, told.err
    assert "a web page came in place of" in told.err
    assert "HTTPS_PROXY" in told.err
    assert "photoUpdateSettings" not in told.err + told.out
    assert "Traceback" not in told.err
    put_right(company, team, created=20)


# ----------------------------------------------------------------------------- no picture


@pytest.mark.parametrize("form", ["text", "base64", "cut"])
def test_a_page_in_a_photos_place_is_never_kept_as_its_backup(company: Company, form: str) -> None:
    one = company.hire("ada")
    company.cloud.tenant.set_photo(one.account_id, face("somebody else"))
    before = company.photo(one)
    assert before is not None
    body = {"text": PAGE.decode(), "base64": base64.b64encode(PAGE).decode()}.get(form)
    body = body or base64.b64encode(before[: len(before) // 3]).decode()
    company.cloud.fail_next(r"ITEM GET .*/photo/\$value", Fault(kind="item-body", message=body), times=-1)

    told = company.sync()

    assert (told.code, told.of(one.upn)) == (3, ("fail", "unreadable-answer")), told.err
    assert company.photo(one) == before
    assert company.cloud.tenant.writes() == []


# ----------------------------------------------------------------------------- one person alone is throttled


def test_a_person_who_is_throttled_alone_in_a_batch_holds_nobody_up(company: Company) -> None:
    team = company.team(6)
    company.settings["SYNC_CONCURRENCY"] = "1"
    throttled = Fault(status=429, retry_after="0.1")
    company.cloud.fail_next(f"ITEM GET .*{team[0].account_id}/photo", throttled, times=4)

    told = company.sync()

    assert (told.code, told.totals["created"]) == (0, 6), told.err
    assert told.report["pace"]["waits"] == 2, "from the third refusal on, nobody else waits"
    assert company.cloud.violations() == []
