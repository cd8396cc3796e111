"""The report reaches a mailbox: encrypted, with its table, without pictures, and never in the way of the run."""

from __future__ import annotations

import csv
import email.policy
import io
import random
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from connector.config import MailWhen, load_settings
from connector.model import Action, Reason
from connector.notify.mail import compose, mail_due, mail_report
from tests.printed_commands import hold_mail
from tests.report_stories import SCRIPT_NAME, a_picture, a_run, an_outcome, awkward_outcomes

USER, PASSWORD = "photo-reader@contoso.com", "p@ss/w:rd%"
TO, SENDER = ("ops@contoso.com", "help@contoso.com"), "photos@contoso.com"


@dataclass
class Mailbox:
    """Take mail, and remember how it came."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logins: list[bytes] = field(default_factory=list)
    refused: tuple[str, ...] = ()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _: Any) -> str:  # noqa: N802
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append(data.login)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    for mail in box.mails:
        hold_mail(mail)


@pytest.fixture
def serve(mailbox, authority) -> Iterator[Any]:
    running: list[Controller] = []

    def start(*, starttls: bool = True, login: bool = False, at_once: bool = False, shows_root: bool = False) -> int:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()
        shown = trustme.Blob(certificate + (authority.cert_pem.bytes() if shows_root else b""))
        with shown.tempfile() as path:
            tls.load_cert_chain(path)
        controller = Controller(
            mailbox,
            hostname="localhost",
            port=_free_port(),
            ssl_context=tls if at_once else None,
            tls_context=tls if starttls else None,
            require_starttls=starttls,
            authenticator=mailbox.authenticate,
            auth_required=login,
            auth_require_tls=starttls,
        )
        controller.start()
        running.append(controller)
        return controller.port

    yield start
    for controller in running:
        controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings_for(url, *, when="always", to=TO):
    values = {
        "SOURCE": "folder",
        "FOLDER_PATH": "/",
        "AZURE_TENANT_ID": "contoso.onmicrosoft.com",
        "AZURE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
        "AZURE_CLIENT_SECRET": "secret",
        "REPORT_MAIL_TO": ",".join(to),
        "REPORT_MAIL_FROM": SENDER,
        "REPORT_MAIL_WHEN": when,
        "SMTP_URL": url,
    }
    return load_settings(None, {name: value for name, value in values.items() if value}).settings


# the way


def test_it_is_mailed_encrypted_with_login(serve, mailbox, trusted):
    port = serve(login=True)
    url = f"smtp://photo-reader%40contoso.com:p%40ss%2Fw%3Ard%25@localhost:{port}"
    assert mail_report(a_run(), settings_for(url)) == ""
    assert (mailbox.recipients, mailbox.encrypted, mailbox.logins) == (list(TO), [True], [USER.encode()])


def test_without_login_starttls_is_used_where_it_is_offered(serve, mailbox, trusted):
    assert mail_report(a_run(), settings_for(f"smtp://localhost:{serve()}")) == ""
    assert mailbox.encrypted == [True]


def test_without_login_a_server_without_starttls_will_do(serve, mailbox):
    assert mail_report(a_run(), settings_for(f"smtp://localhost:{serve(starttls=False)}")) == ""
    assert mailbox.encrypted == [False]


# the server warns of itself, since it counts only STARTTLS as TLS
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_smtps_is_encrypted_at_once(serve, mailbox, trusted):
    port = serve(starttls=False, at_once=True, login=True)
    url = f"smtps://photo-reader%40contoso.com:p%40ss%2Fw%3Ard%25@localhost:{port}"
    assert mail_report(a_run(), settings_for(url)) == ""
    assert len(mailbox.mails) == 1


def test_a_password_is_never_told_without_encryption(serve, mailbox):
    port = serve(starttls=False)
    warning = mail_report(a_run(), settings_for(f"smtp://user:{PASSWORD[:4]}@localhost:{port}"))
    assert "it offers no STARTTLS, so the password was not sent" in warning
    assert (mailbox.logins, mailbox.mails) == ([], [])


# what goes wrong


def test_a_certificate_that_is_not_trusted_ends_it(serve, mailbox):
    # Wine accepts what Windows refuses where the server does not show its authority (tests/README.md).
    warning = mail_report(a_run(), settings_for(f"smtp://localhost:{serve(shows_root=True)}"))
    assert warning.startswith("The report could not be mailed through localhost: its certificate is not trusted")
    assert mailbox.mails == []


def test_a_wrong_password_is_named_but_not_shown(serve, mailbox, trusted):
    port = serve(login=True)
    warning = mail_report(a_run(), settings_for(f"smtp://someone:hunter2@localhost:{port}"))
    assert warning == (
        "The report could not be mailed through localhost: the user or password of SMTP_URL was refused. "
        "Correct them; some servers require an app password."
    )
    assert mailbox.mails == []


def test_a_server_that_does_not_answer_is_named():
    warning = mail_report(a_run(), settings_for(f"smtp://localhost:{_free_port()}"))
    assert warning.startswith("The report could not be mailed through localhost: it does not answer.")


def test_a_server_that_speaks_something_else_is_one_line():
    with socket.create_server(("localhost", 0)) as server:
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        speaker = threading.Thread(target=answer)
        speaker.start()
        warning = mail_report(a_run(), settings_for(f"smtp://localhost:{server.getsockname()[1]}"))
        speaker.join()
    assert warning.startswith("The report could not be mailed through localhost: ")
    assert "\n" not in warning


def test_an_address_that_the_server_refuses_is_named_and_the_others_get_it(serve, mailbox):
    mailbox.refused = ("help@contoso.com",)
    warning = mail_report(a_run(), settings_for(f"smtp://localhost:{serve(starttls=False)}"))
    assert warning == "localhost did not accept the report for help@contoso.com."
    assert mailbox.recipients == ["ops@contoso.com"]


def test_when_every_address_is_refused_it_says_so(serve, mailbox):
    mailbox.refused = TO
    warning = mail_report(a_run(), settings_for(f"smtp://localhost:{serve(starttls=False)}"))
    assert "it accepted none of the addresses of REPORT_MAIL_TO (help@contoso.com, ops@contoso.com)" in warning


def test_a_line_break_in_an_address_is_no_header():
    with pytest.raises(ValueError, match="linefeed"):
        compose(a_run(), to=("ops@contoso.com\r\nBcc: everybody@contoso.com",), sender=SENDER)
    message = compose(a_run(kind="sync\r\nBcc: everybody@contoso.com"), to=TO, sender=SENDER)
    assert message["Bcc"] is None


# what is in it


@pytest.fixture
def mail(serve, mailbox):
    def mailed(report):
        assert mail_report(report, settings_for(f"smtp://localhost:{serve(starttls=False)}")) == ""
        return mailbox.mails[-1]

    return mailed


def test_the_mail_says_at_once_how_it_went(mail):
    message = mail(a_run())
    assert message["Subject"] == "photo-connector: FAILED for 2 people: 3 photos created, 1 replaced and 1 removed"
    assert (message["From"], message["To"]) == (SENDER, ", ".join(TO))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@contoso.com>")
    text = message.get_body(("plain",)).get_content()
    assert text.startswith("The run finished, but 2 people failed:")
    assert "All users are in the attached photo-connector-run-12.csv." in text


def test_a_dry_run_says_so_in_the_subject():
    subject = compose(a_run(dry_run=True, exit_code=0), to=TO, sender=SENDER)["Subject"]
    assert subject == (
        "photo-connector: Finished: 3 photos would be created, 1 replaced and 1 removed (nothing was written)"
    )


def test_the_html_tells_it_with_advice_and_escaped(mail):
    page = mail(a_run([an_outcome(Action.FAIL, Reason.THROTTLED, person=f"CN={SCRIPT_NAME}")])).get_body(("html",))
    text = page.get_content()
    assert "<script" not in text
    assert "&lt;script&gt;alert(document.domain)&lt;/script&gt;" in text
    assert "lower <code>SYNC_CONCURRENCY</code>" in text
    assert "BACKUP_DAYS=0" in text


def test_no_picture_is_in_the_mail(mail):
    def pictures(_outcome):
        raise AssertionError("nobody asks for pictures")

    message = mail(replace(a_run(), pictures=pictures))
    assert "data:image" not in message.as_string()
    assert a_picture(1) not in [part.get_content() for part in message.iter_attachments()]


def test_the_table_is_attached(mail):
    (table,) = mail(a_run()).iter_attachments()
    assert (table.get_content_type(), table.get_filename()) == ("text/csv", "photo-connector-run-12.csv")
    content = table.get_payload(decode=True).decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(content, newline="")))) == len(awkward_outcomes())


def test_a_large_table_is_packed(mail):
    outcomes = [an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=n) for n in range(6_000)]
    (table,) = mail(a_run(outcomes)).iter_attachments()
    assert table.get_filename() == "photo-connector-run-12.csv.zip"
    with zipfile.ZipFile(io.BytesIO(table.get_content())) as archive:
        content = archive.read("photo-connector-run-12.csv")
    assert content.count(b"\r\n") == 6_001


def test_a_table_beyond_what_mailboxes_take_is_left_out_and_named():
    dice = random.Random(1)
    outcomes = [
        an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=n, source_sha256=dice.randbytes(1_000).hex())
        for n in range(9_000)
    ]
    message = compose(a_run(outcomes), to=TO, sender=SENDER)
    assert list(message.iter_attachments()) == []
    bodies = [part.get_content() for part in message.walk() if not part.is_multipart()]
    assert "The table is too large for a mail" in bodies[0]
    assert "<code>photo-connector report 12 --output FILE</code>" in bodies[1]


# when


@pytest.mark.parametrize(
    "changes, always, with_changes, with_problems",
    [
        ({"exit_code": 0, "totals": {"people": 9, "unchanged": 9}}, True, False, False),
        ({"exit_code": 0, "totals": {"people": 9, "replaced": 1}}, True, True, False),
        ({"exit_code": 7, "totals": {"people": 9, "created": 1}}, True, True, False),
        ({"exit_code": 0, "totals": {"people": 9, "conflicts": 1}}, True, False, False),
        ({"exit_code": 3, "totals": {"people": 9, "failed": 1}}, True, True, True),
        ({"exit_code": 5, "totals": {}}, True, True, True),
        ({"exit_code": None, "totals": {}}, True, True, True),
    ],
)
def test_the_setting_says_when_it_is_mailed(changes, always, with_changes, with_problems):
    report = a_run(**changes)
    assert mail_due(report, MailWhen.ALWAYS) is always
    assert mail_due(report, MailWhen.CHANGES) is with_changes
    assert mail_due(report, MailWhen.PROBLEMS) is with_problems


def test_a_quiet_night_sends_nothing_when_only_problems_are_wanted(serve, mailbox):
    url = f"smtp://localhost:{serve(starttls=False)}"
    quiet = a_run(exit_code=0, totals={"people": 9, "unchanged": 9})
    assert mail_report(quiet, settings_for(url, when="problems")) == ""
    assert mail_report(a_run(), settings_for(url, when="problems")) == ""
    assert len(mailbox.mails) == 1


def test_without_a_mail_server_nothing_is_tried():
    bare = settings_for("smtp://localhost").model_copy(update={"smtp_url": None})
    assert mail_report(a_run(), bare) == ""
