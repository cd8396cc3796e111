"""Proxy settings that cannot be used are told before anybody is contacted, and no part of a password is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.cloud.http import Proxies
from connector.config.clouds import proxy_problem, url_problem
from tests.company import Company

pytestmark = pytest.mark.usefixtures("no_proxy_settings")

PART = "geheim9"
UNUSABLE = [
    f"http://svc:{PART}#x@127.0.0.1:3128",
    f"http://svc:{PART}[x@127.0.0.1:3128",
    f"http://svc:{PART}]x@127.0.0.1:3128",
    f"http://svc:{PART}/x@127.0.0.1:3128",
    f"http://svc:{PART}?x@127.0.0.1:3128",
    f"http://svc:{PART} x@127.0.0.1:3128",
    f"http://svc:12{PART}#@127.0.0.1:3128",
    f"svc:{PART}#x@127.0.0.1:3128",
    f"http://svc:{PART}@:3128",
    f"http://svc:{PART}@127.0.0.1:99999",
    f"http://svc:{PART}@127.0.0.1:0",
    f"http://svc:{PART}@127.0.0.1:port",
    f"http://svc:{PART}@127.0.0.1:3128/path",
    f"socks5://svc:{PART}@127.0.0.1:1080",
    f"socks5h://svc:{PART}@127.0.0.1:1080",
    f"ftp://svc:{PART}@127.0.0.1:21",
    f"http://svc:{PART}",
]


def shown(company: Company, *command: str) -> tuple[int, str]:
    """Type a command and return its exit code, and all that it said and logged."""
    told = company.runner.type(*command, "--env-file", str(company.runner.env_file()))
    logs = "".join(path.read_text(encoding="utf-8") for path in Path(company.runner.state).rglob("*.log"))
    return told.code, told.out + told.err + logs


@pytest.mark.parametrize("url", UNUSABLE)
@pytest.mark.parametrize("command", ["sync", "check"])
def test_a_proxy_that_cannot_be_used_is_a_settings_problem_without_its_value(
    company: Company, url: str, command: str
) -> None:
    company.settings["HTTPS_PROXY"] = url
    code, text = shown(company, command)
    assert code == 2, text
    assert "HTTPS_PROXY" in text
    assert PART not in text
    assert "Traceback" not in text
    assert company.cloud.log.records() == []


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("command", ["sync", "check"])
def test_the_systems_own_proxy_is_checked_alike(
    company: Company, monkeypatch: pytest.MonkeyPatch, name: str, command: str
) -> None:
    monkeypatch.setenv(name, f"socks5://svc:{PART}@127.0.0.1:1080")
    code, text = shown(company, command)
    assert code == 2, text
    assert "ALL_PROXY: names a SOCKS proxy" in text
    assert "HTTPS_PROXY" in text
    assert PART not in text


@pytest.mark.parametrize(
    "url",
    [
        "http://proxy:3128",
        "proxy:3128",
        "https://proxy.corp.example/",
        "http://user:p%23w@proxy",
        "user:p@ss:w@proxy:8080",
        "http://[::1]:3128",
        "DOMAIN%5Cuser:x@proxy:80",
    ],
)
def test_what_a_proxy_may_look_like(url: str) -> None:
    assert proxy_problem(url) == ""


def test_a_mail_servers_password_does_not_become_its_host_or_port() -> None:
    for url in (f"smtp://user:12{PART}#x@mail", f"smtp://user:12#{PART}@mail:587", f"smtp://{PART}/x@mail"):
        problem = url_problem(url, schemes=("smtp", "smtps"), example="smtp://host:587")
        assert "percent-encode" in problem
        assert PART not in problem


def test_a_proxys_password_goes_out_in_utf_8() -> None:
    login = Proxies().headers("http://j%C3%B6:%E2%82%AC@proxy:3128")["proxy-authorization"]
    assert login == "Basic asO2OuKCrA=="
