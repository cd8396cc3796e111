"""`--only`: the accounts of named people are found as a night finds them, and nothing known of them is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.company import Company, anchor_of
from tests.lab.graph import Emulator, Fault
from tests.lab.sharepoint import SharePointLab
from tests.sharepoint_company import hire, path_of

SID = "S-1-5-21-1-2-3-1104"
SID_BYTES = bytes.fromhex("010500000000000515000000") + b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 1104))


def test_an_account_with_another_upn_is_found_by_the_anchor_before_the_first_night(
    company: Company, cloud: Emulator
) -> None:
    anna = company.hire("anna", account=False)
    anchor = anchor_of(anna.entry.guid)
    cloud.tenant.add_account("anna@contoso.example", mail="a.klein@contoso.example", immutable_id=anchor, synced=True)

    told = company.sync("--only", anna.upn)

    assert told.of(anna.upn) == ("create", "first-upload")


def test_a_refused_question_for_the_anchor_is_told_and_not_taken_for_no_account(
    company: Company, cloud: Emulator
) -> None:
    anna = company.hire("anna", account=False)
    anchor = anchor_of(anna.entry.guid)
    cloud.tenant.add_account("anna@contoso.example", mail="a.klein@contoso.example", immutable_id=anchor, synced=True)
    cloud.fail_next("ITEM GET /v1.0/users$", Fault(status=400, code="BadRequest", message="Not now."))

    told = company.sync("--only", anna.upn)

    notices = " ".join(told.report["notices"])
    assert "Graph did not say whether an account has the anchor of CN=anna," in notices
    assert "HTTP 400, BadRequest: Not now." in notices
    assert company.sync("--only", anna.upn).of(anna.upn) == ("create", "first-upload")


def test_a_missing_right_to_look_for_the_anchor_ends_the_run(company: Company, cloud: Emulator) -> None:
    anna = company.hire("anna", account=False)
    cloud.fail_next("ITEM GET /v1.0/users$", Fault(status=403, code="Authorization_RequestDenied"), times=-1)

    told = company.sync("--only", anna.upn)

    assert told.code == 5
    assert "the application may not list users" in told.err


def test_an_account_with_another_anchor_is_found_by_the_sid(company: Company, cloud: Emulator) -> None:
    anna = company.hire("anna", account=False, objectSid=SID_BYTES)
    given: dict[str, Any] = {
        "immutable_id": "bm90IGhlciBhbmNob3I=",
        "sid": SID,
        "synced": True,
        "sam_account_name": "anna",
    }
    cloud.tenant.add_account("anna@contoso.example", mail="a.klein@contoso.example", **given)

    told = company.sync("--only", anna.upn)

    assert told.of(anna.upn) == ("create", "first-upload")


@pytest.mark.parametrize("by", ["anchor", "sid"])
def test_an_empty_page_with_a_next_link_does_not_say_that_nobody_is_found(
    company: Company, cloud: Emulator, by: str
) -> None:
    anna = company.hire("anna", account=False, objectSid=SID_BYTES)
    anchor = anchor_of(anna.entry.guid) if by == "anchor" else "bm90IGhlciBhbmNob3I="
    cloud.tenant.add_account("anna@contoso.example", immutable_id=anchor, sid=SID, sam_account_name="anna", synced=True)
    cloud.set(empty_page=True)

    told = company.sync("--only", anna.upn)

    assert told.of(anna.upn) == ("create", "first-upload"), told.err


def test_an_account_of_the_same_short_name_and_another_sid_is_nobodys(company: Company, cloud: Emulator) -> None:
    anna = company.hire("anna", account=False, objectSid=SID_BYTES)
    given: dict[str, Any] = {
        "immutable_id": "b3RoZXI=",
        "sid": "S-1-5-21-9-9-9-1104",
        "synced": True,
        "sam_account_name": "anna",
    }
    cloud.tenant.add_account("anna@elsewhere.example", **given)

    assert company.sync("--only", anna.upn).of(anna.upn) == ("skip", "no-account")


def test_with_a_fallback_by_mail_an_account_of_another_upn_is_found(company: Company, cloud: Emulator) -> None:
    company.settings["MATCH_FALLBACK"] = "mail"
    anna = company.hire("anna", account=False)
    cloud.tenant.add_account("a.klein@contoso.example", mail=anna.upn, immutable_id=None, synced=True)

    assert company.sync("--only", anna.upn).of(anna.upn) == ("create", "first-upload")


def test_somebody_with_exchange_stays_so_and_gets_no_thumbnails(
    sharepoint_company: Company, lab: SharePointLab
) -> None:
    sharepoint_company.settings["TARGETS"] = "graph,sharepoint"
    ada, ben = hire(sharepoint_company, lab, "ada", exchange=True), hire(sharepoint_company, lab, "ben")

    told = sharepoint_company.sync("--only", ada.upn, "--only", ben.upn)
    night = sharepoint_company.sync(days=1)

    assert (told.code, night.code) == (0, 0), told.err + night.err
    assert path_of(ada.upn, "L") not in lab.farm.files
    assert path_of(ben.upn, "L") in lab.farm.files
    assert sharepoint_company.photo(ada) is not None
