"""The emulated token issuer gives tokens to the right ones, and its Graph asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
import requests

from tests.lab.caller import PHOTO, Caller, code_of, colour
from tests.lab.graph import DeskError, Emulator, Fault, Switches, app_certificate, remote


@pytest.fixture
def caller(cloud: Emulator) -> Iterator[Caller]:
    with Caller(cloud) as calling:
        yield calling


def test_a_secret_gives_a_token_with_the_app_roles(cloud: Emulator, caller: Caller) -> None:
    answer = caller.token()
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    assert claims["aud"] == cloud.graph_url
    assert claims["roles"] == ["User.Read.All", "ProfilePhoto.ReadWrite.All"]
    assert [record.status for record in cloud.requests if record.kind == "token"] == [200, 200]


@pytest.mark.parametrize("thumbprint", [False, True], ids=["ps256-x5t-s256", "rs256-x5t"])
def test_a_registered_certificate_is_really_verified(
    cloud: Emulator, caller: Caller, tmp_path: Path, *, thumbprint: bool
) -> None:
    ours, other = app_certificate(tmp_path, name="ours"), app_certificate(tmp_path, name="other")
    shown: dict[str, Any] = {"private_key": ours.pem_file.read_text(), "public_certificate": ours.public_pem}
    stolen = shown | {"private_key": other.pem_file.read_text()}
    if thumbprint:
        shown["thumbprint"] = stolen["thumbprint"] = ours.sha1
    assert caller.token(shown)["error_codes"] == [700027]
    cloud.issuer.register_certificate(ours.public_pem)
    assert "access_token" in caller.token(shown)
    assert caller.token(stolen)["error_codes"] == [700027]


def test_a_pfx_with_a_password_signs_in(cloud: Emulator, caller: Caller, tmp_path: Path) -> None:
    ours = app_certificate(tmp_path, password="only for tests")
    cloud.issuer.register_certificate(ours.public_pem)
    shown = {"private_key_pfx_path": str(ours.pfx_file), "passphrase": ours.password, "public_certificate": True}
    assert "access_token" in caller.token(shown)


def test_a_federated_assertion_is_verified(cloud: Emulator, caller: Caller) -> None:
    assert "access_token" in caller.token({"client_assertion": cloud.issuer.federated_assertion})
    wrong = cloud.issuer.federated_assertion(audience="api://somewhere-else")
    assert caller.token({"client_assertion": lambda: wrong})["error_codes"] == [700023]
    stranger = cloud.issuer.federated_assertion(subject="another-workload")
    assert caller.token({"client_assertion": lambda: stranger})["error_codes"] == [700021]


def test_a_wrong_secret_is_refused_in_the_documented_body(caller: Caller) -> None:
    answer = caller.token("not the secret")
    assert answer["error"] == "invalid_client"
    assert answer["error_codes"] == [7000215]
    text = answer["error_description"].split("\r\n")
    assert text[0].startswith("AADSTS7000215: Invalid client secret")
    assert [line.split(":")[0] for line in text[1:]] == ["Trace ID", "Correlation ID", "Timestamp"]


def test_an_expired_secret_an_unknown_app_and_a_missing_credential_are_told_apart(
    cloud: Emulator, caller: Caller
) -> None:
    assert caller.token(client_id="11111111-2222-3333-4444-555555555555")["error_codes"] == [700016]
    cloud.issuer.expire_secret()
    assert caller.token()["error_codes"] == [7000222]
    url = f"{cloud.authority_host}/{cloud.tenant_id}/oauth2/v2.0/token"
    bare = {"grant_type": "client_credentials", "client_id": cloud.client_id, "scope": "x/.default"}
    refused = caller.session.post(url, data=bare, timeout=120)
    assert (refused.status_code, refused.json()["error_codes"]) == (401, [7000218])


def test_an_unknown_tenant_is_refused_at_discovery(cloud: Emulator, caller: Caller) -> None:
    url = f"{cloud.authority_host}/nobody.example/v2.0/.well-known/openid-configuration"
    refused = caller.session.get(url, timeout=120)
    assert (refused.status_code, refused.json()["error_codes"]) == (400, [90002])


def test_a_fault_at_the_issuer_can_be_asked_for(cloud: Emulator, caller: Caller) -> None:
    cloud.fail_next("POST .*/oauth2/v2.0/token", Fault(status=503, code="temporarily_unavailable"))
    with pytest.raises(Exception, match="503"):
        caller.token()
    assert "access_token" in caller.token()


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("", "Access token is empty."),
        ("Bearer nonsense", "IDX14100: JWT is not well formed"),
        ("Bearer a.b.c", "CompactToken parsing failed"),
    ],
    ids=["none", "not-a-jwt", "forged"],
)
def test_a_request_without_a_good_token_is_challenged(caller: Caller, header: str, text: str) -> None:
    answer = caller.get("/users", headers={"Authorization": header} if header else {})
    assert (answer.status_code, code_of(answer)) == (401, "InvalidAuthenticationToken")
    assert answer.json()["error"]["message"].startswith(text)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="", authorization_uri=')


def test_a_token_for_another_resource_is_refused(cloud: Emulator, caller: Caller) -> None:
    token = cloud.issuer.issued("https://vault.example")["access_token"]
    answer = caller.get("/users", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["error"]["message"] == "Access token validation failure. Invalid audience."


def test_tokens_expire_by_lifetime_and_on_demand(cloud: Emulator, caller: Caller) -> None:
    cloud.set(token_lifetime=0)
    caller.sign_in()
    assert caller.get("/users").json()["error"]["message"] == "Lifetime validation failed, the token is expired."
    cloud.set(token_lifetime=3599)
    caller.sign_in()
    assert caller.get("/users").status_code == 200
    cloud.issuer.expire_tokens()
    assert caller.get("/users").status_code == 401


@pytest.mark.parametrize("form", ["vm", "app-service"])
def test_the_machines_identity_gives_a_token(
    cloud: Emulator, caller: Caller, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    for name, value in cloud.identity_environ(form).items():
        monkeypatch.setenv(name, value)
    client = msal.ManagedIdentityClient(msal.SystemAssignedManagedIdentity(), http_client=caller.session)
    answer = client.acquire_token_for_client(resource=cloud.graph_url)
    caller.session.headers["Authorization"] = f"Bearer {answer['access_token']}"
    assert caller.get("/users").status_code == 200
    assert cloud.counts()["identity"] == 1


def test_the_identity_endpoint_refuses_a_request_without_its_header(cloud: Emulator, caller: Caller) -> None:
    url = f"{cloud.side_url}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x"
    assert caller.session.get(url, timeout=120).status_code == 400


@pytest.mark.parametrize(
    ("roles", "listing", "reading", "writing"),
    [
        ((), 403, 403, 403),
        (("ProfilePhoto.ReadWrite.All",), 403, 404, 200),
        (("User.Read.All",), 200, 404, 403),
        (("User.ReadWrite.All",), 200, 404, 200),
    ],
    ids=["none", "photo-only", "read-only", "older-set"],
)
def test_each_route_asks_for_its_role(
    cloud: Emulator, caller: Caller, *, roles: tuple[str, ...], listing: int, reading: int, writing: int
) -> None:
    account_id = cloud.tenant.add_account("ann@contoso.com")
    cloud.issuer.set_roles(*roles)
    caller.sign_in()
    listed, read, written = (
        caller.get("/users"),
        caller.get(PHOTO.format(account_id)),
        caller.put(account_id, colour()),
    )
    assert (listed.status_code, read.status_code, written.status_code) == (listing, reading, writing)
    if listing == 403:
        assert code_of(listed) == "Authorization_RequestDenied"
    if writing == 403:
        assert code_of(written) == "ErrorAccessDenied"


def test_a_certificate_of_another_authority_is_not_trusted(cloud: Emulator, caller: Caller) -> None:
    caller.sign_in()
    cloud.change_certificate()
    with pytest.raises(requests.exceptions.SSLError):
        caller.get("/users")
    cloud.restore_certificate()
    assert caller.get("/users").status_code == 200


def test_it_runs_as_a_process_of_its_own_with_the_same_handles(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.lab.graph", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            cloud = remote(told["side_url"])
            _use_from_outside(cloud)
        finally:
            process.terminate()
    assert sys.platform == "win32" or process.returncode == 0, "there it is ended from outside"


def _use_from_outside(cloud: Emulator) -> None:
    account_id = cloud.tenant.add_account("ann@contoso.com", mail="a@contoso.com")
    cloud.tenant.set_photo(account_id, colour(120))
    cloud.switches.put_status = 204
    cloud.fail_next("PUT", Fault(status=503, retry_after="1", skip=1), times=1)
    with Caller(cloud) as caller:
        caller.sign_in()
        assert [caller.put(account_id, colour(240)).status_code for _ in range(3)] == [204, 503, 204]
    photo = cloud.tenant.photo(account_id)
    assert photo is not None
    assert (photo.width, photo.writer) == (240, "graph")
    assert cloud.requests[-1].method == "PUT"
    assert cloud.switches.put_status == 204
    assert cloud.counts()["PUT"] == 3
    with pytest.raises(DeskError, match="KeyError"):
        cloud.tenant.id_of("nobody")
    cloud.change_certificate()
    cloud.reset()
    assert cloud.tenant.account_ids() == []
    with Caller(cloud) as caller:
        assert caller.sign_in().get("/users").status_code == 200


def test_a_reset_leaves_nothing_of_the_test_before(cloud: Emulator, caller: Caller) -> None:
    cloud.tenant.add_account("ann@contoso.com")
    cloud.set(latency=0.01, storm_percent=100)
    caller.sign_in()
    caller.get("/users")
    before = cloud.tenant_id
    cloud.reset()
    assert cloud.switches == Switches()
    assert (cloud.requests, cloud.tenant.account_ids()) == ([], [])
    assert cloud.tenant_id != before
    assert caller.get("/users").status_code == 401


def test_an_unknown_switch_is_refused(cloud: Emulator) -> None:
    with pytest.raises(AttributeError, match="no switch 'reincode'"):
        cloud.set(reincode="none")


def test_every_switch_is_turned_in_some_test() -> None:
    stories = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_lab_cloud*.py"))
    assert [field.name for field in fields(Switches) if f"{field.name}=" not in stories] == []


def test_the_clock_of_the_record_runs_forward(cloud: Emulator, caller: Caller) -> None:
    begun = time.monotonic()
    caller.sign_in()
    caller.get("/users", headers={"User-Agent": "lab", "x-ms-throttle-priority": "low"})
    record = cloud.requests[-1]
    assert begun <= record.started <= record.ended <= time.monotonic()
    assert record.headers["user-agent"] == "lab"
    assert "authorization" not in record.headers
    assert (record.method, record.path, record.status, record.in_flight) == ("GET", "/v1.0/users", 200, 1)
    assert record.bytes_out > 0
