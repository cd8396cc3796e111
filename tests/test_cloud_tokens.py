"""Every credential against a real token issuer, and every refusal in words."""

from __future__ import annotations

import logging
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from connector.cloud import open_cloud
from connector.cloud.auth import load_certificate
from connector.cloud.token_http import TokenAnswer
from connector.config import Settings
from connector.errors import SettingsError, Unreachable
from connector.model import RequestCounters
from tests.cloud_stories import (
    Proxy,
    Reply,
    Scripted,
    as_json,
    closed_port,
    new_certificate,
    settings_for,
    silent_host,
    write,
)
from tests.lab.graph import Emulator, Fault

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

OURS = new_certificate()
OTHER = new_certificate()
LISTING = "/users?$select=id&$top=5"


def list_users(settings: Settings, traffic: RequestCounters | None = None) -> int:
    """Ask Graph with a token got with these settings; return the status."""
    with open_cloud(settings, traffic or RequestCounters()) as cloud:
        return cloud.transport.request("GET", LISTING).status


def refused(settings: Settings) -> Unreachable:
    """Return why no token was given."""
    with open_cloud(settings, RequestCounters()) as cloud, pytest.raises(Unreachable) as caught:
        cloud.token_source.token()
    assert caught.value.system == "token"
    return caught.value


CERTIFICATE_FILES = {
    "pem-key-first": (OURS.key_pem() + OURS.certificate_pem, ""),
    "pem-certificate-first": (OURS.certificate_pem + OURS.key_pem(), ""),
    "pem-with-locked-key": (OURS.key_pem("päss word") + OURS.certificate_pem, "päss word"),
    "pem-with-needless-password": (OURS.key_pem() + OURS.certificate_pem, "needless"),
    "pem-with-a-stranger-first": (OTHER.certificate_pem + OURS.certificate_pem + OURS.key_pem(), ""),
    "pem-with-windows-line-ends": ((OURS.key_pem() + OURS.certificate_pem).replace(b"\n", b"\r\n"), ""),
    "pfx-with-password": (OURS.pfx("s3cret"), "s3cret"),
    "pfx-without-password": (OURS.pfx(), ""),
}


def test_a_secret_opens_graph(cloud: Emulator) -> None:
    assert list_users(settings_for(cloud)) == 200


@pytest.mark.parametrize("form", CERTIFICATE_FILES)
def test_a_certificate_opens_graph(cloud: Emulator, tmp_path: Path, form: str) -> None:
    content_bytes, password = CERTIFICATE_FILES[form]
    cloud.issuer.register_certificate(OURS.certificate_pem.decode())
    path = write(tmp_path / "file", content_bytes)
    settings = settings_for(
        cloud,
        azure_client_secret="",
        azure_client_certificate_path=path,
        azure_client_certificate_password=password,
    )
    assert list_users(settings) == 200
    assert load_certificate(settings).expires == OURS.certificate.not_valid_after_utc


UNUSABLE_FILES = {
    "no-key": (OURS.certificate_pem, "", "no private key"),
    "no-certificate": (OURS.key_pem(), "", "no certificate for its key"),
    "another-certificate": (OURS.key_pem() + OTHER.certificate_pem, "", "no certificate for its key"),
    "locked-key-without-password": (OURS.key_pem("x") + OURS.certificate_pem, "", "CERTIFICATE_PASSWORD: is needed"),
    "locked-key-wrong-password": (OURS.key_pem("x") + OURS.certificate_pem, "y", "check the password"),
    "pfx-wrong-password": (OURS.pfx("x"), "y", "check the password"),
    "pfx-without-its-password": (OURS.pfx("x"), "", "if it has one, set AZURE_CLIENT_CERTIFICATE_PASSWORD"),
    "neither-pem-nor-pfx": (b"\x00\x01 nothing of use", "", "neither PEM nor a PFX"),
    "key-on-a-curve": (new_certificate(curve=True).key_pem() + OURS.certificate_pem, "", "no RSA key"),
    "damaged-pem": (OURS.key_pem()[:200] + OURS.key_pem()[300:] + OURS.certificate_pem, "", "PEM"),
}


@pytest.mark.parametrize("form", UNUSABLE_FILES)
def test_an_unusable_certificate_is_a_settings_problem(cloud: Emulator, tmp_path: Path, form: str) -> None:
    content_bytes, password, words = UNUSABLE_FILES[form]
    settings = settings_for(
        cloud,
        azure_client_secret="",
        azure_client_certificate_path=write(tmp_path / "file", content_bytes),
        azure_client_certificate_password=password,
    )
    with pytest.raises(SettingsError) as caught:
        open_cloud(settings, RequestCounters())
    assert words in caught.value.problems[0]
    assert caught.value.problems[0].startswith("AZURE_CLIENT_CERTIFICATE_")
    assert cloud.counts().get("token", 0) == 0, "nothing may be contacted"


def test_a_certificate_that_vanished_is_a_settings_problem(cloud: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, OURS.pfx())
    settings = settings_for(cloud, azure_client_secret="", azure_client_certificate_path=str(path))
    path.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        open_cloud(settings, RequestCounters())


def test_a_federated_token_is_read_again_for_each_acquisition(cloud: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, cloud.issuer.federated_assertion().encode() + b"\n")
    settings = settings_for(cloud, azure_client_secret="", azure_federated_token_file=str(path))
    with open_cloud(settings, RequestCounters()) as opened:
        first = opened.token_source.token()
        write(path, cloud.issuer.federated_assertion(audience="api://somebody-else").encode())
        with pytest.raises(Unreachable) as caught:
            opened.token_source.renew(first)
        write(path, cloud.issuer.federated_assertion().encode())
        assert opened.token_source.renew(first) != first
        path.unlink()
        with pytest.raises(Unreachable, match="cannot be read"):
            opened.token_source.renew(opened.token_source.token())
    assert "AADSTS700023" in caught.value.message
    assert "federated" in caught.value.fix


@pytest.mark.parametrize("form", ["vm", "app-service"])
@pytest.mark.parametrize("client_id", ["", "user-assigned"])
def test_a_managed_identity_opens_graph(
    cloud: Emulator, monkeypatch: pytest.MonkeyPatch, form: str, client_id: str
) -> None:
    for name, value in cloud.identity_environ(form).items():
        monkeypatch.setenv(name, value)
    chosen = cloud.client_id if client_id else ""
    settings = settings_for(cloud, azure_client_secret="", azure_managed_identity="true", azure_client_id=chosen)
    traffic = RequestCounters()
    assert list_users(settings, traffic) == 200
    asked = [record for record in cloud.log.records() if record.kind == "identity"]
    assert len(asked) == 1 == traffic.counts()["token_requests"]
    assert (cloud.client_id in asked[0].query) is bool(client_id)


def test_a_machine_without_an_identity_is_told_so(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{closed_port()}")
    problem = refused(settings_for(cloud, azure_client_secret="", azure_managed_identity="true"))
    assert "refused the connection" in problem.message


def wrong_secret(cloud: Emulator, _: Path) -> Settings:
    return settings_for(cloud, azure_client_secret="not-the-secret-at-all")


def expired_secret(cloud: Emulator, _: Path) -> Settings:
    cloud.issuer.expire_secret()
    return settings_for(cloud)


def another_application(cloud: Emulator, _: Path) -> Settings:
    return settings_for(cloud, azure_client_id="11111111-2222-3333-4444-555555555555")


def another_tenant(cloud: Emulator, _: Path) -> Settings:
    return settings_for(cloud, azure_tenant_id="contoso.onmicrosoft.com")


def unregistered_certificate(cloud: Emulator, folder: Path) -> Settings:
    path = write(folder / "file", OURS.pfx())
    return settings_for(cloud, azure_client_secret="", azure_client_certificate_path=path)


@pytest.mark.parametrize(
    ("story", "code", "words", "fix"),
    [
        (wrong_secret, "AADSTS7000215", "client secret is wrong", "not its ID"),
        (expired_secret, "AADSTS7000222", "has expired", "Create a new one"),
        (another_application, "AADSTS700016", "not in this tenant", "AZURE_CLIENT_ID"),
        (another_tenant, "AADSTS90002", "no such tenant", "AZURE_TENANT_ID"),
        (unregistered_certificate, "AADSTS700027", "not registered", "Upload"),
    ],
)
def test_a_refusal_is_told_in_words_with_its_fix(
    cloud: Emulator, tmp_path: Path, story: object, code: str, words: str, fix: str
) -> None:
    assert callable(story)
    problem = refused(story(cloud, tmp_path))
    assert words in problem.message
    assert code in problem.message
    assert fix in problem.fix
    assert "\n" not in problem.message
    assert "not-the-secret-at-all" not in str(problem)


def test_a_secret_that_the_issuer_repeats_is_not_shown(cloud: Emulator) -> None:
    text = f"AADSTS7000215: Invalid client secret '{cloud.client_secret}'."
    cloud.fail_next("POST .*/token", Fault(status=400, code="invalid_client", message=text))
    problem = refused(settings_for(cloud))
    assert cloud.client_secret not in str(problem)
    assert "AADSTS7000215" in str(problem)


@pytest.mark.parametrize("fault", [Fault(status=503, retry_after="0.1"), Fault(status=500), Fault(kind="drop")])
@pytest.mark.parametrize("route", ["GET .*openid-configuration", "POST .*/token"])
def test_a_hiccup_of_the_issuer_is_sat_out(cloud: Emulator, fault: Fault, route: str) -> None:
    cloud.fail_next(route, fault)
    assert list_users(settings_for(cloud)) == 200


def test_an_issuer_that_stays_broken_ends_the_run(cloud: Emulator) -> None:
    cloud.fail_next("POST .*/token", Fault(status=503, message="Down for maintenance"), times=-1)
    problem = refused(settings_for(cloud))
    assert "503" in problem.message


def test_one_token_serves_all_threads(cloud: Emulator) -> None:
    with open_cloud(settings_for(cloud), RequestCounters()) as opened, ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: opened.token_source.token(), range(64)))
        renewed = set(pool.map(opened.token_source.renew, [next(iter(tokens))] * 64))
    assert len(tokens) == 1
    assert len(renewed) == 1
    assert renewed != tokens
    assert sum(record.method == "POST" for record in cloud.log.records()) == 2


def test_a_token_is_renewed_before_it_ends(cloud: Emulator) -> None:
    cloud.set(token_lifetime=1000)
    traffic = RequestCounters()
    with open_cloud(settings_for(cloud), traffic) as opened:
        first = opened.token_source.token()
        tokens = vars(opened.token_source)["_tokens"]
        ((scope, held),) = tokens.items()
        assert held.ends_at - held.renew_at == pytest.approx(200)
        cloud.issuer.expire_tokens()
        tokens[scope] = replace(held, renew_at=held.renew_at - 800, ends_at=held.ends_at - 800)
        assert opened.transport.request("GET", LISTING).status == 200
        assert opened.token_source.token() != first
    assert traffic.counts()["http_retries"] == 0, "no request was sent with a token at its end"


def test_a_token_that_ends_in_the_middle_is_replaced_once(cloud: Emulator) -> None:
    traffic = RequestCounters()
    with open_cloud(settings_for(cloud), traffic) as opened:
        opened.transport.request("GET", LISTING)
        cloud.issuer.expire_tokens()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: opened.transport.request("GET", LISTING).status, range(20)))
    assert statuses == [200] * 20
    tokens = [record for record in cloud.log.records() if record.kind == "token" and record.method == "POST"]
    assert len(tokens) == 2
    assert 1 <= traffic.counts()["http_retries"] <= 4, "only what was on its way is sent again"


def test_a_token_refused_also_after_renewal_ends_the_run(cloud: Emulator) -> None:
    cloud.fail_next("GET /v1.0/users", Fault(status=401, code="InvalidAuthenticationToken"), times=-1)
    with open_cloud(settings_for(cloud), RequestCounters()) as opened, pytest.raises(Unreachable) as caught:
        opened.transport.request("GET", LISTING)
    assert caught.value.system == "Graph"
    assert "InvalidAuthenticationToken" in caught.value.message
    assert sum(record.kind == "graph" for record in cloud.log.records()) == 2


def test_the_roles_stand_in_the_token(cloud: Emulator) -> None:
    cloud.issuer.set_roles("User.Read.All")
    with open_cloud(settings_for(cloud), RequestCounters()) as opened:
        assert opened.token_source.roles() == {"User.Read.All"}
        assert opened.token_source.claims()["tid"] == cloud.tenant_id


def test_another_scope_has_a_token_of_its_own(cloud: Emulator) -> None:
    with open_cloud(settings_for(cloud), RequestCounters()) as opened:
        usual = opened.token_source.token()
        other = opened.token_source.token("https://contoso-admin.sharepoint.com/.default")
        assert usual != other
        assert opened.token_source.token() == usual


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a.WzFd.c", "a.!!!.c", "a.bnVsbA.c"])
def test_a_token_that_cannot_be_read_tells_no_roles(cloud: Emulator, tmp_path: Path, token: str) -> None:
    def say(method: str, path: str, body: bytes) -> Reply:
        if method == "POST":
            return as_json({"token_type": "Bearer", "expires_in": 3599, "access_token": token})
        root = f"{issuer.url}/{cloud.tenant_id}"
        urls = {"token_endpoint": f"{root}/token", "authorization_endpoint": f"{root}/authorize", "issuer": root}
        return as_json(urls)

    with Scripted(say) as issuer:
        settings = issuer.settings(cloud, tmp_path, azure_authority_host=issuer.url)
        with open_cloud(settings, RequestCounters()) as opened:
            assert opened.token_source.token() == token
            assert opened.token_source.roles() == frozenset()


def test_an_issuer_that_answers_with_a_web_page_ends_the_run(cloud: Emulator, tmp_path: Path) -> None:
    with Scripted(lambda *_: (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")) as page:
        settings = page.settings(cloud, tmp_path, azure_authority_host=page.url)
        assert "a web page came in place of the token issuer's answer" in refused(settings).message


def test_an_issuer_that_says_when_is_not_asked_before(cloud: Emulator) -> None:
    cloud.fail_next("POST .*/token", Fault(status=429, retry_after="600"), times=-1)
    problem = refused(settings_for(cloud))
    assert "600 seconds" in problem.fix
    assert sum(record.method == "POST" for record in cloud.log.records()) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no program openssl, which names the files of such a folder")
def test_a_folder_of_authorities_is_taken_too(cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = x509.load_pem_x509_certificate(Path(cloud.ca_file).read_bytes())
    by_hash = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash", "-in", cloud.ca_file], check=True, capture_output=True, text=True
    )
    write(tmp_path / f"{by_hash.stdout.strip()}.0", authority.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    assert list_users(settings_for(cloud, http_ca_file="")) == 200


# -- the way to the issuer


def test_an_unknown_authority_is_told_at_once(cloud: Emulator, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    problem = refused(settings_for(cloud, http_ca_file=str(stranger)))
    assert "certificate of 127.0.0.1 was not accepted" in problem.message
    assert "HTTP_CA_FILE" in problem.fix


def test_our_bundle_wins_over_the_environment(cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stranger))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(stranger))
    assert list_users(settings_for(cloud)) == 200


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_bundle_is_taken_where_ours_is_unset(
    cloud: Emulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, cloud.ca_file)
    assert list_users(settings_for(cloud, http_ca_file="")) == 200


def test_the_systems_store_does_not_know_the_lab(cloud: Emulator) -> None:
    assert "certificate of 127.0.0.1 was not accepted" in refused(settings_for(cloud, http_ca_file="")).message


def test_a_bundle_of_no_use_is_a_settings_problem(cloud: Emulator, tmp_path: Path) -> None:
    settings = settings_for(cloud, http_ca_file=write(tmp_path / "ca.pem", b"no certificate in here"))
    with pytest.raises(SettingsError, match=r"HTTP_CA_FILE: .*ca\.pem cannot be used"):
        open_cloud(settings, RequestCounters())


def test_a_name_that_does_not_resolve_is_told(cloud: Emulator) -> None:
    problem = refused(settings_for(cloud, azure_authority_host="https://login.invalid"))
    assert "login.invalid cannot be resolved" in problem.message
    assert "DNS" in problem.fix


def test_a_closed_port_is_told(cloud: Emulator) -> None:
    problem = refused(settings_for(cloud, azure_authority_host=f"https://127.0.0.1:{closed_port()}"))
    assert "127.0.0.1 refused the connection" in problem.message
    assert "HTTPS_PROXY" in problem.fix


def test_a_silent_issuer_ends_the_run_soon(cloud: Emulator) -> None:
    with silent_host() as host:
        assert "did not answer in time" in refused(settings_for(cloud, azure_authority_host=host)).message


def test_what_is_not_tls_is_told(cloud: Emulator) -> None:
    plain = cloud.side_url.replace("http://", "https://")
    assert "no encrypted connection" in refused(settings_for(cloud, azure_authority_host=plain)).message


def test_a_proxy_carries_all_over_few_connections(cloud: Emulator) -> None:
    with Proxy() as proxy:
        settings = settings_for(cloud, https_proxy=f"http://{proxy.address}", sync_concurrency="2")
        with open_cloud(settings, RequestCounters()) as opened, ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(lambda _: opened.transport.request("GET", LISTING).status, range(30)))
    assert statuses == [200] * 30
    assert set(proxy.tunnels) == {f"127.0.0.1:{cloud.port}"}
    assert len(proxy.tunnels) <= 2, "connections are kept"


def test_a_proxy_without_a_scheme_and_with_a_login_is_understood(cloud: Emulator) -> None:
    with Proxy(login="jo:p@ss") as proxy:
        assert list_users(settings_for(cloud, https_proxy=f"jo:p%40ss@{proxy.address}")) == 200
        assert proxy.tunnels


def test_a_proxy_that_wants_a_login_is_named(cloud: Emulator) -> None:
    with Proxy(login="jo:secret") as proxy:
        problem = refused(settings_for(cloud, https_proxy=f"http://jo:wr0ng@{proxy.address}"))
    assert "407" in problem.message
    assert "HTTPS_PROXY" in problem.fix
    assert "wr0ng" not in str(problem)


def test_a_dead_proxy_is_told(cloud: Emulator) -> None:
    problem = refused(settings_for(cloud, https_proxy=f"http://127.0.0.1:{closed_port()}"))
    assert "refused the connection" in problem.message
    assert "HTTPS_PROXY" in problem.fix


def test_no_proxy_goes_round_the_proxy(cloud: Emulator) -> None:
    with Proxy() as proxy:
        assert list_users(settings_for(cloud, https_proxy=f"http://{proxy.address}", no_proxy="127.0.0.1")) == 200
    assert proxy.tunnels == []


# -- what must not be told


@pytest.mark.parametrize("form", ["secret", "pfx", "federated"])
def test_no_secret_reaches_a_log(cloud: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.issuer.register_certificate(OURS.certificate_pem.decode())
    assertion = cloud.issuer.federated_assertion()
    ways = {
        "secret": {},
        "pfx": {
            "azure_client_secret": "",
            "azure_client_certificate_path": write(tmp_path / "file", OURS.pfx("0pen-it")),
            "azure_client_certificate_password": "0pen-it",
        },
        "federated": {
            "azure_client_secret": "",
            "azure_federated_token_file": write(tmp_path / "token", assertion.encode()),
        },
    }
    with open_cloud(settings_for(cloud, **ways[form]), RequestCounters()) as opened:
        token = opened.token_source.token()
        opened.transport.request("GET", LISTING)
        cloud.issuer.expire_tokens()
        opened.transport.request("GET", LISTING)
        shown = repr([opened, opened.token_source, opened.transport, vars(opened.token_source)["_tokens"]])
    assert "GET /v1.0/users" in caplog.text, "the log is not empty"
    for secret in (token, opened.token_source.token(), cloud.client_secret, "0pen-it", assertion, "Authorization"):
        assert secret not in caplog.text
        assert secret not in shown


def test_an_error_that_msal_makes_nothing_of_ends_the_run() -> None:
    with pytest.raises(Unreachable, match="HTTP 404: not here"):
        TokenAnswer(404, "not here", {}).raise_for_status()
    TokenAnswer(200, "well", {}).raise_for_status()
