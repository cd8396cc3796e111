"""Render `.env.example` and docs/configuration.md from the settings class, and the settings in force."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic.fields import FieldInfo

from connector.config.load import RawSettings, read_raw
from connector.config.settings import NAMES, SECRET_FILE_SETTINGS, SECRETS, Settings, default_state_dir

# Each heading is written before this setting.
HEADINGS = {
    "source": "Photo source",
    "ldap_uri": "The directory",
    "folder_path": "A folder as the source",
    "opt_out_group": "Opt-outs and exceptions",
    "match_check_sid": "Matching",
    "azure_tenant_id": "Sign-in to Microsoft 365",
    "graph_cloud": "Connection to Microsoft 365",
    "targets": "Targets",
    "sync_conflict": "Synchronization",
    "photo_size": "Photo",
    "state_dir": "State and retention",
    "report_pictures": "Report",
}
PREAMBLE = """\
# Settings of photo-connector. Copy this file to .env (chmod 600 .env), remove the # from the lines you need,
# and fill them in. Environment variables win over this file.
# Put a value with spaces before a #, with quotes, or with backslashes in 'single quotes'; ${...} is not replaced.
# Relative files are looked for beside this file.
# Secrets can also be in files of their own: NAME_FILE=/path instead of NAME=secret.
"""
INTRODUCTION = """\
# Settings

<!-- Written by `scripts/docs`; a test compares. -->

Environment variables, or the same names in the env file (`--env-file`, by default `.env` in the current directory, if
it exists). Environment variables win over the file. An empty value counts as unset. Booleans are `true` or `false`
(also `yes`, `no`, `1`, `0`). All problems are reported at once, with the setting's name, before anything is contacted
(exit code 2); an unknown name with one of these prefixes is reported with the name that was probably intended.

In the env file, put a value that contains ` #`, quotes or backslashes in single quotes; `${...}` is not replaced.
The file is UTF-8. Paths are complete: `%NAME%`, `$env:NAME` and `$NAME` are not replaced; `STATE_DIR` is absolute.
Relative files in the env file are looked for beside that file. One that is only in the current directory is still used,
with a warning.

`photo-connector config init` asks for the settings of a first run, `config show` lists what is in force and where it
comes from, `config validate` names every problem and contacts no system.
"""


def render_env_example() -> str:
    """Return the text of `.env.example`: each setting once, commented out, with its default and sentence."""
    parts = [PREAMBLE]
    for name, field in Settings.model_fields.items():
        if name in HEADINGS:
            parts.append(f"\n# --- {HEADINGS[name]} ---\n")
        parts.append(f"\n# {_plain(field)}\n#{name.upper()}={default_text(field)}\n")
    return "".join(parts)


def render_configuration_md() -> str:
    """Return the text of `docs/configuration.md`: a table for each group, and the file settings of the secrets."""
    return "".join(_markdown())


def _markdown() -> Iterator[str]:
    yield INTRODUCTION
    for name, field in Settings.model_fields.items():
        if name in HEADINGS:
            yield f"\n## {HEADINGS[name]}\n\n| setting | default | meaning |\n|---|---|---|\n"
        default = f"`{default_text(field)}`" if default_text(field) else ""
        yield f"| `{name.upper()}` | {default} | {field.description} |\n"
    yield "\n## Secrets from files\n\nInstead of a secret, name a file that contains it (one line break at its end is "
    yield "ignored):\n\n"
    yield from (f"- `{name}_FILE` for `{name}`\n" for name in SECRETS)


def _plain(field: FieldInfo) -> str:
    return (field.description or "").replace("`", "")


def default_text(field: FieldInfo) -> str:
    """Return a default as written in the file; empty if there is none."""
    value = field.default if field.default_factory is None else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value.value if isinstance(value, Enum) else value)


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
