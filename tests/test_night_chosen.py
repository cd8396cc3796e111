"""`--only`: the accounts of named people are found as a night finds them, and nothing known of them is lost."""

from __future__ import annotations

from typing import Any

from tests.intranet import hire, path_of
from tests.lab.graph import Emulator
from tests.lab.sharepoint import SharePointLab
from tests.office import Office, anchor_of

SID = "S-1-5-21-1-2-3-1104"
SID_BYTES = bytes.fromhex("010500000000000515000000") + b"".join(n.to_bytes(4, "little") for n in (1, 2, 3, 1104))


def test_an_account_with_another_upn_is_found_by_the_anchor_before_the_first_night(
    office: Office, cloud: Emulator
) -> None:
    anna = office.hire("anna", account=False)
    anchor = anchor_of(anna.entry.guid)
    cloud.tenant.add_account("anna@contoso.example", mail="a.klein@contoso.example", immutable_id=anchor, synced=True)

    told = office.sync("--only", anna.upn)

    assert told.of(anna.upn) == ("create", "first-upload")


def test_an_account_with_another_anchor_is_found_by_the_sid(office: Office, cloud: Emulator) -> None:
    anna = office.hire("anna", account=False, objectSid=SID_BYTES)
    given: dict[str, Any] = {
        "immutable_id": "bm90IGhlciBhbmNob3I=",
        "sid": SID,
        "synced": True,
        "sam_account_name": "anna",
    }
    cloud.tenant.add_account("anna@contoso.example", mail="a.klein@contoso.example", **given)

    told = office.sync("--only", anna.upn)

    assert told.of(anna.upn) == ("create", "first-upload")


def test_an_account_of_the_same_short_name_and_another_sid_is_nobodys(office: Office, cloud: Emulator) -> None:
    anna = office.hire("anna", account=False, objectSid=SID_BYTES)
    given: dict[str, Any] = {
        "immutable_id": "b3RoZXI=",
        "sid": "S-1-5-21-9-9-9-1104",
        "synced": True,
        "sam_account_name": "anna",
    }
    cloud.tenant.add_account("anna@elsewhere.example", **given)

    assert office.sync("--only", anna.upn).of(anna.upn) == ("skip", "no-account")


def test_with_a_fallback_by_mail_an_account_of_another_upn_is_found(office: Office, cloud: Emulator) -> None:
    office.settings["MATCH_FALLBACK"] = "mail"
    anna = office.hire("anna", account=False)
    cloud.tenant.add_account("a.klein@contoso.example", mail=anna.upn, immutable_id=None, synced=True)

    assert office.sync("--only", anna.upn).of(anna.upn) == ("create", "first-upload")


def test_somebody_with_exchange_stays_so_and_gets_no_thumbnails(site: Office, lab: SharePointLab) -> None:
    site.settings["TARGETS"] = "graph,sharepoint"
    ada, ben = hire(site, lab, "ada", exchange=True), hire(site, lab, "ben")

    told = site.sync("--only", ada.upn, "--only", ben.upn)
    night = site.sync(days=1)

    assert (told.code, night.code) == (0, 0), told.err + night.err
    assert path_of(ada.upn, "L") not in lab.farm.files
    assert path_of(ben.upn, "L") in lab.farm.files
    assert site.photo(ada) is not None
