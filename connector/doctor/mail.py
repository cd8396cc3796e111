"""Would somebody hear of a night? The mail server is tried as far as a mail goes, and none is sent."""

from __future__ import annotations

from collections.abc import Iterator

from connector.doctor.context import CheckContext
from connector.doctor.findings import CheckResult, ok, skipped, warn
from connector.notify.mail import try_mail_server


def check_mail(visit: CheckContext) -> Iterator[CheckResult]:
    """Connect, encrypt and sign in as for a report, and ask whether the server would take it."""
    settings = visit.settings
    if settings.smtp_url is None or not settings.report_mail_to:
        yield skipped("REPORT_MAIL_TO is not set: no report is mailed")
        return
    problem = try_mail_server(settings)
    if problem:
        fix = "Correct SMTP_URL, REPORT_MAIL_FROM or REPORT_MAIL_TO; a night goes on without its mail."
        yield warn(f"the report cannot be mailed: {problem}", fix)
        return
    yield ok(f"the server takes reports for {', '.join(settings.report_mail_to)} ({settings.report_mail_when})")
