"""Answers that make no sense, from the issuer, Graph and the directory: exit 5 in words, or one person's trouble."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connector.cloud import open_cloud
from connector.cloud.accounts import list_accounts
from connector.cloud.response import read_json
from connector.cloud.retry import http_date, retry_after
from connector.errors import Unreachable
from connector.model import RequestCounters
from tests.cloud_stories import Reply, Scripted, as_json
from tests.company import Company
from tests.lab.graph import Emulator

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

DEEP = b'{"value":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


# -- halves of characters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'"a\\ud800b"', "a\ufffdb"),
        (b'"\\udc00\\ud800"', "\ufffd\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\uD83D\\uDE00\\uD83D"', "\U0001f600\ufffd"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\\\\\ud800"', "\\\ufffd"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'"\xff"', "\ufffd"),
        (b"\xef\xbb\xbf{}", {}),
        (DEEP, None),
        (b"[" + b"9" * 5_000 + b"]", None),
        (b"no JSON", None),
        (b"", None),
    ],
)
def test_any_bytes_are_read_as_json_or_as_nothing(text: bytes, value: object) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize("place", ["userPrincipalName", "mail", "employeeId", "onPremisesSamAccountName"])
def test_half_a_character_in_one_account_ends_no_night(company: Company, place: str) -> None:
    company.team(3)
    strange = {place: "strange\ud800@contoso.test"}
    company.cloud.tenant.add_account("other@contoso.test", **strange)

    first = company.sync()
    company.cloud.tenant.add_account("another@contoso.test", **{place: "more\udfff@contoso.test"})
    second = company.sync(days=1)

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (first.totals["created"], second.totals["unchanged"]) == (3, 3)


@pytest.mark.parametrize("name", ["userPrincipalName", "mail", "sAMAccountName"])
def test_half_a_character_in_one_entry_ends_no_night(company: Company, name: str) -> None:
    company.team(3)
    company.hire("strange", account=False, **{name: b"strange\xed\xa0\x80@contoso.test"})

    told = company.sync()

    assert (told.code, told.totals["created"], told.totals["skipped"]) == (0, 3, 1), told.err


def test_half_a_character_in_a_refusal_is_one_persons(company: Company, tmp_path: Path) -> None:
    team = company.team(3)
    garbled = json.dumps({"error": {"code": "Strange\ud800", "message": "\udfff"}}).encode()

    def garble(status: int, headers: dict[str, str], body: bytes) -> Reply:
        return (
            (418, headers, garbled)
            if not body and status == 200 and not headers.get("OData-Version")
            else (
                status,
                headers,
                body,
            )
        )

    company.cloud.world.garble = garble
    try:
        told = company.sync()
    finally:
        company.cloud.world.garble = None

    assert told.code == 3, told.err
    assert told.totals["failed"] == len(team)
    assert "Traceback" not in told.err


# -- numbers, dates and shapes


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Thu, 01 Jan 0000 00:00:00 -9999", "", "9" * 400]
)
def test_a_date_outside_all_calendars_is_none(date: str) -> None:
    assert http_date(date) is None
    assert retry_after({"retry-after": date, "date": date}) is None


@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b"[]",
        b'"text"',
        b'{"value": {}}',
        b'{"value": [[]]}',
        b'{"value": [{"userPrincipalName": "ada@lab"}]}',
        b'{"value": [{"id": ["1"]}]}',
        b'{"value": [null]}',
        b"{",
    ],
)
def test_a_list_of_accounts_in_another_shape_is_no_list(cloud: Emulator, tmp_path: Path, body: bytes) -> None:
    answer = (200, {"Content-Type": "application/json"}, body)
    with (
        Scripted(lambda *_: answer) as server,
        open_cloud(server.settings(cloud, tmp_path), RequestCounters()) as opened,
        pytest.raises(Unreachable, match="did not answer as Graph does"),
    ):
        list(list_accounts(opened.transport))


TOKEN = {"token_type": "Bearer", "access_token": "eyJh.eyJi.c", "expires_in": 3599}
NONSENSE: dict[str, object] = {
    "list": [TOKEN],
    "number": 5,
    "token-list": {**TOKEN, "access_token": ["eyJh"]},
    "token-half-a-character": {**TOKEN, "access_token": "eyJh\ud800"},
    "token-line-break": {**TOKEN, "access_token": "eyJh.eyJi\r\nX-Evil: 1"},
    "token-other-letters": {**TOKEN, "access_token": "eyJh.\u00e4"},
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_token_answer_that_makes_no_sense_is_refused_and_never_shown(
    cloud: Emulator, tmp_path: Path, kind: str
) -> None:
    shown = ask_token(cloud, tmp_path, as_json(NONSENSE[kind]))
    assert shown.startswith("token:")
    assert "eyJ" not in shown


@pytest.mark.parametrize("body", [json.dumps(TOKEN).encode() + b"<html>appended</html>", DEEP, b"", b"eyJh.eyJi.c"])
def test_a_token_answer_that_is_no_json_is_refused_and_never_shown(
    cloud: Emulator, tmp_path: Path, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ask_token(cloud, tmp_path, (200, {"Content-Type": "application/json"}, body))
    assert "no JSON" in shown
    assert "eyJ" not in shown + "".join(capsys.readouterr())


@pytest.mark.parametrize("seconds", [10**400, -1, "9" * 400, "nonsense", None, [], 1e308, True])
def test_a_lifetime_that_makes_no_sense_harms_no_token(cloud: Emulator, tmp_path: Path, seconds: object) -> None:
    assert ask_token(cloud, tmp_path, as_json({**TOKEN, "expires_in": seconds})) == "eyJh.eyJi.c"


def test_a_token_answer_of_more_than_a_megabyte_is_given_up(cloud: Emulator, tmp_path: Path) -> None:
    shown = ask_token(cloud, tmp_path, as_json({**TOKEN, "padding": "x" * (1 << 20)}))
    assert "sent an answer of more than 1 MB" in shown
    assert "eyJ" not in shown


@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint"])
@pytest.mark.parametrize("address", [None, [], "http://issuer.lab/token", "https://issuer lab/", 5])
def test_a_discovery_document_without_https_addresses_is_refused(
    cloud: Emulator, tmp_path: Path, name: str, address: object
) -> None:
    shown = ask_token(cloud, tmp_path, as_json(TOKEN), **{name: address})
    assert f"no https address as {name}" in shown


def ask_token(cloud: Emulator, folder: Path, answer: Reply, **discovered: object) -> str:
    """Return the token that a scripted issuer gives, or the words of its refusal."""

    def say(method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            return answer
        root = f"{issuer.url}/{cloud.tenant_id}"
        urls = {"token_endpoint": f"{root}/token", "authorization_endpoint": f"{root}/authorize", "issuer": root}
        return as_json({**urls, **discovered})

    with (
        Scripted(say) as issuer,
        open_cloud(issuer.settings(cloud, folder, azure_authority_host=issuer.url), RequestCounters()) as opened,
    ):
        try:
            return opened.token_source.token()
        except Unreachable as refused:
            return str(refused)
