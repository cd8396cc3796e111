"""Write a run as one HTML file: a template with its style and script, and the people as embedded JSON."""

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
from connector.report.plan import by_risk, is_step, plan_facts, risk
from connector.report.summary import (
    MAIN_TOTALS,
    AttentionGroup,
    action_labels,
    as_planned,
    cause_parts,
    concerns,
    detail_for_people,
    duration,
    headline,
    labelled_totals,
    local_time,
    next_commands,
    one_line_safe,
    short_name,
    state,
    unchanged_since,
    uploads_note,
    where_of,
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
    "http_retries": "of these, retries",
    "bytes_up": "Bytes sent",
    "bytes_down": "Bytes received",
    "token_requests": "Token requests",
    "waits": "Waits requested by the service",
}


@dataclass(frozen=True, slots=True)
class PersonCard:
    """Represent one person in a card; `number` links the pictures to the row in the list, which shows them too."""

    outcome: Outcome
    name: str
    pair: PhotoPair | None
    number: int


@dataclass(frozen=True, slots=True)
class Card:
    """Represent a group of people who need attention, with the first of them."""

    concern: AttentionGroup
    faces: list[PersonCard]


@dataclass(frozen=True, slots=True)
class BarSegment:
    """Represent one part of the bar that shows the proportions: name, start and width out of 1,000."""

    name: str
    start: float
    width: float


def write_page(report: RunReport, stream: TextIO, *, pictures: Pictures = Pictures.NONE) -> None:
    """Write the run as one HTML file that needs no network; the people are streamed."""
    report = as_planned(report)
    groups, thumbnails = concerns(report), ThumbnailProvider(report, pictures)
    group_cards = cards(report, groups, thumbnails)
    style, script = asset("report.css"), asset("report.js")
    chunks = (
        environment()
        .get_template("report.html.j2")
        .generate(
            report=report,
            deeds=action_labels(report),
            cards=group_cards,
            commands=next_commands(report),
            parts=cause_parts(report),
            style=style,
            script=script,
            policy=policy(style, script),
            totals=labelled_totals(report),
            main=MAIN_TOTALS,
            note=uploads_note(report),
            bar=_bar(report.totals),
            island=_embedded_json(report, groups, thumbnails, group_cards),
            state=state(report),
            plan=plan_facts(report, most=MOST_ROWS),
            shows_faces=pictures is Pictures.CHANGES,
            unmatched=list(islice(report.unmatched(), MOST_UNMATCHED)),
            spent=[(_WORDS.get(name, name), count) for name, count in report.requests.items()],
        )
    )
    for chunk in chunks:
        stream.write(chunk)


@cache
def environment() -> Environment:
    """Return the environment of the report's templates; all values are escaped."""
    made = Environment(
        loader=PackageLoader("connector.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"code": code, "plain": one_line_safe, "moment": local_time, "count": "{:,}".format}
    made.globals |= {"headline": headline, "duration": duration, "short_name": short_name}
    made.globals |= {"detail_for": detail_for_people, "unchanged_since": unchanged_since, "where_of": where_of}
    return made


def code(text: str) -> Markup:
    """Return escaped HTML in which text between backticks is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(one_line_safe(text)))))  # noqa: S704  escaped just here


def cards(report: RunReport, groups: list[AttentionGroup], thumbnails: ThumbnailProvider) -> list[Card]:
    """Return a card for each group, with its first twelve people and their pictures."""
    first: dict[tuple[str, str], list[Outcome]] = {(group.action, group.reason): [] for group in groups}
    is_new = any(group.since is None for group in groups)  # the others are one line, without faces
    for outcome in (one for one in report.outcomes() if needs_attention(one) and one.since is None) if is_new else ():
        chosen = first[outcome.action, outcome.reason]
        if len(chosen) < CARD_PEOPLE:
            chosen.append(outcome)
    number, group_cards = 0, []
    for concern in groups:
        chosen = first[concern.action, concern.reason] if concern.since is None else []
        people = [_person_card(outcome, thumbnails, number + place) for place, outcome in enumerate(chosen)]
        group_cards.append(Card(concern, people))
        number += len(chosen)
    return group_cards


def _person_card(outcome: Outcome, thumbnails: ThumbnailProvider, number: int) -> PersonCard:
    return PersonCard(outcome, one_line_safe(short_name(outcome.person)), thumbnails.pair(outcome), number)


def _embedded_json(
    report: RunReport, groups: list[AttentionGroup], thumbnails: ThumbnailProvider, group_cards: list[Card]
) -> Iterator[Markup]:
    """Yield the JSON that the script reads: labels first, then a row for each person in the order of the list."""
    titles = {reason.value: advice.title for reason, advice in ADVICE.items()}
    yield _escape_script(f'{{"titles":{json.dumps(titles)},"deeds":{json.dumps(action_labels(report))},"rows":[')
    shown = {_key(face.outcome): face for card in group_cards for face in card.faces if face.pair}
    people, comma = by_risk(report, groups), "\n"
    for outcome in islice(people, MOST_ROWS):
        face = shown.get(_key(outcome))
        pictures = face.number if face else thumbnails.pair(outcome)
        row = [*_row(outcome, pictures), *([risk(outcome), outcome.person_id] if is_step(report, outcome) else [])]
        yield _escape_script(comma + json.dumps(row, separators=(",", ":")))
        comma = ",\n"
    left_out = sum(1 for _ in people)
    plan = json.dumps(plan_facts(report, most=MOST_ROWS))
    note = json.dumps("Photos are shown for the first 500 users only." if thumbnails.refused else "")
    yield _escape_script(f'\n],"leftOut":{left_out},"pictures":{note},"plan":{plan}}}')


def _row(outcome: Outcome, pair: PhotoPair | int | None) -> list[object]:
    name = one_line_safe(short_name(outcome.person))
    pictures = [pair.before, pair.after, *pair.labels, *pair.missing] if isinstance(pair, PhotoPair) else pair
    person = "" if outcome.person == name else one_line_safe(outcome.person)
    detail, whole = detail_for_people(outcome), detail_for_people(outcome, verbose=True)
    return [
        *(name, person, one_line_safe(outcome.upn), outcome.account_id or "", outcome.action, outcome.reason),
        *(detail, outcome.source_sha256 or "", outcome.target, pictures),
        *("" if whole == detail else whole, local_time(outcome.since)),
    ]


def _key(outcome: Outcome) -> tuple[str, str, str, str]:
    return outcome.person_id or outcome.person, outcome.account_id or "", outcome.target, outcome.reason


def _escape_script(text: str) -> Markup:
    """Return JSON that cannot end the script element or begin another (HTML standard, section 4.12.1.3)."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  it contains no HTML


def _bar(totals: Mapping[str, int]) -> list[BarSegment]:
    """Divide 1,000 units among the parts of all people; a part that is not empty stays visible."""
    counts = {name: totals.get(name, 0) for name in PARTS if totals.get(name, 0)}
    whole = sum(counts.values())
    widths = {name: max(8.0, 1000 * count / whole) for name, count in counts.items()}
    scale, start, slices = 1000 / sum(widths.values()) if widths else 1, 0.0, []
    for name, width in widths.items():
        slices.append(BarSegment(name, round(start, 2), round(width * scale, 2)))
        start += width * scale
    return slices


def policy(style: str, script: str) -> str:
    """Return the content security policy: only our own script and style run, nothing is loaded."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def asset(name: str) -> Markup:
    """Return one of our own style sheets or scripts."""
    own = (files("connector.report") / "templates" / name).read_text("utf-8")
    return Markup(own)  # noqa: S704  our own file
