"""Test `check --prove PERSON`: what it tells of the service, and that it leaves the account as it was."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from connector.doctor.prove import draw_test_picture
from connector.doctor.prove_output import QUESTIONS
from connector.photo import read_print
from tests.company import Colleague, Company, face
from tests.lab.graph import Fault
from tests.runner import CommandResult, shown
from tests.test_night_stops import wait_until

BEFORE = ["own photo", "no photo"]
# Of the fifteen requests of a proof, those after which it is killed, while the next is on its way (after the last one:
# while it waits for the answer): 5 and 8 upload, 13 puts back, 15 is the last.
STEPS = (1, 4, 5, 6, 8, 9, 11, 13, 14, 15)


def prove(company: Company, name: str, *options: str, days: float = 0) -> CommandResult:
    """Type `check --prove`, with JSON."""
    command = ("check", "--env-file", str(company.runner.env_file()), "--prove", name, "--json", *options)
    told = company.runner.type(*command, days=days)
    return CommandResult(told.code, told.out, told.err, json.loads(told.out) if told.out.startswith("{") else {})


def answers(told: CommandResult) -> dict[str, str]:
    """Return the answers by the id of their question."""
    return {row["id"]: row["answer"] for row in told.report["answers"]}


def hired(company: Company, before: str = "own photo") -> Colleague:
    """Have somebody without a photo in the directory, with or without one in the cloud."""
    ada = company.hire("ada", photo=None)
    if before == "own photo":
        company.cloud.tenant.set_photo(ada.account_id, face("own ada"))
    return ada


def is_as_before(company: Company, ada: Colleague, before: str = "own photo") -> bool:
    """Return True if the account shows what it showed before the proof."""
    photo = company.cloud.tenant.photo(ada.account_id)
    if before == "no photo":
        return photo is None
    return photo is not None and shown(company.cloud, ada.account_id).shows_same(read_print(face("own ada")))


def open_runs(company: Company) -> list[int]:
    """Return the proofs without an end."""
    with closing(sqlite3.connect(company.runner.state / "ledger.sqlite3")) as db:
        return [row[0] for row in db.execute("SELECT id FROM runs WHERE kind = 'prove' AND finished = ''")]


def test_the_picture_is_a_square_jpeg_like_no_face() -> None:
    drawn = read_print(draw_test_picture())
    assert (drawn.width, drawn.height) == (648, 648)
    assert draw_test_picture() == draw_test_picture()
    assert not drawn.shows_same(read_print(face("ada")))


@pytest.mark.parametrize("before", BEFORE)
def test_every_question_is_answered_and_the_account_is_as_before(company: Company, before: str) -> None:
    ada = hired(company, before)

    told = prove(company, ada.upn)

    assert told.code == 0, told.err
    assert list(answers(told)) == list(QUESTIONS)
    assert told.report["put"]["status"] == 200
    assert set(told.report["put"]["seen_after_seconds"]) == {"metadata", "bytes", "sizes"}
    assert None not in told.report["put"]["seen_after_seconds"].values()
    assert told.report["restored"]["way"] == ("put-back" if before == "own photo" else "delete")
    assert is_as_before(company, ada, before)
    assert open_runs(company) == []
    assert company.cloud.violations() == []


def test_the_json_names_nobody(company: Company) -> None:
    ada = hired(company)
    tag = company.cloud.tenant.photo(ada.account_id)
    told = prove(company, ada.upn)
    hidden = [ada.upn, ada.account_id, "contoso", company.settings["AZURE_TENANT_ID"]]
    hidden += [company.settings["AZURE_CLIENT_ID"], str(company.runner.folder), tag.tag if tag else ""]
    assert [word for word in hidden if word and word.lower() in told.out.lower()] == []


def test_the_page_lists_the_questions_that_the_command_answers() -> None:
    page = (Path(__file__).parent.parent / "docs" / "verified.md").read_text("utf-8")
    assert dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", page, re.M)) == {
        key: f"{question}" for key, question in QUESTIONS.items()
    }


def test_people_read_the_answers_and_how_the_account_was_left(company: Company) -> None:
    ada = hired(company)
    told = company.runner.type("check", "--env-file", str(company.runner.env_file()), "--prove", ada.upn)
    assert told.code == 0, told.err
    assert QUESTIONS["header-tag"] in told.out
    assert told.out.endswith("The photo from before was put back.\n")


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({"reencode": "none"}, {"repeatable": "yes"}),
        ({"reencode": "comment"}, {}),
        ({"reencode": "jpeg", "reencode_repeatable": False}, {"repeatable": "no"}),
        ({"largest_edge": 240}, {}),
        ({"header_tag_differs": True}, {"header-tag": "no"}),
        ({"header_tag_differs": False}, {"header-tag": "yes"}),
        ({"put_status": 202, "delete_status": 200}, {"put-status": "HTTP 202"}),
        ({"put_status": 204}, {"put-status": "HTTP 204"}),
        ({"read_lag_reads": 4, "read_lag_shows": "old"}, {}),
        ({"read_lag_reads": 4, "read_lag_shows": "old-tag"}, {}),
        ({"read_lag_reads": 4, "read_lag_shows": "missing"}, {}),
        ({"missing_photo": "1x1"}, {}),
        ({"missing_photo": "nested"}, {}),
        ({"sizes_descending": True, "item_base64": "urlsafe", "item_header_case": "mixed"}, {}),
        ({"stable_tags": False}, {}),
    ],
    ids=lambda value: "-".join(f"{name}={setting}" for name, setting in value.items()) or "any",
)
def test_however_the_service_behaves_it_is_told_and_the_account_is_as_before(
    company: Company, before: str, switches: dict[str, Any], expected: dict[str, str]
) -> None:
    company.cloud.set(**switches)
    ada = hired(company, before)
    if "read_lag_reads" in switches:
        while not is_seen(company, ada, before):
            time.sleep(0.01)

    told = prove(company, ada.upn)

    assert told.code == 0, told.err + told.out
    assert {key: answers(told)[key] for key in expected} == expected
    stored = told.report["stored"]
    assert stored["same_bytes_as_sent"] == (switches.get("reencode") == "none")
    assert stored["width"] == switches.get("largest_edge", 648)
    assert stored["distance"] <= 14
    assert is_as_before(company, ada, before)


def test_a_photo_that_the_service_may_not_take_back_is_left_alone(company: Company) -> None:
    ada = hired(company)
    account = company.cloud.tenant.find(ada.account_id)
    assert account is not None
    assert account.photo is not None
    account.photo = replace(account.photo, content_bytes=as_gif(face("own ada")))
    company.cloud.set(photo_content_type="image/gif")

    told = prove(company, ada.upn)

    assert (told.code, company.cloud.tenant.writes()) == (5, []), told.out
    assert "neither JPEG nor PNG" in told.err


def test_an_unknown_404_is_not_taken_for_an_account_without_a_photo(company: Company) -> None:
    ada = hired(company)
    unknown = Fault(status=404, code="SomethingNew", message="Not here.")
    company.cloud.fail_next(r"(ITEM )?GET .*/photo", unknown, times=8)

    told = prove(company, ada.upn)

    assert (told.code, company.cloud.tenant.writes()) == (5, []), told.out
    assert "SomethingNew" in told.err


def as_gif(content_bytes: bytes) -> bytes:
    """Return the picture as a GIF."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(content_bytes)) as image:
        image.convert("P").save(out, "GIF")
    return out.getvalue()


def is_seen(company: Company, ada: Colleague, before: str) -> bool:
    """Read the photo once more; the lag of the emulator is counted in reads."""
    account = company.cloud.tenant.find(ada.account_id)
    assert account is not None
    return (company.cloud.tenant.seen_photo(account) is not None) == (before == "own photo")


def test_a_read_that_never_shows_the_write_ends_in_time_and_is_told(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WRITE_SECONDS", "AGAIN_SECONDS", "RESTORE_SECONDS"):
        monkeypatch.setattr(f"connector.doctor.prove.{name}", 1.0)
    ada = hired(company)
    company.cloud.set(read_lag_seconds=3600.0)

    told = prove(company, ada.upn)

    assert told.code == 3, told.err
    assert "not seen in time" in answers(told)["read-lag"]
    assert is_as_before(company, ada)
    assert open_runs(company) == []


def test_a_tenant_that_refuses_is_told_with_its_words(company: Company) -> None:
    ada = hired(company)
    company.cloud.set(policy_source="onPremises")
    told = prove(company, ada.upn)
    assert told.code == 5
    assert "ErrorAccessDenied" in answers(told)["refusal"]
    assert is_as_before(company, ada)
    assert open_runs(company) == []


def test_a_name_that_fits_nobody_or_nobodys_account_is_a_usage_error(company: Company) -> None:
    hired(company)
    alone = company.hire("alone", account=False)
    nobody, without = prove(company, "nobody@contoso.test"), prove(company, alone.upn)
    assert (nobody.code, without.code) == (2, 2)
    assert "--prove nobody@contoso.test: no user in scope has this name." in nobody.err
    assert "no account in Microsoft 365" in without.err
    assert company.cloud.tenant.writes() == []


def test_a_stand_by_server_writes_nothing(company: Company) -> None:
    ada = hired(company)
    killed_after(company, ada, write=1)
    writes = len(company.cloud.tenant.writes())
    company.settings["SYNC_STAGING"] = "true"
    assert prove(company, ada.upn).code == 2
    assert any("the next run that may write" in text for text in company.sync().report["notices"])
    assert len(company.cloud.tenant.writes()) == writes
    company.settings["SYNC_STAGING"] = "false"
    company.sync()
    assert is_as_before(company, ada)


def test_the_sync_after_a_proof_finds_nothing_to_do(company: Company) -> None:
    ada = company.hire("ada")
    assert company.sync().of(ada.upn) == ("create", "first-upload")
    assert prove(company, ada.upn).code == 0
    writes = len(company.cloud.tenant.writes())

    after, full = company.sync(days=1), company.sync("--full", days=1)

    assert (after.code, full.code) == (0, 0), after.err
    assert full.totals["unchanged"] == 1
    assert len(company.cloud.tenant.writes()) == writes


def test_a_proof_is_neither_the_latest_report_nor_what_restore_takes_back(company: Company) -> None:
    ada = company.hire("ada")
    company.sync()
    prove(company, ada.upn)
    report = company.runner.type("report", "--env-file", str(company.runner.env_file()))
    assert "Run 1 (sync" in report.out
    assert company.runner.type("report", "2", "--env-file", str(company.runner.env_file())).code == 0
    runs = company.runner.type("runs", "--env-file", str(company.runner.env_file()))
    assert "prove" in runs.out


def test_a_put_back_that_fails_is_told_and_finished_by_the_next_run(company: Company) -> None:
    ada = hired(company)
    company.cloud.fail_next(r"PUT .*/photo/\$value", Fault(status=403, code="ErrorAccessDenied", skip=2), times=-1)

    told = prove(company, ada.upn)

    assert told.code == 5
    assert "could not be put back" in told.err
    assert open_runs(company) != []
    company.cloud.faults.clear()
    after = company.sync(days=1)
    assert after.code == 0, after.err
    assert any("was cut short; the photo from before it was put back" in text for text in after.report["notices"])
    assert is_as_before(company, ada)


def test_a_photo_that_somebody_chose_after_a_kill_stays(company: Company) -> None:
    ada = hired(company)
    killed_after(company, ada, write=1)
    company.cloud.tenant.set_photo(ada.account_id, face("chosen since"))
    after = company.sync(days=1)
    assert any("changed since" in text for text in after.report["notices"])
    assert shown(company.cloud, ada.account_id).shows_same(read_print(face("chosen since")))
    assert open_runs(company) == []


def test_forget_refuses_until_the_account_is_as_before(company: Company) -> None:
    ada = hired(company)
    company.sync()
    killed_after(company, ada, write=1)
    forget = ("forget", "--env-file", str(company.runner.env_file()), ada.upn, "--yes")
    refused = company.runner.type(*forget)
    assert (refused.code, "cut short" in refused.err) == (2, True)
    company.sync()
    assert is_as_before(company, ada)
    assert company.runner.type(*forget).code == 0


def test_a_dry_run_leaves_an_open_proof_to_the_next_run(company: Company) -> None:
    ada = hired(company)
    killed_after(company, ada, write=1)
    writes = len(company.cloud.tenant.writes())
    dry = company.sync("--dry-run")
    assert any("the next run that may write" in text for text in dry.report["notices"])
    assert len(company.cloud.tenant.writes()) == writes
    assert company.sync().code == 0
    assert is_as_before(company, ada)


def start(company: Company, ada: Colleague) -> subprocess.Popen[str]:
    """Start the proof as a process of its own."""
    command = [sys.executable, "-m", "connector", "check", "--env-file", str(company.runner.env_file())]
    return subprocess.Popen(
        [*command, "--prove", ada.upn, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


def killed_after(company: Company, ada: Colleague, *, write: int) -> None:
    """Kill a proof while it waits for the answer to its last write, which was carried out."""
    writes = r"(PUT|DELETE) .*/photo/\$value"
    company.cloud.fail_next(writes, Fault(kind="hold", performed=True, skip=write - 1))
    process = start(company, ada)
    wait_until(lambda: company.cloud.faults.held > 0, process)
    process.kill()
    process.communicate()
    company.cloud.faults.clear()


def own_writes(company: Company) -> list[object]:
    """Return the writes that came over the wire."""
    return [record for record in company.cloud.requests if record.method in ("PUT", "DELETE")]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX's")
@pytest.mark.parametrize("before", BEFORE)
def test_after_ctrl_c_the_account_is_as_before_at_once(company: Company, before: str) -> None:
    ada = hired(company, before)
    company.cloud.set(latency=0.2)
    process = start(company, ada)
    while process.poll() is None and not own_writes(company):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130, err
    assert is_as_before(company, ada, before)
    assert open_runs(company) == []


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_of_its_steps_the_next_run_leaves_the_account_as_it_was(
    company: Company, before: str, step: int
) -> None:
    ada = hired(company, before)
    is_last = step == STEPS[-1]
    before_it = 2 + step - (1 if is_last else 0)  # two batches look up the account before the first of them
    company.cloud.fail_next(
        r"(GET|POST|PUT|DELETE) .*(/\$batch|/photo)", Fault(kind="hold", performed=is_last, skip=before_it)
    )
    process = start(company, ada)
    wait_until(lambda: company.cloud.faults.held > 0, process)
    process.kill()
    _, err = process.communicate()
    company.cloud.faults.clear()

    after = company.sync()

    assert after.code == 0, err + after.err
    assert is_as_before(company, ada, before)
    assert open_runs(company) == []
    assert company.sync("--full", days=1).code == 0
    assert is_as_before(company, ada, before)


def test_nothing_is_sent_to_who_opted_out_or_whose_account_is_managed_in_the_cloud(company: Company) -> None:
    ada, bob = hired(company), company.hire("bob")
    company.hire("eve")
    company.cloud.tenant.update_account(bob.account_id, synced=False)
    listed = company.runner.folder / "opted-out.txt"
    listed.write_text(f"{ada.upn}\n", "utf-8")
    company.settings["OPT_OUT_FILE"] = str(listed)

    told = [prove(company, one.upn) for one in (ada, bob)]

    assert [one.code for one in told] == [2, 2]
    assert "opted out" in told[0].out + told[0].err
    assert "managed in the cloud" in told[1].out + told[1].err
    assert company.cloud.tenant.writes() == []
