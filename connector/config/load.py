"""Are the settings right? All of them are read and checked at once, before anything is contacted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from connector.config.raw_settings import RawSettings, read_raw
from connector.config.rules import broken_rules
from connector.config.settings import SECRETS, TWINS, Settings
from connector.config.warnings import advice, unknown_names
from connector.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Loaded:
    """Hold the settings, and warnings that do not stop a run (each begins with a setting's name or a file)."""

    settings: Settings
    warnings: tuple[str, ...]


def load_settings(env_file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read the env file and the environment (`os.environ` where None), which wins.

    Raises SettingsError with every problem, each beginning with its setting's name.
    """
    surroundings = os.environ if environ is None else environ
    given = read_raw(env_file, surroundings)
    settings, problems = _check(given)
    unknown = unknown_names(given, surroundings)
    if problems:
        # a misspelt name is often why another one is missing
        raise SettingsError([*problems, *unknown])
    return Loaded(settings, (*unknown, *advice(settings, given)))


def _check(given: RawSettings) -> tuple[Settings, list[str]]:
    """Check each value alone, then what hangs together, without blaming a setting twice."""
    problems = list(given.problems)
    # spaces at the ends are slips of the pen, but in a secret they may be meant
    raw = {name.lower(): value if name in SECRETS else value.strip() for name, value in given.values.items()}
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        for detail in details:
            sentence = _sentence(detail["type"], detail["msg"], context=detail.get("ctx", {}))
            problems.append(f"{str(detail['loc'][0]).upper()}: {sentence}")
        bad = {detail["loc"][0] for detail in details}
        settings = Settings.model_validate({name: value for name, value in raw.items() if name not in bad})
    blamed = {_blamed(problem) for problem in problems}
    problems += [f"{name}: {text}" for name, text in broken_rules(settings) if name not in blamed]
    return settings, list(dict.fromkeys(problems))


def _blamed(problem: str) -> str:
    name = problem.partition(":")[0]
    return TWINS.get(name, name)


def _sentence(kind: str, message: str, *, context: Mapping[str, Any]) -> str:
    """Say in our words what pydantic found; the value itself is not repeated, it may be a secret."""
    if kind == "value_error":
        return str(context["error"])
    if kind == "enum":
        return f"must be {context['expected'].replace(chr(39), '')}"
    if kind.startswith("bool"):
        return "must be true or false"
    if kind.startswith("int"):
        return "must be a whole number"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    return message[:1].lower() + message[1:]
