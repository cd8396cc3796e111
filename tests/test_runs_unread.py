"""What does the administrator read of a run that could read nothing? Who keeps what, and when the last success was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.office import Office
from tests.test_night_unreachable import dead_domain_controller, unreachable_graph, wrong_client_secret, wrong_password


@pytest.mark.parametrize(
    "trouble",
    [dead_domain_controller, unreachable_graph, wrong_client_secret, wrong_password],
    ids=lambda one: one.__name__,
)
def test_a_run_that_read_nothing_says_so_and_when_the_last_success_was(
    office: Office, tmp_path: Path, trouble: Callable[[Office, Path], None]
) -> None:
    office.team(3)
    well = office.sync()
    trouble(office, tmp_path)
    page = tmp_path / "told.html"

    told = office.sync("--report", str(page), days=1)

    assert (well.code, told.code) == (0, 5)
    for text in (told.out, page.read_text("utf-8")):
        words = " ".join(text.split())
        assert "no photo was changed; 3 people keep the photos they have." in words
        assert f"The last successful run was run {well.report['run']}, 2" in words
        assert "Left as they are" in words
        assert "No failures and no conflicts" not in words
    assert len(office.cloud.tenant.photos()) == 3


def test_a_first_run_that_read_nothing_wrote_nothing(office: Office, tmp_path: Path) -> None:
    office.team(3)
    wrong_client_secret(office, tmp_path)

    told = office.sync()

    assert told.code == 5
    assert "Nothing was written" in told.out
