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


@pytest.mark.parametrize("options", [("--dry-run",), ()], ids=["dry run", "stopped by a limit"])
def test_the_page_of_a_kept_plan_is_made_again_with_its_faces(
    company: Company, tmp_path: Path, options: tuple[str, ...]
) -> None:
    team = company.team(25)
    company.settings["REPORT_PICTURES"] = "changes"
    company.sync()
    for one in team:
        company.paint(one, face(f"{one.name} anew", 200))
    own, again = tmp_path / "own.html", tmp_path / "again.html"
    told = company.sync(*options, "--report", str(own), days=1)
    assert told.code == 4
    company.cloud.log.clear()

    state_alone = {"STATE_DIR": str(company.runner.state), "REPORT_PICTURES": "changes"}
    company.settings.clear()
    company.settings.update(state_alone)
    _report(company, told.report["run"], again)

    for one in team:
        before, after, *labels = shown(again, one.name)
        assert is_of(before, face(one.name), edge=PLAN_EDGE)
        assert is_of(after, face(f"{one.name} anew", 200), edge=PLAN_EDGE)
        assert labels == shown(own, one.name)[2:]
    assert "as they were then" in again.read_text("utf-8")
    assert list(company.cloud.requests) == []


@pytest.mark.parametrize("kept", ["gone", "damaged", "none", "strange"])
def test_a_page_without_faces_says_where_they_were_and_how_to_see_them(
    company: Company, tmp_path: Path, kept: str
) -> None:
    one = company.hire("anna", photo=face("anna", 200))
    company.settings["REPORT_PICTURES"] = "none" if kept == "none" else "changes"
    told = company.sync("--dry-run")
    company.settings["REPORT_PICTURES"] = "changes"
    (page,) = (company.runner.state / "reports").glob("run-*.html")
    whole = page.read_text("utf-8")
    if kept == "gone":
        page.unlink()
    elif kept == "damaged":
        page.write_text(whole[: len(whole) // 2], "utf-8")
    elif kept == "strange":
        page.write_text(re.sub(r'("data:image/jpeg;base64,)[^"]*"', r'\1?"', whole), "utf-8")

    _report(company, told.report["run"], tmp_path / "again.html")

    assert told.of(one.upn) == ("create", "first-upload")
    assert shown(tmp_path / "again.html", "anna") == []
    text = tmp_path.joinpath("again.html").read_text("utf-8")
    where = "the state folder does not have it any more" if kept == "gone" else f"({page.name}) has none"
    assert where in text
    assert "sync --env-file" in text.partition(where)[2][:200]
    assert "--dry-run --report plan.html" in text.partition(where)[2][:400]


def test_a_page_made_again_shows_no_more_than_the_setting_allows(company: Company, tmp_path: Path) -> None:
    company.hire("anna", photo=face("anna", 200))
    company.settings["REPORT_PICTURES"] = "changes"
    told = company.sync("--dry-run")

    company.settings["REPORT_PICTURES"] = "none"
    _report(company, told.report["run"], tmp_path / "again.html")

    assert "base64" not in tmp_path.joinpath("again.html").read_text("utf-8")


def _report(company: Company, run: int, path: Path) -> None:
    told = company.runner.type("report", "--env-file", str(company.runner.env_file()), str(run), "--output", str(path))
    assert (told.code, told.err) == (0, "")


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
