"""Count the accounts and people with a photo, whose photo it is, and who has none, from what the runs have seen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TextIO

from connector.coverage.output import write_csv, write_json, write_text
from connector.coverage.summary import KINDS, Coverage, read_coverage
from connector.disk import reason, write_whole
from connector.errors import ConnectorError

__all__ = ["KINDS", "Coverage", "read_coverage", "save_coverage", "write_coverage"]


def write_coverage(
    coverage: Coverage, form: str, stream: TextIO, *, by: str = "", when: str = "", opted_out: bool = False
) -> None:
    """Write the coverage as text, json, csv or html; `when` is the time of the newest run, for people.

    `opted_out`: only a row for each person who opted out, as csv.
    """
    if opted_out:
        write_csv(coverage.opted_out(), stream)
    elif form == "json":
        write_json(coverage, stream, by=by)
    elif form == "csv":
        write_csv(coverage.entries, stream)
    elif form == "html":
        from connector.coverage.page import write_page  # loads Jinja2, which only this format needs

        write_page(coverage, stream, by=by, when=when)
    else:
        write_text(coverage, stream, by=by, when=when)


def save_coverage(
    coverage: Coverage, form: str, path: Path, *, by: str = "", when: str = "", opted_out: bool = False
) -> None:
    """Write the coverage to a file for its owner only, whole or not at all; ConnectorError where that fails."""
    text = io.StringIO(newline="")
    write_coverage(coverage, form, text, by=by, when=when, opted_out=opted_out)
    try:
        write_whole(path, text.getvalue().encode("utf-8", "replace"))
    except OSError as error:
        fix = "Name a file in a folder that this account may write."
        raise ConnectorError(f"The file {str(path)!r} could not be written: {reason(error)}.", fix) from error
