"""Words from outside on their way to people: terminals, logs, `check`, tables and the system's own log."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.cli.console import LOG_FILES, begin_logs, log_to_file
from connector.cli.options import echo_error
from connector.cloud.response import Response, read_refusal
from connector.doctor import CheckOutput, Finding, Status
from connector.model import Action, Reason, foreign, safe
from connector.notify.systemlog import event_text
from connector.report.json_csv import write_csv
from connector.sources import ldap_errors as trouble
from tests.company import Company, face
from tests.lab.graph import Fault
from tests.report_stories import a_run, an_outcome
from tests.runner import _close_logs
from tests.test_night_stops import PUT

# A title for the terminal's window, a clipboard, a C1 command, a direction, a zero-width blank, a lone surrogate.
HOSTILE = "Zoë\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u200b\ud800\rError: all well\n2026-01-01 INFO forged"
NEVER = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_one_line_of_what_was_many_and_nothing_that_moves_or_hides() -> None:
    told = safe(HOSTILE)

    assert NEVER.search(told) is None
    assert "\n" not in told
    assert told.startswith("Zoë\ufffd]0;owned")


@given(st.text(st.characters(exclude_categories=[]), max_size=200))
def test_no_text_at_all_breaks_a_line(text: str) -> None:
    told = safe(text)

    assert NEVER.search(told) is None
    assert len(told.splitlines()) <= 1
    assert told.encode("utf-8").decode("utf-8") == told
    assert safe(told) == told


@pytest.mark.parametrize("name", ["Zoë Müller-Łącka", "山田 太郎", "Ольга", "O'Brien (IT)", "👩 Ada", ""])
def test_names_of_people_stay_as_they_are(name: str) -> None:
    assert safe(name) == name


def test_a_long_text_is_cut() -> None:
    assert len(safe("x" * 5_000_000)) == 4_000
    assert len(foreign("x " * 5_000_000)) == 300


# ------------------------------------------------------------------------------------------- the three places and logs


def test_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    echo_error(HOSTILE)

    told = capsys.readouterr().err
    assert NEVER.search(told) is None
    assert told.count("\n") == 1


def test_a_line_of_check() -> None:
    out = io.StringIO()

    shown = CheckOutput(out, quiet=True)
    shown.add(Finding(id="x", status=Status.FAIL, what="A", detail=HOSTILE, fix=HOSTILE, group="G"))
    shown.finish()

    told = out.getvalue()
    assert NEVER.search(told) is None
    assert told.count("\n") == 4, "the line, its fix, an empty line, and the verdict"


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    begin_logs(verbose=False, form="text")
    yield tmp_path
    _close_logs()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_the_log_and_a_traceback_below_it(logs: Path, form: str) -> None:
    path = log_to_file(logs, form=form)

    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("connector.test").info("read %s", HOSTILE, extra={"person": HOSTILE}, exc_info=True)

    text = path.read_text("utf-8")
    assert NEVER.search(text) is None
    records = [line for line in text.splitlines() if not line.startswith(" ")]
    assert len(records) == 1, "what was forged stands within the record, or set in below it"
    if form == "json":
        assert NEVER.search(json.loads(text)["message"]) is None


def test_what_graph_calls_its_error_is_short_and_clean_wherever_it_is_told(company: Company) -> None:
    company.hire("ada")
    words = HOSTILE.replace("\ud800", "")
    company.cloud.fail_next(PUT, Fault(status=400, code=words + "x" * 1_000_000, message=words), times=-1)

    told = company.sync("--verbose")

    assert told.code == 3, told.err
    log = (company.runner.state / "logs" / "photo-connector.log").read_text("utf-8")
    for text in (told.out, told.err, log):
        assert NEVER.search(text) is None
    size = sum(path.stat().st_size for path in company.runner.state.rglob("*") if path.is_file())
    assert size < 1_000_000, "4 MB of a code made 38 MB of state"


def test_the_code_and_the_request_id_are_bounded_where_they_come_in() -> None:
    body = json.dumps({"error": {"code": "c" * 4_000_000, "message": HOSTILE}}).encode()

    refusal = read_refusal(Response(400, {"request-id": "r" * 9_000}, body))

    assert (len(refusal.code), len(refusal.request_id)) == (100, 100)
    assert NEVER.search(str(refusal)) is None


def test_what_a_directory_says_is_short_and_clean() -> None:
    told = str(trouble.from_result("dc1", "reading", {"result": 1, "message": HOSTILE + "x" * 100_000}))

    assert NEVER.search(told) is None
    assert "\n" not in told
    assert len(told) < 1_000


def test_a_name_with_escapes_reaches_no_terminal_raw(company: Company) -> None:
    company.ldap.person(HOSTILE.replace("\ud800", ""), jpegPhoto=face("x"))

    told = company.sync("--verbose", "--only", "nobody\x1b[2J\n2026 forged")

    assert told.code == 2
    assert NEVER.search(told.err) is None
    assert company.sync("--verbose").code == 0
    assert NEVER.search((company.runner.state / "logs" / "photo-connector.log").read_text("utf-8")) is None


@pytest.mark.parametrize("text", ["20 %1 of", "%n", "%%", "a%b", "%!s!"])
def test_an_event_has_no_place_where_the_viewer_puts_something_else(text: str) -> None:
    assert re.search(r"%[0-9A-Za-z!]", event_text(text)) is None
    assert event_text("10 % of 5") == "10 % of 5"


# ----------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are text on Windows")
@pytest.mark.parametrize("words", [["history", b"zo\xeb"], ["sync", "--env-file", b"\xff.env"], [b"\xff"]])
def test_an_argument_that_is_no_text_is_a_mistake_of_usage(words: list[str | bytes]) -> None:
    command: list[str | bytes] = [sys.executable, "-m", "connector", *words]

    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})

    assert done.returncode == 2, done.stderr
    assert b"is not UTF-8 text" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_option_is_shown_without_its_escapes(company: Company) -> None:
    told = company.runner.type("sync", "--no-such\x1b[2J")

    assert told.code == 2
    assert "\x1b" not in told.err
    assert "Try 'photo-connector sync --help' for help." in told.err


# -------------------------------------------------------------------------------------------------------------- tables


def cells(name: str) -> str:
    out = io.StringIO(newline="")
    write_csv(a_run([an_outcome(Action.SKIP, Reason.NO_PHOTO, person=f"CN={name}", upn=name)]), out)
    return out.getvalue().removeprefix("\ufeff")


def test_every_cell_is_quoted() -> None:
    for line in cells("Ada").splitlines():
        assert re.fullmatch(r'"(?:[^"]|"")*"(?:,"(?:[^"]|"")*")*', line)


@pytest.mark.parametrize("sign", [*"=+-@", "\t=", "＝"])
@pytest.mark.parametrize("before", ["", "Ada;", "Ada ; ", 'Ada;"', "Ada;'"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_formula_is_computed_in_no_country(sign: str, before: str, separator: str) -> None:
    text = cells(f"{before}{sign}1+1")

    for row in csv.reader(io.StringIO(text), delimiter=separator):
        for cell in row:
            assert cell.lstrip(" \"'")[:1] not in tuple("=+-@＝") or "'" in cell[:4], cell


def test_a_cell_that_is_no_formula_stays_as_it_is() -> None:
    assert '"ada@contoso.test"' in cells("ada@contoso.test")
    assert '"Ada Lovelace-King"' in cells("Ada Lovelace-King")


# -------------------------------------------------------------------------------------------------- a log that is held


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="mounting needs root")
def test_a_log_that_cannot_be_moved_goes_on_in_the_same_file_and_moves_later(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.cli.console.LOG_BYTES", 1_000)
    path = log_to_file(logs, form="text")
    log = logging.getLogger("connector.test")
    (logs / "photo-connector.log.1").write_text("of last week", encoding="utf-8")
    subprocess.run(["mount", "--bind", str(path), str(path)], check=True, capture_output=True)
    try:
        for number in range(100):
            log.info("record %s", number)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)

    text = path.read_text("utf-8")
    assert [f"record {number}\n" in text for number in range(100)] == [True] * 100
    assert (logs / "photo-connector.log.1").read_text("utf-8") == "of last week", "older ones wait with it"
    for number in range(100):
        log.info("later %s", number)
    assert len(list(logs.glob("photo-connector.log.*"))) > 1
    assert len(list(logs.iterdir())) <= LOG_FILES + 1
    everything = "".join(one.read_text("utf-8") for one in logs.iterdir())
    assert "later 99\n" in everything
