"""Nights behind a proxy, filter or portal that answers with a web page in Microsoft's place, at every step."""

from __future__ import annotations

import json

import pytest

from tests.cloud_stories import Proxy
from tests.company import Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult

STATUSES = [200, 302, 403, 407, 451, 511]
STEPS = {
    "discovery": ("GET .*openid-configuration", "token:"),
    "token": ("POST .*/token", "token:"),
    "delta": ("GET /v1.0/users/delta", "Graph:"),
    "listing": ("GET /v1.0/users", "Graph:"),
}


BATCH = r"POST .*/\$batch"
SEAMS = {
    **STEPS,
    "batch": (BATCH, "Graph:"),
    "photo read": (BATCH, "Graph:"),
    "photo write": ("PUT ", "Graph:"),
}
PROXY_PASSWORD = "geheim9"


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("seam", SEAMS)
def test_a_page_in_place_of_every_answer_is_exit_5_and_shows_no_secret(
    company: Company, seam: str, status: int
) -> None:
    team = company.team(12)
    for one in team if seam == "photo read" else []:
        company.cloud.tenant.set_photo(one.account_id, face("somebody else"))
    route, system = SEAMS[seam]
    page = Fault(kind="wrong-content", page_status=status, skip=1 if seam == "photo read" else 0)
    company.cloud.fail_next(route, page, times=-1)
    with Proxy(login=f"svc:{PROXY_PASSWORD}") as proxy:
        company.settings["HTTPS_PROXY"] = f"http://svc:{PROXY_PASSWORD}@{proxy.address}"

        told = company.sync("--verbose")

    assert proxy.tunnels, "the night went through the proxy"
    assert told.code == 5, told.err
    everything = without_secrets(company, told)
    assert any(line.startswith(system) for line in told.err.splitlines())
    assert "a web page came in place of" in everything
    assert f"HTTP {status}" in everything
    assert ("portal.corp.example" if status == 302 else "Sign in to the network") in everything
    assert "HTTPS_PROXY" in told.err
    assert company.cloud.tenant.writes() == []
    assert len(company.cloud.requests) < 40
    tags = [item for record in company.cloud.requests for item in record.items if item.path.endswith("/photo")]
    assert (len(tags) > 0) == (seam in ("photo read", "photo write")), "the page came at this step"


# What is told where a page came from the proxy itself; after 200 no TLS follows, so the connection ends there.
TUNNELS = {
    200: "ended the connection before its answer was complete",
    302: "the proxy refused the connection: Tunnel connection failed: 302",
    403: "the proxy refused the connection: Tunnel connection failed: 403",
    407: "the proxy requires a login (407)",
    451: "the proxy refused the connection: Tunnel connection failed: 451",
    511: "the proxy refused the connection: Tunnel connection failed: 511",
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_page_in_place_of_the_proxys_tunnel_is_exit_5_and_shows_no_secret(company: Company, status: int) -> None:
    company.team(2)
    with Proxy(page_status=status) as proxy:
        company.settings["HTTPS_PROXY"] = f"http://svc:{PROXY_PASSWORD}@{proxy.address}"

        told = company.sync("--verbose")
        checked = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert (told.code, checked.code) == (5, 5), told.err
    for result in (told, checked):
        words = without_secrets(company, result)
        assert TUNNELS[status] in words
        assert "HTTPS_PROXY" in words
    assert company.cloud.requests == []


@pytest.mark.parametrize("status", STATUSES)
def test_pages_in_place_of_every_upload_end_the_run_after_ten(company: Company, status: int) -> None:
    company.team(60)
    company.cloud.fail_next("PUT ", Fault(kind="wrong-content", page_status=status), times=-1)

    night = company.sync()

    assert night.code == 5, night.err
    assert "a web page came in place of" in night.err
    assert "Traceback" not in night.err + night.out
    assert company.cloud.counts()["PUT"] < 20


def test_a_page_for_one_person_is_that_persons(company: Company) -> None:
    company.team(30)
    company.cloud.fail_next("PUT ", Fault(kind="wrong-content", page_status=403, skip=3))

    night = company.sync()

    assert night.code == 3, night.err
    assert (night.totals["created"], night.totals["failed"]) == (29, 1)


def without_secrets(company: Company, told: CommandResult) -> str:
    """Return all that a run told, after a look for secrets and tracebacks in it and in the log files."""
    logs = "".join(path.read_text("utf-8", "replace") for path in (company.runner.state / "logs").glob("*"))
    everything = told.out + told.err + json.dumps(told.report)
    settings = company.settings
    secrets = (settings["AZURE_CLIENT_SECRET"], settings["LDAP_PASSWORD"], PROXY_PASSWORD, "eyJ", "user=1")
    for text in (everything, logs):
        assert "Traceback" not in text
        assert [secret for secret in secrets if secret in text] == []
    return " ".join(everything.split())


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", STEPS)
def test_a_page_changes_nothing_and_tells_no_secret(company: Company, step: str, status: int) -> None:
    company.team(2)
    company.sync()
    company.cloud.fail_next(STEPS[step][0], Fault(kind="wrong-content", page_status=status), times=-1)
    company.hire("new")

    told = company.sync(*(["--full"] if step == "listing" else []), days=1)

    assert told.code == 5
    assert "a web page came in place of" in without_secrets(company, told)
    company.cloud.faults.clear()
    again = company.sync(days=1)
    assert (again.of("new@contoso.test"), again.totals["unchanged"]) == (("create", "first-upload"), 2)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", ["discovery", "token", "listing"])
def test_check_tells_of_a_page(company: Company, step: str, status: int) -> None:
    company.team(2)
    company.cloud.fail_next(STEPS[step][0], Fault(kind="wrong-content", page_status=status), times=-1)

    told = company.runner.type("check", "--env-file", str(company.runner.env_file()))

    assert told.code == 5
    everything = without_secrets(company, told)
    assert "a web page came in place of" in everything
    assert "HTTPS_PROXY" in everything


def test_pages_in_place_of_every_batch_end_the_night_of_sixty_people(company: Company) -> None:
    company.team(60)
    company.cloud.fail_next("POST .*/\\$batch", Fault(kind="wrong-content", page_status=403), times=-1)

    night = company.sync()

    assert night.code == 5, night.err
    assert "a web page came in place of" in night.err
    assert "HTTPS_PROXY" in night.err
    assert company.cloud.counts().get("PUT", 0) == 0
    assert "Traceback" not in night.err + night.out
