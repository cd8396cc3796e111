"""Mail the report by SMTP, as HTML and text with the table attached, and never with pictures."""

from __future__ import annotations

import base64
import io
import re
import shutil
import smtplib
import ssl
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from email.utils import formatdate, make_msgid
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit

import truststore

from connector.command import pasteable
from connector.config import MailWhen, Pictures, Settings
from connector.errors import ConnectorError, ExitCode
from connector.model import Brake, ExceededLimit, RunReport
from connector.model.reasons import people
from connector.report.html import cards, environment
from connector.report.json_csv import write_csv
from connector.report.summary import (
    action_labels,
    as_planned,
    cause_parts,
    changes,
    concerns,
    labelled_totals,
    next_commands,
    one_line_safe,
    state,
    uploads_note,
)
from connector.report.text import write_text
from connector.report.thumbnails import ThumbnailProvider

MOST_PLAIN = 1_000_000
MOST_ZIPPED = 8_000_000
_TIMEOUT = 30
# A shorter line would break the subject before its first word; RFC 5322 allows 998.
_MOST_IN_LINE = 200
_TEXT_LIMIT = 20
_WELL = (ExitCode.OK, ExitCode.LIMIT)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Represent the table of a run as a file: CSV, or a zip of it if it is large."""

    name: str
    kind: tuple[str, str]
    content_bytes: bytes = field(repr=False)


def mail_due(report: RunReport, when: MailWhen) -> bool:
    """Return True if this run is mailed: always, with changes or problems, or with problems only.

    A problem is a person who failed, an exit code other than 0 and 7, or a certificate or secret that ends soon. A
    conflict that the policy settled is none.
    """
    problem = report.exit_code not in _WELL or report.totals.get("failed", 0) > 0 or report.ends_soon
    changed = any(report.totals.get(name, 0) for name in ("created", "replaced", "removed"))
    return when is MailWhen.ALWAYS or problem or (when is MailWhen.CHANGES and changed)


def mail_report(report: RunReport, settings: Settings) -> str:
    """Mail the report; return a warning sentence if that failed, else empty text.

    A failure does not change the run. The server's certificate is verified against the system's store.
    """
    if settings.smtp_url is None or not settings.report_mail_to or not settings.report_mail_from:
        return ""
    if not mail_due(report, settings.report_mail_when):
        return ""
    server = urlsplit(settings.smtp_url.get_secret_value())
    try:
        message = compose(report, to=settings.report_mail_to, sender=settings.report_mail_from)
        refused = _send(message, server)
    except (OSError, ValueError, ConnectorError) as error:
        return f"The report could not be mailed through {server.hostname}: {_error_text(error)}"
    if refused:
        return f"{server.hostname} did not accept the report for {', '.join(sorted(refused))}."
    return ""


def try_mail_server(settings: Settings) -> str:
    """Test the mail server without sending a mail; return a warning sentence if mail would fail, else empty text.

    The server is asked whether it accepts mail from the sender and for all recipients of the report (RFC 5321: MAIL,
    RCPT, then RSET). The settings must name server, sender and receivers.
    """
    server = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
    try:
        with _session(server) as session:
            session.mail(settings.report_mail_from or "")
            answers = {address: session.rcpt(address) for address in settings.report_mail_to}
            session.rset()
    except (OSError, ValueError, ConnectorError) as error:
        return f"{server.hostname}: {_error_text(error)}"
    refused = sorted(address for address, (code, _) in answers.items() if code >= 400)
    return (
        f"{server.hostname} takes no mail from {settings.report_mail_from} for {', '.join(refused)}." if refused else ""
    )


def compose(report: RunReport, *, to: tuple[str, ...], sender: str) -> EmailMessage:
    """Return the mail: text, HTML, and the table as a file. A line break in an address raises ValueError."""
    table = _table(report)
    message = EmailMessage(policy=default.clone(max_line_length=_MOST_IN_LINE))
    message["From"] = sender
    message["To"] = ", ".join(to)
    kind = "" if report.kind == "sync" else f" ({one_line_safe(report.kind)})"
    program = one_line_safe(f"[photo-connector {report.tenant}]") if report.tenant else "photo-connector:"
    message["Subject"] = f"{program} {in_short(report)}{kind}"
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_as_text(report, table))
    message.add_alternative(_as_html(report, table), subtype="html")
    if table:
        maintype, subtype = table.kind
        message.add_attachment(table.content_bytes, maintype=maintype, subtype=subtype, filename=table.name)
    return message


def _as_text(report: RunReport, table: Attachment | None) -> str:
    stream = io.StringIO()
    write_text(report, stream, limit=_TEXT_LIMIT)
    return f"{stream.getvalue()}\n{_where_complete(report, table)}\n"


def _as_html(report: RunReport, table: Attachment | None) -> str:
    report = as_planned(report)
    return (
        environment()
        .get_template("mail.html.j2")
        .render(
            report=report,
            state=state(report),
            commands=next_commands(report),
            parts=cause_parts(report),
            deeds=action_labels(report),
            totals=labelled_totals(report),
            note=uploads_note(report),
            cards=cards(report, concerns(report), ThumbnailProvider(report, Pictures.NONE)),
            where=_where_complete(report, table),
        )
    )


def _where_complete(report: RunReport, table: Attachment | None) -> str:
    if table:
        return f"All users are in the attached {table.name}."
    command = pasteable(f"photo-connector report {report.run} --output FILE")
    return f"The table is too large for a mail; `{command}` writes it."


def _table(report: RunReport) -> Attachment | None:
    name = f"photo-connector-run-{report.run}.csv"
    with TemporaryFile() as raw:
        text = io.TextIOWrapper(raw, "utf-8", errors="replace", newline="", write_through=True)
        write_csv(report, text)
        size = raw.tell()
        raw.seek(0)
        if size <= MOST_PLAIN:
            return Attachment(name, ("text", "csv"), raw.read())
        return _zipped(raw, name)


def _zipped(raw: IO[bytes], name: str) -> Attachment | None:
    with TemporaryFile() as packed:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as inside:
            shutil.copyfileobj(raw, inside)
        if packed.tell() > MOST_ZIPPED:
            return None
        packed.seek(0)
        return Attachment(f"{name}.zip", ("application", "zip"), packed.read())


def _send(message: EmailMessage, server: SplitResult) -> set[str]:
    with _session(server) as session:
        return set(session.send_message(message))


@contextmanager
def _session(server: SplitResult) -> Iterator[smtplib.SMTP]:
    """Open a session, encrypted if the server can, and always before a password is sent (RFC 3207)."""
    tls, user = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT), unquote(server.username or "")
    with _connected(server, tls, port=server.port or (587 if user else 25)) as session:
        session.ehlo()
        if server.scheme.lower() == "smtp" and session.has_extn("starttls"):
            session.starttls(context=tls)
            session.ehlo()
        elif server.scheme.lower() == "smtp" and user:
            raise ConnectorError(
                "it offers no STARTTLS, so the password was not sent.", "Use smtps:// or another port."
            )
        if user:
            _log_in(session, user, unquote(server.password or ""))
        yield session


def _log_in(session: smtplib.SMTP, user: str, password: str) -> None:
    """Sign in; smtplib supports only ASCII: other letters are sent as UTF-8, by PLAIN (RFC 4616) or else LOGIN."""
    if (user + password).isascii():
        session.login(user, password)
        return
    offered = session.esmtp_features.get("auth", "").upper().split()
    if "PLAIN" in offered:
        code, answer = session.docmd("AUTH", "PLAIN " + _base64(f"\0{user}\0{password}"))
    else:
        session.docmd("AUTH", f"LOGIN {_base64(user)}")
        code, answer = session.docmd(_base64(password))
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, answer)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _connected(server: SplitResult, tls: ssl.SSLContext, *, port: int) -> smtplib.SMTP:
    host = server.hostname or ""
    if server.scheme.lower() == "smtps":
        return smtplib.SMTP_SSL(host, server.port or 465, timeout=_TIMEOUT, context=tls)
    return smtplib.SMTP(host, port, timeout=_TIMEOUT)


def _error_text(error: Exception) -> str:
    """Return one line of what went wrong and what to do; none of these errors contains the password."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "the user or password of SMTP_URL was refused. Correct them; some servers require an app password."
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it accepted none of the addresses of REPORT_MAIL_TO ({', '.join(sorted(error.recipients))})."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}). Add its authority to the system's store."
    if isinstance(error, ConnectionRefusedError | TimeoutError):
        return "it does not answer. Check the host and port of SMTP_URL, and the firewall."
    return one_line_safe(str(error))[:300].rstrip(".") + "."


_EXCEEDED: Mapping[str, str] = {
    Brake.CHANGES: "{count} replacements exceed the limit",
    Brake.OVERWRITES: "{count} overwrites exceed the limit",
    Brake.REMOVALS: "{count} removals exceed the limit",
    Brake.REMATCHES: "{count} changed accounts exceed the limit",
    Brake.VANISHED_ATTRIBUTE: "{attribute} vanished for {count} people",
}
_SHORT: Mapping[int | None, str] = {
    ExitCode.OK: "Finished",
    ExitCode.SOME_FAILED: "FAILED for {failed}",
    ExitCode.BRAKE: "STOPPED",
    ExitCode.UNREACHABLE: "INCOMPLETE",
    ExitCode.LIMIT: "At its limit",
    ExitCode.INTERRUPTED: "INTERRUPTED",
    None: "Not finished",
}
_MOST_CAUSE = 120


def in_short(report: RunReport) -> str:
    """Return the run in a few words for a mail's subject, such as "STOPPED: 600 replacements exceed the limit"."""
    opening = _SHORT.get(report.exit_code, "STOPPED").format(failed=people(report.totals.get("failed", 0)))
    if report.exit_code == ExitCode.BRAKE:
        return f"{opening}: {_exceeded(report.exceeded)}"
    if report.exit_code in (ExitCode.UNREACHABLE, ExitCode.FAULT) and report.message:
        cause = re.split(r"[.;] ", one_line_safe(report.message))[0].rstrip(".")
        return f"{opening}: {cause[:_MOST_CAUSE]}"
    return f"{opening}: {changes(report)}"


def _exceeded(limits: Sequence[ExceededLimit]) -> str:
    """Return the first limit that was exceeded in a few words; runs of older versions do not say which."""
    if not limits:
        return "a safety limit was exceeded"
    return _EXCEEDED[limits[0].limit].format(count=limits[0].count, attribute=one_line_safe(limits[0].attribute))
