"""What does an administrator see when Graph fails in mid-run, and does the next night finish? One fault a test."""

from __future__ import annotations

import pytest

from tests.lab.graph import Fault
from tests.office import Office

PUT = r"PUT .*/photo/\$value"


def _finished(office: Office, count: int) -> None:
    office.cloud.faults.clear()
    told = office.sync(days=1)
    assert told.code == 0, told.err
    assert len(office.cloud.tenant.photos()) == count
    assert office.sync(days=1).totals["unchanged"] == count


def test_a_403_on_every_upload_stops_early_and_names_the_policy(office: Office) -> None:
    office.team(40)
    office.settings["SYNC_CONCURRENCY"] = "1"
    office.cloud.fail_next(PUT, Fault(status=403, code="ErrorAccessDenied", message="Access is denied."), times=-1)

    told = office.sync()

    assert told.code not in (0, 3), told.err
    assert "photoUpdateSettings" in told.err
    assert office.cloud.tenant.writes() == []
    tried = [one for one in office.cloud.requests if one.method == "PUT"]
    assert len(tried) <= 20
    _finished(office, 40)


@pytest.mark.parametrize("status", [401, 409, 412, 429, 500, 503])
def test_a_single_refusal_of_an_upload_loses_nobody(office: Office, status: int) -> None:
    office.team(6)
    office.cloud.fail_next(PUT, Fault(status=status, code="Odd", message="No.", retry_after="0"), times=1)

    told = office.sync()

    assert told.code in (0, 3), told.err
    assert told.code == 3 or told.totals["created"] == 6
    _finished(office, 6)


@pytest.mark.parametrize("is_performed", [False, True])
def test_a_dropped_connection_at_an_upload_is_no_conflict(office: Office, is_performed: bool) -> None:
    office.team(6)
    office.cloud.fail_next(PUT, Fault(kind="drop", performed=is_performed), times=2)

    told = office.sync()

    assert told.code in (0, 3), told.err
    assert told.totals["conflicts"] == 0
    _finished(office, 6)


def test_an_account_deleted_in_mid_run_harms_nobody_else(office: Office) -> None:
    team = office.team(6)
    office.cloud.fail_next(
        PUT, Fault(status=404, code="Request_ResourceNotFound", message="It does not exist.", nested=True), times=1
    )

    told = office.sync()

    assert told.totals["created"] == len(team) - 1, told.err
