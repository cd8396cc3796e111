"""SYNC_MAX_MINUTES: at whatever moment the minutes are over, the run ends soon, and the next one does the rest."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connector.config import load_settings
from connector.errors import ExitCode
from connector.ledger.state import open_state
from connector.model import NoProgress, RunReport, utc_now
from connector.sync.context import Options
from connector.sync.run import run_night
from tests.company import Company, face, total

TEAM = 45
# The clock is looked at some two hundred times in such a night, mostly where people are looked at and written to.
MOMENTS = (*range(1, 13), 16, 24, 60, 120, 180)


def sync_until(company: Company, looks: int, *, dry_run: bool = False) -> RunReport:
    """Run a night in whose middle an hour passes: when the clock was looked at so many times."""
    looked = 0

    def clock() -> datetime:
        nonlocal looked
        looked += 1
        return utc_now() + timedelta(hours=looked > looks)

    settings = load_settings(company.runner.env_file(), {}).settings
    with (
        open_state(settings.state_dir) as state,
        run_night(state, settings, Options(dry_run=dry_run), progress=NoProgress(), clock=clock) as report,
    ):
        return report


@pytest.fixture
def limited(company: Company) -> Company:
    """Give the company a team without photos in the cloud, and a limit of thirty minutes."""
    company.team(TEAM)
    company.cloud.set(reencode="comment")
    company.settings["SYNC_MAX_MINUTES"] = "30"
    return company


@pytest.mark.parametrize("looks", MOMENTS)
def test_the_minutes_may_be_over_at_any_moment_and_the_next_night_does_the_rest(limited: Company, looks: int) -> None:
    report = sync_until(limited, looks)

    assert report.exit_code in (ExitCode.OK, ExitCode.LIMIT), report.message
    assert total(dict(report.totals)) == report.totals["people"]
    assert report.totals["created"] == len(limited.cloud.tenant.writes())
    assert "SYNC_MAX_MINUTES=30" in report.message or not report.message
    del limited.settings["SYNC_MAX_MINUTES"]

    told = limited.sync(days=1)

    assert told.code == 0, told.err
    assert told.totals["created"] + report.totals["created"] == TEAM
    assert told.totals["open_intents"] == 0
    assert len(limited.cloud.tenant.writes()) == TEAM, "nobody was sent twice"


def test_the_moments_lie_in_every_phase(limited: Company, tmp_path: Path) -> None:
    """Without this, a night that looks at the clock less often would pass the story above by luck."""
    seen = set()
    for looks in MOMENTS:
        limited.settings["STATE_DIR"] = str(tmp_path / f"state-{looks}")
        report = sync_until(limited, looks, dry_run=True)
        seen.add((int(report.exit_code or 0), report.totals["people"] > 0, bool(report.totals["postponed"])))

    assert (7, False, False) in seen, "while accounts or people were read"
    assert (7, True, True) in seen, "while people were looked at"


def test_a_reading_that_is_not_finished_moves_no_link_and_no_cookie(limited: Company) -> None:
    limited.sync()
    ada = limited.hire("ada")
    limited.paint(ada, face("ada, older"))

    report = sync_until(limited, 2)

    assert report.exit_code == ExitCode.LIMIT
    del limited.settings["SYNC_MAX_MINUTES"]
    assert limited.sync(days=1).of("ada@contoso.test") == ("create", "first-upload")
