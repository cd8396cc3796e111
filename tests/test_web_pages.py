"""Nights behind a proxy, filter or portal that answers with a web page in Microsoft's place, at every step."""

from __future__ import annotations

import json

import pytest

from tests.company import Company
from tests.lab.graph import Fault
from tests.runner import CommandResult

STATUSES = [200, 302, 403, 407, 451, 511]
STEPS = {
    "discovery": ("GET .*openid-configuration", "token:"),
    "token": ("POST .*/token", "token:"),
    "delta": ("GET /v1.0/users/delta", "Graph:"),
    "listing": ("GET /v1.0/users", "Graph:"),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", STEPS)
def test_a_page_in_place_of_an_answer_that_everybody_needs_is_exit_5(company: Company, step: str, status: int) -> None:
    company.hire("anna")
    route, system = STEPS[step]
    company.cloud.fail_next(route, Fault(kind="wrong-content", page_status=status), times=-1)

    night = company.sync()

    assert night.code == 5, night.err
    assert any(line.startswith(system) for line in night.err.splitlines())
    assert "a web page came in place of" in night.err
    assert f"HTTP {status}" in night.err
    assert ("portal.corp.example" if status == 302 else "Sign in to the network") in night.err
    assert "HTTPS_PROXY" in night.err
    assert "Traceback" not in night.err + night.out
    assert "user=1" not in night.err + night.out, "an address may hold names"


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


def told_without_secrets(company: Company, told: CommandResult) -> str:
    """Return all that a run told, after a look for secrets and tracebacks in it and in the log files."""
    logs = "".join(path.read_text("utf-8", "replace") for path in (company.runner.state / "logs").glob("*"))
    everything = told.out + told.err + json.dumps(told.report)
    secrets = (company.settings["AZURE_CLIENT_SECRET"], company.settings["LDAP_PASSWORD"], "eyJ")
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
    assert "a web page came in place of" in told_without_secrets(company, told)
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
    everything = told_without_secrets(company, told)
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
