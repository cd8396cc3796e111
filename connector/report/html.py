"""How does the run become one HTML file? A template with its style and script inside, and the people as JSON within."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from connector.config import Pictures
from connector.model import Outcome, RunReport
from connector.model.reasons import ADVICE, needs_attention
from connector.report.summary import (
    AttentionGroup,
    action_labels,
    attention_first,
    concerns,
    duration,
    format_utc,
    headline,
    labelled_totals,
    one_line_safe,
    short_name,
    state,
)
from connector.report.thumbnails import PhotoPair, ThumbnailProvider

CARD_PEOPLE = 12
MOST_ROWS = 50_000
MOST_UNMATCHED = 500
PARTS = ("created", "replaced", "removed", "failed", "skipped", "unchanged")

_WORDS = {
    "ldap_searches": "Directory searches",
    "ldap_entries": "Directory entries read",
    "http": "Requests to Microsoft 365",
    "http_retries": "of them, repeated",
    "bytes_up": "Bytes sent",
    "bytes_down": "Bytes received",
    "token_requests": "Token requests",
    "waits": "Waits asked for by the service",
}


@dataclass(frozen=True, slots=True)
class PersonCard:
    """Show one person in a card; `number` ties the pictures to the row in the list, which shows them too."""

    outcome: Outcome
    name: str
    pair: PhotoPair | None
    number: int


@dataclass(frozen=True, slots=True)
class Card:
    """Show a group of people who need attention, with the first few of them."""

    concern: AttentionGroup
    faces: list[PersonCard]


@dataclass(frozen=True, slots=True)
class BarSegment:
    """Draw one part of the bar that shows the proportions: name, place and width out of 1,000."""

    name: str
    start: float
    width: float


def write_page(report: RunReport, stream: TextIO, *, pictures: Pictures = Pictures.NONE) -> None:
    """Write the run as one HTML file that needs no network; the people are streamed, memory stays flat."""
    found, album = concerns(report), ThumbnailProvider(report, pictures)
    deck = cards(report, found, album)
    style, script = _asset("report.css"), _asset("report.js")
    chunks = (
        environment()
        .get_template("report.html.j2")
        .generate(
            report=report,
            deeds=action_labels(report),
            cards=deck,
            style=style,
            script=script,
            policy=_policy(style, script),
            totals=labelled_totals(report),
            bar=_bar(report.totals),
            island=_embedded_json(report, found, album, deck),
            state=state(report),
            unmatched=list(islice(report.unmatched(), MOST_UNMATCHED)),
            spent=[(_WORDS.get(name, name), count) for name, count in report.requests.items()],
        )
    )
    for chunk in chunks:
        stream.write(chunk)


@cache
def environment() -> Environment:
    """Return the templates of this room; everything that they show is escaped."""
    made = Environment(
        loader=PackageLoader("connector.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"code": code, "plain": one_line_safe, "moment": format_utc, "count": "{:,}".format}
    made.globals |= {"headline": headline, "duration": duration, "short_name": short_name, "advice": ADVICE}
    return made


def code(text: str) -> Markup:
    """Return escaped HTML in which what stands between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(one_line_safe(text)))))  # noqa: S704  escaped just here


def cards(report: RunReport, found: list[AttentionGroup], album: ThumbnailProvider) -> list[Card]:
    """Make a card for each concern, with its first twelve people and their pictures."""
    first: dict[tuple[str, str], list[Outcome]] = {(one.action, one.reason): [] for one in found}
    for outcome in filter(needs_attention, report.outcomes() if found else ()):
        chosen = first[outcome.action, outcome.reason]
        if len(chosen) < CARD_PEOPLE:
            chosen.append(outcome)
    number, deck = 0, []
    for concern in found:
        chosen = first[concern.action, concern.reason]
        deck.append(Card(concern, [_face(outcome, album, number + place) for place, outcome in enumerate(chosen)]))
        number += len(chosen)
    return deck


def _face(outcome: Outcome, album: ThumbnailProvider, number: int) -> PersonCard:
    return PersonCard(outcome, one_line_safe(short_name(outcome.person)), album.pair(outcome), number)


def _embedded_json(
    report: RunReport, found: list[AttentionGroup], album: ThumbnailProvider, deck: list[Card]
) -> Iterator[Markup]:
    """Yield the JSON that the script reads: words first, then a row for each person in the order of the list."""
    titles = {reason.value: advice.title for reason, advice in ADVICE.items()}
    yield _escape_script(f'{{"titles":{json.dumps(titles)},"deeds":{json.dumps(action_labels(report))},"rows":[')
    shown = {_key(face.outcome): face for card in deck for face in card.faces if face.pair}
    people, comma = attention_first(report, found), "\n"
    for outcome in islice(people, MOST_ROWS):
        face = shown.get(_key(outcome))
        seen = face.number if face else album.pair(outcome)
        yield _escape_script(comma + json.dumps(_row(outcome, seen), separators=(",", ":")))
        comma = ",\n"
    left_out = sum(1 for _ in people)
    yield _escape_script(f'\n],"leftOut":{left_out},"pictures":{json.dumps(_said_of(album))}}}')


def _row(outcome: Outcome, seen: PhotoPair | int | None) -> list[object]:
    name = one_line_safe(short_name(outcome.person))
    pictures = [seen.before, seen.after, *seen.labels, *seen.missing] if isinstance(seen, PhotoPair) else seen
    person = "" if outcome.person == name else one_line_safe(outcome.person)
    return [
        *(name, person, one_line_safe(outcome.upn), outcome.account_id or "", outcome.action, outcome.reason),
        *(one_line_safe(outcome.detail), outcome.source_sha256 or "", outcome.target, pictures),
    ]


def _said_of(album: ThumbnailProvider) -> str:
    return "Photos are shown of the first 500 people only." if album.refused else ""


def _key(outcome: Outcome) -> tuple[str, str, str, str]:
    return outcome.person_id or outcome.person, outcome.account_id or "", outcome.target, outcome.reason


def _escape_script(text: str) -> Markup:
    """Return JSON in which nothing can end the script element or begin another (HTML standard, section 4.12.1.3)."""
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  no sign of HTML is left in it


def _bar(totals: Mapping[str, int]) -> list[BarSegment]:
    """Share out 1,000 units among the parts of all people; who is there at all stays visible."""
    counts = {name: totals.get(name, 0) for name in PARTS if totals.get(name, 0)}
    whole = sum(counts.values())
    widths = {name: max(8.0, 1000 * count / whole) for name, count in counts.items()}
    scale, start, slices = 1000 / sum(widths.values()) if widths else 1, 0.0, []
    for name, width in widths.items():
        slices.append(BarSegment(name, round(start, 2), round(width * scale, 2)))
        start += width * scale
    return slices


def _policy(style: str, script: str) -> str:
    """Return the content security policy: only our own script and style run, nothing is fetched."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _asset(name: str) -> Markup:
    own = (files("connector.report") / "templates" / name).read_text("utf-8")
    return Markup(own)  # noqa: S704  our own file
