"""How are the settings told? `.env.example` and docs/configuration.md are written from the class itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from pydantic.fields import FieldInfo

from connector.config.settings import SECRETS, Settings

# Each heading stands before this setting.
HEADINGS = {
    "source": "Where the pictures come from",
    "ldap_uri": "The directory",
    "folder_path": "A folder instead of the directory",
    "match_check_sid": "Who is who",
    "azure_tenant_id": "Signing in to Microsoft 365",
    "graph_cloud": "The way to Microsoft 365",
    "targets": "Where the pictures go",
    "sync_conflict": "What a night may do",
    "photo_size": "The picture",
    "state_dir": "What is kept",
    "report_pictures": "The report",
}
PREAMBLE = """\
# Settings of photo-connector. Copy this file to .env (chmod 600 .env), take the # from the lines you need,
# and fill them in. Variables of the real environment win over this file.
# A value with spaces before a #, with quotes, or with backslashes stands in 'single quotes'; ${...} is not replaced.
# Secrets can also stand in files of their own: NAME_FILE=/path instead of NAME=secret.
"""
INTRODUCTION = """\
# Settings

<!-- Written by `python -m connector.config --markdown`; a test compares. -->

Environment variables, or the same names in the env file (`--env-file`, by default `.env` in the current folder, when
there is one). The real environment wins over the file. An empty value counts as unset. Booleans are `true` or `false`
(also `yes`, `no`, `1`, `0`). Every problem is told at once, with its setting's name, before anything is contacted
(exit code 2); an unknown name with one of these prefixes is reported with the name that was probably meant.

In the env file a value that holds ` #`, quotes or backslashes stands in single quotes, and `${...}` is not replaced.
The file is UTF-8. Paths are written out: no `%NAME%`, `$env:NAME` or `$NAME` is replaced; `STATE_DIR` is a whole path.
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
    """Return the text of `docs/configuration.md`: a table for each group, and the twins of the secrets."""
    return "".join(_markdown())


def _markdown() -> Iterator[str]:
    yield INTRODUCTION
    for name, field in Settings.model_fields.items():
        if name in HEADINGS:
            yield f"\n## {HEADINGS[name]}\n\n| setting | default | meaning |\n|---|---|---|\n"
        default = f"`{default_text(field)}`" if default_text(field) else ""
        yield f"| `{name.upper()}` | {default} | {field.description} |\n"
    yield "\n## Secrets from files\n\nInstead of a secret itself, a file that holds it may be named (one closing line "
    yield "end is left away):\n\n"
    yield from (f"- `{name}_FILE` for `{name}`\n" for name in SECRETS)


def _plain(field: FieldInfo) -> str:
    return (field.description or "").replace("`", "")


def default_text(field: FieldInfo) -> str:
    """Write a default as it would stand in the file; nothing where there is none."""
    value = field.default if field.default_factory is None else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value.value if isinstance(value, Enum) else value)
