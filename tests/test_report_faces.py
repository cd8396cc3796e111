"""The report of a real run shows both pictures of a conflict, so that somebody can choose."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from connector.photo import read_print
from connector.report.thumbnails import EDGE, PLAN_EDGE
from tests.company import Colleague, Company, face
from tests.lab.pictures import jpeg

OTHERS = jpeg("the person's own choice", (200, 200))


def shown(page: Path, name: str) -> list[str]:
    """Return the pictures of one person in an HTML report: before, after, their labels, why one is missing."""
    text = page.read_text("utf-8")
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert match
    (row,) = [row for row in json.loads(match[1])["rows"] if row[0] == name]
    photos = row[9]
    if not isinstance(photos, int):
        return list(photos or [])
    sides = [_side(text, f"{side}-{photos}") for side in ("before", "after")]
    return [*(address for address, _ in sides), *(said for _, said in sides)]


def _side(text: str, number: str) -> tuple[str, str]:
    image = re.search(rf'<img src="([^"]*)" alt="[^"]*" id="{number}" data-label="([^"]*)"', text)
    blank = re.search(rf'id="{number}" data-label="([^"]*)">([^<]*)<', text)
    if image:
        return image[1], image[2]
    assert blank
    return blank[2], blank[1]


def is_of(address: object, photo_bytes: bytes, *, edge: int = EDGE) -> bool:
    """Return True if a thumbnail shows the same picture."""
    assert isinstance(address, str)
    assert address.startswith("data:image/jpeg;base64,"), address
    small = base64.b64decode(address.partition(",")[2])
    assert max(Image.open(io.BytesIO(small)).size) <= edge
    return read_print(small).shows_same(read_print(photo_bytes))


@pytest.fixture
def anna(company: Company) -> Colleague:
    """Give somebody whose photo was sent, and who then chose another one in the cloud."""
    one = company.hire("anna", photo=face("anna", 200))
    company.sync()
    company.cloud.tenant.set_photo(one.account_id, OTHERS)
    company.settings.update(SYNC_CONFLICT="report", SYNC_VERIFY_PERCENT="100")
    return one


def test_both_pictures_of_a_conflict_that_is_left_are_shown(company: Company, anna: Colleague) -> None:
    told = company.sync(days=1)

    assert told.of(anna.upn) == ("keep", "cloud-changed")
    before, after, *labels = shown(company.runner.state / "reports" / "run-000002.html", "anna")
    assert labels == ["Cloud", "Source"]
    assert is_of(before, OTHERS)
    assert is_of(after, face("anna", 200)), "the source photo is of an earlier night, and is read once more"
    assert told.requests["ldap_entries"] <= 2
    assert list((company.runner.state / "spool").rglob("*.jpg")) == []


def test_a_plan_shows_what_is_there_and_what_would_be(company: Company, tmp_path: Path) -> None:
    one = company.hire("anna", photo=face("anna", 200))
    company.cloud.tenant.set_photo(one.account_id, OTHERS)

    told = company.sync("--dry-run", "--report", str(tmp_path / "plan.html"))

    assert told.of(one.upn) == ("replace", "cloud-differs")
    before, after, *labels = shown(tmp_path / "plan.html", "anna")
    assert labels == ["Now", "Would be"]
    assert is_of(before, OTHERS, edge=PLAN_EDGE)
    assert is_of(after, face("anna", 200), edge=PLAN_EDGE)


def test_without_pictures_nothing_is_read_for_them(company: Company, anna: Colleague) -> None:
    company.settings["REPORT_PICTURES"] = "none"

    told = company.sync(days=1)

    assert told.of(anna.upn) == ("keep", "cloud-changed")
    assert told.requests["ldap_entries"] == 0
    assert shown(company.runner.state / "reports" / "run-000002.html", "anna") == []


def test_a_source_photo_that_cannot_be_read_again_is_not_called_missing(company: Company, anna: Colleague) -> None:
    company.knobs.refuse_look_up = (51, "busy")

    told = company.sync(days=1)

    assert (told.code, told.of(anna.upn)) == (0, ("keep", "cloud-changed"))
    _, after, *labels = shown(company.runner.state / "reports" / "run-000002.html", "anna")
    assert (after, labels) == ("not available", ["Cloud", "Source"])
