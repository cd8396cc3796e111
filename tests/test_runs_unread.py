"""Runs that could read nothing: who keeps what, and when the last success was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.company import Company
from tests.test_night_unreachable import dead_domain_controller, unreachable_graph, wrong_client_secret, wrong_password


@pytest.mark.parametrize(
    "trouble",
    [dead_domain_controller, unreachable_graph, wrong_client_secret, wrong_password],
    ids=lambda one: one.__name__,
)
def test_a_run_that_read_nothing_says_so_and_when_the_last_success_was(
    company: Company, tmp_path: Path, trouble: Callable[[Company, Path], None]
) -> None:
    company.team(3)
    well = company.sync()
    trouble(company, tmp_path)
    page = tmp_path / "told.html"

    told = company.sync("--report", str(page), days=1)

    assert (well.code, told.code) == (0, 5)
    for text in (told.out, page.read_text("utf-8")):
        words = " ".join(text.split())
        assert "no photo was changed; 3 people keep the photos they have." in words
        assert f"The last successful run was run {well.report['run']}, 2" in words
        assert "Left as they are" in words
        assert "No failures and no conflicts" not in words
    assert '<h2 id="attention">' not in page.read_text("utf-8"), "a heading without anything below it"
    assert len(company.cloud.tenant.photos()) == 3


def test_a_first_run_that_read_nothing_wrote_nothing(company: Company, tmp_path: Path) -> None:
    company.team(3)
    wrong_client_secret(company, tmp_path)

    told = company.sync()

    assert told.code == 5
    assert "Nothing was written" in told.out


def test_a_run_that_could_not_read_does_not_say_that_everybody_was_read(company: Company) -> None:
    company.team(3)
    company.sync()
    company.settings["LDAP_BASE_DN"] = "OU=Gone,DC=contoso,DC=test"

    told = company.sync(days=1)

    assert told.code == 5
    said = " ".join([told.out, told.err, *told.report["notices"]])
    assert "everybody was read" not in said
    assert "a full read was performed" not in said
