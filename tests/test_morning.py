"""What the administrator finds after a run: a kept report, a mail, figures, and a log that machines can read."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult

from connector.cli.console import LOG_BYTES, LOG_FILES
from connector.notify import KEPT_REPORTS
from tests.lab.graph import Emulator, Fault
from tests.lab.pictures import jpeg
from tests.runner import Runner


@pytest.fixture
def runner(cloud: Emulator, tmp_path: Path) -> Runner:
    """Point the product at a folder with one picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    path = folder / "anna@contoso.test.jpg"
    path.write_bytes(jpeg("anna", (200, 200)))
    os.utime(path, (time.time() - 3600,) * 2)
    cloud.tenant.add_account("anna@contoso.test")
    settings = {"SOURCE": "folder", "FOLDER_PATH": str(folder), "METRICS_FILE": str(tmp_path / "photo.prom")}
    return Runner(tmp_path, {**settings, **cloud.environ()})


MAIL = {"REPORT_MAIL_TO": "admin@contoso.test", "REPORT_MAIL_FROM": "photos@contoso.test"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Mailbox(Message):
    """Keep what was delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[str] = []

    def handle_message(self, message: object) -> None:
        """Record a subject."""
        self.subjects.append(str(message["Subject"]))  # type: ignore[index]


def test_a_night_leaves_a_report_and_figures(runner: Runner, tmp_path: Path) -> None:
    told = runner.sync()

    assert told.code == 0, told.err
    page = runner.state / "reports" / "run-000001.html"
    assert "anna@contoso.test" in page.read_text("utf-8")
    assert os.name == "nt" or page.stat().st_mode & 0o077 == 0, "Windows has ACLs instead"
    figures = (tmp_path / "photo.prom").read_text("utf-8")
    assert (
        f'photo_connector_people{{tenant="{runner.settings["AZURE_TENANT_ID"]}",name="state",result="created"}} 1'
        in figures
    )


def test_only_the_newest_reports_are_kept(runner: Runner) -> None:
    for number in range(KEPT_REPORTS + 2):
        (runner.state / "reports").mkdir(parents=True, exist_ok=True)
        (runner.state / "reports" / f"run-{number:06}.html").write_text("old")
    runner.sync()

    assert len(list((runner.state / "reports").glob("run-*.html"))) == KEPT_REPORTS


def test_previews_push_no_scheduled_run_out(runner: Runner) -> None:
    runner.sync()
    for number in range(2, KEPT_REPORTS + 4):
        (runner.state / "reports" / f"run-{number:06}-preview.html").write_text("old")
    runner.sync("--dry-run")

    names = sorted(path.name for path in (runner.state / "reports").glob("run-*.html"))
    assert "run-000001.html" in names
    assert "run-000002-preview.html" not in names
    assert len(names) == 1 + KEPT_REPORTS


def test_dry_runs_and_runs_for_named_people_are_not_mailed(runner: Runner) -> None:
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=_free_port())
    server.start()
    try:
        runner.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{server.port}", **MAIL}
        told = [runner.sync("--dry-run"), runner.sync("--only", "anna@contoso.test"), runner.sync(days=1)]
    finally:
        server.stop()

    assert [one.code for one in told] == [0, 0, 0], told[0].err
    assert mailbox.subjects == ["[photo-connector contoso.test] Finished: no photo had to be changed"]


def test_the_log_file_names_run_and_person_and_no_secret(runner: Runner, cloud: Emulator) -> None:
    runner.sync("--log-format", "json")

    lines = [json.loads(line) for line in (runner.state / "logs" / "photo-connector.log").read_text().splitlines()]
    told = [line for line in lines if line["logger"] == "connector.outcomes"]
    assert [(line["run"], line["person"], line["action"]) for line in told] == [
        (1, "folder:anna@contoso.test", "create")
    ]
    assert cloud.client_secret not in json.dumps(lines)


def test_the_log_tells_a_dry_run_from_a_real_one_and_how_each_began_and_ended(runner: Runner) -> None:
    runner.sync("--dry-run", "--log-format", "json")
    runner.sync("--log-format", "json")
    runner.settings["PHOTO_SIZE"] = "400"
    runner.sync("--log-format", "json", days=1)

    lines = [json.loads(line) for line in (runner.state / "logs" / "photo-connector.log").read_text().splitlines()]
    assert {(line["run"], line["dry_run"]) for line in lines} == {(1, True), (2, False), (3, False)}
    of_run = [line for line in lines if line["logger"] == "connector.run"]
    starts, ends = of_run[::2], of_run[1::2]
    assert [line["mode"] for line in starts] == ["sync (dry run)", "sync", "sync"]
    assert starts[0]["settings"] == starts[1]["settings"] != starts[2]["settings"]
    assert all(line["version"] for line in starts)
    assert [(line["exit_code"], line["totals"]["created"]) for line in ends] == [(0, 1), (0, 1), (0, 0)]
    assert all(line["seconds"] >= 0 for line in ends)


def test_the_text_log_names_the_run_and_has_times_with_their_offset(runner: Runner) -> None:
    runner.sync("--dry-run")
    runner.sync()

    lines = (runner.state / "logs" / "photo-connector.log").read_text().splitlines()
    form = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d [A-Z]+ \[run (1, dry run|2)\] connector\.\w+: "
    assert [line for line in lines if not re.match(form, line)] == []
    assert any("[run 1, dry run] connector.outcomes: create anna@contoso.test" in line for line in lines)


def test_the_report_is_mailed_when_something_changed_and_not_on_a_quiet_night(runner: Runner) -> None:
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=_free_port())
    server.start()
    try:
        url = f"smtp://127.0.0.1:{server.port}"
        runner.settings |= {"SMTP_URL": url, "REPORT_MAIL_WHEN": "changes", **MAIL}
        first, second = runner.sync(), runner.sync(days=1)
    finally:
        server.stop()

    assert (first.code, second.code) == (0, 0), first.err
    assert len(mailbox.subjects) == 1, first.err


@pytest.mark.parametrize(
    ("login", "offers_tls", "warning"),
    [
        ("photos:mistyped@", True, "the user or password of SMTP_URL was refused"),
        ("photos:right@", False, "it offers no STARTTLS, so the password was not sent"),
        ("", True, "its certificate is not trusted"),
    ],
    ids=["a wrong password", "no STARTTLS", "an unknown authority"],
)
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_mail_that_fails_is_told_and_changes_nothing_else(
    runner: Runner, tmp_path: Path, login: str, offers_tls: bool, warning: str, request: pytest.FixtureRequest
) -> None:
    authority = trustme.CA()
    if login:  # this machine knows the authority
        authority.cert_pem.write_to_path(tmp_path / "mail-ca.pem")
        request.getfixturevalue("monkeypatch").setenv("SSL_CERT_FILE", str(tmp_path / "mail-ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
    shown = b"" if login else authority.cert_pem.bytes()  # Wine refuses only an authority that is shown
    with trustme.Blob(certificate + shown).tempfile() as path:
        tls.load_cert_chain(path)
    mailbox = Mailbox()
    server = Controller(
        mailbox,
        hostname="localhost",
        port=_free_port(),
        tls_context=tls if offers_tls else None,
        authenticator=lambda *_: AuthResult(success=False, handled=False),
        auth_require_tls=offers_tls,
    )
    server.start()
    try:
        runner.settings |= {"SMTP_URL": f"smtp://{login}localhost:{server.port}", **MAIL}
        told = runner.sync()
    finally:
        server.stop()

    assert told.code == 0, told.err
    assert told.totals["created"] == 1
    assert f"Warning: The report could not be mailed through localhost: {warning}" in told.err
    assert "mistyped" not in told.out + told.err
    assert mailbox.subjects == []
    assert (runner.state / "reports" / "run-000001.html").exists()


def test_a_mail_server_that_is_not_there_keeps_the_code_of_a_night_that_failed(runner: Runner, cloud: Emulator) -> None:
    runner.settings |= {"SMTP_URL": f"smtp://127.0.0.1:{_free_port()}", "REPORT_MAIL_WHEN": "problems", **MAIL}
    cloud.fail_next(".*PUT .*", Fault(status=403, code="ErrorAccessDenied"), times=-1)

    told = runner.sync()

    assert told.code == 3
    assert "Warning: The report could not be mailed through 127.0.0.1: it does not answer." in told.err


def test_the_log_is_turned_over_and_only_so_many_are_kept(runner: Runner) -> None:
    logs = runner.state / "logs"
    logs.mkdir(parents=True)
    (logs / "photo-connector.log").write_bytes(b"x" * LOG_BYTES)
    for number in range(1, LOG_FILES + 1):
        (logs / f"photo-connector.log.{number}").write_text(f"older {number}")

    runner.sync()

    names = sorted(path.name for path in logs.iterdir())
    assert names == ["photo-connector.log", *(f"photo-connector.log.{n}" for n in range(1, LOG_FILES + 1))]
    assert (logs / "photo-connector.log").stat().st_size < LOG_BYTES
    assert (logs / "photo-connector.log.2").read_text() == "older 1"
