"""Read the photos of an earlier run from the page that the run itself wrote, while the state folder keeps it.

Prepared pictures are deleted at the end of a run, and no photo is in the database: the page is the only place.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from connector.model import Outcome, RunReport
from connector.report.summary import one_line_safe, short_name

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_ON_CARD = re.compile(r'<img src="([^"]*)" alt="[^"]*" id="((?:before|after)-\d+)"')
_ADDRESS = "data:image/jpeg;base64,"
_MOST_BYTES = 200_000_000
# Places in a row of the page's list (`html._row`).
_NAME, _PERSON, _ACCOUNT, _REASON, _TARGET, _PHOTOS = 0, 1, 3, 5, 8, 9
_AGAIN = "`photo-connector sync --dry-run --report plan.html` plans again and shows them."

_Key = tuple[object, ...]
_Photos = Mapping[_Key, tuple[bytes | None, bytes | None]]


def with_kept_photos(report: RunReport, folder: Path) -> RunReport:
    """Return the report of an earlier run with the photos of its own page, and with what there is to say of them."""
    page = next(filter(Path.is_file, _names(folder, report.run)), None)
    kept = {} if page is None else _photos_of(page)
    known = report.pictures

    def pictures(outcome: Outcome) -> tuple[bytes | None, bytes | None]:
        before, after = known(outcome)
        kept_before, kept_after = kept.get(_key(outcome), (None, None))
        return before or kept_before, after or kept_after

    return replace(report, pictures=pictures, photos_note=_note(page, has_photos=bool(kept)))


def _names(folder: Path, run: int) -> Iterator[Path]:
    yield from (folder / f"run-{run:06}{ending}" for ending in (".html", "-preview.html"))


def _note(page: Path | None, *, has_photos: bool) -> str:
    if page is None:
        return (
            "No photos: they are kept only in the page that the run itself wrote, and the state folder does not have "
            f"it any more. {_AGAIN}"
        )
    if not has_photos:
        return f"No photos: the page that the run itself wrote ({page.name}) has none. {_AGAIN}"
    return f"The photos are those of the page that the run itself wrote ({page.name}), as they were then."


def _photos_of(page: Path) -> _Photos:
    """Return the photos of a page by person; nothing where it is not as this program writes it."""
    try:
        if page.stat().st_size > _MOST_BYTES:
            return {}
        text = page.read_text("utf-8")
        data = _DATA.search(text)
        rows = json.loads(data[1])["rows"] if data else []
        on_cards = {match[2]: match[1] for match in _ON_CARD.finditer(text)}
        return {_key_of(row): pair for row in rows if any(pair := _pair(row[_PHOTOS], on_cards))}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _pair(photos: object, on_cards: Mapping[str, str]) -> tuple[bytes | None, bytes | None]:
    if isinstance(photos, int):
        return _decoded(on_cards.get(f"before-{photos}")), _decoded(on_cards.get(f"after-{photos}"))
    before, after = photos[:2] if isinstance(photos, list) else (None, None)
    return _decoded(before), _decoded(after)


def _decoded(address: object) -> bytes | None:
    if not isinstance(address, str) or not address.startswith(_ADDRESS):
        return None
    try:
        return base64.b64decode(address.removeprefix(_ADDRESS), validate=True)
    except binascii.Error:
        return None


def _key_of(row: list[object]) -> _Key:
    return tuple(row[place] for place in (_NAME, _PERSON, _ACCOUNT, _REASON, _TARGET))


def _key(outcome: Outcome) -> _Key:
    name = one_line_safe(short_name(outcome.person))
    person = "" if outcome.person == name else one_line_safe(outcome.person)
    return name, person, outcome.account_id or "", outcome.reason.value, outcome.target
