"""Find for each setting which value is in force and where it comes from, with secrets masked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connector.config.load import RawSettings, read_raw
from connector.config.render import default_text
from connector.config.settings import NAMES, SECRET_FILE_SETTINGS, SECRETS, Settings, default_state_dir

MASK = "********"


@dataclass(frozen=True, slots=True)
class InForce:
    """Represent one setting: its name, the value as text, and its origin."""

    name: str
    value: str
    origin: str


def settings_in_force(env_file: Path | None, environ: Mapping[str, str] | None = None) -> list[InForce]:
    """Return every setting in the order of the class; values that are wrong are returned as they were given."""
    surroundings = os.environ if environ is None else environ
    given = read_raw(env_file, surroundings)
    return [_in_force(name, given, surroundings) for name in NAMES]


def _in_force(name: str, given: RawSettings, environ: Mapping[str, str]) -> InForce:
    value = given.values.get(name)
    if value is None and f"{name}_FILE" in SECRET_FILE_SETTINGS and _is_given(f"{name}_FILE", given, environ):
        return InForce(name, "", f"{_origin(name, given, environ)}, which cannot be read")
    if value is None:
        text = str(default_state_dir()) if name == "STATE_DIR" else default_text(Settings.model_fields[name.lower()])
        return InForce(name, text, "default" if text else "not set")
    return InForce(name, MASK if name in SECRETS else value.strip(), _origin(name, given, environ))


def _is_given(name: str, given: RawSettings, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(name, "").strip()) or name in given.in_file


def _origin(name: str, given: RawSettings, environ: Mapping[str, str]) -> str:
    for one in (name, name.lower() if name in ("HTTPS_PROXY", "NO_PROXY") else name):
        if environ.get(one, "").strip():
            return "environment"
    twin = f"{name}_FILE"
    if name in SECRETS and environ.get(twin, "").strip():
        return f"the file of {twin} in the environment"
    if name in SECRETS and twin in given.in_file:
        return f"the file of {twin} in {given.path}"
    return str(given.path)
