"""Which values were given, and where? The env file's lines, the environment over them, secrets from their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connector.config.env_file import decoded, find, read_lines, variable_in
from connector.config.settings import NAMES, SECRETS, TWINS
from connector.config.values import expanded


@dataclass(frozen=True, slots=True)
class RawSettings:
    """Hold the values by name, the names that stood in the env file, and what was wrong on the way.

    `secret_files` are those that the `*_FILE` settings name.
    """

    values: Mapping[str, str] = field(repr=False)
    in_file: tuple[str, ...]
    path: Path | None
    problems: tuple[str, ...]
    secret_files: tuple[Path, ...] = ()


def read_raw(env_file: Path | None, environ: Mapping[str, str]) -> RawSettings:
    """Merge the env file (`.env` where None and there is one) with the environment, which wins."""
    path, problems = find(env_file)
    lines = read_lines(path, problems) if path is not None else {}
    upper = _known(_with_lower_case_proxies(environ))
    lower = {name: value for name, value in _known(lines).items() if not _overruled(name, upper)}
    values = {**lower, **upper}
    files = tuple(_path(values[twin]) for twin in TWINS if twin in values)
    return RawSettings(_resolve_twins(values, problems), tuple(lines), path, tuple(problems), files)


def _known(values: Mapping[str, str]) -> dict[str, str]:
    """Keep what is ours and set: an empty value is as good as none."""
    return {name: value for name, value in values.items() if (name in NAMES or name in TWINS) and value.strip()}


def _with_lower_case_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Take https_proxy for HTTPS_PROXY; where both are set the lower-case one wins, as in urllib."""
    both = dict(environ)
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if environ.get(name.lower()):
            both[name] = environ[name.lower()]
    return both


def _overruled(name: str, upper: Mapping[str, str]) -> bool:
    """Say whether the environment gives this secret in either form."""
    secret = TWINS.get(name, name)
    return secret in SECRETS and (secret in upper or f"{secret}_FILE" in upper)


def _resolve_twins(values: dict[str, str], problems: list[str]) -> dict[str, str]:
    for twin, secret in TWINS.items():
        path = values.pop(twin, None)
        if path is None:
            continue
        if secret in values:
            problems.append(f"{twin}: cannot stand beside {secret}; set one of the two")
            continue
        content = _read_secret(twin, _path(path), problems=problems)
        if content:
            values[secret] = content
    return values


def _path(text: str) -> Path:
    try:
        return expanded(Path(text.strip()))
    except ValueError:
        return Path(text.strip())  # which is then not there


def _read_secret(twin: str, path: Path, *, problems: list[str]) -> str:
    """Return the file's text without one closing line end."""
    if variable := variable_in(path):
        problems.append(f"{twin}: holds {variable}, and no variable is replaced in settings; write the path out")
        return ""
    try:
        text = decoded(path.read_bytes())
    except (OSError, ValueError) as error:
        problems.append(f"{twin}: {path} cannot be read: {error.strerror if isinstance(error, OSError) else error}")
        return ""
    content = text.removesuffix("\n").removesuffix("\r")
    if not content:
        problems.append(f"{twin}: {path} is empty; put the secret into it")
    return content
