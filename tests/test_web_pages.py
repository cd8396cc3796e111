"""Nights behind a proxy, filter or portal that answers with a web page in Microsoft's place, at every step."""

from __future__ import annotations

import pytest

from tests.lab.graph import Fault
from tests.office import Office

STATUSES = [200, 302, 403, 407, 451, 511]
STEPS = {
    "discovery": ("GET .*openid-configuration", "token:"),
    "token": ("POST .*/token", "token:"),
    "delta": ("GET /v1.0/users/delta", "Graph:"),
    "listing": ("GET /v1.0/users", "Graph:"),
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("step", STEPS)
def test_a_page_in_place_of_an_answer_that_everybody_needs_is_exit_5(office: Office, step: str, status: int) -> None:
    office.hire("anna")
    route, system = STEPS[step]
    office.cloud.fail_next(route, Fault(kind="wrong-content", page_status=status), times=-1)

    night = office.sync()

    assert night.code == 5, night.err
    assert any(line.startswith(system) for line in night.err.splitlines())
    assert "a web page came in place of" in night.err
    assert f"HTTP {status}" in night.err
    assert ("portal.corp.example" if status == 302 else "Sign in to the network") in night.err
    assert "HTTPS_PROXY" in night.err
    assert "Traceback" not in night.err + night.out
    assert "user=1" not in night.err + night.out, "an address may hold names"


@pytest.mark.parametrize("status", STATUSES)
def test_pages_in_place_of_every_upload_end_the_run_after_ten(office: Office, status: int) -> None:
    office.team(60)
    office.cloud.fail_next("PUT ", Fault(kind="wrong-content", page_status=status), times=-1)

    night = office.sync()

    assert night.code == 5, night.err
    assert "a web page came in place of" in night.err
    assert "Traceback" not in night.err + night.out
    assert office.cloud.counts()["PUT"] < 20


def test_a_page_for_one_person_is_that_persons(office: Office) -> None:
    office.team(30)
    office.cloud.fail_next("PUT ", Fault(kind="wrong-content", page_status=403, skip=3))

    night = office.sync()

    assert night.code == 3, night.err
    assert (night.totals["created"], night.totals["failed"]) == (29, 1)
