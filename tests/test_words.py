"""Find struck words in what an administrator reads: help, pages, settings, reasons, checks, limits, headlines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from connector.cli.main import commands
from connector.config import render_env_example
from connector.decide.brakes import AttributeLoss, Limits, PlanCounts, check_brakes, way_past
from connector.doctor import CHECKS
from connector.errors import ExitCode
from connector.model import Action
from connector.model.reasons import ADVICE
from connector.notify.systemlog import EVENTS
from connector.report.summary import TOTALS, action_labels, headline, state
from tests.report_stories import a_run

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "connector"
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "setup.cfg", "Containerfile")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((PACKAGE / "resources").iterdir()),
    *sorted((ROOT / "deploy").rglob("*.yaml")),
]
# What stays by contract: names of settings, of files, of links, and what stands between backticks.
CONTRACT = re.compile(
    r"```.*?```|`[^`]*`|\]\([^)]*\)|<!--.*?-->|[\w./-]*\.(md|html|prom|db|py)\b|[A-Z]+_[A-Z_]+", re.DOTALL
)
STRUCK = re.compile(
    r"\b(night(s|ly)?|tonight|morning|evening|brakes?|ledgers?|doctor|mend(s|ed|ing)?|tell(s|ing)?|told|doubtful|whom)\b"
    r"|somebody else's doing|others than last time|left as they were|way to the cloud|worth knowing|nobody is guessed"
    r"|tries were used up|give way|gave way",
    re.IGNORECASE,
)
ALL_LIMITS = PlanCounts(
    replacements=600,
    with_photo=600,
    overwrites=600,
    removals=600,
    known=600,
    rematches=600,
    matched_before=600,
    attributes={"jpegPhoto": AttributeLoss(600, 600)},
)


def struck(text: str) -> list[str]:
    return [match.group() for match in STRUCK.finditer(CONTRACT.sub(" ", text))]


def helps(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of every command below a group, and of the group itself."""
    yield context.command_path, group.get_help(context)
    for name, command in group.commands.items():
        below = click.Context(command, parent=context, info_name=name, **command.context_settings)
        if isinstance(command, click.Group):
            yield from helps(command, below)
        else:
            yield below.command_path, command.get_help(below)


def texts() -> Iterator[tuple[str, str]]:
    """Yield where it is read, and the text, of everything that the program shows by itself."""
    yield from helps(commands, click.Context(commands, info_name="photo-connector", **commands.context_settings))
    yield from ((f"reason {reason}", f"{advice.title}. {advice.cure}") for reason, advice in ADVICE.items())
    yield from ((f"check {check.id}", f"{check.what}. {check.about}") for check in CHECKS)
    yield from ((f"event {event.id}", event.meaning) for event in EVENTS.values())
    yield from ((f"total {name}", label) for name, label in TOTALS.items())
    for trip in check_brakes(ALL_LIMITS, Limits()):
        yield f"limit {trip.brake}", f"{trip.message} {way_past([trip], previewed=False)}"
    for code in (*ExitCode, None):
        for is_dry_run in (False, True):
            report = a_run(exit_code=code, dry_run=is_dry_run)
            yield (
                f"headline {code}",
                f"{headline(report)} {state(report)[1]} {' '.join(action_labels(report).values())}",
            )


TEXTS = list(texts())


@pytest.mark.parametrize(("where", "text"), TEXTS, ids=[where for where, _ in TEXTS])
def test_no_struck_word_is_shown_by_the_program(where: str, text: str) -> None:
    assert struck(text) == [], where


def test_no_struck_word_stands_in_the_example_of_the_settings() -> None:
    comments = [line for line in render_env_example().splitlines() if line.startswith("# ")]
    assert struck("\n".join(comments)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_struck_word_stands_in_a_page(page: Path) -> None:
    assert struck(page.read_text(encoding="utf-8")) == []


# What is no sentence for a reader: queries.
QUERY = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE|WHERE|ORDER BY)\b")


def sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string with a blank in it, but for docstrings and queries."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body[0] for node in ast.walk(tree) if isinstance(node, kinds) and ast.get_docstring(node)]
    passed = {id(body.value) for body in bodies if isinstance(body, ast.Expr)}
    for node in ast.walk(tree):
        pieces = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [piece.value for piece in pieces if isinstance(piece, ast.Constant) and isinstance(piece.value, str)]
        text = "…".join(texts) if id(node) not in passed else ""
        if isinstance(node, ast.JoinedStr):
            passed |= {id(piece) for piece in pieces}
        if " " in text.strip() and not QUERY.search(text):
            yield getattr(node, "lineno", 0), text


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_struck_word_stands_in_a_message_of_the_program(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [(line, text) for line, text in sentences(tree) if struck(text)] == []


def test_a_struck_word_is_found_in_a_message_and_not_in_a_docstring_or_a_query() -> None:
    tree = ast.parse(
        'def f(db, name):\n    """Tell the night."""\n    raise ValueError(f"{name}: nobody in the ledger has it")\n'
        '    db.execute(f"SELECT told FROM {name} WHERE told")\n'
    )
    assert [(line, struck(text)) for line, text in sentences(tree)] == [(3, ["ledger"])]


def test_all_limits_and_actions_are_looked_at() -> None:
    limits = {trip.brake for trip in check_brakes(ALL_LIMITS, Limits())}
    assert len(limits) == 5
    assert set(action_labels(a_run())) == {action.value for action in Action}


def test_a_struck_word_is_found_and_the_contract_is_left_alone() -> None:
    assert struck("The doctor tells of a night; Ledger.") == ["doctor", "tells", "night", "Ledger"]
    assert struck("`ledger` LEDGER_DAYS [a](docs/night.md) docs/brakes.md") == []
