"""Runs are reported rightly in text, JSON and CSV, however many people they had and whatever they are called."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

import pytest

from connector import __version__
from connector.errors import ConnectorError, UsageError
from connector.model import Action, Outcome, Reason
from connector.model.reasons import GROUPS
from connector.report import (
    ADVICE,
    FORMATS,
    format_of,
    headline,
    is_conflict,
    render_reasons_md,
    save_report,
    write_report,
)
from connector.report.summary import local_time, one_line_safe, short_name
from tests.report_stories import a_run, an_outcome, awkward_outcomes


def told(report, format, **options):
    stream = io.StringIO(newline="")
    write_report(report, format, stream, **options)
    return stream.getvalue()


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


# advice


def test_every_reason_has_a_title_and_a_cure():
    assert set(ADVICE) == set(Reason), "each reason has one row in connector/model/reasons.py"
    for advice in ADVICE.values():
        assert advice.title
        assert not advice.title.endswith(".")
        assert advice.cure.endswith(".")


def test_no_reason_stands_in_two_groups_of_the_documentation():
    assert sum(len(group) for group in GROUPS.values()) == len(Reason)


def test_the_documentation_lists_every_reason_once():
    text = render_reasons_md()
    for reason in Reason:
        assert text.count(f"| `{reason}` |") == 1


def test_a_failure_with_a_conflicts_reason_is_told_as_a_failure_only():
    assert not is_conflict(an_outcome(Action.FAIL, Reason.CLOUD_DIFFERS))
    assert is_conflict(an_outcome(Action.REPLACE, Reason.CLOUD_DIFFERS))
    assert not is_conflict(an_outcome(Action.REPLACE, Reason.SOURCE_CHANGED))


# the sentence


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {},
            (
                "The run finished, but 2 people failed: 3 photos created, 1 replaced and 1 removed; "
                "1,980 unchanged, 12 skipped and 3 in conflict."
            ),
        ),
        (
            {"exit_code": 0, "dry_run": True, "totals": {"people": 1, "created": 1}},
            "The dry run finished: 1 photo would be created (nothing was written).",
        ),
        (
            {"exit_code": 0, "totals": {"people": 9, "unchanged": 9}},
            "The run finished: no photo had to be changed; 9 unchanged.",
        ),
        (
            {"exit_code": 0, "dry_run": True, "kind": "restore", "totals": {"people": 9, "unchanged": 9}},
            "The dry run of a restore finished: no photo would be changed; 9 unchanged.",
        ),
        (
            {"exit_code": 4, "totals": {"people": 900, "replaced": 800}},
            ("The run was stopped by a safety limit: 800 photos would be replaced (nothing was written)."),
        ),
        (
            {"exit_code": 5, "totals": {"people": 0}},
            (
                "The run is incomplete, because Active Directory or Microsoft 365 was unreachable or denied access."
                " Nothing was written."
            ),
        ),
        (
            {"exit_code": 5, "totals": {"people": 2, "created": 1, "failed": 1}},
            (
                "The run is incomplete, because Active Directory or Microsoft 365 was unreachable or denied access: "
                "1 photo created; 1 failed."
            ),
        ),
        ({"exit_code": None, "finished": None, "totals": {}}, "The run has not finished. Nothing was written."),
        ({"exit_code": 77, "totals": {}}, "The run ended with code 77. Nothing was written."),
    ],
)
def test_one_sentence_says_what_happened(changes, sentence):
    assert headline(replace(a_run(), **changes)) == sentence


@pytest.mark.parametrize(
    "person, name",
    [
        ("CN=Anna Berg,OU=Staff,DC=contoso,DC=com", "Anna Berg"),
        (r"CN=Berg\, Anna,OU=Staff,DC=contoso,DC=com", "Berg, Anna"),
        (r"cn=Lu\C4\8Di\C4\87,dc=example", "Lučić"),
        (r"cn=A \"B\" \3Cscript\3E,dc=example", 'A "B" <script>'),
        ("CN=Two+UID=two,DC=example", "Two"),
        ("anna.berg@contoso.com.jpg", "anna.berg@contoso.com.jpg"),
        ("CN=,DC=example", "CN=,DC=example"),
    ],
)
def test_people_are_called_by_the_name_in_their_dn(person, name):
    assert short_name(person) == name


def test_text_for_a_terminal_carries_no_escape_sequence_and_no_line_break():
    assert one_line_safe("a\r\nb\tc\x1b[31m\u202ed\udc80") == "a b c\ufffd[31m\ufffdd\ufffd"


# text


def test_text_tells_failures_then_conflicts_then_the_rest():
    text = told(a_run(), "text")
    order = ["but 2 people failed", "People", "Notices", "Failed:", "Conflict:", "Other users"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_text_gives_the_advice_of_each_concern_once():
    text = told(a_run(), "text")
    assert text.count(ADVICE[Reason.ACCESS_DENIED].cure) == 1
    assert text.count(ADVICE[Reason.NO_PHOTO].cure) == 0
    assert "Failed: Microsoft 365 denied the write [access-denied], 2 people" in text
    assert "fail    Berg, Anna <anna@contoso.com>: 403 ErrorAccessDenied" in text


def test_text_names_everybody_and_counts_everything():
    report = a_run()
    text = told(report, "text")
    for outcome in report.outcomes():
        assert one_line_safe(short_name(outcome.person)) in text
    assert re.search(r"^  People +2,002$", text, re.MULTILINE)
    assert re.search(r"^  verified +297$", text, re.MULTILINE), "a total unknown here keeps its name"
    assert f"Run 12 (sync, full), started {local_time(report.started)}, took 4 min 12 s." in text


def test_text_with_a_limit_says_how_many_it_left_out():
    outcomes = [an_outcome(Action.SKIP, Reason.NO_PHOTO, number=n) for n in range(1500)]
    text = told(a_run(outcomes), "text", limit=5)
    assert text.count("  skip ") == 5
    assert "… and 1,495 more" in text


def test_text_of_a_run_that_stopped_early_is_short():
    report = a_run([], exit_code=5, totals={}, notices=(), message="Graph: could not be reached. Open port 443.")
    assert told(report, "text").splitlines() == [
        (
            "The run is incomplete, because Active Directory or Microsoft 365 was unreachable or denied access."
            " Nothing was written."
        ),
        "Graph: could not be reached. Open port 443.",
        "",
        f"Run 12 (sync, full), started {local_time(report.started)}, took 4 min 12 s.",
        f"photo-connector {__version__}.",
        "",
    ]


def test_text_of_an_unfinished_run_says_so():
    assert "not finished." in told(a_run(exit_code=None, finished=None), "text")


@pytest.mark.parametrize("seconds, words", [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3840, "1 h 4 min")])
def test_text_says_how_long_it_took(seconds, words):
    report = a_run()
    finished = report.started.fromtimestamp(report.started.timestamp() + seconds, report.started.tzinfo)
    assert f"took {words}." in told(replace(report, finished=finished), "text")


# JSON


def test_json_has_the_contracts_shape():
    loaded = json.loads(told(a_run(), "json"))
    assert loaded["run"] == 12
    assert (loaded["started"], loaded["finished"]) == ("2026-11-24T02:00:00Z", "2026-11-24T02:04:12Z")
    assert (loaded["dry_run"], loaded["mode"], loaded["exit_code"]) == (False, "full", 3)
    assert loaded["totals"] == dict(a_run().totals)
    assert loaded["requests"] == dict(a_run().requests)
    assert loaded["outcomes"][0] == {
        "person": r"CN=Berg\, Anna,OU=Staff,DC=contoso,DC=com",
        "upn": "anna@contoso.com",
        "account_id": "account-0",
        "action": "fail",
        "reason": "access-denied",
        "detail": "403 ErrorAccessDenied",
        "source_sha256": "ab" * 32,
        "person_id": "person-0",
        "target": "graph",
        "conflict": False,
    }


def test_json_keeps_every_outcome_in_the_order_of_the_run():
    loaded = json.loads(told(a_run(), "json"))
    assert [entry["person"] for entry in loaded["outcomes"]] == [outcome.person for outcome in awkward_outcomes()]


def test_json_of_nobody_is_still_json():
    loaded = json.loads(told(a_run([], finished=None, exit_code=None), "json"))
    assert (loaded["outcomes"], loaded["finished"], loaded["exit_code"]) == ([], None, None)


def test_json_survives_a_file_name_that_is_no_unicode():
    text = told(a_run([an_outcome(Action.SKIP, Reason.NO_ACCOUNT, person="caf\udce9.jpg")]), "json")
    assert json.loads(text.encode("utf-8"))["outcomes"][0]["person"] == "caf\udce9.jpg"


# CSV


def test_csv_is_read_as_utf_8_by_a_spreadsheet(tmp_path):
    save_report(a_run(), tmp_path / "run.csv")
    content = (tmp_path / "run.csv").read_bytes()
    assert content.startswith(b'\xef\xbb\xbf"name","upn","action",')
    assert content.count(b"\r\n") == content.count(b"\n") == len(awkward_outcomes()) + 1


def test_csv_says_of_each_person_what_it_means_and_what_to_do():
    first = rows_of(told(a_run(), "csv"))[0]
    assert first["name"] == "Berg, Anna"
    assert (first["action"], first["reason"]) == ("fail", "access-denied")
    assert first["meaning"] == ADVICE[Reason.ACCESS_DENIED].title
    assert first["what_to_do"] == ADVICE[Reason.ACCESS_DENIED].cure
    assert first["source_sha256"] == "ab" * 32


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n=", " =", "＝", "－"])
def test_csv_defuses_a_cell_that_a_spreadsheet_would_run(start):
    evil = start + 'HYPERLINK("http://evil/","x")'
    row = rows_of(told(a_run([an_outcome(Action.SKIP, Reason.NO_PHOTO, person=evil, upn=evil)]), "csv"))[0]
    for column in ("name", "person", "upn"):
        assert row[column].startswith("'")


def test_csv_keeps_one_person_on_one_line():
    report = a_run([an_outcome(Action.FAIL, Reason.CLOUD_ERROR, person="a\r\nb\nc", detail="one\ntwo")])
    text = told(report, "csv")
    assert text.count("\n") == 2
    assert rows_of(text)[0]["detail"] == "one two"


# formats and files


@pytest.mark.parametrize(
    "path, format",
    [("a.html", "html"), ("a.CSV", "csv"), (Path("b/a.json"), "json"), ("C:\\reports\\a.txt", "text")],
)
def test_the_ending_chooses_the_format(path, format):
    assert format_of(path) == format


@pytest.mark.parametrize("path", ["report", "report.pdf", ".html"])
def test_another_ending_is_refused_with_the_four_that_work(path):
    with pytest.raises(UsageError, match=r"Use \.html, \.csv, \.json or \.txt"):
        format_of(path)


def test_an_unknown_format_is_refused_with_those_that_exist():
    with pytest.raises(UsageError, match="text, json, csv, html"):
        told(a_run(), "pdf")


@pytest.mark.parametrize("ending", [".txt", ".json", ".csv", ".html"])
def test_a_saved_report_replaces_the_old_one_as_a_whole(tmp_path, ending):
    path = tmp_path / f"run{ending}"
    path.write_text("old")
    save_report(a_run(), path)
    assert "old" not in path.read_text("utf-8")[:20]
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_report_that_fails_half_way_leaves_the_old_one(tmp_path):
    def cut_short() -> Iterator[Outcome]:
        yield from awkward_outcomes()
        raise ConnectorError("The ledger was closed.")

    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(ConnectorError, match="The ledger was closed"):
        save_report(replace(a_run(), outcomes=cut_short), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_report_that_cannot_be_written_says_where_and_why(tmp_path):
    with pytest.raises(ConnectorError, match=r"The report .*nowhere.*run\.csv.* could not be written"):
        save_report(a_run(), tmp_path / "nowhere" / "run.csv")


def test_a_report_may_go_to_a_device(tmp_path):
    save_report(a_run(), "/dev/null", form="text")


@pytest.mark.parametrize("format", FORMATS)
def test_the_memory_does_not_grow_with_the_people(format):
    few, many = (_peak(format, count) for count in (2_000, 30_000))
    assert many < few + 1_000_000, "bytes; the outcomes of 30,000 people are over 8 MB"


def _peak(format, count):
    def outcomes() -> Iterator[Outcome]:
        actions = [(Action.FAIL, Reason.THROTTLED), (Action.REPLACE, Reason.SOURCE_CHANGED)]
        return (an_outcome(*actions[number % 50 > 0], number=number) for number in range(count))

    report = replace(a_run(), outcomes=outcomes)
    tracemalloc.start()
    write_report(report, format, cast("TextIO", _Nowhere()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


class _Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)
