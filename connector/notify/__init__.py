"""Deliver the report of a finished run: keep it, mail it, write metrics, write to the system log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from connector.command import pasteable
from connector.config import Settings
from connector.disk import delete_each
from connector.errors import ConnectorError
from connector.model import RunReport
from connector.notify.metrics import write_metrics
from connector.notify.systemlog import ENDS_SOON, write_system_log
from connector.report import headline, save_report

# HTML reports kept in the state folder; `report RUN` shows older runs, without their pictures.
KEPT_REPORTS = 14
PREVIEW = "-preview.html"


def deliver_report(report: RunReport, settings: Settings, folder: Path) -> Iterator[str]:
    """Keep the report, mail it, write the metrics and the system log; yield a sentence for each failure."""
    try:
        yield from _keep(report, settings, folder / "reports")
    except (ConnectorError, OSError) as error:
        yield f"The report could not be kept in the state folder: {error}"
    if settings.report_mail_to and not report.is_preview:
        from connector.notify.mail import mail_report  # loads Jinja2 and smtplib, which only mail needs

        yield mail_report(report, settings)
    if settings.metrics_file is not None:
        # two domains of one tenant have a state folder each; its name keeps their series apart
        labels = {"tenant": settings.azure_tenant_id or "", "name": folder.name}
        yield write_metrics(report, settings.metrics_file, labels=labels)
    text = pasteable(f"{headline(report)} {report.message}".strip())
    yield write_system_log(report.exit_code or 0, text, run=report.run)
    if report.ends_soon:
        told = f"{ENDS_SOON.meaning}: {report.credential_ends:%Y-%m-%d}"
        yield write_system_log(report.exit_code or 0, told, run=report.run, special=ENDS_SOON)


def _keep(report: RunReport, settings: Settings, folder: Path) -> list[str]:
    """Keep the report beside the newest of its sort, so that previews push no scheduled run out."""
    ending = PREVIEW if report.is_preview else ".html"
    save_report(report, folder / f"run-{report.run:06}{ending}", pictures=settings.report_pictures)
    paths = [path for path in folder.glob("run-*.html") if path.name.endswith(PREVIEW) == report.is_preview]
    return delete_each(iter(sorted(paths)[:-KEPT_REPORTS]))[1]
