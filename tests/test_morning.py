"""What does the administrator find in the morning? A kept report, a mail, figures, and a log that machines can read."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from connector.morning import KEPT_REPORTS
from tests.lab.graph import Emulator
from tests.lab.pictures import jpeg
from tests.nights import Nights


@pytest.fixture
def nights(cloud: Emulator, tmp_path: Path) -> Nights:
    """Point the product at a folder with one picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    path = folder / "anna@contoso.test.jpg"
    path.write_bytes(jpeg("anna", (200, 200)))
    os.utime(path, (time.time() - 3600,) * 2)
    cloud.tenant.add_account("anna@contoso.test")
    settings = {"SOURCE": "folder", "FOLDER_PATH": str(folder), "METRICS_FILE": str(tmp_path / "photo.prom")}
    return Nights(tmp_path, {**settings, **cloud.environ()})


class Mailbox(Message):
    """Keep what was delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[str] = []

    def handle_message(self, message: object) -> None:
        """Note a subject."""
        self.subjects.append(str(message["Subject"]))  # type: ignore[index]


def test_a_night_leaves_a_report_and_figures(nights: Nights, tmp_path: Path) -> None:
    told = nights.sync()

    assert told.code == 0, told.err
    page = nights.state / "reports" / "run-000001.html"
    assert "anna@contoso.test" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o077 == 0
    assert "photo_connector" in (tmp_path / "photo.prom").read_text("utf-8")


def test_only_the_newest_reports_are_kept(nights: Nights) -> None:
    for number in range(KEPT_REPORTS + 2):
        (nights.state / "reports").mkdir(parents=True, exist_ok=True)
        (nights.state / "reports" / f"run-{number:06}.html").write_text("old")
    nights.sync()

    assert len(list((nights.state / "reports").glob("run-*.html"))) == KEPT_REPORTS


def test_the_log_file_names_run_and_person_and_no_secret(nights: Nights, cloud: Emulator) -> None:
    nights.sync("--log-format", "json")

    lines = [json.loads(line) for line in (nights.state / "logs" / "photo-connector.log").read_text().splitlines()]
    told = [line for line in lines if line["logger"] == "connector.outcomes"]
    assert [(line["run"], line["person"], line["action"]) for line in told] == [
        (1, "folder:anna@contoso.test", "create")
    ]
    assert cloud.client_secret not in json.dumps(lines)


def test_the_report_is_mailed_when_something_changed_and_not_on_a_quiet_night(nights: Nights) -> None:
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        nights.settings |= {
            "SMTP_URL": f"smtp://127.0.0.1:{port}",
            "REPORT_MAIL_TO": "admin@contoso.test",
            "REPORT_MAIL_FROM": "photos@contoso.test",
            "REPORT_MAIL_WHEN": "changes",
        }
        first, second = nights.sync(), nights.sync(days=1)
    finally:
        server.stop()

    assert (first.code, second.code) == (0, 0), first.err
    assert len(mailbox.subjects) == 1, first.err


def test_a_mail_server_that_is_not_there_is_a_warning_and_no_failure(nights: Nights) -> None:
    nights.settings |= {
        "SMTP_URL": "smtp://127.0.0.1:9",
        "REPORT_MAIL_TO": "admin@contoso.test",
        "REPORT_MAIL_FROM": "photos@contoso.test",
    }
    told = nights.sync()

    assert told.code == 0
    assert "Warning" in told.err
