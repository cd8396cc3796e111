"""Write a run as JSON of the contract, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TextIO

from connector import __version__
from connector.model import Outcome, RunReport
from connector.model.reasons import ADVICE, cure_of, is_conflict
from connector.report.summary import iso_utc, one_line_safe, only_planned, short_name

# Spreadsheets strip blanks, also accept full-width characters, and compute within quotes.
_FORMULA = re.compile(r"(^|[;|])([\s\"']*[=+\-@＝＋－＠])")
COLUMNS = (
    *("name", "upn", "action", "reason", "meaning", "detail", "what_to_do", "conflict"),
    *("person", "person_id", "account_id", "target", "source_sha256", "planned", "planned_reason", "since"),
    *("source_pixels", "source_attribute", "matched_by", "source_has_photo", "cloud_has_photo"),
)
_CHANGES = ("created", "replaced", "removed")


def write_json(report: RunReport, stream: TextIO) -> None:
    """Write the run as one JSON object in ASCII; keys may be added to the contract's, never removed."""
    head = json.dumps(_head(report), indent=1)
    stream.write(head.removesuffix("\n}") + ',\n "unmatched": [')
    comma = "\n  "
    for upn in report.unmatched():
        stream.write(comma + json.dumps(upn))
        comma = ",\n  "
    stream.write('\n ],\n "outcomes": [')
    comma = "\n  "
    for outcome in report.outcomes():
        stream.write(comma + json.dumps(as_json(outcome)))
        comma = ",\n  "
    stream.write("\n ]\n}\n")


def as_json(outcome: Outcome) -> dict[str, str | bool | None]:
    """Return one outcome with the contract's keys, and later ones; `planned` only where a safety limit held a write."""
    held = {}
    if outcome.planned is not None and outcome.planned_reason is not None:
        held = {"planned": outcome.planned.value, "planned_reason": outcome.planned_reason.value}
    return {
        "person": outcome.person,
        "upn": outcome.upn,
        "account_id": outcome.account_id,
        "action": outcome.action.value,
        "reason": outcome.reason.value,
        "detail": outcome.detail,
        "source_sha256": outcome.source_sha256,
        "person_id": outcome.person_id,
        "target": outcome.target,
        "conflict": is_conflict(outcome),
        **({"since": iso_utc(outcome.since)} if outcome.since else {}),
        **held,
    }


def write_csv(report: RunReport, stream: TextIO) -> None:
    """Write the outcomes as CSV (RFC 4180) with a byte order mark, so that spreadsheets read it as UTF-8.

    The stream must not translate newlines. Every cell is quoted, and text that a spreadsheet would read as a formula
    gets an apostrophe: also after a semicolon, which separates cells in some countries.
    """
    stream.write("\ufeff")
    table = csv.writer(stream, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    table.writerow(COLUMNS)
    table.writerows(_rows(report))


def _head(report: RunReport) -> dict[str, object]:
    return {
        "run": report.run,
        "kind": report.kind,
        "tenant": report.tenant,
        "host": report.host,
        "version": __version__,
        "started": iso_utc(report.started),
        "finished": iso_utc(report.finished),
        "dry_run": report.dry_run,
        "staging": report.is_staging,
        **({"approves": report.approves} if report.approves else {}),
        "mode": report.mode,
        "exit_code": report.exit_code,
        "message": report.message,
        **({"limits": [asdict(limit) for limit in report.exceeded]} if report.exceeded else {}),
        "notices": list(report.notices),
        "totals": dict(report.totals),
        **({"plan": {name: report.planned[name] for name in _CHANGES}} if report.planned else {}),
        "requests": dict(report.requests),
        "pace": dict(report.pace),
    }


def _rows(report: RunReport) -> Iterator[list[str]]:
    planned = only_planned(report)
    for outcome in report.outcomes():
        facts = report.facts(outcome)
        cure = cure_of(outcome.action, outcome.reason, planned=planned)
        cells = (
            *(short_name(outcome.person), outcome.upn, outcome.action, outcome.reason, ADVICE[outcome.reason].title),
            *(outcome.detail, cure, "yes" if is_conflict(outcome) else ""),
            *(outcome.person, outcome.person_id, outcome.account_id or "", outcome.target, outcome.source_sha256 or ""),
            *(outcome.planned or "", outcome.planned_reason or "", iso_utc(outcome.since) or ""),
            *(facts.source_pixels, facts.source_attribute, facts.matched_by),
            *(_yes_or_no(facts.source_has_photo), _yes_or_no(facts.cloud_has_photo)),
        )
        yield [safe_cell(text) for text in cells]


def _yes_or_no(known: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[known]


def safe_cell(text: str) -> str:
    """Return the text of a cell: on one line, and never a formula for a spreadsheet."""
    cell = _FORMULA.sub(r"\1'\2", one_line_safe(text))
    return f"'{cell}" if text[:1] in ("\t", "\r", "\n") and cell[:1] != "'" else cell
