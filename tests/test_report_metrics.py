"""Metrics for monitoring: when a run last went well, what it did, and a file that is never half written."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.notify.metrics import write_metrics
from tests.report_stories import a_run

ENDING = datetime(2026, 11, 24, 2, 4, 12, tzinfo=UTC)
ENDED = 1_795_485_852  # 2026-11-24 02:04:12 UTC


@pytest.fixture
def textfile(tmp_path):
    return tmp_path / "photo_connector.prom"


def families(path):
    """Read the file as a Prometheus server would; what is not in its text format raises ValueError."""
    return list(text_string_to_metric_families(path.read_bytes().decode("utf-8")))


def series(path):
    """Return the value of each series, by name and labels."""
    samples = [sample for family in families(path) for sample in family.samples]
    told = {_named(sample.name, sample.labels): sample.value for sample in samples}
    assert len(told) == len(samples), "a series is told twice"
    return told


def _named(name, labels):
    inner = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inner}}}" if inner else name


def test_it_tells_what_the_run_did(textfile):
    assert write_metrics(a_run(exit_code=0), textfile) == ""
    told = series(textfile)
    assert told["photo_connector_last_run_timestamp_seconds"] == ENDED
    assert told["photo_connector_last_success_timestamp_seconds"] == ENDED
    assert told["photo_connector_last_exit_code"] == 0
    assert told["photo_connector_last_run_duration_seconds"] == 252
    assert told['photo_connector_people{result="created"}'] == 3
    assert told['photo_connector_people{result="verified"}'] == 297
    assert told['photo_connector_requests{kind="http"}'] == 240
    assert told['photo_connector_pace{kind="uploads_per_second"}'] == 3.25


def test_each_line_is_in_the_text_format_and_each_family_is_declared_once(textfile):
    write_metrics(a_run(), textfile, labels={"tenant": "contoso"})
    text = textfile.read_bytes().decode("ascii")
    assert "\r" not in text
    assert text.endswith("\n")
    declared = families(textfile)
    assert {family.type for family in declared} == {"gauge"}
    assert all(family.documentation and family.samples for family in declared)
    assert len({family.name for family in declared}) == len(declared)
    assert {sample.labels["tenant"] for family in declared for sample in family.samples} == {"contoso"}


def test_the_pages_list_the_metrics_that_there_are(textfile):
    shown = {"accounts": {"ours": 1}, "people": {"ours": 1}}
    write_metrics(replace(a_run(exit_code=0), coverage=lambda: shown, rules=lambda: {"opted-out": 1}), textfile)
    page = (Path(__file__).parent.parent / "docs" / "operations.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(photo_connector_\w+)` \|", page, re.MULTILINE))
    assert listed == {family.name for family in families(textfile)}
    assert set(re.findall(r"\b(photo_connector_\w+)", page)) == listed


@pytest.mark.parametrize(
    "code, success, completion", [(0, 1, 1), (7, 1, 1), (3, 0, 1), (5, 0, 0), (4, 0, 0), (1, 0, 0)]
)
@pytest.mark.parametrize("labels", [{}, {"tenant": "contoso"}], ids=["bare", "labelled"])
def test_the_last_success_outlives_runs_that_fail(textfile, code, success, completion, labels):
    write_metrics(a_run(exit_code=0), textfile, labels=labels)
    later = ENDING.replace(day=25)
    write_metrics(a_run(exit_code=code, finished=later), textfile, labels=labels)
    told = {name.split("{")[0]: value for name, value in series(textfile).items()}
    day = 86_400
    assert told["photo_connector_last_run_timestamp_seconds"] == ENDED + day
    assert told["photo_connector_last_exit_code"] == code
    assert told["photo_connector_last_success_timestamp_seconds"] == ENDED + day * success
    assert told["photo_connector_last_completion_timestamp_seconds"] == ENDED + day * completion


def test_before_the_first_success_there_is_no_such_series(textfile):
    write_metrics(a_run(exit_code=5), textfile)
    assert "success" not in textfile.read_text()


def test_a_run_without_an_end_counts_as_a_fault(textfile):
    write_metrics(a_run(exit_code=None, finished=None, totals={}, requests={}, pace={}), textfile)
    told = series(textfile)
    assert told["photo_connector_last_exit_code"] == 1
    assert told["photo_connector_last_run_duration_seconds"] == 0


def test_a_foreign_file_is_replaced(textfile):
    textfile.write_bytes(b"\xff\xfe something else\n")
    assert write_metrics(a_run(exit_code=0), textfile) == ""
    assert series(textfile)["photo_connector_last_exit_code"] == 0


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"kind": "restore"}])
def test_a_dry_run_and_a_restore_tell_nothing(textfile, changes):
    assert write_metrics(a_run(exit_code=0, **changes), textfile) == ""
    assert not textfile.exists()


def test_labels_are_escaped(textfile):
    write_metrics(a_run(exit_code=0), textfile, labels={"tenant": 'a"b\\c\nd'})
    (code,) = [family for family in families(textfile) if family.name == "photo_connector_last_exit_code"]
    assert code.samples[0].labels == {"tenant": 'a"b\\c\nd'}


def test_the_exporter_may_read_it_and_finds_nothing_beside_it(textfile):
    write_metrics(a_run(), textfile)
    assert [entry.name for entry in textfile.parent.iterdir()] == [textfile.name]
    if sys.platform != "win32":
        assert textfile.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_is_a_warning(tmp_path):
    warning = write_metrics(a_run(), tmp_path / "nowhere" / "photo.prom")
    assert re.fullmatch(r"The metrics file '.*photo\.prom' could not be written: No such file or directory\.", warning)


def test_a_folder_in_its_place_is_a_warning_and_nothing_is_left_beside_it(textfile):
    textfile.mkdir()
    assert "could not be written" in write_metrics(a_run(), textfile)
    assert [entry.name for entry in textfile.parent.iterdir()] == [textfile.name]
