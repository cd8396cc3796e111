"""Runs for the tests of reports: failures, conflicts, awkward names, and drawn pictures."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image, ImageDraw

from connector.model import Action, Outcome, Reason, RunReport

SCRIPT_NAME = "<script>alert(document.domain)</script>"


def an_outcome(action: Action, reason: Reason, *, number: int = 0, **changes: Any) -> Outcome:
    """Make an outcome of person `number`."""
    outcome = Outcome(
        person=f"CN=Person {number},OU=Staff,DC=contoso,DC=com",
        upn=f"person{number}@contoso.com",
        account_id=f"account-{number}",
        action=action,
        reason=reason,
        source_sha256="ab" * 32,
        person_id=f"person-{number}",
    )
    return replace(outcome, **changes)


def awkward_outcomes() -> list[Outcome]:
    """Make one night's outcomes: every action, some twice, and names that break careless programs."""
    anna = {"person": r"CN=Berg\, Anna,OU=Staff,DC=contoso,DC=com", "upn": "anna@contoso.com"}
    return [
        an_outcome(Action.FAIL, Reason.ACCESS_DENIED, number=0, detail="403 ErrorAccessDenied", **anna),
        an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=1, person="CN=José Ñandú,OU=Staff,DC=contoso,DC=com"),
        an_outcome(Action.CREATE, Reason.FIRST_UPLOAD, number=2, person=f"CN={SCRIPT_NAME},OU=Staff,DC=contoso,DC=com"),
        an_outcome(Action.REPLACE, Reason.CLOUD_DIFFERS, number=3, detail="The cloud photo is 648 × 648 pixels."),
        an_outcome(Action.KEEP, Reason.CONFLICT_STANDING, number=4, conflict=True),
        an_outcome(Action.CREATE, Reason.CLOUD_REMOVED, number=5),
        an_outcome(Action.REMOVE, Reason.SOURCE_REMOVED, number=6, source_sha256=None),
        an_outcome(Action.FAIL, Reason.ACCESS_DENIED, number=7),
        an_outcome(Action.SKIP, Reason.NO_PHOTO, number=8, source_sha256=None),
        an_outcome(Action.SKIP, Reason.NO_ACCOUNT, number=9, account_id=None, upn=""),
        an_outcome(Action.KEEP, Reason.ADOPTED, number=10, person="=cmd|' /C calc'!A0.jpg"),
        an_outcome(Action.SKIP, Reason.NO_PHOTO, number=11, person="line\nbreak\u2028 </script><!-- \x1b[2J"),
    ]


def a_run(outcomes: Iterable[Outcome] | None = None, **changes: Any) -> RunReport:
    """Make the report of run 12, a full night that ended with two failures."""
    told = awkward_outcomes() if outcomes is None else list(outcomes)
    report = RunReport(
        run=12,
        kind="sync",
        started=datetime(2026, 11, 24, 2, 0, 0, tzinfo=UTC),
        finished=datetime(2026, 11, 24, 2, 4, 12, tzinfo=UTC),
        dry_run=False,
        mode="full",
        exit_code=3,
        totals=_totals(),
        requests=_requests(),
        outcomes=lambda: iter(told),
        pictures=lambda _: (None, None),
        notices=("The directory refused the cookie, so everybody was read.", "No backups are kept (BACKUP_DAYS=0)."),
        pace={"uploads_per_second": 3.25},
    )
    return replace(report, **changes)


def a_picture(number: int, *, size: int = 200) -> bytes:
    """Draw a portrait whose colours tell its number, as JPEG bytes."""
    colour = (37 * number % 200 + 40, 91 * number % 200 + 40, 53 * number % 200 + 40)
    image = Image.new("RGB", (size, size), tuple(255 - part // 3 for part in colour))
    draw = ImageDraw.Draw(image)
    draw.ellipse((size * 0.3, size * 0.15, size * 0.7, size * 0.6), fill=colour)
    draw.ellipse((size * 0.1, size * 0.62, size * 0.9, size * 1.4), fill=colour)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _totals() -> dict[str, int]:
    return {
        "people": 2002,
        "created": 3,
        "replaced": 1,
        "removed": 1,
        "unchanged": 1980,
        "skipped": 12,
        "failed": 2,
        "conflicts": 3,
        "unmatched_accounts": 4,
        "open_intents": 1,
        "postponed": 0,
        "verified": 297,
    }


def _requests() -> dict[str, int]:
    return {
        "ldap_searches": 9,
        "ldap_entries": 2002,
        "http": 240,
        "http_retries": 3,
        "bytes_up": 90_000,
        "bytes_down": 80_000,
    }
